"""The packaged extension comes up, in the newest VS Code and in the oldest that it says it runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from editors.vscode.code_server import LEAST, NEWEST

if TYPE_CHECKING:
    from editors.vscode.stage import Stage


@pytest.mark.parametrize("version", [NEWEST, LEAST])
async def test_the_extension_starts(stage: Stage, version: str) -> None:
    """Its view stands in the side bar, and the palette runs its commands."""
    window = await stage.open(stage.folder(), version=version)
    await window.command("Qwen: Show Output")
    await window.page.locator("select:has(option[value=Qwen]:checked)").first.wait_for()
