"""A browser sign-in comes back to VS Code itself: no port of this machine is needed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from editors.vscode.asking import streams

if TYPE_CHECKING:
    from editors.vscode.windows import Windows
    from scene import Scene


async def test_the_browser_comes_back_to_the_editor(scene: Scene, windows: Windows) -> None:
    """VS Code's own address is the redirect; the key that it brings signs the next message."""
    scene.provider.configure(auto_approve=True, reply="Signed.")
    scene.env["QWEN_LS_OPENROUTER_BASE_URL"] = scene.provider.base_url
    window = await windows.open(scene.folder())
    await window.command("Qwen: Sign In…")
    await window.pick("Sign in", "openrouter")
    await window.dialog.filter(has_text="open the external website").wait_for()
    async with window.context.expect_page() as opened:
        await window.dialog.get_by_role("button", name="Open", exact=True).click()
    page = await opened.value
    await page.wait_for_url("**/callback?**")
    came_back = urlsplit(page.url)
    assert windows.server is not None
    assert came_back.netloc == urlsplit(windows.server.url).netloc
    assert parse_qs(came_back.query)["vscode-authority"] == ["qwen-ls.qwen-ls"]

    await window.notification("Signed in to OpenRouter").wait_for()
    await page.close()
    await window.command("Qwen: Open Chat")
    await window.chat.send("Who am I?")
    await window.chat.answered("Signed.")
    assert [entry["authorization"].startswith("Bearer sk-or-") for entry in streams(scene)] == [True]
