"""The documents that are open, kept in step with the editor by incremental changes.

Lines are kept without their ends, so that an editor's own line ends never matter; positions are
converted between the client's units (UTF-8, UTF-16 or UTF-32) and code points. pygls' own store is not
used: it ends lines at characters that the protocol does not, and costs a walk over all lines per change.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

import attrs
from lsprotocol import types

from qwen_ls.lsp.folders import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LINE_END = re.compile(r"\r\n|\n|\r")
UNITS = {types.PositionEncodingKind.Utf8: 1, types.PositionEncodingKind.Utf16: 2}  # bytes of one unit
DEADLINE = 2.0  # seconds; a mount may hang
CODECS = {types.PositionEncodingKind.Utf8: "utf-8", types.PositionEncodingKind.Utf16: "utf-16-le"}


class Watcher(Protocol):
    """Who wants to know what becomes of one document."""

    def changed(self, before: str, after: str) -> None:
        """The text has changed; lines end in LF in both."""

    def closed(self) -> None:
        """The document is no longer open."""


@attrs.define(eq=False)
class Text:
    """An open document. `lines` are without their ends and never empty."""

    uri: str
    language_id: str
    version: int
    lines: list[str]
    encoding: str = types.PositionEncodingKind.Utf16
    watchers: list[Watcher] = attrs.field(factory=list)

    @property
    def text(self) -> str:
        """All of it; lines end in LF."""
        return "\n".join(self.lines)

    @property
    def path(self) -> str | None:
        """Its path, for `file:` URIs."""
        return path_of(self.uri)

    @property
    def name(self) -> str:
        """As its user knows it."""
        return PurePosixPath(unquote(self.uri)).name

    def column(self, line: int, character: int) -> int:
        """A position's place in a line in code points; past the end is the end."""
        text = self.lines[line] if 0 <= line < len(self.lines) else ""
        unit = UNITS.get(types.PositionEncodingKind(self.encoding))
        if unit is None or text.isascii():
            return max(0, min(character, len(text)))
        codec = CODECS[types.PositionEncodingKind(self.encoding)]
        data = text.encode(codec, "surrogatepass")[: max(0, character) * unit]
        return len(data.decode(codec, "ignore"))

    def character(self, line: int, column: int) -> int:
        """The same the other way: code points to the client's units."""
        text = self.lines[line][:column] if 0 <= line < len(self.lines) else ""
        unit = UNITS.get(types.PositionEncodingKind(self.encoding))
        if unit is None or text.isascii():
            return len(text)
        return len(text.encode(CODECS[types.PositionEncodingKind(self.encoding)], "surrogatepass")) // unit

    def position(self, line: int, column: int) -> types.Position:
        """A position in the client's units."""
        return types.Position(line, self.character(line, column))

    def range(self, line: int, start: int, end: int) -> types.Range:
        """A range of one line, from columns in code points."""
        return types.Range(self.position(line, start), self.position(line, end))

    def change(self, changes: Sequence[types.TextDocumentContentChangeEvent], version: int) -> None:
        """Take the changes of one `didChange`, in order, and tell who watches."""
        before = self.text if self.watchers else ""
        for change in changes:
            self._apply(change)
        self.version = version
        if self.watchers:
            after = self.text
            for watcher in list(self.watchers):
                watcher.changed(before, after)

    def _apply(self, change: types.TextDocumentContentChangeEvent) -> None:
        if not isinstance(change, types.TextDocumentContentChangePartial):
            self.lines = LINE_END.split(change.text)
            return
        first, start = self._place(change.range.start)
        last, end = max((first, start), self._place(change.range.end))
        changed = self.lines[first][:start] + change.text + self.lines[last][end:]
        self.lines[first : last + 1] = LINE_END.split(changed)

    def _place(self, position: types.Position) -> tuple[int, int]:
        """Line and column of a position; past the last line is the end of the document."""
        if position.line >= len(self.lines):
            return len(self.lines) - 1, len(self.lines[-1])
        return position.line, self.column(position.line, position.character)


@attrs.define(eq=False)
class Texts:
    """The open documents by URI."""

    encoding: str = types.PositionEncodingKind.Utf16
    _texts: dict[str, Text] = attrs.field(factory=dict)

    def open(self, item: types.TextDocumentItem) -> Text:
        """A document was opened."""
        self.close(item.uri)
        lines = LINE_END.split(item.text)
        text = self._texts[item.uri] = Text(item.uri, item.language_id, item.version, lines, self.encoding)
        return text

    def change(self, params: types.DidChangeTextDocumentParams) -> Text | None:
        """A document was changed; None if it is not open."""
        text = self._texts.get(params.text_document.uri)
        if text is not None:
            text.change(params.content_changes, params.text_document.version)
        return text

    def close(self, uri: str) -> None:
        """A document was closed."""
        text = self._texts.pop(uri, None)
        for watcher in list(text.watchers) if text else []:
            watcher.closed()

    def get(self, uri: str) -> Text | None:
        """An open document."""
        return self._texts.get(uri)

    def at(self, path: str) -> Text | None:
        """The open document of a path."""
        return next((text for text in self._texts.values() if text.path == path), None)

    def __iter__(self) -> Iterator[Text]:
        return iter(list(self._texts.values()))


@attrs.define(eq=False)
class RealTexts:
    """The open documents by real path, however the editor names them. Fits the port OpenTexts."""

    texts: Texts
    _real: dict[str, str] = attrs.field(factory=dict)

    async def text_of(self, real: str) -> str | None:
        """The text of the document with this real path."""
        paths = {path: text for text in self.texts if (path := text.path) is not None}
        self._real = {path: self._real[path] for path in paths if path in self._real}
        if unknown := [path for path in paths if self._real.get(path) != path]:  # a link may be turned
            loop = asyncio.get_running_loop()
            resolving = loop.run_in_executor(None, lambda: {path: os.path.realpath(path) for path in unknown})
            done, _ = await asyncio.wait({resolving}, timeout=DEADLINE)
            self._real |= resolving.result() if done else {}
        return next((text.text for path, text in paths.items() if self._real.get(path) == real), None)
