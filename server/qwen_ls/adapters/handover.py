"""The folder through which a client on this machine hands over a key, so that it never crosses the wire.

The client writes the key to a new file that only its owner can read, and sends the file's name. It is read
once and deleted. The folder lives as long as the server: a lock on a file in it says so to other servers,
which sweep away what dead ones left.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import time
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from filelock import FileLock

FOLDER = re.compile(r"qwen-ls-[0-9a-f]{32}")
FILE = re.compile(r"[A-Za-z0-9_-]{32}")
LOCK = ".lock"
MAX_BYTES = 8 * 1024
GRACE = 60.0  # seconds that a new folder has to get its lock
PRIVATE = 0o700
OTHERS = 0o077  # the mode bits of group and others
HAS_OWNERS = hasattr(os, "geteuid")  # not on Windows, where modes say nothing either
FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class HandoverRefused(Exception):  # noqa: N818 - what the server does, in its own words
    """A file that is not taken, with the reason. The text quotes neither its name nor its content."""


@attrs.define(eq=False)
class Handover:
    """The hand-over folder of this process. `runtime_folder` is what XDG_RUNTIME_DIR names, if it is set.

    `state_folder` is called where that one will not do.
    """

    state_folder: Callable[[], Path]
    runtime_folder: Path | None = None
    folder: Path | None = attrs.field(default=None, init=False)
    _held: FileLock | None = attrs.field(default=None, init=False)
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def create(self) -> Path:
        """Make the folder, readable by its owner alone. Raises OSError."""
        base = self._runtime()
        if base is None:
            base = self.state_folder()
            base.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        folder = base / f"qwen-ls-{os.urandom(16).hex()}"
        folder.mkdir(mode=PRIVATE)
        self.folder = folder
        return folder

    def hold(self) -> bool:
        """Show other servers that this one lives; False where the file system has no locks.

        A lock taken beside `remove` would make the folder again, so one waits for the other.
        """
        with self._guard:
            if self.folder is not None and self._held is None:
                self._held = take_lock(self.folder)
            return self._held is not None

    def take(self, name: str) -> str:
        """The text of a handed-over file, which is then gone, one line feed at its end left out.

        Whatever stands under a well-formed name is deleted, taken or not. Raises HandoverRefused.
        """
        if self.folder is None:
            raise HandoverRefused("there is no hand-over folder")
        if FILE.fullmatch(name) is None:
            raise HandoverRefused("the name of a handed-over file is 32 characters of A-Z a-z 0-9 _ -")
        path = self.folder / name
        try:
            data = read_private(path)
        finally:
            is_gone = drop(path)
        if not is_gone:  # somebody else took it, or it would stay
            raise HandoverRefused("the handed-over file could not be deleted")
        return parse(data)

    def discard(self, name: object) -> None:
        """Delete the file of a call that is refused before it is taken. Never raises."""
        if self.folder is not None and isinstance(name, str) and FILE.fullmatch(name):
            drop(self.folder / name)

    def remove(self) -> None:
        """Delete the folder with whatever is in it. Never raises; may be called twice."""
        with self._guard:
            if self._held is not None:
                with contextlib.suppress(OSError):
                    self._held.release()
                self._held = None
            if self.folder is not None:
                remove_tree(self.folder)
                self.folder = None

    def sweep(self) -> int:
        """Delete what servers that are no more left behind; how many folders. Never raises."""
        return sum(map(sweep_one, self._others()))

    def _runtime(self) -> Path | None:
        """XDG_RUNTIME_DIR, if it is what it should be."""
        folder = self.runtime_folder
        return folder if folder is not None and folder.is_absolute() and is_private(folder) else None

    def _others(self) -> Iterator[Path]:
        for base in filter(None, (self._runtime(), self.state_folder())):
            with contextlib.suppress(OSError):
                yield from (
                    path for path in base.iterdir() if path != self.folder and FOLDER.fullmatch(path.name)
                )


def is_private(folder: Path) -> bool:
    """Whether this is a real folder of ours that nobody else may enter."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and is_ours(status)


def is_ours(status: os.stat_result) -> bool:
    """Whether the user running owns it and group and others have no rights. On Windows: yes."""
    return not HAS_OWNERS or (status.st_uid == os.geteuid() and not status.st_mode & OTHERS)


def read_private(path: Path) -> bytes:
    """The bytes of a regular file of ours, at most 8 KiB. Raises HandoverRefused."""
    try:
        descriptor = os.open(path, FLAGS)
    except OSError as error:
        raise HandoverRefused(f"the handed-over file cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise HandoverRefused("the handed-over file is no plain file of a single name")
        if not is_ours(status):
            raise HandoverRefused("the handed-over file must be its owner's alone (mode 0600)")
        data = os.read(descriptor, MAX_BYTES + 1)  # a plain file gives all it has
    except OSError as error:
        raise HandoverRefused(f"the handed-over file cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise HandoverRefused(f"the handed-over file is longer than {MAX_BYTES} bytes")
    return data


def parse(data: bytes) -> str:
    """The text of a file. Raises HandoverRefused, never a decoder's error: that one holds its input."""
    text = data.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    if not text.isprintable() or "\N{REPLACEMENT CHARACTER}" in text:
        raise HandoverRefused("the handed-over file holds something else than one line of text")
    if not text:
        raise HandoverRefused("the handed-over file is empty")
    return text


def drop(path: Path) -> bool:
    """Delete a file; False if that was not possible or somebody else was faster."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def remove_tree(folder: Path) -> None:
    """Delete a folder with whatever is in it, as far as that is possible. Follows no link."""
    from shutil import rmtree  # noqa: PLC0415 - not needed on the way to `initialize`

    rmtree(folder, ignore_errors=True)


def take_lock(folder: Path) -> FileLock | None:
    """The lock in a folder, taken; None if it is held, or cannot be."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not needed on the way to `initialize`

    lock = FileLock(folder / LOCK, thread_local=False, mode=0o600)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError, NotImplementedError):
        return None
    return lock


def sweep_one(folder: Path) -> bool:
    """Delete a folder if its server is gone: it is ours, not new, and nobody holds its lock."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_new = abs(time.time() - status.st_mtime) < GRACE
    if not stat.S_ISDIR(status.st_mode) or not is_ours(status) or is_new:
        return False
    lock = take_lock(folder)
    if lock is None:
        return False
    lock.release()  # it was free, so its server is gone; Windows deletes no open file
    remove_tree(folder)
    return not folder.exists()
