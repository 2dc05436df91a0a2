"""Starts device_server.py as a child process, and lets a test act as its user and read its log."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_DEADLINE, STOP_DEADLINE, LOG_TIMEOUT = 30.0, 5.0, 25.0  # seconds
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@attrs.frozen
class IdentityProvider:
    """A running server; `base_url` is what QWEN_LS_OAUTH_BASE_URL takes."""

    base_url: str

    @property
    def device_authorization_endpoint(self) -> str:
        """Where a sign-in starts (RFC 8628 section 3.1)."""
        return f"{self.base_url}/api/v1/oauth2/device/code"

    @property
    def token_endpoint(self) -> str:
        """Where it is polled for and refreshed (RFC 8628 section 3.4, RFC 6749 section 6)."""
        return f"{self.base_url}/api/v1/oauth2/token"

    def decide(self, user_code: str, decision: str = "approve") -> None:
        """Press the button `approve` or `deny` on the page that the browser would show."""
        form = {"user_code": user_code, "decision": decision}
        httpx.post(f"{self.base_url}/authorize", data=form).raise_for_status()

    def log(self, grant_type: str | None = None) -> list[dict[str, Any]]:
        """Return what it was asked, all or one grant's, in order: {path, grant_type, status, error, at}."""
        entries: list[dict[str, Any]] = httpx.get(f"{self.base_url}/log").raise_for_status().json()
        return [entry for entry in entries if grant_type in (None, entry["grant_type"])]

    def until(self, error: str) -> None:
        """Wait until it has answered something with this error; it gives up after 20 s."""
        reply = httpx.get(f"{self.base_url}/log", params={"error": error}, timeout=LOG_TIMEOUT)
        errors = [entry["error"] for entry in reply.raise_for_status().json()]
        assert error in errors, f"no {error} among {errors}"


@contextmanager
def running_identity_provider(
    resource_url: str, *, access_tokens: Sequence[str] = (), **options: float | str
) -> Iterator[IdentityProvider]:
    """Run the server; `options` are its own: expires_in, device_expires_in, interval, enforced_interval.

    Raises RuntimeError with its error output if it does not come up.
    """
    command = [sys.executable, str(Path(__file__).with_name("device_server.py"))]
    command += [f"--resource-url={resource_url}", *(f"--access-token={token}" for token in access_tokens)]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], START_DEADLINE)
            line = process.stdout.readline() if ready else ""
            if not line:
                process.kill()
                raise RuntimeError(f"device_server.py did not come up:\n{process.communicate()[1]}")
            yield IdentityProvider(base_url=f"http://127.0.0.1:{json.loads(line)['port']}")
        finally:
            process.kill()  # it holds nothing that outlives it
            process.communicate(timeout=STOP_DEADLINE)
