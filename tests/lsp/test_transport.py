"""The transport over real pipes and real processes: what it carries, and that it always leaves in time."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from qwen_ls.lsp.frames import Frames, encode
from qwen_ls.lsp.transport import MAX_QUEUED, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAVE_S = 2.0  # what an editor may have to wait for us
PATIENCE_S = 20.0  # for everything that only has to happen at all, on a busy machine
ECHO = [sys.executable, str(Path(__file__).with_name("echo_server.py"))]
# Starts the server on its own pipes, says both ids, and waits for its end.
WRAPPER_CODE = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
os.write(2, f"ids {os.getpid()} {child.pid}\\n".encode())
child.wait()
"""
WRAPPER = [sys.executable, "-c", WRAPPER_CODE]


class Server:
    """A child process on pipes of its own, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._frames = Frames()
        self._messages: list[Any] = []
        self._errors = b""

    def send(self, *messages: Any, raw: bytes = b"") -> None:
        """Write messages, then raw bytes."""
        stdin = self._stream(self.process.stdin)
        stdin.write(b"".join(map(encode, messages)) + raw)
        stdin.flush()

    def next(self) -> Any:
        """Return the next message on stdout."""
        stdout = self._stream(self.process.stdout)
        while not self._messages:
            piece = self._read(stdout)
            assert piece, f"stdout ended; stderr: {self._errors!r}"
            self._messages += self._frames.feed(piece)
        return self._messages.pop(0)

    def ask(self, message: Any) -> Any:
        """Send a message and return the next one that comes."""
        self.send(message)
        return self.next()

    def await_error(self, pattern: str) -> re.Match[bytes]:
        """Wait until stderr has a line that matches, and return the match."""
        stderr, line = self._stream(self.process.stderr), re.compile(pattern.encode(), re.MULTILINE)
        while not (match := line.search(self._errors)):
            piece = self._read(stderr)
            assert piece, f"stderr ended without {pattern!r}: {self._errors!r}"
            self._errors += piece
        return match

    def errors(self) -> str:
        """Return all of stderr; the process has ended."""
        self._errors += self._stream(self.process.stderr).read()
        return self._errors.decode()

    def rest(self) -> bytes:
        """Return what is left on stdout; the process has ended."""
        return self._stream(self.process.stdout).read()

    def leaves(self) -> int:
        """Return the exit code, which must come within the two seconds."""
        return self.process.wait(LEAVE_S)

    def hang_up(self) -> None:
        """Close the server's stdin."""
        self._stream(self.process.stdin).close()

    def stop_listening(self) -> None:
        """Close the reading end of the server's stdout."""
        self._stream(self.process.stdout).close()

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream

    @staticmethod
    def _read(stream: IO[bytes]) -> bytes:
        assert select.select([stream], [], [], PATIENCE_S)[0], "nothing came"
        return os.read(stream.fileno(), 65536)


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[Server]:
    """Start a server in a process group of its own, and leave nothing of it behind."""
    pipe = subprocess.PIPE
    # Buffered as an editor starts it: only then has a stuck write to stderr a lock that others run into.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, start_new_session=True)
    try:
        yield Server(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):
                Server._stream(stream).close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that has answered once."""
    with started(ECHO) as server:
        assert server.ask({"ready": True}) == {"ready": True}
        yield server


def test_echo(server: Server) -> None:
    """Messages come back in order, many in one piece and one in many pieces."""
    server.send(*({"number": number} for number in range(3000)))
    assert [server.next()["number"] for _ in range(3000)] == list(range(3000))
    for byte in encode({"slow": "é"}):
        server.send(raw=bytes([byte]))
    assert server.next() == {"slow": "é"}


def test_large_message(server: Server) -> None:
    """A message near the limit goes through both pipes while nobody waits for anybody."""
    text = "x" * (15 * 1024 * 1024)
    sending = threading.Thread(target=server.send, args=({"text": text},))
    sending.start()
    assert server.next() == {"text": text}
    sending.join()


def test_bad_frame(server: Server) -> None:
    """A bad frame is handed over as such, and the messages after it still arrive."""
    server.send(raw=b"Content-Length: 1000000000000\r\n\r\n{}")
    assert "Content-Length" in server.next()["bad"]
    assert server.ask({"after": 1}) == {"after": 1}


# --- stray output and input ---------------------------------------------------------------------------------


def test_stray_print(server: Server) -> None:
    """What the process prints, or a child of it, goes to stderr; a child gets nothing of stdin."""
    server.send({"do": "stray"}, {"behind": "the child"})
    assert server.next() == {"child": 0}
    assert server.next() == {"behind": "the child"}
    server.hang_up()
    assert server.leaves() == 1
    assert server.rest() == b""
    assert "stray print" in server.errors()
    assert "child read ''" in server.errors()


# --- leaving ------------------------------------------------------------------------------------------------

CONDITIONS: dict[str, list[dict[str, Any]]] = {
    "idle": [],
    "stuck threads": [{"do": "stick"}],
    "blocked loop": [{"do": "block"}],
    "blocked loop and a queue": [{"do": "block"}, *[{"number": number} for number in range(3000)]],
    "full stdout": [{"do": "flood", "count": 2000}],
    "full stdout and blocked loop": [{"do": "flood", "count": 2000}, {"do": "block"}],
    "full stderr": [{"do": "clog"}],
    "closing that never ends": [{"do": "closing", "how": ["never"]}],
    "everything": [
        {"do": "stick"},
        {"do": "closing", "how": ["never"]},
        {"do": "flood", "count": 2000},
        {"do": "block"},
    ],
}
REACHED = {"block": "^blocked$", "flood": "^flooded$"}  # what stderr says; the others answer
CONDITION = pytest.mark.parametrize("condition", CONDITIONS)


def bring_about(server: Server, condition: str) -> None:
    """Put the server into a condition, and wait until it is in it."""
    for message in CONDITIONS[condition]:
        server.send(message)
        if message.get("do") in REACHED:
            server.await_error(REACHED[message["do"]])
        elif "do" in message:
            assert server.next()


@CONDITION
def test_end_of_stdin(server: Server, condition: str) -> None:
    """The server leaves within two seconds of the end of stdin, whatever is running."""
    bring_about(server, condition)
    server.hang_up()
    assert server.leaves() == 1


def test_end_of_stdin_in_mid_frame(server: Server) -> None:
    """Nor does half a frame before the end keep it."""
    server.send(raw=encode({"a": "b"})[:-3])
    server.hang_up()
    assert server.leaves() == 1


@CONDITION
def test_closed_stdout(server: Server, condition: str) -> None:
    """The server leaves within two seconds when nobody can read it any more, even with nothing to say."""
    bring_about(server, condition)
    server.stop_listening()
    assert server.leaves() == 1


@CONDITION
def test_death_of_the_client(condition: str) -> None:
    """The server leaves within two seconds of its client's death, while somebody else holds the pipes."""
    with started([*WRAPPER, *ECHO]) as server:
        ids = server.await_error(r"^ids (\d+) (\d+)$")
        assert server.ask({"do": "watch", "pid": int(ids[1])}) == {"watched": True}
        bring_about(server, condition)
        assert_leaves_with_client(server, int(ids[2]))


@pytest.mark.parametrize("condition", ["idle", "full stderr", "everything"])
def test_death_of_the_parent_without_pidfd(condition: str) -> None:
    """So it does where the system cannot report the end of a process."""
    with started([*WRAPPER, *ECHO]) as server:
        ids = server.await_error(r"^ids (\d+) (\d+)$")
        watch = {"do": "watch", "pid": int(ids[1]), "without": "pidfd_open"}
        assert server.ask(watch) == {"watched": True}
        bring_about(server, condition)
        assert_leaves_with_client(server, int(ids[2]))


def assert_leaves_with_client(server: Server, pid: int) -> None:
    """Kill the client, and see that process `pid`, which is not our child, is gone within two seconds."""
    server_end = os.pidfd_open(pid)
    server.process.kill()
    assert select.select([server_end], [], [], LEAVE_S)[0]
    os.close(server_end)


def test_death_of_a_further_ancestor() -> None:
    """A client that started us through another program is watched as well."""
    with started([*WRAPPER, *WRAPPER, *ECHO]) as server:
        outer = server.await_error(r"^ids (\d+) (\d+)$")
        inner = server.await_error(rf"^ids ({int(outer[2])}) (\d+)$")
        assert server.ask({"do": "watch", "pid": int(outer[1])}) == {"watched": True}
        assert_leaves_with_client(server, int(inner[2]))


def test_reason(server: Server) -> None:
    """The reason and the exit code are those of whoever ended the connection first."""
    server.send({"do": "exit", "code": 7})
    assert server.leaves() == 7
    assert server.errors().endswith("why: told to, code: 7\n")


def test_exit_with_success(server: Server) -> None:
    """An orderly end exits with 0."""
    server.send({"do": "exit", "code": 0})
    assert server.leaves() == 0


def test_exit_code_from_the_watchdog(server: Server) -> None:
    """The exit code holds also when the main path is stuck."""
    server.send({"do": "exit", "code": 5}, {"do": "block"})
    assert server.leaves() == 5


def test_last_replies_are_sent(server: Server) -> None:
    """What was answered before the end reaches a client that still reads, though no pipe holds it all."""
    last = {"last": "x" * 6_000_000}
    server.send(last, {"do": "exit", "code": 0})
    assert server.next() == last
    assert server.leaves() == 0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ([], "closed\nwhy: stdin: end of file, code: 1\n"),
        (["fails"], "closing failed: ValueError\nwhy: stdin: end of file, code: 1\n"),
        (["cancels"], "closed\nwhy: stdin: end of file, code: 1\n"),
        (["never"], "closing\nwhy: stdin: end of file, code: 1\n"),
    ],
    ids=["at once", "with an error", "by cancelling every task", "never"],
)
def test_closing(server: Server, how: list[str], said: str) -> None:
    """The main path closes first, and goes on leaving whatever comes of it; no error's text is logged."""
    server.ask({"do": "closing", "how": how})
    server.hang_up()
    assert server.leaves() == 1
    assert server.errors().endswith(said)


# --- whom to watch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pid", [None, 0, 1, -1, True, "12", 1.5, [], 2**22 + 1, 2**31, 2**70], ids=repr)
def test_no_process(server: Server, pid: object) -> None:
    """What names no process here is not watched, and harms nothing."""
    assert server.ask({"do": "watch", "pid": pid}) == {"watched": False}
    assert server.ask({"still": "there"}) == {"still": "there"}


@pytest.mark.parametrize("without", [{}, {"without": "pidfd_open"}], ids=["pidfd", "without pidfd"])
def test_no_ancestor(server: Server, without: dict[str, str]) -> None:
    """A living process that is not our ancestor is not watched: its end means nothing to us."""
    with started(ECHO) as other:
        assert other.ask({"ready": True})
        pid = other.process.pid
        assert server.ask({"do": "watch", "pid": pid, **without}) == {"watched": False}
        assert server.ask({"do": "watch", "pid": server.process.pid}) == {"watched": False}
        other.process.kill()
        other.process.wait()
    assert server.ask({"still": "there"}) == {"still": "there"}


def test_dead_process(server: Server) -> None:
    """A process that has ended, whether or not anybody has waited for it, is not watched."""
    with started(ECHO) as other:
        other.process.kill()
        os.waitid(os.P_PID, other.process.pid, os.WEXITED | os.WNOWAIT)
        assert server.ask({"do": "watch", "pid": other.process.pid}) == {"watched": False}
        other.process.wait()
        assert server.ask({"do": "watch", "pid": other.process.pid}) == {"watched": False}
    assert server.ask({"still": "there"}) == {"still": "there"}


def test_only_the_parent_without_pidfd() -> None:
    """Where only the parent can be told, a further ancestor is not watched."""
    with started([*WRAPPER, *ECHO]) as server:
        watch = {"do": "watch", "pid": os.getpid(), "without": "pidfd_open"}
        assert server.ask(watch) == {"watched": False}


def test_name_with_brackets() -> None:
    """A program whose name holds blanks and brackets does not hide its own parent."""
    named = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) R 1 (b', 0, 0, 0)"  # prctl(2), PR_SET_NAME
    with started([sys.executable, "-c", named + WRAPPER_CODE, *ECHO]) as server:
        assert server.ask({"do": "watch", "pid": os.getpid()}) == {"watched": True}


# --- a client that does not read ----------------------------------------------------------------------------


def test_client_that_does_not_read(server: Server) -> None:
    """While stdout is full, messages are received and acted upon; nothing is lost once it is read again."""
    server.send({"do": "flood", "count": 4000})
    server.await_error("^flooded$")
    server.send({"do": "mark", "name": "cancel"}, {"after": "the flood"})
    server.await_error("^mark cancel$")
    assert [server.next()["number"] for _ in range(4000)] == list(range(4000))
    assert server.next() == {"after": "the flood"}


def test_client_that_never_reads(server: Server) -> None:
    """With 64 MiB unread, the client is taken for gone."""
    server.send({"do": "flood", "count": MAX_QUEUED // 1000 + 100})
    server.await_error("^flooded$")
    assert server.leaves() == 1
    assert server.errors().endswith("why: the client does not read, code: 1\n")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: the end to read from, the end to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def drain(fd: int, count: int) -> bytes:
    """Read exactly `count` bytes."""
    found = b""
    while len(found) < count:
        assert select.select([fd], [], [], PATIENCE_S)[0], "nothing came"
        found += os.read(fd, count - len(found))
    return found


def test_writer_limit(pipe: tuple[int, int]) -> None:
    """At the limit the writer says once that nobody reads, drops what is queued, and blocks nobody."""
    reasons: list[str] = []
    others = set(threading.enumerate())
    writer = Writer(pipe[1], reasons.append, limit=300_000)
    for _ in range(3):
        writer.write(b"x" * 100_000)
    assert select.select([pipe[0]], [], [], PATIENCE_S)[0]  # a piece is on its way, more than the pipe holds
    assert reasons == []
    writer.write(b"x")
    writer.write(b"x" * 1_000_000)
    assert reasons == ["the client does not read"]
    start = time.monotonic()
    assert not writer.flush(PATIENCE_S)
    assert time.monotonic() - start < PATIENCE_S / 2
    os.close(pipe[0])
    for thread in set(threading.enumerate()) - others:  # a broken pipe afterwards is no second reason
        thread.join(PATIENCE_S)
    assert reasons == ["the client does not read"]


def test_writer_counts_what_is_written(pipe: tuple[int, int]) -> None:
    """The limit is on what waits, not on what has ever been written."""
    reasons: list[str] = []
    writer = Writer(pipe[1], reasons.append, limit=100_000)
    for _ in range(20):
        writer.write(b"x" * 60_000)
        drain(pipe[0], 60_000)
        assert writer.flush(PATIENCE_S)
    assert reasons == []


def test_writer_flush(pipe: tuple[int, int]) -> None:
    """Flushing tells whether everything went out, and waits no longer than it may."""
    writer = Writer(pipe[1], pytest.fail)
    assert writer.flush(0)
    writer.write(b"x" * 1_000_000)
    assert not writer.flush(0.01)
    drain(pipe[0], 1_000_000)
    assert writer.flush(PATIENCE_S)


def test_writer_empty_write(pipe: tuple[int, int]) -> None:
    """Writing nothing is nothing, and ends nothing."""
    writer = Writer(pipe[1], pytest.fail)
    writer.write(b"")
    deadline = time.monotonic() + PATIENCE_S
    while writer._queue and time.monotonic() < deadline:  # nothing that can be seen from outside
        os.sched_yield()
    writer.write(b"more")
    writer.close()
    assert drain(pipe[0], 4) == b"more"


def test_writer_closed_pipe(pipe: tuple[int, int]) -> None:
    """A closed pipe is reported by its kind, and not waited for."""
    lost, reasons = threading.Event(), []

    def note(why: str) -> None:
        reasons.append(why)
        lost.set()

    writer = Writer(pipe[1], note)
    os.close(pipe[0])
    writer.write(b"x")
    assert lost.wait(PATIENCE_S)
    assert reasons == ["stdout: BrokenPipeError"]
    writer.write(b"x")
    assert not writer.flush(PATIENCE_S)


def test_writer_from_many_threads(pipe: tuple[int, int]) -> None:
    """Frames of several threads are not mixed, and each thread's stay in order."""
    writer = Writer(pipe[1], pytest.fail)

    def write(letter: bytes) -> None:
        for number in range(500):
            writer.write(b"%b%06d\n" % (letter, number))

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    lines = drain(pipe[0], 3 * 500 * 8).splitlines()
    for thread in threads:
        thread.join()
    for letter in (b"a", b"b", b"c"):
        assert [line for line in lines if line[:1] == letter] == [b"%b%06d" % (letter, n) for n in range(500)]


# --- starting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["2>&-", "</dev/null", ">/dev/full", "<&- 2>/dev/null", ">&- 2>/dev/null"])
def test_odd_descriptors(closed: str) -> None:
    """A server with a descriptor that is closed, empty or full ends; it does not hang."""
    shell = ["sh", "-c", f'exec "$0" "$@" {closed}', *ECHO]
    with started(shell) as server:
        with contextlib.suppress(BrokenPipeError):
            server.send({"a": 1})
        if closed == "2>&-":
            assert server.next() == {"a": 1}
            assert server.ask({"do": "stray"}) == {"child": 0}
            server.hang_up()
        assert server.process.wait(PATIENCE_S) == 1


def test_descriptors_that_do_not_block() -> None:
    """A client that made its ends non-blocking, and ours with them, is served all the same."""
    code = (
        "import os, sys; [os.set_blocking(fd, False) for fd in (0, 1)]; os.execv(sys.argv[1], sys.argv[1:])"
    )
    with started([sys.executable, "-c", code, *ECHO]) as server:
        assert server.ask({"ready": True}) == {"ready": True}
        server.send({"do": "flood", "count": 500})
        server.await_error("^flooded$")
        assert [server.next()["number"] for _ in range(500)] == list(range(500))


def test_import_is_light() -> None:
    """The transport pulls in nothing that costs: no pygls, no lsprotocol, no httpx."""
    code = "import sys, qwen_ls.lsp.transport; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"pygls", "lsprotocol", "httpx", "cattrs", "ctypes"} & set(loaded.stdout.split())
