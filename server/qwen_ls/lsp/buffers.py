"""Open texts that a command changes: in the editor where it takes edits, so that text and disk never part."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
from lsprotocol import types

from qwen_ls.core.envfile import fold
from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from qwen_ls.core.envedit import Taken
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

EDIT_TIMEOUT = 2.0  # seconds for the editor to answer
ECHO_TIMEOUT = 6.0  # seconds for the change to come back from an editor that says it has made it:
# Emacs reports it when it is idle, and not while it waits for a command
SETTLE = 0.5  # seconds for that from one that says otherwise


@attrs.define(eq=False)
class Echo:
    """Waits for lines to be gone from a text, whatever else has been typed. Fits Watcher."""

    taken: Taken
    came: asyncio.Event = attrs.field(factory=asyncio.Event)

    def changed(self, before: str, after: str) -> None:
        """The text has changed."""
        lines = set(after.split("\n"))
        is_gone = not any(line in lines for line in fold(self.taken.lines).split("\n") if line)
        if before != after and (is_gone or is_same(after, fold(self.taken.rest))):
            self.came.set()

    def closed(self) -> None:
        """It will not come any more."""


@attrs.frozen
class OpenBuffers:
    """The open documents of a session. Fits the Buffers port of the actions."""

    session: Session

    def require_saved(self, file: str, text: str) -> None:
        """Raise Problem if the file is open with another text than the disk's."""
        opened = self.session.texts.at(file)
        if opened is not None and not is_same(opened.text, fold(text)):
            raise unsaved(file)

    def is_open(self, file: str) -> bool:
        """Whether the editor has a text of a file."""
        return self.session.texts.at(file) is not None

    async def take_out(self, file: str, was: str, taken: Taken) -> bool:
        """Take lines of the text `was` out of an open text by an edit that holds no text; whether it did.

        The client's own word is not enough: some say yes and do nothing. The change that it reports back
        tells. Raises Problem if the text has become another one: the lines stand elsewhere then.
        """
        text = self.session.texts.at(file)
        if text is not None and not is_same(text.text, fold(was)):
            raise changed(file)
        if text is None or not self._takes_edits():
            return False
        echo = Echo(taken)
        text.watchers.append(echo)
        before = text.text
        waiting = asyncio.ensure_future(echo.came.wait())
        try:
            patience = ECHO_TIMEOUT if await self._edit(text, taken) else SETTLE
            await asyncio.wait({waiting}, timeout=patience)
        finally:
            waiting.cancel()
            text.watchers.remove(echo)
        if echo.came.is_set():
            return True
        if self.session.texts.get(text.uri) is text and text.text != before:
            raise changed(file, was_sent=True)
        return False

    def _takes_edits(self) -> bool:
        workspace = self.session.editor.capabilities.workspace
        return workspace is not None and bool(workspace.apply_edit) and self.session.editor.takes_versions

    async def _edit(self, text: Text, taken: Taken) -> bool:
        document = types.OptionalVersionedTextDocumentIdentifier(uri=text.uri, version=text.version)
        edits = [types.TextEdit(lines_of(text, first, end), "") for first, end in taken.spans]
        edit = types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(document, list(edits))])
        return await self.session.editor.apply(edit, EDIT_TIMEOUT) is True


def lines_of(text: Text, first: int, end: int) -> types.Range:
    """Whole lines with their ends, from the first up to but without `end`."""
    if end < len(text.lines):
        return types.Range(types.Position(first, 0), types.Position(end, 0))
    return types.Range(types.Position(first, 0), text.position(len(text.lines) - 1, len(text.lines[-1])))


def is_same(one: str, other: str) -> bool:
    """Whether two texts are the same but for a byte order mark and the last line's end."""
    return one.removeprefix("\ufeff").rstrip("\n") == other.removeprefix("\ufeff").rstrip("\n")


def unsaved(file: str) -> Problem:
    """The editor has another text than the disk, so that one of the two would be lost."""
    what = "The file has changes that are not saved"
    return Problem(Kind.NOT_SUPPORTED, what, where=file, remedy="Save the file first, then try again")


def changed(file: str, *, was_sent: bool = False) -> Problem:
    """The editor's text has become another one since its lines were counted.

    `was_sent`: when the edit was under way. Emacs makes it all the same where it has not told of the change.
    """
    what = "The file has been changed in the meantime"
    if was_sent:
        remedy = "See that no other line is missing, delete by hand what has been moved, and save the file"
        return Problem(Kind.NOT_SUPPORTED, what, where=file, remedy=remedy)
    what += ", so nothing was taken out"
    remedy = "Delete by hand what has been moved, and save the file"
    return Problem(Kind.NOT_SUPPORTED, what, where=file, remedy=remedy)
