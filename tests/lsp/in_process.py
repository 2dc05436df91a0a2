"""A server in this process, real but for its pipes, where a test can see what it costs and what it keeps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from qwen_ls.__main__ import compose
from qwen_ls.adapters.handover import Handover
from qwen_ls.lsp.frames import Frames
from qwen_ls.lsp.server import Server, add_features
from wire import CAPABILITIES, environment, result_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

EXECUTE = "workspace/executeCommand"
PATIENCE = 20.0  # seconds for an answer


class Pipe:
    """The connection; replies are kept until they are looked at."""

    def __init__(self) -> None:
        self.writer = self
        self.replies: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        self._frames = Frames()

    def write(self, data: bytes) -> None:
        """Take frames."""
        messages: list[Any] = self._frames.feed(data)
        self.replies += [message for message in messages if "method" not in message]
        self.changed.set()

    def close(self) -> None:
        """Nothing."""

    def watch(self, _pid: object) -> bool:
        """Watch nobody."""
        return False


class InProcess:
    """The server, and its client's end."""

    def __init__(self, root: Path) -> None:
        stdio: Any = Pipe()
        self.pipe: Pipe = stdio
        self.server = Server(stdio, compose, Handover(lambda: root / "state"))
        add_features(self.server)
        self._sent = self._answered = 0  # requests; their ids are counted from 1

    def begin(self, method: str, params: Any) -> int:
        """Send a request; its id."""
        self._sent += 1
        self.server.protocol.receive({"jsonrpc": "2.0", "id": self._sent, "method": method, "params": params})
        return self._sent

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        self.server.protocol.receive({"jsonrpc": "2.0", "method": method, "params": params})

    async def all_answered(self) -> dict[int, dict[str, Any]]:
        """Wait until every request so far has been answered, each once; the new replies by id."""
        while len(self.pipe.replies) < self._sent - self._answered:
            self.pipe.changed.clear()
            await asyncio.wait_for(self.pipe.changed.wait(), PATIENCE)
        replies = {reply["id"]: reply for reply in self.pipe.replies}
        assert sorted(r["id"] for r in self.pipe.replies) == list(range(self._answered + 1, self._sent + 1))
        self.pipe.replies.clear()
        self._answered = self._sent
        return replies

    async def request(self, method: str, params: Any) -> Any:
        """Send a request and wait for its answer; the result. Raises RpcError."""
        id_ = self.begin(method, params)
        return result_of((await self.all_answered())[id_])

    async def command(self, name: str, **argument: Any) -> Any:
        """Run a command with one object as argument."""
        return await self.request(EXECUTE, {"command": name, "arguments": [argument]})

    async def at_rest(self) -> None:
        """Wait until nothing runs in the background: all is loaded, every status is told."""
        while tasks := self.server.session._tasks:
            done, _ = await asyncio.wait(tasks, timeout=PATIENCE)
            assert done


@contextlib.asynccontextmanager
async def in_process(
    root: Path, monkeypatch: pytest.MonkeyPatch, *folders: str, **variables: str
) -> AsyncIterator[InProcess]:
    """A server whose home lies below `root`, initialized with folders by their URIs."""
    for name, value in environment(root / "home", **variables).items():
        monkeypatch.setenv(name, value)
    here = InProcess(root)
    named = [{"uri": folder, "name": "folder"} for folder in folders]
    params = {"processId": None, "capabilities": CAPABILITIES, "rootUri": None, "workspaceFolders": named}
    await here.request("initialize", params)
    here.notify("initialized", {})
    try:
        yield here
    finally:
        await here.server.aclose()
