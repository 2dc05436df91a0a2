"""A token endpoint that rotates refresh tokens and revokes the family on reuse (RFC 9700 section 4.14.2).

Raw and quick, since the processes that race for it are what is measured.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QWEN_CODE = "QwenCode"


@attrs.define
class Authority:
    """One sign-in's family of tokens. `rotations` and `reuses` count by who asked."""

    lifetime: float  # seconds
    base_url: str = ""
    current: str = attrs.field(factory=lambda: secrets.token_hex(16))
    is_revoked: bool = False
    rotations: Counter[str] = attrs.field(factory=Counter)
    reuses: Counter[str] = attrs.field(factory=Counter)

    def grant(self) -> dict[str, object]:
        """A new pair of tokens, the only one that is good from now on."""
        self.current = secrets.token_hex(16)
        return {
            "access_token": secrets.token_hex(16),
            "refresh_token": self.current,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
        }

    def cache(self) -> dict[str, object]:
        """A new pair as `oauth_creds.json` holds it."""
        fields = self.grant()
        fields["expiry_date"] = round((time.time() + self.lifetime) * 1000)
        del fields["expires_in"]
        return fields

    def redeem(self, refresh_token: str, who: str) -> tuple[int, dict[str, object]]:
        """Status and fields of the answer to one refresh."""
        if refresh_token != self.current:
            self.is_revoked = True
            self.reuses[who] += 1
        if self.is_revoked:
            return 400, {"error": "invalid_grant"}
        self.rotations[who] += 1
        return 200, self.grant()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive."""
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                _, _, rest = head.partition("content-length:")
                form = parse_qs((await reader.readexactly(int(rest.split("\r\n")[0]))).decode())
                who = QWEN_CODE if "qwencode" in head else "ours"
                status, fields = self.redeem(form["refresh_token"][0], who)
                body = json.dumps(fields).encode()
                head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
                writer.write(head.encode() + b"\r\n\r\n" + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other end has gone
        finally:
            writer.close()


@asynccontextmanager
async def running_authority(lifetime: float) -> AsyncIterator[Authority]:
    """Serve on a port of loopback; access tokens live `lifetime` seconds."""
    authority = Authority(lifetime)
    server = await asyncio.start_server(authority.serve, "127.0.0.1", 0)
    authority.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield authority
    finally:
        server.close()
