"""A user's home and working folder, and `qwen-ls` run there as real processes, with or without a terminal.

The environment is scrubbed: PATH, HOME, and what a test adds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import sys
import termios
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

import qwen_ls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

PATIENCE = 20.0  # seconds until a process that hangs fails its test
NOTHING: Mapping[str, str] = MappingProxyType({})
SOURCES = Path(qwen_ls.__file__).parents[1]
# Runs a command as the foreground of the terminal on its standard input or error, as a shell would.
IN_FOREGROUND = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(2 if os.isatty(2) else 0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@attrs.frozen
class Done:
    """What a finished process left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        found = json.loads(lines[0])
        assert isinstance(found, dict)
        return found

    @property
    def complaint(self) -> str:
        """The one line on standard error; no other, and no traceback."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("qwen-ls: "), self.err
        return lines[0]


def write(path: Path, **variables: str) -> Path:
    """Write a `.env` file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), encoding="utf-8")
    return path


def files_under(folder: Path) -> dict[str, bytes | None]:
    """Every file with its content, and every folder, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@attrs.frozen
class Shell:
    """Where commands run."""

    home: Path
    folder: Path
    _started: list[asyncio.subprocess.Process] = attrs.field(factory=list, repr=False)

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """All that a process inherits."""
        scrubbed = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(SOURCES)}
        return {**scrubbed, **variables}

    def command(self, *arguments: str) -> list[str]:
        """`qwen-ls` with these arguments."""
        return [sys.executable, "-m", "qwen_ls", *arguments]

    async def start(
        self,
        *arguments: str,
        cwd: Path | None = None,
        stdout: int = asyncio.subprocess.PIPE,
        env: Mapping[str, str] = NOTHING,
    ) -> asyncio.subprocess.Process:
        """Start `qwen-ls` without a terminal."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            cwd=cwd or self.folder,
            env=self.environment(env),
            stdin=asyncio.subprocess.PIPE,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
        )
        self._started.append(process)
        return process

    async def close(self) -> None:
        """End what a test that failed has left running."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(
        self, *arguments: str, stdin: bytes = b"", cwd: Path | None = None, env: Mapping[str, str] = NOTHING
    ) -> Done:
        """Run `qwen-ls` without a terminal, to its end."""
        process = await self.start(*arguments, cwd=cwd, env=env)
        return await finish(process, stdin)

    @contextlib.asynccontextmanager
    async def at_terminal(self, *arguments: str, env: Mapping[str, str] = NOTHING) -> AsyncIterator[Terminal]:
        """Run `qwen-ls` with a person in front: input and standard error are a terminal, output a pipe."""
        ours, theirs = pty.openpty()
        quiet = termios.tcgetattr(theirs)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, quiet)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            IN_FOREGROUND,
            *self.command(*arguments),
            cwd=self.folder,
            env=self.environment(env),
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        terminal = Terminal(process, ours)
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, terminal.read)
        try:
            yield terminal
        finally:
            loop.remove_reader(ours)
            os.close(ours)
            if process.returncode is None:
                process.kill()
            await process.wait()


def allow_plaintext(shell: Shell) -> None:
    """The user's word that keys may lie in a plain file."""
    path = shell.home / ".config/qwen-ls/settings.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"allowPlaintextKeys": True}))


@attrs.define
class Terminal:
    """A pseudo-terminal, seen from the keyboard and the screen."""

    process: asyncio.subprocess.Process
    _descriptor: int
    screen: str = ""
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def read(self) -> None:
        """Take what the process has written."""
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # EIO: the process has gone
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self.screen += data.decode("utf-8", "replace").replace("\r\n", "\n")
        self._changed.set()

    async def wait_for(self, text: str) -> str:
        """Wait until the screen shows a text, and return all of it."""

        async def shown() -> None:
            while text not in self.screen:
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(shown(), PATIENCE)
        except asyncio.TimeoutError:
            raise AssertionError(f"{text!r} is not on the screen: {self.screen!r}") from None
        return self.screen

    def type(self, keys: str) -> None:
        r"""Press keys; "\x03" is Ctrl-C."""
        os.write(self._descriptor, keys.encode())

    async def end(self) -> Done:
        """Wait for the process, and for the last it wrote."""
        assert self.process.stdout is not None
        out = await asyncio.wait_for(self.process.stdout.read(), PATIENCE)
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(self._descriptor, False)
            while True:
                before = len(self.screen)
                self.read()
                if len(self.screen) == before:
                    break
        return Done(code, out.decode(), self.screen)


async def finish(process: asyncio.subprocess.Process, stdin: bytes = b"") -> Done:
    """Wait for a process and take all it wrote."""
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin if process.stdin else None), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, out.decode() if out else "", err.decode())
