"""The chat view: an answer that streams, a switch in the middle of it, Stop, code, a crash."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from canary import canary
from editors.vscode.asking import streams

if TYPE_CHECKING:
    from editors.vscode.windows import Windows
    from scene import Scene

ENDLESS = {"tokens": 100_000, "token_interval": 0.05}
BRIEF = {"tokens": None, "token_interval": 0.0}
CODE = "Put this in:\n\n```python\nprint('from the answer')\n```\n\nThat is all."


async def test_a_switch_in_mid_answer_then_stop_then_code(scene: Scene, windows: Windows) -> None:
    """An answer keeps its credential and what came of it; the next has the other, and its code lands."""
    key = canary("VS Code: the key of the folder")
    scene.provider.configure(keys=[key], **ENDLESS)
    scene.write_cache()
    folder = scene.folder("ws", scene.pair(key))
    (folder / "a.py").write_text("first\n\nlast\n", encoding="utf-8")
    window = await windows.open(folder)
    await window.open_file(folder / "a.py")
    await window.editor.locator(".view-line").nth(1).click()
    await window.status_item("Ln 2, Col 1").wait_for()
    await window.open_chat()
    await window.chat.send("Count for ever")
    await window.chat.answer.filter(has_text="10 11").wait_for()

    await window.status_item("API key").click()
    await window.pick("Switch authentication", "qwen-oauth")
    await window.status_item("Qwen account").wait_for()
    await window.chat.answer.filter(has_text="40 41").wait_for()
    assert [(e["authorization"], e["closed_at"]) for e in streams(scene)] == [(f"Bearer {key}", None)]
    await window.screenshot("switched-while-streaming")
    await window.chat.button("Stop").click()
    await window.chat.turn.get_by_text("Stopped").wait_for()
    assert "10 11" in await window.chat.answer.inner_text()

    scene.provider.configure(**BRIEF, reply=CODE)
    await window.chat.send("Now some code")
    await window.chat.answered("That is all.")
    assert [e["credential"] for e in streams(scene)] == ["key", "oauth"]
    await window.chat.button("Insert this python code at the cursor").click()
    await window.editor.get_by_text("from the answer").wait_for()
    await window.clear_notifications()
    await window.screenshot("inserted")
    await window.save()
    assert (folder / "a.py").read_text() == "first\nprint('from the answer')\n\nlast\n"


async def test_a_server_that_is_killed(scene: Scene, windows: Windows) -> None:
    """The view says so and keeps what came; the server is back by itself, and the next message works."""
    key = canary("VS Code: a killed server")
    scene.provider.configure(keys=[key], **ENDLESS)
    window = await windows.open(scene.folder("ws", scene.pair(key)))
    await window.open_chat()
    await window.chat.send("Count for ever")
    await window.chat.answer.filter(has_text="10 11").wait_for()
    (pid,) = windows.language_servers()
    os.kill(pid, signal.SIGKILL)
    await window.chat.alert.filter(has_text="stopped in mid-answer").wait_for()
    assert "10 11" in await window.chat.answer.inner_text()
    await window.screenshot("killed")
    scene.provider.configure(**BRIEF, reply="I am back.")
    await window.chat.send("Are you there?")
    await window.chat.answered("I am back.")
    (again,) = windows.language_servers()
    assert again != pid
    said = [message["content"] for message in streams(scene)[-1]["json"]["messages"]]
    assert said[0] == "Count for ever"
    assert said[-1] == "Are you there?"
