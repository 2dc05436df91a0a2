from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from qwen_ls import contract
from qwen_ls.lsp.verbs import ACTIONS
from wire import DEADLINE, environment, server

if TYPE_CHECKING:
    from pathlib import Path

    from wire import Client

# What costs more than the rest of the start, and what only other faces need. Not `ssl`: asyncio imports it.
HEAVY = frozenset(
    {
        "httpx",
        "httpcore",
        "anyio",
        "h11",
        "truststore",
        "filelock",
        "platformdirs",
        "keyring",
        "starlette",
        "uvicorn",
        "qwen_ls.adapters.http",
        "qwen_ls.adapters.keyring",
        "qwen_ls.adapters.state",
        "qwen_ls.demo",
        "qwen_ls.terminal",
    }
)
# All of ours that is imported before a first command that needs no more: each module costs every start.
OURS = {
    "qwen_ls",
    "qwen_ls.adapters",
    "qwen_ls.adapters.handover",
    "qwen_ls.contract",
    "qwen_ls.core",
    "qwen_ls.core.errors",
    "qwen_ls.lsp",
    "qwen_ls.lsp.commands",
    "qwen_ls.lsp.decode",
    "qwen_ls.lsp.editor",
    "qwen_ls.lsp.folders",
    "qwen_ls.lsp.frames",
    "qwen_ls.lsp.reader",
    "qwen_ls.lsp.languages",
    "qwen_ls.lean",
    "qwen_ls.lsp.rpc",
    "qwen_ls.lsp.server",
    "qwen_ls.lsp.session",
    "qwen_ls.lsp.texts",
    "qwen_ls.lsp.transport",
    "qwen_ls.wire",
}
IMPORTED = re.compile(rb"^import time:.*\| +([\w.]+)$", re.MULTILINE)  # Python's report of its imports


async def imports_at_the_end(client: Client) -> set[str]:
    """What the server had imported when it was killed."""
    await client.close()
    names = {name.decode() for name in IMPORTED.findall(bytes(client.stderr))}
    assert {"asyncio", "pygls.server", "lsprotocol.types", "qwen_ls.lsp.server"} <= names
    return names


async def test_imports_before_the_answer_to_initialize(tmp_path: Path) -> None:
    """On the way to that answer nothing heavy is imported, and of ours only what it needs."""
    async with server(profiled(tmp_path)) as client:
        await client.initialize(tmp_path, initialized=False)
        found = await imports_at_the_end(client)
    assert not HEAVY & found
    assert {name for name in found if name.partition(".")[0] == "qwen_ls"} == OURS


async def test_imports_before_the_answer_to_a_cancel(tmp_path: Path) -> None:
    """Whether there is anything to cancel is told without loading what could begin it."""
    async with server(profiled(tmp_path)) as client:
        await client.initialize(tmp_path, initialized=False)
        for name in ("qwen.chat.cancel", "qwen.auth.cancel"):
            assert await client.command(name) == {"cancelled": False}
        found = await imports_at_the_end(client)
    assert not HEAVY & found
    assert {name for name in found if name.partition(".")[0] == "qwen_ls"} == OURS


async def test_a_cancel_right_behind_a_sign_in(tmp_path: Path) -> None:
    """A cancel waits for what the sign-in before it has to load, and ends it."""
    async with server(environment(tmp_path / "home")) as client:
        await client.initialize()
        calls = [
            {"command": "qwen.auth.login", "arguments": [{"method": "qwen-oauth", "wait": True}]},
            {"command": "qwen.auth.cancel", "arguments": [{}]},
        ]
        _, (_, cancelled) = [client.begin("workspace/executeCommand", call) for call in calls]
        reply = await asyncio.wait_for(cancelled, DEADLINE)
    assert reply["result"] == {"cancelled": True}


def test_every_command_is_carried_out() -> None:
    """lsp/verbs.py, which is loaded late, has each of the contract's commands, and no other."""
    assert list(ACTIONS) == [command.name for command in contract.COMMANDS]


async def test_imports_after_initialized(tmp_path: Path) -> None:
    """What the first message needs is loaded behind `initialized`, before there is one."""
    env = environment(tmp_path / "home", PYTHONPROFILEIMPORTTIME="1")
    async with server(env) as client:
        await client.initialize(tmp_path)
        deadline = time.monotonic() + DEADLINE
        while b"| truststore\n" not in client.stderr:  # the last of them; nothing else tells
            assert time.monotonic() < deadline
            await client.command("qwen.chat.new")
        loaded = await imports_at_the_end(client)
    assert {"httpx", "anyio", "truststore", "platformdirs", "qwen_ls.adapters.http"} <= loaded
    assert not {"starlette", "uvicorn", "keyring", "qwen_ls.demo", "qwen_ls.terminal"} & loaded


def profiled(folder: Path) -> dict[str, str]:
    """An environment in which Python reports its imports, and where there is a runtime folder."""
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    return environment(folder / "home", PYTHONPROFILEIMPORTTIME="1", XDG_RUNTIME_DIR=str(runtime))


async def test_silence(tmp_path: Path) -> None:
    """A whole life without trouble leaves stderr empty."""
    async with server(environment(tmp_path / "home")) as client:
        await client.initialize(tmp_path)
        assert await client.end() == 0
        assert client.stderr == b""
