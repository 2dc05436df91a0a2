"""Over stdio: a secret that the server has loaded does not leave in a message unless the user says so."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from lsp.handing_over import set_key
from scene import QWEN, chat
from sweep import sweep
from wire import NEVER, RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene
    from wire import Client

ASK = "window/showMessageRequest"
SEND, DO_NOT = {"title": "Send anyway"}, {"title": "Do not send"}
KEY = canary("test_outgoing: the key in force")


def questions(client: Client) -> list[str]:
    """What the user has been asked."""
    return [message["params"]["message"] for message in client.asked if message["method"] == ASK]


def sent(scene: Scene) -> list[str]:
    """The last message of each request."""
    return [e["json"]["messages"][-1]["content"] for e in scene.requests("chat") if e["json"]]


async def refused(client: Client, text: str, **more: Any) -> RpcError:
    """Why a message is not sent."""
    with pytest.raises(RpcError) as failed:
        await chat(client, text, **more)
    return failed.value


def start_folder(scene: Scene) -> Path:
    """A folder with a key of its own."""
    scene.provider.configure(keys=[KEY], reply="An answer.")
    return scene.folder("ws", scene.pair(KEY))


@pytest.mark.parametrize("answer", [DO_NOT, None, {}, "no such method", "never"])
async def test_no_yes_means_no_request(scene: Scene, answer: Any) -> None:
    """No, a dismissed question, a client that cannot ask: nothing is sent, and no secret is said again."""
    client = await scene.start(start_folder(scene))
    if answer == "never":
        client.on(ASK, lambda _: NEVER)
    elif answer != "no such method":
        client.on(ASK, lambda _: answer)
    if answer == "never":
        begun = await client.command("qwen.chat.send", text=f"my key is {KEY}")
        await client.until(lambda: questions(client))
        assert await client.command("qwen.chat.cancel", turnId=begun["turnId"]) == {"cancelled": True}
    else:
        error = await refused(client, f"my key is {KEY}")
        assert error.kind == "untrusted-origin"
        assert f"…{KEY[-4:]} (OPENAI_API_KEY at {scene.root}/ws/.env:1)" in error.message
        assert error.data["remedy"].startswith("Take it out and send again")
    assert scene.requests("chat") == []
    (question,) = questions(client)
    assert f"…{KEY[-4:]} (OPENAI_API_KEY at {scene.root}/ws/.env:1)" in question
    assert question.endswith(f"would go to {scene.provider.base_url}/v1")
    assert sweep({"stdout": bytes(client.stdout), "stderr": bytes(client.stderr)}, {KEY: "key"}) == []


async def test_a_yes_is_for_this_secret_in_this_conversation(scene: Scene) -> None:
    """The message goes out as it is, the conversation goes on unasked, and any other one is asked about."""
    client = await scene.start(start_folder(scene), env={"DASHSCOPE_API_KEY": (other := canary("another"))})
    client.on(ASK, lambda _: SEND)
    conversation = (await chat(client, f"my key is {KEY}"))["conversationId"]
    await chat(client, "go on", conversationId=conversation)
    await chat(client, f"again {KEY}", conversationId=conversation)
    assert sent(scene) == [f"my key is {KEY}", "go on", f"again {KEY}"]
    assert len(questions(client)) == 1
    await chat(client, f"and {other}", conversationId=conversation)
    assert len(questions(client)) == 2
    assert f"…{other[-4:]} (environment variable DASHSCOPE_API_KEY)" in questions(client)[1]
    assert KEY[-4:] not in questions(client)[1]
    await chat(client, f"my key is {KEY}")
    assert len(questions(client)) == 3


async def test_every_message_of_a_conversation_is_looked_at(scene: Scene) -> None:
    """A conversation held by the client is searched whole, whoever said it, and is one question."""
    client = await scene.start(start_folder(scene), env={"DASHSCOPE_API_KEY": (other := canary("another"))})
    client.on(ASK, lambda _: SEND)
    messages = [
        {"role": "system", "content": f"use {other}"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": f"your key is {KEY}"},
        {"role": "user", "content": "go on"},
    ]
    conversation = (await client.command("qwen.chat.send", messages=messages, wait=True))["conversationId"]
    (question,) = questions(client)
    assert KEY[-4:] in question
    assert other[-4:] in question
    more = [*messages, {"role": "assistant", "content": "x"}, {"role": "user", "content": "on"}]
    await client.command("qwen.chat.send", messages=more, conversationId=conversation, wait=True)
    assert len(questions(client)) == 1


async def test_a_secret_in_a_file_is_found_too(scene: Scene) -> None:
    """What goes along with a message is part of it."""
    folder = start_folder(scene)
    (folder / "notes.md").write_text(f"the key: {KEY}\n", encoding="utf-8")
    client = await scene.start(folder)
    client.on(ASK, lambda _: DO_NOT)
    assert (await refused(client, "see @file:notes.md")).kind == "untrusted-origin"
    selection = {"uri": "untitled:x", "startLine": 0, "endLine": 1, "text": f"key = {KEY}"}
    assert (await refused(client, "see", context={"selection": selection})).kind == "untrusted-origin"
    assert scene.requests("chat") == []


@pytest.mark.parametrize(
    "place",
    [
        "process",
        "home",
        "Qwen Code's settings",
        "access token",
        "refresh token",
        "stored key",
        "proxy",
        "proxy of the settings",
        "proxy as it is written",
        "another folder's file",
        "a stored key that another one outranks",
    ],
)
async def test_wherever_a_secret_was_loaded_from(scene: Scene, place: str) -> None:
    """Also one that signs nothing here is no business of the provider's."""
    folder = start_folder(scene)
    secret = canary(f"test_outgoing: {place}")
    env: dict[str, str] = {}
    (scene.home / ".qwen").mkdir(parents=True, exist_ok=True)
    if place == "process":
        env = {"MODELSCOPE_API_KEY": secret}
    elif place == "home":
        (scene.home / ".qwen" / ".env").write_text(f"OPENROUTER_API_KEY={secret}\n", encoding="utf-8")
    elif place == "Qwen Code's settings":
        fields = {"security": {"auth": {"apiKey": secret}}}
        (scene.home / ".qwen" / "settings.json").write_text(json.dumps(fields), encoding="utf-8")
    elif place.endswith("token"):
        secret = scene.write_cache()[place.replace(" ", "_")]
    elif place == "proxy":
        env = {"HTTPS_PROXY": f"http://me:{secret}@127.0.0.1:9"}
    elif place == "proxy of the settings":
        scene.settings(proxy=f"http://me:{secret}@127.0.0.1:9")
    elif place == "proxy as it is written":
        secret += "%40home!"  # to be decoded; and encoded anew, the last character would not be itself
        env = {"HTTPS_PROXY": f"http://me:{secret}@127.0.0.1:9"}
    other = scene.folder("other", scene.pair(secret) if place == "another folder's file" else None)
    client = await scene.start(folder, other, env=env)
    await client.command("qwen.auth.status", uri=other.as_uri())
    if "stored key" in place:
        newer = canary("test_outgoing: a newer stored key")
        scene.provider.configure(keys=[KEY, secret, newer])
        stored = {"baseUrl": f"{scene.provider.base_url}/v1", "target": "user"}
        await set_key(client, secret, provider="openai", **stored)
        if place != "stored key":
            await set_key(client, newer, provider="deepseek", **stored)
    client.on(ASK, lambda _: DO_NOT)
    error = await refused(client, f"this: {secret}", uri=folder.as_uri())
    assert error.kind == "untrusted-origin"
    assert f"…{secret[-4:]}" in error.message
    assert [text for text in sent(scene) if secret in text] == []
    await chat(client, f"this: {secret[:-1]}", uri=folder.as_uri())
    assert len(questions(client)) == 1


async def test_a_short_key_is_a_word(scene: Scene) -> None:
    """Below twelve characters nothing is looked for."""
    scene.provider.configure(keys=["hello-world"])
    client = await scene.start(scene.folder("ws", scene.pair("hello-world")))
    await chat(client, "print hello-world")
    assert (sent(scene), questions(client)) == (["print hello-world"], [])


async def test_questions_of_two_messages_stand_side_by_side(scene: Scene) -> None:
    """Each message waits for its own answer, and the server goes on meanwhile."""
    client = await scene.start(start_folder(scene))
    loop = asyncio.get_running_loop()
    answers: list[asyncio.Future[Any]] = [loop.create_future(), loop.create_future()]
    waiting = iter(answers)

    async def ask(_: Any) -> Any:
        return await next(waiting)

    client.on(ASK, ask)
    first = asyncio.ensure_future(chat(client, f"first {KEY}"))
    second = asyncio.ensure_future(chat(client, f"second {KEY}"))
    await client.until(lambda: len(questions(client)) == 2)
    assert (await client.command("qwen.auth.status"))["signedIn"]
    texts = [m["params"]["message"] for m in client.asked if m["method"] == ASK]
    assert len(texts) == 2
    answers[0].set_result(SEND)
    answers[1].set_result(DO_NOT)
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert sorted(isinstance(result, RpcError) for result in results) == [False, True]
    assert len(scene.requests("chat")) == 1


async def test_signed_out_it_is_asked_before_anybody_signs_in(scene: Scene) -> None:
    """A token that was refused to be sent is not sent after the sign-in that the message offers either."""
    scene.provider.configure(auto_approve=True, reply="An answer.")
    secret = canary("test_outgoing: signed out")
    folder = scene.folder("ws")
    client = await scene.start(folder, env={"DASHSCOPE_API_KEY": secret})
    await client.command("qwen.auth.switch", method=QWEN)
    client.on(ASK, lambda params: DO_NOT if DO_NOT in params["actions"] else {"title": "Sign in with Qwen"})
    error = await refused(client, f"this: {secret}")
    assert error.kind == "untrusted-origin"
    assert [text for text in sent(scene) if secret in text] == []
