"""What the figures of `make bench` rest on, told without a clock: hops, turns, calls, what is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from actions.fakes import FakeCache, FakeClock, FakeExchange, Somebody, ports_of, token
from bench.programs.provider import Connection
from canary import canary
from lsp.handing_over import set_key
from lsp.in_process import EXECUTE, in_process
from lsp.logging_keyring import FOLDER as LOGGING_KEYRING
from lsp.talk import TWIN
from qwen_ls.actions.chat import MOST_CONVERSATIONS, Chats
from qwen_ls.actions.ports import Place
from qwen_ls.actions.tokens import Accounts
from qwen_ls.adapters import env_files
from qwen_ls.adapters.env_files import EnvFileSystem
from qwen_ls.adapters.files import Lookers
from qwen_ls.adapters.system import SystemEntropy
from wire import DEADLINE, SOURCES, environment, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

KEY = canary("lsp/test_cheapness: a key")
CHATS = 10
MOST_HOPS = 2  # off the loop and back, for a chat whose files are as they were
MOST_TURNS = 3  # of the loop, for a command that waits for nothing
BURST = 5000  # tokens
MOST_NOTIFICATIONS = 100  # of a burst, which is read in a few dozen pieces however long that takes
MOST_COLLECTIONS = 30  # of young objects, before a first command is answered
USUAL_COLLECTIONS = 10  # at the least, while the rest is loaded
DEEP = 31  # folders
CHANGES, CHATS_LEFT, TURNS = 10_000, 400, 1_000
ANSWER = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
IMPORTED = re.compile(rb"^import time:.*\| +([\w.]+)$", re.MULTILINE)  # Python's report of its imports
LAST = (b"httpcore", b"truststore")  # of what is loaded behind `initialized`
SHORT = 1.0  # seconds; timers of a deadline are longer
NEVER = 3600.0  # seconds
MANY = 1000  # timers


@attrs.define
class Provider:
    """A provider in this loop that sends an answer all at once, and counts who connects."""

    folder: Path  # a workspace folder whose `.env` leads here
    origin: str = ""
    connections: int = 0

    @property
    def v1(self) -> str:
        """The base URL."""
        return f"{self.origin}/v1"

    def connected(self) -> Connection:
        """Somebody connects."""
        self.connections += 1
        return Connection()


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    """One that listens."""
    provider = Provider(tmp_path / "work")
    listening = await asyncio.get_running_loop().create_server(provider.connected, "127.0.0.1", 0)
    provider.origin = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    provider.folder.mkdir()
    lines = [f"OPENAI_API_KEY={KEY}", f"OPENAI_BASE_URL={provider.v1}", "OPENAI_MODEL=bench"]
    (provider.folder / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    yield provider
    listening.close()


# --- start -----------------------------------------------------------------------------------------


async def test_no_garbage_is_looked_for_while_importing(tmp_path: Path) -> None:
    """Hardly a collection before a first command is answered; the usual ones once the rest is loaded."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import gc\ngc.set_debug(gc.DEBUG_STATS)\n", encoding="utf-8")
    env = environment(tmp_path / "home", PYTHONPATH=os.pathsep.join(map(str, (site, SOURCES))))
    collected = {}
    for name in ("qwen.chat.cancel", "qwen.chat.new"):
        async with server(env) as client:
            await client.initialize(tmp_path, initialized=False)
            await client.command(name)
            await client.close()
        collected[name] = re.findall(rb"gc: collecting generation (\d)", bytes(client.stderr))
    before, loaded = collected.values()
    assert b"2" not in before
    assert len(before) <= MOST_COLLECTIONS
    assert b"2" not in loaded  # what was there before is frozen
    assert len(loaded) > len(before) + USUAL_COLLECTIONS


async def test_the_first_chat_imports_nothing(tmp_path: Path, provider: Provider) -> None:
    """What it needs has been loaded behind `initialized`."""
    async with server(environment(tmp_path / "home", PYTHONPROFILEIMPORTTIME="1")) as client:
        await client.initialize(provider.folder)
        deadline = time.monotonic() + DEADLINE
        while not all(b"| %b\n" % name in client.stderr for name in LAST):  # nothing else tells
            assert time.monotonic() < deadline
            await client.command("qwen.chat.new")
        warm = len(client.stderr)
        assert (await client.request(TWIN, {"text": "hi"}))["text"]
        await client.close()
    assert IMPORTED.findall(bytes(client.stderr[warm:])) == []


# --- commands and chats ----------------------------------------------------------------------------


@pytest.fixture
async def hops(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often work has been given to a thread so far.

    Its short timers stand still, so that nothing is done but what was asked for: no status is published.
    """
    loop, count = asyncio.get_running_loop(), 0
    later = loop.call_later

    def counting(submit: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any) -> Any:
            nonlocal count
            count += 1
            return submit(*given)

        return counted

    def stopped(seconds: float, *given: Any, **context: Any) -> Any:
        return later(NEVER if seconds < SHORT else seconds, *given, **context)

    for pool in (ThreadPoolExecutor, Lookers):
        monkeypatch.setattr(pool, "submit", counting(pool.submit))
    monkeypatch.setattr(loop, "call_later", stopped)
    return lambda: count


async def test_a_command_stays_in_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hops: Callable[[], int]
) -> None:
    """One that need not look at anything is answered within a few turns, without a thread."""
    async with in_process(tmp_path, monkeypatch) as here:
        await here.command("qwen.chat.new")  # the adapters are there now
        before, turns = hops(), 0
        here.begin(EXECUTE, {"command": "qwen.chat.cancel", "arguments": [{"turnId": "t"}]})
        while not here.pipe.replies:
            turns += 1
            await asyncio.sleep(0)
    assert hops() == before
    assert turns <= MOST_TURNS


@pytest.mark.parametrize("method", ["api-key", "qwen-oauth"])
async def test_hops_of_a_chat(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hops: Callable[[], int],
    provider: Provider,
    method: str,
) -> None:
    """All files are asked at once whether they are as they were; a sign-in's are asked once more."""
    if method == "qwen-oauth":
        (provider.folder / ".env").unlink()
        fields = {"access_token": KEY, "refresh_token": KEY, "token_type": "Bearer"}
        ends = {"resource_url": provider.v1, "expiry_date": round((time.time() + 3600) * 1000)}
        cache = tmp_path / "home" / ".qwen" / "oauth_creds.json"
        cache.parent.mkdir(parents=True)
        cache.write_text(json.dumps({**fields, **ends}), encoding="utf-8")
    taken, folder = [], provider.folder.as_uri()
    async with in_process(tmp_path, monkeypatch, folder, QWEN_LS_OAUTH_BASE_URL=provider.origin) as here:
        for _ in range(CHATS):
            before = hops()
            assert (await here.request(TWIN, {"text": "hi", "model": "bench"}))["text"]
            taken.append(hops() - before)
    assert max(taken[2:]) <= MOST_HOPS  # in the first ones the adapters are built, and files are read


async def test_one_connection_serves_many_chats(tmp_path: Path, provider: Provider) -> None:
    """A provider sees a second message come the way of the first."""
    async with server(environment(tmp_path / "home")) as client:
        await client.initialize(provider.folder)
        for _ in range(CHATS):
            assert (await client.request(TWIN, {"text": "hi"}))["text"]
    assert provider.connections == 1


async def test_a_burst_is_told_in_few_pieces(tmp_path: Path, provider: Provider) -> None:
    """Thousands of tokens that come at once are far fewer notifications, and all are told."""
    async with server(environment(tmp_path / "home")) as client:
        await client.initialize(provider.folder)
        await client.request(TWIN, {"text": json.dumps({"tokens": BURST}), "partialResultToken": "burst"})
        told = [value["text"] for value in client.progress("burst") if value["kind"] == "delta"]
    assert "".join(told) == "word " * BURST
    assert len(told) <= MOST_NOTIFICATIONS


# --- files and the keyring -------------------------------------------------------------------------


def asked_of_the_system(work: Callable[[], object]) -> list[str]:
    """The functions of `os` and `io` in C that some work calls."""
    calls: list[str] = []

    def note(_: object, event: str, called: Any) -> None:
        if event == "c_call" and getattr(called, "__module__", None) in {"posix", "nt", "io", "_io"}:
            calls.append(called.__name__)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def test_files_that_are_as_they_were_cost_a_stat_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look through deep folders is one call for each place, and opens nothing."""
    monkeypatch.setattr(env_files, "SETTLED_AFTER", 0)  # else a file so new is read once more
    top = tmp_path / "top"
    folder = top.joinpath(*map(str, range(DEEP - len(top.parts))))
    folder.mkdir(parents=True)
    (top / ".env").write_text("OPENAI_MODEL=bench\n", encoding="utf-8")
    looked_in = len(folder.relative_to(top).parts) + 1
    places = 2 * looked_in + 2  # `.qwen/.env` and `.env` in each folder, and at home
    system, found = EnvFileSystem(tmp_path / "home", None), []
    look = partial(system.search, str(folder), ())
    first = asked_of_the_system(lambda: found.append(look()))
    second = asked_of_the_system(lambda: found.append(look()))
    assert [chain.file for chain, _ in found] == [str(top / ".env")] * 2
    assert "open" in first
    assert set(second) <= {"stat", "lstat"}
    assert len(second) <= places + 1  # whose the folder is


async def test_the_keyring_is_read_once_in_a_session(tmp_path: Path, provider: Provider) -> None:
    """However many chats and looks at the status its key serves."""
    folder, ring = tmp_path / "bare", tmp_path / "ring"
    folder.mkdir()
    ring.mkdir()
    env = environment(
        tmp_path / "home",
        PYTHONPATH=os.pathsep.join(map(str, (SOURCES, SOURCES.parent / "tests"))),
        PYTHON_KEYRING_BACKEND="lsp.logging_keyring.Backend",
        **{LOGGING_KEYRING: str(ring)},
    )
    async with server(env) as client:
        await client.initialize(folder)
        stored = (await set_key(client, KEY, baseUrl=provider.v1, model="bench"))["stored"]
        assert stored["keptIn"] == "keyring"
    (ring / "reads.txt").unlink()
    async with server(env) as client:
        await client.initialize(folder)
        for _ in range(3):
            assert (await client.request(TWIN, {"text": "hi"}))["text"]
            for command in ("qwen.auth.status", "qwen.auth.explain", "qwen.keys.list"):
                await client.command(command)
    assert len((ring / "reads.txt").read_text(encoding="utf-8").splitlines()) == 1


# --- what is left behind ---------------------------------------------------------------------------


async def blocks() -> int:
    """The blocks of memory in use; a number that somebody keeps is one."""
    loop = asyncio.get_running_loop()
    for _ in range(MANY):  # asyncio drops timers that were cancelled once there are many
        loop.call_later(NEVER, int).cancel()
    for _ in range(10):  # what has been answered comes to its end
        await asyncio.sleep(0)
    gc.collect()
    return sys.getallocatedblocks()


async def left_behind(work: Callable[[int], Awaitable[None]], rounds: int) -> int:
    """How many blocks more there are after so many rounds; what is loaded once counts in one try at most."""
    left = []
    for _ in range(2):
        before = await blocks()
        await work(rounds)
        left.append(await blocks() - before)
    return min(left)


@pytest.mark.parametrize("name", ["notes.qwen.md", ".env"])
async def test_nothing_is_left_of_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Provider, name: str
) -> None:
    """Whatever kind of document it is in."""
    document = (provider.folder / name).as_uri()
    opened = {"uri": document, "languageId": "plaintext", "version": 0, "text": "A=1\n" * 100}

    async def type_on(rounds: int) -> None:
        for number in range(rounds):
            start, end = ({"line": 3, "character": number % 3 + i} for i in (0, 1))
            change = {"range": {"start": start, "end": end}, "text": "x"}
            changed = {"uri": document, "version": number}
            here.notify("textDocument/didChange", {"textDocument": changed, "contentChanges": [change]})
            if number % 100 == 0:
                await asyncio.sleep(0)  # the loop has its turn
        await here.command("qwen.chat.cancel", turnId="t")

    async with in_process(tmp_path, monkeypatch, provider.folder.as_uri()) as here:
        await here.at_rest()
        here.notify("textDocument/didOpen", {"textDocument": opened})
        await type_on(100)
        assert await left_behind(type_on, CHANGES) < CHANGES / 10
        assert here.server.protocol._request_futures == {}


async def test_nothing_is_left_of_a_chat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Provider
) -> None:
    """Where the client holds the conversation, that is as long as it was."""

    async def chat(rounds: int) -> None:
        for _ in range(rounds):
            await here.request(TWIN, params)

    async with in_process(tmp_path, monkeypatch, provider.folder.as_uri()) as here:
        params = {**await here.command("qwen.chat.new"), "messages": [{"role": "user", "content": "hi"}]}
        params |= {"partialResultToken": "t"}
        await chat(100)
        await here.at_rest()
        assert await left_behind(chat, CHATS_LEFT) < CHATS_LEFT


class Sure:
    """A provider that always answers the same; nothing of its requests is kept."""

    async def open(self, *_: object) -> FakeExchange:
        """An answer."""
        return FakeExchange(200, ANSWER, {"content-type": "text/event-stream"})


async def test_conversations_and_counts_are_bounded() -> None:
    """A thousand conversations under a sign-in leave the last of them, and the requests of a minute."""
    clock = FakeClock()
    oauth_cache = FakeCache(token(expires_in=1e9))
    ports = ports_of(clock=clock, entropy=SystemEntropy(), http=Sure(), oauth_cache=oauth_cache)
    accounts = Accounts(ports)
    chats, person = Chats(ports, accounts), Somebody()

    async def talk(rounds: int) -> None:
        for _ in range(rounds):
            turn = chats.begin(Place(None), "hi", None, None)
            turn.asked_model = "bench"
            await chats.run(turn, person, person)
            clock.time += 10
        person.text = ""

    await talk(MOST_CONVERSATIONS)
    assert await left_behind(talk, TURNS) < TURNS / 2
