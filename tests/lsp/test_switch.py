"""Switching the method over LSP: by name or by question, remembered per folder and per user."""

from __future__ import annotations

import asyncio
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from qwen_ls.lsp.editor import ANSWER_WITHIN
from scene import QWEN, chat
from wire import CAPABILITIES, NEVER, RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene
    from wire import Client

ASK, SWITCH = "window/showMessageRequest", "qwen.auth.switch"
KEY = canary("test_switch: the key")


def titles(client: Client) -> list[str]:
    """The buttons of the last question."""
    actions = [message["params"]["actions"] for message in client.asked if message["method"] == ASK][-1]
    return [action["title"] for action in actions]


def pressing(beginning: str) -> Any:
    """An editor whose user presses the button whose title begins so."""
    return lambda params: next(a for a in params["actions"] if a["title"].startswith(beginning))


async def both(scene: Scene, *folders: Path, **initialize: Any) -> Client:
    """A server that has a key in its environment and a cached sign-in."""
    scene.provider.configure(keys=[KEY])
    if not scene.cache.exists():
        scene.write_cache()
    variables = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{scene.provider.base_url}/v1",
        "OPENAI_MODEL": "m",
    }
    return await scene.start(*folders, env=variables, **initialize)


async def method_of(client: Client, folder: Path | None = None) -> tuple[str, str]:
    """The method in force and who chose it."""
    argument = {} if folder is None else {"uri": folder.as_uri()}
    status = await client.command("qwen.auth.status", **argument)
    return status["method"], status["chosenBy"]


async def test_a_switch_counts_from_the_next_message_on(scene: Scene) -> None:
    """To the account and back, without a restart; the provider sees who each message comes from."""
    client = await both(scene, scene.folder())
    await chat(client)
    result = await client.command(SWITCH, method=QWEN)
    assert (result["method"], result["status"]["method"]) == (QWEN, QWEN)
    await client.notified("qwen/didChangeStatus", lambda status: status["method"] == QWEN)
    await chat(client)
    await client.command(SWITCH, method="api-key")
    await chat(client)
    assert [entry["credential"] for entry in scene.requests("chat")] == ["key", "oauth", "key"]


async def test_a_hundred_switches_while_an_answer_streams(scene: Scene) -> None:
    """The answer is whole and keeps the credential it began with; each chat in between has the new one."""
    client = await both(scene, scene.folder())
    scene.provider.configure(tokens=300, token_interval=0.002)
    streaming = asyncio.ensure_future(chat(client, partialResultToken="stream"))
    await client.until(lambda: client.progress("stream"))
    scene.provider.configure(tokens=1)
    expected = ["key"]
    for number in range(100):
        method = QWEN if number % 2 == 0 else "api-key"
        await client.command(SWITCH, method=method)
        if number % 10 == 9 or number % 10 == 4:
            await chat(client)
            expected.append("oauth" if method == QWEN else "key")
    assert (await streaming)["usage"]["completionTokens"] == 300
    *deltas, end = client.progress("stream")
    assert "".join(delta["text"] for delta in deltas).split() == [str(n) for n in range(1, 301)]
    assert end["stopReason"] == "end_turn"
    assert [entry["credential"] for entry in scene.requests("chat")] == expected
    assert scene.statuses("chat") == [200] * 21


# --- by question ------------------------------------------------------------------------------------------


async def test_without_a_method_the_user_is_asked(scene: Scene) -> None:
    """The method in force is marked; the chosen one is switched to."""
    client = await both(scene, scene.folder())
    client.on(ASK, pressing("Qwen account"))
    result = await client.command(SWITCH)
    assert titles(client) == ["Qwen account", "API key (now)", "Cancel"]
    assert (result["method"], await method_of(client)) == (QWEN, (QWEN, "folder"))


async def test_a_dismissed_question_changes_nothing(scene: Scene) -> None:
    """Closed, cancelled, refused or answered with nonsense: it says so, and nothing is written."""
    client = await both(scene, scene.folder())
    for answer in (lambda _: None, pressing("Cancel"), lambda _: {"title": "Telepathy"}, lambda _: [1], None):
        if answer is not None:
            client.on(ASK, answer)
        else:
            client = await both(scene, scene.folder())  # one that answers -32601
        with pytest.raises(RpcError) as failed:
            await client.command(SWITCH)
        assert failed.value.kind == "login-cancelled"
        assert "qwen-oauth, api-key" in failed.value.data["remedy"]
    assert not scene.state.exists()


@pytest.mark.parametrize(
    ("command", "outcome"), [(SWITCH, "Switched to qwen"), ("qwen.auth.login", "Signed in to Qwen")]
)
async def test_a_slow_answer_does_not_hold_the_command(scene: Scene, command: str, outcome: str) -> None:
    """It answers in time; the choice that comes later is switched or signed in to, and that is said."""
    assert ANSWER_WITHIN < 2  # what some clients stand still for; the clock of a busy machine is not asked
    client = await both(scene, scene.folder())
    scene.provider.configure(auto_approve=True)
    decided = asyncio.Event()

    async def hesitate(params: Any) -> Any:
        await decided.wait()
        return params["actions"][0]

    client.on(ASK, hesitate)
    result = await client.command(command)
    assert "method" not in result
    assert (await method_of(client))[0] == "api-key"
    decided.set()
    await client.notified("window/showMessage", lambda shown: shown["message"].startswith(outcome))
    assert await method_of(client) == (QWEN, "folder")


@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "with code of ours"])
async def test_the_outcome_is_told_once(is_plain: bool, scene: Scene) -> None:  # noqa: FBT001 - a parameter
    """Editors show nothing of a command's answer, unless by code of ours; those are told by a message."""
    experimental = {} if is_plain else {"experimental": {"qwen": {"deviceCode": True}}}
    client = await both(scene, scene.folder(), capabilities={**CAPABILITIES, **experimental})
    client.on(ASK, pressing("Qwen account"))
    result = await client.command(SWITCH)
    assert result["message"].startswith("Switched to qwen")
    assert await method_of(client) == (QWEN, "folder")
    told = [n["params"]["message"] for n in client.notifications if n["method"] == "window/showMessage"]
    assert told == [result["message"]] * is_plain


async def test_an_editor_that_never_answers(scene: Scene) -> None:
    """Sign-in and switch without a method both answer in time, and the server serves on."""
    client = await both(scene, scene.folder())
    client.on(ASK, lambda _: NEVER)
    results = await asyncio.gather(*(client.command(name) for name in (SWITCH, "qwen.auth.login")))
    assert all("Choose" in result["message"] for result in results)
    assert (await chat(client))["stopReason"] == "end_turn"
    assert await client.end() == 0


async def test_a_sign_in_without_a_method_asks_too(scene: Scene) -> None:
    """The chosen way in begins."""
    scene.provider.configure(auto_approve=True)
    client = await scene.start(scene.folder())
    client.on(ASK, pressing("Qwen account"))
    begun = await client.command("qwen.auth.login")
    assert (begun["method"], begun["done"]) == (QWEN, False)


# --- what is remembered -----------------------------------------------------------------------------------


async def test_choices_are_remembered_per_folder_and_per_user(scene: Scene) -> None:
    """The folder's own choice comes before the user's, in this server and the next; the file is 0600."""
    one, two = scene.folder("one"), scene.folder("two")
    client = await both(scene, one, two)
    await client.command(SWITCH, method=QWEN, uri=(one / "deep" / "a.py").as_uri())
    assert [await method_of(client, one), await method_of(client, two)] == [
        (QWEN, "folder"),
        ("api-key", "inferred"),
    ]
    await client.command(SWITCH, method=QWEN, target="user", uri=two.as_uri())
    await client.command(SWITCH, method="api-key", uri=one.as_uri())
    assert json.loads(scene.state.read_bytes())["choices"] == {
        "folders": {str(one): "api-key"},
        "user": QWEN,
    }
    assert stat.S_IMODE(scene.state.stat().st_mode) == 0o600
    await client.end()

    again = await both(scene, one, two)
    assert [await method_of(again, one), await method_of(again, two)] == [
        ("api-key", "folder"),
        (QWEN, "user"),
    ]
    link = scene.root / "link"
    link.symlink_to(one)
    linked = await both(scene, link)
    assert await method_of(linked) == ("api-key", "folder")  # a folder is known by its real path


async def test_a_sign_in_below_the_choice_of_the_folder(scene: Scene) -> None:
    """It is kept and chosen for the user; that the folder's own choice stays in force is said."""
    client = await both(scene, scene.folder())
    await client.command(SWITCH, method="api-key")
    result = await scene.sign_in(client, target="user")
    assert result["message"] == (
        f"Signed in to Qwen. {QWEN} is remembered, but api-key stays in force here (folder comes first)"
    )
    assert result["status"]["method"] == "api-key"


async def test_without_a_folder_the_choice_is_the_users(scene: Scene) -> None:
    """A document outside every folder, and a server with none, choose for the user."""
    client = await both(scene)
    await client.command(SWITCH, method=QWEN)
    assert json.loads(scene.state.read_bytes())["choices"] == {"user": QWEN}
    folder = scene.folder()
    other = await both(scene, folder)
    await other.command(SWITCH, method="api-key", uri=(scene.root / "outside.py").as_uri())
    assert json.loads(scene.state.read_bytes())["choices"] == {"user": "api-key"}


@pytest.mark.parametrize(
    ("command", "argument"),
    [
        (SWITCH, {"method": QWEN}),
        ("qwen.auth.login", {"method": QWEN, "wait": True}),
        ("qwen.auth.login", {"method": "openrouter", "wait": True}),
        ("qwen.auth.logout", {"method": QWEN}),
        ("qwen.models.select", {"model": "m"}),
    ],
    ids=["switch", "login", "openrouter", "logout", "model"],
)
async def test_of_two_folders_none_is_meant(scene: Scene, command: str, argument: dict[str, Any]) -> None:
    """What is to count for a folder is refused, and not done for the user instead."""
    client = await both(scene, scene.folder("one"), scene.folder("two"))
    scene.provider.configure(auto_approve=True)
    with pytest.raises(RpcError) as failed:
        await client.command(command, target="workspaceFolder", **argument)
    assert (failed.value.kind, "uri" in failed.value.data["remedy"]) == ("not-supported", True)
    assert not scene.state.exists()
    assert scene.cache.exists()
    assert scene.requests("device") == []


async def test_a_chosen_method_without_a_credential_is_signed_out(scene: Scene) -> None:
    """It names the method and nothing else is tried in its place, though there is a key."""
    client = await both(scene, scene.folder())
    scene.cache.unlink()
    result = await client.command(SWITCH, method=QWEN)
    assert "Signed out of qwen-oauth" in result["message"]
    assert result["status"]["signedIn"] is False
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "signed-out"
    assert "qwen-oauth, the method chosen for this folder" in failed.value.message
    assert {action["command"] for action in failed.value.data["actions"]} == {SWITCH, "qwen.auth.login"}
    assert scene.requests("chat") == []


async def test_a_method_that_there_is_not(scene: Scene) -> None:
    """It is refused and nothing is written; one that stands in the file is signed-out, and says so."""
    client = await both(scene, scene.folder())
    with pytest.raises(RpcError) as failed:
        await client.command(SWITCH, method="telepathy")
    assert failed.value.kind == "not-supported"
    assert not scene.state.exists()
    scene.state.parent.mkdir(parents=True, exist_ok=True)
    scene.state.write_text('{"choices": {"user": "telepathy"}}')
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "signed-out"


BAD_STATES = {
    "truncated": b'{"choices": {"us',
    "binary": bytes(range(256)),
    "another type": b"[1]",
    "choices of another type": b'{"choices": [1]}',
    "folders of another type": b'{"choices": {"folders": "x"}}',
    "decisions of another type": b'{"decisions": 5}',
    "a method of another type": b'{"choices": {"user": {"x": 1}}}',
    "nested": b"[" * 50_000,
}


async def test_a_state_file_that_is_none(scene: Scene) -> None:
    """It counts as empty; the next choice is remembered all the same, and what could not be read is kept."""
    client = await both(scene, scene.folder())
    scene.state.parent.mkdir(parents=True, exist_ok=True)
    for what, data in BAD_STATES.items():
        scene.state.write_bytes(data)
        assert await method_of(client) == ("api-key", "inferred"), what
        assert scene.state.read_bytes() == data
        for target in ("workspaceFolder", "user"):
            await client.command(SWITCH, method=QWEN, target=target)
        assert await method_of(client) == (QWEN, "folder"), what
        assert scene.state.with_suffix(".bad").read_bytes() == data


async def test_a_late_choice_that_cannot_be_saved(scene: Scene) -> None:
    """Nobody waits for the command any more: the failure is said."""
    blocked = scene.root / "blocked"
    blocked.write_text("")
    scene.env["XDG_STATE_HOME"] = str(blocked)
    client = await both(scene, scene.folder())
    decided = asyncio.Event()

    async def hesitate(params: Any) -> Any:
        await decided.wait()
        return params["actions"][0]

    client.on(ASK, hesitate)
    await client.command(SWITCH)
    decided.set()
    said = await client.notified("window/showMessage", lambda shown: str(blocked) in shown["message"])
    assert said["type"] == 1


async def test_a_choice_that_cannot_be_saved(scene: Scene) -> None:
    """A file in the state folder's place: one line that names it; reading goes on, and so does chat."""
    scene.provider.configure(keys=[KEY])
    blocked = scene.root / "blocked"
    blocked.write_text("")
    scene.env["XDG_STATE_HOME"] = str(blocked)
    client = await both(scene, scene.folder())
    with pytest.raises(RpcError) as failed:
        await client.command(SWITCH, method=QWEN)
    assert (failed.value.kind, "XDG_STATE_HOME" in failed.value.data["remedy"]) == ("internal", True)
    assert str(blocked) in failed.value.message
    assert (await chat(client))["stopReason"] == "end_turn"


async def test_a_refresh_without_a_state_folder(scene: Scene) -> None:
    """Our own lock cannot be had there: the expired sign-in is refreshed all the same."""
    blocked = scene.root / "blocked"
    blocked.write_text("")
    scene.write_cache(expires_in=-60)
    client = await scene.start(scene.folder(), env={"XDG_STATE_HOME": str(blocked)})
    assert (await chat(client))["stopReason"] == "end_turn"
    assert scene.statuses("token") == [200]
    assert (await client.command("qwen.auth.logout", method=QWEN))["removed"] is True


async def test_a_client_can_let_the_user_choose_by_itself(scene: Scene) -> None:
    """The ways in are listed with the one in force; each that can be switched to is taken by a switch."""
    client = await both(scene, scene.folder())
    listed = (await client.command("qwen.auth.methods"))["methods"]
    assert [m["title"] for m in listed] == ["Qwen account", "OpenRouter", "API key"]
    assert [m["method"] for m in listed if m["active"]] == ["api-key"]
    for method in [m["method"] for m in listed if m["switchable"]]:
        assert (await client.command(SWITCH, method=method))["method"] == method
    listed = (await client.command("qwen.auth.methods"))["methods"]
    assert [m["method"] for m in listed if m["switchable"] and m["active"]] == ["api-key"]
