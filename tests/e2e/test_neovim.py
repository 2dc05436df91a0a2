"""The client for Neovim, in real Neovims, without a screen."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from canary import canary
from e2e.keyring_session import keyring_environment
from e2e.neovim import CLIENT, VERSIONS, Neovim, NeovimError, Version, running_neovim
from qwen_ls import __version__
from sweep import files_below, sweep

if TYPE_CHECKING:
    from scene import Scene

EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
FLOATS = """
    return vim.tbl_filter(function(win)
        return vim.api.nvim_win_get_config(win).relative ~= ''
    end, vim.api.nvim_list_wins())
"""
DIALOG = """
    for _, win in ipairs(vim.api.nvim_list_wins()) do
        if vim.api.nvim_win_get_config(win).relative ~= '' then
            return table.concat(vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(win), 0, -1, true), '\\n')
        end
    end
"""
STATUS_HAS = "return require('qwen_ls').status():find(..., 1, true)"
NO_FLOAT = f"return #(function() {FLOATS} end)() == 0"


@EVERY_VERSION
async def test_signing_in_by_device_code(version: Version, scene: Scene) -> None:
    """The code is shown, vim.ui.open opens the page, and the window closes when the sign-in has ended."""
    async with running_neovim(version, scene, scene.folder()) as nvim:
        await nvim.command("Qwen login qwen-oauth")
        dialog = await nvim.until(DIALOG)
        await nvim.until(NO_FLOAT)
        await nvim.said("Signed in")
        (page,) = (scene.root / "opened").read_text().splitlines()
        assert page.startswith(scene.provider.base_url)
        assert dict(parse_qsl(urlsplit(page).query))["user_code"] in dialog
        await nvim.until(STATUS_HAS, "qwen-oauth")


@EVERY_VERSION
@pytest.mark.parametrize("how", ["q", "<C-c>", ":close<CR>"])
async def test_a_sign_in_that_is_cancelled(version: Version, how: str, scene: Scene) -> None:
    """Closing the window, in any way, ends the sign-in; nothing is written."""
    (scene.root / "opened.closed").touch()
    async with running_neovim(version, scene, scene.folder()) as nvim:
        await nvim.command("Qwen login qwen-oauth")
        await nvim.until(DIALOG)
        await nvim.type(how)
        await nvim.until(NO_FLOAT)
        await nvim.said("cancelled")
        assert not scene.cache.exists()


@EVERY_VERSION
async def test_switching(version: Version, scene: Scene) -> None:
    """`:Qwen switch` asks through vim.ui.select, or takes the method; the status line follows."""
    key = canary("of the file")
    scene.provider.configure(keys=[key])
    folder = scene.folder("ws", scene.pair(key))
    scene.write_cache()
    async with running_neovim(version, scene, folder, more=CHOOSING) as nvim:
        await nvim.command("Qwen switch api-key")
        await nvim.until(STATUS_HAS, "model-of-the-file")
        await nvim.lua("Choose = 'Qwen account'")
        await nvim.command("Qwen switch")
        await nvim.until("return Asked == 'Sign requests with: '")
        await nvim.until(STATUS_HAS, "qwen-oauth")
        await nvim.command("Qwen switch nonsense")
        await nvim.said("There is no such method")


CHOOSING = """
    vim.ui.select = function(items, opts, done)
        Asked = opts.prompt
        for i, item in ipairs(items) do
            if (opts.format_item or tostring)(item):find(Choose, 1, true) then return done(item, i) end
        end
        error('nothing to choose: ' .. Choose)
    end
    Typed = {}
    vim.ui.input = function(opts, done) done(table.remove(Typed, 1)) end
"""


async def store_key(nvim: Neovim, scene: Scene, target: str, key: str, by: str = "Qwen keys set") -> None:
    """A command that takes a key, as a person does it: choices, a base URL, and the key, unseen."""
    choices = """
        local answers, url, model = ...
        local select = vim.ui.select
        vim.ui.select = function(...)
            Choose = table.remove(answers, 1)
            return select(...)
        end
        Typed = { url, model }
    """
    await nvim.lua(choices, [target, "Another base URL"], f"{scene.provider.base_url}/v1", "model-of-the-key")
    asked = asyncio.create_task(nvim.command(by))
    await nvim.until_asked("API key: ")
    await nvim.type(f"{key}<CR>")
    await asked
    await nvim.said("stored")


@EVERY_VERSION
async def test_a_key_goes_into_the_keyring(version: Version, scene: Scene) -> None:
    """Asked for with inputsecret, it lies in a real gnome-keyring, and nowhere else that can be read."""
    key = canary(f"typed into Neovim {version}")
    scene.provider.configure(keys=[key])
    with keyring_environment("unlocked") as session:
        scene.env |= session
        async with running_neovim(version, scene, scene.folder(), more=CHOOSING) as nvim:
            await store_key(nvim, scene, "Of this folder", key)
            await nvim.until(STATUS_HAS, "model-of-the-key")
            await nvim.command("Qwen keys list")
            await nvim.said("(keyring, in force)")
            texts = {"messages": await nvim.lua("return vim.fn.execute('messages')")}
            texts |= {"said": "\n".join(await nvim.messages())}
            places = {name: text.encode() for name, text in texts.items()}
        places |= dict(files_below(scene.root))
        places |= dict(files_below(Path(session["XDG_RUNTIME_DIR"])))
        assert sweep(places, {key: "the key"}) == []


@EVERY_VERSION
@pytest.mark.parametrize(("target", "chosen_by"), [("Of this folder", "folder"), ("Mine", "user")])
async def test_signing_in_by_key(version: Version, target: str, chosen_by: str, scene: Scene) -> None:
    """`:Qwen login api-key` stores the key and chooses its method where it is stored."""
    key = canary(f"signs in Neovim {version}, by {chosen_by}")
    scene.provider.configure(keys=[key])
    scene.write_cache()
    async with running_neovim(version, scene, scene.folder(), more=CHOOSING) as nvim:
        if chosen_by == "folder":
            await nvim.command("Qwen switch qwen-oauth")
        else:
            await nvim.command("Qwen status")
        await nvim.until(STATUS_HAS, "qwen-oauth")
        await store_key(nvim, scene, target, key, "Qwen login api-key")
        await nvim.until(STATUS_HAS, "model-of-the-key")
        await nvim.until("return require('qwen_ls.client').status(0).chosenBy == ...", chosen_by)


ANSWERING = """
    Answers, Asked = {}, {}
    vim.ui.select = function(items, opts, done)
        Asked[#Asked + 1] = opts.prompt
        local answer = table.remove(Answers, 1)
        for i, item in ipairs(answer and items or {}) do
            if (opts.format_item or tostring)(item):find(answer, 1, true) then return done(item, i) end
        end
        done(nil)
    end
"""


@EVERY_VERSION
async def test_the_next_steps_of_a_refused_host(version: Version, scene: Scene) -> None:
    """An explanation is shown in its window; after a No, "Ask again" forgets it, and the question is back."""
    scene.provider.configure(keys=["k-of-the-user"], models=["a-model"])
    folder = scene.folder("ws", f"OPENAI_BASE_URL={scene.provider.base_url}/v1\n")
    scene.env["OPENAI_API_KEY"] = "k-of-the-user"
    async with running_neovim(version, scene, folder, more=ANSWERING) as nvim:
        await nvim.lua("Answers = {'Dismissed', 'Explain'}")
        await nvim.command("Qwen model")
        await nvim.until("return vim.wo.winbar == 'Why this credential'")
        assert "OPENAI_BASE_URL" in "\n".join(await nvim.lines())
        await nvim.type("q")
        await nvim.lua("Answers = {'No', 'Ask again'}")
        await nvim.command("Qwen model")
        await nvim.said("as you decided")
        await nvim.said("Answers forgotten: 1")
        await nvim.lua("Answers = {'Send my key', 'a-model'}")
        await nvim.command("Qwen model")
        await nvim.until("return Asked[#Asked]:find('Models of', 1, true)")


@EVERY_VERSION
async def test_consent_by_command(version: Version, scene: Scene) -> None:
    """`:Qwen trust` gives an answer without a question, lists it, and forgets it."""
    url = f"{scene.provider.base_url}/v1"
    folder = scene.folder("ws", f"OPENAI_BASE_URL={url}\n")
    scene.env["OPENAI_API_KEY"] = "k-of-the-user"
    async with running_neovim(version, scene, folder) as nvim:
        await nvim.command("Qwen trust deny")
        await nvim.said(f"never goes to {url}")
        await nvim.command("Qwen trust")
        await nvim.said(f"deny: {url}, named by {folder}/.env")
        await nvim.command("Qwen trust forget")
        await nvim.said("Answers forgotten: 1")
        with pytest.raises(NeovimError, match="one of list, allow, deny, forget"):
            await nvim.command("Qwen trust everybody")


@EVERY_VERSION
async def test_two_folders_with_keys_of_their_own(version: Version, scene: Scene) -> None:
    """One server serves both folders, each by its own key; the status line says whose buffer this is."""
    keys = [canary("of folder one"), canary("of folder two")]
    scene.provider.configure(keys=keys)
    folders = [
        scene.folder(name, scene.pair(key, model=f"model-of-{name}"))
        for name, key in zip(("one", "two"), keys, strict=True)
    ]
    for folder in folders:
        (folder / ".git").mkdir()
        (folder / "main.py").touch()
    async with running_neovim(version, scene, folders[0]) as nvim:
        for folder in folders:
            await nvim.command(f"edit {folder / 'main.py'}")
            await nvim.command("Qwen status")
            await nvim.until(STATUS_HAS, f"model-of-{folder.name}")
        await nvim.command(f"buffer {folders[0] / 'main.py'}")
        assert "model-of-one" in await nvim.lua("return require('qwen_ls').status()")
        assert await nvim.lua("return #vim.lsp.get_clients({ name = 'qwen_ls' })") == 1


@EVERY_VERSION
async def test_checkhealth_is_green(version: Version, scene: Scene) -> None:
    """Signed in and with the server running, there is no warning and no error."""
    scene.write_cache()
    async with running_neovim(version, scene, scene.folder()) as nvim:
        await nvim.command("Qwen status")
        await nvim.said("Qwen")
        await nvim.command("checkhealth qwen_ls")
        report = "\n".join(await nvim.lines())
        assert f"qwen-ls {__version__}" in report
        assert "The server runs" in report
        assert "the sign-in cached in" in report
        assert not re.search(r"ERROR|WARNING|❌|⚠", report), report


@EVERY_VERSION
async def test_checkhealth_names_a_program_that_is_missing(version: Version, scene: Scene) -> None:
    """It says so, and how to name it; the command says the same."""
    gone = "require('qwen_ls').setup({ cmd = { '/nowhere/qwen-ls' } })"
    async with running_neovim(version, scene, scene.folder()) as nvim:
        await nvim.lua(gone)
        with pytest.raises(NeovimError, match="No program"):
            await nvim.command("Qwen status")
        await nvim.said("No program /nowhere/qwen-ls")
        await nvim.command("checkhealth qwen_ls")
        assert "There is no program /nowhere/qwen-ls" in "\n".join(await nvim.lines())


@EVERY_VERSION
async def test_a_killed_server_is_started_again(version: Version, scene: Scene) -> None:
    """The user is told, and the next command starts it again; a code that was shown goes away."""
    (scene.root / "opened.closed").touch()
    async with running_neovim(version, scene, scene.folder()) as nvim:
        await nvim.command("Qwen login qwen-oauth")
        await nvim.until(DIALOG)
        first = await nvim.server_pid()
        os.kill(first, signal.SIGKILL)
        await nvim.said("qwen-ls has ended (signal 9)")
        await nvim.until(NO_FLOAT)
        assert await nvim.lua("return require('qwen_ls').status()") == ""
        await nvim.command("Qwen status")
        await nvim.until("return require('qwen_ls').status() ~= ''")
        assert await nvim.server_pid() not in {None, first}


@EVERY_VERSION
async def test_it_costs_nothing_until_it_is_used(version: Version, scene: Scene) -> None:
    """Starting Neovim with a file takes less than a millisecond more, and starts no server."""
    folder = scene.folder()
    (folder / "main.py").write_text("print('hello')\n")
    log = scene.root / "startuptime"
    costs = []
    for _ in range(3):
        async with running_neovim(
            version, scene, folder, options=["--startuptime", str(log), "main.py"]
        ) as nvim:
            assert await nvim.lua("return package.loaded['qwen_ls.client'] == nil")
            assert await nvim.server_pid() is None
        costs.append(cost_of(log.read_text()))
        log.unlink()
    assert 0 < min(costs) < 1.0


def cost_of(log: str) -> float:
    """Milliseconds in a --startuptime log that went into what is ours."""
    rows = [line.split() for line in log.splitlines() if str(CLIENT) in line or "qwen_ls" in line]
    return sum(float(row[2].rstrip(":")) for row in rows)


@EVERY_VERSION
async def test_completion(version: Version, scene: Scene) -> None:
    """The words of `:Qwen`, and the methods of those that take one."""
    async with running_neovim(version, scene, scene.folder()) as nvim:
        words = await nvim.call("nvim_eval", "getcompletion('Qwen ', 'cmdline')")
        wanted = "login logout switch status explain keys trust model chat ask stop doctor env"
        assert set(wanted.split()) <= set(words)
        assert await nvim.call("nvim_eval", "getcompletion('Qwen login q', 'cmdline')") == ["qwen-oauth"]


@EVERY_VERSION
async def test_completion_of_a_server_of_ones_own(version: Version, scene: Scene) -> None:
    """The running server's methods are completed; a sign-in that yields a key, only where one signs in."""
    url = scene.provider.base_url
    corp = {"deviceEndpoint": url, "tokenEndpoint": url, "clientId": "c", "chatBaseUrl": url}
    scene.settings(oauthServers={"corp": corp})
    async with running_neovim(version, scene, scene.folder()) as nvim:
        assert await nvim.call("nvim_eval", "getcompletion('Qwen login o', 'cmdline')") == ["openrouter"]
        await nvim.command("Qwen status")
        await nvim.until("return require('qwen_ls').status() ~= ''")
        complete = "return vim.fn.getcompletion('Qwen ' .. ... .. ' ', 'cmdline')"
        switching = ["api-key", "oauth:corp", "qwen-oauth"]
        assert await nvim.lua(complete, "login") == ["api-key", "oauth:corp", "openrouter", "qwen-oauth"]
        assert await nvim.lua(complete, "switch") == await nvim.lua(complete, "logout") == switching


@EVERY_VERSION
async def test_help_is_found(version: Version, scene: Scene) -> None:
    """Each tag of the help file leads to its place, with no `:helptags` of the user's; none is missing."""
    made = scene.root / "doc"
    shutil.copytree(CLIENT / "doc", made)
    (made / "tags").unlink()
    async with running_neovim(version, scene, scene.folder()) as nvim:
        await nvim.command(f"helptags {made}")
        assert (made / "tags").read_text() == (CLIENT / "doc" / "tags").read_text()
        for tag in ("qwen_ls", ":Qwen", "qwen_ls.setup()", "<Plug>(qwen-send)"):
            await nvim.command(f"help {tag}")
            assert f"*{tag}*" in await nvim.call("nvim_get_current_line")
