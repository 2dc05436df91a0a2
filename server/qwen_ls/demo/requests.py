"""The log of requests: what came, how it was answered, and when the client closed its socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

Entry = dict[str, Any]  # a JSON object: id, changed, time, route, method, path, ... (RequestLog.add)
SECRET_FIELDS = frozenset({"device_code", "code", "code_verifier", "refresh_token"})
SHOWN = 4  # characters of a secret that stay readable
LONG_ENOUGH = 12  # characters a secret must have for any of them to be shown


def _redact(secret: str) -> str:
    return "…" + (secret[-SHOWN:] if len(secret) >= LONG_ENOUGH else "")


def redacted(entry: Entry) -> Entry:
    """Return a copy of an entry with its credentials reduced to their kind and last characters."""
    copy = {**entry, "form": dict(entry["form"])}
    told = [copy["form"]]
    if isinstance(entry["json"], dict):
        copy["json"] = dict(entry["json"])
        told.append(copy["json"])
    if entry["authorization"] is not None:
        copy["authorization"] = f"{entry['credential'] or 'unknown'} {_redact(entry['authorization'])}"
    for fields in told:
        for name in SECRET_FIELDS & fields.keys():
            fields[name] = _redact(str(fields[name]))
    return copy


class RequestLog:
    """All requests since the start; `version` grows with every change, and each entry has its latest one."""

    def __init__(self, file: str | None = None, *, with_secrets: bool = False) -> None:
        self.entries: list[Entry] = []
        self.version = 0
        self._with_secrets = with_secrets
        self._changed = asyncio.Event()
        self._ended = False
        self._file: TextIO | None = None
        if file is not None:
            self._file = sys.stdout if file == "-" else Path(file).open("a", encoding="utf-8")  # noqa: SIM115

    def add(self, **fields: Any) -> Entry:
        """Begin an entry; `status`, `tokens`, `completed_at`, `closed_at` and `cut_at` come later."""
        entry: Entry = {
            "id": len(self.entries),
            "time": time.monotonic(),
            **fields,
            "status": None,
            "tokens": 0,
            "completed_at": None,
            "closed_at": None,  # the client closed its socket before the answer was whole
            "cut_at": None,
        }
        self.entries.append(entry)
        self.update(entry)
        return entry

    def update(self, entry: Entry, **changes: Any) -> None:
        """Change an entry, which becomes the latest."""
        self.version += 1
        entry.update(changes, changed=self.version)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def end_waits(self) -> None:
        """Let nobody wait any longer: the provider stops."""
        self._ended = True
        self._changed.set()

    def write(self, entry: Entry) -> None:
        """Write an entry as it stands to the file, if there is one, as one line of JSON."""
        if self._file is not None:
            shown = entry if self._with_secrets else redacted(entry)
            self._file.write(json.dumps(shown, ensure_ascii=False) + "\n")
            self._file.flush()

    def since(self, version: int) -> list[Entry]:
        """Return the entries that are new or have changed after a version."""
        return [entry for entry in self.entries if entry["changed"] > version]

    async def wait_for_change(self, version: int, timeout: float) -> None:
        """Return as soon as anything has changed after a version, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self.version <= version and not self._ended and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    async def wait_for(self, predicate: Callable[[Entry], object], timeout: float) -> Entry:
        """Return the first entry for which a predicate holds; raises TimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            version = self.version
            for entry in self.entries:
                if predicate(entry):
                    return entry
            left = deadline - time.monotonic()
            if left <= 0 or self._ended:
                seen = [(entry["route"], entry["status"]) for entry in self.entries]
                raise TimeoutError(f"no such request within {timeout} s; there were {seen}")
            await self.wait_for_change(version, left)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None and self._file is not sys.stdout:
            self._file.close()
