"""Whose key goes to whose base URL, decided at a shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from canary import canary
from terminal.shell import Shell, write

if TYPE_CHECKING:
    from pathlib import Path

    from provider import Entry, RunningProvider


@pytest.fixture
def mine(request: pytest.FixtureRequest) -> str:
    """A key of the user's own."""
    return canary(f"{request.node.name}, the user's")


@pytest.fixture
def theirs(shell: Shell, provider: RunningProvider) -> Path:
    """A project file that names a base URL, and no key."""
    return write(shell.folder / ".env", OPENAI_BASE_URL=provider.v1, OPENAI_MODEL="m")


async def sent_with(provider: RunningProvider, key: str) -> list[Entry]:
    """The requests that carried a key."""
    return [e for e in await provider.log() if e["authorization"] == f"Bearer {key}"]


@pytest.mark.parametrize("arguments", [["chat", "hi", "--json"], ["models", "--json"]])
async def test_mixing_is_refused_where_nobody_can_be_asked(
    shell: Shell, provider: RunningProvider, mine: str, theirs: Path, arguments: list[str]
) -> None:
    """The user's key does not go where a project's file points; the line names host and ways out."""
    done = await shell.run(*arguments, env={"OPENAI_API_KEY": mine})
    assert done.code == 1
    assert done.json["error"]["kind"] == "untrusted-origin"
    for wanted in (str(theirs), provider.base_url, "--trust-project", "QWEN_LS_TRUST_PROJECT=1"):
        assert wanted in done.complaint
    assert await sent_with(provider, mine) == []


@pytest.mark.parametrize(
    "word", [(["--trust-project"], {}), ([], {"QWEN_LS_TRUST_PROJECT": "1"})], ids=["option", "variable"]
)
async def test_mixing_is_allowed_by_the_users_word(
    shell: Shell, provider: RunningProvider, mine: str, theirs: Path, word: tuple[list[str], dict[str, str]]
) -> None:
    """Either way out sends the key there, and the host is named."""
    arguments, variables = word
    await provider.configure(keys=[mine])
    done = await shell.run("chat", "hi", *arguments, env={"OPENAI_API_KEY": mine, **variables})
    assert done.code == 0
    assert done.complaint == f"qwen-ls: {theirs} names {provider.base_url} as base URL"
    assert len(await sent_with(provider, mine)) == 1


@pytest.mark.parametrize("value", ["0", "true", ""])
async def test_only_1_in_the_process_is_the_users_word(
    shell: Shell, provider: RunningProvider, mine: str, theirs: Path, value: str
) -> None:
    """Another value is no consent, and neither is the file's own."""
    with theirs.open("a") as file:
        file.write("QWEN_LS_TRUST_PROJECT=1\n")
    done = await shell.run("chat", "hi", env={"OPENAI_API_KEY": mine, "QWEN_LS_TRUST_PROJECT": value})
    assert done.code == 1
    assert await sent_with(provider, mine) == []


async def test_a_person_is_asked_once(
    shell: Shell, provider: RunningProvider, mine: str, theirs: Path
) -> None:
    """At a terminal the question names file and host; the answer is remembered, also for headless runs."""
    await provider.configure(keys=[mine], reply="Fine.")
    async with shell.at_terminal("chat", "hi", env={"OPENAI_API_KEY": mine}) as terminal:
        question = await terminal.wait_for("Your choice (1-2): ")
        assert f"OPENAI_BASE_URL at {theirs}:1 names {provider.base_url} as base URL. Send " in question
        assert f"…{mine[-4:]}" in question
        assert await sent_with(provider, mine) == []
        terminal.type("yes\n")
        await terminal.wait_for("(1-2): Your choice (1-2): ")
        terminal.type("1\n")
        done = await terminal.end()
    assert (done.code, done.out) == (0, "Fine.\n")
    again = await shell.run("chat", "hi", env={"OPENAI_API_KEY": mine})
    assert (again.code, again.out) == (0, "Fine.\n")
    assert len(await sent_with(provider, mine)) == 2


@pytest.mark.parametrize("answer", ["2\n", "\x04", "\n\n\n"], ids=["no", "end of input", "no answer"])
async def test_without_a_yes_nothing_is_sent(
    shell: Shell, provider: RunningProvider, mine: str, theirs: Path, answer: str
) -> None:
    """No, the end of the input, or nothing: the request fails; only No is remembered."""
    async with shell.at_terminal("chat", "hi", env={"OPENAI_API_KEY": mine}) as terminal:
        await terminal.wait_for("Your choice (1-2): ")
        terminal.type(answer)
        done = await terminal.end()
    assert (done.code, done.out) == (1, "")
    assert f"qwen-ls: The key …{mine[-4:]}" in done.err
    assert str(theirs) in done.err
    assert await sent_with(provider, mine) == []
    state = shell.home / ".local/state/qwen-ls/state.json"
    decisions = json.loads(state.read_text())["decisions"] if state.exists() else []
    assert [d["decision"] for d in decisions] == (["deny"] if answer == "2\n" else [])


async def test_a_question_can_be_interrupted(
    shell: Shell, provider: RunningProvider, mine: str, theirs: Path
) -> None:
    """Ctrl-C at the question ends the run with 130; nothing is sent and nothing remembered."""
    async with shell.at_terminal("chat", "hi", env={"OPENAI_API_KEY": mine}) as terminal:
        await terminal.wait_for("Your choice (1-2): ")
        terminal.type("\x03")
        done = await terminal.end()
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err
    assert await sent_with(provider, mine) == []
    assert str(theirs) in done.err
    assert not (shell.home / ".local/state/qwen-ls/state.json").exists()


@pytest.mark.parametrize("variables", [{"CI": "true"}, {"CI": "1"}])
async def test_no_question_in_ci(
    shell: Shell, provider: RunningProvider, mine: str, theirs: Path, variables: dict[str, str]
) -> None:
    """A terminal that a CI system made is nobody to ask."""
    async with shell.at_terminal("chat", "hi", env={"OPENAI_API_KEY": mine, **variables}) as terminal:
        done = await terminal.end()
    assert done.code == 1
    assert f"named by OPENAI_BASE_URL at {theirs}:1" in done.complaint
    assert await sent_with(provider, mine) == []


async def test_the_files_own_key_may_be_chosen(shell: Shell, provider: RunningProvider, mine: str) -> None:
    """With a key of its own in the file there is a third way, and it is remembered."""
    its = canary("the file's own")
    write(shell.folder / ".env", OPENAI_API_KEY=its, OPENAI_BASE_URL=provider.v1, OPENAI_MODEL="m")
    await provider.configure(keys=[its], reply="Ours.")
    async with shell.at_terminal("chat", "hi", env={"OPENAI_API_KEY": mine}) as terminal:
        screen = await terminal.wait_for("Your choice (1-3): ")
        assert "1  Use the file's key and URL" in screen
        terminal.type("1\n")
        done = await terminal.end()
    assert (done.code, done.out) == (0, "Ours.\n")
    assert (await shell.run("chat", "hi", env={"OPENAI_API_KEY": mine, "CI": "1"})).out == "Ours.\n"
    assert await sent_with(provider, mine) == []
    assert len(await sent_with(provider, its)) == 2
