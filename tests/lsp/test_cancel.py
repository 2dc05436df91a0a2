from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_asyncio

from lsp.talk import COMMAND, TWIN, Talk, closes_in_time, in_one_piece, now, reply_to, talking, unique
from provider import running_provider
from qwen_ls.lsp.frames import encode
from wire import result_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")
CANCELLED = -32800
EXECUTE = "workspace/executeCommand"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Talk]:
    """One server and one provider for the whole file."""
    async with running_provider() as provider, talking(tmp_path_factory.mktemp("cancel"), provider) as talk:
        yield talk


@pytest_asyncio.fixture(loop_scope="module")
async def talk(shared: Talk) -> Talk:
    """The same, with nothing going wrong."""
    await shared.usual()
    return shared


@attrs.frozen
class Message:
    """A message under way: how it can be stopped, and where its end comes."""

    talk: Talk
    text: str
    conversation_id: str
    token: str
    progress: str
    id: int
    reply: asyncio.Future[dict[str, Any]]

    async def stop(self, way: str) -> float:
        """Stop it in one of the ways; when that was sent, by the provider's clock."""
        client = self.talk.client
        turn_id = None
        if way == "chat.cancel by turn":
            turn_id = result_of(await self.reply)["turnId"]
        stopped_at = now()
        if way.startswith("cancelRequest"):
            client.cancel(self.id)
        elif way == "progress":
            client.notify("window/workDoneProgress/cancel", {"token": self.progress})
        elif way == "chat.cancel by turn":
            client.begin(EXECUTE, {"command": "qwen.chat.cancel", "arguments": [{"turnId": turn_id}]})
        else:
            argument = {"conversationId": self.conversation_id}
            client.begin(EXECUTE, {"command": "qwen.chat.cancel", "arguments": [argument]})
        return stopped_at


# In which form the message is sent, and how it is stopped.
WAYS = {
    "cancelRequest of the twin": "twin",
    "cancelRequest of the command": "wait",
    "progress": "twin",
    "chat.cancel by turn": "command",
    "chat.cancel by conversation": "wait",
}
# What the provider does, and how much of the answer comes before the stop.
PHASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "before the headers": ({"delay": 60}, None),
    "in mid-stream": ({}, "1 2 3 "),
    "while stalled": ({"stall": 3}, "1 2 3 "),
    "before the first token": ({"stall": 0}, ""),
}


async def begin(talk: Talk, form: str) -> Message:
    """Send a message in a conversation of its own."""
    conversation_id, text = await talk.new(), unique("count")
    token, progress = unique("stream"), unique("progress")
    more = {"conversationId": conversation_id, "partialResultToken": token, "workDoneToken": progress}
    params = talk.params(text, **more)
    if form == "twin":
        id_, reply = talk.client.begin(TWIN, params)
    else:
        arguments = [{**params, "wait": form == "wait"}]
        id_, reply = talk.client.begin(EXECUTE, {"command": COMMAND, "arguments": arguments})
    return Message(talk, text, conversation_id, token, progress, id_, reply)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("way", WAYS)
async def test_stop(talk: Talk, way: str, phase: str) -> None:
    """Each way to stop closes the provider's socket within 250 ms, whenever; what came is kept."""
    fault, expected = PHASES[phase]
    await talk.provider.configure(tokens=5000, token_interval=0.02)
    await talk.provider.fault("chat", times=1, **fault)
    message = await begin(talk, WAYS[way])
    await talk.asked(message.text, lambda e: expected is None or e["status"] is not None)
    if expected:
        await talk.until_text(message.token, lambda text: text.startswith(expected))
    await talk.client.notified("$/progress", lambda p: p["token"] == message.progress)
    stopped_at = await message.stop(way)
    await closes_in_time(talk, message.text, stopped_at)

    reply = await asyncio.wait_for(message.reply, 5)
    if way.startswith("cancelRequest"):
        assert (reply["error"]["code"], reply["error"]["data"]["kind"]) == (CANCELLED, "cancelled")
    elif WAYS[way] != "command":
        assert reply["result"]["stopReason"] == "cancelled"
    streamed = await talk.ended(message.token)
    assert streamed.end["stopReason"] == "cancelled"
    shown = await talk.client.notified(  # in a frame of its own, behind the stream's
        "$/progress", lambda p: p["token"] == message.progress and p["value"]["kind"] == "end"
    )
    assert shown["value"]["message"] == "Stopped"
    assert bool(streamed.text) == bool(expected)
    kept = [("user", message.text), ("assistant", streamed.text)] if streamed.text else []
    await talk.provider.configure(tokens=1)
    assert await talk.history(message.conversation_id) == kept


async def test_text_of_a_stopped_answer(talk: Talk) -> None:
    """A request that waits without a token to stream to is answered with what came before the stop."""
    await talk.provider.configure(tokens=9)
    await talk.provider.fault("chat", stall=4, times=1)
    conversation_id, text, progress = await talk.new(), unique("count"), unique("progress")
    params = talk.params(text, conversationId=conversation_id, workDoneToken=progress)
    _, reply = talk.client.begin(TWIN, params)
    await talk.asked(text, lambda e: e["tokens"] == 4)
    await talk.client.command("qwen.doctor")  # by then the four have arrived
    await talk.client.command("qwen.chat.cancel", conversationId=conversation_id)
    result = result_of(await reply)
    assert (result["text"], result["stopReason"]) == ("1 2 3 4 ", "cancelled")


async def test_stop_of_a_message_just_sent(talk: Talk) -> None:
    """A stop that comes in one piece with its message finds it: it ends, and the conversation is free."""
    await talk.provider.fault("chat", delay=60)
    conversation_id, text, token = await talk.new(), unique("hello"), unique("stream")
    argument = {"conversationId": conversation_id}
    params = talk.params(text, **argument, partialResultToken=token)
    with in_one_piece(talk.client):
        _, reply = talk.client.begin(TWIN, params)
        _, stopped = talk.client.begin(EXECUTE, {"command": "qwen.chat.cancel", "arguments": [argument]})
    assert result_of(await asyncio.wait_for(stopped, 5)) == {"cancelled": True}
    assert result_of(await asyncio.wait_for(reply, 5))["stopReason"] == "cancelled"
    assert (await talk.ended(token)).end["stopReason"] == "cancelled"
    await talk.provider.clear_faults()
    assert (await talk.send(unique("again"), conversationId=conversation_id))["stopReason"] == "end_turn"
    assert await talk.times_asked(text) == 0


async def test_cancel_of_a_message_just_sent(talk: Talk) -> None:
    """So it is with `$/cancelRequest`, which need not leave a turn behind."""
    await talk.provider.fault("chat", delay=60)
    conversation_id = await talk.new()
    with in_one_piece(talk.client):
        id_, reply = talk.client.begin(TWIN, talk.params(unique("hello"), conversationId=conversation_id))
        talk.client.cancel(id_)
    assert (await asyncio.wait_for(reply, 5))["error"]["code"] == CANCELLED
    await talk.provider.clear_faults()
    assert (await talk.send(unique("again"), conversationId=conversation_id))["stopReason"] == "end_turn"


@pytest.mark.parametrize("form", ["twin", "wait", "command"])
async def test_cancelled_progress_of_a_message_just_sent(talk: Talk, form: str) -> None:
    """Nor is the cancel of a progress lost that has not begun, wherever its token stands."""
    await talk.provider.fault("chat", delay=60)
    text, token, progress = unique("hello"), unique("stream"), unique("progress")
    params = talk.params(text, partialResultToken=token)
    with in_one_piece(talk.client):
        if form == "twin":
            _, reply = talk.client.begin(TWIN, {**params, "workDoneToken": progress})
        else:
            call = {"command": COMMAND, "arguments": [{**params, "wait": form == "wait"}]}
            _, reply = talk.client.begin(EXECUTE, {**call, "workDoneToken": progress})
        talk.client.notify("window/workDoneProgress/cancel", {"token": progress})
    result = result_of(await asyncio.wait_for(reply, 5))
    assert form == "command" or result["stopReason"] == "cancelled"
    assert (await talk.ended(token)).end["stopReason"] == "cancelled"
    assert await talk.times_asked(text) == 0


async def test_cancel_of_a_progress_that_never_began(talk: Talk) -> None:
    """A cancel of what failed before it began is forgotten with it: the token can be used again."""
    progress = unique("progress")
    with in_one_piece(talk.client):
        params = talk.params("hello", conversationId="c-unknown", workDoneToken=progress)
        _, reply = talk.client.begin(TWIN, params)
        talk.client.notify("window/workDoneProgress/cancel", {"token": progress})
    assert (await asyncio.wait_for(reply, 5))["error"]["data"]["kind"] == "not-supported"
    assert (await talk.send(unique("again"), workDoneToken=progress))["stopReason"] == "end_turn"


async def test_stop_while_a_retry_waits(talk: Talk) -> None:
    """A pause before a retry ends at once, and nothing is asked again."""
    await talk.provider.fault("chat", status=429, headers={"Retry-After": "60"}, times=1)
    message = await begin(talk, "twin")
    await talk.client.notified(
        "$/progress",
        lambda p: p["token"] == message.progress and "again in 60 s" in p["value"].get("message", ""),
    )
    await message.stop("progress")
    assert result_of(await asyncio.wait_for(message.reply, 2))["stopReason"] == "cancelled"
    await talk.send(unique("next"), conversationId=message.conversation_id)
    assert await talk.times_asked(message.text) == 1


async def test_second_stop(talk: Talk) -> None:
    """The second stop of an answer has nothing to end, and says so; one of the end neither."""
    await talk.provider.fault("chat", delay=60, times=1)
    message = await begin(talk, "command")
    turn = {"turnId": result_of(await message.reply)["turnId"]}
    both = [
        talk.client.begin(EXECUTE, {"command": "qwen.chat.cancel", "arguments": [turn]})[1] for _ in range(2)
    ]
    assert [result_of(await one)["cancelled"] for one in both] == [True, False]
    await talk.ended(message.token)
    assert await talk.client.command("qwen.chat.cancel", **turn) == {"cancelled": False}


@pytest.mark.parametrize("params", [{}, {"turnId": "t-unknown"}, {"conversationId": "c-unknown"}], ids=str)
async def test_stop_of_nothing(talk: Talk, params: dict[str, str]) -> None:
    """To stop what there is not is no error, and stops nothing else."""
    await talk.provider.fault("chat", stall=1, times=1)
    message = await begin(talk, "twin")
    await talk.until_text(message.token, bool)
    assert await talk.client.command("qwen.chat.cancel", **params) == {"cancelled": False}
    assert not message.reply.done()
    talk.client.cancel(message.id)
    assert (await message.reply)["error"]["code"] == CANCELLED


@pytest.mark.parametrize(
    "params", [{"id": 10**9}, {"id": "x"}, {"id": None}, {"id": 1.5}, {"id": []}, {}, None], ids=str
)
async def test_cancel_of_nothing(talk: Talk, params: Any) -> None:
    """A cancel of an unknown or impossible id is passed over."""
    before = len(talk.client.stdout)
    talk.client.notify("$/cancelRequest", params)
    talk.client.notify("window/workDoneProgress/cancel", params and {"token": params.get("id")})
    assert (await talk.client.command("qwen.chat.new"))["conversationId"]
    assert b"error" not in talk.client.stdout[before:]


async def test_cancel_after_the_end(talk: Talk) -> None:
    """A cancel that comes after the reply changes nothing, and is not answered."""
    message = await begin(talk, "twin")
    assert result_of(await message.reply)["stopReason"] == "end_turn"
    talk.client.cancel(message.id)
    talk.client.cancel(message.id)
    await message.stop("progress")
    await talk.client.command("qwen.chat.new")
    assert talk.client.replies[message.id] == 1
    assert len(await talk.history(message.conversation_id)) == 2


async def test_second_cancel_while_the_first_unwinds(talk: Talk) -> None:
    """An id stays taken until its request has really been answered, and that is once."""
    await talk.provider.fault("chat", delay=60, times=1)
    message = await begin(talk, "twin")
    await talk.asked(message.text)
    stopped_at = now()
    for _ in range(3):
        talk.client.cancel(message.id)
    await closes_in_time(talk, message.text, stopped_at)
    assert (await message.reply)["error"]["code"] == CANCELLED
    await talk.client.command("qwen.chat.new")
    assert talk.client.replies[message.id] == 1


async def test_id_of_a_request_that_unwinds(talk: Talk) -> None:
    """Nor can the id be used again before that reply."""
    await talk.provider.fault("chat", delay=60, times=1)
    message = await begin(talk, "twin")
    await talk.asked(message.text)
    again = encode({"jsonrpc": "2.0", "id": message.id, "method": "no/such"})
    cancel = encode({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": message.id}})
    refused = await reply_to(talk.client, cancel + again)
    assert refused["error"]["message"] == "id is in use"
    assert (await message.reply)["error"]["code"] == CANCELLED


async def test_racing_cancels(talk: Talk) -> None:
    """Two hundred messages, each cancelled twice at some moment of its life, get one reply each."""
    await talk.provider.configure(tokens=3)
    client, sent = talk.client, []
    for number in range(200):
        with in_one_piece(client):
            params = talk.params(f"race {number}", partialResultToken=f"race {number}")
            id_, reply = client.begin(TWIN, params)
            if number % 4 == 0:
                client.cancel(id_)
                client.cancel(id_)
        sent.append((id_, reply))
        if number % 4 == 1:  # while others stream
            client.cancel(sent[number // 2][0])
            client.cancel(sent[number // 2][0])
        if number % 10 == 0:
            await client.command("qwen.chat.new")
    for id_, _ in sent[::2]:
        client.cancel(id_)
        client.cancel(id_)
    replies = await asyncio.wait_for(asyncio.gather(*(reply for _, reply in sent)), 20)
    await client.command("qwen.chat.new")
    assert {client.replies[id_] for id_, _ in sent} == {1}
    codes = {reply["error"]["code"] for reply in replies if "error" in reply}
    reasons = {reply["result"]["stopReason"] for reply in replies if "result" in reply}
    assert (codes, reasons) == ({CANCELLED}, {"end_turn"})
    assert (await talk.send(unique("next")))["text"] == "1 2 3 "


async def test_stop_at_any_moment(talk: Talk) -> None:
    """However far a message has come, a stop that is accepted ends it: none is lost on the way."""
    await talk.provider.fault("chat", delay=60)

    async def one() -> str:
        token = unique("stream")
        begun = await talk.start(unique("hello"), partialResultToken=token)
        stopped = await talk.client.command("qwen.chat.cancel", turnId=begun["turnId"])
        assert stopped == {"cancelled": True}
        return str((await talk.ended(token)).end["stopReason"])

    reasons = [await asyncio.gather(*(one() for _ in range(count))) for count in (1, 2, 5, 10, 40, 80)]
    assert {reason for some in reasons for reason in some} == {"cancelled"}


async def test_status_after_stops(talk: Talk) -> None:
    """Nothing is under way any more once everything was stopped."""
    assert (await talk.client.command("qwen.auth.status", uri=talk.keyed))["busy"] is False
