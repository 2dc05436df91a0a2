"""One request and its answer on the wire, with everything that shall go wrong with it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from qwen_ls.demo.chat import DONE, Event, encode_event
from qwen_ls.demo.faults import BEFORE_HEADERS, LINE_ENDINGS, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive, Send

    from qwen_ls.demo.requests import Entry, RequestLog

JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"
STREAM_TYPE = "text/event-stream; charset=utf-8"
BROKEN_LINE = 'data: {"choices": [{"delta": {"content": "bro\n\n'
WEB_PAGE = b"<!doctype html><title>Welcome</title><p>Please accept the terms of this network to go on."
ABORT_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close() sends RST
GZIP_WINDOW = zlib.MAX_WBITS | 16


@attrs.frozen
class Reply:
    """What a route answers: a whole body, or the events of a stream."""

    status: int
    body: bytes | Iterator[Event]
    content_type: str = JSON_TYPE
    headers: dict[str, str] = attrs.field(factory=dict)
    pace: float = 0.0  # seconds between two tokens

    @classmethod
    def from_json(cls, data: Any, status: int = 200) -> Reply:
        """Answer with JSON that nobody may store (RFC 6749, section 5.1)."""
        return cls(status, json.dumps(data).encode(), headers={"cache-control": "no-store"})


def _replacement(fault: Fault) -> Reply:
    if fault.redirect is not None:
        status = fault.status or HTTPStatus.TEMPORARY_REDIRECT
        return Reply(status, b"", headers={"location": fault.redirect})
    if fault.html:
        return Reply(fault.status or HTTPStatus.OK, WEB_PAGE, HTML_TYPE)
    status = fault.status or HTTPStatus.OK
    if isinstance(fault.body, str):
        return Reply(status, fault.body.encode(), HTML_TYPE)
    default = {"error": {"message": f"Told to answer {status}.", "type": "demo_fault", "code": None}}
    return Reply.from_json(default if fault.body is None else fault.body, status)


class _EndOfStreamError(Exception):
    pass


class Exchange:
    """Answers one request, and notices at any moment that the client has closed its socket."""

    def __init__(
        self, transport: asyncio.Transport, receive: Receive, send: Send, log: RequestLog, entry: Entry
    ) -> None:
        self._transport, self._receive, self._send = transport, receive, send
        self._log, self._entry = log, entry
        self._gzip: Any = None
        self._fault = Fault()

    async def answer(self, fault: Fault, handle: Callable[[], Reply]) -> None:
        """Send what the route's handler returns, changed by a fault, unless the client goes first."""
        work = asyncio.ensure_future(self._answer(fault, handle))
        watch = asyncio.ensure_future(self._wait_for_close())
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and self._entry["cut_at"] is None:
                self._log.update(self._entry, closed_at=time.monotonic())
                self._log.write(self._entry)
        finally:
            work.cancel()
            watch.cancel()
            await asyncio.wait({work, watch})
        if not work.cancelled():
            work.result()

    async def _wait_for_close(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _answer(self, fault: Fault, handle: Callable[[], Reply]) -> None:
        self._fault = fault
        await asyncio.sleep(fault.delay)
        if fault.cut == BEFORE_HEADERS:
            await self._cut()
        reply = _replacement(fault) if fault.replaces_answer else handle()
        await self._start(reply)
        if isinstance(reply.body, bytes):
            await self._send_whole(self._spoilt(reply.body))
        else:
            await self._send_events(reply.body, reply.pace)
        if self._gzip is not None:
            await self._put(self._gzip.flush())
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        self._log.update(self._entry, completed_at=time.monotonic())

    async def _start(self, reply: Reply) -> None:
        spoilt = self._fault.bad_json is not None or self._fault.error_event is not None
        status = HTTPStatus.OK if spoilt else reply.status
        told = {name.lower(): value for name, value in self._fault.headers.items()}
        headers = {"content-type": reply.content_type} | reply.headers | told
        if self._fault.gzip:
            self._gzip = zlib.compressobj(wbits=GZIP_WINDOW)
            headers["content-encoding"] = "gzip"
        elif isinstance(reply.body, bytes):
            headers["content-length"] = str(len(self._spoilt(reply.body)))
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._log.update(self._entry, status=int(status))
        self._log.write(self._entry)
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    def _spoilt(self, body: bytes) -> bytes:
        if self._fault.error_event is not None:
            return json.dumps({"error": self._fault.error}).encode()
        return body[: len(body) // 2] if self._fault.bad_json is not None else body

    async def _send_whole(self, body: bytes) -> None:
        ends = [place for place in (self._fault.stall, self._fault.cut) if place is not None]
        if ends:
            await self._write(body[: min(ends)])
            await self._mishap(min(ends))
        await self._write(body)

    async def _send_events(self, events: Iterator[Event], pace: float) -> None:
        sent, checked, began = 0, -1, time.monotonic()
        try:
            for event in events:
                if sent > checked:
                    checked = sent
                    await self._mishap(sent)
                if self._fault.no_done and event.text == DONE:
                    continue
                if event.is_token:
                    # Waits even for no time at all, or a fast stream would hide that its reader left.
                    # A token that is late makes none of the next ones late: the pace holds on the whole.
                    await asyncio.sleep(max(0.0, began + sent * pace - time.monotonic()))
                    sent += 1
                    self._log.update(self._entry, tokens=sent)
                await self._write_event(event.text)
        except _EndOfStreamError:
            return

    async def _mishap(self, place: int) -> None:
        fault = self._fault
        if place == 0 and fault.huge_line:
            delta = {"content": "x" * fault.huge_line}
            await self._write_event(encode_event({"choices": [{"index": 0, "delta": delta}]}))
        if fault.stall == place:
            await self._stall()
        if fault.cut == place:
            await self._cut()
        if fault.bad_json == place:
            await self._write_event(BROKEN_LINE)
        if fault.error_event == place:
            await self._write_event(encode_event({"error": fault.error}))
            raise _EndOfStreamError

    async def _stall(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._fault.keep_alive or 3600)
            if self._fault.keep_alive:
                await self._write_event(": keep-alive\n\n")

    async def _cut(self) -> NoReturn:
        self._log.update(self._entry, cut_at=time.monotonic())
        if self._entry["status"] is None:
            self._log.write(self._entry)
        if self._fault.cut_cleanly:
            self._transport.close()
        else:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT_ON_CLOSE)
            self._transport.abort()
        await asyncio.Event().wait()  # the watch over the socket ends this
        raise AssertionError("nobody sets that event")

    async def _write_event(self, text: str) -> None:
        ending = LINE_ENDINGS[self._fault.line_ending]
        await self._write(text.replace("\n", ending).encode())

    async def _write(self, data: bytes) -> None:
        if self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._put(data)

    async def _put(self, data: bytes) -> None:
        pieces = (data[i : i + 1] for i in range(len(data))) if self._fault.split_utf8 else (data,)
        for piece in pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            if self._fault.split_utf8:
                await asyncio.sleep(0)  # other connections have their turn
