"""`qwen-ls demo`: runs through by itself without a terminal, stays as a chat prompt with one."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from wire import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE = 60.0  # seconds
DEMO = [sys.executable, "-m", "qwen_ls", "demo"]


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The demo without a terminal."""
    return subprocess.run(
        [*DEMO, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environment(home),
        cwd=home,
    )


def test_it_runs_through_by_itself_and_shows_the_four_requests(tmp_path: Path) -> None:
    """The provider's log holds the device grant, the token request and a chat with each credential."""
    done = run(tmp_path / "home")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "embedded stand-in" in done.stdout.splitlines()[0]
    seen = done.stdout.partition("What the provider saw")[2]
    assert "POST /api/v1/oauth2/device/code" in seen
    assert "POST /api/v1/oauth2/token" in seen
    chats = [line for line in seen.splitlines() if "/v1/chat/completions" in line]
    assert any("OAuth token" in line for line in chats)
    assert any("API key" in line for line in chats)


@pytest.mark.parametrize("fault", ["device=500", "token=403", "chat=500"])
def test_a_provider_in_trouble_makes_it_fail(tmp_path: Path, fault: str) -> None:
    """A step that fails is named, and the exit code is 1."""
    done = run(tmp_path / "home", "--fault", fault)

    assert done.returncode == 1
    assert "This step failed: " in done.stdout


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """HOME stays empty: the demo's own home is a temporary one."""
    home = tmp_path / "home"
    run(home)

    assert list(home.iterdir()) == []


class Terminal:
    """A pseudo-terminal with the demo in it."""

    def __init__(self, home: Path) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            DEMO, stdin=slave, stdout=slave, stderr=slave, env=environment(home, NO_COLOR="1"), cwd=home
        )
        os.close(slave)
        self.shown = ""
        self.read = 0  # how much of it has been looked at

    def until(self, text: str) -> None:
        """Read until `text` has been shown after what was read before."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.shown[self.read :]:
            assert time.monotonic() < deadline, self.shown
            if select.select([self.master], [], [], 1)[0]:
                self.shown += os.read(self.master, 65536).decode("utf-8", "replace")
        self.read = self.shown.index(text, self.read) + len(text)

    def type(self, line: str) -> None:
        """Enter a line."""
        os.write(self.master, line.encode() + b"\n")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A demo on a terminal, gone at the end."""
    found = Terminal(tmp_path)
    yield found
    found.process.kill()
    found.process.wait()
    os.close(found.master)


def test_with_a_terminal_it_stays_as_a_chat_prompt(terminal: Terminal) -> None:
    """Enter approves the sign-in; then /status, /auth and messages work until /quit."""
    terminal.until("press Enter")
    terminal.type("")
    terminal.until("your turn")
    terminal.until("> ")
    terminal.type("/auth")
    terminal.until("Switched to qwen-oauth")
    terminal.until("> ")
    terminal.type("hello from a person")
    terminal.until("hello from a person”")
    terminal.until("> ")
    terminal.type("/status")
    terminal.until("method   qwen-oauth")
    terminal.until("> ")
    terminal.type("/quit")
    terminal.until("All of it worked")

    assert terminal.process.wait(DEADLINE) == 0
