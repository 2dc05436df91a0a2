"""Six editors' capabilities and manners: what works in each with nothing but the protocol.

The capabilities are what each editor sends, its manners what it was seen to do. The table that the run
fills is docs/reference/editors.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_lsp
from lsprotocol import converters

from lsp.buffers import Editor, Manners
from lsp.talk import KEY, USUAL, Talk, set_out, unique
from provider import running_provider
from wire import DEADLINE, NEVER, RpcError, environment, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lsp.buffers import Buffer
    from provider import RunningProvider
    from wire import Client

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "editors.md"
LITERALS = {
    "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix", "refactor", "source"]}}
}
HELIX: dict[str, Any] = {
    "workspace": {
        "applyEdit": True,
        "workspaceFolders": True,
        "workspaceEdit": {"documentChanges": True, "resourceOperations": ["create", "rename", "delete"]},
        "didChangeWatchedFiles": {"dynamicRegistration": True},
    },
    "textDocument": {"codeAction": LITERALS, "publishDiagnostics": {"versionSupport": True}, "hover": {}},
    "window": {"workDoneProgress": True},
    "general": {"positionEncodings": ["utf-8", "utf-32", "utf-16"]},
}
KATE: dict[str, Any] = {
    "workspace": {"workspaceFolders": True},
    "textDocument": {"codeAction": LITERALS, "publishDiagnostics": {"relatedInformation": True}, "hover": {}},
    "window": {"workDoneProgress": True},
}


@attrs.frozen
class Profile:
    """An editor: what it declares, how it takes edits, and which requests it answers.

    `opens` is whether it opens a page, None: it never answers. `asks` is whether it puts a question.
    """

    name: str
    capabilities: Any
    manners: Manners
    opens: bool | None = True
    asks: bool = True
    client: str = "tests"  # as it calls itself


def declared(name: str) -> Any:
    """An editor's capabilities as they were recorded."""
    return converters.get_converter().unstructure(pytest_lsp.client_capabilities(name))


def line_of(diagnostic: Any) -> int:
    """The line a diagnostic is on."""
    line: int = diagnostic["range"]["start"]["line"]
    return line


PROFILES = (
    Profile("VS Code", declared("visual-studio-code"), Manners("refuse")),
    Profile("Neovim 0.10", declared("neovim@0.10"), Manners("lie", echo_after=0.15)),
    Profile("Neovim 0.11", declared("neovim@0.11"), Manners("lie", echo_after=0.15)),
    Profile(
        "Emacs eglot", declared("emacs"), Manners("error", echo_after=0.1, counts_late=True), client="Eglot"
    ),
    Profile("Helix 25.01", HELIX, Manners("refuse", echo_after=0.02), asks=False),
    Profile("Kate", KATE, Manners("apply", takes_unasked=False), opens=None),
)
COLUMNS = ("Sign in", "Switch", "Chat in a document", "Stop", "`.env` diagnostics")


@attrs.define(eq=False)
class User:
    """Whoever sits at one editor: answers questions, and approves sign-ins on the page."""

    profile: Profile
    talk: Talk
    editor: Editor
    wishes: list[str] = attrs.field(factory=list)  # buttons to press, in order
    pages: list[str] = attrs.field(factory=list)  # pages that the editor has opened

    def __attrs_post_init__(self) -> None:
        client = self.talk.client
        client.on("window/showDocument", self.show)
        client.on("window/workDoneProgress/create", lambda _: None)
        client.on("client/registerCapability", lambda _: None)
        client.on("workspace/codeLens/refresh", lambda _: None)
        if self.profile.asks:
            client.on("window/showMessageRequest", self.ask)

    def show(self, params: Any) -> Any:
        """`window/showDocument`."""
        if self.profile.opens is None:
            return NEVER
        self.pages.append(params["uri"])
        return {"success": True}

    def ask(self, params: Any) -> Any:
        """`window/showMessageRequest`: the next wish, if it is among the buttons."""
        titles = [a["title"] for a in params["actions"]]
        wish = next((w for w in self.wishes if w in titles), None)
        return {"title": wish} if wish else NEVER

    def questions(self) -> list[Any]:
        """The questions that were put."""
        return [m for m in self.talk.client.asked if m["method"] == "window/showMessageRequest"]

    async def document(self, folder: str, text: str) -> Buffer:
        """A new chat document in a folder."""
        path = Path(folder.removeprefix("file://")) / f"{unique('chat')}.qwen.md"
        return self.editor.write(path, text)

    async def act(self, buffer: Buffer, title: str, instead: str) -> str:
        """Run a code action; where the editor puts no question, the one that needs none. How it was done."""
        if title in await self.editor.actions(buffer):
            with contextlib.suppress(RpcError):
                await self.editor.run(buffer, title)
                return "a question"
        await self.editor.run(buffer, f"{title} {instead}")
        return "an action for each"

    async def until_offered(self, buffer: Buffer, title: str) -> None:
        """Wait for a code action."""

        async def look() -> None:
            while title not in await self.editor.actions(buffer):
                pass

        await asyncio.wait_for(look(), DEADLINE)

    async def is_shown(self, buffer: Buffer, what: str) -> None:
        """Wait until hovering over the first line tells something."""
        place = {"textDocument": {"uri": buffer.uri}, "position": {"line": 0, "character": 0}}

        async def look() -> None:
            while what not in str(await self.talk.client.request("textDocument/hover", place)):
                pass

        await asyncio.wait_for(look(), DEADLINE)

    # --- what is tried ----------------------------------------------------------------------------

    async def sign_in(self) -> str:
        """With a Qwen account, in a folder that has no key."""
        buffer = await self.document(self.talk.empty, "### user\n\nhi\n")
        self.wishes = ["Qwen account"]
        how = await self.act(buffer, "Qwen: Sign in", "with qwen-oauth")
        client = self.talk.client
        pattern = re.compile(r"user_code=([A-Z0-9-]+)")

        def code_shown() -> re.Match[str] | None:
            found = [
                m for m in client.asked if self.profile.opens or m["method"] == "window/showMessageRequest"
            ]
            return pattern.search(str(found))

        code = await client.until(code_shown)
        await self.talk.provider.approve(code[1])
        await self.is_shown(buffer, "qwen-oauth")
        return f"{how}; {'the page opens' if self.pages else 'the page is named'}"

    async def switch(self) -> str:
        """From the key in `.env` to the Qwen account."""
        buffer = await self.document(self.talk.keyed, "### user\n\nhi\n")
        await self.is_shown(buffer, "api-key")
        self.wishes = ["Qwen account"]
        how = await self.act(buffer, "Qwen: Switch authentication", "to qwen-oauth")
        await self.is_shown(buffer, "qwen-oauth")
        self.wishes = ["API key"]
        await self.act(buffer, "Qwen: Switch authentication", "to api-key")
        await self.is_shown(buffer, "api-key")
        return how

    async def chat(self) -> str:
        """A message, and its answer in the document."""
        await self.talk.provider.configure(**{**USUAL, "reply": "word " * 40 + "end", "token_interval": 0.01})
        buffer = await self.document(self.talk.keyed, "### user\n\nTalk to me\n")
        before = len(self.editor.edits)
        await self.editor.run(buffer, "Qwen: Send")
        if not self.profile.manners.takes_unasked:
            await self.talk.client.notified("window/showMessage", lambda p: "Insert answer" in p["message"])
            await self.editor.run(buffer, "Qwen: Insert answer")
        await self.editor.until(buffer, lambda text: text.rstrip().endswith("end\n\n### user"))
        return "streams in" if len(self.editor.edits) - before > 2 else "by Insert answer"

    async def stop(self) -> str:
        """A long answer, ended by the action that stands where Send stood."""
        await self.talk.provider.configure(**{**USUAL, "reply": "word " * 2000, "token_interval": 0.01})
        text = unique("Stop me")
        buffer = await self.document(self.talk.keyed, f"### user\n\n{text}\n")
        await self.editor.run(buffer, "Qwen: Send")
        takes_unasked = self.profile.manners.takes_unasked
        if takes_unasked:
            await self.editor.until(buffer, lambda text: text.count("word") > 3)
        await self.talk.asked(text, lambda e: e["tokens"])
        await self.editor.run(buffer, "Qwen: Stop")
        entry = await self.talk.asked(text, lambda e: e["closed_at"] is not None)
        assert entry["completed_at"] is None
        if not takes_unasked:
            assert buffer.text == f"### user\n\n{text}\n"
            await self.until_offered(buffer, "Qwen: Insert answer")
            await self.editor.run(buffer, "Qwen: Insert answer")
        found = await self.editor.until(buffer, lambda text: text.endswith("### user\n\n"))
        answer = found.removeprefix(f"### user\n\n{text}\n\n### assistant\n\n")
        words = answer.removesuffix("\n\n<!-- qwen: stopped -->\n\n### user\n\n")
        assert set(words.split()) == {"word"}, found
        assert words.count("word") < 2000
        return "a code action"

    async def env(self) -> str:
        """A finding in a `.env` file, and the action that answers it."""
        path = Path(self.talk.empty.removeprefix("file://")) / ".env"
        buffer = self.editor.write(path, "DEBUG=1\n# mine\n")
        params = await self.talk.client.notified(
            "textDocument/publishDiagnostics", lambda p: p["uri"] == buffer.uri and p["diagnostics"]
        )
        (found,) = params["diagnostics"]
        (action,) = (await self.editor.actions(buffer, found["range"], [found])).values()
        assert [d["code"] for d in action["diagnostics"]] == ["env.excluded"]
        await self.editor.execute(action["command"])
        await self.talk.client.notified("window/showMessage", lambda p: "DEBUG moved to" in p["message"])
        assert (path.parent / ".qwen" / ".env").read_text() == "DEBUG=1\n"
        where = {"# mine\n": "in the editor", "DEBUG=1\n# mine\n": "on the disk"}[buffer.text]
        assert path.read_text() == ("# mine\n" if where == "on the disk" else "DEBUG=1\n# mine\n")
        return f"on the line; changed {where}"


@pytest.fixture
async def provider() -> AsyncIterator[RunningProvider]:
    """One provider for all."""
    async with running_provider() as running:
        yield running


async def cells_of(profile: Profile, root: Path, provider: RunningProvider) -> list[str]:
    """Try everything in one editor; how each thing was done."""
    env = environment(root / "home", QWEN_LS_OAUTH_BASE_URL=provider.issuer)
    async with server(env, cwd=root) as client:
        talk = await set_out(
            root, client, provider, capabilities=profile.capabilities, clientInfo={"name": profile.client}
        )
        user = User(profile, talk, Editor(client, profile.manners))
        client.on("window/showDocument", user.show)
        cells = [await step() for step in (user.sign_in, user.switch, user.chat, user.stop, user.env)]
        check_methods(client)
        return cells


def check_methods(client: Client) -> None:
    """Nothing but the protocol's own requests went either way, and no key in any of it."""
    assert not [m["method"] for m in client.asked if m["method"].startswith("qwen")]
    assert b'"method": "qwen/' not in client.sent
    assert KEY.encode() not in bytes(client.stdout)


def table(rows: list[tuple[str, list[str]]]) -> str:
    """The table as Markdown."""
    head = ("Editor", *COLUMNS)
    lines = [head, tuple("---" for _ in head), *((name, *cells) for name, cells in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


async def test_everything_works_in_every_editor(tmp_path: Path, provider: RunningProvider) -> None:
    """Sign in, switch, chat, stop, `.env` files in each; the table is the one in the docs."""
    rows = [(p.name, await cells_of(p, tmp_path / p.name.replace(" ", ""), provider)) for p in PROFILES]
    shown = table(rows)
    print(f"\n{shown}")  # noqa: T201
    assert shown in DOCUMENT.read_text(encoding="utf-8")
