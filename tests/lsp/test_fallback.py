"""The user's `fallbackModels` over stdio: who answers in place of whom, and how that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from canary import canary
from scene import chat
from wire import RpcError

if TYPE_CHECKING:
    from scene import Scene
    from wire import Client

KEY = canary("test_fallback: the key")


async def falling_back(scene: Scene, *models: str) -> Client:
    """A server whose user has set these models to fall back to."""
    scene.settings(fallbackModels=list(models), timeouts={"connect": 1, "firstByte": 1, "retryAfter": 1})
    scene.provider.configure(keys=[KEY], tokens=3)
    return await scene.start(scene.folder(env_file=scene.pair(KEY, "main")))


def asked_for(scene: Scene) -> list[str]:
    """The models that the provider was asked for."""
    return [entry["json"]["model"] for entry in scene.requests("chat")]


async def test_another_model_answers_and_is_shown(scene: Scene) -> None:
    """In the end of the progress, the result and the end of the stream; the retries come first."""
    client = await falling_back(scene, "spare", "last")
    scene.provider.fault("chat", status=503, model="main")
    result = await chat(client, workDoneToken="progress", partialResultToken="stream")
    assert asked_for(scene) == ["main", "main", "main", "spare"]
    end = (
        await client.notified(
            "$/progress", lambda p: p["token"] == "progress" and p["value"]["kind"] == "end"
        )
    )["value"]
    reports = [v["message"] for v in client.progress("progress") if v["kind"] == "report"]
    assert reports[-1] == "provider-down: trying spare"
    assert end["message"] == "spare answered in place of main"
    *deltas, last = client.progress("stream")
    assert "".join(delta["text"] for delta in deltas) == "1 2 3 "
    for told in (result, end, last):
        assert (told["requestedModel"], told["model"]) == ("main", "spare")


async def test_a_pause_that_is_too_long_is_another_models_turn(scene: Scene) -> None:
    """Retry-After above the setting is not waited for."""
    client = await falling_back(scene, "spare")
    scene.provider.fault("chat", status=429, headers={"Retry-After": "2"}, model="main")
    assert (await chat(client))["model"] == "spare"
    assert asked_for(scene) == ["main", "spare"]


async def test_every_failure_is_told(scene: Scene) -> None:
    """One line, the kind of the model that was asked for, and the next message is sent as ever."""
    client = await falling_back(scene, "spare", "last")
    scene.provider.configure(strict=True, models=["main"])
    scene.provider.fault("chat", status=429, headers={"Retry-After": "9"}, times=1)
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert (failed.value.kind, failed.value.data["retryable"]) == ("rate-limited", True)
    assert [name in failed.value.message for name in ("main: ", "; then spare: ", "; then last: ")] == [
        True
    ] * 3
    assert "\n" not in failed.value.message
    assert asked_for(scene) == ["main", "spare", "last"]
    assert (await chat(client))["model"] == "main"


@pytest.mark.parametrize(
    "fault", [{"status": 401}, {"status": 402}, {"cut": -1}, {"cut": 1}, {"error_event": 0}]
)
async def test_what_no_other_model_mends(scene: Scene, fault: dict[str, int]) -> None:
    """A refused key, an empty account, the network, and anything after the first byte."""
    client = await falling_back(scene, "spare")
    scene.provider.fault("chat", times=1, **fault)
    with pytest.raises(RpcError):
        await chat(client)
    assert asked_for(scene) == ["main"]
