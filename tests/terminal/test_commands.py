"""Usage, reports and switching: what each command prints, and its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from canary import canary
from qwen_ls import __version__
from qwen_ls.adapters.state import StateFile
from terminal.shell import Shell, finish, write

if TYPE_CHECKING:
    from provider import RunningProvider

COMMANDS = ("serve", "chat", "login", "logout", "switch", "status", "explain", "models", "doctor", "demo")


async def test_bare_at_a_terminal_prints_the_usage(shell: Shell) -> None:
    """Without arguments a person gets the usage on standard error, and exit code 2."""
    async with shell.at_terminal() as terminal:
        done = await terminal.end()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: qwen-ls")
    for command in COMMANDS:
        assert f"\n    {command} " in done.err


async def test_help_and_version(shell: Shell) -> None:
    """Both go to standard output and are a success; each command has a help of its own."""
    done = await shell.run("--help")
    assert (done.code, done.err) == (0, "")
    assert all(f"\n    {command} " in done.out for command in COMMANDS)
    done = await shell.run("chat", "--help")
    assert (done.code, done.err) == (0, "")
    assert all(option in done.out for option in ("--model", "--json", "--trust-project", "--folder"))
    done = await shell.run("--version")
    assert (done.code, done.out, done.err) == (0, f"qwen-ls {__version__}\n", "")


async def test_the_client_for_an_editor_comes_along(shell: Shell) -> None:
    """The folder that is printed holds the client; an editor that has none is a wrong usage."""
    done = await shell.run("editor-path", "neovim")
    assert (done.code, done.err) == (0, "")
    folder = Path(done.out.rstrip("\n"))
    assert [name for name in ("lsp", "plugin", "lua", "doc") if not (folder / name).is_dir()] == []
    refused = await shell.run("editor-path", "ed")
    assert (refused.code, refused.out) == (2, "")


SECRET = canary("typed as an argument")


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        [SECRET],
        ["--no-such-option"],
        ["status", "--no-such-option"],
        ["status", f"--key={SECRET}"],
        ["chat", "one", SECRET],
        ["chat", "hi", "--model"],
        ["chat", "hi", f"--json={SECRET}"],
        ["chat", "hi", "--js"],
        ["switch"],
        ["login", "--target", SECRET],
        ["status", "--folder", "/no/such/folder"],
        ["status", "--folder", ""],
        ["serve", "--port"],
        ["serve", "--stdio", "--stdio"],
    ],
)
async def test_wrong_usage_is_one_line(shell: Shell, arguments: list[str]) -> None:
    """Exit code 2 and one line, which repeats no value: somebody may have typed a key."""
    done = await shell.run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert SECRET not in done.complaint


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["login", SECRET], "openrouter"),
        (["switch", SECRET], "qwen-oauth"),
        (["logout", SECRET], "qwen-oauth"),
        (["keys", "set", "--provider", SECRET], "dashscope"),
    ],
)
async def test_a_name_that_is_not_known_is_not_repeated(
    shell: Shell, arguments: list[str], remedy: str
) -> None:
    """Exit code 1, and one line that lists those which are: somebody may have typed a key."""
    done = await shell.run(*arguments, stdin=SECRET.encode())
    assert (done.code, done.out) == (1, "")
    assert SECRET not in done.err
    assert remedy in done.err


async def test_a_chat_without_a_prompt_at_a_terminal_is_wrong_usage(shell: Shell) -> None:
    """Nobody should sit and wonder what it waits for."""
    async with shell.at_terminal("chat") as terminal:
        done = await terminal.end()
    assert (done.code, done.complaint) == (2, "qwen-ls: chat needs a PROMPT, or one on standard input")


async def test_a_removed_current_directory_is_said(shell: Shell) -> None:
    """A shell may stand in a folder that is gone."""
    gone = shell.home / "gone"
    gone.mkdir()
    leave = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", leave, *shell.command("status"), cwd=gone, env=shell.environment({}),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    done = await finish(process)
    assert (done.code, done.complaint) == (2, "qwen-ls: the current directory is gone")


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
async def test_standard_streams_may_be_missing(shell: Shell, closed: str) -> None:
    """A process started without one of them does its work, and shows no traceback on the others."""
    key = canary("closed streams")
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "$@" {closed}', "sh", *shell.command("status"), cwd=shell.folder,
        env=shell.environment({"OPENAI_API_KEY": key}),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    done = await finish(process)
    assert (done.code, done.err) == (0, "")
    assert ("OpenAI" in done.out) == ("1>" not in closed)


# --- status and explain --------------------------------------------------------------------------


async def test_status_names_every_source(shell: Shell) -> None:
    """Key, base URL and model each come with file and line; the key itself is not shown."""
    key = canary("status")
    path = write(
        shell.folder.parent / ".env",
        OPENAI_MODEL="m",
        OPENAI_API_KEY=key,
        OPENAI_BASE_URL="http://[::1]:9/v1",
    )
    done = await shell.run("status", "--json")
    assert (done.code, done.err) == (0, "")
    found = done.json
    for field, variable, line in (
        ("modelSource", "OPENAI_MODEL", 1),
        ("source", "OPENAI_API_KEY", 2),
        ("baseUrlSource", "OPENAI_BASE_URL", 3),
    ):
        assert found[field] == {"kind": "dotenv", "variable": variable, "file": str(path), "line": line}
    assert found["uri"] == shell.folder.as_uri()
    assert (found["signedIn"], found["method"], found["chosenBy"]) == (True, "api-key", "headless")
    assert found["fingerprint"] == f"…{key[-4:]}"

    text = (await shell.run("status")).out
    for wanted in (f"OPENAI_API_KEY at {path}:2", f"http://[::1]:9/v1 (OPENAI_BASE_URL at {path}:3)"):
        assert wanted in text
    assert key not in done.out + text


async def test_status_fails_where_nothing_signs_requests(shell: Shell) -> None:
    """It is printed all the same, on standard output; a script can ask by the exit code."""
    plain = await shell.run("status")
    assert (plain.code, plain.err) == (1, "")
    assert plain.out.startswith("Signed out: ")
    as_json = await shell.run("status", "--json")
    assert (as_json.code, as_json.err) == (1, "")
    assert (as_json.json["signedIn"], as_json.json["error"]["kind"]) == (False, "signed-out")


async def test_a_line_that_is_skipped_is_shown(shell: Shell) -> None:
    """What is wrong in a .env file stands in the status, with its line."""
    path = shell.folder / ".env"
    path.write_text(f"OPENAI_API_KEY={canary('skipped')}\nthis is no line\n")
    done = await shell.run("status")
    assert done.code == 0
    assert f"{path}:2: " in done.out


async def test_a_folders_name_cannot_command_the_terminal(shell: Shell) -> None:
    """A path is text from outside as well."""
    folder = shell.folder / "a\x1b[2Jb"
    write(folder / ".env", OPENAI_API_KEY=canary("path"))
    for command in ("status", "explain", "doctor"):
        done = await shell.run(command, "--folder", str(folder))
        assert "\x1b" not in done.out + done.err
        assert "a[2Jb" in done.out


@pytest.mark.parametrize("name", ["directory", "fifo", "large", "binary"])
async def test_an_unreadable_env_file_is_one_line(shell: Shell, name: str) -> None:
    """A .env that is no readable file ends the search, by name; a good one further up is not used."""
    write(shell.folder.parent / ".env", OPENAI_API_KEY=canary("further up"))
    path = shell.folder / ".env"
    if name == "directory":
        path.mkdir()
    elif name == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"\xff" * 100 if name == "binary" else b"A=1\n" * 2_500_000)
    done = await shell.run("chat", "hi", "--json")
    assert (done.code, done.json["error"]["kind"]) == (1, "env-unreadable")
    assert str(path) in done.complaint


async def test_explain_prints_the_ladder(shell: Shell) -> None:
    """The winner, the others, and each place where a .env file is looked for."""
    path = write(
        shell.folder / ".env", OPENAI_API_KEY=canary("explain"), DASHSCOPE_API_KEY=canary("explain 2")
    )
    done = await shell.run("explain")
    assert (done.code, done.err) == (0, "")
    assert "**active**" in done.out
    assert f"- {path} ← the one file that is read" in done.out
    found = (await shell.run("explain", "--json")).json
    outcomes = {rung["place"]: rung["outcome"] for rung in found["rungs"]}
    assert outcomes[f"OPENAI_API_KEY in {path}"] == "active"
    assert outcomes[f"DASHSCOPE_API_KEY in {path}"] == "outranked"
    assert found["envFile"] == str(path)
    assert (await shell.run("explain", "--folder", str(shell.home))).code == 0


# --- models, doctor, switch ----------------------------------------------------------------------


async def test_models_are_listed(shell: Shell, provider: RunningProvider, variables: dict[str, str]) -> None:
    """One on a line, the active one starred, with nothing in them that a terminal obeys."""
    await provider.configure(models=["one-model", "two\x1b[2J-model"])
    variables["OPENAI_MODEL"] = "one-model"
    done = await shell.run("models", env=variables)
    assert (done.code, done.out, done.err) == (0, "* one-model\n  two[2J-model\n", "")
    found = (await shell.run("models", "--json", env=variables)).json
    assert found["baseUrl"] == provider.v1
    assert found["models"][0] == {"id": "one-model", "active": True}


async def test_a_model_chosen_in_an_editor_counts_in_a_shell(
    shell: Shell, provider: RunningProvider, variables: dict[str, str]
) -> None:
    """It is starred, asked for and explained; where nobody can be asked, OPENAI_MODEL comes before it."""
    state = StateFile(shell.home / ".local" / "state" / "qwen-ls" / "state.json")
    await state.choose_model(None, provider.v1, "another-model")
    without = {name: value for name, value in variables.items() if name != "OPENAI_MODEL"}
    assert (await shell.run("models", env=without)).out == "  one-model\n* another-model\n"
    assert (await shell.run("chat", "--json", "hi", env=without)).json["requestedModel"] == "another-model"
    assert (await shell.run("chat", "--json", "hi", env=variables)).json["requestedModel"] == variables[
        "OPENAI_MODEL"
    ]
    shown = (await shell.run("explain", env=variables)).out
    assert (
        f"| environment variable OPENAI_MODEL | **active** | {variables['OPENAI_MODEL']} | the first found |"
        in shown
    )
    assert "| the choice for the user | outranked | another-model |" in shown


async def test_models_fail_with_a_kind(
    shell: Shell, provider: RunningProvider, variables: dict[str, str]
) -> None:
    """The same errors as in a chat."""
    await provider.fault("models", html=True)
    done = await shell.run("models", "--json", env=variables)
    assert (done.code, done.json["error"]["kind"]) == (1, "network")
    assert done.complaint == f"qwen-ls: {done.json['error']['message']}"


async def test_doctor_reports_without_secrets(
    shell: Shell, provider: RunningProvider, variables: dict[str, str]
) -> None:
    """Facts to paste into a question: versions, what is in force, whether it answers."""
    proxy = canary("a proxy's password")
    variables["HTTPS_PROXY"] = f"http://user:{proxy}@127.0.0.1:9"
    done = await shell.run("doctor", env=variables)
    assert done.code == 0
    for wanted in (__version__, provider.v1, "yes (HTTP 401 without a key)", "terminal, headless"):
        assert wanted in done.out
    as_json = await shell.run("doctor", "--json", env=variables)
    assert as_json.json["facts"]["base URL"] == provider.v1
    assert as_json.json["markdown"].startswith("# qwen-ls doctor")
    for secret in (proxy, variables["OPENAI_API_KEY"]):
        assert secret not in done.out + as_json.out


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ([], {"user": "api-key"}),
        (["--folder", "."], {"folders": {"{folder}": "api-key"}}),
        (["--target", "workspaceFolder"], {"folders": {"{folder}": "api-key"}}),
    ],
)
async def test_switching_is_remembered(shell: Shell, arguments: list[str], kept: dict[str, object]) -> None:
    """For the user, or for a named folder by its real path; the line says what it means."""
    done = await shell.run("switch", "api-key", *arguments, env={"OPENAI_API_KEY": canary("switch")})
    assert (done.code, done.out, done.err) == (
        0, "Switched to api-key: OpenAI, environment variable OPENAI_API_KEY\n", "",
    )  # fmt: skip
    state = json.loads((shell.home / ".local/state/qwen-ls/state.json").read_text())
    assert state["choices"] == json.loads(json.dumps(kept).replace("{folder}", str(shell.folder)))


async def test_a_switch_refuses_to_lie(shell: Shell) -> None:
    """Where a headless run takes the key all the same, it says so; an unknown method is refused."""
    done = await shell.run("switch", "qwen-oauth", env={"OPENAI_API_KEY": canary("headless")})
    assert done.code == 0
    assert "api-key stays in force here (headless comes first)" in done.out
    done = await shell.run("switch", "no-such-method")
    assert (done.code, done.out) == (1, "")
    assert "qwen-oauth, api-key" in done.complaint


async def test_a_refused_base_url_is_not_shown(shell: Shell) -> None:
    """It may hold a password; a status names the variable instead."""
    password = canary("a base URL's password")
    variables = {
        "OPENAI_API_KEY": canary("key"),
        "OPENAI_BASE_URL": f"https://me:{password}@example.invalid/v1",
    }
    for arguments in (["status"], ["status", "--json"], ["explain"], ["doctor"], ["chat", "hi"], ["models"]):
        done = await shell.run(*arguments, env=variables)
        assert password not in done.out + done.err
    assert (
        "a refused one (environment variable OPENAI_BASE_URL)"
        in (await shell.run("status", env=variables)).out
    )
