"""`qwen-ls chat` against a running provider: what is sent where, how the answer comes, how it fails."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from qwen_ls.core.providers import KEY_VARIABLES
from terminal.shell import PATIENCE, Shell, files_under, finish, write

if TYPE_CHECKING:
    from pathlib import Path

    from provider import Entry, RunningProvider

Variables = dict[str, str]


async def chats_with(provider: RunningProvider, key: str) -> list[Entry]:
    """The chat requests that carried a key."""
    return [e for e in await provider.log("chat") if e["authorization"] == f"Bearer {key}"]


async def read_until(stream: asyncio.StreamReader | None, text: str) -> str:
    """Read until a text has come."""
    assert stream is not None
    return (await asyncio.wait_for(stream.readuntil(text.encode()), PATIENCE)).decode()


async def test_key_model_and_url_are_those_of_the_environment(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """Exactly the key and the model of the variables go to exactly their URL, and the answer comes back."""
    await provider.configure(reply="Good day to you.")
    done = await shell.run("chat", "hi", env=variables)
    assert (done.code, done.out, done.err) == (0, "Good day to you.\n", "")
    (sent,) = await chats_with(provider, variables["OPENAI_API_KEY"])
    assert sent["path"] == "/v1/chat/completions"
    assert sent["json"]["model"] == variables["OPENAI_MODEL"]
    assert sent["json"]["messages"] == [{"role": "user", "content": "hi"}]
    assert sent["json"]["stream"] is True


@pytest.mark.parametrize(
    "place", [".qwen/.env", ".env", "../.env", "../.qwen/.env", "~/.qwen/.env", "~/.env"]
)
async def test_the_three_may_stand_in_a_file(
    shell: Shell, provider: RunningProvider, variables: Variables, place: str
) -> None:
    """Each place of a .env file serves; the host that a project's file names is shown, and nothing else."""
    await provider.configure(reply="Yes.")
    path = shell.home / place[2:] if place.startswith("~") else (shell.folder / place).resolve()
    write(path, **variables)
    done = await shell.run("chat", "hi")
    assert (done.code, done.out) == (0, "Yes.\n")
    if place.startswith("~"):
        assert done.err == ""
    else:
        assert done.complaint == f"qwen-ls: {path} names {provider.base_url} as base URL"
    (sent,) = await chats_with(provider, variables["OPENAI_API_KEY"])
    assert sent["json"]["model"] == variables["OPENAI_MODEL"]


async def test_the_search_begins_at_the_real_folder(
    shell: Shell, provider: RunningProvider, variables: Variables, tmp_path: Path
) -> None:
    """From a symbolic link it is the parents of its target that count, not those of the link."""
    write(shell.folder.parent / ".env", **variables)
    write(tmp_path / "links" / ".env", **{**variables, "OPENAI_API_KEY": canary("beside the link")})
    link = tmp_path / "links" / "here"
    link.symlink_to(shell.folder)
    for arguments, cwd in (((), link), (("--folder", str(link)), shell.home)):
        done = await shell.run("chat", "hi", *arguments, cwd=cwd, env={"PWD": str(cwd)})
        assert done.code == 0, done.err
    assert len(await chats_with(provider, variables["OPENAI_API_KEY"])) == 2


async def test_the_answer_streams(shell: Shell, provider: RunningProvider, variables: Variables) -> None:
    """What has come is printed while the provider still holds the rest back."""
    await provider.configure(tokens=10)
    await provider.fault("chat", stall=3)
    process = await shell.start("chat", "hi", env=variables)
    assert await read_until(process.stdout, "3 ") == "1 2 3 "
    (sent,) = await chats_with(provider, variables["OPENAI_API_KEY"])
    assert sent["completed_at"] is None
    process.send_signal(signal.SIGKILL)
    await finish(process)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_stops_the_answer(
    shell: Shell, provider: RunningProvider, variables: Variables, number: int, code: int
) -> None:
    """The connection is closed within 250 ms, the line is ended, and the exit code names the signal."""
    await provider.configure(tokens=10)
    await provider.fault("chat", stall=3)
    process = await shell.start("chat", "hi", env=variables)
    await read_until(process.stdout, "3 ")
    key, loop = f"Bearer {variables['OPENAI_API_KEY']}", asyncio.get_running_loop()
    before = loop.time()
    process.send_signal(number)
    closed = await provider.wait_for(lambda e: e["authorization"] == key and e["closed_at"] is not None)
    assert closed["closed_at"] - before < 0.25  # both are CLOCK_MONOTONIC
    done = await finish(process)
    assert (done.code, done.out, done.err) == (code, "\n", "")


async def test_an_interrupted_answer_is_kept_in_json(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """With --json the partial text is printed, marked as stopped."""
    await provider.configure(tokens=10)
    await provider.fault("chat", stall=3)
    process = await shell.start("chat", "hi", "--json", env=variables)
    key = f"Bearer {variables['OPENAI_API_KEY']}"
    await provider.wait_for(lambda e: e["authorization"] == key and e["tokens"] == 3)
    await provider.wait_for(lambda e: e["authorization"] == key and e["status"] == 200)
    process.send_signal(signal.SIGINT)
    done = await finish(process)
    assert (done.code, done.err) == (130, "")
    assert done.json["stopReason"] == "cancelled"
    assert "1 2 3 ".startswith(done.json["text"])


async def test_an_ignored_signal_stays_ignored(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """Under `nohup`-like parents, which ignore SIGINT, it does not stop the answer."""
    await provider.configure(tokens=3, token_interval=0.05)
    ignoring = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ignoring, *shell.command("chat", "hi"),
        cwd=shell.folder, env=shell.environment(variables),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await read_until(process.stdout, "1 ")
    process.send_signal(signal.SIGINT)
    done = await finish(process)
    assert (done.code, done.out) == (0, "2 3 \n")


async def test_a_reader_that_leaves_ends_it_quietly(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """After `| head` the request is closed, and nothing is said about it."""
    await provider.configure(tokens=10_000, token_interval=0.005)
    process = await shell.start("chat", "hi", env=variables)
    await read_until(process.stdout, "3 ")
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    key = f"Bearer {variables['OPENAI_API_KEY']}"
    await provider.wait_for(lambda e: e["authorization"] == key and e["closed_at"] is not None)
    assert process.stderr is not None
    assert await asyncio.wait_for(process.stderr.read(), PATIENCE) == b""
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 128 + signal.SIGPIPE


async def test_a_full_disk_is_reported(shell: Shell, variables: Variables) -> None:
    """Where standard output cannot be written it is one line and a failure."""
    full = os.open("/dev/full", os.O_WRONLY)
    done = await finish(await shell.start("chat", "hi", stdout=full, env=variables))
    os.close(full)
    assert done.code == 1
    assert "Standard output cannot be written: No space left on device" in done.complaint


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "html": ({"html": True}, "network", "captive-portal"),
    "cut": ({"cut": 2}, "stream-truncated", ""),
    "cut before the headers": ({"cut": -1}, "network", "refused"),
    "bad JSON": ({"bad_json": 2}, "bad-reply", ""),
    "500": ({"status": 500}, "provider-down", ""),
    "401": ({"status": 401}, "key-rejected", ""),
    "redirect": ({"redirect": "http://127.0.0.1:1/"}, "network", "redirect"),
    "gzip": ({"gzip": True}, "network", "encoding"),
    "error in the stream": ({"error_event": 2}, "provider-down", ""),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_has_its_kind(
    shell: Shell, provider: RunningProvider, variables: Variables, name: str
) -> None:
    """Each way to fail is one line on standard error, its kind in the JSON, what came before it kept."""
    fields, kind, cause = FAULTS[name]
    await provider.configure(tokens=5)
    await provider.fault("chat", **fields)
    plain, as_json = await asyncio.gather(
        shell.run("chat", "hi", env=variables), shell.run("chat", "hi", "--json", env=variables)
    )
    assert (plain.code, as_json.code) == (1, 1)
    came = "1 2 " if name in {"cut", "bad JSON", "error in the stream"} else ""
    assert plain.out == (came + "\n" if came else "")
    assert as_json.json.get("text", "") == came
    error = as_json.json["error"]
    assert (error["kind"], error.get("cause", "")) == (kind, cause)
    for done in (plain, as_json):
        *notes, complaint = done.err.splitlines()
        assert complaint == f"qwen-ls: {error['message']}"
        assert error["remedy"] in complaint
        assert all(re.fullmatch(r"qwen-ls: provider-down: trying again in \d+ s", n) for n in notes)
        assert len(notes) == (2 if name == "500" else 0)
        assert variables["OPENAI_API_KEY"] not in done.err + done.out


async def test_a_refused_port_is_named(shell: Shell) -> None:
    """Nothing listens at the base URL: kind network, and the variable that named it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        variables = {"OPENAI_API_KEY": canary("refused"), "OPENAI_BASE_URL": url, "OPENAI_MODEL": "m"}
        done = await shell.run("chat", "hi", "--json", env=variables)
    assert done.code == 1
    assert (done.json["error"]["kind"], done.json["error"]["cause"]) == ("network", "refused")
    assert "environment variable OPENAI_BASE_URL" in done.complaint


async def test_a_proxy_of_the_settings_that_is_not_there(shell: Shell, variables: Variables) -> None:
    """The line says where it can be set, as it is no variable's."""
    path = shell.home / ".config/qwen-ls/settings.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"proxy": "http://127.0.0.1:1"}))
    done = await shell.run("chat", "hi", env={**variables, "OPENAI_BASE_URL": "https://llm.invalid/v1"})
    assert (done.code, "the setting proxy" in done.complaint) == (1, True)


async def test_a_wrong_key_is_rejected(shell: Shell, provider: RunningProvider, variables: Variables) -> None:
    """A key the provider does not know is named by its file and line, and by its last four characters."""
    wrong = canary("wrong key")
    path = write(shell.folder / ".env", **{**variables, "OPENAI_API_KEY": wrong})
    done = await shell.run("chat", "hi", "--json")
    assert (done.code, done.json["error"]["kind"]) == (1, "key-rejected")
    assert f"OPENAI_API_KEY at {path}:1" in done.json["error"]["message"]
    assert wrong[-4:] in done.err
    assert wrong not in done.err + done.out
    assert len(await chats_with(provider, wrong)) == 1


@pytest.mark.parametrize("arguments", [["chat"], ["chat", "-"], ["chat", "--model", "given"]])
async def test_the_prompt_may_come_by_standard_input(
    shell: Shell, provider: RunningProvider, variables: Variables, arguments: list[str]
) -> None:
    """Without a prompt, or with -, standard input is the message, whole; --model goes before the file's."""
    text = "Grüße\n\tin two lines\n"
    done = await shell.run(*arguments, stdin=text.encode(), env=variables)
    assert done.code == 0
    (sent,) = await chats_with(provider, variables["OPENAI_API_KEY"])
    assert sent["json"]["messages"][0]["content"] == text
    assert sent["json"]["model"] == ("given" if "--model" in arguments else variables["OPENAI_MODEL"])


@pytest.mark.parametrize("arguments", [["chat"], ["chat", ""], ["chat", " \n"]])
async def test_an_empty_prompt_is_wrong_usage(shell: Shell, arguments: list[str]) -> None:
    """Nothing to send is said at once."""
    done = await shell.run(*arguments)
    assert (done.code, done.complaint) == (2, "qwen-ls: the prompt is empty")


async def test_a_model_cannot_command_the_terminal(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """Control characters, escape sequences and bidi marks do not reach it, even as single bytes."""
    await provider.configure(reply="a\x1b[31m b\x07\tc\r\n d\x9b2J \u202ee\u2028 ü")
    await provider.fault("chat", split_utf8=True)
    plain, as_json = await asyncio.gather(
        shell.run("chat", "hi", env=variables), shell.run("chat", "hi", "--json", env=variables)
    )
    assert plain.out == "a[31m b\tc\n d2J e ü\n"
    assert as_json.json["text"] == "a[31m b\tc\n d2J e ü"
    assert as_json.out.isascii()


async def test_reasoning_is_for_people_alone(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """It is dimmed on a terminal, dropped elsewhere, and apart in the JSON; it never is in the answer."""
    await provider.configure(reasoning="Let me\x1b[0m think.", reply="Two.")
    plain, as_json = await asyncio.gather(
        shell.run("chat", "hi", env=variables), shell.run("chat", "hi", "--json", env=variables)
    )
    assert (plain.out, plain.err) == ("Two.\n", "")
    assert (as_json.json["text"], as_json.json["reasoning"]) == ("Two.", "Let me[0m think.")
    for colour, shown in (({}, "\x1b[2mLet\x1b[0m"), ({"NO_COLOR": "1"}, "Let me[0m think.\n")):
        async with shell.at_terminal("chat", "hi", env=variables | colour) as terminal:
            done = await terminal.end()
            assert (done.code, done.out) == (0, "Two.\n")
            assert shown in done.err


async def test_another_model_than_asked_for_is_shown(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """A provider that falls back does not do so unseen."""
    await provider.configure(served_model="cheaper")
    done = await shell.run("chat", "hi", "--json", env=variables)
    assert done.code == 0
    assert done.complaint == f"qwen-ls: cheaper answered in place of {variables['OPENAI_MODEL']}"
    assert (done.json["model"], done.json["requestedModel"]) == ("cheaper", variables["OPENAI_MODEL"])


async def test_json_is_one_chat_result(shell: Shell, provider: RunningProvider, variables: Variables) -> None:
    """--json prints the payload that LSP's command answers, and nothing before it."""
    await provider.configure(reply="Two words.")
    done = await shell.run("chat", "hi", "--json", env=variables)
    found = done.json
    assert found.pop("conversationId").startswith("c-")
    assert found.pop("turnId").startswith("t-")
    assert found == {
        "stopReason": "end_turn",
        "text": "Two words.",
        "usage": {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3},
        "model": variables["OPENAI_MODEL"],
        "requestedModel": variables["OPENAI_MODEL"],
    }


@pytest.mark.parametrize("arguments", [["chat", "hi"], ["models"]])
async def test_nothing_configured_names_all_that_was_looked_for(shell: Shell, arguments: list[str]) -> None:
    """Every variable, every file, and what to do."""
    done = await shell.run(*arguments)
    assert (done.code, done.out) == (1, "")
    folders = [shell.folder, *shell.folder.parents]
    files = [f / name for f in (*folders, shell.home) for name in (".qwen/.env", ".env")]
    for wanted in (*KEY_VARIABLES, *map(str, files), "OPENAI_BASE_URL", "OPENAI_MODEL"):
        assert wanted in done.complaint


# What other commands need, or a chat with --json, over TLS, or one that writes.
NOT_FOR_A_CHAT = frozenset(
    {
        "filelock",
        "keyring",
        "qwen_ls.actions.doctor",
        "qwen_ls.actions.login",
        "qwen_ls.contract",
        "qwen_ls.core.chatdoc",
        "qwen_ls.payloads",
        "qwen_ls.terminal.keys",
        "qwen_ls.terminal.reports",
        "qwen_ls.terminal.signing",
        "truststore",
    }
)


async def imported_by(shell: Shell, *arguments: str, env: Variables) -> set[str]:
    """The modules a run imports."""
    command = [sys.executable, "-X", "importtime", "-m", "qwen_ls", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=shell.folder, env=shell.environment(env), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    return set(re.findall(r"^import time:.*\| +([\w.]+)$", (await finish(process)).err, re.MULTILINE))


async def test_only_what_is_needed_is_imported(shell: Shell, variables: Variables) -> None:
    """A chat knows nothing of LSP and of the demo; a status knows nothing of the network either."""
    chat = await imported_by(shell, "chat", "hi", env=variables)
    status = await imported_by(shell, "status", env=variables)
    assert {"qwen_ls.terminal.app", "httpx"} <= chat
    assert "qwen_ls.terminal.app" in status
    tops = {name.partition(".")[0] for name in chat}
    assert not tops & {"pygls", "lsprotocol", "cattrs", "starlette", "uvicorn"}
    assert not {name for name in chat if name.startswith(("qwen_ls.lsp", "qwen_ls.demo"))}
    assert not chat & NOT_FOR_A_CHAT
    assert not {name.partition(".")[0] for name in status} & {"httpx", "httpcore", "anyio", "pygls"}


async def test_nothing_is_written_into_the_project(shell: Shell, variables: Variables) -> None:
    """No command leaves anything in the folder it runs in, or above it."""
    write(shell.folder / ".env", **variables)
    root = shell.folder.parent
    before = files_under(root)
    for arguments in (
        ["chat", "hi"], ["status"], ["explain"], ["models"], ["doctor"], ["switch", "api-key"],
        ["switch", "api-key", "--folder", "."], ["logout"], ["login"],
    ):  # fmt: skip
        await shell.run(*arguments)
    assert files_under(root) == before
    assert json.loads((shell.home / ".local/state/qwen-ls/state.json").read_text())["version"] == 1


# --- what goes along ----------------------------------------------------------------------------------------


async def sent_with(provider: RunningProvider, key: str) -> list[str]:
    """The messages of the last request that carried a key."""
    return [m["content"] for m in (await chats_with(provider, key))[-1]["json"]["messages"]]


@pytest.mark.parametrize("way", ["cwd", "--folder"])
async def test_a_prompt_may_mention_files(
    shell: Shell, provider: RunningProvider, variables: Variables, way: str
) -> None:
    """A file of the working folder, or of --folder, goes along with the prompt."""
    (shell.folder / "a.py").write_text("one\ntwo\n", encoding="utf-8")
    where = ((), shell.folder) if way == "cwd" else (("--folder", str(shell.folder)), shell.home)
    done = await shell.run("chat", "why? @file:a.py#L2", *where[0], cwd=where[1], env=variables)
    assert (done.code, done.err) == (0, "")
    sent = await sent_with(provider, variables["OPENAI_API_KEY"])
    assert sent == ["why? @file:a.py#L2\n\nFile `a.py`, line 2:\n```py\ntwo\n```"]


@pytest.mark.parametrize(
    ("mention", "why"),
    [
        ("@file:gone", "gone is not there"),
        ("@file:.env", "hold keys or passwords"),
        ("@file:../../home/x", "outside the workspace folder"),
        ("@selection", "Nothing is selected"),
    ],
)
async def test_a_mention_that_is_refused(
    shell: Shell, provider: RunningProvider, variables: Variables, mention: str, why: str
) -> None:
    """It is one line on standard error, and nothing is sent."""
    write(shell.folder / ".env", **variables)
    done = await shell.run("chat", f"look at {mention}", env=variables)
    assert (done.code, done.out) == (1, "")
    assert why in done.complaint
    assert await chats_with(provider, variables["OPENAI_API_KEY"]) == []


@pytest.mark.parametrize("arguments", [(), ("-",)])
async def test_piped_text_mentions_nothing(
    shell: Shell, provider: RunningProvider, variables: Variables, arguments: tuple[str, ...]
) -> None:
    """Whoever wrote it chooses no file that is sent."""
    (shell.folder / "a.py").write_text("one\n", encoding="utf-8")
    done = await shell.run("chat", *arguments, stdin=b"@file:a.py @selection", env=variables)
    assert (done.code, done.err) == (0, "")
    assert await sent_with(provider, variables["OPENAI_API_KEY"]) == ["@file:a.py @selection"]


async def test_a_slash_is_an_ordinary_message(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """A terminal has commands of its own."""
    done = await shell.run("chat", "/status", env=variables)
    assert done.code == 0
    assert await sent_with(provider, variables["OPENAI_API_KEY"]) == ["/status"]


async def test_headless_a_secret_is_not_sent(
    shell: Shell, provider: RunningProvider, variables: Variables
) -> None:
    """Nobody can be asked, so the message stays here, and the error shows no more than the fingerprint."""
    key = variables["OPENAI_API_KEY"]
    done = await shell.run("chat", stdin=f"my key is {key}".encode(), env=variables)
    assert (done.code, done.out) == (1, "")
    assert f"…{key[-4:]} (environment variable OPENAI_API_KEY)" in done.complaint
    assert key not in done.err
    assert await chats_with(provider, key) == []


@pytest.mark.parametrize(("typed", "code"), [("1\n", 0), ("2\n", 1), ("\x04", 1)])
async def test_at_a_terminal_a_secret_is_asked_about(
    shell: Shell, provider: RunningProvider, variables: Variables, typed: str, code: int
) -> None:
    """Sent after a yes alone; a no, and an end of input, send nothing."""
    key = variables["OPENAI_API_KEY"]
    async with shell.at_terminal("chat", f"my key is {key}", env=variables) as terminal:
        screen = await terminal.wait_for("Your choice (1-2): ")
        assert f"holds …{key[-4:]} (environment variable OPENAI_API_KEY), which would go to" in screen
        assert "1  Send anyway\n  2  Do not send" in screen
        assert key not in screen
        terminal.type(typed)
        done = await terminal.end()
    assert done.code == code
    assert len(await chats_with(provider, key)) == 1 - code
