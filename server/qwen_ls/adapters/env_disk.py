"""`.env` files as an editor has them open: where they stand, and changing them in one step."""

from __future__ import annotations

import os
import stat
from errno import EEXIST, EFBIG, EILSEQ, ELOOP, EPERM
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from qwen_ls.adapters.env_template import ignore
from qwen_ls.adapters.files import ON_WINDOWS, in_thread, in_time, read_regular, replace_private
from qwen_ls.core.envfile import MAX_BYTES
from qwen_ls.core.envview import OnDisk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePath


@attrs.define
class EnvDisk:
    """The disk, for files named one by one. `uid` is None where files have no owner we could check."""

    uid: int | None = attrs.field(factory=getattr(os, "getuid", lambda: None))

    async def inspect(self, file: str, searches: Sequence[Sequence[PurePath]]) -> OnDisk:
        """A file's permission bits, and its place in each list of candidates.

        A disk that does not answer within 2 s has nothing to say.
        """
        try:
            return await in_time(partial(self._inspect, file, searches))
        except TimeoutError:
            return OnDisk(None, (None,) * len(searches))

    async def read(self, file: str) -> str | None:
        """The text of a file that may be changed, byte order mark and line ends included; None: no file.

        Raises OSError for anything but a regular UTF-8 file of the user's own that is no link.
        """
        return await in_thread(partial(self._read, file))

    async def replace(self, file: str, before: str | None, after: str) -> None:
        """Replace a file that still reads `before` (None: it is not there) by one that only its owner reads.

        Raises OSError, also when it has changed.
        """
        await in_thread(partial(self._replace, file, before, after))

    async def ignore(self, file: str) -> str | None:
        """Add a `.env` file to the `.gitignore` of its folder; the latter's path, None if it cannot be.

        Raises OSError.
        """
        return await in_thread(partial(add_rule, Path(file)))

    def _inspect(self, file: str, searches: Sequence[Sequence[PurePath]]) -> OnDisk:
        try:
            mode = None if ON_WINDOWS else stat.S_IMODE(Path(file).stat().st_mode)
        except OSError:
            mode = None
        return OnDisk(mode, tuple(rank(file, candidates) for candidates in searches))

    def _read(self, file: str) -> str | None:
        path = Path(file)
        if path.is_symlink() or path.parent.is_symlink():
            raise OSError(ELOOP, "it is a link; open the file that it leads to", file)
        data = read_regular(path, MAX_BYTES)
        if data is None:
            return None
        if len(data) > MAX_BYTES:
            raise OSError(EFBIG, f"it is larger than {MAX_BYTES // 1024} KiB", file)
        if self.uid is not None and path.stat().st_uid != self.uid:
            raise OSError(EPERM, "it belongs to another user", file)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise OSError(EILSEQ, "it is not UTF-8", file) from None

    def _replace(self, file: str, before: str | None, after: str) -> None:
        if self._read(file) != before:
            raise OSError(EEXIST, "it has changed meanwhile", file)
        replace_private(Path(file), after.encode())


def rank(file: str, candidates: Sequence[PurePath]) -> int | None:
    """The place of a file among paths: by its name, else by its real path."""
    named = {file, str(Path(os.path.realpath(Path(file).parent), Path(file).name))}
    by_name = next((i for i, path in enumerate(candidates) if str(path) in named), None)
    if by_name is not None:
        return by_name
    real = os.path.realpath(file)
    return next((i for i, path in enumerate(candidates) if os.path.realpath(path) == real), None)


def add_rule(file: Path) -> str | None:
    """The same as EnvDisk.ignore, in this thread."""
    is_qwens = file.parent.name == ".qwen"
    folder = file.parent.parent if is_qwens else file.parent
    added = ignore(folder) if is_qwens else ignore(folder, "/.env")
    return str(folder / ".gitignore") if added else None
