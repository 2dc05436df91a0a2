"""A raw LSP client for tests: real bytes over the stdio of a real server process, every one of them kept.

`server(...)` starts `python -m qwen_ls serve` in an environment of its own: an empty HOME and nothing of
the machine's variables. The client answers the server's requests by `on(...)`; a method without a handler
is answered -32601, as editors do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

SOURCES = Path(__file__).parent.parent / "server"
DEADLINE = 45.0  # seconds; nothing in a test takes that long unless it hangs
HEADER = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
METHOD_NOT_FOUND = -32601


class RpcError(Exception):
    """An error reply."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: dict[str, Any] = error.get("data") or {}

    @property
    def kind(self) -> str | None:
        """`data.kind`."""
        return self.data.get("kind")


def environment(home: Path, **extra: str) -> dict[str, str]:
    """The variables of a server under test: nothing of this machine's but PATH."""
    home.mkdir(parents=True, exist_ok=True)
    base = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(SOURCES), "LANG": "C.UTF-8"}
    return {**base, **extra}


def uri(path: Path) -> str:
    """A `file:` URI."""
    return path.as_uri()


class Client:
    """One connection to one server process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.stdout = bytearray()  # every byte the server sent
        self.stderr = bytearray()
        self.sent = bytearray()  # every byte it was sent
        self.notifications: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []  # the server's requests
        self.replies: dict[Any, int] = {}  # how often each id was answered
        self._waiting: dict[Any, asyncio.Future[dict[str, Any]]] = {}
        self._handlers: dict[str, Callable[[Any], Any]] = {}
        self._changed = asyncio.Condition()
        self._ids = 0
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._read_stderr())]

    # --- out --------------------------------------------------------------------------------------

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are."""
        assert self.process.stdin is not None
        self.sent += data
        self.process.stdin.write(data)

    def send(self, message: Mapping[str, Any]) -> None:
        """One message in a frame."""
        body = json.dumps(message).encode()
        self.send_raw(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def notify(self, method: str, params: Any = None) -> None:
        """A notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def begin(self, method: str, params: Any = None) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        """Send a request; its id, and a future of the whole reply."""
        self._ids += 1
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[self._ids] = future
        self.send({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        return self._ids, future

    async def request(self, method: str, params: Any = None, deadline: float = DEADLINE) -> Any:
        """Send a request and return its result; raises RpcError."""
        return result_of(await asyncio.wait_for(self.begin(method, params)[1], deadline))

    async def command(self, name: str, deadline: float = DEADLINE, /, **argument: Any) -> Any:
        """Run a command with one object as argument."""
        return await self.request(
            "workspace/executeCommand", {"command": name, "arguments": [argument]}, deadline
        )

    def cancel(self, id_: Any) -> None:
        """`$/cancelRequest`."""
        self.notify("$/cancelRequest", {"id": id_})

    # --- in ---------------------------------------------------------------------------------------

    def on(self, method: str, handler: Callable[[Any], Any]) -> None:
        """Answer the server's requests of a method: `handler(params)` gives the result.

        It may be a coroutine function; raising RpcError makes an error reply, `NEVER` no reply at all.
        """
        self._handlers[method] = handler

    async def until(self, condition: Callable[[], Any], deadline: float = DEADLINE) -> Any:
        """Wait until `condition()` is true, looked at after each message; return its value."""
        async with self._changed:

            async def wait() -> Any:
                while not (found := condition()):
                    await self._changed.wait()
                return found

            return await asyncio.wait_for(wait(), deadline)

    async def notified(
        self, method: str, matches: Callable[[Any], Any] = lambda _: True, deadline: float = DEADLINE
    ) -> Any:
        """The params of the first notification of a method that matches, waited for if need be."""

        def find() -> dict[str, Any] | None:
            return next(
                (n for n in self.notifications if n["method"] == method and matches(n["params"])), None
            )

        return (await self.until(find, deadline))["params"]

    def progress(self, token: Any) -> list[dict[str, Any]]:
        """The values of `$/progress` to a token so far."""
        return [
            n["params"]["value"]
            for n in self.notifications
            if n["method"] == "$/progress" and n["params"]["token"] == token
        ]

    async def _read(self) -> None:
        assert self.process.stdout is not None
        buffer = bytearray()
        while piece := await self.process.stdout.read(65536):
            self.stdout += piece
            buffer += piece
            while (message := take_frame(buffer)) is not None:
                await self._take(message)
        async with self._changed:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("the server has gone"))
                    future.exception()
            self._changed.notify_all()

    async def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self.replies[message["id"]] = self.replies.get(message["id"], 0) + 1
            future = self._waiting.pop(message["id"], None)
            if future is not None and not future.done():
                future.set_result(message)
        elif "id" in message:
            self.asked.append(message)
            self._tasks.append(asyncio.create_task(self._answer(message)))
        else:
            self.notifications.append(message)
        async with self._changed:
            self._changed.notify_all()

    async def _answer(self, message: dict[str, Any]) -> None:
        handler = self._handlers.get(message["method"])
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if handler is None:
            reply["error"] = {"code": METHOD_NOT_FOUND, "message": "method not found"}
        else:
            try:
                result = handler(message["params"])
                reply["result"] = await result if asyncio.iscoroutine(result) else result
            except RpcError as error:
                reply["error"] = {"code": error.code, "message": error.message}
        if reply.get("result") is not NEVER:
            self.send(reply)
        async with self._changed:  # what the handler has done may be what somebody waits for
            self._changed.notify_all()

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while piece := await self.process.stderr.read(65536):
            self.stderr += piece

    # --- begin and end ----------------------------------------------------------------------------

    async def initialize(
        self,
        *folders: Path,
        capabilities: Mapping[str, Any] | None = None,
        options: Any = None,
        initialized: bool = True,
        **more: Any,
    ) -> Any:
        """`initialize` with workspace folders, then `initialized`."""
        named = [{"uri": uri(f), "name": f.name} for f in folders]
        params = {
            "processId": os.getpid(),
            "clientInfo": {"name": "tests", "version": "1"},
            "rootUri": uri(folders[0]) if folders else None,
            "workspaceFolders": named or None,
            "capabilities": capabilities if capabilities is not None else CAPABILITIES,
            "initializationOptions": options,
            **more,
        }
        result = await self.request("initialize", params)
        if initialized:
            self.notify("initialized", {})
        return result

    async def end(self) -> int:
        """`shutdown`, `exit`; the exit code."""
        await self.request("shutdown")
        self.notify("exit")
        return await asyncio.wait_for(self.process.wait(), DEADLINE)

    async def close(self) -> None:
        """Make sure that nothing is left of it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        for task in self._tasks[:2]:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(task, DEADLINE)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.process.stdin is not None:
            self.process.stdin.close()
        transport = getattr(self.process, "_transport", None)
        if transport is not None:
            transport.close()


NEVER = object()
CAPABILITIES: dict[str, Any] = {
    "window": {"workDoneProgress": True, "showDocument": {"support": True}, "showMessage": {}},
    "workspace": {"workspaceFolders": True, "applyEdit": True},
}


def take_frame(buffer: bytearray) -> dict[str, Any] | None:
    """Cut one whole frame off the front of `buffer` and decode it."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    header = HEADER.search(buffer, 0, end)
    assert header is not None, bytes(buffer[:end])
    length = int(header[1])
    if len(buffer) < end + 4 + length:
        return None
    body = bytes(buffer[end + 4 : end + 4 + length])
    del buffer[: end + 4 + length]
    message: dict[str, Any] = json.loads(body)
    return message


def result_of(reply: Mapping[str, Any]) -> Any:
    """A reply's result; raises RpcError."""
    if "error" in reply:
        raise RpcError(reply["error"])
    return reply["result"]


@contextlib.asynccontextmanager
async def server(
    env: Mapping[str, str], cwd: Path | None = None, arguments: Sequence[str] = ("serve",)
) -> AsyncIterator[Client]:
    """A server process and a client connected to it; the process is gone at the end, whatever happened."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "qwen_ls",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(env),
        cwd=cwd,
        limit=64 * 1024 * 1024,
    )
    client = Client(process)
    try:
        yield client
    finally:
        await client.close()
