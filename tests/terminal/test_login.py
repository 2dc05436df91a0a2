"""Signing in and out at a terminal, against a provider with a real device grant."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from canary import canary
from terminal.shell import SOURCES, Shell, allow_plaintext, files_under, write

if TYPE_CHECKING:
    from pathlib import Path

    from provider import Entry, RunningProvider


def cache_of(shell: Shell) -> Path:
    """Qwen Code's cache."""
    return shell.home / ".qwen" / "oauth_creds.json"


def choices_of(shell: Shell) -> dict[str, object]:
    """The choices that are remembered."""
    state = json.loads((shell.home / ".local/state/qwen-ls/state.json").read_text())
    choices = state["choices"]
    assert isinstance(choices, dict)
    return choices


def user_code_on(screen: str) -> str:
    """The code that is shown."""
    found = re.search(r"the code (\S+),", screen)
    assert found is not None, screen
    return found[1]


async def requests_since(provider: RunningProvider, seen: int, *routes: str) -> list[Entry]:
    """The requests of these routes that came after the first `seen` of all."""
    return [e for e in (await provider.log())[seen:] if e["route"] in routes]


async def sign_in(shell: Shell, provider: RunningProvider, *arguments: str) -> str:
    """Sign in at a terminal, approving in the browser; the line on standard output."""
    await provider.configure(interval=1)
    async with shell.at_terminal(
        "login", *arguments, env={"QWEN_LS_OAUTH_BASE_URL": provider.issuer}
    ) as terminal:
        screen = await terminal.wait_for("Ctrl-C cancels")
        await provider.approve(user_code_on(screen))
        done = await terminal.end()
    assert done.code == 0, done.err
    return done.out


async def test_signing_in_then_chatting_then_signing_out(shell: Shell, provider: RunningProvider) -> None:
    """The sign-in is checked, kept for its owner alone, used by the next chat unasked, forgotten."""
    seen = len(await provider.log())
    assert await sign_in(shell, provider) == "Signed in to Qwen\n"
    routes = [e["route"] for e in (await provider.log())[seen:]]
    assert routes[0] == "device"
    assert set(routes[1:-1]) == {"token"}
    assert routes[-1] == "chat"  # the check

    assert stat.S_IMODE(cache_of(shell).stat().st_mode) == 0o600
    token = json.loads(cache_of(shell).read_text())["access_token"]
    assert choices_of(shell) == {"user": "qwen-oauth"}

    await provider.configure(reply="Welcome back.")
    done = await shell.run("chat", "hi", env={"QWEN_LS_OAUTH_BASE_URL": provider.issuer})
    assert (done.code, done.out, done.err) == (0, "Welcome back.\n", "")
    last = (await provider.log())[-1]
    assert last["authorization"] == f"Bearer {token}"
    assert last["json"]["messages"][0]["content"] == "hi"

    status = await shell.run("status", "--json", env={"QWEN_LS_OAUTH_BASE_URL": provider.issuer})
    assert (status.json["method"], status.json["chosenBy"]) == ("qwen-oauth", "user")
    assert status.json["source"] == {"kind": "qwen-oauth", "file": str(cache_of(shell))}
    assert token not in status.out

    done = await shell.run("logout", "qwen-oauth", env={"QWEN_LS_OAUTH_BASE_URL": provider.issuer})
    assert done.code == 0
    said = (
        "Signed out of Qwen; Qwen Code shares this sign-in and is signed out too; nothing is in force here\n"
    )
    assert done.out == said
    assert not cache_of(shell).exists()
    assert choices_of(shell) == {}
    assert (await shell.run("chat", "hi", env={"QWEN_LS_OAUTH_BASE_URL": provider.issuer})).code == 1


@pytest.mark.parametrize(
    ("arguments", "kept_for"),
    [
        (["qwen-oauth"], "user"),
        (["--folder", "."], "folder"),
        (["--folder", ".", "--target", "user"], "user"),
        (["--target", "workspaceFolder"], "folder"),
    ],
)
async def test_where_the_choice_is_kept(
    shell: Shell, provider: RunningProvider, arguments: list[str], kept_for: str
) -> None:
    """For the user, unless a folder was named; --target says otherwise."""
    await sign_in(shell, provider, *arguments)
    wanted = (
        {"folders": {str(shell.folder): "qwen-oauth"}} if kept_for == "folder" else {"user": "qwen-oauth"}
    )
    assert choices_of(shell) == wanted


async def test_a_choice_that_stays_in_force_is_said(shell: Shell, provider: RunningProvider) -> None:
    """The sign-in counts for the user, and the folder's own choice comes first."""
    await shell.run("switch", "api-key", "--folder", ".")
    assert await sign_in(shell, provider) == (
        "Signed in to Qwen. qwen-oauth is remembered, but api-key stays in force here (folder comes first)\n"
    )


async def test_ctrl_c_ends_a_sign_in_and_nothing_is_written(shell: Shell, provider: RunningProvider) -> None:
    """The key itself, pressed on the terminal: exit code 130, no file, no word after it."""
    await provider.configure(interval=1)
    before = files_under(shell.home)
    async with shell.at_terminal("login", env={"QWEN_LS_OAUTH_BASE_URL": provider.issuer}) as terminal:
        shown = await terminal.wait_for("Ctrl-C cancels.\n")
        terminal.type("\x03")
        done = await terminal.end()
    assert (done.code, done.out) == (130, "")
    assert done.err.replace("^C", "") == shown
    assert files_under(shell.home) == before


async def test_a_denied_sign_in_fails(shell: Shell, provider: RunningProvider) -> None:
    """The person says no on the provider's page: one line, and nothing is written."""
    await provider.configure(interval=1)
    before = files_under(shell.home)
    async with shell.at_terminal("login", env={"QWEN_LS_OAUTH_BASE_URL": provider.issuer}) as terminal:
        shown = await terminal.wait_for("Ctrl-C cancels.\n")
        await provider.deny(user_code_on(shown))
        done = await terminal.end()
    assert (done.code, done.out) == (1, "")
    assert done.err.removeprefix(shown).startswith("qwen-ls: The sign-in was refused on the provider's page")
    assert files_under(shell.home) == before


@pytest.mark.parametrize("arguments", [["login"], ["login", "qwen-oauth"]])
async def test_nobody_there_means_no_sign_in(
    shell: Shell, provider: RunningProvider, arguments: list[str]
) -> None:
    """Without a terminal, or with CI set, OAuth is not even begun; the line says what to do instead."""
    seen = len(await provider.log())
    variables = {"QWEN_LS_OAUTH_BASE_URL": provider.issuer}
    piped = await shell.run(*arguments, env=variables)
    async with shell.at_terminal(*arguments, env=variables | {"CI": "1"}) as terminal:
        in_ci = await terminal.end()
    for done in (piped, in_ci):
        assert (done.code, done.out) == (1, "")
        assert "needs a person at a terminal" in done.complaint
        assert "set OPENAI_API_KEY" in done.complaint
    assert await requests_since(provider, seen, "device", "token") == []


READS_ONLY = """
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        return None

    def set_password(self, service, username, password):
        raise RuntimeError
"""


def come_back(screen: str) -> None:
    """Open the page that is shown, as a browser would; the provider approves and sends it back."""
    found = re.search(r"Open (\S+)", screen)
    assert found is not None, screen
    with urllib.request.urlopen(found[1], timeout=10) as reply:  # noqa: S310 - loopback
        assert reply.status == HTTPStatus.OK


async def test_a_key_from_the_browser_is_kept(shell: Shell, provider: RunningProvider) -> None:
    """By whoever may: here a plain file, by the user's leave; then it is the method in force."""
    allow_plaintext(shell)
    await provider.configure(auto_approve=True)
    variables = {"QWEN_LS_OPENROUTER_BASE_URL": provider.base_url}
    async with shell.at_terminal("login", "openrouter", env=variables) as terminal:
        await asyncio.to_thread(come_back, await terminal.wait_for("Ctrl-C cancels"))
        done = await terminal.end()
    assert (done.code, choices_of(shell)) == (0, {"user": "api-key"})
    (entry,) = (await shell.run("keys", "list", "--json")).json["keys"]
    assert (entry["provider"], entry["keptIn"]) == ("openrouter", "file")


async def test_without_a_keyring_no_key_is_made_in_the_browser(
    shell: Shell, provider: RunningProvider
) -> None:
    """It would end with the command, and nobody would have it: no page is opened; exit code 1."""
    seen, before = len(await provider.log()), files_under(shell.home)
    variables = {"QWEN_LS_OPENROUTER_BASE_URL": provider.base_url}
    async with shell.at_terminal("login", "openrouter", env=variables) as terminal:
        done = await terminal.end()
    assert (done.code, done.out) == (1, "")
    assert "keyring" in done.complaint
    assert (len(await provider.log()), files_under(shell.home)) == (seen, before)


async def test_a_key_from_the_browser_that_nobody_keeps(shell: Shell, provider: RunningProvider) -> None:
    """The keyring gives and does not take: exit code 1, and the method in force is the one it was."""
    (shell.home / "reads_only.py").write_text(READS_ONLY)
    await provider.configure(auto_approve=True)
    variables = {
        "QWEN_LS_OPENROUTER_BASE_URL": provider.base_url,
        "PYTHON_KEYRING_BACKEND": "reads_only.Keyring",
        "PYTHONPATH": f"{SOURCES}{os.pathsep}{shell.home}",
    }
    async with shell.at_terminal("login", "openrouter", env=variables) as terminal:
        shown = await terminal.wait_for("Ctrl-C cancels.\n")
        await asyncio.to_thread(come_back, shown)
        done = await terminal.end()
    assert (done.code, done.out) == (1, "")
    assert done.err.removeprefix(shown).startswith("qwen-ls: The keyring failed")
    assert not (shell.home / ".local/state/qwen-ls/state.json").exists()


@pytest.mark.parametrize("method", ["api-key", "no-such-method"])
async def test_other_ways_in_are_not_there(shell: Shell, method: str) -> None:
    """A method that cannot sign in says what can; a key is read from standard input, which is empty here."""
    done = await shell.run("login", method)
    assert done.code == 1
    assert ("qwen-oauth" if method != "api-key" else "No key was given") in done.complaint


async def test_a_refused_issuer_is_said_before_anybody_signs_in_elsewhere(shell: Shell) -> None:
    """An address for sign-ins that is not used does not go unnoticed."""
    done = await shell.run("status", env={"QWEN_LS_OAUTH_BASE_URL": "http://example.invalid"})
    assert "environment variable QWEN_LS_OAUTH_BASE_URL" in done.complaint


@pytest.mark.parametrize("chosen_for", ["user", "workspaceFolder"])
async def test_signing_out_says_what_still_applies(shell: Shell, chosen_for: str) -> None:
    """A key in the environment is not forgotten with a sign-in, and signs instead: that is said."""
    await shell.run("switch", "qwen-oauth", "--target", chosen_for)
    path = write(shell.folder / ".env", OPENAI_API_KEY=canary("still there"))
    done = await shell.run("logout", "qwen-oauth")
    assert done.code == 0
    assert choices_of(shell) in ({}, {"folders": {}})
    assert f"still in force: api-key, OPENAI_API_KEY at {path}:1" in done.out
