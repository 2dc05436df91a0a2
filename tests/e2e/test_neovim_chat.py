"""Chat documents in real Neovims: written by a real llama.cpp, stopped, asked about lines, at full speed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from e2e.neovim import VERSIONS, Neovim, Version, running_neovim

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.llama import Llama
    from scene import Scene

EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
GROWS_IN_A_SECOND = 8  # at least; twelve on an idle machine
IN_CHAT = (
    "return vim.endswith(vim.api.nvim_buf_get_name(0), '.qwen.md') and #vim.lsp.get_clients({bufnr=0}) > 0"
)
LAST_LINE = "return vim.api.nvim_win_get_cursor(0)[1] == vim.api.nvim_buf_line_count(0)"
TEXT = "return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\\n')"
COUNT_IS = """
    local heading, count = ...
    local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\\n')
    return select(2, text:gsub(heading, '')) >= count
"""


def folder_of(scene: Scene, llama: Llama) -> Path:
    """A workspace folder whose `.env` leads to a llama.cpp."""
    return scene.folder("ws", scene.pair(llama.api_keys[0], llama.alias, llama.base_url))


async def open_chat(nvim: Neovim) -> None:
    """`:Qwen chat`, until its document is open and attached."""
    await nvim.command("Qwen chat")
    await nvim.until(IN_CHAT)


@EVERY_VERSION
async def test_an_answer_is_written_into_the_buffer(
    version: Version, scene: Scene, brief_llama: Llama
) -> None:
    """Typed at the end and sent with Enter: the whole answer stands below it, and the cursor follows."""
    async with running_neovim(version, scene, folder_of(scene, brief_llama)) as nvim:
        await open_chat(nvim)
        await nvim.type("GA" + "hello there<Esc><CR>")
        await nvim.until(COUNT_IS, "### user", 2)
        await nvim.until(LAST_LINE)
        text = await nvim.lua(TEXT)
        expected = brief_llama.answer({"role": "user", "content": "hello there"})
        assert f"### assistant\n\n{expected.rstrip()}" in text


@EVERY_VERSION
async def test_an_answer_is_stopped(version: Version, scene: Scene, llama: Llama) -> None:
    """Ctrl-X ends it: what came is kept and marked, and the model stops generating."""
    async with running_neovim(version, scene, folder_of(scene, llama)) as nvim:
        await open_chat(nvim)
        await nvim.type("GA" + "go on for ever<Esc><CR>")
        await nvim.until("return #table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true)) > 400")
        await nvim.type("<C-x>")
        await nvim.until(COUNT_IS, "<!%-%- qwen: stopped %-%->", 1)
        await llama.falls_idle()


@EVERY_VERSION
async def test_a_question_about_lines(version: Version, scene: Scene) -> None:
    """`:'<,'>Qwen ask` makes a document beside the file, and the lines go along with the question."""
    scene.provider.configure(keys=["k-for-lines"])
    folder = scene.folder("ws", scene.pair("k-for-lines"))
    (folder / "main.py").write_text("first\nsecond\nthird\nfourth\n")
    async with running_neovim(version, scene, folder, options=["main.py"]) as nvim:
        await nvim.command("2,3Qwen ask what is this?")
        await nvim.until(IN_CHAT)
        await nvim.until(COUNT_IS, "### assistant", 1)
        sent = scene.requests("chat")[-1]["json"]["messages"][-1]["content"]
        assert "what is this?" in sent
        assert "second\nthird" in sent
        assert "first" not in sent
        assert await nvim.lua("return #vim.api.nvim_tabpage_list_wins(0)") == 2


@EVERY_VERSION
@pytest.mark.parametrize(
    ("more", "name"),
    [("", "untitled:Untitled-"), (" | setlocal buftype=nofile | file man://made(1)", "untitled:man:")],
    ids=["unnamed", "man"],
)
async def test_a_question_about_lines_of_no_file(
    version: Version, more: str, name: str, scene: Scene
) -> None:
    """The text itself goes along, with what Neovim calls the buffer."""
    scene.provider.configure(keys=["k-for-lines"])
    async with running_neovim(version, scene, scene.folder("ws", scene.pair("k-for-lines"))) as nvim:
        await nvim.command("enew" + more)
        await nvim.lua("vim.fn.setline(1, {'first', 'second', 'third', 'fourth'})")
        await nvim.command("2,3Qwen ask what is this?")
        await nvim.until(IN_CHAT)
        await nvim.until(COUNT_IS, "### assistant", 1)
        sent = scene.requests("chat")[-1]["json"]["messages"][-1]["content"]
        assert sent.startswith(f"Selection in `{name}")
        assert "second\nthird\n" in sent
        assert "first" not in sent
        assert "what is this?" in sent


@EVERY_VERSION
async def test_folds_are_not_computed_while_an_answer_is_written(
    version: Version, scene: Scene, brief_llama: Llama
) -> None:
    """They would be, for the whole buffer at every piece; afterwards they are as the user wants them."""
    calls = "Folded = 0; function Level() Folded = Folded + 1; return 0 end; "
    wish = calls + "vim.o.foldmethod = 'expr'; vim.o.foldexpr = 'v:lua.Level()'"
    async with running_neovim(version, scene, folder_of(scene, brief_llama), more=wish) as nvim:
        await open_chat(nvim)
        await nvim.lua("Folded = 0")
        await nvim.command("Qwen! chat hello there")
        await nvim.until(COUNT_IS, "### assistant", 1)
        await nvim.until("return vim.wo.foldmethod == 'manual'")
        await nvim.until(COUNT_IS, "### user", 2)
        await nvim.until("return vim.wo.foldmethod == 'expr'")
        assert await nvim.lua("return vim.wo.foldexpr") == "v:lua.Level()"


@EVERY_VERSION
async def test_the_server_dies_while_it_writes(version: Version, scene: Scene, llama: Llama) -> None:
    """The user is told; what came stays, and the next message is answered by a new server."""
    async with running_neovim(version, scene, folder_of(scene, llama)) as nvim:
        await open_chat(nvim)
        await nvim.type("GA" + "go on for ever<Esc><CR>")
        await nvim.until("return #table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true)) > 400")
        os.kill(await nvim.server_pid(), signal.SIGKILL)
        await nvim.said("qwen-ls has ended (signal 9)")
        await llama.falls_idle()
        kept = await nvim.lua(TEXT)
        await nvim.lua("vim.api.nvim_buf_set_lines(0, -1, -1, true, ...)", ["", "### user", "and now?"])
        await nvim.type("<CR>")
        await nvim.until(COUNT_IS, "### assistant", 2)
        assert (await nvim.lua(TEXT)).startswith(kept)


@EVERY_VERSION
async def test_a_message_sent_while_signed_out(version: Version, scene: Scene) -> None:
    """A way in is offered, its code shown, and taken away before the long answer to the message has ended."""
    scene.provider.configure(reply="word ", tokens=4000, token_interval=0.01)
    choosing = """
        vim.ui.select = function(items, _, done) done(items[1], 1) end
        local open = vim.api.nvim_open_win
        vim.api.nvim_open_win = function(...) Shown = true; return open(...) end
    """
    async with running_neovim(version, scene, scene.folder(), more=choosing) as nvim:
        await nvim.command("Qwen! chat who are you?")
        await nvim.until("return Shown")
        await nvim.until(COUNT_IS, "word", 20)
        await nvim.until("return #vim.api.nvim_list_wins() == 1")
        assert "### user" not in (await nvim.lua(TEXT)).partition("### assistant")[2]
        await nvim.command("Qwen stop")
        await nvim.until(COUNT_IS, "qwen: stopped", 1)


async def test_an_on_attach_of_the_users_own(scene: Scene) -> None:
    """It runs, and the maps of a chat document are there all the same."""
    own = "vim.lsp.config('qwen_ls', { on_attach = function() Attached = true end })"
    async with running_neovim("0.12", scene, scene.folder(), more=own) as nvim:
        await open_chat(nvim)
        await nvim.until("return Attached")
        await nvim.until("return vim.fn.maparg('<CR>', 'n') == '<Plug>(qwen-send)'")


@EVERY_VERSION
async def test_choosing_a_model(version: Version, scene: Scene) -> None:
    """`:Qwen model` lists the provider's models, or takes one; the next message asks for it."""
    scene.provider.configure(keys=["k-for-models"], models=["small-model", "large-model"])
    folder = scene.folder("ws", scene.pair("k-for-models", model="small-model"))
    choosing = """
        vim.ui.select = function(items, opts, done)
            Shown = vim.tbl_map(opts.format_item, items)
            done(items[2], 2)
        end
    """
    async with running_neovim(version, scene, folder, more=choosing) as nvim:
        await nvim.command("Qwen model")
        assert await nvim.until("return Shown") == ["small-model (now)", "large-model"]
        await nvim.until("return require('qwen_ls').status() ~= ''")
        await nvim.said("large-model")
        await nvim.command("Qwen! chat hello")
        await nvim.until(COUNT_IS, "### user", 2)
        assert scene.requests("chat")[-1]["json"]["model"] == "large-model"
        await nvim.command("Qwen model small-model")
        await nvim.said("small-model")


@EVERY_VERSION
async def test_an_answer_grows_as_often_as_the_server_wishes(version: Version, scene: Scene) -> None:
    """At most every 60 ms; were changes told after Neovim's own 150 ms, there would be six in a second."""
    scene.provider.configure(keys=["k"], reply="word ", tokens=200, token_interval=0.01)
    async with running_neovim(version, scene, scene.folder("ws", scene.pair("k"))) as nvim:
        await open_chat(nvim)
        count = (
            "Grown = 0; vim.api.nvim_buf_attach(0, false, { on_lines = function() Grown = Grown + 1 end })"
        )
        await nvim.lua(count)
        await nvim.type("GA" + "hello<Esc><CR>")
        await nvim.until(COUNT_IS, "### user", 2)
        assert await nvim.lua("return Grown") > 2 * GROWS_IN_A_SECOND


@EVERY_VERSION
async def test_what_the_server_waits_for_stands_in_the_status_line(version: Version, scene: Scene) -> None:
    """Its progress, while it is busy; then model and method alone."""
    scene.provider.configure(keys=["k"])
    scene.provider.faults.add("chat", times=1, status=429, headers={"retry-after": "2"})
    async with running_neovim(version, scene, scene.folder("ws", scene.pair("k"))) as nvim:
        await nvim.command("Qwen! chat hello")
        await nvim.until("return require('qwen_ls').status():find('… .*again')")
        await nvim.until(COUNT_IS, "### user", 2)
        await nvim.until("return require('qwen_ls').status() == 'Qwen: model-of-the-file · api-key'")
