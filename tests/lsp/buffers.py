"""An editor's side of open documents, over the raw client: buffers with versions, edits, code actions.

How edits are taken differs from editor to editor; `Manners`
says which one is played.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import attrs

from wire import RpcError, uri

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wire import Client

Position = dict[str, int]


@attrs.frozen
class Manners:
    """How an editor takes `workspace/applyEdit`.

    `stale` says what it does with an edit against an older version: "refuse" (applied false), "lie"
    (applied true, and nothing done), "error", or "apply" all the same. `echo_after` is how many seconds
    its `didChange` comes after a change, None: at once, before the reply. `takes_unasked` is whether edits
    are taken that no command of its user asked for. `counts_late` is whether a version counts only once it
    is told: an edit against it is then taken also if the text has changed since.
    """

    stale: str = "refuse"
    echo_after: float | None = None
    takes_unasked: bool = True
    counts_late: bool = False


@attrs.define(eq=False)
class Buffer:
    """One document. `told` is the text that the server has been told of."""

    uri: str
    text: str
    version: int = 1
    told: str = ""
    told_version: int = 1
    timer: asyncio.TimerHandle | None = None


@attrs.define(eq=False)
class Editor:
    """The documents that one client has open."""

    client: Client
    manners: Manners = attrs.field(factory=Manners)
    buffers: dict[str, Buffer] = attrs.field(factory=dict)
    asked: bool = False  # a command of the user's is under way
    edits: list[str] = attrs.field(factory=list)  # the texts the server has put in
    replaced: list[str] = attrs.field(factory=list)  # and what it has taken away for them
    shown: list[str] = attrs.field(factory=list)  # the documents it has opened

    def __attrs_post_init__(self) -> None:
        self.client.on("workspace/applyEdit", self._apply)
        self.client.on("window/showDocument", self._show)

    def open(self, path: Path, language: str = "markdown") -> Buffer:
        """Open a file of the disk."""
        text = path.read_bytes().decode()
        buffer = Buffer(uri(path), text, told=text)
        self.buffers[buffer.uri] = buffer
        item = {"uri": buffer.uri, "languageId": language, "version": 1, "text": text}
        self.client.notify("textDocument/didOpen", {"textDocument": item})
        return buffer

    def write(self, path: Path, text: str) -> Buffer:
        """Make a file, and open it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        return self.open(path)

    def close(self, buffer: Buffer) -> None:
        """Close a document."""
        del self.buffers[buffer.uri]
        self.client.notify("textDocument/didClose", {"textDocument": {"uri": buffer.uri}})

    def edit(self, buffer: Buffer, start: int, end: int, text: str) -> None:
        """The user replaces a range; offsets in code points."""
        buffer.text = buffer.text[:start] + text + buffer.text[end:]
        self._changed(buffer)

    def type(self, buffer: Buffer, text: str) -> None:
        """The user types at the end."""
        self.edit(buffer, len(buffer.text), len(buffer.text), text)

    async def until(self, buffer: Buffer, is_there: Callable[[str], Any], deadline: float = 20.0) -> str:
        """Wait until a document's text is as wanted; the text."""
        await self.client.until(lambda: is_there(buffer.text), deadline)
        return buffer.text

    async def actions(
        self, buffer: Buffer, range_: Any = None, diagnostics: list[Any] | None = None, **context: Any
    ) -> dict[str, dict[str, Any]]:
        """The code actions at a place, by title."""
        nowhere = {"line": 0, "character": 0}
        params = {
            "textDocument": {"uri": buffer.uri},
            "range": range_ or {"start": nowhere, "end": nowhere},
            "context": {"diagnostics": diagnostics or [], "triggerKind": 1, **context},
        }
        found = await self.client.request("textDocument/codeAction", params)
        return {a["title"]: a for a in found or []}

    async def run(self, buffer: Buffer, title: str) -> Any:
        """Run a code action by its title."""
        action = (await self.actions(buffer))[title]
        return await self.execute(action["command"])

    async def execute(self, command: dict[str, Any]) -> Any:
        """Run a command that the server has named: the user asked for it."""
        self.asked = True
        try:
            params = {"command": command["command"], "arguments": command.get("arguments", [])}
            return await self.client.request("workspace/executeCommand", params)
        finally:
            self.asked = False

    # --- what the server asks ---------------------------------------------------------------------

    def _show(self, params: Any) -> Any:
        self.shown.append(params["uri"])
        return {"success": True}

    def _apply(self, params: Any) -> Any:
        if not (self.manners.takes_unasked or self.asked):
            return {"applied": False}
        edit = params["edit"]
        pairs = [(uri_, None, edits) for uri_, edits in (edit.get("changes") or {}).items()]
        for change in edit.get("documentChanges") or []:
            document = change["textDocument"]
            pairs.append((document["uri"], document["version"], change["edits"]))
        return {"applied": all([self._take(*pair) for pair in pairs])}  # noqa: C419 - each is taken

    def _take(self, uri_: str, version: int | None, edits: list[Any]) -> bool:
        buffer = self.buffers.get(uri_)
        if buffer is None:
            return False
        if version is not None and version != buffer.version and self.manners.stale != "apply":
            if self.manners.stale == "error":
                raise RpcError({"code": -32603, "message": "stale"})
            return self.manners.stale == "lie"
        for edit in edits:
            start, end = (offset(buffer.text, edit["range"][side]) for side in ("start", "end"))
            replaced = buffer.text[start:end]
            buffer.text = buffer.text[:start] + edit["newText"] + buffer.text[end:]
            self.edits.append(edit["newText"])
            self.replaced.append(replaced)
        self._changed(buffer)
        return True

    def _changed(self, buffer: Buffer) -> None:
        if not self.manners.counts_late:
            buffer.version += 1
        self._tell_soon(buffer)

    def _tell_soon(self, buffer: Buffer) -> None:
        if self.manners.echo_after is None:
            self._tell(buffer)
        elif buffer.timer is None:
            loop = asyncio.get_running_loop()
            buffer.timer = loop.call_later(self.manners.echo_after, self._tell, buffer)

    def _tell(self, buffer: Buffer) -> None:
        """`didChange` with the smallest range that differs, as some editors work it out."""
        buffer.timer = None
        if buffer.uri not in self.buffers:
            return
        if self.manners.counts_late:
            buffer.version += 1
        start, end, text = difference(buffer.told, buffer.text)
        range_ = {"start": position(buffer.told, start), "end": position(buffer.told, end)}
        params = {
            "textDocument": {"uri": buffer.uri, "version": buffer.version},
            "contentChanges": [{"range": range_, "text": text}],
        }
        buffer.told = buffer.text
        self.client.notify("textDocument/didChange", params)


def difference(old: str, new: str) -> tuple[int, int, str]:
    """Start and end of what was replaced in `old`, and by what."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, len(old) - end, new[start : len(new) - end]


def position(text: str, at: int) -> Position:
    """The position of an offset, in UTF-16 units."""
    lines = re.split("\r\n|\n|\r", text[:at])
    return {"line": len(lines) - 1, "character": len(lines[-1].encode("utf-16-le")) // 2}


def offset(text: str, place: Position) -> int:
    """The offset of a position."""
    starts = [0, *(m.end() for m in re.finditer("\r\n|\n|\r", text))]
    if place["line"] >= len(starts):
        return len(text)
    start = starts[place["line"]]
    units = text[start:].encode("utf-16-le")[: place["character"] * 2]
    return start + len(units.decode("utf-16-le", "ignore"))
