"""Qwen Code's `settings.json`, read only, by stat before each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.adapters.files import glance, read_regular
from qwen_ls.core.qwen_settings import MAX_BYTES, QwenKey, read_qwen_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from pathlib import Path


@attrs.define
class QwenSettings:
    """The user's settings file; its `$VARIABLES` come from the environment at start."""

    file: Path
    environment: Mapping[str, str] = attrs.field(repr=False)
    _seen: tuple[tuple[int, int, int], QwenKey | str | None] | None = attrs.field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The file's path."""
        return str(self.file)

    def read(self) -> Awaitable[QwenKey | str | None]:
        """The key it offers, None, or one clause that says why it cannot be used."""
        return glance(self._read)

    def _read(self) -> QwenKey | str | None:
        try:
            status = self.file.stat()
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._seen is not None and self._seen[0] == signature:
                return self._seen[1]
            data = read_regular(self.file, MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"the file cannot be read: {error.strerror}"
        if data is None:
            return None
        if len(data) > MAX_BYTES:
            return "the file is larger than 1 MiB"
        found = read_qwen_settings(data.decode("utf-8", "replace"), self.environment)
        self._seen = (signature, found)
        return found
