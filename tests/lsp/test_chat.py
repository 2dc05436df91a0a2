from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_asyncio

from actions.fakes import FakeCache, ports_of
from lsp.alone import alone
from lsp.talk import COMMAND, MODEL, TWIN, Talk, now, said, talking, unique
from provider import running_provider
from qwen_ls.actions.chat import Turn
from qwen_ls.actions.ports import Place
from qwen_ls.core.chat import Delta
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.lsp.chat import Conversation, Deltas
from qwen_ls.lsp.session import Session
from qwen_ls.lsp.world import World
from wire import RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")
FAILED, INVALID_PARAMS = -32803, -32602
FRAME = 0.016  # seconds between two deltas of a burst
ANSWERS_WITHIN = 2.0  # seconds for a command that takes long
ERROR = 1  # MessageType.Error


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Talk]:
    """One server and one provider for the whole file: no test may harm them."""
    async with running_provider() as provider, talking(tmp_path_factory.mktemp("chat"), provider) as talk:
        yield talk


@pytest_asyncio.fixture(loop_scope="module")
async def talk(shared: Talk) -> Talk:
    """The same, with nothing going wrong."""
    await shared.usual()
    shared.client._handlers.clear()
    return shared


def numbers(count: int) -> str:
    """What the provider says when it is told to count."""
    return "".join(f"{number} " for number in range(1, count + 1))


# --- streaming ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["twin", "command"])
async def test_stream(talk: Talk, door: str) -> None:
    """Deltas come to the partial-result token in order and whole; then the result carries no text."""
    await talk.provider.configure(tokens=100, token_interval=0.001)
    token = unique("stream")
    send = talk.send if door == "twin" else talk.start
    more = {} if door == "twin" else {"wait": True}
    result = await send(unique("count"), partialResultToken=token, **more)
    streamed = talk.streamed(token)
    assert streamed.text == numbers(100)
    assert "text" not in result
    assert result["stopReason"] == streamed.end["stopReason"] == "end_turn"
    assert streamed.end["turnId"] == result["turnId"]
    assert streamed.end["usage"] == result["usage"]


async def test_stream_to_a_number(talk: Talk) -> None:
    """A token may be a number, 0 too."""
    await talk.provider.configure(tokens=3)
    await talk.client.request(TWIN, talk.params(unique("count"), partialResultToken=0))
    values = talk.client.progress(0)
    assert "".join(v["text"] for v in values if v["kind"] == "delta") == numbers(3)


async def test_stream_of_the_command_that_answers_at_once(talk: Talk) -> None:
    """The command names conversation and turn within two seconds, while the answer still streams."""
    await talk.provider.fault("chat", stall=2)
    await talk.provider.configure(tokens=4)
    token, text, began = unique("stream"), unique("count"), now()
    begun = await talk.start(text, partialResultToken=token)
    assert now() - began < ANSWERS_WITHIN
    assert set(begun) == {"conversationId", "turnId"}
    assert await talk.until_text(token, lambda text: text == "1 2 ")
    await talk.client.command("qwen.chat.cancel", turnId=begun["turnId"])
    assert (await talk.ended(token)).end["stopReason"] == "cancelled"


async def test_command_answers_before_the_provider_does(talk: Talk) -> None:
    """Nor does a provider that says nothing hold the command up."""
    await talk.provider.fault("chat", delay=60)
    text, began = unique("hold"), now()
    begun = await talk.start(text)
    assert now() - began < ANSWERS_WITHIN
    await talk.asked(text)
    assert await talk.client.command("qwen.chat.cancel", turnId=begun["turnId"]) == {"cancelled": True}


async def test_burst(talk: Talk) -> None:
    """Five thousand tokens at once come whole, in far fewer notifications: one for every 16 ms at most."""
    await talk.provider.configure(tokens=5000)
    token, began = unique("burst"), now()
    await talk.send(unique("count"), partialResultToken=token)
    streamed, most = talk.streamed(token), 3 + (now() - began) / FRAME
    assert streamed.text == numbers(5000)
    assert len(streamed.values) <= most
    assert len(streamed.values) < 5000 / 10


@attrs.define
class Recorder:
    """Takes notifications as the protocol does."""

    texts: list[str] = attrs.field(factory=list)

    def tell(self, _method: str, params: Any) -> None:
        """Keep the text."""
        self.texts.append(params["value"].get("text", "end"))


async def test_first_delta_at_once() -> None:
    """The first delta goes out as it comes, the next ones together, and the rest with the end."""
    recorder: Any = Recorder()
    deltas = Deltas(recorder, "token", "turn")
    deltas.delta(Delta("a"))
    assert recorder.texts == ["a"]
    deltas.delta(Delta("b"))
    deltas.delta(Delta("c"))
    assert recorder.texts == ["a"]
    deltas.end(Turn("turn", "conversation", (), Place(None)), None)
    assert recorder.texts == ["a", "bc", "end"]


async def test_deltas_that_trickle() -> None:
    """Deltas that come one by one, but fast, are sent once in 16 ms as well, and none is lost."""
    recorder: Any = Recorder()
    deltas, began = Deltas(recorder, "token", "turn"), now()
    for number in range(3000):
        deltas.delta(Delta(f"{number} "))
        await asyncio.sleep(0)  # the loop has its turn
    most = 1 + (now() - began) / FRAME
    assert len(recorder.texts) <= most
    deltas.end(Turn("turn", "conversation", (), Place(None)), None)
    assert "".join(recorder.texts) == "".join(f"{number} " for number in range(3000)) + "end"


class Broken:
    """Env files of a server with a mistake in it."""

    async def find(self, _folder: object, _excluded: object) -> Any:
        """The mistake."""
        raise ZeroDivisionError("a text that nobody is shown")


async def test_a_mistake_of_our_own_is_told() -> None:
    """An answer that nobody waits for ends with what went wrong, in its document and as a message."""
    ports = ports_of(oauth_cache=FakeCache(), env_files=Broken())
    session, listener = alone(ports, Session)
    world = World.over(ports)
    turn = world.chats.begin(Place(None), "hello", None, None)
    told: list[Problem | None] = []
    outlet: Any = SimpleNamespace(end=lambda _turn, problem: told.append(problem))
    with pytest.raises(Problem) as failed:
        await Conversation(session, world, turn, outlet).run(None, tell=True)
    assert failed.value.kind is Kind.INTERNAL
    assert "ZeroDivisionError" in failed.value.message
    assert told == [failed.value]
    assert [said.message for said in listener.params("window/showMessage")] == [failed.value.message]
    assert "nobody" not in failed.value.message
    assert world.chats.turns == {}


async def test_whole_answer(talk: Talk) -> None:
    """Without a token to stream to, the answer stands in the result of twin and waiting command."""
    await talk.provider.configure(tokens=7)
    twin = await talk.send(unique("count"))
    waited = await talk.start(unique("count"), wait=True)
    assert twin["text"] == waited["text"] == numbers(7)
    assert twin["stopReason"] == waited["stopReason"] == "end_turn"


async def test_usage_and_model(talk: Talk) -> None:
    """The result says what was counted, which model was asked for, and which one served."""
    await talk.provider.configure(tokens=5, served_model="coder-model-2026-01-01")
    progress = unique("progress")
    result = await talk.send("one two three", workDoneToken=progress)
    assert result["usage"] == {"promptTokens": 3, "completionTokens": 5, "totalTokens": 8}
    assert (result["requestedModel"], result["model"]) == (MODEL, "coder-model-2026-01-01")
    end = talk.client.progress(progress)[-1]
    assert end["message"] == "coder-model-2026-01-01 answered in place of coder-model"


async def test_reasoning(talk: Talk) -> None:
    """Reasoning comes apart from the answer: in fields of the result, and in values of its own kind."""
    await talk.provider.configure(tokens=3, reasoning="first I think")
    result = await talk.send(unique("count"))
    assert (result["reasoning"], result["text"]) == ("first I think", numbers(3))
    token = unique("stream")
    result = await talk.send(unique("count"), partialResultToken=token)
    streamed = talk.streamed(token)
    assert (streamed.reasoning, streamed.text) == ("first I think", numbers(3))
    assert not {"reasoning", "text"} & set(result)
    kinds = [value["kind"] for value in streamed.values]
    assert kinds == sorted(kinds, key=["reasoning", "delta", "end"].index)


async def test_reasoning_stays_out_of_the_history(talk: Talk) -> None:
    """Only the answer itself is sent again with the next message."""
    await talk.provider.configure(tokens=3, reasoning="first I think")
    text = unique("count")
    result = await talk.send(text)
    assert await talk.history(result["conversationId"]) == [("user", text), ("assistant", numbers(3))]


async def test_model_of_the_message(talk: Talk) -> None:
    """The model named with a message is asked for in place of the configured one."""
    text = unique("hello")
    result = await talk.send(text, model="vision-model")
    assert (await talk.asked(text))["json"]["model"] == result["requestedModel"] == "vision-model"


async def test_first_model_of_the_list(talk: Talk) -> None:
    """Where no model is set, the first that the provider lists is asked for."""
    await talk.provider.configure(models=["listed-first", "coder-model"])
    text = unique("hello")
    result = await talk.send(text, uri=talk.modelless)
    await talk.provider.configure(models=["coder-model", "vision-model"])
    assert (await talk.asked(text))["json"]["model"] == result["requestedModel"] == "listed-first"


# --- conversations ------------------------------------------------------------------------------------------


async def test_conversation(talk: Talk) -> None:
    """Each message of a conversation carries all that was said before."""
    first, second, third = (unique("message") for _ in range(3))
    one = await talk.send(first)
    two = await talk.start(second, conversationId=one["conversationId"], wait=True)
    await talk.send(third, conversationId=one["conversationId"])
    assert two["conversationId"] == one["conversationId"]
    assert two["turnId"] != one["turnId"]
    assert said(await talk.asked(third)) == [
        ("user", first),
        ("assistant", one["text"]),
        ("user", second),
        ("assistant", two["text"]),
        ("user", third),
    ]


async def test_conversations_are_apart(talk: Talk) -> None:
    """A message without a conversation begins a new one."""
    one, text = await talk.send(unique("message")), unique("message")
    two = await talk.send(text)
    assert two["conversationId"] != one["conversationId"]
    assert said(await talk.asked(text)) == [("user", text)]


async def test_new_conversation(talk: Talk) -> None:
    """`qwen.chat.new` names an empty conversation that can be talked in."""
    conversation_id, text = await talk.new(), unique("message")
    result = await talk.send(text, conversationId=conversation_id)
    assert result["conversationId"] == conversation_id
    assert said(await talk.asked(text)) == [("user", text)]


async def test_messages_held_by_the_client(talk: Talk) -> None:
    """A client that holds the conversation sends all of it, and that is what the provider gets."""
    last = unique("and now")
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": last},
    ]
    await talk.client.request(TWIN, {"messages": messages, "uri": talk.keyed})
    assert said(await talk.asked(last)) == [(m["role"], m["content"]) for m in messages]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"text": "a", "messages": [{"role": "user", "content": "b"}]},
        {"text": "a", "document": "file:///chat.qwen.md"},
    ],
    ids=["none", "text and messages", "text and document"],
)
async def test_text_or_messages(talk: Talk, params: dict[str, Any]) -> None:
    """A message is sent by exactly one of `text`, `messages` and `document`."""
    with pytest.raises(RpcError) as refused:
        await talk.client.request(TWIN, params)
    assert (refused.value.code, refused.value.data["problems"][0]["path"]) == (INVALID_PARAMS, "$.text")
    with pytest.raises(RpcError) as refused:
        await talk.client.command(COMMAND, **params)
    assert refused.value.data["problems"][0]["path"] == "$.arguments[0].text"


@pytest.mark.parametrize("text", ["", " \n\t"])
async def test_nothing_to_send(talk: Talk, text: str) -> None:
    """A message without a word is refused, as in a document, and reaches nobody."""
    before = len(await talk.provider.log("chat"))
    with pytest.raises(RpcError, match="There is no message to send") as refused:
        await talk.send(text)
    assert refused.value.kind == "not-supported"
    assert len(await talk.provider.log("chat")) == before


async def test_unknown_conversation(talk: Talk) -> None:
    """A conversation that is not known is refused by name."""
    with pytest.raises(RpcError, match="c-unknown") as refused:
        await talk.send("hello", conversationId="c-unknown")
    assert (refused.value.code, refused.value.kind) == (FAILED, "not-supported")


async def test_busy_conversation(talk: Talk) -> None:
    """A second message while an answer is under way is refused, and harms nothing."""
    await talk.provider.fault("chat", stall=1, times=1)
    await talk.provider.configure(tokens=2)
    conversation_id, token = await talk.new(), unique("stream")
    begun = await talk.start(unique("first"), conversationId=conversation_id, partialResultToken=token)
    await talk.until_text(token, lambda text: text == "1 ")
    with pytest.raises(RpcError, match="under way") as refused:
        await talk.send(unique("second"), conversationId=conversation_id)
    assert refused.value.kind == "not-supported"
    await talk.client.command("qwen.chat.cancel", turnId=begun["turnId"])
    await talk.ended(token)
    assert (await talk.send(unique("third"), conversationId=conversation_id))["text"] == numbers(2)


# --- how providers answer -----------------------------------------------------------------------------------


def completion(text: str, finish_reason: str) -> dict[str, Any]:
    """An answer that is not streamed."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    return {"id": "x", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": usage}


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")],
)
async def test_json_in_place_of_a_stream(talk: Talk, finish_reason: str, stop_reason: str) -> None:
    """A provider that does not stream is understood, and each reason to stop has its word."""
    await talk.provider.fault("chat", status=200, body=completion("all at once", finish_reason), times=1)
    token = unique("stream")
    result = await talk.send(unique("hello"), partialResultToken=token)
    assert talk.streamed(token).text == "all at once"
    assert (result["stopReason"], result["model"]) == (stop_reason, "m-1")
    assert result["usage"]["totalTokens"] == 5


@pytest.mark.parametrize(
    "fault",
    [
        {"split_utf8": True},
        {"line_ending": "cr"},
        {"line_ending": "crlf"},
        {"no_done": True},
        {"split_utf8": True, "line_ending": "crlf", "no_done": True},
    ],
    ids=["bytes one by one", "CR", "CRLF", "no [DONE]", "all of it"],
)
async def test_spelling_of_a_stream(talk: Talk, fault: dict[str, Any]) -> None:
    """However a stream is cut and spelt, the answer is the same."""
    reply = "Grüße an 世界 🎉 und\n\ndata: zurück\nEnde"
    await talk.provider.configure(reply=reply)
    await talk.provider.fault("chat", **fault)
    result = await talk.send(unique("hello"))
    assert (result["text"], result["stopReason"]) == (reply, "end_turn")
    assert result["usage"]["completionTokens"] > 0


async def test_an_answer_is_text_alone(talk: Talk) -> None:
    """Escape sequences, control characters and marks that turn a line around do not reach the editor."""
    await talk.provider.configure(
        reply="a\x1b[31mred\x1b[0m\r\n\ttab\x07 \u202eturned\u2066", reasoning="b\x1b]8;;x"
    )
    answer = await talk.send(unique("hello"))
    assert answer["text"] == "a[31mred[0m\n\ttab turned"
    assert answer["reasoning"] == "b]8;;x"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"html": True}, "network"),
        ({"status": 200, "body": {"choices": []}}, "bad-reply"),
        ({"bad_json": 0}, "bad-reply"),
        ({"error_event": 0}, "provider-down"),
        ({"gzip": True}, "network"),
        ({"redirect": "http://127.0.0.1:9/v1"}, "network"),
        ({"cut": -1}, "network"),
        ({"status": 400}, "bad-reply"),
        ({"status": 401}, "key-rejected"),
        ({"status": 402}, "quota-exceeded"),
        ({"status": 404, "body": {"error": {"code": "model_not_found"}}}, "model-not-found"),
        ({"status": 413}, "too-large"),
    ],
    ids=str,
)
async def test_failure(talk: Talk, fault: dict[str, Any], kind: str) -> None:
    """Whatever goes wrong is one line of the right kind with a remedy; it is asked once; the next works."""
    await talk.provider.fault("chat", times=1, **fault)
    text = unique("hello")
    with pytest.raises(RpcError) as failed:
        await talk.send(text)
    assert (failed.value.code, failed.value.kind) == (FAILED, kind)
    assert "\n" not in failed.value.message
    assert failed.value.data["remedy"]
    assert await talk.times_asked(text) == 1
    assert (await talk.send(unique("hello")))["stopReason"] == "end_turn"


# --- retries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 1])
async def test_retry_after(talk: Talk, seconds: int) -> None:
    """A 429 is waited out as long as Retry-After says, shown in the progress, and asked again."""
    headers = {"Retry-After": str(seconds)}
    await talk.provider.fault("chat", status=429, headers=headers, times=1)
    text, progress = unique("hello"), unique("progress")
    result = await talk.send(text, workDoneToken=progress)
    assert result["stopReason"] == "end_turn"
    first, second = [e["time"] for e in await talk.provider.log("chat") if said(e)[-1][1] == text]
    assert seconds <= second - first < seconds + 2
    reports = [v["message"] for v in talk.client.progress(progress) if v["kind"] == "report"]
    assert reports == [f"rate-limited: trying again in {seconds} s"]


async def test_retry_of_a_provider_in_trouble(talk: Talk) -> None:
    """Two answers of 500 are retried; the third answer counts, and nobody notices."""
    await talk.provider.fault("chat", status=500, times=2)
    text, token = unique("hello"), unique("stream")
    result = await talk.send(text, partialResultToken=token)
    assert result["stopReason"] == "end_turn"
    assert talk.streamed(token).text
    assert await talk.times_asked(text) == 3


async def test_retries_end(talk: Talk) -> None:
    """After two retries the provider is down."""
    await talk.provider.fault("chat", status=503)
    text = unique("hello")
    with pytest.raises(RpcError) as failed:
        await talk.send(text)
    assert (failed.value.kind, failed.value.data["retryable"]) == ("provider-down", True)
    assert await talk.times_asked(text) == 3


async def test_retries_of_a_limited_rate_end(talk: Talk) -> None:
    """After two retries the pause is the user's to make; each kind of failure has its own two."""
    await talk.provider.fault("chat", status=429, headers={"Retry-After": "0"})
    await talk.provider.fault("chat", status=500, times=1)
    text = unique("hello")
    with pytest.raises(RpcError) as failed:
        await talk.send(text)
    assert failed.value.kind == "rate-limited"
    assert await talk.times_asked(text) == 4


async def test_retry_after_too_long(talk: Talk) -> None:
    """A pause longer than the setting allows is told, not waited for."""
    await talk.provider.fault("chat", status=429, headers={"Retry-After": "61"}, times=1)
    text = unique("hello")
    with pytest.raises(RpcError, match="61 s") as failed:
        await talk.send(text)
    assert failed.value.kind == "rate-limited"
    assert await talk.times_asked(text) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"cut": 3}, "stream-truncated"),
        ({"cut": 3, "cut_cleanly": True}, "stream-truncated"),
        ({"error_event": 3}, "provider-down"),
        ({"bad_json": 3}, "bad-reply"),
    ],
    ids=["reset", "closed", "error event", "bad JSON"],
)
async def test_no_retry_after_the_first_token(talk: Talk, fault: dict[str, Any], kind: str) -> None:
    """What fails in mid-stream is never asked again; what came is kept, and sent with the next message."""
    await talk.provider.configure(tokens=9, token_interval=0.005)
    await talk.provider.fault("chat", times=1, **fault)
    conversation_id, text, token = await talk.new(), unique("count"), unique("stream")
    with pytest.raises(RpcError) as failed:
        await talk.send(text, conversationId=conversation_id, partialResultToken=token)
    streamed = talk.streamed(token)
    assert failed.value.kind == streamed.end["error"]["kind"] == kind
    assert streamed.text == numbers(3)
    turn = failed.value.data["turn"]
    assert (turn["conversationId"], "text" in turn) == (conversation_id, False)  # it was streamed
    assert await talk.times_asked(text) == 1
    assert await talk.history(conversation_id) == [("user", text), ("assistant", numbers(3))]


@pytest.mark.parametrize("twin", [True, False], ids=["request", "command"])
async def test_what_came_before_a_failure(talk: Talk, twin: bool) -> None:  # noqa: FBT001 - a parameter
    """Where nothing streams, the error has the text that came, and the conversation that goes on."""
    await talk.provider.configure(tokens=9, reasoning="well")
    await talk.provider.fault("chat", times=1, cut=3)
    text = unique("count")
    with pytest.raises(RpcError) as failed:
        await (talk.send(text) if twin else talk.start(text, wait=True))
    turn = failed.value.data["turn"]
    assert (turn["text"], turn["reasoning"], "stopReason" in turn) == (numbers(3), "well", False)
    await talk.provider.configure(reasoning=None)
    assert await talk.history(turn["conversationId"]) == [("user", text), ("assistant", numbers(3))]


async def test_failure_before_anything_came(talk: Talk) -> None:
    """Then there is no turn to tell of."""
    await talk.provider.fault("chat", status=400)
    with pytest.raises(RpcError) as failed:
        await talk.send(unique("hello"))
    assert "turn" not in failed.value.data


# --- how failures and progress are told ---------------------------------------------------------------------


def shown(talk: Talk) -> list[dict[str, Any]]:
    """The messages shown so far."""
    return [n["params"] for n in talk.client.notifications if n["method"] == "window/showMessage"]


async def test_failure_of_a_command_that_streams(talk: Talk) -> None:
    """The last value to the token holds the error, with its text, and nothing else tells it."""
    await talk.provider.fault("chat", status=400)
    token, before = unique("stream"), shown(talk)
    begun = await talk.start(unique("hello"), partialResultToken=token)
    end = (await talk.ended(token)).end
    assert (end["turnId"], end["error"]["kind"]) == (begun["turnId"], "bad-reply")
    assert end["error"]["message"]
    assert "stopReason" not in end
    assert shown(talk) == before


async def test_failure_that_nothing_waits_for(talk: Talk) -> None:
    """Where there is neither a token nor a request that waits, the failure is shown as a message."""
    await talk.provider.fault("chat", status=402)
    before = len(shown(talk))
    await talk.start(unique("hello"))
    await talk.client.until(lambda: len(shown(talk)) > before)
    (message,) = shown(talk)[before:]
    assert message["type"] == ERROR
    assert "quota" in message["message"]


async def test_failure_that_is_waited_for(talk: Talk) -> None:
    """A failure that is answered is not shown as well."""
    await talk.provider.fault("chat", status=402)
    before = shown(talk)
    with pytest.raises(RpcError, match="quota"):
        await talk.start(unique("hello"), wait=True)
    with pytest.raises(RpcError, match="quota"):
        await talk.send(unique("hello"))
    await talk.client.command("qwen.auth.status", uri=talk.keyed)
    assert shown(talk) == before


async def begin_and_end(talk: Talk, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first and the last value of a progress, each of which came once, after it has ended."""
    await talk.client.notified("$/progress", lambda p: p["token"] == token and p["value"]["kind"] == "end")
    values = talk.client.progress(token)
    kinds = [value["kind"] for value in values]
    assert (kinds.count("begin"), kinds.count("end")) == (1, 1)
    assert (kinds[0], kinds[-1]) == ("begin", "end")
    return values[0], values[-1]


@pytest.mark.parametrize("place", ["twin", "argument", "request"])
async def test_progress_on_the_clients_token(talk: Talk, place: str) -> None:
    """A work-done token is used wherever it was given; the progress begins and ends once."""
    token, params = unique("progress"), talk.params(unique("hello"))
    if place == "twin":
        await talk.client.request(TWIN, {**params, "workDoneToken": token})
    elif place == "argument":
        await talk.client.command(COMMAND, **params, workDoneToken=token)
    else:
        arguments = {"command": COMMAND, "arguments": [params], "workDoneToken": token}
        await talk.client.request("workspace/executeCommand", arguments)
    begin, end = await begin_and_end(talk, token)
    assert begin["cancellable"] is True
    assert end["stopReason"] == "end_turn"
    assert not [a for a in talk.client.asked if a["params"].get("token") == token]


async def test_progress_on_a_token_of_the_server(talk: Talk) -> None:
    """Without a token the server creates one where the client shows progress."""
    created: list[str] = []
    talk.client.on("window/workDoneProgress/create", lambda params: created.append(params["token"]))
    await talk.provider.configure(tokens=20, token_interval=0.01)
    result = await talk.send(unique("count"))
    assert len(created) == 1
    _, end = await begin_and_end(talk, created[0])
    assert end["turnId"] == result["turnId"]


async def test_what_came_before_the_progress_is_told_with_it(talk: Talk) -> None:
    """The server's own progress is made a while later; what it waits for is said nevertheless."""
    await talk.send(unique("hello"))  # the first one loads what it needs, which takes longer than the while
    created: list[str] = []
    talk.client.on("window/workDoneProgress/create", lambda params: created.append(params["token"]))
    await talk.provider.fault("chat", status=429, headers={"Retry-After": "1"}, times=1)
    await talk.send(unique("hello"))
    (token,) = created
    await begin_and_end(talk, token)
    reports = [v["message"] for v in talk.client.progress(token) if v["kind"] == "report"]
    assert reports == ["rate-limited: trying again in 1 s"]


async def test_progress_of_a_failure(talk: Talk) -> None:
    """A progress ends once after a failure as well, and says what it was."""
    await talk.provider.fault("chat", status=402)
    token = unique("progress")
    with pytest.raises(RpcError, match="quota") as failed:
        await talk.send(unique("hello"), workDoneToken=token)
    _, end = await begin_and_end(talk, token)
    assert end["message"] == failed.value.message
    assert end["error"]["kind"] == "quota-exceeded"


# --- signed out ---------------------------------------------------------------------------------------------


async def test_signed_out_and_dismissed(talk: Talk) -> None:
    """Signed out, the ways in are offered; a dismissed offer leaves the message unanswered."""
    offered: list[Any] = []
    talk.client.on("window/showMessageRequest", offered.append)
    text = unique("hello")
    with pytest.raises(RpcError) as failed:
        await talk.send(text, uri=talk.empty)
    assert (failed.value.code, failed.value.kind) == (FAILED, "signed-out")
    (question,) = offered
    assert "Sign in with Qwen" in [action["title"] for action in question["actions"]]
    assert await talk.times_asked(text) == 0


@pytest.mark.parametrize(
    "answer", [42, [], "Sign in with Qwen", {"title": 7}, {"title": "Sign out"}], ids=repr
)
async def test_offer_answered_oddly(talk: Talk, answer: Any) -> None:
    """An answer that is none of those offered counts as a dismissal."""
    talk.client.on("window/showMessageRequest", lambda _: answer)
    with pytest.raises(RpcError) as failed:
        await talk.send(unique("hello"), uri=talk.empty)
    assert failed.value.kind == "signed-out"


async def test_stop_while_the_offer_stands(talk: Talk) -> None:
    """A stop takes back the question too."""
    asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ponder(_: Any) -> None:
        asked.set_result(None)
        await never

    talk.client.on("window/showMessageRequest", ponder)
    token = unique("stream")
    begun = await talk.start(unique("hello"), uri=talk.empty, partialResultToken=token)
    await asyncio.wait_for(asked, 5)
    assert await talk.client.command("qwen.chat.cancel", turnId=begun["turnId"]) == {"cancelled": True}
    assert (await talk.ended(token)).end["stopReason"] == "cancelled"
    question = next(a["id"] for a in reversed(talk.client.asked) if a["method"].startswith("window/showMess"))
    await talk.client.notified("$/cancelRequest", lambda params: params["id"] == question)


async def test_signed_out_and_signed_in(talk: Talk) -> None:
    """Once signed in, by way of the offer, the same message is answered with the new credential."""
    talk.client.on("window/showMessageRequest", lambda _: {"title": "Sign in with Qwen"})
    talk.client.on("window/showDocument", lambda _: {"success": True})
    text, token = unique("hello"), unique("stream")
    _, reply = talk.client.begin(TWIN, talk.params(text, uri=talk.empty, partialResultToken=token))
    code = await talk.client.notified("qwen/auth/deviceCode")
    await talk.provider.approve(code["userCode"])
    result = (await asyncio.wait_for(reply, 20))["result"]
    await talk.client.command("qwen.auth.logout", uri=talk.empty, method="qwen-oauth")
    assert result["stopReason"] == "end_turn"
    assert talk.streamed(token).text
    assert (await talk.asked(text))["credential"] == "oauth"
    assert await talk.times_asked(text) == 1
