"""Three real editors' capabilities, by pytest-lsp: sign in, switch and chat with nothing but the standard.

pytest-lsp checks what the server asks and answers against what the client has declared.
"""

from __future__ import annotations

import contextlib
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, make_test_lsp_client

from canary import canary
from scene import QWEN
from wire import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from scene import Scene

EDITORS = ["visual-studio-code", "neovim@0.11", "emacs"]
KEY = canary("test_clients: the key")


@attrs.define
class Editor:
    """A client, its folder, and what the user was shown and chose."""

    client: LanguageClient
    capabilities: types.ServerCapabilities
    folder: Path
    questions: list[types.ShowMessageRequestParams]
    deltas: list[Any]

    async def run(self, command: str, **argument: Any) -> Any:
        """`workspace/executeCommand`; the result as plain data."""
        params = types.ExecuteCommandParams(command=command, arguments=[argument])
        return plain(await self.client.workspace_execute_command_async(params))


def plain(value: Any) -> Any:
    """What pygls made of a result, as JSON data again."""
    return json.loads(json.dumps(value, default=lambda made: made._asdict()))


def make_client(questions: list[Any], deltas: list[Any]) -> LanguageClient:
    """pytest-lsp's client with a user who chooses the first button, and our kinds of progress."""
    client = make_test_lsp_client()
    features: dict[str, Any] = client.protocol.fm.features
    features.pop(types.PROGRESS)  # it knows no kind but those of work-done progress

    def progress(params: types.ProgressParams) -> None:
        deltas.append((params.token, plain(params.value)))

    def show_message_request(params: types.ShowMessageRequestParams) -> types.MessageActionItem | None:
        questions.append(params)
        return params.actions[0] if params.actions else None

    def register(_: types.RegistrationParams) -> None:
        """Nothing to do: the tests say themselves what has changed."""

    for method, handler in (
        (types.PROGRESS, progress),
        (types.WINDOW_SHOW_MESSAGE_REQUEST, show_message_request),
        (types.CLIENT_REGISTER_CAPABILITY, register),
    ):
        client.feature(method)(handler)
    return client


@contextlib.asynccontextmanager
async def editor_of(name: str, scene: Scene) -> AsyncIterator[Editor]:
    """An editor with a folder, connected to a server of its own."""
    folder = scene.folder()
    questions: list[Any] = []
    deltas: list[Any] = []
    config = ClientServerConfig(
        server_command=[sys.executable, "-m", "qwen_ls", "serve"],
        client_factory=partial(make_client, questions, deltas),
        server_env=environment(scene.home, QWEN_LS_OAUTH_BASE_URL=scene.provider.base_url),
    )
    client = await config.start()
    assert isinstance(client, LanguageClient)
    result = await client.initialize_session(
        types.InitializeParams(
            capabilities=pytest_lsp.client_capabilities(name),
            root_uri=folder.as_uri(),
            workspace_folders=[types.WorkspaceFolder(uri=folder.as_uri(), name="ws")],
        )
    )
    try:
        yield Editor(client, result.capabilities, folder, questions, deltas)
    finally:
        await client.shutdown_session()
        await client.stop()  # type: ignore[no-untyped-call] # pytest-lsp has no types there


@pytest.mark.parametrize("name", EDITORS)
async def test_the_main_job_by_the_standard_alone(name: str, scene: Scene) -> None:
    """Initialize, sign in, chat, switch to a key from a `.env`, stream, list models, leave."""
    scene.provider.configure(keys=[KEY], auto_approve=True)
    async with editor_of(name, scene) as editor:
        client = editor.client
        offered = editor.capabilities.execute_command_provider
        assert offered is not None
        assert {"qwen.auth.login", "qwen.auth.switch", "qwen.chat.send"} <= set(offered.commands)
        signed_in = await editor.run("qwen.auth.login", method=QWEN, wait=True)
        assert (signed_in["done"], signed_in["checked"]) == (True, True)
        shown = [document.uri for document in client.shown_documents]
        asked = [question.message for question in editor.questions]
        assert "/authorize?user_code=" in [*shown, *asked][0]
        assert (await editor.run("qwen.chat.send", text="hello", wait=True))["stopReason"] == "end_turn"

        scene.folder("ws", scene.pair(KEY, "coder-model"))
        switched = await editor.run("qwen.auth.switch", method="api-key")
        assert switched["status"]["source"]["kind"] == "dotenv"
        token = f"deltas of {name}"
        answer = await editor.run("qwen.chat.send", text="again", wait=True, partialResultToken=token)
        *deltas, end = [value for to, value in editor.deltas if to == token]
        assert "again" in "".join(delta["text"] for delta in deltas)
        assert (end["kind"], "text" in answer) == ("end", False)
        models = await editor.run("qwen.models.list")
        assert [model["id"] for model in models["models"] if model["active"]] == ["coder-model"]
        # The check of the sign-in, then the two messages.
        assert [entry["credential"] for entry in scene.requests("chat")] == ["oauth", "oauth", "key"]
        assert client.error is None


@pytest.mark.parametrize("name", EDITORS)
async def test_switching_by_question(name: str, scene: Scene) -> None:
    """Every editor here can show a question with buttons; the first one is taken."""
    async with editor_of(name, scene) as editor:
        switched = await editor.run("qwen.auth.switch")
        assert switched["method"] == QWEN
        (question,) = editor.questions
        assert [action.title for action in question.actions or []] == ["Qwen account", "API key", "Cancel"]
