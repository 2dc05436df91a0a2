from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from qwen_ls.demo.provider import Provider

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Größe?  What is\nit"}]


async def stream(client: httpx.AsyncClient, **body: Any) -> list[Any]:
    """Stream an answer; its chunks without [DONE]."""
    answer = await client.post(CHAT, json={"messages": HELLO, "stream": True} | body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *lines, last = [line for line in answer.text.split("\n") if line]
    assert last == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def text_of(chunks: list[Any], field: str = "content") -> str:
    """Join one field of all deltas."""
    return "".join(chunk["choices"][0]["delta"].get(field, "") for chunk in chunks if chunk["choices"])


async def test_the_stream_and_the_whole_answer_are_the_same(client: httpx.AsyncClient) -> None:
    """Both say the same text, which names the model, the message and its number."""
    whole = (await client.post(CHAT, json={"model": "m", "messages": HELLO})).json()
    text = whole["choices"][0]["message"]["content"]
    assert "the model m:" in text
    assert "“Größe? What is it”" in text
    assert "message 1 from you" in text
    assert 40 <= whole["usage"]["completion_tokens"] <= 80

    chunks = await stream(client, model="m", stream_options={"include_usage": True})
    assert text_of(chunks) == text
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert {chunk["model"] for chunk in chunks} == {"m"}


async def test_the_conversation_is_counted(client: httpx.AsyncClient) -> None:
    """The answer shows how many messages of the user came, in either form of content."""
    parts = {"role": "user", "content": [{"type": "text", "text": "second"}]}
    messages = [*HELLO, {"role": "assistant", "content": "yes"}, parts]
    text = text_of(await stream(client, messages=messages))
    assert "message 2 from you" in text
    assert "“second”" in text


async def test_no_usage_unless_asked(client: httpx.AsyncClient) -> None:
    """Without include_usage the last chunk is the one with the finish reason."""
    assert (await stream(client))[-1]["choices"][0]["finish_reason"] == "stop"


async def test_max_tokens(client: httpx.AsyncClient) -> None:
    """An answer cut by max_tokens has so many tokens and ends for `length`."""
    body = {"messages": HELLO, "max_tokens": 1}
    whole = (await client.post(CHAT, json=body)).json()
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["completion_tokens"] == 1
    assert (await stream(client, max_completion_tokens=3))[-1]["choices"][0]["finish_reason"] == "length"


async def test_what_is_said_can_be_told(provider: Provider, client: httpx.AsyncClient) -> None:
    """Text, length, reasoning and the model that is said to have served come from the settings."""
    provider.configure(tokens=5000, reasoning="I think so.", served_model="another")
    chunks = await stream(client, model="m")
    assert text_of(chunks).split() == [str(number) for number in range(1, 5001)]
    assert text_of(chunks, "reasoning_content") == "I think so."
    assert chunks[0]["model"] == "another"
    provider.configure(tokens=None, reply="  kept as\nit is\n")
    assert text_of(await stream(client)) == "  kept as\nit is\n"


@pytest.mark.parametrize("authorization", ["", "Bearer sk-wrong", "Basic Zm9v"])
async def test_a_wrong_key_is_refused(client: httpx.AsyncClient, authorization: str) -> None:
    """Without a good key both routes answer 401 in OpenAI's form and never repeat what was sent."""
    headers = {"authorization": authorization}
    for answer in (
        await client.get("/v1/models", headers=headers),
        await client.post(CHAT, json={"messages": HELLO}, headers=headers),
    ):
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert "sk-wrong" not in answer.text


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": "hi"}, {"messages": ["hi"]}, [], None])
async def test_messages_are_wanted(client: httpx.AsyncClient, body: Any) -> None:
    """A request without usable messages is a 400."""
    answer = await client.post(CHAT, json=body)
    assert answer.status_code == 400
    assert "messages" in answer.json()["error"]["message"]


async def test_models(provider: Provider, client: httpx.AsyncClient) -> None:
    """The list names the models; when strict, any other is not found."""
    provider.configure(models=["only-this"], strict=True)
    listed = (await client.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["only-this"]
    answer = await client.post(CHAT, json={"model": "other", "messages": HELLO})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert (await client.post(CHAT, json={"model": "only-this", "messages": HELLO})).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", CHAT), ("POST", "/control/log")])
async def test_anything_else_is_not_found(client: httpx.AsyncClient, method: str, path: str) -> None:
    """What there is not is a 404 in JSON, the control routes included when they were not asked for."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
