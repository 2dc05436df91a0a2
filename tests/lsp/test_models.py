"""The provider's models over LSP: listed, chosen by name or by question, remembered per folder."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from scene import QWEN, chat
from wire import NEVER, RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene
    from wire import Client

ASK, SELECT, LIST = "window/showMessageRequest", "qwen.models.select", "qwen.models.list"
KEY = canary("test_models: the key")
MODELS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"]
WAYS = ("/model NAME", "model: NAME", "OPENAI_MODEL")


async def keyed(scene: Scene, *folders: Path, model: str | None = "beta") -> Client:
    """A server with a key, a base URL and perhaps a model in its environment."""
    scene.provider.configure(keys=[KEY], models=MODELS)
    variables = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{scene.provider.base_url}/v1"}
    return await scene.start(*folders, env={**variables, **({"OPENAI_MODEL": model} if model else {})})


def titles(client: Client) -> list[str]:
    """The buttons of the last question."""
    actions = [message["params"]["actions"] for message in client.asked if message["method"] == ASK][-1]
    return [action["title"] for action in actions]


def pressing(title: str) -> Any:
    """An editor whose user presses that button."""
    return lambda params: next(a for a in params["actions"] if a["title"] == title)


async def in_force(client: Client, folder: Path | None = None) -> tuple[str | None, str | None]:
    """The model of the status, and the kind of place that named it."""
    status = await client.command("qwen.auth.status", **({} if folder is None else {"uri": folder.as_uri()}))
    return status.get("model"), status.get("modelSource", {}).get("kind")


def asked_for(scene: Scene) -> list[str]:
    """The models that the provider was asked for."""
    return [entry["json"]["model"] for entry in scene.requests("chat")]


# --- by name ----------------------------------------------------------------------------------------------


async def test_a_choice_beats_the_environment_and_a_request_beats_all(scene: Scene) -> None:
    """It counts from the next message on, in status, list and explanation; "" forgets it again."""
    client = await keyed(scene, folder := scene.folder())
    result = await client.command(SELECT, model="gamma")
    assert (result["model"], result["status"]["model"]) == ("gamma", "gamma")
    assert result["status"]["modelSource"] == {"kind": "choice", "file": str(folder)}
    assert result["message"] == f"Requests ask for gamma (the choice for the folder {folder})"
    await client.notified("qwen/didChangeStatus", lambda status: status.get("model") == "gamma")
    await chat(client)
    await chat(client, model="alpha")
    listed = (await client.command(LIST))["models"]
    assert [m["id"] for m in listed if m["active"]] == ["gamma"]
    explained = await client.command("qwen.auth.explain")
    assert [(m.get("model"), m["outcome"]) for m in explained["models"]] == [
        ("gamma", "active"),
        ("beta", "outranked"),
    ]
    assert (
        f"| the choice for the folder {folder} | **active** | gamma | the first found |"
        in explained["markdown"]
    )

    forgotten = await client.command(SELECT, model="")
    assert (
        forgotten["message"]
        == "The choice is forgotten: requests ask for beta (environment variable OPENAI_MODEL)"
    )
    assert (forgotten["model"], await in_force(client)) == ("beta", ("beta", "environment"))
    await chat(client)
    assert asked_for(scene) == ["gamma", "alpha", "beta"]


async def test_choices_are_remembered_per_folder_and_per_user(scene: Scene) -> None:
    """The folder's comes before the user's, in this server and in the next one."""
    one, two = scene.folder("one"), scene.folder("two")
    client = await keyed(scene, one, two)
    await client.command(SELECT, model="gamma", uri=one.as_uri())
    assert [await in_force(client, one), await in_force(client, two)] == [
        ("gamma", "choice"),
        ("beta", "environment"),
    ]
    result = await client.command(SELECT, model="delta", target="user", uri=one.as_uri())
    why = f"delta is remembered, but gamma (the choice for the folder {one}) comes first here"
    assert result["message"] == why
    url = f"{scene.provider.base_url}/v1"
    assert json.loads(scene.state.read_bytes())["models"] == {
        "folders": {str(one): {url: "gamma"}},
        "user": {url: "delta"},
    }
    await client.end()
    again = await keyed(scene, one, two)
    assert [await in_force(again, one), await in_force(again, two)] == [
        ("gamma", "choice"),
        ("delta", "choice"),
    ]


async def test_a_choice_stays_with_its_provider(scene: Scene) -> None:
    """After a switch to another base URL it does not count, and after the way back it does."""
    scene.write_cache(resource_url=f"{scene.provider.base_url}/api/v1")
    client = await keyed(scene, scene.folder())
    await client.command(SELECT, model="gamma")
    await client.command("qwen.auth.switch", method=QWEN)
    assert await in_force(client) == ("coder-model", "default")
    (elsewhere,) = [
        m for m in (await client.command("qwen.auth.explain"))["models"] if m["outcome"] == "unusable"
    ]
    assert elsewhere["why"] == f"chosen for another base URL: gamma for {scene.provider.base_url}/v1"
    await client.command(SELECT, model="delta")  # the sign-in's own
    await chat(client)
    await client.command("qwen.auth.switch", method="api-key")
    await chat(client)
    assert asked_for(scene) == ["delta", "gamma"]


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", " padded ", "x" * 301])
async def test_a_name_that_is_none(scene: Scene, name: str) -> None:
    """It is refused and nothing is written."""
    client = await keyed(scene, scene.folder())
    with pytest.raises(RpcError) as failed:
        await client.command(SELECT, model=name)
    assert (failed.value.kind, "\x1b" in failed.value.message) == ("not-supported", False)
    assert not scene.state.exists()


async def test_a_model_that_the_provider_does_not_have(scene: Scene) -> None:
    """The refusal of the first message names the choice as the place it came from."""
    scene.provider.configure(strict=True)
    client = await keyed(scene, folder := scene.folder())
    await client.command(SELECT, model="nowhere")
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "model-not-found"
    assert "has no model nowhere" in failed.value.message
    assert f"(the choice for the folder {folder})" in failed.value.message


async def test_signed_out_there_is_nothing_to_choose_for(scene: Scene) -> None:
    """By name or by question, the way in comes first."""
    client = await scene.start(scene.folder())
    for argument in ({"model": "gamma"}, {}):
        with pytest.raises(RpcError) as failed:
            await client.command(SELECT, **argument)
        assert failed.value.kind == "signed-out"
    assert not scene.state.exists()


# --- by question ------------------------------------------------------------------------------------------


async def test_without_a_model_the_user_is_asked(scene: Scene) -> None:
    """At most six buttons, the model in force marked; a choice that stands can be taken back."""
    client = await keyed(scene, scene.folder())
    client.on(ASK, pressing("gamma"))
    assert (await client.command(SELECT))["model"] == "gamma"
    assert titles(client) == ["alpha", "beta (now)", "gamma", "delta", "epsilon", "Cancel"]
    client.on(ASK, pressing("Default"))
    assert (await client.command(SELECT))["model"] == "beta"
    assert titles(client) == ["alpha", "beta", "gamma (now)", "delta", "Default", "Cancel"]
    assert await in_force(client) == ("beta", "environment")


@pytest.mark.parametrize("model", ["eta", "not-listed"])
async def test_the_model_in_force_is_always_offered(scene: Scene, model: str) -> None:
    """Where it is far down the list, or not in it, it stands first; the question tells of the rest."""
    client = await keyed(scene, scene.folder(), model=model)
    client.on(ASK, pressing("alpha"))
    assert (await client.command(SELECT))["model"] == "alpha"
    assert titles(client) == [f"{model} (now)", "alpha", "beta", "gamma", "delta", "Cancel"]
    (question,) = [message["params"]["message"] for message in client.asked if message["method"] == ASK]
    assert all(way in question for way in WAYS)


async def test_a_client_that_cannot_ask_is_told_the_ways(scene: Scene) -> None:
    """Refused, dismissed, cancelled or answered with nonsense: nothing is written, nothing fails."""
    client = await keyed(scene, scene.folder())
    for answer in (lambda _: None, pressing("Cancel"), lambda _: {"title": "HAL"}, lambda _: [1], None):
        if answer is not None:
            client.on(ASK, answer)
        else:
            client = await keyed(scene, scene.folder())  # one that answers -32601
        result = await client.command(SELECT)
        assert ("model" in result, result["status"]["model"]) == (False, "beta")
        assert "/v1 has alpha, beta, gamma, delta, epsilon, zeta, …" in result["message"]
        assert all(way in result["message"] for way in WAYS)
    assert not scene.state.exists()


async def test_a_slow_answer_does_not_hold_the_command(scene: Scene) -> None:
    """The command answers in time; the choice that comes later counts, and is said."""
    client = await keyed(scene, scene.folder())
    decided = asyncio.Event()

    async def hesitate(params: Any) -> Any:
        await decided.wait()
        return params["actions"][0]

    client.on(ASK, hesitate)
    result = await client.command(SELECT)
    assert ("model" in result, result["message"]) == (False, "Choose a model")
    decided.set()
    await client.notified("window/showMessage", lambda shown: "ask for alpha" in shown["message"])
    assert await in_force(client) == ("alpha", "choice")


async def test_a_slow_provider_does_not_hold_the_command(scene: Scene) -> None:
    """Nor one whose list takes long, or fails in the end: that is told then."""
    client = await keyed(scene, scene.folder())
    client.on(ASK, lambda _: NEVER)
    scene.provider.fault("models", delay=1.8, status=500)
    assert (await client.command(SELECT))["message"] == "Choose a model"
    shown = await client.notified("window/showMessage")
    assert "is in trouble" in shown["message"]


async def test_a_slow_provider_does_not_hold_the_list(scene: Scene) -> None:
    """The command says in time that there is no list yet; the request waits for it."""
    client = await keyed(scene, scene.folder())
    scene.provider.fault("models", delay=60, times=1)  # longer than a test waits for an answer
    with pytest.raises(RpcError) as failed:
        await client.command(LIST)
    assert (failed.value.kind, failed.value.data["cause"]) == ("network", "timeout")
    assert failed.value.data["retryable"] is True
    assert "qwen/models/list" in failed.value.data["remedy"]
    scene.provider.fault("models", delay=1.8, times=1)
    listed = (await client.request("qwen/models/list", {}))["models"]
    assert [m["id"] for m in listed if m["active"]] == ["beta"]


async def test_a_list_that_is_cancelled_takes_its_question_back(scene: Scene) -> None:
    """Nobody waits for the answer any more."""
    folder = scene.folder("ws", f"OPENAI_BASE_URL={scene.provider.base_url}/v1\n")
    client = await scene.start(
        folder, env={"OPENAI_API_KEY": canary("test_models: a list that is cancelled")}
    )
    client.on(ASK, lambda _: NEVER)
    id_, listing = client.begin("workspace/executeCommand", {"command": LIST, "arguments": [{}]})
    (asked,) = await client.until(lambda: [m for m in client.asked if m["method"] == ASK])
    client.cancel(id_)
    assert (await listing)["error"]["code"] == -32800
    assert await client.notified("$/cancelRequest") == {"id": asked["id"]}


# --- names from outside -----------------------------------------------------------------------------------


async def test_names_are_text_alone(scene: Scene) -> None:
    """What a provider calls its models, and the one that answered, moves no cursor and turns no line."""
    client = await keyed(scene, scene.folder(), model=None)
    scene.provider.configure(
        models=["a\x1b[31m\nb", "\u202ec\u2066", "d\x07"], served_model="e\x1b]8;;\u200ff"
    )
    listed = [m["id"] for m in (await client.command(LIST))["models"]]
    assert listed == ["a[31m b", "c", "d"]
    client.on(ASK, lambda _: None)
    await client.command(SELECT)
    assert titles(client) == ["a[31m b (now)", "c", "d", "Cancel"]
    result = await chat(client, workDoneToken="progress")
    assert (result["requestedModel"], result["model"]) == ("a[31m b", "e]8;;f")
    end = await client.notified("$/progress", lambda p: p["value"].get("kind") == "end")
    assert end["value"]["message"] == "e]8;;f answered in place of a[31m b"
    for sink in (client.stdout, client.stderr):
        assert not any(
            mark in sink for mark in (b"\\u001b", b"\x1b", b"\\u202e", "\u202e".encode(), b"\\u0007")
        )


async def test_what_a_provider_says_is_no_link(scene: Scene) -> None:
    """VS Code makes one of Markdown's in all that it shows of a message, and of a command's address too."""
    link = "[Fix it](command:workbench.action.quit)"
    client = await keyed(scene, scene.folder(), model=None)
    scene.provider.configure(models=[link, "b"], served_model=f"{link}x")
    await chat(client, workDoneToken="progress")
    end = await client.notified("$/progress", lambda p: p["value"].get("kind") == "end")
    scene.provider.fault("chat", status=400, body={"error": {"message": link}})
    with pytest.raises(RpcError) as failed:
        await chat(client)
    await client.command("qwen.chat.send", text="hi")
    told = await client.notified("window/showMessage")
    for text in (end["value"]["message"], failed.value.message, told["message"]):
        assert "[Fix it] (command:" in text
        assert link not in text
