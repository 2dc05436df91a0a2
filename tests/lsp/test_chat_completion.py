"""Completion in chat documents over stdio: what is offered where, and what accepting it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from lsp.talk import set_out
from provider import running_provider
from wire import CAPABILITIES, environment, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from lsp.talk import Talk

pytestmark = pytest.mark.asyncio(loop_scope="module")
USER = "### user\n\n"
COMMANDS = ["/auth", "/model", "/status", "/clear", "/help"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything lies."""
    return tmp_path_factory.mktemp("completion")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(root: Path) -> AsyncIterator[Talk]:
    """One server for the whole file; its client counts in UTF-16."""
    async with (
        running_provider() as provider,
        server(environment(root / "home", QWEN_LS_OAUTH_BASE_URL=provider.issuer), cwd=root) as client,
    ):
        yield await set_out(root, client, provider)


@pytest_asyncio.fixture(loop_scope="module")
async def talk(shared: Talk) -> Talk:
    """The same, with everything as usual."""
    await shared.usual()
    return shared


@pytest.fixture
def folder(root: Path) -> Path:
    """The folder with a key, with files in it."""
    folder = root / "work" / "keyed"
    for name in ("src/deep/a.py", "src/b.py", "src/.hidden", "my notes/n.md", "README.md", "server.pem"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


async def ask(talk: Talk, text: str, language: str = "qwen-chat", name: str = "chat.qwen.md") -> Any:
    """The answer to a request at the `|` in a document."""
    before, after = text.split("|")
    uri = f"{talk.keyed}/{name}"
    document = {"uri": uri, "languageId": language, "version": 1, "text": before + after}
    talk.client.notify("textDocument/didOpen", {"textDocument": document})
    line = before.count("\n")
    character = len(before.rpartition("\n")[2].encode("utf-16-le")) // 2
    place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
    answer = await talk.client.request("textDocument/completion", place)
    talk.client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    return answer


async def offered(talk: Talk, text: str) -> dict[str, str]:
    """What a client shows at the `|`, of what it is offered: label -> the document with it put in."""
    answer = await ask(talk, text)
    items = (answer["items"] if isinstance(answer, dict) else answer) or []
    plain = text.replace("|", "").split("\n")
    found = {}
    for item in items:
        start, end = item["textEdit"]["range"]["start"], item["textEdit"]["range"]["end"]
        assert start["line"] == end["line"] == text.split("|", maxsplit=1)[0].count("\n")
        units = plain[start["line"]].encode("utf-16-le")
        chosen = units[start["character"] * 2 : end["character"] * 2].decode("utf-16-le")
        if not item["filterText"].lower().startswith(chosen.lower()):
            continue
        line = (
            units[: start["character"] * 2].decode("utf-16-le")
            + item["textEdit"]["newText"]
            + units[end["character"] * 2 :].decode("utf-16-le")
        )
        found[item["label"]] = "\n".join([*plain[: start["line"]], line, *plain[start["line"] + 1 :]])
    return found


# --- slash commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["/|", f"{USER}/|", f"{USER}  /|\n\n", f"---\nmodel: m\n---\n{USER}/|"])
async def test_commands(talk: Talk, text: str) -> None:
    """At the start of a message that says nothing else, each command is offered."""
    found = await offered(talk, text)
    assert list(found) == COMMANDS
    assert found["/status"] == text.replace("/|", "/status")
    assert found["/auth"] == text.replace("/|", "/auth ")


async def test_a_command_that_is_being_written(talk: Talk) -> None:
    """What is written of it is replaced."""
    assert await offered(talk, f"{USER}/ST|\n") == {"/status": f"{USER}/status\n"}


@pytest.mark.parametrize(
    "text",
    [
        f"{USER}see /|",
        f"{USER}/| here",
        f"{USER}hello\n/|",
        f"{USER}/|\nhello",
        f"{USER}/|\n\n### assistant\n\nhello\n",
        "### assistant\n\n/|",
        "---\n/|\n---\n",
        f"{USER}|",
    ],
)
async def test_no_commands(talk: Talk, text: str) -> None:
    """Not inside a message, not in earlier ones, not in answers or front matter."""
    assert await offered(talk, text) == {}


async def test_methods(talk: Talk) -> None:
    """After /auth, each method."""
    found = await offered(talk, f"{USER}/auth |")
    assert found == {name: f"{USER}/auth {name}" for name in ("qwen-oauth", "api-key")}


async def test_models(talk: Talk) -> None:
    """After /model, what the provider lists, also where a slash in a name asks again."""
    await talk.provider.configure(models=["org/model-a", "coder-model"])
    every = await offered(talk, f"{USER}/model |")
    begun = await offered(talk, f"{USER}/model org/|")
    await talk.provider.configure(models=["coder-model", "vision-model"])
    assert every == {name: f"{USER}/model {name}" for name in ("org/model-a", "coder-model")}
    assert begun == {"org/model-a": f"{USER}/model org/model-a"}


async def test_models_of_nobody(talk: Talk) -> None:
    """Where the provider does not answer with any, and after another command, nothing is offered."""
    await talk.provider.fault("models", status=500)
    assert await offered(talk, f"{USER}/model |") == {}
    await talk.provider.clear_faults()
    assert await offered(talk, f"{USER}/status |") == {}
    assert [m for m in talk.client.asked if m["method"] == "window/showMessageRequest"] == []


# --- mentions -----------------------------------------------------------------------------------------------

FRONT = '---\nselection: src/b.py#L3-L9\ndiagnostics: ["src/b.py:3 error: wrong"]\n---\n'


async def test_mentions(talk: Talk) -> None:
    """Files always; selection and diagnostics where the document has them."""
    assert await offered(talk, f"{USER}why 😀 @|") == {"@file:": f"{USER}why 😀 @file:"}
    found = await offered(talk, f"{FRONT}{USER}@| and more")
    words = ("@file:", "@selection", "@diagnostics")
    assert found == {word: f"{FRONT}{USER}{word} and more" for word in words}
    for start in ("", "\ufeff"):
        assert list(await offered(talk, f"{start}{FRONT}{USER}@se|")) == ["@selection"]


@pytest.mark.parametrize(
    "text", ["me@|", "`a` ``@x`|", "```\n@|", "### assistant\n\n@|", f"{USER}@|\n{USER}x"]
)
async def test_no_mentions(talk: Talk, text: str) -> None:
    """Not in words, in code, in answers, or in earlier messages."""
    assert await offered(talk, text) == {}


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("@file:", {"my notes/": '@file:"my notes/', "src/": "@file:src/", "README.md": "@file:README.md"}),
        ("@file:r", {"README.md": "@file:README.md"}),
        ("@file:src/", {"deep/": "@file:src/deep/", "b.py": "@file:src/b.py"}),
        ("@file:src/deep/", {"a.py": "@file:src/deep/a.py"}),
        ('@file:"my n', {"my notes/": '@file:"my notes/'}),
        ('@file:"my notes/', {"n.md": '@file:"my notes/n.md"'}),
        ("@file:../", {}),
        ("@file:nowhere/", {}),
    ],
)
@pytest.mark.usefixtures("folder")
async def test_paths(talk: Talk, typed: str, names: dict[str, str]) -> None:
    """Folder by folder, inside the workspace folder; hidden names and files with secrets are left out."""
    found = await offered(talk, f"{USER}é see {typed}|")
    assert found == {label: f"{USER}é see {mention}" for label, mention in names.items()}


async def test_a_folder_with_many_names(talk: Talk, folder: Path) -> None:
    """A part is offered, and said to be one: the client asks again when more has been written."""
    (folder / "many").mkdir()
    for number in range(300):
        (folder / "many" / f"{number:03}.txt").touch()
    answer = await ask(talk, "@file:many/|")
    assert (answer["isIncomplete"], len(answer["items"])) == (True, 200)
    answer = await ask(talk, "@file:many/29|")
    assert (answer["isIncomplete"], len(answer["items"])) == (False, 10)


# --- elsewhere ----------------------------------------------------------------------------------------------


async def test_other_documents_are_left_alone(talk: Talk) -> None:
    """Nothing is offered outside chat documents."""
    assert await ask(talk, "/|", language="markdown", name="notes.md") is None


async def test_a_place_that_there_is_not(talk: Talk) -> None:
    """Positions past the end, and documents that are not open, are answered with nothing."""
    uri = f"{talk.keyed}/x.qwen.md"
    document = {"uri": uri, "languageId": "markdown", "version": 1, "text": ""}
    place: Callable[[int], Any] = lambda line: {  # noqa: E731 - two places
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": 5},
    }
    assert await talk.client.request("textDocument/completion", place(0)) is None
    talk.client.notify("textDocument/didOpen", {"textDocument": document})
    assert await talk.client.request("textDocument/completion", place(9)) is None


async def test_the_triggers(tmp_path: Path) -> None:
    """A client is told which characters to ask at."""
    async with server(environment(tmp_path / "home"), cwd=tmp_path) as client:
        result = await client.initialize(capabilities=CAPABILITIES)
    assert {"/", "@", ":"} <= set(result["capabilities"]["completionProvider"]["triggerCharacters"])
