"""`qwen-ls keys`: a key piped in or typed unseen, listed by fingerprint, kept only by whoever may."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from canary import canary
from sweep import files_below, sweep
from terminal.shell import Done, Shell, allow_plaintext, write

if TYPE_CHECKING:
    from provider import RunningProvider

KEY, OTHER = canary("terminal/test_keys: a key"), canary("terminal/test_keys: another")
MODEL = "model-of-the-key"


def setting(provider: RunningProvider, *more: str) -> list[str]:
    """`keys set` for the provider."""
    return ["keys", "set", "--base-url", provider.v1, "--model", MODEL, *more]


def is_unseen(shell: Shell, *runs: Done, but: tuple[str, ...] = ()) -> None:
    """Neither output nor file holds a key."""
    places = {f"run {number}": (run.out + run.err).encode() for number, run in enumerate(runs)}
    places |= dict(files_below(shell.home.parent, but=but))
    assert sweep(places, {KEY: "the key", OTHER: "the other"}) == []


async def bearers(provider: RunningProvider) -> list[str]:
    """The keys that chat requests came with."""
    return [entry["authorization"].removeprefix("Bearer ") for entry in await provider.log("chat")]


async def test_a_piped_key_is_kept_across_processes(shell: Shell, provider: RunningProvider) -> None:
    """With the user's leave for a plain file: set, listed, used, removed, each in a process of its own."""
    allow_plaintext(shell)
    await provider.configure(keys=[KEY], reply="Fine.")
    done = await shell.run(*setting(provider), stdin=f"{KEY}\n".encode())
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"The key …{KEY[-4:]} is stored for you, in every folder in a plain file")
    file = shell.home / ".local/state/qwen-ls/keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    plain = await shell.run("keys", "list")
    assert plain.out == f"* …{KEY[-4:]}  custom  {provider.v1}  for the user  (file)\n"
    (entry,) = (await shell.run("keys", "list", "--json")).json["keys"]
    assert (entry["fingerprint"], entry["target"], entry["keptIn"]) == (f"…{KEY[-4:]}", "user", "file")
    chat = await shell.run("chat", "hi")
    assert (chat.code, chat.out) == (0, "Fine.\n")
    assert (await bearers(provider))[-1] == KEY
    is_unseen(shell, done, plain, chat, but=("keys.json",))
    gone = await shell.run("keys", "remove")
    assert (gone.code, gone.out) == (0, "Forgot the key stored for the user (file)\n")
    assert (await shell.run("keys", "list")).out == "No key is stored\n"
    assert (await shell.run("chat", "hi")).code == 1
    is_unseen(shell, gone)


async def test_a_typed_key_is_not_shown(shell: Shell, provider: RunningProvider) -> None:
    """At a terminal it is asked for, and what is typed does not appear."""
    allow_plaintext(shell)
    await provider.configure(keys=[KEY])
    async with shell.at_terminal(*setting(provider)) as terminal:
        await terminal.wait_for("API key (not shown): ")
        terminal.type(f"{KEY}\n")
        done = await terminal.end()
    assert (done.code, done.out.startswith(f"The key …{KEY[-4:]} is stored")) == (0, True)
    is_unseen(shell, done, but=("keys.json",))


async def test_typing_can_be_interrupted(shell: Shell, provider: RunningProvider) -> None:
    """Ctrl-C at the question ends with 130, and nothing is stored."""
    allow_plaintext(shell)
    async with shell.at_terminal(*setting(provider)) as terminal:
        await terminal.wait_for("API key (not shown): ")
        terminal.type("\x03")
        done = await terminal.end()
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err
    assert (await shell.run("keys", "list")).out == "No key is stored\n"


async def test_in_ci_nobody_is_asked(shell: Shell, provider: RunningProvider) -> None:
    """A terminal that a CI system made types nothing."""
    async with shell.at_terminal(*setting(provider), env={"CI": "true"}) as terminal:
        done = await terminal.end()
    assert (done.code, done.out) == (1, "")
    assert "No key was given" in done.err


async def test_without_a_keyring_nothing_is_stored(shell: Shell, provider: RunningProvider) -> None:
    """One line says why and what to do; exit 1."""
    await provider.configure(keys=[KEY])
    done = await shell.run(*setting(provider), stdin=KEY.encode())
    assert (done.code, done.out) == (1, "")
    assert done.complaint.startswith("qwen-ls: The key was not stored: ")
    assert "allowPlaintextKeys" in done.complaint
    assert (await shell.run("keys", "list")).out == "No key is stored\n"
    is_unseen(shell, done)


async def test_a_key_without_a_keeper_takes_nothing_away(shell: Shell, provider: RunningProvider) -> None:
    """A key that was stored before, while a file was allowed, is still there when it is allowed again."""
    allow_plaintext(shell)
    await provider.configure(keys=[KEY, OTHER])
    assert (await shell.run(*setting(provider), stdin=KEY.encode())).code == 0
    (shell.home / ".config/qwen-ls/settings.json").write_text("{}")
    assert (await shell.run(*setting(provider), stdin=OTHER.encode())).code == 1
    (shell.home / ".config/qwen-ls/settings.json").write_text('{"allowPlaintextKeys": true}')
    assert (await shell.run("chat", "hi")).code == 0
    assert (await bearers(provider))[-1] == KEY


async def test_a_key_without_a_model_where_none_is_listed(shell: Shell, provider: RunningProvider) -> None:
    """The remedy is one that helps."""
    allow_plaintext(shell)
    await provider.configure(keys=[KEY], models=[])
    done = await shell.run("keys", "set", "--base-url", provider.v1, stdin=KEY.encode())
    assert (done.code, "`qwen-ls keys set --model`" in done.complaint) == (1, True)
    assert "OPENAI_MODEL" not in done.complaint
    assert (await shell.run(*setting(provider), stdin=KEY.encode())).code == 0


async def test_a_rejected_key_is_not_stored(shell: Shell, provider: RunningProvider) -> None:
    """The provider's refusal in one line; exit 1."""
    allow_plaintext(shell)
    await provider.configure(keys=[KEY])
    done = await shell.run(*setting(provider), stdin=OTHER.encode())
    assert (done.code, done.out) == (1, "")
    assert f"…{OTHER[-4:]}" in done.complaint
    assert (await shell.run("keys", "list", "--json")).json == {"keys": []}
    is_unseen(shell, done)


@pytest.mark.parametrize(
    "text", ["", "\n", "two words", "ключ"], ids=["none", "blank", "blanks in it", "no ASCII"]
)
async def test_what_is_no_key(shell: Shell, provider: RunningProvider, text: str) -> None:
    """One line with what to do, exit 1; the provider is not asked."""
    seen = len(await provider.log())
    done = await shell.run(*setting(provider), stdin=text.encode())
    assert (done.code, done.out) == (1, "")
    assert "key" in done.complaint
    assert len(await provider.log()) == seen


async def test_an_argument_is_no_way_to_give_a_key(shell: Shell) -> None:
    """Others see a process's arguments: wrong usage, and the key is not repeated."""
    done = await shell.run("keys", "set", KEY)
    assert (done.code, done.out) == (2, "")
    is_unseen(shell, done)


async def test_a_folders_key_is_for_that_folder(shell: Shell, provider: RunningProvider) -> None:
    """`--folder` stores it there; other folders do not see it; it beats the environment.

    It is removed as what it is, and not as another provider's.
    """
    allow_plaintext(shell)
    await provider.configure(keys=[KEY, OTHER])
    here = ["--folder", str(shell.folder), "--target", "workspaceFolder"]
    done = await shell.run(*setting(provider, *here), stdin=KEY.encode())
    assert (done.code, "for this workspace folder" in done.out) == (0, True)
    write(shell.home / ".env", OPENAI_API_KEY=OTHER, OPENAI_BASE_URL=provider.v1, OPENAI_MODEL="m")
    async with shell.at_terminal("chat", "hi", "--folder", str(shell.folder)) as terminal:
        assert (await terminal.end()).code == 0
    assert (await bearers(provider))[-1] == KEY
    elsewhere = shell.folder.parent / "elsewhere"
    elsewhere.mkdir()
    assert (await shell.run("chat", "hi", "--folder", str(elsewhere))).code == 0
    assert (await bearers(provider))[-1] == OTHER
    refused = await shell.run("keys", "remove", "--folder", str(shell.folder), "--provider", "openrouter")
    assert (refused.code, "There is no such key" in refused.complaint) == (1, True)
    removed = await shell.run("keys", "remove", "--folder", str(shell.folder), "--provider", "custom")
    assert (removed.code, removed.out) == (0, f"Forgot the key stored for {shell.folder} (file)\n")


async def test_logging_out_without_a_method_is_of_what_is_in_force(
    shell: Shell, provider: RunningProvider
) -> None:
    """A key of the environment stays, with all that is stored; then the folder's goes, then the user's."""
    allow_plaintext(shell)
    await provider.configure(keys=[KEY, OTHER])
    await shell.run(*setting(provider), stdin=OTHER.encode())
    await shell.run(*setting(provider, "--folder", "."), stdin=KEY.encode())
    await shell.run("switch", "api-key", "--folder", ".")
    await shell.run("switch", "api-key")
    said = (await shell.run("logout", env={"OPENAI_API_KEY": OTHER, "OPENAI_BASE_URL": provider.v1})).out
    assert said.startswith("There was no stored key to forget")
    users = "key stored for the user (file)"
    assert [(await shell.run("logout")).out for _ in range(3)] == [
        f"Forgot the key stored for {shell.folder} (file); still in force: api-key, {users}\n",
        f"Forgot the {users}; nothing is in force here\n",
        "There was no sign-in of qwen-oauth to forget; nothing is in force here\n",
    ]


async def test_a_login_below_the_choice_of_the_folder(shell: Shell) -> None:
    """The key is stored and chosen for the user; that another method stays in force here is said."""
    allow_plaintext(shell)
    await shell.run("switch", "qwen-oauth", "--folder", ".")
    nobody = {"HTTPS_PROXY": "http://127.0.0.1:9"}  # so that the check of the key reaches nobody
    done = await shell.run("login", "api-key", stdin=KEY.encode(), env=nobody)
    stays = "api-key is remembered, but qwen-oauth stays in force here (folder comes first)"
    assert (done.code, done.out.splitlines()[1:]) == (0, [stays])


async def test_two_providers_keys(shell: Shell, provider: RunningProvider) -> None:
    """The one stored last signs and is starred; `--provider` removes the one that is meant."""
    allow_plaintext(shell)
    await provider.configure(keys=[KEY, OTHER])
    await shell.run(*setting(provider, "--provider", "ollama"), stdin=KEY.encode())
    await shell.run(*setting(provider, "--provider", "vllm"), stdin=OTHER.encode())
    lines = (await shell.run("keys", "list")).out.splitlines()
    assert sorted(line.split()[:-4] for line in lines) == sorted(
        [[f"…{KEY[-4:]}", "ollama", provider.v1], ["*", f"…{OTHER[-4:]}", "vllm", provider.v1]]
    )
    assert (await shell.run("keys", "remove", "--provider", "ollama")).code == 0
    (entry,) = (await shell.run("keys", "list", "--json")).json["keys"]
    assert (entry["provider"], entry["active"]) == ("vllm", True)


async def test_removing_what_is_not_there(shell: Shell) -> None:
    """One line, exit 1."""
    done = await shell.run("keys", "remove")
    assert (done.code, done.out) == (1, "")
    assert "keys list" in done.complaint


async def test_a_base_url_that_does_not_apply_is_told(shell: Shell, provider: RunningProvider) -> None:
    """`status` says that a project's base URL does not apply to a stored key, and where it stands."""
    allow_plaintext(shell)
    await provider.configure(keys=[KEY])
    assert (await shell.run(*setting(provider), stdin=KEY.encode())).code == 0
    file = write(shell.folder / ".env", OPENAI_BASE_URL="https://elsewhere.example/v1")
    status = await shell.run("status")
    told = "OPENAI_BASE_URL is not used: the key stored for the user (file) goes to its own base URL only"
    assert status.out.splitlines()[-1] == f"  {file}:1: {told}"
