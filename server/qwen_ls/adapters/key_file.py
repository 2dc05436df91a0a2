"""Keys in a plain file, 0600: only for users who set `allowPlaintextKeys` where there is no keyring."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.adapters.files import (
    file_lock,
    in_thread,
    make_private_folder,
    read_object,
    replace_private,
    set_aside,
    sweep,
)

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1024 * 1024
LOCK_WAIT = 5.0  # seconds


@attrs.define
class PlainKeyFile:
    """`keys.json`: {NAME: VALUE}."""

    path: Path

    async def read(self, name: str) -> str | None:
        """One value."""
        value = (await in_thread(self._load)).get(name)
        return value if isinstance(value, str) else None

    async def write(self, name: str, value: str) -> None:
        """Put a value in. Raises OSError."""
        await in_thread(partial(self._change, name, value))

    async def remove(self, name: str) -> None:
        """Take a value out. Raises OSError."""
        await in_thread(partial(self._change, name, None))

    def _load(self) -> dict[str, Any]:
        sweep(self.path)
        try:
            return read_object(self.path, MAX_BYTES) or {}
        except OSError:
            return {}

    def _change(self, name: str, value: str | None) -> None:
        make_private_folder(self.path.parent)
        with file_lock(self.path.with_suffix(".lock"), timeout=LOCK_WAIT):
            fields = read_object(self.path, MAX_BYTES)  # what cannot be read is not replaced
            if fields is None:
                set_aside(self.path)
                fields = {}
            fields.pop(name, None)
            if value is not None:
                fields[name] = value
            replace_private(self.path, json.dumps(fields, indent=2).encode() + b"\n")
