"""`qwen-ls chat` in a shell with a real llama.cpp, told by three variables where it is."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from canary import canary
from e2e.relay import running_relay
from wire import DEADLINE, environment

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from e2e.llama import Llama
    from e2e.relay import Relay

STOP_LIMIT = 0.25  # seconds from Ctrl-C to a closed socket
PACE = 50_000  # bytes per second
INTERRUPTED = 130


@asynccontextmanager
async def asking(home: Path, llama: Llama, origin: str, key: str | None = None) -> AsyncIterator[Process]:
    """A shell's `qwen-ls chat`, whose output is read here; it is gone in the end."""
    variables = environment(
        home,
        OPENAI_API_KEY=key or llama.api_keys[0],
        OPENAI_BASE_URL=f"{origin}/v1",
        OPENAI_MODEL=llama.alias,
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "qwen_ls", "chat", "Say something."),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=variables,
        cwd=home,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def output_of(process: Process) -> tuple[str, str]:
    """What it prints from now on, once it has ended."""
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    return out.decode(), err.decode()


async def first_of(process: Process) -> str:
    """The first piece that it prints."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.read(65536), DEADLINE)).decode()


async def test_an_answer_is_printed_as_it_comes(tmp_path: Path, brief_llama: Llama) -> None:
    """Words are there while the rest is held back; in the end they are those of llama.cpp."""
    async with (
        running_relay(brief_llama.origin) as relay,
        asking(tmp_path / "home", brief_llama, relay.origin) as process,
    ):
        relay.hold(after=5000)
        beginning = await first_of(process)
        await relay.stalled()
        assert process.returncode is None
        relay.release()
        rest, told = await output_of(process)
    assert beginning + rest == brief_llama.answer({"role": "user", "content": "Say something."}) + "\n"
    assert "max_tokens" in told
    assert process.returncode == 0
    assert len(relay.connections) == 1


async def test_a_wrong_key_is_one_line_and_exit_1(tmp_path: Path, brief_llama: Llama) -> None:
    """llama.cpp's 401 names the variable on standard error, and nothing stands on standard output."""
    wrong = canary("wrong key in a shell")
    async with asking(tmp_path / "home", brief_llama, brief_llama.origin, wrong) as process:
        answer, told = await output_of(process)
    assert (process.returncode, answer) == (1, "")
    assert told.count("\n") == 1
    assert "OPENAI_API_KEY" in told
    assert wrong not in told


async def test_ctrl_c_stops_llama_at_once(tmp_path: Path, llama: Llama, relay: Relay) -> None:
    """An interruption closes the connection within 250 ms, keeps what was printed, and exits 130."""
    relay.max_bytes_per_second = PACE
    async with asking(tmp_path / "home", llama, relay.origin) as process:
        beginning = await first_of(process)
        interrupted_at = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert await relay.client_closed() - interrupted_at < STOP_LIMIT
        rest, _ = await output_of(process)
    assert process.returncode == INTERRUPTED
    assert (beginning + rest).endswith("\n")
    assert beginning.strip()
    await llama.falls_idle()
