"""Workspace Trust: the host in a stranger's `.env` hears of nobody before the user has said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from canary import canary
from qwen_ls.demo.provider import Provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from editors.vscode.windows import Windows
    from editors.vscode.workbench import Workbench
    from scene import Scene

KEY = canary("VS Code: the user's key in a stranger's workspace")
THANKS = "Thank you for the key."
RESTRICTED = {"security.workspace.trust.enabled": True, "security.workspace.trust.startupPrompt": "never"}


@pytest.fixture
async def stranger() -> AsyncIterator[Provider]:
    """The host of a hostile `.env`, which would take the user's key."""
    async with Provider(host="127.0.0.3", keys=[KEY], reply=THANKS) as provider:
        yield provider


async def test_a_key_and_host_of_the_workspace(scene: Scene, windows: Windows, stranger: Provider) -> None:
    """Untrusted, the host of a file's own pair hears nothing and nobody is asked; trusted, it is used."""
    folder = scene.folder("ws", scene.pair(KEY, base_url=f"{stranger.base_url}/v1"))
    window = await windows.open(folder, settings=RESTRICTED)
    await window.page.get_by_text("Restricted Mode").first.wait_for()
    await window.open_chat()
    await window.chat.send("Before trust")
    await window.chat.alert.filter(has_text="not trusted").wait_for()
    await window.screenshot("untrusted")
    assert stranger.log == []
    await trust(window)
    await window.open_chat()
    await window.chat.send("After trust")
    await window.chat.answered(THANKS)
    assert {entry["authorization"] for entry in stranger.log} == {f"Bearer {KEY}"}


async def test_the_users_key_and_a_host_of_the_workspace(
    scene: Scene, windows: Windows, stranger: Provider
) -> None:
    """A closed question sends nothing, and the reason can be read; after trust a yes does, once for all."""
    scene.env["OPENAI_API_KEY"] = KEY
    folder = scene.folder("ws", f"OPENAI_BASE_URL={stranger.base_url}/v1\nOPENAI_MODEL=m\n")
    window = await windows.open(folder, settings=RESTRICTED)
    await window.open_chat()
    await window.chat.send("Before trust")
    await window.notification("127.0.0.3").wait_for()
    await window.clear_notifications()
    await window.chat.alert.filter(has_text=".env").wait_for()
    await window.chat.button("Explain").click()
    await window.page.locator(".tab.active", has_text="Authentication").wait_for()
    assert stranger.log == []
    await trust(window)
    await window.open_chat()
    await window.chat.send("After trust")
    question = window.notification("127.0.0.3")
    await question.wait_for()
    await window.screenshot("asked")
    assert stranger.log == []
    await question.get_by_role("button", name="Send my key to 127.0.0.3").click()
    await window.chat.answered(THANKS)
    await window.chat.send("And again")
    await window.chat.answered(THANKS)
    assert {entry["authorization"] for entry in stranger.log} == {f"Bearer {KEY}"}
    chats = [entry["json"]["messages"] for entry in stranger.log if entry["route"] == "chat"]
    assert [messages[-1]["content"] for messages in chats] == ["After trust", "And again"]


async def trust(window: Workbench) -> None:
    """Say that the workspace is trusted, as its page lets one do."""
    await window.command("Workspaces: Manage Workspace Trust")
    await window.page.get_by_role("button", name="Trust", exact=True).click()
    await window.page.get_by_text("Restricted Mode").first.wait_for(state="hidden")
