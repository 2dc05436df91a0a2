"""An HTTP server on loopback that says byte by byte what a test tells it to, and keeps what it got."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Answer = Callable[["Got"], bytes | AsyncIterator[bytes] | None]


@attrs.frozen
class Got:
    """A request as it came."""

    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        """The method."""
        return self.head.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        """The path, or what else stands in its place."""
        return self.head.split(b" ", 2)[1].decode()

    def header(self, name: str) -> str | None:
        """A header's value."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None


@attrs.define(eq=False)
class RawServer:
    """`answer` gives the bytes to send back; the connection is closed after them, None lets it hang.

    It may give them in pieces, each sent as it comes.
    """

    answer: Answer
    port: int = 0
    got: list[Got] = attrs.field(factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def everything(self) -> bytes:
        """Every byte of every request."""
        return b"\n".join(got.head + got.body for got in self.got)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            got = Got(head, b"")
            length = int(got.header("content-length") or 0)
            got = attrs.evolve(got, body=await reader.readexactly(length))
            self.got.append(got)
            data = self.answer(got)
            if data is None:
                await reader.read()
            elif isinstance(data, bytes):
                writer.write(data)
                await writer.drain()
            else:
                async for piece in data:
                    writer.write(piece)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def raw_server(answer: Answer) -> AsyncIterator[RawServer]:
    """A server on a free port."""
    raw = RawServer(answer)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(raw.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # though it ended before it began

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    raw.port = listener.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


def answer_of(body: bytes | str | dict[str, Any], status: int = 200, *headers: str) -> bytes:
    """A whole answer: JSON of an object, HTML of a text."""
    kind = "application/json" if isinstance(body, dict) else "text/html"
    if isinstance(body, dict):
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Told", f"Content-Type: {kind}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + data
