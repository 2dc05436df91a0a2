"""An OpenAI-compatible provider that is never the slow one: `provider.py`; its port is its first line.

How it answers, the last message says: `{"tokens": 50, "interval": 0.02, "stamped": true}` is so many tokens,
one every so many seconds (0: all at once), each the time it was sent at or one word. Any other text is
answered with one word.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import time
from typing import Any

WORD = "word "
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
MODELS = json.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]}).encode()


def chunk(body: bytes) -> bytes:
    """One chunk of an HTTP body."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def event(text: str, finish: str = "null") -> bytes:
    """One token, in a chunk of its own, as providers send it."""
    return chunk(
        b'data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":'
        b'[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]}\n\n' % (text.encode(), finish.encode())
    )


END = event("", '"stop"') + chunk(b"data: [DONE]\n\n") + chunk(b"")


@functools.lru_cache
def burst(tokens: int) -> bytes:
    """An answer that is sent all at once."""
    return HEAD + event(WORD) * tokens + END


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: Any) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request once it is there."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        lines = bytes(head).lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self._received.clear()
        if head.startswith(b"GET"):
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(MODELS), MODELS)
            )
        else:
            self._answer(json.loads(body[:length])["messages"][-1]["content"])

    def _answer(self, text: Any) -> None:
        try:
            wanted = json.loads(text)
        except (TypeError, ValueError):
            wanted = None
        if not isinstance(wanted, dict):
            wanted = {"tokens": 1}
        if not wanted.get("interval"):
            self._transport.write(burst(wanted["tokens"]))
            return
        self._transport.write(HEAD)
        self._token(wanted["tokens"], wanted["interval"], time.monotonic(), stamped=wanted.get("stamped"))

    def _token(self, left: int, interval: float, at: float, *, stamped: object) -> None:
        if self._transport.is_closing():
            return
        if not left:
            self._transport.write(END)
            return
        self._transport.write(event(f"{time.monotonic():.6f} " if stamped else WORD))
        again = functools.partial(self._token, left - 1, interval, at + interval, stamped=stamped)
        asyncio.get_running_loop().call_at(at + interval, again)


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
