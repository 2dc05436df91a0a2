"""`oauth_creds.json`, shared with Qwen Code, and the two locks around writing it.

Ours is outside (filelock, released by the system when we die); Qwen Code's `oauth_creds.lock` is
inside: created exclusively, holding a uuid, stale after 35 s. Beside our own lock stands the uuid of
the inner lock we made last, so that a dead run of ours is recognised at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs

from qwen_ls.adapters.files import (
    file_lock,
    glance,
    in_thread,
    make_private_folder,
    read_regular,
    replace_private,
    sweep,
    temporary_name,
)
from qwen_ls.core.oauth.token import MAX_CACHE_BYTES, CachedToken, Token, encode_cache, parse_cache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from filelock import FileLock

CACHE_NAME = "oauth_creds.json"
LOCK_NAME = "oauth_creds.lock"
STALE_AFTER = 35.0  # seconds, Qwen Code 0.24
EMPTY_AFTER = 1.0  # seconds: whoever makes a lock writes its uuid at once, or was killed before
WAIT_AT_MOST = 40.0  # seconds: longer than a stale lock stands
POLL = 0.02  # seconds between attempts
MAX_LOCK_BYTES = 256
Result = TypeVar("Result")


@attrs.define
class QwenCache:
    """The cache of one `.qwen` folder. `state_folder` holds our own lock."""

    folder: Path
    state_folder: Path
    _is_swept: bool = attrs.field(default=False, init=False)

    @property
    def path(self) -> Path:
        """The cache file."""
        return self.folder / CACHE_NAME

    def read(self) -> Awaitable[CachedToken]:
        """What the file holds now; a file that cannot be used says why and is left alone."""
        return glance(self._read)

    async def write(self, token: Token) -> None:
        """Replace the file. Raises OSError."""
        await in_thread(partial(replace_private, self.path, encode_cache(token)))

    async def remove(self) -> bool:
        """Delete the file; whether there was one. Raises OSError."""
        return await in_thread(partial(unlink, self.path))

    @asynccontextmanager
    async def lock(self, unless: Callable[[], Awaitable[bool]] | None = None) -> AsyncIterator[bool]:
        """Hold both locks. Raises TimeoutError after 40 s.

        Whoever waits asks `unless` between attempts: once it is true, False is yielded and neither is
        held. So a crowd that waits for one refresh need not pass through the locks one by one. Where a
        lock's folder takes no file, that lock is done without: signing in still works there.
        """
        deadline = time.monotonic() + WAIT_AT_MOST
        # Which loads the library.
        ours = await in_thread(partial(file_lock, self.state_folder / "oauth.lock", thread_local=False))
        mine = str(uuid.uuid4())
        try:
            outer = await taken(partial(try_acquire, ours), deadline, unless)
            yield outer and await taken(partial(self._take_inner, mine), deadline, unless)
        finally:
            await in_thread(partial(self._drop_inner, mine))
            ours.release()  # nothing happens if it is not held

    def _read(self) -> CachedToken:
        path = str(self.path)
        if not self._is_swept:
            sweep(self.path)
            sweep(self._inner)
            self._is_swept = True
        try:
            data = read_regular(self.path, MAX_CACHE_BYTES)
            written_at = self.path.stat().st_mtime if data is not None else 0.0
        except FileNotFoundError:  # removed between the two calls
            return CachedToken(path)
        except OSError as error:
            return CachedToken(path, problem=f"the file cannot be read: {error.strerror}")
        if data is None:
            return CachedToken(path)
        found = parse_cache(data)
        if isinstance(found, str):
            return CachedToken(path, problem=found, written_at=written_at)
        return CachedToken(path, found, written_at=written_at)

    @property
    def _inner(self) -> Path:
        return self.folder / LOCK_NAME

    @property
    def _last(self) -> Path:
        return self.state_folder / "oauth.lock.last"

    def _take_inner(self, mine: str) -> bool:
        """Try to create Qwen Code's lock file, once a stale one is cleared away."""
        self._clear_stale()
        if os.path.lexists(self._inner):
            return False
        with contextlib.suppress(OSError):
            write_private(self._last, mine)  # before it stands there: a crash is covered
        try:
            make_private_folder(self.folder)
            descriptor = os.open(self._inner, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            return not os.path.lexists(self._inner)
        try:
            os.write(descriptor, mine.encode("ascii"))
        finally:
            os.close(descriptor)
        return True

    def _clear_stale(self) -> None:
        """Rename a lock away if it is stale by age, or one that a dead run of ours left."""
        try:
            age = time.time() - self._inner.lstat().st_mtime
        except OSError:
            return
        holder = content_of(self._inner)
        is_dead = holder == content_of(self._last) if holder else holder == b"" and age > EMPTY_AFTER
        if is_dead or not 0 <= age <= STALE_AFTER:
            gone = temporary_name(self._inner)
            with contextlib.suppress(OSError):
                self._inner.rename(gone)
                gone.rmdir() if gone.is_dir() and not gone.is_symlink() else gone.unlink()

    def _drop_inner(self, mine: str) -> None:
        """Remove the inner lock if it is still the one we made: Qwen Code may have removed it."""
        with contextlib.suppress(OSError):
            if read_regular(self._inner, MAX_LOCK_BYTES) == mine.encode("ascii"):
                self._inner.unlink()


def content_of(lock: Path) -> bytes | None:
    """What a lock file says; None if it is no file, or cannot be read."""
    try:
        return read_regular(lock, MAX_LOCK_BYTES)
    except OSError:
        return None


def write_private(path: Path, text: str) -> None:
    """Write a small file that only its owner may read; a torn one is as good as none."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)


def try_acquire(lock: FileLock) -> bool:
    """One attempt at our own lock; true as well where there can be none."""
    from filelock import Timeout  # noqa: PLC0415 - loaded by now

    try:
        make_private_folder(Path(lock.lock_file).parent)
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError:
        return True
    return True


def unlink(path: Path) -> bool:
    """Delete a file; whether there was one."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


async def taken(
    take: Callable[[], bool], deadline: float, unless: Callable[[], Awaitable[bool]] | None
) -> bool:
    """Try until `take` succeeds; False once `unless` comes true. Raises TimeoutError past the deadline."""
    while not await finished(take):
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(POLL)
        if unless is not None and await unless():
            return False
    return True


async def finished(work: Callable[[], Result]) -> Result:
    """Run file work that a cancel does not leave half done: the cancel comes when it has ended."""
    working = asyncio.ensure_future(in_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working})
        raise
