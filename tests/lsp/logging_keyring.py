"""A keyring for servers under test: a file for its entries, and a line in another for each that is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend

FOLDER = "LOGGING_KEYRING"  # the variable that names the folder of both files


class Backend(KeyringBackend):
    """PYTHON_KEYRING_BACKEND=lsp.logging_keyring.Backend chooses it."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the library has no types for it
        self._entries = Path(os.environ[FOLDER]) / "entries.json"
        self._reads = Path(os.environ[FOLDER]) / "reads.txt"

    def get_password(self, service: str, username: str) -> str | None:
        """Look it up, and say so."""
        with self._reads.open("a", encoding="utf-8") as file:
            file.write(f"{service} {username}\n")
        return self._load().get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        assert service
        self._entries.write_text(json.dumps({**self._load(), username: password}), encoding="utf-8")

    def _load(self) -> dict[str, str]:
        return dict(json.loads(self._entries.read_bytes())) if self._entries.exists() else {}
