"""The floor: a server by hand, with nothing but the standard library's loop, that answers each request."""

from __future__ import annotations

import asyncio
import json
import os
import sys


class Input(asyncio.Protocol):
    """What comes in."""

    def __init__(self) -> None:
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer each request."""
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.rpartition(b":")[2])
            if len(rest) < length:
                return
            message = json.loads(rest[:length])
            self._data = rest[length:]
            if message.get("method") == "exit":
                os._exit(0)
            if "id" in message:
                body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": None}).encode()
                os.write(1, b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def connection_lost(self, _: Exception | None) -> None:
        """Leave."""
        os._exit(0)


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(Input, sys.stdin)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
