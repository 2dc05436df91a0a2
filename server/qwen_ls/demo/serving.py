"""How uvicorn is held, and how a request reaches its handler and the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import uvicorn
from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from qwen_ls.demo.exchange import Exchange, Reply
from qwen_ls.demo.faults import ROUTES, Fault, Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive, Scope, Send

    from qwen_ls.demo.requests import Entry, RequestLog

KEPT_HEADERS = ("accept", "content-type", "user-agent", "x-request-id", "http-referer", "x-title")
PATIENCE = 1.0  # seconds for the answers whose connections were closed to end
FORM_TYPE = "application/x-www-form-urlencoded"


class Protocol(H11Protocol):
    """Hands the transport to the application: a fault must be able to break it. Sends each write at once."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the transport into the state of every request that comes over it."""
        super().connection_made(transport)
        # asyncio does so only for sockets made with proto=IPPROTO_TCP: else a body waits 40 ms for its head.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app_state = {**self.app_state, "transport": transport}


class Server(uvicorn.Server):
    """A server that leaves signals alone, says when it is ready, and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready, self.stopping = asyncio.Event(), asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to whoever owns the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Serve until `stopping` is set, with no tick in between."""
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening and close every connection at once, whatever is being answered."""
        for listener in self.servers:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=PATIENCE)
        for sock in sockets or ():
            sock.close()


class Endpoint:
    """One route as an ASGI application: logs the request, then answers it with its faults."""

    def __init__(
        self,
        route: str,
        handle: Callable[[Entry], Reply],
        *,
        requests: RequestLog,
        faults: Faults,
        kind_of_credential: Callable[[str | None], str | None],
    ) -> None:
        self._route, self._handle = route, handle
        self._requests, self._faults, self._kind_of_credential = requests, faults, kind_of_credential

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        authorization = request.headers.get("authorization")
        entry = self._requests.add(
            route=self._route,
            method=request.method,
            path=request.url.path,
            query=dict(request.query_params),
            headers={name: request.headers[name] for name in KEPT_HEADERS if name in request.headers},
            authorization=authorization,
            credential=self._kind_of_credential(authorization),
            **_read_body(request.headers.get("content-type", ""), body),
        )
        asked = entry["json"].get("model") if isinstance(entry["json"], dict) else None
        fault = Fault()
        if self._route in ROUTES:
            fault = self._faults.take(self._route, entry["credential"], asked)
        transport = scope["state"]["transport"]
        exchange = Exchange(transport, receive, send, self._requests, entry)
        await exchange.answer(fault, lambda: self._handle(entry))


def _read_body(content_type: str, body: bytes) -> dict[str, Any]:
    """Return `form`, in which a name that came twice is left out (RFC 6749, section 3.2), and `json`."""
    read: dict[str, Any] = {"form": {}, "json": None}
    with contextlib.suppress(ValueError):
        if content_type.startswith(FORM_TYPE):
            fields = parse_qs(body.decode(), keep_blank_values=True)
            read["form"] = {name: values[0] for name, values in fields.items() if len(values) == 1}
        elif body:
            read["json"] = json.loads(body)
    return read
