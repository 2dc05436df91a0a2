"""`qwen-ls demo`: the main job, shown against an embedded provider, with the real server as a child.

It plays the editor: starts the server over stdio, signs in, chats, switches to a key from a `.env`, chats
again, and then shows what the provider saw. With a terminal it stays as a small chat prompt.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.demo.client import EditorSide, Failed, editor
from qwen_ls.demo.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

HELP = "/auth [qwen-oauth|api-key]  /status  /explain  /models  /quit"
INTERRUPTED = 130
TOKEN_INTERVAL = 0.02  # seconds: a pace that can be read along


@attrs.define(eq=False)
class Walk:
    """One run of the demo."""

    provider: Provider
    side: EditorSide
    workspace: Path
    key: str = attrs.field(repr=False)
    interactive: bool
    _conversation: str | None = None
    _pages: list[asyncio.Task[None]] = attrs.field(factory=list)

    # --- the steps --------------------------------------------------------------------------------

    async def run(self) -> None:
        """All steps in order. Raises Failed."""
        self.side.handlers["window/showDocument"] = self.open_page
        self.side.listeners["$/progress"] = self.show_delta
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("An editor starts the language server", self.start),
            ("Sign in with a Qwen account: the server asks, the editor opens the browser", self.sign_in),
            ("Chat, with the token of that sign-in", self.first_chat),
            ("A .env file in the workspace, and /auth api-key: another credential, no restart", self.switch),
            ("Chat, with the key from the file", self.second_chat),
            ("/status: who signs requests, and where that comes from", self.status),
            ("What the provider saw", self.what_was_seen),
        ]
        for number, (title, step) in enumerate(steps, 1):
            say(f"\n{bold(f'{number}. {title}')}")
            await step()

    async def start(self) -> None:
        """`initialize` and `initialized`."""
        folder = {"uri": self.workspace.as_uri(), "name": "workspace"}
        answer = await self.side.request(
            "initialize",
            {
                "processId": os.getpid(),
                "clientInfo": {"name": "qwen-ls demo"},
                "rootUri": folder["uri"],
                "workspaceFolders": [folder],
                "capabilities": {"window": {"showDocument": {"support": True}}},
            },
        )
        self.side.notify("initialized", {})
        info = answer["serverInfo"]
        say(f"   {info['name']} {info['version']} over stdio, workspace {self.workspace}")

    async def sign_in(self) -> None:
        """Device authorization; the page is approved by the person, or by the demo itself."""
        answer = await self.side.request("qwen/auth/login", {"method": "qwen-oauth"})
        say(f"   {answer['message']}; checked with a request: {'yes' if answer['checked'] else 'no'}")

    async def first_chat(self) -> None:
        """One message."""
        await self.chat("What can you do for me?")

    async def switch(self) -> None:
        """Write the file, then switch."""
        lines = [
            f"OPENAI_API_KEY={self.key}",
            f"OPENAI_BASE_URL={self.provider.base_url}/v1",
            "OPENAI_MODEL=qwen3-coder-plus",
        ]
        (self.workspace / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
        answer = await self.side.command("qwen.auth.switch", method="api-key")
        say(f"   {answer['message']}")

    async def second_chat(self) -> None:
        """The conversation goes on."""
        await self.chat("And who are you now?")

    async def status(self) -> None:
        """The status, in lines."""
        status = await self.side.command("qwen.auth.status")
        source = status.get("source") or {}
        place = f"{source.get('file')}:{source.get('line')}" if source.get("line") else source.get("file")
        for name, value in (
            ("method", f"{status.get('method')} (chosen for this {status.get('chosenBy')})"),
            (
                "key",
                f"{status.get('fingerprint')} from {source.get('variable') or source.get('kind')}, {place}",
            ),
            ("sent to", status.get("baseUrl")),
            ("model", status.get("model")),
        ):
            say(f"   {name:<8} {value}")
        if not status["signedIn"]:
            raise Failed(status["message"])

    async def what_was_seen(self) -> None:
        """The provider's own log, and whether it holds the four requests that matter."""
        for entry in self.provider.log:
            signed = f"signed with the {NAMES[entry['credential']]}" if entry["credential"] in NAMES else ""
            say(f"   {entry['method']:<4} {entry['path']:<28} {entry['status'] or '':<4} {signed}")
        for what, found in self.wanted().items():
            if not found:
                raise Failed(f"the provider saw no {what}")

    def wanted(self) -> dict[str, bool]:
        """The requests that the main job consists of."""
        done = [e for e in self.provider.log if e["status"] == 200]  # noqa: PLR2004 - OK
        chats = [e for e in done if e["route"] == "chat" and (e["json"] or {}).get("stream")]
        return {
            "device grant": any(e["route"] == "device" for e in done),
            "token request": any(e["route"] == "token" for e in done),
            "chat with the OAuth token": any(e["credential"] == "oauth" for e in chats),
            "chat with the key": any(e["authorization"] == f"Bearer {self.key}" for e in chats),
        }

    # --- what an editor does ----------------------------------------------------------------------

    def open_page(self, params: Any) -> dict[str, bool]:
        """`window/showDocument`: a person opens the page, or the demo approves it as a browser would."""
        self._pages.append(asyncio.create_task(self.visit(params["uri"])))
        return {"success": True}

    async def visit(self, uri: str) -> None:
        """Go to the sign-in page and approve."""
        if self.interactive:
            say(f"   Open {uri} and approve, or press Enter to let the demo do it")
            await read_line("")
        else:
            say(f"   opens {uri} and approves")
        await asyncio.to_thread(approve, uri)

    async def chat(self, text: str) -> None:
        """Send a message and show the answer as it streams."""
        say(f"   {bold('you')}  {text}\n   {bold('ai')}   ", end="")
        params = {"text": text, "conversationId": self._conversation, "partialResultToken": "answer"}
        try:
            answer = await self.side.request("qwen/chat/send", params)
        finally:
            say("")
        self._conversation = answer["conversationId"]
        used = (answer.get("usage") or {}).get("totalTokens")
        say(f"        [{answer['stopReason']}, {answer.get('model')}, {used} tokens]")

    def show_delta(self, params: Any) -> None:
        """A piece of an answer."""
        if params["token"] == "answer" and params["value"].get("kind") == "delta":  # noqa: S105 - a name
            say(params["value"]["text"].replace("\n", "\n        "), end="")

    # --- the prompt -------------------------------------------------------------------------------

    async def prompt(self) -> None:
        """A small chat: every line is a message, or one of the slash commands."""
        say(f"\nNow it is your turn. {HELP}")
        while (line := await read_line("> ")) is not None and line.strip() != "/quit":
            if not line.strip():
                continue
            try:
                await self.obey(line.strip())
            except Failed as failed:
                say(f"   {failed}")

    async def obey(self, line: str) -> None:
        """One line of the prompt."""
        word, _, rest = line.partition(" ")
        if word == "/auth":
            status = await self.side.command("qwen.auth.status")
            other = "qwen-oauth" if status.get("method") == "api-key" else "api-key"
            answer = await self.side.command("qwen.auth.switch", method=rest.strip() or other)
            say(f"   {answer['message']}")
        elif word == "/status":
            await self.status()
        elif word == "/explain":
            say((await self.side.command("qwen.auth.explain"))["markdown"])
        elif word == "/models":
            for model in (await self.side.command("qwen.models.list"))["models"]:
                say(f"   {model['id']}{' (active)' if model['active'] else ''}")
        elif word.startswith("/"):
            say(f"   {HELP}")
        else:
            await self.chat(line)


NAMES = {"oauth": "OAuth token", "key": "API key"}


def approve(uri: str) -> None:
    """Submit the sign-in page's form, as a browser does."""
    parts = urllib.parse.urlsplit(uri)
    code = urllib.parse.parse_qs(parts.query)["user_code"][0]
    form = urllib.parse.urlencode({"user_code": code, "decision": "approve"}).encode()
    page = urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
    with contextlib.suppress(OSError), opener.open(page, form, timeout=10):
        pass  # a page that does not answer shows as a sign-in that does not end well


async def read_line(mark: str) -> str | None:
    """A line from the terminal; None at its end."""
    try:
        return await asyncio.to_thread(input, mark)
    except EOFError:
        return None


def say(text: str, end: str = "\n") -> None:
    """Show text."""
    print(text, end=end, flush=True)  # noqa: T201 - this is what the demo is for


def bold(text: str) -> str:
    """Emphasis, where the terminal has it."""
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


async def walk(fault: tuple[str, int] | None, home: Path, workspace: Path, *, interactive: bool) -> int:
    """Run everything; the exit code."""
    key = f"sk-demo-{secrets.token_urlsafe(24)}"
    async with Provider(keys=[key], interval=1, token_interval=TOKEN_INTERVAL) as provider:
        if fault is not None:
            provider.fault(fault[0], status=fault[1])
        kept = {
            name: os.environ[name]
            for name in ("PATH", "PYTHONPATH", "LANG", "SYSTEMROOT")
            if name in os.environ
        }
        env = {**kept, "HOME": str(home), "QWEN_LS_OAUTH_BASE_URL": provider.base_url}
        command = [sys.executable, "-m", "qwen_ls", "serve"]
        async with editor(command, env, str(workspace)) as side:
            run = Walk(provider, side, workspace, key, interactive)
            try:
                await run.run()
                if interactive:
                    await run.prompt()
                await side.end()
            except (Failed, asyncio.TimeoutError) as failed:
                say(f"\nThis step failed: {failed}")
                return 1
    say("\nAll of it worked: sign-in, chat, switch, chat, with nothing restarted.")
    return 0


def fault_of(text: str) -> tuple[str, int]:
    """`chat=500` -> ("chat", 500)."""
    route, _, status = text.partition("=")
    if route not in {"device", "token", "models", "chat"} or not status.isdigit():
        raise argparse.ArgumentTypeError("expected ROUTE=STATUS, ROUTE one of device, token, models, chat")
    return route, int(status)


def run(argv: Sequence[str]) -> int:
    """The command; the exit code."""
    parser = argparse.ArgumentParser(prog="qwen-ls demo", description="The main job, shown end to end.")
    parser.add_argument(
        "--fault", type=fault_of, metavar="ROUTE=STATUS", help="let the provider refuse a route"
    )
    options = parser.parse_args(argv)
    say("qwen-ls demo. The model is an embedded stand-in on this machine: no network, no account, no cost.")
    with tempfile.TemporaryDirectory(prefix="qwen-ls-demo-") as folder:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        home, workspace = Path(folder, "home"), Path(folder, "workspace")
        home.mkdir()
        workspace.mkdir()
        try:
            return asyncio.run(walk(options.fault, home, workspace, interactive=sys.stdin.isatty()))
        except KeyboardInterrupt:
            say("")
            return INTERRUPTED
