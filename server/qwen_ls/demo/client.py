"""A small LSP client over the stdio of a child server: what an editor's side amounts to."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

DEADLINE = 60.0  # seconds for an answer
METHOD_NOT_FOUND = -32601


class Failed(Exception):  # noqa: N818 - one step of the walk
    """A step did not go as it should; the text is for people."""


class EditorSide:
    """The connection. `handlers` answer the server's requests, `listeners` take its notifications."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.handlers: dict[str, Callable[[Any], Any]] = {}
        self.listeners: dict[str, Callable[[Any], None]] = {}
        self._reading = asyncio.create_task(self._read())

    async def request(self, method: str, params: Any = None) -> Any:
        """Send a request and return its result. Raises Failed with the error's message."""
        id_ = len(self._waiting) + 1
        future = self._waiting[id_] = asyncio.get_running_loop().create_future()
        self._send({"id": id_, "method": method, "params": params})
        return await asyncio.wait_for(future, DEADLINE)

    async def command(self, name: str, **argument: Any) -> Any:
        """Run a command with one object as argument."""
        return await self.request("workspace/executeCommand", {"command": name, "arguments": [argument]})

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    async def end(self) -> None:
        """`shutdown` and `exit`."""
        await self.request("shutdown")
        self.notify("exit")
        await asyncio.wait_for(self._process.wait(), DEADLINE)

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        if self._process.stdin is not None:
            self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async def _read(self) -> None:
        stdout = self._process.stdout
        if stdout is None:
            return
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                header = await stdout.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in header.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                )
                self._take(json.loads(await stdout.readexactly(length)))
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Failed("the server has gone"))

    def _take(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method is None:
            future = self._waiting[message["id"]]
            if not future.done():
                if "error" in message:
                    future.set_exception(Failed(message["error"]["message"]))
                else:
                    future.set_result(message["result"])
        elif "id" in message:
            handler = self.handlers.get(method)
            refusal = {"error": {"code": METHOD_NOT_FOUND, "message": "not handled"}}
            self._send(
                {"id": message["id"], **({"result": handler(message["params"])} if handler else refusal)}
            )
        elif method in self.listeners:
            self.listeners[method](message["params"])

    async def aclose(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)


@contextlib.asynccontextmanager
async def editor(command: Sequence[str], env: Mapping[str, str], cwd: str) -> AsyncIterator[EditorSide]:
    """Start a server and be its editor."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=dict(env), cwd=cwd)
    side = EditorSide(process)
    try:
        yield side
    finally:
        await side.aclose()
