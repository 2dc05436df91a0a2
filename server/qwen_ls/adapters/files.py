"""Files off the event loop, within a deadline; private ones written in one step, for their owner alone.

A writer that is killed may leave its temporary file, `NAME.tmp.PID.HEX`, behind. It holds a lock on it as
long as it lives, so that whoever comes next can tell, also across containers, and sweeps it away.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import json
import os
import queue
import re
import secrets
import stat
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from filelock import FileLock

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
ABANDONED_AFTER = 60.0  # seconds, where there are no locks to tell
ON_WINDOWS = sys.platform == "win32"
DEADLINE = 2.0  # seconds; a mount may hang
MOST_LOOKERS = 16  # threads; a folder on a disk that hangs holds one
SOON = 0.05  # seconds, after which whoever has an answer does not wait for the others
HOME_DEADLINE = 10.0  # seconds for what nothing goes on without: a disk may have to wake up first
Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result]) -> Result:
    """Run blocking file work off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


@attrs.frozen(eq=False)
class Look:
    """What is to be done, for whom, in how many seconds, and what stands in for it after that."""

    work: Callable[[], Any]
    future: asyncio.Future[Any]
    seconds: float
    late: Callable[[], Any] | None


@attrs.define(eq=False)
class Looks:
    """Looks at files that share a thread."""

    wanted: list[Look] = attrs.field(factory=list)
    _outcomes: list[tuple[Any, Exception | None]] = attrs.field(factory=list)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run them; from now on a look begins anew."""
        if _begun.get(loop) is self:
            del _begun[loop]
        self.wanted.sort(key=lambda look: look.late is not None)  # what may hang, and is stood in for, last
        limits = {SOON, *(look.seconds for look in self.wanted)}
        timers = [loop.call_later(seconds, self._tell, seconds) for seconds in limits]

        def end() -> None:
            for timer in timers:
                timer.cancel()
            self._tell(0)

        def run() -> None:
            for look in self.wanted:
                self._outcomes.append(_outcome(look.work))  # one by one: `_tell` may look before the last
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(end)

        # Not run_in_executor: its future is handed from thread to loop in three steps, and this in one.
        _lookers.submit(run)

    def _tell(self, passed: float) -> None:
        """Hand out what has come, and what stands for it to whom that has taken too long."""
        for number, look in enumerate(self.wanted):
            if look.future.done():  # told already, or whoever asked has been cancelled
                continue
            if number < len(self._outcomes):
                result, error = self._outcomes[number]
            elif passed < look.seconds:
                continue
            elif look.late is not None:
                result, error = look.late(), None
            else:
                result, error = None, no_answer(look.seconds)
            if error is None:
                look.future.set_result(result)
            else:
                look.future.set_exception(error)
                look.future.exception()  # nobody need ask for it


_begun: dict[asyncio.AbstractEventLoop, Looks] = {}


class Lookers:
    """The threads that look: as many as look at once, up to MOST_LOOKERS.

    Not a ThreadPoolExecutor: the interpreter waits for its threads at the end, also for one that hangs.
    """

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = itertools.count(1)

    def submit(self, work: Callable[[], object]) -> None:
        """Run it soon. It raises nothing."""
        self._wanted.put(work)
        if not self._idle.acquire(blocking=False) and next(self._count) <= MOST_LOOKERS:
            threading.Thread(target=self._look, name="look", daemon=True).start()

    def _look(self) -> None:
        while True:
            self._wanted.get()()
            self._idle.release()


_lookers = Lookers()


def glance(
    work: Callable[[], Result], seconds: float = HOME_DEADLINE, late: Callable[[], Result] | None = None
) -> asyncio.Future[Result]:
    """Run a short look at files in a thread; those that begin in one turn of the loop share one.

    A look begins with the call, whether it is awaited or not, and they run in that order. For one that
    has no answer after so many seconds there is what `late` returns, else a TimeoutError is raised; it
    goes on in its thread. Looks with a `late` come after the others, and do not share a thread with each
    other: the disk of one may hang, and that of another not.
    """
    loop = asyncio.get_running_loop()
    looks = _begun.get(loop)
    if looks is None or (late is not None and any(look.late is not None for look in looks.wanted)):
        shared, looks = looks, Looks()
        if shared is None:
            _begun[loop] = looks
        loop.call_soon(looks.begin, loop)
    future: asyncio.Future[Result] = loop.create_future()
    looks.wanted.append(Look(work, future, seconds, late))
    return future


def answered(result: Result) -> asyncio.Future[Result]:
    """A look that need not be taken."""
    future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


@attrs.define(eq=False)
class InTurn:
    """Looks at what may lie on a disk that hangs: at each thing one look at a time.

    Before it has answered it is not looked at again, so that it holds one thread and not all.
    """

    _asked: dict[str | None, float] = attrs.field(factory=dict)  # and not answered, since when
    _last: dict[str | None, asyncio.Future[Any]] = attrs.field(factory=dict)

    def look(
        self, what: str | None, work: Callable[[], Result], late: Callable[[], Result], seconds: float
    ) -> Awaitable[Result]:
        """What `work` finds out about a thing, or what stands in for it after so many seconds."""
        begin = partial(self._begin, what, work, late, seconds)
        last = self._last.get(what)
        if last is None or last.done() or last.get_loop() is not asyncio.get_running_loop():
            last = begin()
        else:
            last = asyncio.ensure_future(self._after(last, begin))
        self._last[what] = last
        last.add_done_callback(lambda done: done.cancelled() or done.exception())
        return asyncio.shield(last)  # whoever asked may be cancelled; the look goes on

    async def _after(self, last: asyncio.Future[Any], begin: Callable[[], asyncio.Future[Result]]) -> Result:
        await asyncio.wait({last})
        return await begin()

    def _begin(
        self, what: str | None, work: Callable[[], Result], late: Callable[[], Result], seconds: float
    ) -> asyncio.Future[Result]:
        def run() -> Result:
            try:
                return work()
            finally:
                self._asked.pop(what, None)

        now = time.monotonic()
        if now - self._asked.setdefault(what, now) >= seconds:
            return answered(late())
        return glance(run, seconds, late)


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001 - it is raised where the work was asked for
        return None, error


def no_answer(seconds: float) -> TimeoutError:
    """A disk that does not answer."""
    return TimeoutError(errno.ETIMEDOUT, f"the disk did not answer within {seconds:.0f} s")


async def in_time(work: Callable[[], Result], seconds: float = DEADLINE) -> Result:
    """Run blocking work in a thread, where it goes on when its time is over.

    Raises TimeoutError then, which is an OSError.
    """
    running = asyncio.get_running_loop().run_in_executor(None, work)
    # Not wait_for: before Python 3.12 it loses a cancel that comes together with the result.
    done, _ = await asyncio.wait({running}, timeout=seconds)
    if not done:
        running.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise no_answer(seconds)
    return running.result()


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may enter; leave an existing one as it is."""
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


def file_lock(path: Path, *, timeout: float = -1, thread_local: bool = True) -> FileLock:
    """The lock of a file, for its owner alone. Only who writes loads the library."""
    from filelock import FileLock  # noqa: PLC0415 - few commands write, and it is slow to load

    return FileLock(path, timeout=timeout, mode=PRIVATE_FILE, thread_local=thread_local)


def replace_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: a temporary file beside it, fsync, rename, fsync of the folder.

    Whoever reads sees the old bytes or the new ones. Raises OSError, and then leaves no litter.
    """
    make_private_folder(path.parent)
    sweep(path)
    temporary, descriptor = open_temporary(path)
    with contextlib.ExitStack() as opened:
        opened.callback(os.close, descriptor)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
            if ON_WINDOWS:
                opened.close()  # nothing open can be renamed there
            os.replace(temporary, path)  # noqa: PTH105 - the same call, named for what it does
        except BaseException:
            opened.close()
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    sync_folder(path.parent)


def temporary_name(path: Path) -> Path:
    """A name beside `path` for a moment; `sweep` removes what is left under it."""
    return path.with_name(f"{path.name}.tmp.{os.getpid()}.{secrets.token_hex(4)}")


def open_temporary(path: Path) -> tuple[Path, int]:
    """A new file beside `path`, open and locked, so that nobody takes it for a dead writer's."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        temporary = temporary_name(path)
        descriptor = os.open(temporary, flags, PRIVATE_FILE)
        if claim(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # it was swept away before it was locked


def claim(descriptor: int) -> bool | None:
    """Lock a temporary file; False if somebody else has, None where files cannot be locked."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True
    return None


def sweep(path: Path) -> None:
    """Remove the temporary files that dead writers of `path` left, as far as that can be done."""
    pattern = re.compile(re.escape(path.name) + r"\.tmp\.[0-9]+\.[0-9a-f]{8}")
    with contextlib.suppress(OSError):
        for name in filter(pattern.fullmatch, os.listdir(path.parent)):  # noqa: PTH208 - names are all it needs
            with contextlib.suppress(OSError):
                remove_abandoned(path.with_name(name))


def remove_abandoned(temporary: Path) -> None:
    """Remove one unless its writer holds it; where that cannot be told, if it is old. Raises OSError."""
    is_old = time.time() - temporary.lstat().st_mtime > ABANDONED_AFTER
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(temporary, flags)
    try:
        claimed = claim(descriptor)
        if claimed:
            temporary.unlink()  # under the lock, so that a writer that comes to lock it sees that it has gone
    finally:
        os.close(descriptor)
    if claimed is None and is_old:
        temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Make a rename durable; systems that cannot sync a folder do without."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_regular(path: Path, limit: int) -> bytes | None:
    """The bytes of a regular file, at most `limit` + 1; None if there is no such file.

    Never blocks on a FIFO or device. Raises OSError for what is there and is none, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(descriptor)


def read_object(path: Path, limit: int) -> dict[str, Any] | None:
    """The JSON object in a file, empty where there is no file, None for anything else. Raises OSError."""
    data = read_regular(path, limit)
    if not data:
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def set_aside(path: Path) -> None:
    """Keep a file that holds something else than it should as `NAME.bad`, for its owner. Raises OSError."""
    path.replace(path.with_suffix(".bad"))
