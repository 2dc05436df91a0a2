from __future__ import annotations

import asyncio
import functools
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from lsp.in_process import EXECUTE, in_process
from lsp.talk import TWIN, Talk, closes_in_time, now, talking, unique
from provider import running_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


pytestmark = pytest.mark.asyncio(loop_scope="module")
CANCELLED = -32800
STREAMS = 50
ROUNDS = 100  # of a command whose latency is measured
SLOWER_AT_MOST = 30  # times, in the middle, while 50 streams run on as little as two cores
COMMANDS = 5000
GROWS_AT_MOST = 2048  # KiB; with what pygls keeps of each command it would be three times that
ROUNDS_OF_ALL = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Talk]:
    """One server and one provider for the whole file."""
    async with running_provider() as provider, talking(tmp_path_factory.mktemp("load"), provider) as talk:
        yield talk


@pytest_asyncio.fixture(loop_scope="module")
async def talk(shared: Talk) -> Talk:
    """The same, with nothing going wrong."""
    await shared.usual()
    return shared


def is_longer(length: int, text: str) -> bool:
    """Whether a text is longer than that."""
    return len(text) > length


async def latencies(talk: Talk) -> list[float]:
    """Seconds that a command takes, sorted."""
    found = []
    for _ in range(ROUNDS):
        began = now()
        await talk.client.command("qwen.auth.status", uri=talk.keyed)
        found.append(now() - began)
    return sorted(found)


async def test_client_that_stops_reading(talk: Talk) -> None:
    """While the client reads nothing and the pipe is full, a stop still works; later nothing is missing."""
    word = "x" * 1000 + " "
    await talk.provider.configure(reply=word, tokens=1_000_000, token_interval=0.0005)
    text, token = unique("flood"), unique("stream")
    id_, reply = talk.client.begin(TWIN, talk.params(text, partialResultToken=token))
    await talk.until_text(token, bool)
    process: Any = talk.client.process
    stdout = process._transport.get_pipe_transport(1)
    stdout.pause_reading()
    await talk.asked(text, lambda e: e["tokens"] > 1000)  # a megabyte, far more than a pipe holds
    read, stopped_at = len(talk.client.stdout), now()
    talk.client.cancel(id_)
    entry = await closes_in_time(talk, text, stopped_at)
    assert len(talk.client.stdout) == read
    stdout.resume_reading()
    assert (await asyncio.wait_for(reply, 10))["error"]["code"] == CANCELLED
    streamed = await talk.ended(token)
    count = streamed.text.count(" ")
    assert streamed.text == word * count
    assert read // len(word) < count <= entry["tokens"]


async def test_commands_while_many_answers_stream(talk: Talk) -> None:
    """Fifty answers stream whole, and a command beside them is answered about as fast as without them."""
    idle = await latencies(talk)
    await talk.provider.configure(tokens=100_000, token_interval=0.01)
    tokens = [unique("stream") for _ in range(STREAMS)]
    sent = [talk.client.begin(TWIN, talk.params("count", partialResultToken=token)) for token in tokens]
    for token in tokens:
        await talk.until_text(token, bool)
    busy = await latencies(talk)
    for token in tokens:  # none of them stands still
        so_far = len(talk.streamed(token).text)
        await talk.until_text(token, functools.partial(is_longer, so_far))
    for id_, _ in sent:
        talk.client.cancel(id_)
    await asyncio.wait_for(asyncio.gather(*(reply for _, reply in sent)), 20)
    for token in tokens:
        numbers = talk.streamed(token).text.split()
        assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert statistics.median(busy) < SLOWER_AT_MOST * statistics.median(idle)


async def test_memory_of_a_server(talk: Talk) -> None:
    """Thousands of commands leave the process about as large as it was."""

    async def run(count: int) -> None:
        for _ in range(count // 100):
            replies = [
                talk.client.begin(EXECUTE, {"command": "qwen.chat.cancel", "arguments": [{"turnId": "t"}]})[1]
                for _ in range(100)
            ]
            await asyncio.gather(*replies)

    def kibibytes() -> int:
        status = Path(f"/proc/{talk.client.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))

    await run(500)
    before = kibibytes()
    await run(COMMANDS)
    assert kibibytes() - before < GROWS_AT_MOST


async def test_nothing_is_kept_of_a_request(
    tmp_path: Path, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a thousand requests, notifications, chats, failures and cancels nothing is left of any."""
    await talk.provider.configure(tokens=2)
    async with in_process(tmp_path, monkeypatch) as here:
        folder = {"uri": talk.keyed, "name": "keyed"}
        added = {"event": {"added": [folder], "removed": []}}
        here.notify("workspace/didChangeWorkspaceFolders", added)
        for number in range(ROUNDS_OF_ALL):
            for command in ("qwen.chat.new", "qwen.auth.status", "qwen.no.such"):
                here.begin(EXECUTE, {"command": command, "arguments": [{}]})
            for _ in range(5):
                here.begin(
                    EXECUTE,
                    {"command": "qwen.chat.cancel", "arguments": [{"turnId": "t"}], "workDoneToken": number},
                )
            here.begin("no/such", {})
            chat = here.begin(TWIN, {"text": "hello", "uri": talk.keyed, "workDoneToken": f"w{number}"})
            if number % 2:
                here.notify("$/cancelRequest", {"id": chat})
            here.notify("$/setTrace", {"value": "off"})
            here.notify("window/workDoneProgress/cancel", {"token": "?"})
            await here.all_answered()
        await here.at_rest()
        session, protocol = here.server.session, here.server.protocol
        assert protocol._request_futures == {}
        assert protocol._result_types == {}
        assert protocol._asked == {}
        assert session.editor.cancels == {}
        assert (await session.world()).chats.turns == {}
