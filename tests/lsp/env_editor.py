"""An editor with `.env` files open, over real stdio: what it is told, and edits it takes or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from wire import uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from wire import Client

PUBLISHED = "textDocument/publishDiagnostics"
APPLY = "workspace/applyEdit"
TAKES_EDITS: dict[str, Any] = {
    "window": {"workDoneProgress": True, "showDocument": {"support": True}, "showMessage": {}},
    "workspace": {
        "workspaceFolders": True,
        "applyEdit": True,
        "workspaceEdit": {"documentChanges": True},
    },
    "textDocument": {
        "publishDiagnostics": {"tagSupport": {"valueSet": [1]}},
        "hover": {"contentFormat": ["markdown", "plaintext"]},
    },
}


@attrs.define(eq=False)
class OpenFile:
    """A document that is open in the client, with its text there."""

    client: Client
    path: Path
    text: str
    version: int = 1

    @property
    def uri(self) -> str:
        """What the client calls it."""
        return uri(self.path)

    @property
    def document(self) -> dict[str, Any]:
        """Its identifier."""
        return {"textDocument": {"uri": self.uri}}

    def change(self, text: str) -> None:
        """The user has typed: the whole text is another one, on the disk nothing changes."""
        self.text, self.version = text, self.version + 1
        document = {"uri": self.uri, "version": self.version}
        self.client.notify(
            "textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]}
        )

    def save(self) -> None:
        """The user has saved."""
        self.path.write_text(self.text, encoding="utf-8")
        self.client.notify("textDocument/didSave", self.document)

    def close(self) -> None:
        """The user has closed it."""
        self.client.notify("textDocument/didClose", self.document)

    async def findings(self, holds: Callable[[list[dict[str, Any]]], object]) -> list[dict[str, Any]]:
        """The findings last published, once `holds` says that they are as awaited."""

        def last() -> list[Any] | None:
            told = [
                n["params"]
                for n in self.client.notifications
                if n["method"] == PUBLISHED and n["params"]["uri"] == self.uri
            ]
            return [told[-1]] if told and holds(told[-1]["diagnostics"]) else None

        (params,) = await self.client.until(last)
        found: list[dict[str, Any]] = params["diagnostics"]
        return found

    async def codes(self, expected: Iterable[str]) -> list[dict[str, Any]]:
        """The findings, once they have just these codes, in any order."""
        wanted = sorted(expected)
        return await self.findings(lambda found: sorted(d["code"] for d in found) == wanted)

    async def hover(self, line: int, character: int = 0) -> str | None:
        """What the hover of a line says, from 0."""
        position = {"line": line, "character": character}
        result = await self.client.request("textDocument/hover", {**self.document, "position": position})
        return None if result is None else str(result["contents"]["value"])

    async def complete(self, line: int, character: int) -> list[dict[str, Any]]:
        """What is offered at a position."""
        position = {"line": line, "character": character}
        params = {**self.document, "position": position}
        return await self.client.request("textDocument/completion", params) or []

    async def actions(
        self, line: int, diagnostics: list[Any] | None = None, **context: Any
    ) -> dict[str, Any]:
        """The actions of a line, by title."""
        at = {"line": line, "character": 0}
        params = {
            **self.document,
            "range": {"start": at, "end": at},
            "context": {"diagnostics": diagnostics or [], **context},
        }
        found = await self.client.request("textDocument/codeAction", params) or []
        return {action["title"]: action for action in found}

    async def run(self, title: str, line: int) -> Any:
        """Run an action of a line as an editor does: its command, as it came."""
        command = (await self.actions(line))[title]["command"]
        params = {"command": command["command"], "arguments": command["arguments"]}
        return await self.client.request("workspace/executeCommand", params)


def open_file(client: Client, path: Path, text: str | None = None) -> OpenFile:
    """Open a file with the text of the disk, or another."""
    read = path.read_text(encoding="utf-8") if text is None else text
    opened = OpenFile(client, path, read)
    item = {"uri": opened.uri, "languageId": "dotenv", "version": 1, "text": read}
    client.notify("textDocument/didOpen", {"textDocument": item})
    return opened


def take_edits(opened: OpenFile) -> list[dict[str, Any]]:
    """Let the client apply edits to an open document, as editors do; the edits it was sent."""
    sent: list[dict[str, Any]] = []

    def apply(params: dict[str, Any]) -> dict[str, bool]:
        sent.append(params["edit"])
        (change,) = params["edit"]["documentChanges"]
        assert change["textDocument"]["uri"] == opened.uri
        if change["textDocument"]["version"] != opened.version:
            return {"applied": False}
        opened.change(edited(opened.text, change["edits"]))
        return {"applied": True}

    opened.client.on(APPLY, apply)
    return sent


def edited(text: str, edits: list[dict[str, Any]]) -> str:
    """A text after edits whose ranges are given in the old one; ASCII is enough here."""
    lines = text.split("\n")

    def offset(position: dict[str, int]) -> int:
        return sum(len(line) + 1 for line in lines[: position["line"]]) + position["character"]

    for edit in reversed(edits):
        begin, end = offset(edit["range"]["start"]), offset(edit["range"]["end"])
        text = text[:begin] + edit["newText"] + text[end:]
    return text
