"""An editor with a screen: below tmux, which can be asked what stands on it, or on a bare pseudo-terminal.

with tmux("0.10", scene, folder, options=["notes.md"]) as screen:
    screen.keys(":Qwen chat", "Enter")
    screen.until("### user")
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import attrs

from e2e.neovim import STORE, Version, init_lua, program, variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from scene import Scene

DEADLINE = 30.0  # seconds
WAIT = 0.05  # seconds between two looks at the screen
COLUMNS, ROWS = 100, 30


@attrs.define(eq=False)
class Screen:
    """What stands on a screen of tmux, and its keyboard."""

    command: list[str]
    environment: Mapping[str, str]

    def tmux(self, *words: str) -> str:
        """Run a command of tmux."""
        done = subprocess.run(
            [*self.command, *words], env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Press keys, in tmux's names."""
        self.tmux("send-keys", *keys)

    def text(self, *, colours: bool = False) -> str:
        """What stands on the screen, line by line; with its escape sequences, if wanted."""
        return self.tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def until(self, words: str, *, or_else: str | None = None, gone: bool = False) -> str:
        """Wait until words stand on the screen, or others do, or they are gone; the screen then."""
        deadline = time.monotonic() + DEADLINE
        while any(w in (text := self.text()) for w in (words, or_else or words)) == gone:
            assert time.monotonic() < deadline, f"{words!r} {'stays' if gone else 'is not'} on:\n{text}"
            select.select([], [], [], WAIT)  # nothing tells of a change on another terminal
        return text


@contextlib.contextmanager
def below_tmux(
    scene: Scene, folder: Path, command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[Screen]:
    """An editor below tmux, in a folder."""
    root = STORE / "neovim-0.10" / "tree"
    terminals = {"TERMINFO_DIRS": f"{root / 'usr/share/terminfo'}:/lib/terminfo"}
    program = [str(root / "usr/bin/tmux"), "-S", str(scene.root / "tmux"), "-f", "/dev/null"]
    screen = Screen(program, {**environment, **terminals})
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    screen.tmux("new-session", "-d", *size, "-c", str(folder), *command)
    try:
        yield screen
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            screen.tmux("kill-server")


@contextlib.contextmanager
def tmux(version: Version, scene: Scene, folder: Path, *, options: Sequence[str] = ()) -> Iterator[Screen]:
    """A Neovim below tmux, in a folder."""
    init = scene.root / "init.lua"
    init.write_text(init_lua(version))
    command = [program(version), "-n", "-i", "NONE", "-u", str(init), *options]
    with below_tmux(scene, folder, command, variables(version, scene)) as screen:
        yield screen


@attrs.define(eq=False)
class Terminal:
    """A pseudo-terminal's other end, and a socket to ask the Neovim there."""

    master: int
    ask: list[str]
    environment: Mapping[str, str]
    seen: bytearray = attrs.field(factory=bytearray)

    def read(self, seconds: float) -> bytes:
        """What comes within some seconds, at once; empty if nothing does."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        data = os.read(self.master, 65536) if ready else b""
        self.seen += data
        return data

    def press(self, key: str) -> None:
        """Send a key."""
        os.write(self.master, key.encode())

    def answered(self, key: str, echo: str) -> float:
        """Press a key and wait until its echo is drawn; the seconds that took."""
        began, tail, wanted = time.monotonic(), b"", echo.encode()
        self.press(key)
        while wanted not in tail:
            assert time.monotonic() < began + DEADLINE, f"no echo of {key!r}"
            tail = tail[-len(wanted) :] + self.read(DEADLINE)
        return time.monotonic() - began

    def evaluate(self, expression: str) -> str:
        """The value of an expression of Vim's."""
        done = subprocess.run(
            [*self.ask, expression], env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def until_true(self, expression: str) -> None:
        """Wait until an expression of Vim's is true."""
        deadline = time.monotonic() + DEADLINE
        while self.evaluate(expression) in {"", "0", "v:false"}:
            assert time.monotonic() < deadline, f"never: {expression}; {bytes(self.seen[-2000:])!r}"
            self.drain(WAIT)

    def drain(self, seconds: float) -> None:
        """Read what comes for some seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)


@contextlib.contextmanager
def bare(version: Version, scene: Scene, folder: Path, *, more: str = "") -> Iterator[Terminal]:
    """A Neovim on a pseudo-terminal, in a folder; `more` stands in its init.lua."""
    init = scene.root / "init.lua"
    init.write_text(init_lua(version, more))
    socket, environment = str(scene.root / "nvim"), variables(version, scene)
    command = [program(version), "--listen", socket, "-n", "-i", "NONE", "-u", str(init)]
    ask = [program(version), "--server", socket, "--remote-expr"]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as child:
        os.close(slave)
        try:
            yield Terminal(master, ask, environment)
        finally:
            child.terminate()
            with contextlib.suppress(OSError):  # at its end
                while os.read(master, 65536):
                    pass
            os.close(master)
