"""Documents -> workspace folders: the deepest one that holds a document is the one that counts."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import PurePath

import attrs
from pygls.uris import to_fs_path


@attrs.frozen
class Folder:
    """A workspace folder: as the client names it, its path, and its real path."""

    uri: str
    path: str
    real: str

    def by_real_name(self, path: str) -> str:
        """A path below it as the disk knows it, where the client names the folder by a link."""
        below = PurePath(path)
        return str(self.real / below.relative_to(self.path)) if below.is_relative_to(self.path) else path


@attrs.define
class Folders:
    """The folders that are open, in the client's order."""

    _known: dict[str, Folder] = attrs.field(factory=dict)

    async def open(self, uris: list[str]) -> list[Folder]:
        """The folders of `uris`; other schemes than `file` have no place on this disk."""
        loop = asyncio.get_running_loop()
        for uri in uris:
            path = path_of(uri)
            if uri not in self._known and path is not None:
                real = await loop.run_in_executor(None, os.path.realpath, path)
                self._known[uri] = Folder(uri, path, real)
        return [self._known[uri] for uri in uris if uri in self._known]

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
        return max(holding, key=lambda f: len(PurePath(f.path).parts), default=None)


@functools.lru_cache(maxsize=256)
def path_of(uri: str) -> str | None:
    """The absolute path of a `file:` URI without a NUL; None for anything else."""
    if not uri.lower().startswith("file:") or "%00" in uri:
        return None
    try:
        path = to_fs_path(uri)
    except ValueError:
        return None
    return os.path.normpath(path) if path and PurePath(path).is_absolute() else None


@functools.lru_cache(maxsize=256)
def is_within(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it."""
    return PurePath(path).is_relative_to(folder)
