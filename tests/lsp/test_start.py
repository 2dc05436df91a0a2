from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

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
IMPORTED = re.compile(rb"^import time:.*\| +([\w.]+)$", re.MULTILINE)  # Python's report of its imports


async def imports_at_the_end(client: Client) -> set[str]:
    """What the server had imported when it was killed, as far as it is heavy."""
    await client.close()
    names = {name.decode() for name in IMPORTED.findall(bytes(client.stderr))}
    assert {"asyncio", "pygls.server", "lsprotocol.types", "qwen_ls.lsp.server"} <= names
    return set(HEAVY & names)


async def test_imports_before_the_answer_to_initialize(tmp_path: Path) -> None:
    """On the way to that answer nothing heavy is imported."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = environment(tmp_path / "home", PYTHONPROFILEIMPORTTIME="1", XDG_RUNTIME_DIR=str(runtime))
    async with server(env) as client:
        await client.initialize(tmp_path, initialized=False)
        assert await imports_at_the_end(client) == set()


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


async def test_silence(tmp_path: Path) -> None:
    """A whole life without trouble leaves stderr empty."""
    async with server(environment(tmp_path / "home")) as client:
        await client.initialize(tmp_path)
        assert await client.end() == 0
        assert client.stderr == b""
