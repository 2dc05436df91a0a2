"""One coroutine, run to its end or to the first signal; and a process that ends when its work has."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import getpass
import os
import select
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
BY_SIGNAL = 128  # a shell's exit status of a command that signal n ended is 128 + n
WORKERS = "qwen-ls-worker"
MOST_SECRET = 8 * 1024  # characters
GRACE = 0.5  # seconds for a worker to finish what it does


class Stop:
    """SIGINT and SIGTERM. The first one stops the work in good order, a second one ends the process."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    @property
    def exit_code(self) -> int:
        """What the process says when it was stopped."""
        return BY_SIGNAL + (self.number or signal.SIGINT)

    def listen(self) -> None:
        """Take the signals over, but for one that whoever started us ignores, as `nohup` does."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice means at once
        if self._loop is None or self._task is None:
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self._task.cancel)

    @contextlib.contextmanager
    def cancelling(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> Iterator[None]:
        """Inside the block a signal cancels `task`; with None, it interrupts whatever blocks."""
        before = self._loop, self._task
        self._loop, self._task = loop, task
        try:
            yield
        finally:
            self._loop, self._task = before

    def read_line(self) -> str:
        """One line of standard input."""
        with self.interrupting():
            wait_for_line()
            return sys.stdin.readline()

    def read_secret(self) -> str:
        """What is typed unseen at a terminal, empty at its end; else all of standard input, up to 8 KiB."""
        with self.interrupting():
            if not sys.stdin.isatty():
                return sys.stdin.read(MOST_SECRET)
            try:
                return getpass.getpass("API key (not shown): ", stream=sys.stderr)
            except EOFError:
                return ""

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Inside the block input is read here and now: nothing else is going on while a person thinks."""
        with self.cancelling(asyncio.get_running_loop(), None):
            if self.number is not None:  # it came while the question was being put
                raise KeyboardInterrupt
            yield


def wait_for_line() -> None:
    """Wait until a terminal has a line to read.

    A signal that comes between Python's last look for one and read(2) would not end the read; it ends this.
    """
    if sys.platform == "win32" or not sys.stdin.isatty():
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        select.select([sys.stdin, reader], [], [])
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def run_until_stopped(work: Coroutine[Any, Any, int], stop: Stop) -> int:
    """Run `work` and return its exit code, or that of the signal which stopped it.

    Unlike asyncio.run this does not wait for threads: one may hang on a dead mount or a name server.
    """
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix=WORKERS))
    try:
        task = loop.create_task(work)
        with stop.cancelling(loop, task):
            return loop.run_until_complete(task)
    except asyncio.CancelledError:
        return stop.exit_code
    finally:
        loop.run_until_complete(end_rest())
        loop.close()


async def end_rest() -> None:
    """Cancel every other task of this loop and wait for it; then close the asynchronous generators."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def leave(code: int) -> int:
    """Return `code`, or end the process with it at once if a worker is still held up."""
    workers = [t for t in threading.enumerate() if t.name.startswith(WORKERS)]
    for worker in workers:
        worker.join(GRACE / len(workers))
    if any(worker.is_alive() for worker in workers):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)  # the interpreter would wait for it for ever
    gc.freeze()  # else its last act would be to look through all that was imported
    return code
