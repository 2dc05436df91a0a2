"""A `.env` file in the editor: what is wrong with it, and a quick fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary import canary
from e2e.keyring_session import keyring_environment
from editors.vscode.asking import streams

if TYPE_CHECKING:
    from editors.vscode.windows import Windows
    from scene import Scene

PROBLEM = "Other users of this machine may read this key"
FIX = "Qwen: Move this key to the keyring (this folder)"


async def test_a_quick_fix_takes_a_key_out_of_a_file(scene: Scene, windows: Windows) -> None:
    """A key that others may read is a problem; the fix moves it to the keyring, and it goes on to sign."""
    key = canary("VS Code: a key in a .env file")
    scene.provider.configure(keys=[key], reply="Signed.")
    file = scene.folder("ws", scene.pair(key)) / ".env"
    file.chmod(0o644)
    with keyring_environment("unlocked") as variables:
        scene.env |= variables
        window = await windows.open(file.parent)
        await window.status_item("API key").wait_for()
        await window.open_file(file)
        await window.command("Problems: Focus on Problems View")
        problem = window.page.locator(".markers-panel .monaco-list-row").filter(has_text=PROBLEM)
        await problem.wait_for()
        await window.fix(FIX, "env-quick-fix")
        await problem.wait_for(state="detached")
        await window.notification("keyring").wait_for()
        await window.save()
        assert key not in file.read_text()
        await window.open_chat()
        await window.chat.send("Still me?")
        await window.chat.answered("Signed.")
        await windows.close()
    assert [entry["authorization"] for entry in streams(scene)] == [f"Bearer {key}"]
