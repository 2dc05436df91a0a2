"""Documents -> workspace folders: the deepest one that holds a document is the one that counts."""

from __future__ import annotations

import os
import re
from functools import lru_cache, partial
from pathlib import PurePath
from typing import TYPE_CHECKING

import attrs
from pygls.uris import to_fs_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qwen_ls.adapters.files import InTurn

LOCALHOST = re.compile("^file://localhost/", re.IGNORECASE)  # the same as no host (RFC 8089)


@attrs.frozen
class Folder:
    """A workspace folder: as the client names it, its path, and its real path."""

    uri: str
    path: str
    real: str

    def depth_of(self, path: str) -> int:
        """How long the name is, of the folder's two, by which it holds a path; names of one path compare."""
        return max(len(PurePath(name).parts) for name in (self.path, self.real) if is_within(path, name))

    def by_real_name(self, path: str) -> str:
        """A path below it as the disk knows it, where the client names the folder by a link."""
        below = PurePath(path)
        return str(self.real / below.relative_to(self.path)) if below.is_relative_to(self.path) else path


@attrs.define
class Folders:
    """The folders that are open, in the client's order."""

    _real: dict[str, str] = attrs.field(factory=dict)  # by path, as last found
    _looks: InTurn | None = None

    async def open(self, uris: list[str]) -> list[Folder]:
        """The folders of `uris`; other schemes than `file` have no place on this disk."""
        named = [(uri, path) for uri in uris if (path := path_of(uri)) is not None]
        links = {path: self._resolve(path) for _, path in named if self._real.get(path) != path}
        real = {path: await look for path, look in links.items()}  # all have begun before any is awaited
        return [Folder(uri, path, real.get(path, path)) for uri, path in named]

    async def of(self, uri: str | None, uris: list[str]) -> Folder | None:
        """The folder a request is about.

        None for `uri` means the only folder there is. A document outside every folder, or of another
        scheme, has none: for it the home files count.
        """
        folders = await self.open(uris)
        if uri is None:
            return folders[0] if len(folders) == 1 else None
        path = path_of(uri)
        if path is None:
            return None
        holding = [f for f in folders if is_within(path, f.path) or is_within(path, f.real)]
        name = path
        if folders and not holding:
            name = await self._look(None, partial(os.path.realpath, path), lambda: path)
            holding = [f for f in folders if is_within(name, f.real)]
        return max(holding, key=lambda f: f.depth_of(name), default=None)

    def _resolve(self, path: str) -> Awaitable[str]:
        """A folder's real path; asked for each time where there is a link in it, which may be turned."""

        def resolve() -> str:
            real = self._real[path] = os.path.realpath(path)
            return real

        return self._look(path, resolve, lambda: self._real.get(path, path))

    def _look(self, what: str | None, work: Callable[[], str], late: Callable[[], str]) -> Awaitable[str]:
        from qwen_ls.adapters.files import DEADLINE, InTurn  # noqa: PLC0415 - loaded by now

        self._looks = self._looks or InTurn()
        return self._looks.look(what, work, late, DEADLINE)


@lru_cache(maxsize=256)
def path_of(uri: str) -> str | None:
    """The absolute path of a `file:` URI without a NUL; None for anything else."""
    if not uri.lower().startswith("file:") or "%00" in uri:
        return None
    try:
        path = to_fs_path(LOCALHOST.sub("file:///", uri))
    except ValueError:
        return None
    return os.path.normpath(path) if path and PurePath(path).is_absolute() else None


@lru_cache(maxsize=256)
def is_within(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it."""
    return PurePath(path).is_relative_to(folder)
