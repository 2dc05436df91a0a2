"""qwen_ls.lsp.languages: findings in open documents, over a session without a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types

from actions.fakes import ports_of
from lsp.alone import alone
from qwen_ls.lsp import kinds
from qwen_ls.lsp.chat_completion import complete
from qwen_ls.lsp.kinds import Language
from qwen_ls.lsp.session import Session

if TYPE_CHECKING:
    import pytest

    from qwen_ls.lsp.texts import Text


async def test_an_older_look_does_not_come_after_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes long is dropped when a later one at the same text has been faster."""
    session, listener = alone(ports_of(), Session)
    text = session.texts.open(types.TextDocumentItem("file:///ws/.env", "dotenv", 1, "A=b"))
    answers = {name: asyncio.Event() for name in ("older", "newer")}
    names = iter(answers)

    async def diagnose(_: Session, text: Text) -> list[types.Diagnostic]:
        name = next(names)
        await answers[name].wait()
        return [types.Diagnostic(text.range(0, 0, 1), name)]

    language = Language(lambda _: True, code_actions=diagnose, diagnose=diagnose)  # type: ignore[arg-type]
    monkeypatch.setattr(kinds, "LANGUAGES", (language,))
    await session.loaded()
    for _ in answers:
        session.diagnostics._look(text)
    await asyncio.sleep(0)  # both have begun
    looks = list(session._tasks)
    answers["newer"].set()
    await asyncio.sleep(0)
    answers["older"].set()
    await asyncio.wait(looks)
    told = listener.params(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    assert [[d.message for d in params.diagnostics] for params in told] == [["newer"]]


async def test_completing_a_mention_in_a_long_message_holds_nobody_up() -> None:
    """While it is found out whether the place is in code, others have their turn every few milliseconds."""
    session, _ = alone(ports_of(), Session)
    lines = ["a `b` line", "that is pasted"] * 20_000
    item = types.TextDocumentItem("file:///ws/a.qwen.md", "qwen-chat", 1, "\n".join([*lines, "see @"]))
    text = session.texts.open(item)
    completing = asyncio.ensure_future(complete(session, text, types.Position(len(lines), 5)))
    turns = 0
    while not completing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 20
    assert completing.result() == []
