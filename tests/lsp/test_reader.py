"""qwen_ls.lsp.reader: who reads what comes in, that nobody waits, and that the order stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import selectors
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from qwen_ls.lsp import reader
from qwen_ls.lsp.frames import encode
from qwen_ls.lsp.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MESSAGES = 200
PATIENCE = 20.0  # seconds
AT_ONCE = 200  # frames in one turn of the loop: of its own reading and of the thread's
LARGE = "x" * 1024 * 1024  # more than a pipe holds


class Connection:
    """A reader on a pipe, what it has been given, and by whom each piece was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out, self.into = os.pipe()
        self.lost: list[str] = []
        self.is_lost = threading.Event()
        self.frames: list[Any] = []
        self.readers: list[str] = []
        self.more = asyncio.Event()
        self.reader = Reader(self.out, self.lose)
        self.loop = self.reader.new_loop()
        read = os.read

        def named(fd: int, size: int) -> bytes:
            if fd == self.out:
                self.readers.append(threading.current_thread().name)
            return read(fd, size)

        monkeypatch.setattr(os, "read", named)

    def lose(self, why: str) -> None:
        """No more comes."""
        self.lost.append(why)
        self.is_lost.set()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.more.set)

    def receive(self, frame: Any) -> None:
        """Take a frame."""
        self.frames.append(frame)
        self.more.set()

    def write(self, *messages: Any) -> None:
        """As a client writes: until it is done."""
        data = b"".join(map(encode, messages))
        while data:
            data = data[os.write(self.into, data) :]

    def hang_up(self) -> None:
        """No more."""
        into, self.into = self.into, -1  # who sees the end of the file may be in `end` before close returns
        os.close(into)

    def end(self) -> None:
        """Leave no reader behind."""
        if self.into >= 0:
            self.hang_up()
        assert self.is_lost.wait(PATIENCE)
        self.loop.close()
        os.close(self.out)

    def run(self, client: Callable[[], None], until: Callable[[], bool]) -> None:
        """Let a client write in a thread of its own, and the loop run until all has come."""

        async def arrive() -> None:
            self.reader.start(asyncio.get_running_loop(), self.receive)
            threading.Thread(target=client, name="client", daemon=True).start()
            while not until():
                await self.more.wait()
                self.more.clear()

        self.loop.run_until_complete(asyncio.wait_for(arrive(), PATIENCE))


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """One that is closed in the end."""
    connection = Connection(monkeypatch)
    yield connection
    connection.end()


def test_an_idle_loop_reads_for_itself(connection: Connection) -> None:
    """Next to no message is read by the thread and handed over; a few may come while the loop is awake."""
    arrived = threading.Semaphore(0)
    receive = connection.receive

    def answer(frame: Any) -> None:
        receive(frame)
        arrived.release()

    connection.receive = answer  # type: ignore[method-assign]

    def client() -> None:
        for number in range(MESSAGES):
            connection.write({"number": number})
            arrived.acquire(timeout=PATIENCE)

    connection.run(client, lambda: len(connection.frames) == MESSAGES)
    assert connection.readers.count("stdin") < MESSAGES / 2


def test_a_busy_loop_lets_nobody_wait(connection: Connection) -> None:
    """A client may write more than a pipe holds, and hang up, before the loop has a turn again."""
    done = threading.Event()
    receive = connection.receive

    def busy(frame: Any) -> None:
        receive(frame)
        if frame == {"be": "busy"}:
            assert done.wait(PATIENCE)

    connection.receive = busy  # type: ignore[method-assign]

    def client() -> None:
        connection.write({"be": "busy"})
        for number in range(4):
            connection.write({"number": number, "text": LARGE})
        connection.hang_up()
        done.set()

    connection.run(client, lambda: bool(connection.lost) and len(connection.frames) == 5)
    assert [frame.get("number") for frame in connection.frames] == [None, 0, 1, 2, 3]
    assert "stdin" in connection.readers
    assert connection.lost[0] == "stdin: end of file"


def test_the_order_stays_whoever_reads(connection: Connection) -> None:
    """Loop and thread take turns, and each message comes once, after the one before it."""
    count = 20_000
    receive = connection.receive

    def sometimes_busy(frame: Any) -> None:
        receive(frame)
        if frame["number"] % 1000 == 0:
            sum(range(100_000))

    connection.receive = sometimes_busy  # type: ignore[method-assign]

    def client() -> None:
        for number in range(count):
            connection.write({"number": number})

    connection.run(client, lambda: len(connection.frames) == count)
    assert [frame["number"] for frame in connection.frames] == list(range(count))


def test_a_python_that_does_not_name_the_flag() -> None:
    """One that was built with an old C library: it is the kernel that counts."""
    assert reader.EXCLUSIVE == select.EPOLLEXCLUSIVE
    forgets = (
        "import select; del select.EPOLLEXCLUSIVE; from qwen_ls.lsp.reader import EXCLUSIVE; print(EXCLUSIVE)"
    )
    done = subprocess.run([sys.executable, "-c", forgets], capture_output=True, check=True, timeout=60)
    assert int(done.stdout) == select.EPOLLEXCLUSIVE


def test_a_flood_leaves_others_their_turn(connection: Connection) -> None:
    """However much has come, only so many frames are handed over before the loop goes on."""
    count, turn, taken = 20_000, 0, Counter[int]()

    def receive(frame: Any) -> None:
        connection.frames.append(frame)
        taken[turn] += 1
        connection.more.set()

    def tick() -> None:
        nonlocal turn
        turn += 1
        connection.loop.call_soon(tick)

    connection.receive = receive  # type: ignore[method-assign]
    connection.loop.call_soon(tick)
    connection.run(
        lambda: connection.write(*({"n": n} for n in range(count))), lambda: len(connection.frames) == count
    )
    assert max(taken.values()) <= AT_ONCE


@pytest.mark.parametrize("lacks", ["epoll", "EPOLLEXCLUSIVE"])
def test_where_the_loop_cannot_read(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    """On another system, or where Linux refuses, the thread reads everything."""
    if lacks == "epoll":
        monkeypatch.delattr(selectors, "EpollSelector")
    else:
        monkeypatch.setattr(reader, "EXCLUSIVE", reader.EXCLUSIVE | select.EPOLLONESHOT)  # EINVAL
    connection = Connection(monkeypatch)

    def client() -> None:
        connection.write({"number": 1})
        connection.hang_up()

    connection.run(client, lambda: bool(connection.lost))
    connection.end()
    assert connection.frames == [{"number": 1}]
    assert set(connection.readers) == {"stdin"}


def test_stdin_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nothing can wait for is read to its end all the same."""
    connection = Connection(monkeypatch)
    file = tmp_path / "frames"
    file.write_bytes(encode({"number": 1}))
    with file.open("rb") as opened:
        os.dup2(opened.fileno(), connection.out)
    connection.run(lambda: None, lambda: bool(connection.lost))
    connection.end()
    assert connection.frames == [{"number": 1}]
