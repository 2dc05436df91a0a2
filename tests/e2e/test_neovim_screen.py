"""The client for Neovim on a real screen: what a person sees, and how fast keys are answered."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from e2e.keyring_session import keyring_environment
from e2e.neovim import VERSIONS, Version
from e2e.terminal_screen import bare, tmux
from provider import running_provider

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.llama import Llama
    from e2e.terminal_screen import Screen, Terminal
    from scene import Scene

EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
RATE = 2000  # tokens a second
LASTS = 10  # seconds
WITHIN = 0.05  # seconds for a key to be answered
ATTEMPTS = 3
EVERY = 0.1  # seconds between two keys
LETTERS = "жщюяфцэйбд"  # in no escape sequence, and in no answer


def press_for(terminal: Terminal, seconds: float) -> list[float]:
    """Type for some seconds; how long each key took to be drawn."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        letter = LETTERS[len(took) % len(LETTERS)]
        took.append(terminal.answered(letter, letter))
        terminal.drain(EVERY)
    return took


# How long Neovim's loop has been busy at a stretch, in milliseconds of its own time: what else runs on the
# machine does not count.
BUSY = """
    local timer, last = assert(vim.uv.new_timer()), os.clock()
    function Watch()
        vim.g.busy, last = 0, os.clock()
        timer:start(1, 1, vim.schedule_wrap(function()
            local now = os.clock()
            vim.g.busy, last = math.max(vim.g.busy, (now - last) * 1000), now
        end))
    end
"""
REPLY = "one two three four five six seven eight nine ten\n" * 5 + "\n"
WHOLE = len(REPLY) * RATE * LASTS // len(REPLY.split())
LENGTH = "luaeval('vim.api.nvim_buf_get_offset(vim.g.chat, vim.api.nvim_buf_line_count(vim.g.chat))')"
SEND = "luaeval('vim.api.nvim_buf_call(vim.g.chat, function() vim.cmd.Qwen(\"send\") end)')"


def measure(version: Version, scene: Scene, folder: Path) -> tuple[list[float], float]:
    """Key presses in another window while an answer is written: what each took, and the longest stretch."""
    with bare(version, scene, folder, more=BUSY) as terminal:
        terminal.press(":Qwen chat\r")
        terminal.until_true("len(v:lua.vim.lsp.get_clients(#{bufnr: bufnr()}))")
        terminal.press("GAgo on\x1b:let g:chat = bufnr()\r:new\r")
        terminal.until_true("bufname() == ''")
        terminal.press("i")
        press_for(terminal, 1)
        terminal.evaluate(SEND)
        terminal.until_true(f"{LENGTH} > 1000")
        terminal.evaluate("v:lua.Watch()")
        took = press_for(terminal, LASTS * 0.7)
        stretch = float(terminal.evaluate("g:busy")) / 1000
        assert terminal.evaluate(f"{LENGTH} < {WHOLE}") == "1", "it was over before the measuring was"
        terminal.until_true(f"{LENGTH} > {WHOLE}")
        return sorted(took), stretch


@EVERY_VERSION
async def test_keys_are_answered_while_an_answer_is_written(version: Version, scene: Scene) -> None:
    """2,000 tokens a second for ten seconds: key presses in another window are drawn within 50 ms.

    Neovim itself is never busy for longer. On the clock nine of ten have to be in time, in the best of three
    tries: what else the machine does makes a try worse, never better.
    """
    speed: dict[str, Any] = {"reply": REPLY, "tokens": RATE * LASTS, "token_interval": 1 / RATE}
    tries = []
    async with running_provider(keys=["k"], **speed) as provider:
        for attempt in range(ATTEMPTS):
            folder = scene.folder(f"ws{attempt}", scene.pair("k", base_url=provider.v1))
            took, stretch = await asyncio.to_thread(measure, version, scene, folder)
            tries.append((took[len(took) * 9 // 10], stretch))
            if max(tries[-1]) < WITHIN:
                return
    pytest.fail(f"key presses and Neovim's own time, in seconds: {tries}")


# --- what a person does and sees -----------------------------------------------------------------


def pick(screen: Screen, choice: str) -> str:
    """Choose from a numbered list; the screen with it."""
    shown = screen.until(choice)
    (number,) = (line.partition(":")[0] for line in shown.splitlines() if choice in line)
    screen.keys(number.strip(), "Enter")
    return shown


def sign_in(screen: Screen) -> None:
    """By device code: the page opens by itself, and the window with the code goes away."""
    screen.keys(":Qwen login qwen-oauth", "Enter")
    screen.until("Enter this code")
    screen.until("Enter this code", gone=True)
    screen.until("Signed in")


def chat(screen: Screen, message: str) -> None:
    """A chat document, and a message in it."""
    screen.keys(":Qwen chat", "Enter")
    screen.until("### user")
    screen.keys("GA", message, "Escape", "Enter")


@EVERY_VERSION
async def test_a_sign_in_a_chat_and_a_switch(version: Version, scene: Scene, llama: Llama) -> None:
    """Signed in by device code; switched to a key of the file; an unending answer, stopped with Ctrl-X."""
    folder = scene.folder("ws", scene.pair(llama.api_keys[0], llama.alias, llama.base_url))
    (folder / "main.py").write_text("print('hello')\n")

    def journey() -> None:
        with tmux(version, scene, folder, options=["main.py"]) as screen:
            screen.until("print")
            sign_in(screen)
            screen.keys(":Qwen switch", "Enter")
            pick(screen, "API key")
            screen.until("Switched to api-key")
            screen.keys("Enter")  # the message takes more than a line
            chat(screen, "go on for ever")
            screen.until("one")
            screen.keys("C-x")
            screen.until("qwen: stopped")

    await asyncio.to_thread(journey)
    await llama.falls_idle()


@EVERY_VERSION
async def test_a_key_that_is_typed_is_not_shown(version: Version, scene: Scene) -> None:
    """Asked for on the screen, stored in a real gnome-keyring, and never drawn."""
    key = canary(f"typed on the screen of {version}")
    scene.provider.configure(keys=[key])
    with keyring_environment("unlocked") as session:
        scene.env |= session

        def journey() -> str:
            with tmux(version, scene, scene.folder()) as screen:
                screen.keys(":Qwen keys set", "Enter")
                seen = pick(screen, "Of this folder") + pick(screen, "Another base URL")
                for question, answer in (
                    ("Base URL:", f"{scene.provider.base_url}/v1"),
                    ("Model", "model-of-the-key"),
                    ("API key:", key),
                ):
                    seen += screen.until(question)
                    screen.keys(answer)
                    seen += screen.text()
                    screen.keys("Enter")
                return seen + screen.until("is stored")

        seen = await asyncio.to_thread(journey)
    assert "model-of-the-key" in seen
    assert key not in seen
