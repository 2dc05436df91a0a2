"""Signing in from the palette, in the newest VS Code and in the oldest that the extension says it runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from editors.vscode.asking import streams
from editors.vscode.code_server import LEAST, NEWEST

if TYPE_CHECKING:
    from editors.vscode.windows import Windows
    from scene import Scene

LONG = 3.0  # seconds that the check of the sign-in takes: time to see that nothing is claimed before its end


@pytest.mark.parametrize("version", [NEWEST, LEAST])
async def test_signing_in(scene: Scene, windows: Windows, version: str) -> None:
    """The editor opens the page; success is told after the check alone, and lasts over a reload."""
    scene.provider.configure(reply="Signed.")
    scene.provider.faults.add("chat", delay=LONG)
    window = await windows.open(scene.folder(), version=version)
    await window.command("Qwen: Sign In…")
    await window.pick("Sign in", "qwen-oauth")
    await window.dialog.filter(has_text="open the external website").wait_for()
    await window.screenshot("external-website")
    async with window.context.expect_page() as opened:
        await window.dialog.get_by_role("button", name="Open", exact=True).click()
    page = await opened.value
    code = await page.locator(".code").inner_text()
    await window.page.get_by_text(code).first.wait_for()
    await page.get_by_role("button", name="Approve").click()
    await page.get_by_text("You are signed in").wait_for()
    await page.close()

    check = await scene.provider.wait_for(lambda entry: entry["route"] == "chat", 20)
    assert not [name for name in await window.accounts() if "Qwen" in name]
    assert await window.notification("Signed in").count() == 0
    assert check["completed_at"] is None
    await window.notification("Signed in").wait_for()
    assert check["status"] == 200
    assert [name for name in await window.accounts() if "Qwen" in name]
    await window.screenshot("signed-in")

    scene.provider.faults.clear()
    await window.reload()
    await window.status_item("Qwen account").wait_for()
    assert [name for name in await window.accounts() if "Qwen" in name]
    await window.open_chat()
    await window.chat.send("Still me?")
    await window.chat.answered("Signed.")
    assert [entry["credential"] for entry in streams(scene)] == ["oauth"]


async def test_signing_out(scene: Scene, windows: Windows) -> None:
    """What Qwen Code shares is gone, the account too, and the user reads what that means."""
    scene.write_cache()
    window = await windows.open(scene.folder())
    await window.status_item("Qwen account").wait_for()
    assert [name for name in await window.accounts() if "Qwen" in name]
    await window.command("Qwen: Sign Out")
    await window.pick("Sign out", "Sign out of")
    await window.notification("is signed out too").wait_for()
    await window.status_item("signed out").wait_for()
    assert not [name for name in await window.accounts() if "Qwen" in name]
    assert not scene.cache.exists()
    await window.command("Qwen: Sign Out")
    await window.notification("There is nothing to sign out of here").wait_for()
