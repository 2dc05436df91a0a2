"""What the figures are measured on: one provider, one workspace, each program in its own environment."""

from __future__ import annotations

import compileall
import itertools
import json
import os
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest_lsp
from lsprotocol import converters

from bench.child import Child, Server, Stuck, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
TESTS = HERE.parent
ROOT = TESTS.parent
PEERS = ROOT / ".bench" / "peers" / "node_modules"
# What a user has installed, and nothing else: httpx loads a terminal's packages where it finds them.
BIN = ROOT / ".bench" / "env" / "bin"
PYTHON, QWEN_LS = BIN / "python", BIN / "qwen-ls"
KEY = "sk-bench-0123456789abcdef"
CAPABILITIES: dict[str, Any] = converters.get_converter().unstructure(
    pytest_lsp.client_capabilities("visual-studio-code")
)
_numbers = itertools.count(1)
SEND, PROGRESS = "qwen/chat/send", "$/progress"


@attrs.frozen
class Rig:
    """A folder to work in, and the provider's base URL."""

    folder: Path
    base_url: str

    @property
    def workspace(self) -> Path:
        """A workspace folder whose `.env` names the provider."""
        return self.folder / "workspace"

    def env(self) -> dict[str, str]:
        """Nothing of this machine's but PATH; the folders that a session has; bytecode is cached."""
        home, runtime = self.folder / "home", self.folder / "runtime"
        home.mkdir(exist_ok=True)
        runtime.mkdir(mode=0o700, exist_ok=True)
        node = str(Path(sys.executable).parent)  # where the wheel of Node.js puts it
        return {
            "PATH": f"{node}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(runtime),
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{ROOT / 'server'}{os.pathsep}{TESTS}",  # what is measured is this checkout
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "bench",
        }

    # --- programs ---------------------------------------------------------------------------------

    def ours(self) -> Server:
        """The server as an editor starts it."""
        return Server([QWEN_LS, "serve", "--stdio"], self._plain(), self.folder)

    def null_sink(self) -> Server:
        """The same, but no delta is told."""
        return Server([PYTHON, PROGRAMS / "null_sink.py", "serve"], self._plain(), self.folder)

    def stock(self, *arguments: str) -> Server:
        """A server on pygls as it comes."""
        return Server([PYTHON, PROGRAMS / "stock.py", *arguments], self.env(), self.folder)

    def hand(self) -> Server:
        """The floor."""
        return Server([PYTHON, PROGRAMS / "hand.py"], self.env(), self.folder)

    def direct(self) -> Child:
        """A resident httpx client."""
        return Child([PYTHON, PROGRAMS / "direct.py"], self.env(), self.folder)

    def script(self, name: str) -> float:
        """Seconds that a whole process takes for one question."""
        return self._said(run([PYTHON, PROGRAMS / name, "hi"], self.env(), self.workspace))

    def terminal(self) -> float:
        """The same of `qwen-ls chat`."""
        return self._said(run([QWEN_LS, "chat", "hi"], self.env(), self.workspace))

    def qwen(self) -> float:
        """The same of Qwen Code."""
        argv = [*self.qwen_code(), "--auth-type", "openai", "-p", "hi"]
        return self._said(run(argv, self.env(), self.workspace))

    def copilot(self) -> Server:
        """GitHub's language server on Node.js."""
        program = PEERS / "@github" / "copilot-language-server" / "dist" / "language-server.js"
        return Server([self._node(program), program, "--stdio"], self.env(), self.folder)

    def qwen_code(self) -> list[str | Path]:
        """How Qwen Code is started."""
        program = PEERS / "@qwen-code" / "qwen-code" / "cli.js"
        return [self._node(program), program]

    def qwen_acp(self) -> float:
        """Seconds from the start of Qwen Code as an editor's agent to its answer to `initialize`."""
        params = {"protocolVersion": 1, "clientCapabilities": {}}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        with Child([*self.qwen_code(), "--acp"], self.env(), self.workspace) as child:
            child.write(json.dumps(asked).encode() + b"\n")
            while b'"id":1' not in child.line():
                pass
            return child.elapsed()

    def _plain(self) -> dict[str, str]:
        """Without what the workspace's `.env` says."""
        return {k: v for k, v in self.env().items() if not k.startswith("OPENAI_")}

    def _said(self, done: tuple[float, bytes]) -> float:
        if b"word" not in done[1]:
            raise Stuck(f"an answer without a word: {done[1][:200]!r}")
        return done[0]

    def _node(self, program: Path) -> Path:
        node = Path(sys.executable).parent / "node"
        if not program.exists() or not node.exists():
            raise NotInstalled
        return node


class NotInstalled(Exception):  # noqa: N818 - a fact
    """A peer could not be installed."""


@contextmanager
def rigged(folder: Path) -> Iterator[Rig]:
    """Everything in place; nothing is left running."""
    compileall.compile_dir(ROOT / "server" / "qwen_ls", quiet=1)
    compileall.compile_dir(PROGRAMS, quiet=1)
    with ExitStack() as stack:
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        provider = stack.enter_context(Child([PYTHON, PROGRAMS / "provider.py"], env, folder))
        rig = Rig(folder, f"http://127.0.0.1:{int(provider.line())}/v1")
        rig.workspace.mkdir()
        lines = [f"OPENAI_BASE_URL={rig.base_url}", f"OPENAI_API_KEY={KEY}", "OPENAI_MODEL=bench"]
        (rig.workspace / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (rig.workspace / ".env").chmod(0o600)
        yield rig


def asking(**wanted: object) -> str:
    """The text that asks the provider for so many tokens."""
    return json.dumps(wanted)


def up(server: Server, rig: Rig) -> Server:
    """Through `initialize` and `initialized`, until nothing moves any more."""
    server.initialize(rig.workspace, CAPABILITIES)
    server.send("initialized", {})
    server.settled()
    return server


def chat(server: Server, rig: Rig, text: str, token: str) -> None:
    """Begin an answer whose deltas go to `token`."""
    argument = {"text": text, "uri": rig.workspace.as_uri(), "partialResultToken": token}
    server.begin(SEND, argument)


def kind_of(message: dict[str, Any], token: Sequence[str] | set[str]) -> str:
    """What a `$/progress` to one of these tokens is: delta, end; else empty."""
    if message.get("method") != PROGRESS or message["params"]["token"] not in token:
        return ""
    kind: str = message["params"]["value"]["kind"]
    return kind


def new_token() -> str:
    """A token that occurs once."""
    return f"token {next(_numbers)}"


def first_delta(server: Server, rig: Rig) -> float:
    """Seconds from sending a message to the first delta of its answer, which has one token."""
    token, came = new_token(), 0.0
    began = time.monotonic()
    chat(server, rig, asking(tokens=1), token)
    while True:
        for message in server.messages():
            kind = kind_of(message, {token})
            if kind == "delta":
                came = time.monotonic()
            elif kind == "end":
                return came - began
