"""Chat documents in real editors that have nothing but the server's command, over a real llama.cpp."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from e2e.plain_editors import EDITORS, running_emacs, until
from e2e.relay import running_relay
from e2e.test_lsp_chat import write_env
from qwen_ls.core.chat import Role
from qwen_ls.core.chatdoc import parse_document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from e2e.llama import Llama
    from e2e.plain_editors import Editor
    from e2e.relay import Relay

PACE = 30_000  # bytes per second: a brief answer then takes some two seconds
SEND, STOP, SWITCH = "Qwen: Send", "Qwen: Stop", "Qwen: Switch authentication"
QUESTION = "### user\n\nSay something.\n"
IN_EACH = pytest.mark.parametrize("name", EDITORS)
HOUR = 3600


@asynccontextmanager
async def editing(name: str, root: Path, llama: Llama, relay: Relay, **env: str) -> AsyncIterator[Editor]:
    """An editor with a chat document of one message, in a folder with a key for `llama`."""
    write_env(root / "project", llama.api_keys[0], f"{relay.origin}/v1", llama.alias)
    file = root / "project" / "talk.qwen.md"
    file.write_text(QUESTION)
    async with EDITORS[name](root, env) as editor:
        await editor.open(file)
        yield editor


def sign_in(home: Path, llama: Llama, base_url: str) -> None:
    """Leave a sign-in that another program made."""
    cache = home / ".qwen" / "oauth_creds.json"
    cache.parent.mkdir(parents=True, mode=0o700)
    tokens = {"access_token": llama.api_keys[1], "refresh_token": llama.api_keys[2], "token_type": "Bearer"}
    expires = round((time.time() + HOUR) * 1000)
    cache.write_text(json.dumps({**tokens, "expiry_date": expires, "resource_url": base_url}))


def said(text: str, role: Role = Role.ASSISTANT) -> list[str]:
    """What stands under the headings of a role."""
    return [block.content for block in parse_document(text).blocks if block.role is role and block.content]


def user(content: str) -> dict[str, str]:
    """A message of the user's."""
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    """A message of the model's."""
    return {"role": "assistant", "content": content}


async def grows(editor: Editor, words: int) -> str:
    """Wait for an answer of more than some words; the text."""
    return await until(
        editor.text, lambda text: len("".join(said(text)).split()) > words, f"{words} words of the answer"
    )


async def is_over(editor: Editor, answers: int = 1) -> str:
    """Wait until the next message has its heading; the text."""

    def is_there(text: str) -> bool:
        return text.rstrip().endswith("### user") and len(said(text)) == answers

    return await until(editor.text, is_there, "the end of the answer")


@IN_EACH
async def test_a_conversation_goes_on_by_another_method(
    name: str, tmp_path: Path, brief_llama: Llama
) -> None:
    """Sent by code action, an answer grows in the text; after a choice in a picker, so does another.

    The second answer knows the first, and comes from the other method's server.
    """
    home = tmp_path / "home"
    async with (
        running_relay(brief_llama.origin, max_bytes_per_second=PACE) as relay,
        running_relay(brief_llama.origin, max_bytes_per_second=PACE) as other,
    ):
        sign_in(home, brief_llama, f"{other.origin}/v1")
        async with editing(name, tmp_path, brief_llama, relay, QWEN_LS_OAUTH_BASE_URL=other.origin) as editor:
            before = await editor.changes()
            await editor.act(SEND)
            text = await is_over(editor)
            assert await editor.changes() - before >= 5
            first = brief_llama.answer(user("Say something."))
            assert said(text) == [first.rstrip()]
            await editor.act(SWITCH, "Qwen account")
            await until(editor.messages, lambda told: "Switched to qwen-oauth" in told, "the outcome")
            await editor.type(-1, "\nAnd then?")
            await until(editor.text, lambda text: "And then?" in text, "what was typed")
            assert other.connections == []
            await editor.act(SEND)
            text = await is_over(editor, 2)
            assert len(other.connections) == 1
    history = [user("Say something."), assistant(first.rstrip()), user("And then?")]
    assert said(text) == [first.rstrip(), brief_llama.answer(*history).rstrip()]
    assert said(text, Role.USER) == ["Say something.", "And then?"]


@IN_EACH
async def test_an_answer_is_stopped_and_undone(name: str, tmp_path: Path, llama: Llama) -> None:
    """Stop, by code action, ends the request and keeps what came; then undoing gives back the question."""
    async with (
        running_relay(llama.origin, max_bytes_per_second=PACE) as relay,
        editing(name, tmp_path, llama, relay) as editor,
    ):
        await editor.act(SEND)
        await grows(editor, 20)
        await editor.act(STOP)
        text = await is_over(editor)
        await relay.client_closed()
        assert "<!-- qwen: stopped -->" in text
        assert len(said(text)[0].split()) > 20
        for _ in range(await editor.changes()):
            if await editor.text() == QUESTION:
                break
            before = await editor.changes()
            await editor.undo()
            await until(editor.changes, lambda count: count > before, "the undo")  # noqa: B023 - at once
        assert await editor.text() == QUESTION


@IN_EACH
async def test_typing_above_an_answer_loses_nothing(name: str, tmp_path: Path, brief_llama: Llama) -> None:
    """Lines typed above while it streams in stay, and the answer comes whole."""
    async with (
        running_relay(brief_llama.origin, max_bytes_per_second=PACE) as relay,
        editing(name, tmp_path, brief_llama, relay) as editor,
    ):
        await editor.act(SEND)
        for number, words in enumerate((5, 40, 80)):
            text = await grows(editor, words)
            assert not text.rstrip().endswith("### user")
            await editor.type(2, f"\nNote {number}")
        text = await is_over(editor)
    assert said(text) == [brief_llama.answer(user("Say something.")).rstrip()]
    assert said(text, Role.USER) == ["Say something.\nNote 2\nNote 1\nNote 0"]


@IN_EACH
async def test_typing_at_the_end_of_an_answer_stops_it(name: str, tmp_path: Path, llama: Llama) -> None:
    """The tail is the user's as soon as they type there: the request ends, and nothing comes after it."""
    async with (
        running_relay(llama.origin, max_bytes_per_second=PACE) as relay,
        editing(name, tmp_path, llama, relay) as editor,
    ):
        await editor.act(SEND)
        await grows(editor, 10)
        await editor.type(-1, " mine")
        await relay.client_closed(deadline=60)
        text = await until(editor.text, lambda text: "mine" in text, "what was typed")
    assert text.count("### assistant") == 1
    assert not text.rstrip().endswith("### user")


async def test_emacs_keeps_its_servers_for_other_text(tmp_path: Path) -> None:
    """Chat documents and `.env` files are ours; every other kind of text is as it was without us."""
    folder = tmp_path / "project"
    folder.mkdir()
    files = [folder / name for name in ("notes.txt", "page.html", "paper.tex", "talk.qwen.md", ".env")]
    for file in files:
        file.write_text("")
    async with running_emacs(tmp_path, {}) as editor:
        for other in files[:3]:
            await editor.eval(f"(progn (find-file {json.dumps(str(other))}) t)")
            editor.keys("x")  # eglot-ensure connects after a command
        for ours in files[3:]:
            await editor.open(ours)
        managed = "(mapcar (lambda (b) (with-current-buffer b (if (eglot-managed-p) t :false))) (list %s))"
        names = " ".join(json.dumps(file.name) for file in files)
        assert await editor.eval(f"(vconcat {managed % names})") == [False] * 3 + [True] * 2
        modes = "(list 'text-mode 'html-mode 'tex-mode 'latex-mode 'conf-mode)"
        theirs = await editor.eval(f'(format "%S" (mapcar #\'eglot--lookup-mode {modes}))')
        assert "digestif" in theirs
        assert "qwen-ls" not in theirs
