"""Answers that an editor does not take: what waits for its user, for how long, and what becomes of it."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from lsprotocol import types

from actions.fakes import ports_of
from lsp.alone import alone
from lsp.test_documents import ask
from qwen_ls.core.chat import Delta
from qwen_ls.core.chatdoc import parse_document
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.lsp import documents
from qwen_ls.lsp import writing as writing_module
from qwen_ls.lsp.chat_language import steps
from qwen_ls.lsp.rpc import NoAnswer
from qwen_ls.lsp.session import Session
from qwen_ls.lsp.writing import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsp.alone import Listener
    from qwen_ls.lsp.texts import Text
    from qwen_ls.lsp.writing import Writing

EVERY = writing_module.EVERY
READY = "Insert answer"
URI = "file:///ws/my%20chat.qwen.md"
REPLY = "It is so."
WHOLE = ask("Is it?") + f"\n### assistant\n\n{REPLY}\n\n### user\n\n"


@attrs.define(eq=False)
class Alone:
    """A session whose client is asked for edits; `says` is what it says of one, `takes` whether it does."""

    session: Session
    listener: Listener
    asked: list[types.WorkspaceEdit] = attrs.field(factory=list)
    says: bool | None = None
    takes: bool = False
    stopped: int = 0
    times: list[float] = attrs.field(factory=list)  # of each edit that was asked for, by the loop's clock
    _versions: Any = attrs.field(factory=lambda: itertools.count(2))

    def notify(self, method: str, params: Any) -> None:
        """Stands for the protocol's."""
        self.listener.notify(method, params)

    async def ask(self, method: str, params: types.ApplyWorkspaceEditParams, timeout: float) -> Any:
        """The same, without its waiting."""
        assert method == types.WORKSPACE_APPLY_EDIT
        self.asked.append(params.edit)
        self.times.append(asyncio.get_running_loop().time())
        if self.takes:
            self.take()
        if self.says is None:
            raise NoAnswer(f"in {timeout} s")
        return {"applied": self.says}

    def take(self) -> None:
        """The client makes the edit that was asked for last, and tells of it."""
        ((uri, (edit,)),) = (self.asked[-1].changes or {}).items()
        assert isinstance(edit, types.TextEdit)
        self.change(uri, types.TextDocumentContentChangePartial(edit.range, edit.new_text))

    def change(self, uri: str, change: types.TextDocumentContentChangeEvent) -> None:
        """`didChange`."""
        document = types.VersionedTextDocumentIdentifier(next(self._versions), uri)
        self.session.texts.change(types.DidChangeTextDocumentParams(document, [change]))

    def open(self, text: str = "", uri: str = URI) -> Text:
        """Open a document."""
        item = types.TextDocumentItem(uri, "qwen-chat", 1, text or ask("Is it?"))
        return self.session.texts.open(item)

    def begin(self, text: Text) -> Writing:
        """Begin an answer."""

        def stop() -> None:
            self.stopped += 1

        return self.session.documents.begin(text, "Is it?", stop)

    async def answer(self, text: Text) -> Writing:
        """A whole answer, as far as it is written."""
        writing = self.begin(text)
        writing.delta(Delta(REPLY))
        writing.finish([])
        await asyncio.wait_for(writing.ended.wait(), 5)
        return writing

    async def held(self, text: Text) -> Writing:
        """An answer that waits."""
        writing = await self.answer(text)
        assert writing.is_ready
        assert READY in self.said[-1]
        return writing

    @property
    def said(self) -> list[str]:
        """What the user was told."""
        return [params.message for params in self.listener.params(types.WINDOW_SHOW_MESSAGE)]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> Alone:
    """A client that says that it takes edits; what would be waited for takes no time."""
    session, listener = alone(ports_of(), Session)
    session.editor.capabilities.workspace = types.WorkspaceClientCapabilities(apply_edit=True)
    await session.loaded()
    for name in ("BLOCKED", "SETTLE", "EVERY"):
        monkeypatch.setattr(writing_module, name, 0.01)
    session.editor.protocol = made = Alone(session, listener)  # type: ignore[assignment]
    return made


async def test_two_edits_are_60_ms_apart(here: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces that come meanwhile wait, but for the end of the answer."""
    monkeypatch.setattr(writing_module, "EVERY", EVERY)
    here.says = here.takes = True
    writing = here.begin(here.open())
    while len(here.asked) < 5:
        writing.delta(Delta("word "))
        await asyncio.sleep(0.002)
    writing.finish([])
    await asyncio.wait_for(writing.ended.wait(), 5)
    gaps = [later - earlier for earlier, later in itertools.pairwise(here.times)]
    assert min(gaps[:4]) > 0.059


async def test_a_client_that_does_not_say_that_it_takes_edits_is_not_asked(here: Alone) -> None:
    """The answer waits at once, and goes in as part of its user's command, where such a client takes it."""
    here.session.editor.capabilities.workspace = None
    text = here.open()
    await here.held(text)
    assert here.asked == []
    here.says = here.takes = True
    assert await here.session.documents.insert(URI)
    assert text.text == WHOLE
    assert here.session.documents.writings == {}


async def test_silence_is_waited_for_once(here: Alone) -> None:
    """A client that never answers is asked once for an answer, and not sent it again and again."""
    await here.held(here.open())
    assert len(here.asked) == 1


async def test_what_was_not_taken_is_tried_once_the_next_time(here: Alone) -> None:
    """A refusal is remembered for the session, until an edit is taken."""
    here.says = False
    for number, tries in enumerate((3, 1, 1)):
        before = len(here.asked)
        await here.held(here.open(uri=f"{URI}{number}.qwen.md"))
        assert len(here.asked) - before == tries
    here.says = here.takes = True
    text = here.open(uri=f"{URI}4.qwen.md")
    assert (await here.answer(text)).stage is Stage.OVER
    assert text.text == WHOLE
    assert not here.session.documents.drops_edits


async def test_an_edit_that_comes_late_is_not_put_in_again(here: Alone) -> None:
    """It counts although nothing was expected any more, and the rest follows by itself."""
    writing = here.begin(text := here.open())
    writing.delta(Delta(REPLY))
    await until(lambda: writing.stage is Stage.HELD)
    here.says = here.takes = True
    here.take()
    writing.finish([])
    await asyncio.wait_for(writing.ended.wait(), 5)
    assert text.text == WHOLE
    assert here.session.documents.writings == {}


async def test_an_edit_that_comes_after_the_end_takes_the_rest_along(here: Alone) -> None:
    """Nothing is left to be inserted by hand."""
    writing = here.begin(text := here.open())
    writing.delta(Delta(REPLY))
    await until(lambda: writing.stage is Stage.HELD)
    writing.finish([])
    await asyncio.wait_for(writing.ended.wait(), 5)
    here.says = here.takes = True
    here.take()
    await until(lambda: not here.session.documents.writings)
    assert text.text == WHOLE


async def test_insert_answer_tries_once_and_says_so(here: Alone) -> None:
    """What waits waits on, and the next message is not refused for its sake: then it is dropped."""
    text = here.open()
    await here.held(text)
    with pytest.raises(Problem, match="Run the action Insert answer first"):
        here.begin(text)
    here.says, before = False, len(here.asked)
    with pytest.raises(Problem, match="did not take the answer") as failed:
        await here.session.documents.insert(URI)
    assert failed.value.kind is Kind.NOT_SUPPORTED
    assert len(here.asked) - before == 1
    here.says = here.takes = True
    assert (await here.answer(text)).stage is Stage.OVER
    assert "The answer that waited for my chat.qwen.md is dropped" in here.said
    assert text.text == WHOLE


async def test_what_waits_goes_right_after_its_own_message(here: Alone) -> None:
    """Also where its user has written the next one meanwhile, which keeps the one heading that it has."""
    text = here.open()
    await here.held(text)
    more = "\n### user\n\nAnd then?\n"
    here.change(URI, types.TextDocumentContentChangeWholeDocument(ask("Is it?") + more))
    here.says = here.takes = True
    assert await here.session.documents.insert(URI)
    assert text.text == WHOLE.removesuffix("\n### user\n\n") + more


async def test_what_waits_is_refused_where_its_message_has_been_changed(here: Alone) -> None:
    """Nothing is asked of the client; the message can be sent as it is now, and the answer is dropped."""
    text = here.open()
    await here.held(text)
    here.change(URI, types.TextDocumentContentChangeWholeDocument(ask("Is it not?")))
    before = len(here.asked)
    with pytest.raises(Problem, match="its message has been changed"):
        await here.session.documents.insert(URI)
    assert len(here.asked) == before
    assert [step.title for step in steps(here.session, text)] == ["Qwen: Insert answer", "Qwen: Send"]
    here.begin(text)
    assert "The answer that waited for my chat.qwen.md is dropped" in here.said


@pytest.mark.parametrize("is_changed", [False, True])
async def test_of_two_messages_that_say_the_same_each_has_its_own_answer(
    is_changed: bool,  # noqa: FBT001 - a parameter
    here: Alone,
) -> None:
    """What waits for the second one is put in after it, and not after the first where that one is changed."""
    first = ask("Is it?") + "\n### assistant\n\nFirst answer.\n\n"
    text = here.open(first + ask("Is it?"))
    await here.held(text)
    here.says = here.takes = True
    if is_changed:
        here.change(URI, types.TextDocumentContentChangeWholeDocument(first + ask("Is it not?")))
        with pytest.raises(Problem, match="its message has been changed"):
            await here.session.documents.insert(URI)
    else:
        here.change(URI, types.TextDocumentContentChangeWholeDocument(first + 2 * f"{ask('Is it?')}\n"))
        assert await here.session.documents.insert(URI)
        assert text.text == first + WHOLE.removesuffix("### user\n\n") + ask("Is it?") + "\n"


async def test_a_held_answer_that_is_told_late_is_inserted_once(here: Alone) -> None:
    """The command is answered before the client tells, and is not offered again meanwhile."""
    text = here.open()
    writing = await here.held(text)
    here.says = True
    assert await here.session.documents.insert(URI)
    assert not writing.is_ready
    assert not await here.session.documents.insert(URI)
    here.take()
    assert writing.stage is Stage.OVER
    assert text.text == WHOLE


async def test_what_waits_is_there_when_the_document_is_opened_again(here: Alone) -> None:
    """A complete answer is not lost with the file that it waits for."""
    await here.held(here.open())
    here.session.texts.close(URI)
    assert "open my chat.qwen.md again and run" in here.said[-1]
    assert not await here.session.documents.insert(None)
    text = here.open()
    here.says = here.takes = True
    assert await here.session.documents.insert(URI)
    assert text.text == WHOLE


@pytest.mark.parametrize("is_saved", [True, False])
async def test_the_rest_of_an_answer_waits_too(here: Alone, *, is_saved: bool) -> None:
    """Below its beginning, if that was saved; else the whole of it."""
    writing = here.begin(text := here.open())
    here.says = here.takes = True
    writing.delta(Delta(REPLY))
    await until(lambda: REPLY in text.text)
    here.says = here.takes = False
    writing.delta(Delta(" And more"))
    writing.finish([])
    await asyncio.wait_for(writing.ended.wait(), 5)
    saved = text.text
    here.session.texts.close(URI)
    text = here.open(saved if is_saved else "")
    here.says = here.takes = True
    assert await here.session.documents.insert(URI)
    block = parse_document(text.text).blocks[1]
    assert " ".join(block.content.split()) == f"{REPLY} And more"


async def test_closing_stops_an_answer_that_waits_and_keeps_what_came(here: Alone) -> None:
    """The request ends; its beginning can be inserted later."""
    here.session.editor.capabilities.workspace = None
    writing = here.begin(here.open())
    writing.delta(Delta(REPLY))
    await asyncio.sleep(0)
    here.session.texts.close(URI)
    assert here.stopped == 1
    writing.finish(["stopped"])
    await asyncio.wait_for(writing.ended.wait(), 5)
    text = here.open()
    here.says = here.takes = True
    assert await here.session.documents.insert(URI)
    assert f"{REPLY}\n\n<!-- qwen: stopped -->" in text.text


async def test_the_latest_answers_are_kept(here: Alone) -> None:
    """Not without bound, and whoever loses one is told."""
    for number in range(documents.MOST_CLOSED + 2):
        await here.held(here.open(uri=f"file:///ws/{number}.qwen.md"))
        here.session.texts.close(f"file:///ws/{number}.qwen.md")
    assert len(here.session.documents.writings) == documents.MOST_CLOSED
    assert [s for s in here.said if "dropped" in s] == [
        f"The answer that waited for {n}.qwen.md is dropped" for n in range(2)
    ]


async def test_remarks_alone_do_not_wait(here: Alone) -> None:
    """What went wrong is told in any case; the message can be sent again at once."""
    here.session.editor.capabilities.workspace = None
    writing = here.begin(text := here.open())
    writing.finish(["The provider is down"])
    await asyncio.wait_for(writing.ended.wait(), 5)
    assert writing.stage is Stage.OVER
    assert here.session.documents.writing(text.uri) is None
