"""Programs under measurement: real processes, talked to over their pipes, with little around."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE = 60.0  # seconds for anything; what takes longer hangs
SETTLED = 0.5  # seconds without a change of memory
PIECE = 1 << 20  # bytes
SCHEDULED = 2  # the clock of a process' CPU time: include/linux/posix-timers.h


class Stuck(Exception):  # noqa: N818 - a fact about the program
    """A program has ended, or does not answer."""


class Child:
    """A process and its pipes."""

    def __init__(self, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        self.argv = [str(a) for a in argv]
        self.log = (cwd / f"{Path(self.argv[-1]).name}.log").open("ab")
        self.born = time.monotonic()
        self.process = subprocess.Popen(
            self.argv, env=dict(env), cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Make sure that nothing is left of it."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()
        self._selector.close()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def write(self, data: bytes) -> None:
        """All of `data`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._in, rest) :]

    def wait(self, timeout: float = PATIENCE) -> bool:
        """Wait for output, and take it; whether there was any. Raises Stuck at its end."""
        if not self._selector.select(max(timeout, 0)):
            return False
        piece = os.read(self._out, PIECE)
        if not piece:
            raise Stuck(f"{' '.join(self.argv)} has ended")
        self._buffer += piece
        return True

    def line(self) -> bytes:
        """The next line of output."""
        while (end := self._buffer.find(b"\n")) < 0:
            if not self.wait():
                raise Stuck(f"{' '.join(self.argv)} says nothing")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def elapsed(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.born

    # --- what it costs ----------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """The process and those it has started."""
        found, new = [self.process.pid], [self.process.pid]
        while new:
            parent = new.pop()
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    new += (more := [int(pid) for pid in task.read_text().split()])
                    found += more
        return found

    def cpu(self) -> float:
        """Seconds of CPU time so far, of this process alone, to the nanosecond."""
        return time.clock_gettime((~self.process.pid << 3) | SCHEDULED)

    def memory(self) -> int:
        """KiB that it and its children hold (resident)."""
        return sum(map(resident, self.pids()))

    def settled(self) -> int:
        """The same once it does not change any more, no sooner than 1.5 s from now."""
        since = time.monotonic()
        before, stable = 0, since
        while (now := time.monotonic()) - stable < SETTLED or now - since < 3 * SETTLED:
            if abs((held := self.memory()) - before) > 64:
                before, stable = held, now
            self.drain(0.05)
        return before

    def drain(self, seconds: float) -> None:
        """Take what it says for a while; kinds of it that are read know better."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.wait(left)


def resident(pid: int) -> int:
    """KiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)


class Server(Child):
    """A language server."""

    def __init__(self, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> None:
        super().__init__(argv, env, cwd)
        self._ids = itertools.count(1)
        self.notifications: list[tuple[float, dict[str, Any]]] = []  # each with the time it came

    def send(self, method: str, params: Any = None, id_: int | None = None) -> None:
        """One message."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if id_ is not None:
            message["id"] = id_
        self.write(framed(message))

    def begin(self, method: str, params: Any = None) -> int:
        """A request; its id."""
        id_ = next(self._ids)
        self.send(method, params, id_)
        return id_

    def request(self, method: str, params: Any = None) -> Any:
        """A request and its result. What else comes meanwhile is kept or answered."""
        id_ = self.begin(method, params)
        while True:
            for message in self.messages():
                if message.get("id") == id_ and "method" not in message:
                    if "error" in message:
                        raise Stuck(f"{method}: {message['error']}")
                    return message.get("result")

    def command(self, name: str, argument: Any) -> Any:
        """`workspace/executeCommand`."""
        return self.request("workspace/executeCommand", {"command": name, "arguments": [argument]})

    def messages(self, timeout: float = PATIENCE) -> list[dict[str, Any]]:
        """What comes next, all that is there at once; answers to its requests are given, with null."""
        if timeout == PATIENCE and not self._whole():
            deadline = time.monotonic() + timeout
            while not self._whole():
                if not self.wait(deadline - time.monotonic()):
                    raise Stuck(f"{' '.join(self.argv)} does not answer")
        elif not self._whole():
            self.wait(timeout)
        now, found = time.monotonic(), []
        while (message := self._take()) is not None:
            found.append(message)
            if "method" in message and "id" in message:
                self.write(framed({"jsonrpc": "2.0", "id": message["id"], "result": None}))
            elif "method" in message:
                self.notifications.append((now, message))
        return found

    def drain(self, seconds: float) -> None:
        """Take and answer."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.messages(left)
        self.notifications.clear()

    def _whole(self) -> int:
        """Where the first whole message ends, 0 if there is none."""
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return 0
        length = next(
            int(line[15:])
            for line in bytes(self._buffer[:head]).lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        end = head + 4 + length
        return end if len(self._buffer) >= end else 0

    def _take(self) -> dict[str, Any] | None:
        end = self._whole()
        if not end:
            return None
        body = bytes(self._buffer[self._buffer.find(b"\r\n\r\n") + 4 : end])
        del self._buffer[:end]
        message: dict[str, Any] = json.loads(body)
        return message

    def initialize(self, folder: Path, capabilities: Mapping[str, Any]) -> None:
        """`initialize`."""
        uri = folder.as_uri()
        self.request(
            "initialize",
            {
                "processId": os.getpid(),
                "clientInfo": {"name": "bench", "version": "1"},
                "rootUri": uri,
                "workspaceFolders": [{"uri": uri, "name": folder.name}],
                "capabilities": capabilities,
                "initializationOptions": {
                    "editorInfo": {"name": "bench", "version": "1"},
                    "editorPluginInfo": {"name": "bench", "version": "1"},
                },
            },
        )


def framed(message: Mapping[str, Any]) -> bytes:
    """A message in its frame."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def run(argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> tuple[float, bytes]:
    """Run a program to its end: the seconds it took, and what it said. Raises Stuck when it fails."""
    began = time.monotonic()
    done = subprocess.run(
        [str(a) for a in argv],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    took = time.monotonic() - began
    if done.returncode:
        raise Stuck(f"{' '.join(map(str, argv))}: {done.stderr.decode(errors='replace')[-400:]}")
    return took, done.stdout
