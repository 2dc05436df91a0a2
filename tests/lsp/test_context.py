"""Context over stdio: what the provider is sent for mentions and for `context`, and what it never gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lsprotocol import types

from actions.fakes import ports_of
from canary import canary
from lsp.alone import alone
from lsp.buffers import Editor
from qwen_ls import contract
from qwen_ls.core.errors import Problem
from qwen_ls.lsp.documents import send
from qwen_ls.lsp.session import Session
from qwen_ls.lsp.world import World
from scene import chat
from sweep import sweep
from wire import RpcError, uri

if TYPE_CHECKING:
    from scene import Scene
    from wire import Client

INVALID_PARAMS = -32602
KEY, SECRET = canary("test_context: the key"), canary("test_context: in a file")


@pytest.fixture
def folder(scene: Scene) -> Path:
    """A workspace folder with a key, a source file and a file with secrets."""
    scene.provider.configure(keys=[KEY], reply="An answer.")
    folder = scene.folder("ws", scene.pair(KEY))
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_text("one\ntwo\nthree\n", encoding="utf-8")
    (folder / ".npmrc").write_text(f"_authToken={SECRET}\n", encoding="utf-8")
    return folder


def sent(scene: Scene, number: int = -1) -> list[str]:
    """The contents of a request's messages."""
    body = scene.requests("chat")[number]["json"]
    assert body is not None
    return [m["content"] for m in body["messages"]]


async def refusal(client: Client, text: str, **more: Any) -> RpcError:
    """Why a message is not sent."""
    with pytest.raises(RpcError) as refused:
        await chat(client, text, **more)
    return refused.value


async def test_mentions_are_followed_by_what_they_mean(scene: Scene, folder: Path) -> None:
    """File, selection and diagnostics go to the provider below the text, which stays as it was written."""
    client = await scene.start(folder)
    text = "why? @file:src/a.py#L2-L3 @selection @diagnostics"
    await chat(
        client,
        text,
        context={
            "selection": {
                "uri": uri(folder / "src" / "a.py"),
                "startLine": 0,
                "endLine": 0,
                "text": "unsaved",
                "languageId": "python",
            },
            "diagnostics": [
                {"uri": uri(folder / "src" / "a.py"), "line": 1, "message": "wrong", "code": 7},
                {"uri": "untitled:x", "line": 0, "message": "odd", "severity": "hint", "source": "s"},
            ],
        },
    )
    assert sent(scene) == [
        (
            f"{text}\n\n"
            "File `src/a.py`, lines 2 to 3:\n```py\ntwo\nthree\n```\n\n"
            "Selection in `src/a.py`, line 1:\n```python\nunsaved\n```\n\n"
            "Diagnostics:\n```\nsrc/a.py:2 error: wrong [7]\nuntitled:x:1 hint: odd [s]\n```"
        )
    ]


async def test_what_is_given_goes_along_unmentioned(scene: Scene, folder: Path) -> None:
    """A client gives what its user chose; files as URI or as path, each once."""
    client = await scene.start(folder)
    files = [uri(folder / "src" / "a.py"), "src/a.py"]
    await chat(client, "why?", context={"files": files[:1]})
    await chat(client, "why?", context={"files": files[1:]})
    expected = ["why?\n\nFile `src/a.py`:\n```py\none\ntwo\nthree\n```"]
    assert sent(scene) == sent(scene, -2) == expected


async def test_a_message_is_completed_once(scene: Scene, folder: Path) -> None:
    """A conversation kept here is sent on as it was, whatever becomes of the file."""
    client = await scene.start(folder)
    conversation = (await chat(client, "look at @file:src/a.py"))["conversationId"]
    first = sent(scene)[0]
    (folder / "src" / "a.py").unlink()
    await chat(client, "and now?", conversationId=conversation)
    assert sent(scene) == [first, "An answer.", "and now?"]


async def test_a_conversation_held_by_the_client(scene: Scene, folder: Path) -> None:
    """Its messages are completed each time; what an earlier one mentions may have gone."""
    client = await scene.start(folder)
    messages = [
        {"role": "system", "content": "be brief @file:src/a.py"},
        {"role": "user", "content": "look at @file:src/a.py and @file:gone.py"},
        {"role": "assistant", "content": "I see @file:src/a.py"},
        {"role": "user", "content": "and @file:src/a.py#L1?"},
    ]
    await client.command("qwen.chat.send", messages=messages, wait=True)
    assert sent(scene) == [
        "be brief @file:src/a.py",
        (
            "look at @file:src/a.py and @file:gone.py\n\nFile `src/a.py`:\n```py\none\ntwo\nthree\n```\n\n"
            "[gone.py is not there]"
        ),
        "I see @file:src/a.py",
        "and @file:src/a.py#L1?\n\nFile `src/a.py`, line 1:\n```py\none\n```",
    ]


def did_open(client: Client, path: Path, text: str) -> None:
    """Open a document in the editor."""
    document = {"uri": uri(path), "languageId": "python", "version": 1, "text": text}
    client.notify("textDocument/didOpen", {"textDocument": document})


async def test_unsaved_text_wins(scene: Scene, folder: Path) -> None:
    """What stands in the editor goes along, and the disk's text again once the document is closed."""
    client = await scene.start(folder)
    did_open(client, folder / "src" / "a.py", "unsaved\n")
    did_open(client, folder / "src" / "new.py", "new")
    await chat(client, "@file:src/a.py @file:src/new.py")
    assert sent(scene)[0].endswith(
        "File `src/a.py`:\n```py\nunsaved\n```\n\nFile `src/new.py`:\n```py\nnew\n```"
    )
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri(folder / "src" / "a.py")}})
    await chat(client, "@file:src/a.py")
    assert sent(scene)[0].endswith("```py\none\ntwo\nthree\n```")


async def test_a_selection_in_a_document_without_a_file(scene: Scene, folder: Path) -> None:
    """Its text is the one that stands in the editor, since there is no other; secrets stay there."""
    client = await scene.start(folder)
    for name in ("untitled:Untitled-1", "untitled:.npmrc"):
        document = {"uri": name, "languageId": "python", "version": 1, "text": f"one\n{SECRET}\nthree\n"}
        client.notify("textDocument/didOpen", {"textDocument": document})
    selection = {"uri": "untitled:Untitled-1", "startLine": 2, "endLine": 3}
    await chat(client, "why?", context={"selection": selection})
    assert sent(scene) == ["why?\n\nSelection in `untitled:Untitled-1`, line 3:\n```\nthree\n```"]
    refused = await refusal(client, "why?", context={"selection": {**selection, "uri": "untitled:.npmrc"}})
    assert "is not attached" in refused.message
    refused = await refusal(
        client, "why?", context={"selection": {**selection, "startLine": 9, "endLine": 9}}
    )
    assert "has 4 lines" in refused.message
    assert (await client.command("qwen.auth.status"))["busy"] is False


async def test_a_folder_that_is_reached_by_a_link(scene: Scene, folder: Path) -> None:
    """An editor may name folder and document by another path than the real one."""
    link = scene.root / "link"
    link.symlink_to(folder)
    client = await scene.start(link)
    did_open(client, link / "src" / "a.py", "unsaved\n")
    given = {"files": [uri(link / "src" / "a.py")]}
    for text, context in (("@file:src/a.py", None), ("look", given), ("@file:src/a.py", given)):
        await chat(client, text, context=context)
        assert sent(scene)[0].count("unsaved") == 1
    assert "File `src/a.py`:\n```py\nunsaved\n```" in sent(scene)[0]
    other = scene.folder("other", scene.pair(KEY))
    (other / "src").mkdir()
    link.unlink()
    link.symlink_to(other)
    await chat(client, "@file:src/a.py")
    assert sent(scene)[0].count("unsaved") == 1


@pytest.mark.parametrize("path", [".npmrc", "notes.txt", "../outside.txt", "out.txt"])
@pytest.mark.parametrize("way", ["mention", "context", "selection", "open"])
async def test_what_is_refused_reaches_nobody(scene: Scene, folder: Path, path: str, way: str) -> None:
    """A file with secrets and one outside the folder, also by a link: no request, and no byte of it back."""
    (folder.parent / "outside.txt").write_text(SECRET, encoding="utf-8")
    (folder / "notes.txt").symlink_to(".npmrc")
    (folder / "out.txt").symlink_to("../outside.txt")
    client = await scene.start(folder)
    context: dict[str, Any] = {}
    if way == "open":
        did_open(client, folder / ".npmrc", "opened")
        did_open(client, folder.parent / "outside.txt", "opened")
    if way == "context":
        context = {"files": [uri(folder / path)]}
    if way == "selection":
        context = {"selection": {"uri": uri(folder / path), "startLine": 0, "endLine": 1}}
    text = "look" if context else f"@file:{path}"
    error = await refusal(client, text, context=context)
    assert error.kind == "not-supported"
    assert "is not attached" in error.message
    assert error.data["remedy"]
    assert scene.requests("chat") == []
    assert sweep({"stdout": bytes(client.stdout), "stderr": bytes(client.stderr)}, {SECRET: "secret"}) == []


async def test_what_is_too_large(scene: Scene, folder: Path) -> None:
    """The file is named, and some of its lines go along all the same."""
    (folder / "large.txt").write_text("line\n" * 60_000, encoding="utf-8")
    client = await scene.start(folder)
    error = await refusal(client, "@file:large.txt")
    assert error.kind == "too-large"
    assert error.message.startswith("large.txt is larger than 256 KiB.")
    await chat(client, "@file:large.txt#L59999-L60000")
    assert sent(scene)[0].endswith("File `large.txt`, lines 59999 to 60000:\n```txt\nline\nline\n```")


@pytest.mark.parametrize("mention", ["selection", "diagnostics"])
async def test_nothing_to_mention(scene: Scene, folder: Path, mention: str) -> None:
    """The refusal says how it is given."""
    client = await scene.start(folder)
    error = await refusal(client, f"look at @{mention}")
    assert error.kind == "not-supported"
    assert f"@{mention}" in error.message
    assert scene.requests("chat") == []
    await chat(client, f"what is `@{mention}`?")
    assert sent(scene) == [f"what is `@{mention}`?"]


async def test_without_a_folder(scene: Scene, folder: Path) -> None:
    """No file is read where no folder is open."""
    client = await scene.start(env={"OPENAI_API_KEY": KEY})
    error = await refusal(client, f"@file:{folder}/src/a.py")
    assert "no workspace folder is open" in error.message


@pytest.mark.parametrize(
    ("context", "path"),
    [
        ([], "context"),
        ({"files": "a"}, "context.files"),
        ({"selection": {"uri": "file:///a", "startLine": 0}}, "context.selection.endLine"),
        ({"selection": {"uri": "file:///a", "startLine": "0", "endLine": 0}}, "context.selection.startLine"),
        ({"diagnostics": [{"uri": "a", "line": 0}]}, "context.diagnostics[0].message"),
        (
            {"diagnostics": [{"uri": "a", "line": 0, "message": "m", "severity": "bad"}]},
            "context.diagnostics[0].severity",
        ),
    ],
)
async def test_bad_context_is_named(scene: Scene, folder: Path, context: Any, path: str) -> None:
    """A field of another type than the contract's is InvalidParams, with its path."""
    client = await scene.start(folder)
    error = await refusal(client, "look", context=context)
    assert error.code == INVALID_PARAMS
    assert [p["path"] for p in error.data["problems"]] == [f"$.arguments[0].{path}"]


# --- chat documents -----------------------------------------------------------------------------------------


async def in_document(client: Client, path: Path, text: str) -> str:
    """Send a chat document's last message; the document with its answer."""
    editor = Editor(client)
    buffer = editor.write(path, text)
    await client.command("qwen.chat.send", document=buffer.uri, wait=True)
    editor.close(buffer)
    return buffer.text


def read(file: str) -> tuple[Path, str]:
    """A file's path and its text."""
    return Path(file), Path(file).read_text(encoding="utf-8")


async def new_document(client: Client, **more: Any) -> tuple[Path, str]:
    """A new chat document about something: its path, and its text."""
    return read((await client.command("qwen.chat.new", document=True, **more))["file"])


async def test_a_document_about_a_folder_that_is_reached_by_a_link(scene: Scene, folder: Path) -> None:
    """Its files are named as they lie in it, and the folder itself is nothing to be about."""
    link = scene.root / "link"
    link.symlink_to(folder)
    client = await scene.start(link)
    file = uri(link / "src" / "a.py")
    selection = {"uri": file, "startLine": 1, "endLine": 2}
    found = [{"uri": file, "line": 0, "message": "wrong"}]
    _, text = await new_document(client, uri=file, selection=selection, diagnostics=found)
    assert "selection: src/a.py#L2\n" in text
    assert '["src/a.py:1 error: wrong"]' in text
    assert "@file:src/a.py\n" in (await new_document(client, uri=file))[1]
    assert "@" not in (await new_document(client, uri=uri(link)))[1]


async def test_a_document_about_a_file_of_no_folder(scene: Scene, folder: Path) -> None:
    """What cannot be mentioned stands in the message, and goes along; a file with secrets does not."""
    names = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{scene.provider.base_url}/v1", "OPENAI_MODEL": "m"}
    client = await scene.start(env=names)
    lone = folder / "src" / "a.py"
    did_open(client, lone, "one\nunsaved\nthree\n")
    selection = {"uri": uri(lone), "startLine": 1, "endLine": 2}
    made, text = await new_document(client, uri=uri(lone), selection=selection)
    quoted = f"Selection in `{lone}`, line 2:\n```py\nunsaved\n```"
    assert text == f"### user\n\n{quoted}\n\n"
    await in_document(client, made.with_name("sent.qwen.md"), text)
    assert sent(scene) == [quoted]
    assert "one\nunsaved\nthree" in (await new_document(client, uri=uri(lone)))[1]
    did_open(client, folder / ".npmrc", SECRET)
    with pytest.raises(RpcError, match="hold keys or passwords"):
        await new_document(client, uri=uri(folder / ".npmrc"))
    before = {"uri": "git:/ws/.env?%7B%7D", "startLine": 0, "endLine": 1, "text": SECRET}  # of a comparison
    with pytest.raises(RpcError, match="hold keys or passwords"):
        await new_document(client, selection=before)


async def test_a_document_that_is_closed_at_once() -> None:
    """Sent while the server still starts, and closed: nothing is written into what nobody has open."""
    where = "file:///ws/closed.qwen.md"

    class Starting(Session):
        """A session that is asked to close a document while it gets ready."""

        async def world(self) -> World:
            """The world, later."""
            self.texts.close(where)
            return world

    world = World.over(ports_of())
    session, _ = alone(ports_of(), Starting)
    session.texts.open(types.TextDocumentItem(where, "markdown", 1, "hello"))
    with pytest.raises(Problem, match="No such chat document is open"):
        await send(session, contract.ChatSendParams(document=where), twin=False)
    assert (world.chats.turns, session.documents.writings) == ({}, {})


async def test_mentions_in_a_document(scene: Scene, folder: Path) -> None:
    """Its front matter says what the selection and the diagnostics are, for every message of it."""
    client = await scene.start(folder)
    front = '---\nselection: src/a.py#L2\ndiagnostics: ["src/a.py:1:1 error: wrong"]\n---\n\n'
    first = "Why @selection? @diagnostics"
    text = await in_document(client, folder / "chat.qwen.md", f"{front}### user\n\n{first}\n")
    assert text == f"{front}### user\n\n{first}\n\n### assistant\n\nAn answer.\n\n### user\n\n"
    completed = (
        f"{first}\n\nSelection in `src/a.py`, line 2:\n```py\ntwo\n```\n\n"
        "Diagnostics:\n```\nsrc/a.py:1:1 error: wrong\n```"
    )
    assert sent(scene) == [completed]
    (folder / "src" / "a.py").unlink()
    await in_document(client, folder / "chat.qwen.md", f"{text}And now?\n")
    gone = f"{first}\n\nDiagnostics:\n```\nsrc/a.py:1:1 error: wrong\n```\n\n[src/a.py is not there]"
    assert sent(scene) == [gone, "An answer.", "And now?"]


async def test_a_document_and_its_client_both_give(scene: Scene, folder: Path) -> None:
    """What a client gives along joins the document's own."""
    client = await scene.start(folder)
    editor = Editor(client)
    front = "---\nselection: src/a.py#L2\n---\n\n"
    buffer = editor.write(folder / "chat.qwen.md", f"{front}### user\n\nWhy?\n")
    context = {"files": ["src/a.py"]}
    await client.command("qwen.chat.send", document=buffer.uri, context=context, wait=True)
    selected = "Selection in `src/a.py`, line 2:\n```py\ntwo\n```"
    assert sent(scene) == [f"Why?\n\n{selected}\n\nFile `src/a.py`:\n```py\none\ntwo\nthree\n```"]


async def test_what_a_client_gives_goes_along_with_a_documents_last_message(
    scene: Scene, folder: Path
) -> None:
    """Not with the first, to which the document's own belongs; what is not there is told, not noted."""
    client = await scene.start(folder)
    editor = Editor(client)
    buffer = editor.write(
        folder / "chat.qwen.md", "### user\n\none\n\n### assistant\n\nuno\n\n### user\n\ntwo\n"
    )
    for files, why in ((["missing.txt"], "is not there"), ([".env"], "hold keys or passwords")):
        with pytest.raises(RpcError, match=why):
            await client.command("qwen.chat.send", document=buffer.uri, context={"files": files}, wait=True)
    assert scene.requests("chat") == []
    await client.command("qwen.chat.send", document=buffer.uri, context={"files": ["src/a.py"]}, wait=True)
    assert sent(scene) == ["one", "uno", "two\n\nFile `src/a.py`:\n```py\none\ntwo\nthree\n```"]


async def test_a_document_is_asked_about_once(scene: Scene, folder: Path) -> None:
    """A yes to a secret holds for the document: it is sent whole with each message."""
    client = await scene.start(folder)
    client.on("window/showMessageRequest", lambda _: {"title": "Send anyway"})
    text = await in_document(client, folder / "chat.qwen.md", f"### user\n\nmy key is {KEY}\n")
    await in_document(client, folder / "chat.qwen.md", f"{text}go on\n")
    assert sent(scene) == [f"my key is {KEY}", "An answer.", "go on"]
    assert len([m for m in client.asked if m["method"] == "window/showMessageRequest"]) == 1
    await in_document(client, folder / "other.qwen.md", f"### user\n\nmy key is {KEY}\n")
    assert len([m for m in client.asked if m["method"] == "window/showMessageRequest"]) == 2


async def test_slash_commands_in_a_document(scene: Scene, folder: Path) -> None:
    """The reply is written below; neither is sent, nor is anything from before a /clear."""
    client = await scene.start(folder)
    path = folder / "chat.qwen.md"
    text = await in_document(client, path, "### user\n\nhello\n")
    text = await in_document(client, path, f"{text}/help\n")
    assert "### assistant\n\n- `/auth [METHOD]`" in text
    text = await in_document(client, path, f"{text}again\n")
    assert sent(scene) == ["hello", "An answer.", "again"]
    text = await in_document(client, path, f"{text}/clear\n")
    await in_document(client, path, f"{text}anew\n")
    assert sent(scene) == ["anew"]
    assert len(scene.requests("chat")) == 3
