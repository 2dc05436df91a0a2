"""Chat over LSP with a real llama.cpp: streamed, of several turns, refused, and stopped in each way."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pytest

from canary import canary
from e2e.relay import running_relay
from wire import RpcError, environment, result_of, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from e2e.llama import Llama
    from e2e.relay import Relay
    from wire import Client

STOP_LIMIT = 0.25  # seconds from the editor's stop to a closed socket
REQUEST_CANCELLED = -32800
PACE = 50_000  # bytes per second: a brief answer then takes about a second
WORK_DONE, PARTIAL = "work-done", "partial"
TOKENS = {"workDoneToken": WORK_DONE, "partialResultToken": PARTIAL}


def write_env(folder: Path, key: str, base_url: str, model: str) -> Path:
    """Put a key into the folder's `.env`, as a user would."""
    file = folder / ".env"
    folder.mkdir(exist_ok=True)
    file.write_text(f"OPENAI_API_KEY={key}\nOPENAI_BASE_URL={base_url}\nOPENAI_MODEL={model}\n")
    return file


@asynccontextmanager
async def editing(tmp_path: Path, llama: Llama, base_url: str) -> AsyncIterator[Client]:
    """An editor on a folder whose `.env` names a key of `llama`; no byte that it gets holds that key."""
    write_env(tmp_path / "project", llama.api_keys[0], base_url, llama.alias)
    async with server(environment(tmp_path / "home")) as client:
        await client.initialize(tmp_path / "project")
        yield client
    assert client.stdout
    assert llama.api_keys[0].encode() not in client.stdout + client.stderr


def deltas(client: Client, token: str = PARTIAL) -> list[dict[str, Any]]:
    """The pieces that have come."""
    return [value for value in client.progress(token) if value["kind"] == "delta"]


def text_of(client: Client, token: str = PARTIAL) -> str:
    """The pieces put together."""
    return "".join(value["text"] for value in deltas(client, token))


def ended(client: Client, token: str = PARTIAL) -> dict[str, Any] | None:
    """The last value, once it has come."""
    values = client.progress(token)
    return values[-1] if values and values[-1]["kind"] == "end" else None


async def test_an_answer_streams_whole_and_in_order(tmp_path: Path, brief_llama: Llama) -> None:
    """Deltas come while the rest is held back, and make up what llama.cpp says to the same message."""
    async with (
        running_relay(brief_llama.origin, max_bytes_per_second=PACE) as relay,
        editing(tmp_path, brief_llama, f"{relay.origin}/v1") as client,
    ):
        relay.hold(after=5000)
        _, future = client.begin("qwen/chat/send", {"text": "Say something.", **TOKENS})
        await relay.stalled()
        await client.until(lambda: deltas(client))
        assert not future.done()
        relay.release()
        result = result_of(await future)
        values = client.progress(PARTIAL)
    assert text_of(client) == brief_llama.answer({"role": "user", "content": "Say something."})
    assert len(deltas(client)) >= 20
    assert [value["seq"] for value in values] == list(range(len(values)))
    assert {value["turnId"] for value in values} == {result["turnId"]}
    assert [value["kind"] for value in values] == ["delta"] * len(deltas(client)) + ["end"]
    usage = result["usage"]
    assert "text" not in result
    assert (result["stopReason"], result["model"]) == ("max_tokens", brief_llama.alias)
    assert (usage["completionTokens"], usage["promptTokens"] > 0) == (brief_llama.longest, True)
    assert usage["totalTokens"] == usage["promptTokens"] + brief_llama.longest
    assert {name: values[-1][name] for name in ("stopReason", "model", "usage")} == {
        "stopReason": "max_tokens",
        "model": brief_llama.alias,
        "usage": usage,
    }


async def test_a_conversation_has_turns(tmp_path: Path, brief_llama: Llama) -> None:
    """The second message is answered as one that follows the first and its answer."""
    async with editing(tmp_path, brief_llama, brief_llama.base_url) as client:
        first = await client.request("qwen/chat/send", {"text": "Say something."})
        named = {"conversationId": first["conversationId"]}
        second = await client.request("qwen/chat/send", {"text": "And then?", **named})
    asked = {"role": "user", "content": "Say something."}
    assert first["text"] == brief_llama.answer(asked)
    history = [asked, {"role": "assistant", "content": first["text"]}]
    assert second["text"] == brief_llama.answer(*history, {"role": "user", "content": "And then?"})
    assert second["text"] != brief_llama.answer({"role": "user", "content": "And then?"})
    assert second["conversationId"] == first["conversationId"]
    assert second["usage"]["promptTokens"] > first["usage"]["totalTokens"]


async def test_a_command_answers_at_once_and_streams_on(tmp_path: Path, brief_llama: Llama) -> None:
    """`qwen.chat.send` is answered while nothing has come yet; the answer follows by progress alone."""
    async with (
        running_relay(brief_llama.origin) as relay,
        editing(tmp_path, brief_llama, f"{relay.origin}/v1") as client,
    ):
        relay.hold()
        started = await client.command("qwen.chat.send", 2.0, text="Say something.", **TOKENS)
        await relay.stalled()
        assert client.progress(PARTIAL) == []
        relay.release()
        end = await client.until(lambda: ended(client))
    assert set(started) == {"conversationId", "turnId"}
    assert (end["turnId"], end["usage"]["completionTokens"]) == (started["turnId"], brief_llama.longest)
    assert text_of(client) == brief_llama.answer({"role": "user", "content": "Say something."})


async def test_a_wrong_key_is_rejected_until_the_file_is_right(tmp_path: Path, brief_llama: Llama) -> None:
    """llama.cpp's 401 names the line the key came from; once that is put right, the next message goes."""
    wrong = canary("wrong key for llama.cpp")
    async with editing(tmp_path, brief_llama, brief_llama.base_url) as client:
        file = write_env(tmp_path / "project", wrong, brief_llama.base_url, brief_llama.alias)
        with pytest.raises(RpcError) as failed:
            await client.request("qwen/chat/send", {"text": "Say something.", **TOKENS})
        assert (failed.value.kind, failed.value.data["retryable"]) == ("key-rejected", False)
        assert f"{file}:1" in failed.value.message
        assert "\n" not in failed.value.message
        end = client.progress(PARTIAL)[-1]
        assert (end["kind"], end["seq"], end["error"]["kind"]) == ("end", 0, "key-rejected")
        write_env(tmp_path / "project", brief_llama.api_keys[0], brief_llama.base_url, brief_llama.alias)
        assert (await client.request("qwen/chat/send", {"text": "Say something."}))["text"]
    assert wrong.encode() not in client.stdout + client.stderr


# --- stopping --------------------------------------------------------------------------------------

Way = Literal["cancelRequest", "workDoneProgress", "command"]
Moment = Literal["before the headers", "in mid-stream", "while stalled"]


@attrs.frozen
class Running:
    """An answer under way: the reply to its request, and its turn if that is known already."""

    client: Client
    id: int
    reply: Any
    turn_id: str | None

    @classmethod
    async def started(cls, client: Client, way: Way) -> Running:
        """Begin an answer in the way that can be stopped so: a command is answered at once."""
        params = {"text": "Go on for ever.", **TOKENS}
        if way == "command":
            id_, reply = client.begin(
                "workspace/executeCommand", {"command": "qwen.chat.send", "arguments": [params]}
            )
            return cls(client, id_, reply, result_of(await reply)["turnId"])
        id_, reply = client.begin("qwen/chat/send", params)
        return cls(client, id_, reply, None)

    def stop(self, way: Way) -> None:
        """Stop it as an editor does."""
        if way == "cancelRequest":
            self.client.cancel(self.id)
        elif way == "workDoneProgress":
            self.client.notify("window/workDoneProgress/cancel", {"token": WORK_DONE})
        else:
            argument = {"turnId": self.turn_id}
            self.client.begin(
                "workspace/executeCommand", {"command": "qwen.chat.cancel", "arguments": [argument]}
            )

    async def outcome(self, way: Way) -> Any:
        """What the request came to in the end: its result, or the error of a cancelled request."""
        if way != "cancelRequest":
            return result_of(await self.reply)
        with pytest.raises(RpcError) as failed:
            result_of(await self.reply)
        return failed.value


async def reached(moment: Moment, relay: Relay, client: Client) -> None:
    """Wait until the answer is as far as that."""
    if moment != "in mid-stream":
        await relay.stalled()
    if moment != "before the headers":
        await client.until(lambda: len(deltas(client)) >= (5 if moment == "in mid-stream" else 1))


@pytest.mark.parametrize("moment", ["before the headers", "in mid-stream", "while stalled"])
@pytest.mark.parametrize("way", ["cancelRequest", "workDoneProgress", "command"])
async def test_a_stop_reaches_llama_at_once(
    way: Way, moment: Moment, tmp_path: Path, llama: Llama, relay: Relay
) -> None:
    """Each way to stop closes the connection within 250 ms, llama.cpp stops, and what came is kept."""
    relay.max_bytes_per_second = PACE
    if moment != "in mid-stream":
        relay.hold(after={"before the headers": 0, "while stalled": 5000}[moment])
    async with editing(tmp_path, llama, f"{relay.origin}/v1") as client:
        running = await Running.started(client, way)
        await reached(moment, relay, client)
        assert llama.busy_slots() == 1
        asked_at = time.monotonic()
        running.stop(way)
        assert await relay.client_closed() - asked_at < STOP_LIMIT
        outcome = await running.outcome(way)
        end = await client.until(lambda: ended(client))
        await client.until(lambda: [v for v in client.progress(WORK_DONE) if v["kind"] == "end"])
    assert (end["stopReason"], "error" in end) == ("cancelled", False)
    assert (text_of(client) == "") == (moment == "before the headers")
    assert len(relay.connections) == 1
    if way == "cancelRequest":
        assert outcome.code == REQUEST_CANCELLED
    elif way == "workDoneProgress":
        assert (outcome["stopReason"], outcome["turnId"]) == ("cancelled", end["turnId"])
    await llama.falls_idle()


async def test_a_stopped_answer_is_part_of_the_conversation(tmp_path: Path, brief_llama: Llama) -> None:
    """After a stop the same conversation goes on, and llama.cpp is told the part that had come."""
    async with (
        running_relay(brief_llama.origin) as relay,
        editing(tmp_path, brief_llama, f"{relay.origin}/v1") as client,
    ):
        relay.hold(after=5000)
        _, reply = client.begin("qwen/chat/send", {"text": "Say something.", **TOKENS})
        await relay.stalled()
        await client.until(lambda: deltas(client))
        client.notify("window/workDoneProgress/cancel", {"token": WORK_DONE})
        stopped = result_of(await reply)
        relay.release()
        named = {"conversationId": stopped["conversationId"]}
        second = await client.request("qwen/chat/send", {"text": "And then?", **named})
    history = [
        {"role": "user", "content": "Say something."},
        {"role": "assistant", "content": text_of(client)},
    ]
    assert stopped["stopReason"] == "cancelled"
    assert second["text"] == brief_llama.answer(*history, {"role": "user", "content": "And then?"})
