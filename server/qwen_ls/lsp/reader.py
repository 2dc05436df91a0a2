"""What comes in on stdin, and who reads it: the loop while it is idle, a thread while it is busy.

A message that the loop reads itself need not be handed from one thread to another, which is most of what a
short command costs. But a loop that is busy reads nothing, and then the client's next write would wait for
room in the pipe, and the end of the file would go unnoticed. So a thread waits as well.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import select
import selectors
import threading
from typing import TYPE_CHECKING

from qwen_ls.lsp.frames import Frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwen_ls.lsp.frames import Bad, Message

PIECE = 64 * 1024  # bytes; what a pipe holds on Linux
AT_ONCE = 100  # frames that are handed over before anything else has a turn
# linux/eventpoll.h; a Python that was built with an old C library does not name it.
EXCLUSIVE = getattr(select, "EPOLLEXCLUSIVE", 1 << 28)


class Reader:
    """Where incoming frames come from. `lost` is called with the reason when no more can come.

    Which of the two reads, Linux decides: of those that wait for the same file with EPOLLEXCLUSIVE it wakes
    one, the first that is really waiting (epoll_ctl(2)). The loop registers first. Elsewhere, and where
    stdin is a file, the thread reads everything.
    """

    def __init__(self, fd: int, lost: Callable[[str], None]) -> None:
        self._fd = fd
        self._lost = lost
        self._frames = Frames()
        self._arrived: collections.deque[Message | Bad] = collections.deque()
        self._reading = threading.Lock()  # one reads at a time, so that frames arrive in their order
        self._is_due = False  # whether the loop has been asked to hand over, and has not begun
        self._selector = selectors.EpollSelector() if hasattr(selectors, "EpollSelector") else None

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """The loop to read in."""
        if self._selector is None:
            return asyncio.new_event_loop()
        return asyncio.SelectorEventLoop(self._selector)

    def start(self, loop: asyncio.AbstractEventLoop, receive: Callable[[Message | Bad], object]) -> None:
        """Call `receive` in `loop` with each frame from now on."""
        self._loop = loop
        self._receive = receive
        busy = self._share()
        work = self._read_everything if busy is None else self._read_while_busy
        threading.Thread(target=work, args=() if busy is None else (busy,), name="stdin", daemon=True).start()

    def _share(self) -> select.epoll | None:
        """Have the loop read, and return what wakes whoever reads in its place; None: the loop cannot."""
        if self._selector is None:
            return None
        exclusive = select.EPOLLIN | EXCLUSIVE
        try:
            self._loop.add_reader(self._fd, self._read_in_loop)
            with select.epoll.fromfd(os.dup(self._selector.fileno())) as of_loop:
                of_loop.unregister(self._fd)
                of_loop.register(self._fd, exclusive)
            busy = select.epoll()
            busy.register(self._fd, exclusive)
        except (OSError, ValueError):  # a file, or a loop of another kind
            self._loop.remove_reader(self._fd)
            return None
        return busy

    def _read_in_loop(self) -> None:
        if not self._reading.acquire(blocking=False):
            return  # the thread is at it, and hands over what it gets
        try:
            is_open = not is_readable(self._fd) or self._read()
        finally:
            self._reading.release()
        if not is_open:
            self._loop.remove_reader(self._fd)
        if not self._is_due:
            self._hand_over()

    def _read_while_busy(self, busy: select.epoll) -> None:
        is_open = True
        while is_open:
            busy.poll()
            with self._reading:
                is_open = not is_readable(self._fd) or self._read()
            self._wake()

    def _read_everything(self) -> None:
        while self._read():
            self._wake()
        self._wake()

    def _read(self) -> bool:
        """Take in what is there, or wait for it; whether more may come."""
        try:
            if piece := os.read(self._fd, PIECE):
                self._arrived.extend(self._frames.feed(piece))
                return True
            self._lost("stdin: end of file")
        except Exception as error:  # noqa: BLE001 - a reader that ends in silence leaves a deaf server behind
            self._lost(f"stdin: {type(error).__name__}")
        return False

    def _wake(self) -> None:
        """Have the loop take what has arrived; never wait for it, or the end of the file is not seen."""
        if not self._is_due:
            self._is_due = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._is_due = False  # first of all: what arrives from now on may come too late for this turn
        for _ in range(min(AT_ONCE, len(self._arrived))):
            self._receive(self._arrived.popleft())
        if self._arrived:
            self._wake()


def is_readable(fd: int) -> bool:
    """Whether a read would return at once: the other reader may have taken what was there."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
