"""Helix as it comes, with the few lines of settings of its page: a chat document, and a `.env` file."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from e2e.neovim import STORE, surroundings
from e2e.pages import settings_of
from e2e.terminal_screen import DEADLINE, below_tmux
from qwen_ls.core.envfix import MOVE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.llama import Llama
    from e2e.terminal_screen import Screen
    from scene import Scene

CHAT = "chat.qwen.md"
NOT_YET = "No c"  # onfigured language server, before it has started; ode actions, before it has seen a change


@contextlib.contextmanager
def helix(scene: Scene, folder: Path, file: str = CHAT) -> Iterator[Screen]:
    """A Helix with a file, in a folder that it takes for a workspace."""
    usr = STORE / "helix" / "tree" / "usr"
    if not (usr / "bin" / "hx").is_file():
        raise RuntimeError(f"no Helix in {STORE}: run tests/e2e/install.sh (`make e2e` does)")
    settings = scene.home / ".config" / "helix" / "languages.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(settings_of("helix.md", "toml"))
    (folder / ".git").mkdir()
    (folder / file).touch()
    variables = {**surroundings(scene), "HELIX_RUNTIME": str(usr / "lib" / "hx" / "runtime")}
    with below_tmux(scene, folder, [str(usr / "bin" / "hx"), file], variables) as screen:
        screen.until(file)
        yield screen


def act(screen: Screen, title: str) -> None:
    """Run a code action: its menu, then down to its title."""
    screen.until("NOR")
    deadline = time.monotonic() + DEADLINE
    screen.keys("Space", "a")
    while title not in (text := screen.until("Qwen: ", or_else=NOT_YET)):
        assert time.monotonic() < deadline, f"no {title!r} on:\n{text}"
        if NOT_YET not in text:
            screen.keys("Escape")  # by itself: with a key after it, it would be Alt
            screen.until("Qwen: ", gone=True)
        screen.keys("Space", "a")
    actions = [line for line in text.splitlines() if "Qwen: " in line]  # diagnostics may stand beside them
    for _ in range(next(n for n, line in enumerate(actions) if title in line)):
        screen.keys("C-n")
    screen.keys("Enter")


def write(screen: Screen, text: str) -> None:
    """Type at the end of the document."""
    screen.keys("g", "e", "A", text)
    screen.until(text)
    screen.keys("Escape")  # by itself: with a key after it, it would be Alt
    screen.until("INS", gone=True)


async def test_an_answer_is_written_and_another_one_stopped(scene: Scene, llama: Llama) -> None:
    """Send and Stop are code actions; what came before the stop stays, marked."""
    folder = scene.folder("ws", scene.pair(llama.api_keys[0], llama.alias, llama.base_url))

    def journey() -> None:
        with helix(scene, folder) as screen:
            write(screen, "go on for ever")
            act(screen, "Qwen: Send")
            screen.until("### assistant")
            act(screen, "Qwen: Stop")
            screen.keys("g", "e")
            screen.until("qwen: stopped")
            screen.until("### user")

    await asyncio.to_thread(journey)
    await llama.falls_idle()


async def test_a_mistake_in_an_env_file_stands_on_its_line(scene: Scene) -> None:
    """What a `.env` file gets wrong is said at the line, and a code action mends it."""
    folder = scene.folder("ws", "DEBUG=1\nOTHER=1\n")

    def journey() -> None:
        with helix(scene, folder, ".env") as screen:
            screen.until("DEBUG is ignored in a project's .env")
            act(screen, MOVE)
            screen.until("DEBUG is ignored", gone=True)

    await asyncio.to_thread(journey)
    assert (folder / ".qwen" / ".env").read_text() == "DEBUG=1\n"
