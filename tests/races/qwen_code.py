"""`qwen_code.py FOLDER BASE_URL SECONDS MARGIN`: refreshes the cache of FOLDER as Qwen Code does.

Its lock file holds a uuid and is created exclusively; one older than 35 s is renamed away; else it waits
100 ms, half as long again each time, 2 s at most, 20 times. The cache is read again under the lock.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

STALE_AFTER = 35.0  # seconds
ATTEMPTS = 20


class QwenCode:
    """One client of the shared cache. `margin` is how many seconds ahead of expiry it refreshes."""

    def __init__(self, folder: Path, base_url: str, margin: float) -> None:
        self.cache, self.lock = folder / "oauth_creds.json", folder / "oauth_creds.lock"
        self.endpoint, self.margin = urlsplit(base_url).netloc, margin
        self.refreshed = 0

    def read(self) -> dict[str, Any]:
        """The cache's fields."""
        fields: dict[str, Any] = json.loads(self.cache.read_bytes())
        return fields

    def is_valid(self, fields: dict[str, Any]) -> bool:
        """Whether the token has more than the margin left."""
        return bool(time.time() * 1000 < fields["expiry_date"] - self.margin * 1000)

    def take_lock(self) -> None:
        """Create the lock file."""
        pause = 0.1
        for _ in range(ATTEMPTS):
            try:
                descriptor = os.open(self.lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                if not self.break_stale():
                    time.sleep(pause)
                    pause = min(pause * 1.5, 2)
                continue
            os.write(descriptor, str(uuid.uuid4()).encode())
            os.close(descriptor)
            return
        raise TimeoutError("Failed to acquire file lock for token refresh: timeout exceeded")

    def break_stale(self) -> bool:
        """Rename an old lock away; whether to try again at once."""
        try:
            if time.time() - self.lock.stat().st_mtime <= STALE_AFTER:
                return False
            gone = self.lock.with_name(f"{self.lock.name}.stale.{uuid.uuid4()}")
            self.lock.rename(gone)
            gone.unlink()
        except FileNotFoundError:
            pass
        return True

    def refresh(self) -> None:
        """Under the lock: use what somebody else wrote, else ask for a new token and write it."""
        self.take_lock()
        try:
            fields = self.read()
            if self.is_valid(fields):
                return
            form = {"grant_type": "refresh_token", "refresh_token": fields["refresh_token"], "client_id": "x"}
            headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "QwenCode/0.24.4"}
            connection = http.client.HTTPConnection(self.endpoint, timeout=30)
            connection.request("POST", "/api/v1/oauth2/token", urlencode(form), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            connection.close()
            if response.status != http.client.OK:
                raise PermissionError(answer["error"])
            answer["expiry_date"] = round((time.time() + answer.pop("expires_in")) * 1000)
            temporary = self.cache.with_name(f"{self.cache.name}.tmp.{os.getpid()}.{uuid.uuid4()}")
            temporary.write_text(json.dumps(answer, indent=2))
            temporary.replace(self.cache)
            self.refreshed += 1
        finally:
            self.lock.unlink(missing_ok=True)


def main() -> None:
    """Look every 20 ms; print a line of JSON at the end."""
    client = QwenCode(Path(sys.argv[1]), sys.argv[2], float(sys.argv[4]))
    problems: list[str] = []
    sys.stdin.read()
    end = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < end and not problems:
        try:
            if not client.is_valid(client.read()):
                client.refresh()
        except (OSError, ValueError, KeyError) as problem:
            problems.append(f"{type(problem).__name__}: {problem}")
        time.sleep(0.02)
    print(json.dumps({"refreshed": client.refreshed, "problems": problems}))  # noqa: T201 - its report


if __name__ == "__main__":
    main()
