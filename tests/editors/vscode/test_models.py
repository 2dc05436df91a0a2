"""What VS Code and other extensions are given: models, a chat participant, an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary import canary
from editors.vscode.asking import streams

if TYPE_CHECKING:
    from editors.vscode.windows import Windows
    from scene import Scene

# Agent mode, which VS Code starts with, offers only models that call tools.
ASK = {"chat.agent.enabled": False}
REPLY = "These words are streamed to whoever asks for a model of this vendor."


async def test_models_and_participant(scene: Scene, windows: Windows) -> None:
    """Another extension streams an answer from `vscode.lm`, and @qwen answers in the Chat view."""
    key = canary("VS Code: language models")
    scene.provider.configure(keys=[key], reply=REPLY, token_interval=0.02)
    window = await windows.open(scene.folder("ws", scene.pair(key, "qwen3-coder-plus")), settings=ASK)
    await window.status_item("API key").wait_for()
    await window.command("Probe: Ask a Model")
    await window.notification("askModel is done").wait_for()
    seen = windows.probed("askModel")
    assert {model["vendor"] for model in seen["models"]} == {"qwen-ls"}
    assert {"coder-model", "qwen3-coder-plus"} <= {model["id"] for model in seen["models"]}
    assert "".join(seen["pieces"]) == REPLY
    assert len(seen["pieces"]) > 1

    await window.ask_in_chat("@qwen What are you?")
    await window.participant.filter(has_text=REPLY).wait_for()
    await window.clear_notifications()
    await window.screenshot("participant")
    assert [entry["authorization"] for entry in streams(scene)] == [f"Bearer {key}"] * 2


async def test_a_session_tells_nothing(scene: Scene, windows: Windows) -> None:
    """An extension that asks for a session gets an account and an id, neither a key nor a token."""
    scene.write_cache()
    window = await windows.open(scene.folder())
    await window.status_item("Qwen account").wait_for()
    await window.command("Probe: Show Account")
    await window.dialog.get_by_role("button", name="Allow").click()
    await window.notification("showAccount is done").wait_for()
    seen = windows.probed("showAccount")
    tokens = {scene.edit_cache()[name] for name in ("access_token", "refresh_token")}
    assert seen["accessToken"]
    assert not tokens & {seen["accessToken"]}
    assert not [token for token in tokens if token in str(seen)]


async def test_a_model_of_a_provider_that_lists_none(scene: Scene, windows: Windows) -> None:
    """Choose Model says why there is no list, and takes a name all the same."""
    key = canary("VS Code: no list of models")
    scene.provider.configure(keys=[key], reply="Served.")
    scene.provider.fault("models", status=404)
    window = await windows.open(scene.folder("ws", scene.pair(key)))
    await window.status_item("API key").wait_for()
    await window.command("Qwen: Choose Model…")
    await window.pick("Choose a model", "Another model")
    await window.type("Its name", "a-model-of-mine")
    await window.status_item("a-model-of-mine").wait_for()
    await window.open_chat()
    await window.chat.send("Which?")
    await window.chat.answered("Served.")
    assert streams(scene)[-1]["json"]["model"] == "a-model-of-mine"
