"""The two pipes to the editor, and leaving when it has gone.

Every wait on something outside sits in a daemon thread of its own, so that a blocked event loop, a full pipe
or a stuck worker hides nothing: once the end is noticed the process is gone within two seconds. What crosses
the pipes is never logged here.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import select
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from qwen_ls.lsp.reader import PIECE, Reader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qwen_ls.lsp.frames import Bad, Message

AT_ONCE = getattr(select, "PIPE_BUF", 0)  # bytes that a pipe with room takes without blocking
MAX_QUEUED = 64 * 1024 * 1024  # bytes a client may leave unread; four of the largest frames

# The parts of the two seconds that an editor may have to wait for us, in seconds. What they leave over is
# for a busy machine.
CLOSE_S = 0.8  # for the server to end what runs
FLUSH_S = 0.3  # for the client to read what is queued
STREAMS_S = 0.1  # for stdout and stderr of our own, whose reader may be stuck as well
LEAVE_S = 1.2  # from the end of the connection to leaving without any of these
PARENT_S = 0.2  # between two looks at the parent, where the system cannot report its end

_log = logging.getLogger(__name__)


class Writer:
    """Where outgoing frames go; what pygls calls a writer. Usable from any thread, and blocks none.

    A short frame is written at once where the pipe has room for it and nothing is queued. All else a thread
    of its own writes, in order. When `limit` bytes wait unread, or the pipe is closed, it drops what is
    queued and calls `lost` once; later writes go nowhere.
    """

    def __init__(self, fd: int, lost: Callable[[str], None], limit: int = MAX_QUEUED) -> None:
        self._fd = fd
        self._lost = lost
        self._limit = limit
        self._queue: collections.deque[bytes] = collections.deque()
        self._unwritten = 0  # bytes, those that are being written among them
        self._is_dead = False
        self._changed = threading.Condition()
        self._room = select.poll() if hasattr(select, "poll") else None
        if self._room is not None:
            self._room.register(fd, select.POLLOUT)
        threading.Thread(target=self._drain, name="stdout", daemon=True).start()

    def write(self, data: bytes) -> None:
        """Write `data`, or queue it."""
        with self._changed:
            if self._is_dead:
                return
            if not self._unwritten and len(data) <= AT_ONCE and self._has_room():
                data = self._write_some(data)
                if not data:
                    return
            self._unwritten += len(data)
            if self._unwritten <= self._limit:
                self._queue.append(data)
                self._changed.notify_all()
                return
        self._die("the client does not read")

    def _has_room(self) -> bool:
        """Whether a write of `AT_ONCE` bytes would not block."""
        return self._room is not None and self._room.poll(0) == [(self._fd, select.POLLOUT)]

    def _write_some(self, data: bytes) -> bytes:
        """Write; what is left to be written. A pipe that fails is left to the thread, which tells why."""
        try:
            return data[os.write(self._fd, data) :]
        except OSError:
            return data

    def close(self) -> None:
        """Nothing: what is queued still goes out, and the pipe closes with the process."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that is queued is written, and return whether it was. Waits for no dead writer."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_dead or not self._unwritten, timeout_s)
            return not self._is_dead and not self._unwritten

    def _drain(self) -> None:
        try:
            while (piece := self._next()) is not None:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
                with self._changed:
                    self._unwritten -= len(piece)
                    self._changed.notify_all()
        except (OSError, MemoryError) as error:
            self._die(f"stdout: {type(error).__name__}")

    def _next(self) -> bytes | None:
        """Wait for frames, and return as many as make one write worth while. None once dead."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_dead or self._queue)
            if self._is_dead:
                return None
            frames: list[bytes] = []
            size = 0
            while self._queue and size < PIECE:
                frames.append(self._queue.popleft())
                size += len(frames[-1])
        return b"".join(frames)

    def _die(self, why: str) -> None:
        with self._changed:
            if self._is_dead:
                return
            self._is_dead = True
            self._queue.clear()
            self._changed.notify_all()
        self._lost(why)


class Stdio:
    """The connection over stdin and stdout, which it takes away from everything else in the process.

    From its construction on, descriptor 0 is empty and 1 is stderr: a stray print spoils no frame, and a
    child process cannot read what is ours. Raises OSError if stdin or stdout is closed already.

        stdio = Stdio()
        try:
            stdio.new_loop().run_until_complete(stdio.run(receive, aclose))
        finally:
            stdio.leave()

    The loop must not be run by `asyncio.run`, which waits for worker threads at its end.
    """

    why: str = ""  # why the connection ended
    code: int = 1  # what the process exits with

    def __init__(self) -> None:
        stdin, out = _take_stdio()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()  # for the loop
        self._is_over = threading.Event()
        self._first = threading.Lock()  # taken by the first to say that it is over, and kept
        self._reader = Reader(stdin, self.lost)
        self.new_loop = self._reader.new_loop
        self.writer = Writer(out, self.lost)
        if sys.platform == "linux":
            # Even when there is nothing to write. Elsewhere the next write finds out.
            self._lose_after(lambda: _wait_for(out, 0), "stdout: closed by the client")

    async def run(
        self, receive: Callable[[Message | Bad], object], aclose: Callable[[], Awaitable[object]]
    ) -> None:
        """Call `receive` in this loop with each frame until the connection ends; then await `aclose`.

        `aclose` runs in a task of its own and has CLOSE_S: what it has not ended by then is left behind.
        """
        self._loop = asyncio.get_running_loop()
        if self._is_over.is_set():  # before there was a loop to tell
            self._ended.set()
        self._reader.start(self._loop, receive)
        await self._ended.wait()
        closing = asyncio.ensure_future(aclose())
        deadline = time.monotonic() + CLOSE_S
        while not closing.done() and (left_s := deadline - time.monotonic()) > 0:
            with contextlib.suppress(asyncio.CancelledError):  # `aclose` may well cancel every other task
                await asyncio.wait({closing}, timeout=left_s)
        if closing.done() and not closing.cancelled() and (error := closing.exception()):
            _log.error("closing failed: %s", type(error).__name__)

    def lost(self, why: str, code: int = 1) -> None:
        """Say that the connection is over. From any thread; the first to say so is believed."""
        if not self._first.acquire(blocking=False):
            return
        self.why, self.code = why, code
        try:
            threading.Thread(target=self._leave_late, name="watchdog", daemon=True).start()
        except RuntimeError:  # no thread is to be had, so nobody could see to it that we leave
            _exit(code)
        self._is_over.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: somebody is leaving already
                self._loop.call_soon_threadsafe(self._ended.set)

    def leave(self) -> NoReturn:
        """End the process, with replies that are still queued sent if the client reads them."""
        self.writer.flush(FLUSH_S)
        _exit(self.code)

    def watch(self, pid: object) -> bool:
        """Leave when the process `pid`, the client's `processId`, ends. Return whether it is watched.

        Only an ancestor of ours is: from inside a container, or over a remote shell, the number may name
        nothing here, or something else.
        """
        if not isinstance(pid, int) or pid <= 1:
            return False
        wait = _end_of(pid)
        if wait is not None:
            self._lose_after(wait, "the client's process ended")
        return wait is not None

    def _lose_after(self, wait: Callable[[], object], why: str) -> None:
        def watch() -> None:
            wait()
            self.lost(why)

        threading.Thread(target=watch, name="watch", daemon=True).start()

    def _leave_late(self) -> NoReturn:
        time.sleep(LEAVE_S)
        _exit(self.code)


def _take_stdio() -> tuple[int, int]:
    """Move stdin and stdout to descriptors that no child inherits; put nothing and stderr in their place."""
    for fd in (0, 1):
        os.fstat(fd)  # or else one of the next calls would put something of its own there
    null = os.open(os.devnull, os.O_RDWR)  # number 2, in stderr's place, if we were started without one
    taken = os.dup(0), os.dup(1)
    os.dup2(null, 0)
    os.dup2(2, 1)
    if null != 2:  # noqa: PLR2004 - stderr
        os.close(null)
    for fd in taken:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - exists there alone

            msvcrt.setmode(fd, os.O_BINARY)
        else:
            os.set_blocking(fd, True)  # a client may have given us one end of a socket of its own
    return taken


def _exit(code: int) -> NoReturn:
    """Exit at once: without waiting for threads, and hardly for whoever reads our stderr."""

    def flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()

    try:
        flushing = threading.Thread(target=flush, daemon=True)
        flushing.start()
        flushing.join(STREAMS_S)
    finally:
        os._exit(code)


def _end_of(pid: int) -> Callable[[], object] | None:
    """Return what waits for the end of our ancestor `pid`; None if `pid` is no ancestor.

    Without pidfd_open(2), as on macOS and on Linux before 5.3, only the parent can be told from others.
    """
    if sys.platform == "linux":
        try:
            fd = os.pidfd_open(pid)
        except (ProcessLookupError, OverflowError):
            return None
        except (AttributeError, OSError):  # Python built for, or run on, a kernel that lacks it
            return _end_of_parent(pid)
        # Asked only now: from here on the number cannot come to mean another process.
        if _is_ancestor(pid):
            return lambda: _wait_for(fd, select.POLLIN)
        os.close(fd)
        return None
    return _end_of_parent(pid)


if sys.platform == "win32":

    def _end_of_parent(pid: int) -> Callable[[], object] | None:
        """Not with os.kill: on Windows it ends the process that it is asked about."""
        import ctypes  # noqa: PLC0415 - 10 ms at start, for one system alone

        synchronize, infinite = 0x00100000, 0xFFFFFFFF  # winnt.h, winbase.h
        kernel32 = ctypes.WinDLL("kernel32")
        kernel32.OpenProcess.restype = ctypes.c_void_p
        kernel32.WaitForSingleObject.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        if pid != os.getppid() or not (handle := kernel32.OpenProcess(synchronize, 0, pid)):
            return None
        return lambda: kernel32.WaitForSingleObject(handle, infinite)

else:

    def _end_of_parent(pid: int) -> Callable[[], object] | None:
        if pid != os.getppid():
            return None

        def wait() -> None:
            while os.getppid() == pid:
                time.sleep(PARENT_S)

        return wait

    def _wait_for(fd: int, events: int) -> None:
        """Wait for one of `events`, an error or a hang-up: poll(2)."""
        poll = select.poll()
        poll.register(fd, events)
        poll.poll()


def _is_ancestor(pid: int) -> bool:
    """Whether `pid` is our parent, or its parent, and so on, as far as /proc tells."""
    ancestor = os.getppid()
    while ancestor not in (0, pid):
        ancestor = _parent_of(ancestor)
    return ancestor == pid


def _parent_of(pid: int) -> int:
    """Return the parent's id; 0 if `pid` has none that can be seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[1])  # proc(5): "pid (any name) state ppid ..."
