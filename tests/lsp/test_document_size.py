"""A chat document of 10,000 lines, an answer of 200 tokens a second: the server stays at hand."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from lsp.buffers import Editor
from lsp.talk import set_out
from lsp.test_documents import VERSIONED, folder
from provider import running_provider
from qwen_ls.core.chat import Message, Role
from qwen_ls.core.chatdoc import write_document
from wire import environment, server

if TYPE_CHECKING:
    from pathlib import Path

    from wire import Client

LINES = 10_000
TOKENS_PER_SECOND = 200
LASTS = 3.0  # seconds of one window
WINDOWS = 4  # what blocks the server shows in each; what this machine does besides, not
AT_MOST = 0.05  # seconds, beyond what this machine takes for the same of an idle server


def long_document() -> str:
    """A conversation of 10,000 lines, and a message."""
    messages = [
        Message(
            (Role.USER, Role.ASSISTANT)[number % 2], "\n".join(f"line {number} {n} of it" for n in range(48))
        )
        for number in range(LINES // 50)
    ]
    text = write_document([*messages, Message(Role.USER, "And on?")])
    assert text.count("\n") >= LINES
    return text


async def latency(client: Client, method: str, params: Any) -> float:
    """Seconds until a request is answered."""
    began = time.monotonic()
    await client.request(method, params)
    return time.monotonic() - began


def questions(uri: str) -> list[tuple[str, dict[str, Any]]]:
    """What an editor asks about a document while its user looks at it."""
    document, place = {"uri": uri}, {"line": 0, "character": 1}
    here = {"textDocument": document, "range": {"start": place, "end": place}, "context": {"diagnostics": []}}
    return [
        ("textDocument/codeAction", here),
        ("textDocument/codeLens", {"textDocument": document}),
        ("textDocument/hover", {"textDocument": document, "position": place}),
        ("workspace/executeCommand", {"command": "qwen.keys.list", "arguments": [{}]}),
    ]


async def test_no_reply_is_late(tmp_path: Path) -> None:
    """While the answer streams in, every reply comes within 50 ms of what an idle server takes."""
    env = environment(tmp_path / "home")
    async with running_provider() as provider, server(env, cwd=tmp_path) as client, server(env) as idle:
        talk = await set_out(tmp_path / "busy", client, provider, capabilities=VERSIONED)
        await provider.configure(reply="word and\n" * 2000, token_interval=1 / TOKENS_PER_SECOND)
        await idle.initialize(folder(talk), capabilities=VERSIONED)
        here, beside = Editor(client), Editor(idle)
        buffer = here.write(folder(talk) / "long.qwen.md", long_document())
        small = beside.write(folder(talk) / "small.qwen.md", "### user\n\nhi\n")
        for question in (*questions(buffer.uri), *questions(small.uri)):  # both have everything loaded
            await (client if buffer.uri in str(question) else idle).request(*question)
        await here.run(buffer, "Qwen: Send")
        lateness: list[float] = []
        while len(lateness) < WINDOWS and not any(late <= AT_MOST for late in lateness):
            busy, idlest = await worst(LASTS, (client, buffer.uri), (idle, small.uri))
            print(f"{busy:.4f} s at worst, idle {idlest:.4f} s")  # noqa: T201
            lateness.append(busy - idlest)
        edits = len(here.edits)
        await here.run(buffer, "Qwen: Stop")
        assert edits > LASTS * 2  # it really streamed meanwhile
        assert min(lateness) <= AT_MOST


async def worst(seconds: float, busy: tuple[Client, str], idle: tuple[Client, str]) -> tuple[float, float]:
    """The latest reply of each server, asked the same at the same time, over and over."""
    times: list[tuple[float, float]] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for ours, theirs in zip(questions(busy[1]), questions(idle[1]), strict=True):
            pair = await asyncio.gather(latency(busy[0], *ours), latency(idle[0], *theirs))
            times.append((pair[0], pair[1]))
    return max(pair[0] for pair in times), max(pair[1] for pair in times)
