"""Slash commands over stdio: each is run and answered, and no model sees any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from lsp.test_context import in_document
from scene import chat
from wire import NEVER, RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene
    from wire import Client

ASK = "window/showMessageRequest"
KEY = canary("test_slash: the key")
CLEARED = "The conversation begins anew: nothing above is sent any more."


@pytest.fixture
def folder(scene: Scene) -> Path:
    """A folder with a key, at a provider of three models."""
    scene.provider.configure(keys=[KEY], reply="An answer.", models=["one-model", "coder-model", "m3"])
    return scene.folder("ws", scene.pair(KEY, model="coder-model"))


def sent(scene: Scene) -> list[list[str]]:
    """The contents of the messages of each request."""
    return [[m["content"] for m in e["json"]["messages"]] for e in scene.requests("chat") if e["json"]]


async def reply(client: Client, text: str, **more: Any) -> str:
    """What a command answers; nothing is streamed elsewhere, and the turn ends as any other."""
    result = await chat(client, text, **more)
    assert result["stopReason"] == "end_turn"
    assert "usage" not in result
    found: str = result["text"]
    return found


async def test_help_and_a_mistyped_command(scene: Scene, folder: Path) -> None:
    """Both name every command, and nothing is sent."""
    client = await scene.start(folder)
    for text in ("/help", "/halp"):
        answer = await reply(client, text)
        assert all(f"`/{name}" in answer for name in ("auth", "model", "status", "clear", "help"))
    assert (await reply(client, "/halp")).startswith("There is no command /halp.")
    assert scene.provider.log == []


async def test_what_is_no_command_is_sent(scene: Scene, folder: Path) -> None:
    """A message that only begins like one goes to the model."""
    client = await scene.start(folder)
    for text in ("/usr/bin is what?", "/help me", "what does /help do?"):
        assert await reply_of_model(client, text) == "An answer."
    assert [messages[-1] for messages in sent(scene)] == [
        "/usr/bin is what?",
        "/help me",
        "what does /help do?",
    ]


async def reply_of_model(client: Client, text: str) -> str:
    """What the provider answers."""
    found: str = (await chat(client, text))["text"]
    return found


async def test_status(scene: Scene, folder: Path) -> None:
    """The line of the status, the key by its fingerprint, where it goes, what is left, and what is wrong."""
    with (folder / ".env").open("a", encoding="utf-8") as file:
        file.write('OPENAI_API_KEY=\n"broken\n')
    (folder / ".env").write_text(scene.pair(KEY) + "broken line\n", encoding="utf-8")
    client = await scene.start(folder)
    scene.provider.fault("chat", headers={"x-ratelimit-remaining-requests": "7 [x](http://x)"})
    await chat(client, "hello")
    answer = await reply(client, "/status")
    status = await client.command("qwen.auth.status")
    lines = answer.splitlines()
    assert lines[0] == status["message"]
    assert f"- key: {status['fingerprint']}" in lines
    assert f"- base URL: {scene.provider.base_url}/v1" in lines
    assert "- `x-ratelimit-remaining-requests: 7 [x](http://x)`" in lines
    assert any(line.startswith(f"- {folder}/.env:4: ") for line in lines)
    assert KEY not in answer


async def test_status_when_signed_out(scene: Scene) -> None:
    """It says so, as an answer and not as a failure."""
    client = await scene.start(scene.folder())
    assert (await reply(client, "/status")).startswith("Signed out")


async def test_auth_by_name(scene: Scene, folder: Path) -> None:
    """The folder's method is another one from now on, and stays it after a restart."""
    client = await scene.start(folder)
    answer = await reply(client, "/auth qwen-oauth")
    assert answer.startswith("Switched to qwen-oauth. Signed out of qwen-oauth")
    status = await client.command("qwen.auth.status")
    assert (status["method"], status["chosenBy"]) == ("qwen-oauth", "folder")
    assert (await reply(await scene.start(folder), "/auth api-key")).startswith("Switched to api-key: ")
    told = await client.notified("qwen/didChangeStatus", lambda s: s["method"] == "qwen-oauth")
    assert told["chosenBy"] == "folder"


async def test_auth_by_the_picker(scene: Scene, folder: Path) -> None:
    """Without a name the user is asked, as by `qwen.auth.switch`."""
    client = await scene.start(folder)
    client.on(ASK, lambda params: next(a for a in params["actions"] if a["title"] == "Qwen account"))
    assert (await reply(client, "/auth")).startswith("Switched to qwen-oauth.")
    (question,) = [m["params"] for m in client.asked if m["method"] == ASK]
    assert [a["title"] for a in question["actions"]] == ["Qwen account", "API key (now)", "Cancel"]


async def test_auth_of_nothing_there_is(scene: Scene, folder: Path) -> None:
    """An unknown method and a dismissed question are failures that say what to do; nothing has changed."""
    client = await scene.start(folder)
    client.on(ASK, lambda _: None)
    for text, kind in (("/auth nothing", "not-supported"), ("/auth", "login-cancelled")):
        with pytest.raises(RpcError) as failed:
            await chat(client, text)
        assert failed.value.kind == kind
        assert "api-key" in failed.value.data["remedy"]
    assert (await client.command("qwen.auth.status"))["chosenBy"] == "inferred"


async def test_a_key_in_the_place_of_a_method_is_not_said_again(scene: Scene, folder: Path) -> None:
    """Whoever mistakes the command for a place to enter a key has not given it away."""
    client = await scene.start(folder)
    secret = canary("test_slash: typed")
    with pytest.raises(RpcError):
        await chat(client, f"/auth {secret}")
    assert secret.encode() not in client.stdout
    assert secret.encode() not in client.stderr
    assert scene.requests("chat") == []


async def test_model(scene: Scene, folder: Path) -> None:
    """The models are listed with the one in force, and one is chosen by its name."""
    client = await scene.start(folder)
    answer = await reply(client, "/model")
    assert answer.splitlines()[2:] == ["- `one-model`", "- `coder-model` (now)", "- `m3`"]
    assert scene.provider.base_url in answer
    assert "m3" in await reply(client, "/model m3")
    await chat(client, "hello")
    (entry,) = scene.requests("chat")
    assert entry["json"] is not None
    assert entry["json"]["model"] == "m3"


async def test_model_in_a_document_that_names_its_own(scene: Scene, folder: Path) -> None:
    """The front matter's comes first, and the answers say so: it is what the next message asks for."""
    client = await scene.start(folder)
    path = folder / "own.qwen.md"
    text = await in_document(client, path, "---\nmodel: m3\n---\n\n### user\n\n/model\n")
    assert "- `m3` (now)\n" in text
    assert text.count("(now)") == 1
    text = await in_document(client, path, f"{text}/model one-model\n")
    assert "Requests ask for one-model" in text
    assert "This chat asks for m3 all the same" in text
    await in_document(client, path, f"{text}hello\n")
    (entry,) = scene.requests("chat")
    assert entry["json"] is not None
    assert entry["json"]["model"] == "m3"
    assert "all the same" not in await reply(client, "/model one-model")


async def test_many_models(scene: Scene, folder: Path) -> None:
    """No more than fifty are listed; the rest is counted."""
    scene.provider.configure(models=[f"model-{number}" for number in range(60)])
    client = await scene.start(folder)
    lines = (await reply(client, "/model")).splitlines()
    assert lines[-2:] == ["- `model-49`", "- and 10 more"]


async def test_commands_are_no_part_of_the_conversation(scene: Scene, folder: Path) -> None:
    """Neither they nor their replies are sent with the next message."""
    client = await scene.start(folder)
    conversation = (await chat(client, "/status"))["conversationId"]
    await chat(client, "hello", conversationId=conversation)
    await chat(client, "/help", conversationId=conversation)
    await chat(client, "again", conversationId=conversation)
    assert sent(scene) == [["hello"], ["hello", "An answer.", "again"]]


async def test_clear(scene: Scene, folder: Path) -> None:
    """The conversation goes on under its name, and what its system message asks for alone is sent again."""
    client = await scene.start(folder)
    begun = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    result = await client.command("qwen.chat.send", messages=begun, wait=True)
    conversation = result["conversationId"]
    assert await reply(client, " /clear\n", conversationId=conversation) == CLEARED
    await chat(client, "again", conversationId=conversation)
    assert sent(scene) == [["be brief", "hello"], ["be brief", "again"]]


async def test_a_conversation_held_by_the_client(scene: Scene, folder: Path) -> None:
    """Its last message may be a command; earlier ones, and what a /clear has cleared, are left out."""
    client = await scene.start(folder)
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "before"},
        {"role": "user", "content": "/clear"},
        {"role": "assistant", "content": CLEARED},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "An answer."},
        {"role": "user", "content": "/help"},
    ]
    result = await client.command("qwen.chat.send", messages=messages, wait=True)
    assert "`/status`" in result["text"]
    more = [{"role": "assistant", "content": result["text"]}, {"role": "user", "content": "again"}]
    await client.command("qwen.chat.send", messages=[*messages, *more], wait=True)
    assert sent(scene) == [["be brief", "hello", "An answer.", "again"]]


async def test_the_reply_is_one_delta(scene: Scene, folder: Path) -> None:
    """It streams as an answer does: one delta, then the end."""
    client = await scene.start(folder)
    result = await chat(client, "/clear", partialResultToken="there")
    values = client.progress("there")
    assert [value["kind"] for value in values] == ["delta", "end"]
    assert (values[0]["text"], values[1]["stopReason"]) == (CLEARED, "end_turn")
    assert "text" not in result


async def test_a_command_that_waits_for_the_user_can_be_stopped(scene: Scene, folder: Path) -> None:
    """The command answers at once, the conversation is busy meanwhile, and a stop ends the wait."""
    client = await scene.start(folder)
    client.on(ASK, lambda _: NEVER)
    begun = await client.command("qwen.chat.send", text="/auth", partialResultToken="there")
    await client.until(lambda: [m for m in client.asked if m["method"] == ASK])
    with pytest.raises(RpcError, match="under way"):
        await chat(client, "hello", conversationId=begun["conversationId"])
    assert await client.command("qwen.chat.cancel", turnId=begun["turnId"]) == {"cancelled": True}
    end = await client.notified("$/progress", lambda p: p["token"] == "there")
    assert (end["value"]["kind"], end["value"]["stopReason"]) == ("end", "cancelled")
    assert (await chat(client, "hello", conversationId=begun["conversationId"]))["text"] == "An answer."


async def test_each_folder_for_itself(scene: Scene, folder: Path) -> None:
    """What a command changes is the folder's that it was sent for."""
    other = scene.folder("other", scene.pair(KEY))
    client = await scene.start(folder, other)
    await reply(client, "/auth qwen-oauth", uri=other.as_uri())
    assert (await client.command("qwen.auth.status", uri=folder.as_uri()))["method"] == "api-key"
    assert (await client.command("qwen.auth.status", uri=other.as_uri()))["method"] == "qwen-oauth"
