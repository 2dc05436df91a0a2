"""Consent: what each answer does, whom it is remembered for, and the commands that give one or take it back.

`second` is the server that a project's file names. `elsewhere` is one that is not on loopback by its name:
a proxy of plain http, which the user's settings allow for this origin.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from qwen_ls.demo.provider import Provider
from raw_http import RawServer, answer_of, raw_server
from scene import chat
from sweep import sweep
from terminal.shell import Shell
from wire import RpcError, uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from scene import Scene
    from wire import Client

ASK = "window/showMessageRequest"
KEY, FILE_KEY = canary("test_consent: the user's key"), canary("test_consent: the file's key")
USE_FILE, SEND, NO = "Use the file's key and URL", "Send my key to", "No"
ELSEWHERE = "http://llm.example"


@pytest.fixture
async def second() -> AsyncIterator[Provider]:
    """A provider that would take either key."""
    async with Provider(keys=[KEY, FILE_KEY]) as provider:
        yield provider


@pytest.fixture
async def elsewhere(scene: Scene) -> AsyncIterator[RawServer]:
    """Another host, which answers whoever asks."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    async with raw_server(lambda _: answer_of({"object": "chat.completion", "choices": [choice]})) as raw:
        scene.env["HTTP_PROXY"] = raw.url
        scene.settings(insecureOrigins=[ELSEWHERE])
        yield raw


def questions(client: Client) -> list[str]:
    """What the user has been asked."""
    return [message["params"]["message"] for message in client.asked if message["method"] == ASK]


def answer(client: Client, beginning: str) -> None:
    """From now on the user presses the button whose title begins so."""
    client.on(ASK, lambda params: next(a for a in params["actions"] if a["title"].startswith(beginning)))


def bearers(server: Provider | RawServer) -> set[str]:
    """The keys that a server was shown."""
    found = (
        [got.header("authorization") for got in server.got]
        if isinstance(server, RawServer)
        else [entry["authorization"] for entry in server.log]
    )
    return {bearer.removeprefix("Bearer ") for bearer in found if bearer}


async def refused(client: Client, **more: Any) -> RpcError:
    """The refusal to sign a message."""
    with pytest.raises(RpcError) as failed:
        await chat(client, **more)
    assert failed.value.kind == "untrusted-origin"
    return failed.value


def url_of(server: Provider) -> str:
    """The `.env` lines that lead to a server, without a key."""
    return f"OPENAI_BASE_URL={server.base_url}/v1\nOPENAI_MODEL=m\n"


async def start(scene: Scene, folder: Path, key: str = KEY, **more: Any) -> Client:
    """A server with a key in its environment."""
    return await scene.start(folder, env={"OPENAI_API_KEY": key}, **more)


# --- what each answer does --------------------------------------------------------------------------------


async def test_my_key_may_be_chosen_beside_a_files_pair(scene: Scene, second: Provider) -> None:
    """The exported key signs, now and after a restart, and the file's own key goes nowhere."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=f"{second.base_url}/v1"))
    client = await start(scene, folder)
    answer(client, SEND)
    await chat(client)
    (question,) = questions(client)
    assert f"{folder}/.env" in question
    assert f"127.0.0.1:{second.port}" in question
    restarted = await start(scene, folder)
    await chat(restarted)
    assert (bearers(second), questions(restarted)) == ({KEY}, [])


async def test_an_answer_that_cannot_be_kept_sends_nothing(scene: Scene, second: Provider) -> None:
    """Where the state cannot be written, the message fails with what to do, and no key leaves."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=f"{second.base_url}/v1"))
    blocked = scene.root / "no-folder"
    blocked.write_text("")
    client = await scene.start(folder, env={"OPENAI_API_KEY": KEY, "XDG_STATE_HOME": str(blocked)})
    answer(client, SEND)
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert "XDG_STATE_HOME" in failed.value.message
    assert bearers(second) == set()


async def test_no_means_neither_key(scene: Scene, second: Provider) -> None:
    """Beside a file's own pair too: nothing is sent, not even the file's key, and it stays so."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=f"{second.base_url}/v1"))
    client = await start(scene, folder)
    answer(client, NO)
    for _ in range(2):
        error = await refused(client)
        assert "qwen-ls trust forget" in error.data["remedy"]
    restarted = await start(scene, folder)
    answer(restarted, SEND)
    await refused(restarted)
    assert (len(questions(client)), questions(restarted), second.log) == (1, [], [])


async def test_the_files_pair_is_one_question(scene: Scene, elsewhere: RawServer) -> None:
    """Who chose the file's pair is not asked about its host as well, on this run or the next."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=f"{ELSEWHERE}/v1"))
    client = await start(scene, folder)
    answer(client, USE_FILE)
    await chat(client)
    restarted = await start(scene, folder)
    await chat(restarted)
    assert (len(questions(client)), questions(restarted)) == (1, [])
    assert bearers(elsewhere) == {FILE_KEY}


async def test_my_own_url_needs_no_answer(scene: Scene, second: Provider) -> None:
    """A key exported with its base URL beats the file's pair, name by name, without a question."""
    scene.provider.configure(keys=[KEY])
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=f"{second.base_url}/v1"))
    variables = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{scene.provider.base_url}/v1"}
    client = await scene.start(folder, env=variables)
    await chat(client)
    assert (questions(client), second.log, scene.statuses("chat")) == ([], [], [200])


# --- whom an answer is for --------------------------------------------------------------------------------


async def test_a_no_is_for_this_host_and_no_other(scene: Scene, second: Provider) -> None:
    """Another line of the file asks nothing again; another host does, and the first stays refused."""
    folder = scene.folder("ws", url_of(second))
    client = await start(scene, folder)
    answer(client, NO)
    await refused(client)
    (folder / ".env").write_text("# changed\nQWEN_MODEL=x\n" + url_of(second))
    answer(client, SEND)
    await refused(client)
    assert len(questions(client)) == 1
    async with Provider(keys=[KEY]) as third:
        (folder / ".env").write_text(url_of(third))
        await chat(client)
        assert (len(questions(client)), bearers(third)) == (2, {KEY})
    (folder / ".env").write_text(url_of(second))
    await refused(client)
    assert (len(questions(client)), second.log) == (2, [])


async def test_an_answer_is_for_one_key(scene: Scene, second: Provider) -> None:
    """Another key of the user's asks again; the first one's answer stands."""
    folder, another = scene.folder("ws", url_of(second)), canary("test_consent: another key of the user's")
    client = await start(scene, folder)
    answer(client, SEND)
    await chat(client)
    changed = await start(scene, folder, another)
    answer(changed, NO)
    await refused(changed)
    assert len(questions(changed)) == 1
    await chat(client)
    assert (len(questions(client)), bearers(second)) == (1, {KEY})


async def test_messages_at_once_are_one_question(scene: Scene, second: Provider) -> None:
    """Three messages that wait for the same answer put one question, and all go on with it."""
    client = await start(scene, scene.folder("ws", url_of(second)))
    pressed = asyncio.Event()

    async def press(params: Any) -> Any:
        await pressed.wait()
        return params["actions"][0]

    client.on(ASK, press)
    chats = [asyncio.create_task(chat(client)) for _ in range(3)]
    await client.until(lambda: questions(client))
    for _ in range(3):  # each looks at what the other messages look at, after them
        await client.command("qwen.auth.explain")
    pressed.set()
    await asyncio.gather(*chats)
    assert len(questions(client)) == 1
    assert [entry["route"] for entry in second.log] == ["chat"] * 3


async def test_a_stopped_message_leaves_the_question_to_the_others(scene: Scene, second: Provider) -> None:
    """The question stands as long as one message waits for its answer, and is taken back with the last."""
    client = await start(scene, scene.folder("ws", url_of(second)))
    pressed = asyncio.Event()

    async def press(params: Any) -> Any:
        await pressed.wait()
        return params["actions"][0]

    client.on(ASK, press)
    turns = [await client.command("qwen.chat.send", text="hello") for _ in range(2)]
    await client.until(lambda: questions(client))
    await client.command("qwen.auth.explain")  # by then the second message waits too
    assert (await client.command("qwen.chat.cancel", turnId=turns[0]["turnId"]))["cancelled"]
    (question,) = [m["id"] for m in client.asked if m["method"] == ASK]
    taken_back = {"method": "$/cancelRequest", "params": {"id": question}, "jsonrpc": "2.0"}
    assert taken_back not in client.notifications
    assert (await client.command("qwen.chat.cancel", turnId=turns[1]["turnId"]))["cancelled"]
    await client.notified("$/cancelRequest", lambda p: p["id"] == question)
    pressed.set()
    await chat(client)  # asks anew
    assert (len(questions(client)), len(second.log)) == (2, 1)


# --- answers by command -----------------------------------------------------------------------------------


async def test_where_nobody_can_be_asked_a_command_answers(scene: Scene, second: Provider) -> None:
    """The refusal's remedy names the command; after it the key goes there, and no other folder's does."""
    folder, another = scene.folder("ws", url_of(second)), scene.folder("another", url_of(second))
    client = await scene.start(folder, another, env={"OPENAI_API_KEY": KEY})
    error = await refused(client, uri=uri(folder))
    assert "qwen.trust.allow" in error.data["remedy"]
    allowed = await client.command("qwen.trust.allow", uri=uri(folder))
    assert f"127.0.0.1:{second.port}" in allowed["message"]
    await chat(client, uri=uri(folder))
    await refused(client, uri=uri(another))
    assert bearers(second) == {KEY}


async def test_answers_are_listed_changed_and_forgotten(scene: Scene, second: Provider) -> None:
    """allow, deny and forget take effect with the next message; the list names what was decided, no key."""
    folder = scene.folder("ws", url_of(second))
    client = await start(scene, folder)
    assert (await client.command("qwen.trust.list"))["consents"] == []
    await client.command("qwen.trust.allow")
    (row,) = (await client.command("qwen.trust.list"))["consents"]
    assert (row["folder"], row["file"]) == (str(folder), f"{folder}/.env")
    assert (row["baseUrl"], row["decision"]) == (f"{second.base_url}/v1", "send")
    await chat(client)
    before = len(second.log)
    (row,) = (await client.command("qwen.trust.deny"))["consents"]
    assert row["decision"] == "deny"
    assert "as you decided" in (await refused(client)).message
    assert questions(client) == []

    kept = await client.command("qwen.trust.forget", file=f"{folder}/.qwen/.env")
    assert len(kept["consents"]) == 1
    gone = await client.command("qwen.trust.forget", file=f"{folder}/.env")
    assert gone["consents"] == []
    answer(client, NO)
    await refused(client)
    assert len(questions(client)) == 1
    await client.command("qwen.trust.allow")  # a No is taken back
    await chat(client)
    assert len(second.log) == before + 1
    places = {"stdout": bytes(client.stdout), "state": scene.state.read_bytes()}
    assert sweep(places, {KEY: "the user's key"}) == []


async def test_forgetting_is_for_one_folder(scene: Scene, second: Provider) -> None:
    """The answers about other folders stay."""
    folders = [scene.folder(name, url_of(second)) for name in ("one", "two")]
    client = await scene.start(*folders, env={"OPENAI_API_KEY": KEY})
    for folder in folders:
        await client.command("qwen.trust.allow", uri=uri(folder))
    left = await client.command("qwen.trust.forget", uri=uri(folders[0]))
    assert [row["folder"] for row in left["consents"]] == [str(folders[1])]
    await refused(client, uri=uri(folders[0]))
    await chat(client, uri=uri(folders[1]))


async def test_a_refusal_offers_to_ask_again(scene: Scene, second: Provider) -> None:
    """After a No the next step is a button: its command forgets this answer of this folder, and no other."""
    folders = [scene.folder(name, url_of(second)) for name in ("one", "two")]
    client = await scene.start(*folders, env={"OPENAI_API_KEY": KEY})
    answer(client, NO)
    await refused(client, uri=uri(folders[0]))
    error = await refused(client, uri=uri(folders[1]))
    (again,) = error.data["actions"]
    assert again["title"] == "Ask again"
    left = await client.command(again["command"], **again["argument"])
    assert [row["folder"] for row in left["consents"]] == [str(folders[0])]
    answer(client, SEND)
    await chat(client, uri=uri(folders[1]))
    assert len(questions(client)) == 3
    assert bearers(second) == {KEY}


async def test_there_must_be_something_to_decide(scene: Scene) -> None:
    """Signed out, and with a key that goes where its own source says, no answer is written."""
    client = await scene.start(scene.folder())
    keyed = await scene.start(
        scene.folder("keyed", scene.pair(FILE_KEY)), env={"OPENAI_BASE_URL": f"{scene.provider.base_url}/v1"}
    )
    for command in ("qwen.trust.allow", "qwen.trust.deny"):
        for where, kind in ((client, "signed-out"), (keyed, "not-supported")):
            with pytest.raises(RpcError) as failed:
                await where.command(command)
            assert failed.value.kind == kind
    assert not scene.state.exists()


async def test_an_answer_opens_no_untrusted_workspace(scene: Scene, elsewhere: RawServer) -> None:
    """A yes to a file's own pair cannot be given, and does not count, while the client says untrusted."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=f"{ELSEWHERE}/v1"))
    client = await scene.start(folder, options={"workspaceTrust": "untrusted"})
    with pytest.raises(RpcError) as failed:
        await client.command("qwen.trust.allow")
    assert failed.value.kind == "untrusted-origin"
    client.notify("qwen/didChangeTrust", {"workspaceTrust": "unknown"})
    await client.command("qwen.trust.allow")
    client.notify("qwen/didChangeTrust", {"workspaceTrust": "untrusted"})
    await refused(client)
    assert elsewhere.connections == 0
    client.notify("qwen/didChangeTrust", {"workspaceTrust": "unknown"})
    await chat(client)
    assert (bearers(elsewhere), questions(client)) == ({FILE_KEY}, [])


async def test_a_refused_address_cannot_be_allowed(scene: Scene) -> None:
    """What rule 5 refuses is not a matter of consent."""
    for url in ("http://10.0.0.1/v1", "http://169.254.169.254/v1", "https://me@llm.example/v1"):
        client = await start(scene, scene.folder("ws", f"OPENAI_BASE_URL={url}\nOPENAI_MODEL=m\n"))
        with pytest.raises(RpcError) as failed:
            await client.command("qwen.trust.allow")
        assert failed.value.kind == "untrusted-origin"
    assert not scene.state.exists()


# --- at a shell -------------------------------------------------------------------------------------------


async def test_a_shell_and_an_editor_share_the_answers(scene: Scene, second: Provider) -> None:
    """`qwen-ls trust allow` holds for headless runs and for a server that runs; `forget` takes it back."""
    folder = scene.folder("ws", url_of(second))
    client = await start(scene, folder)
    shell, variables = Shell(scene.home, folder), {"OPENAI_API_KEY": KEY}
    nothing = await shell.run("trust", "list", env=variables)
    assert (nothing.code, nothing.out) == (0, "No answer is remembered\n")
    refusal = await shell.run("chat", "hi", "--json", env=variables)
    assert (refusal.code, refusal.json["error"]["kind"]) == (1, "untrusted-origin")
    assert "qwen-ls trust allow" in refusal.complaint

    allowed = await shell.run("trust", "allow", env=variables)
    assert allowed.code == 0
    assert f"127.0.0.1:{second.port}" in allowed.out
    listed = (await shell.run("trust", "list", "--json", env=variables)).json["consents"]
    assert listed == (await client.command("qwen.trust.list"))["consents"]
    assert (await shell.run("chat", "hi", env=variables)).code == 0
    await chat(client)
    assert (questions(client), bearers(second)) == ([], {KEY})

    before = len(second.log)
    forgotten = await shell.run("trust", "forget", env=variables)
    assert (forgotten.code, forgotten.out) == (0, "Answers forgotten: 1\n")
    assert json.loads(scene.state.read_text())["decisions"] == []
    assert (await shell.run("chat", "hi", env=variables)).code == 1
    await refused(client)
    assert len(second.log) == before


async def test_a_yes_at_a_shell_is_for_the_editor_too(
    scene: Scene, second: Provider, elsewhere: RawServer
) -> None:
    """What a shell itself needs no answer for is remembered when it gives one."""
    mixed = scene.folder("mixed", url_of(second))
    variables = {"OPENAI_API_KEY": KEY, "QWEN_LS_TRUST_PROJECT": "1"}
    assert (await Shell(scene.home, mixed).run("trust", "allow", env=variables)).code == 0
    pair = scene.folder("pair", scene.pair(FILE_KEY, base_url=f"{ELSEWHERE}/v1"))
    settings = {"HTTP_PROXY": scene.env["HTTP_PROXY"]}
    assert (await Shell(scene.home, pair).run("trust", "allow", env=settings)).code == 0
    mixing, pairing = await start(scene, mixed), await scene.start(pair)
    for client in (mixing, pairing):
        await chat(client)
        assert questions(client) == []
    assert (bearers(second), bearers(elsewhere)) == ({KEY}, {FILE_KEY})


async def test_a_shell_says_where_there_is_nothing_to_allow(scene: Scene) -> None:
    """One line and exit code 1, signed out and with a key that needs no answer."""
    shell = Shell(scene.home, scene.folder())
    variables = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{scene.provider.base_url}/v1"}
    for env, beginning in (({}, "qwen-ls: Signed out"), (variables, "qwen-ls: There is nothing to decide")):
        done = await shell.run("trust", "allow", env=env)
        assert (done.code, done.out) == (1, "")
        assert done.complaint.startswith(beginning)
