"""A transparent TCP relay that sees when the client hangs up, and can slow or hold what it passes on.

It stands between the product and a real server, which does not say when its socket was closed. It knows
nothing of HTTP: bytes go both ways unchanged.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE = 4096  # bytes read at once, and about what waits in the relay: the peer feels what is held
SLICES_PER_SECOND = 50  # of a paced stream


@attrs.define(eq=False)
class Connection:
    """One connection of a client: `client_closed_at` is on the clock of time.monotonic()."""

    opened_at: float = attrs.field(factory=time.monotonic)
    client_closed_at: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    client_closed: asyncio.Event = attrs.field(factory=asyncio.Event)


@attrs.define(eq=False)
class Relay:
    """A running relay. `connections` are in the order they came; a client may use one for many requests.

    `max_bytes_per_second` paces what goes to each client, from now on; None is full speed.
    """

    port: int = 0
    max_bytes_per_second: int | None = None
    connections: list[Connection] = attrs.field(factory=list)
    _passes: int | None = None  # bytes still let through before the hold; None: no hold
    _released: asyncio.Event = attrs.field(factory=asyncio.Event)
    _stalled: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`, to be used in place of the real server's."""
        return f"http://127.0.0.1:{self.port}"

    def hold(self, after: int = 0) -> None:
        """Let `after` more bytes go to clients, then none: 0 holds back even the response's headers."""
        self._passes = after
        self._released.clear()
        self._stalled.clear()

    def release(self) -> None:
        """Let everything go on."""
        self._passes = None
        self._released.set()

    async def stalled(self, *, deadline: float = 10) -> None:
        """Wait until the server has sent something that is being held back; TimeoutError after `deadline`."""
        await asyncio.wait_for(self._stalled.wait(), deadline)

    async def client_closed(self, index: int = -1, *, deadline: float = 10) -> float:
        """Wait until the client has closed that connection; return when (time.monotonic)."""
        connection = self.connections[index]
        await asyncio.wait_for(connection.client_closed.wait(), deadline)
        assert connection.client_closed_at is not None
        return connection.client_closed_at

    async def allowance(self, wanted: int) -> int:
        """Return how many of `wanted` bytes may go to a client now, at least 1, once any may."""
        if self.max_bytes_per_second is not None:
            wanted = min(wanted, max(1, self.max_bytes_per_second // SLICES_PER_SECOND))
            await asyncio.sleep(wanted / self.max_bytes_per_second)
        while self._passes == 0:
            self._stalled.set()
            await self._released.wait()
        if self._passes is not None:
            wanted = min(wanted, self._passes)
            self._passes -= wanted
        return wanted


@asynccontextmanager
async def running_relay(target: str, *, max_bytes_per_second: int | None = None) -> AsyncIterator[Relay]:
    """Relay a free loopback port to the host and port of the URL `target`."""
    url = urlsplit(target)
    relay = Relay(max_bytes_per_second=max_bytes_per_second)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        connection = Connection()
        relay.connections.append(connection)
        try:
            upstream = await asyncio.open_connection(url.hostname, url.port, limit=PIECE)
        except OSError:
            writer.close()
            return
        try:
            await _pass_both_ways(relay, connection, (reader, writer), upstream)
        except asyncio.CancelledError:
            pass  # the relay ends; the streams of Python 3.10 would report it as an error
        finally:
            upstream[1].close()
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=PIECE)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pass_both_ways(relay: Relay, connection: Connection, client: Streams, upstream: Streams) -> None:
    """Pass bytes until either side closes, so that the other's close follows at once."""
    for _, writer in (client, upstream):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    up = asyncio.create_task(_pass_up(connection, client[0], upstream[1]))
    down = asyncio.create_task(_pass_down(relay, connection, upstream[0], client[1]))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _pass_up(
    connection: Connection, client: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Pass what the client sends, and note when it has closed, by FIN or by RST."""
    with suppress(ConnectionError):
        while data := await client.read(PIECE):
            connection.bytes_up += len(data)
            writer.write(data)
    connection.client_closed_at = time.monotonic()
    connection.client_closed.set()


async def _pass_down(
    relay: Relay, connection: Connection, server: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Pass what the server sends, as fast and as far as the relay allows."""
    with suppress(ConnectionError):
        while data := await server.read(PIECE):
            while data:
                count = await relay.allowance(len(data))
                writer.write(data[:count])
                connection.bytes_down += count
                data = data[count:]
                await writer.drain()
