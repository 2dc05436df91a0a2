"""`.env` files in real Neovims, with a real keyring: what is wrong is on its line, and a key moves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from canary import canary
from e2e.keyring_session import keyring_environment
from e2e.neovim import VERSIONS, Version, running_neovim

if TYPE_CHECKING:
    from scene import Scene

EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
KEY = f"sk-{canary('test_neovim_env: the key')}"
CODES = """
    local wanted, found = ..., {}
    for _, d in ipairs(vim.diagnostic.get(0)) do found[#found + 1] = d.code end
    table.sort(found)
    return table.concat(found, ' ') == wanted
"""
ACT = """
    local line, title = ...
    vim.api.nvim_win_set_cursor(0, {line, 0})
    vim.lsp.buf.code_action({apply = true, filter = function(a) return a.title == title end})
"""
KEPT = """
    local kept, listed = {}, {command = 'qwen.keys.list', arguments = {vim.empty_dict()}}
    for _, reply in pairs(vim.lsp.buf_request_sync(0, 'workspace/executeCommand', listed, 5000)) do
        for _, key in ipairs(reply.result.keys) do kept[#kept + 1] = key.keptIn end
    end
    return kept
"""


@EVERY_VERSION
async def test_a_key_goes_from_its_line_to_the_keyring(version: Version, scene: Scene) -> None:
    """By a code action: kept by the keyring, gone from the buffer, and with `:write` from the disk."""
    scene.provider.configure(keys=[KEY])
    folder = scene.folder("ws", f"# mine\n{scene.pair(KEY)}DEBUG=1\n")
    (folder / ".env").chmod(0o600)
    with keyring_environment("unlocked") as session:
        scene.env |= session
        async with running_neovim(version, scene, folder) as nvim:
            await nvim.command("edit .env")
            await nvim.until(CODES, "env.excluded")
            await nvim.lua(ACT, 2, "Qwen: Move this key to the keyring (this folder)")
            await nvim.until(CODES, "env.excluded env.outranked env.unsaved")
            assert KEY in (folder / ".env").read_text()
            assert await nvim.lua(KEPT) == ["keyring"]
            await nvim.command("write")
            await nvim.until(CODES, "env.excluded env.outranked")
            assert not [line for line in await nvim.lines() if KEY in line]
        left = (folder / ".env").read_text()
        assert left == f"# mine\n{scene.pair(KEY)}DEBUG=1\n".replace(f"OPENAI_API_KEY={KEY}\n", "")


@EVERY_VERSION
async def test_a_name_that_is_ignored_moves_to_where_it_counts(version: Version, scene: Scene) -> None:
    """DEBUG of a project's `.env` goes to `.qwen/.env`, which the action opens beside it."""
    folder = scene.folder("ws", "OTHER=1\nDEBUG=1\n")
    async with running_neovim(version, scene, folder) as nvim:
        await nvim.command("edit .env")
        await nvim.until(CODES, "env.excluded")
        await nvim.lua(ACT, 2, "Qwen: Move to .qwen/.env")
        await nvim.until("return vim.endswith(vim.api.nvim_buf_get_name(0), '/.qwen/.env')")
        assert await nvim.lines() == ["DEBUG=1"]
        assert (folder / ".qwen" / ".env").read_text() == "DEBUG=1\n"
        await nvim.command("buffer .env | write")
        assert (folder / ".env").read_text() == "OTHER=1\n"
