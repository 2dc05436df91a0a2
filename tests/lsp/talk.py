"""A real server and the demo provider, ready to chat: folders that differ in what their `.env` holds."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Any

import attrs

from canary import canary
from wire import Client, environment, server, uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from provider import Entry, RunningProvider

KEY = canary("the key of the chat tests")
MODEL = "coder-model"
USUAL: dict[str, Any] = {
    "keys": [KEY],
    "interval": 1,
    "auto_approve": False,
    "reply": None,
    "tokens": None,
    "reasoning": None,
    "served_model": None,
    "token_interval": 0.0,
}
TWIN, COMMAND = "qwen/chat/send", "qwen.chat.send"
STOPS_WITHIN = 0.25  # seconds from a stop to the closed socket

_numbers = itertools.count(1)


def unique(label: str) -> str:
    """A text or token that occurs once in a run."""
    return f"{label} {next(_numbers)}"


@attrs.frozen
class Streamed:
    """What came to a partial-result token: pieces by kind, and the end."""

    values: list[dict[str, Any]]

    @property
    def text(self) -> str:
        """The answer."""
        return self.joined("delta")

    @property
    def reasoning(self) -> str:
        """The reasoning."""
        return self.joined("reasoning")

    @property
    def end(self) -> dict[str, Any]:
        """The last value, of which there is one."""
        (end,) = (value for value in self.values if value["kind"] == "end")
        assert end is self.values[-1]
        return end

    def joined(self, kind: str) -> str:
        """All pieces of one kind."""
        return "".join(value["text"] for value in self.values if value["kind"] == kind)


@attrs.frozen
class Talk:
    """A client, its provider, and the folders: with key and model, with a key alone, with nothing."""

    client: Client
    provider: RunningProvider
    keyed: str
    modelless: str
    empty: str

    async def usual(self) -> None:
        """Let everything go well again."""
        await self.provider.clear_faults()
        await self.provider.configure(**USUAL)

    def params(self, text: str, **more: Any) -> dict[str, Any]:
        """What a message is sent with."""
        return {"text": text, "uri": self.keyed, **more}

    async def send(self, text: str, **more: Any) -> Any:
        """Send a message and wait for the end of its answer."""
        return await self.client.request(TWIN, self.params(text, **more))

    async def start(self, text: str, **more: Any) -> Any:
        """Send a message by the command that answers at once."""
        return await self.client.command(COMMAND, **self.params(text, **more))

    async def new(self) -> str:
        """Begin a conversation."""
        conversation_id: str = (await self.client.command("qwen.chat.new"))["conversationId"]
        return conversation_id

    def streamed(self, token: str) -> Streamed:
        """What came to a token so far; values are counted from 0 without a gap, and are of one turn."""
        values = self.client.progress(token)
        assert [value["seq"] for value in values] == list(range(len(values)))
        assert len({value["turnId"] for value in values}) <= 1
        return Streamed(values)

    async def until_text(self, token: str, is_enough: Callable[[str], bool]) -> str:
        """Wait until enough of an answer has come to a token; what has."""

        def enough() -> str | None:
            text = self.streamed(token).text
            return text if is_enough(text) else None

        text: str = await self.client.until(enough)
        return text

    async def ended(self, token: str) -> Streamed:
        """Wait for the end of what comes to a token."""
        await self.client.notified(
            "$/progress", lambda p: p["token"] == token and p["value"]["kind"] == "end"
        )
        return self.streamed(token)

    async def asked(self, text: str, holds: Callable[[Entry], object] = lambda _: True) -> Entry:
        """The provider's entry of the request whose last message is `text`, once `holds` does."""
        return await self.provider.wait_for(lambda e: is_about(e, text) and holds(e))

    async def times_asked(self, text: str) -> int:
        """How many requests of the provider ended with `text`."""
        return sum(is_about(entry, text) for entry in await self.provider.log("chat"))

    async def history(self, conversation_id: str, **more: Any) -> list[tuple[str, str]]:
        """What the provider is sent before a further message of a conversation."""
        text = unique("and then")
        await self.send(text, conversationId=conversation_id, **more)
        return said(await self.asked(text))[:-1]


def is_about(entry: Entry, text: str) -> bool:
    """Whether a request is for an answer to `text`."""
    return bool(entry["route"] == "chat" and entry["json"] and said(entry)[-1] == ("user", text))


def said(entry: Entry) -> list[tuple[str, str]]:
    """The messages of a request as role and content."""
    return [(m["role"], m["content"]) for m in entry["json"]["messages"]]


def write_env(folder: Path, provider: RunningProvider, model: str | None = MODEL) -> str:
    """Make a folder whose `.env` leads to the provider; its URI."""
    folder.mkdir(parents=True)
    lines = [f"OPENAI_API_KEY={KEY}", f"OPENAI_BASE_URL={provider.v1}"]
    lines += [f"OPENAI_MODEL={model}"] if model else []
    (folder / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return uri(folder)


async def set_out(
    root: Path, client: Client, provider: RunningProvider, options: Any = None, **more: Any
) -> Talk:
    """Make the folders below `root` and initialize a server with them."""
    folders = [root / "work" / name for name in ("keyed", "modelless", "empty")]
    keyed = write_env(folders[0], provider)
    modelless = write_env(folders[1], provider, None)
    folders[2].mkdir()
    await client.initialize(*folders, options=options, **more)
    talk = Talk(client, provider, keyed, modelless, uri(folders[2]))
    await talk.usual()
    return talk


@contextlib.asynccontextmanager
async def talking(root: Path, provider: RunningProvider, options: Any = None) -> AsyncIterator[Talk]:
    """A server in a home of its own below `root`, initialized, and its client."""
    env = environment(root / "home", QWEN_LS_OAUTH_BASE_URL=provider.issuer)
    async with server(env, cwd=root) as client:
        yield await set_out(root, client, provider, options)


async def closes_in_time(talk: Talk, text: str, stopped_at: float) -> Entry:
    """See the provider's socket closed within 250 ms of a stop sent at `stopped_at` (monotonic)."""
    entry = await talk.asked(text, lambda e: e["closed_at"] is not None)
    assert entry["completed_at"] is None, entry
    after = entry["closed_at"] - stopped_at
    assert after <= STOPS_WITHIN, f"{after:.3f} s after the stop"
    return entry


async def reply_to(client: Client, data: bytes, id_: Any = None) -> dict[str, Any]:
    """Send bytes as they are and return the next whole reply to `id_`."""
    future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    client._waiting[id_] = future
    client.send_raw(data)
    return await asyncio.wait_for(future, 20.0)


@contextlib.contextmanager
def in_one_piece(client: Client) -> Iterator[None]:
    """Send what is sent in this block by one write, so that the server reads it at once."""
    pieces: list[bytes] = []
    setattr(client, "send_raw", pieces.append)  # noqa: B010 - for this block
    try:
        yield
    finally:
        delattr(client, "send_raw")
    client.send_raw(b"".join(pieces))


def now() -> float:
    """The clock of the provider's log: monotonic seconds of this machine."""
    return time.monotonic()
