"""`.env` files in real editors that have nothing but the server's command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from canary import canary
from e2e.plain_editors import EDITORS, until
from qwen_ls.core.envfix import CHECK, MOVE
from qwen_ls.demo.provider import Provider

if TYPE_CHECKING:
    from pathlib import Path

IN_EACH = pytest.mark.parametrize("name", EDITORS)
KEY = f"sk-{canary('test_plain_editors_env: the key')}"


@IN_EACH
async def test_lines_move_in_the_editor_and_nothing_is_lost(name: str, tmp_path: Path) -> None:
    """By code action the known names leave the text, at once in `.qwen/.env`; the rest is saved as ever."""
    folder = tmp_path / "project"
    folder.mkdir()
    file, text = folder / ".env", f"OPENAI_API_KEY={KEY}\n# stays\nOTHER=1\n"
    file.write_text(text)
    async with Provider() as provider, EDITORS[name](tmp_path, {}) as editor:
        provider.configure(keys=[KEY])
        file.write_text(f"OPENAI_BASE_URL={provider.base_url}/v1\n{text}")
        await editor.open(file)
        await editor.act(MOVE)
        await until(
            editor.messages, lambda told: "OPENAI_BASE_URL, OPENAI_API_KEY moved to" in told, "the end"
        )
        moved = folder / ".qwen" / ".env"
        assert moved.read_text() == f"OPENAI_BASE_URL={provider.base_url}/v1\nOPENAI_API_KEY={KEY}\n"
        assert KEY in file.read_text()  # until it is saved
        await editor.open(file)
        assert await editor.text() == "# stays\nOTHER=1\n"
        await editor.undo()
        assert KEY in await editor.text()
        await editor.open(moved)
        await editor.type(1, "")  # the line of the key
        await editor.act(CHECK)
        await until(editor.messages, lambda told: "accepts OPENAI_API_KEY" in told, "the provider's answer")
