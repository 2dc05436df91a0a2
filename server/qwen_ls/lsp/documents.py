"""Answers into chat documents, by `workspace/applyEdit` alone.

Every edit is a pure insertion at the end of the answer, against the version that was seen last, one at a
time. What counts is the `didChange` that follows, not what the client says of the edit: some clients say
`applied` and have skipped it, others say nothing. An edit that is not seen is worked out anew and sent
again; a client that goes on dropping them gets the rest by one more action of its user's. Whatever the
user changes before the answer's last line moves the place; a change there, or below it, ends the answer.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

import attrs
from lsprotocol import types

from qwen_ls import contract, payloads
from qwen_ls.core.chat import Role, StopReason
from qwen_ls.core.chatdoc import (
    LANGUAGE_ID,
    SUFFIX,
    AnswerWriter,
    answer_position,
    last_block,
    parse_document,
    write_mark,
)
from qwen_ls.core.context import given_of, together
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.slash import is_cleared
from qwen_ls.lsp.chat import Conversation, given_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwen_ls.actions.chat import Turn
    from qwen_ls.core.chat import Delta
    from qwen_ls.core.chatdoc import ChatDocument
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

EVERY = 0.06  # seconds between two edits: often enough for reading along
ECHO_TIMEOUT = 300.0  # seconds for the `didChange` of an applied edit; Emacs tells when its user rests
BLOCKED = 30.0  # seconds for it where the client says nothing: its user may have a prompt to answer first
SETTLE = 0.5  # seconds for it where the document has changed meanwhile, or the client has said no
MOST_REFUSALS = 3  # edits in a row that are not taken, before the rest is held back
OPENING, CLOSING = "### assistant\n\n", "\n\n### user\n"
FORGETFUL = {"Eglot"}
"""Clients that take an edit against a text they have not told yet, as if nothing had changed.

Emacs tells what is typed only after half a second of rest, and counts versions when it tells. A line added
above meanwhile would put the edit one line too high; but a place beyond the end is the end to it, whatever
has become of the lines before, so answers for it are written at the very end.
"""
PAST_THE_END = types.Position(2**31 - 1, 0)
CUT = "cut off: the provider's limit of tokens was reached"


class Stage(Enum):
    """How an answer stands with its document."""

    WRITING = "writing"
    HELD = "held"  # the client takes no edits but those of its user's own commands
    OVER = "over"


def is_chat(text: Text) -> bool:
    """Whether a document is a chat document."""
    return text.language_id == LANGUAGE_ID or text.uri.lower().endswith(SUFFIX)


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Whether an event comes within some seconds."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiting}, timeout=seconds)
        return event.is_set()
    finally:
        waiting.cancel()


@attrs.define(eq=False)
class Writing:
    """One answer on its way into a document. A watcher of that document, and an outlet of a conversation.

    `stop` ends the answer where it comes from. `ended` is set when nothing more will be written.
    """

    session: Session
    text: Text
    stop: Callable[[], object]
    stage: Stage = Stage.WRITING
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    _writer: AnswerWriter = attrs.field(factory=AnswerWriter)
    _arrived: list[str] = attrs.field(factory=list)
    _marks: list[str] | None = None  # set when the answer has all come
    _woken: asyncio.Event = attrs.field(factory=asyncio.Event)
    _complete: asyncio.Event = attrs.field(factory=asyncio.Event)
    _is_begun: bool = False  # whether anything of it stands in the document
    _is_said: bool = False  # whether anything of the answer has been given out to be written
    _block: int = 0  # where its heading begins; offsets in the text with LF
    _anchor: int = 0  # where the next piece goes
    _flight: str = ""  # the edit that is under way
    _seen: asyncio.Event = attrs.field(factory=asyncio.Event)
    _moved: asyncio.Event = attrs.field(factory=asyncio.Event)
    _held: list[str] = attrs.field(factory=list)

    # --- what comes --------------------------------------------------------------------------------

    def delta(self, delta: Delta) -> None:
        """A piece of the answer."""
        if delta.text:
            self._arrived.append(delta.text)
            self._woken.set()

    def end(self, turn: Turn, problem: Problem | None) -> None:
        """The answer is over, and this is how."""
        self.finish(marks_of(turn, problem))

    def finish(self, marks: list[str]) -> None:
        """Nothing more comes; what is to be remarked below."""
        self._marks = marks
        self._woken.set()
        self._complete.set()

    # --- what the document does --------------------------------------------------------------------

    def changed(self, before: str, after: str) -> None:
        """The document has changed: by our own edit, by the user, or by both at once."""
        self._moved.set()
        if self.stage is Stage.OVER:
            return
        anchor = self._anchor
        expected = before[:anchor] + self._flight + before[anchor:]
        if after == expected:
            self._landed(anchor)
            return
        if self._is_begun and is_kept_but_for_blanks(expected, after, anchor + len(self._flight)):
            self._landed(anchor)  # with blanks at the end, which editors like to tidy up when they save
            return
        if self._is_begun and is_kept_but_for_blanks(before, after, anchor):
            return
        for start in (self._block, before.rfind("\n", 0, anchor) + 1):
            if self._flight and is_kept(expected, after, start):
                self._landed(anchor + len(after) - len(expected), start)
                return
            if is_kept(before, after, start):
                self._shift(len(after) - len(before), start)
                return
        if (self._is_begun or self._has_begun(before, after)) and self.stage is Stage.WRITING:
            self._take_leave()  # the user has changed where we write

    def _has_begun(self, before: str, after: str) -> bool:
        """Whether the first piece has come into the text, along with what its user wrote there at once."""
        head = self._flight.strip().partition("\n")[0]
        return bool(head) and after.count(head) > before.count(head)

    def closed(self) -> None:
        """The document is gone."""
        self._take_leave()
        self.session.documents.changed(self)

    def _shift(self, by: int, start: int) -> None:
        self._anchor += by
        if start <= self._block:
            self._block += by

    def _landed(self, anchor: int, start: int = 0) -> None:
        """The edit under way stands in the document, at `anchor`."""
        self._shift(anchor - self._anchor, start)
        self._anchor += len(self._flight)
        if self._flight and not self._is_begun:
            self._is_begun = True
            self._block = anchor + len(self._flight) - len(self._flight.lstrip("\n"))
        self._flight = ""
        self._seen.set()

    def _take_leave(self) -> None:
        self.stage = Stage.OVER
        self.stop()
        self._woken.set()
        self._moved.set()

    # --- writing -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what comes until it is over."""
        self.text.watchers.append(self)
        try:
            await self._write()
        finally:
            if self.stage is not Stage.HELD:
                self._close()
            self.ended.set()
            self.session.documents.changed(self)

    def _close(self) -> None:
        self.stage = Stage.OVER
        if self in self.text.watchers:
            self.text.watchers.remove(self)

    async def _write(self) -> None:
        while self.stage is not Stage.OVER:
            await self._woken.wait()
            self._woken.clear()
            is_all = self._marks is not None
            piece = self._writer.feed("".join(self._arrived))
            self._arrived.clear()
            self._is_said = self._is_said or bool(piece)
            piece += self._last_words() if is_all else ""
            if piece and (self.stage is Stage.HELD or not await self._insert(piece)):
                self._hold(piece)
            if is_all:
                return
            await happens(self._complete, EVERY)

    def _last_words(self) -> str:
        """The rest of the answer, the remarks, and the heading of the next message if there was an answer."""
        rest = self._writer.end()
        self._is_said = self._is_said or bool(rest)
        marks = "\n".join(map(write_mark, self._marks or []))
        last = "\n" if self._is_at_end else ""  # where the document's last line end is before the answer
        return rest + (f"\n\n{marks}" if marks else "") + (CLOSING if self._is_said else "") + last

    async def _insert(self, piece: str) -> bool:
        """Put a piece in at the end of the answer; whether it stands there."""
        refusals = 0
        while self.stage is not Stage.OVER and refusals < MOST_REFUSALS:
            version = self.text.version
            self._flight = piece if self._is_begun else self._opening() + piece
            self._seen.clear()
            self._moved.clear()
            applied = await self._apply(self._flight, version)
            has_moved = self.text.version != version
            patience = SETTLE if has_moved else {True: ECHO_TIMEOUT, None: BLOCKED, False: SETTLE}[applied]
            if not (applied is False and has_moved) and await self._is_seen(patience):
                return True
            self._flight = ""
            refusals = refusals + 1 if self.text.version == version else 0
        return False

    def _opening(self) -> str:
        """What comes before the first piece; an answer that says nothing has no heading."""
        text = self.text.text
        self._block = self._anchor = answer_position(text)
        gap = "\n\n" if self._anchor else ""
        if self.session.editor.name in FORGETFUL:
            gap = gap[text.count("\n", self._anchor) :]
            self._block = self._anchor = len(text)
        return gap + OPENING if self._is_said else ""

    @property
    def _is_at_end(self) -> bool:
        """Whether the answer is written at the very end, for a client that may have changed what is above."""
        return self.session.editor.name in FORGETFUL and self._anchor == len(self.text.text)

    async def _is_seen(self, patience: float) -> bool:
        while not self._seen.is_set():
            if self.stage is Stage.OVER or not await happens(self._moved, patience):
                return self._seen.is_set()
            self._moved.clear()
            patience = SETTLE
        return True

    async def _apply(self, inserted: str, version: int) -> bool | None:
        """Ask the client for the edit; what it says, None if nothing."""
        before = self.text.text[: self._anchor]
        line = before.count("\n")
        place = self.text.position(line, self._anchor - (before.rfind("\n") + 1))
        if self._is_at_end:
            place = PAST_THE_END
        edit = types.TextEdit(types.Range(place, place), inserted)
        return await self.session.editor.apply(self._edit_of(edit, version))

    def _edit_of(self, edit: types.TextEdit, version: int) -> types.WorkspaceEdit:
        if not self.session.editor.takes_versions:
            return types.WorkspaceEdit(changes={self.text.uri: [edit]})
        document = types.OptionalVersionedTextDocumentIdentifier(self.text.uri, version)
        return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(document, [edit])])

    # --- clients that drop edits -------------------------------------------------------------------

    def _hold(self, piece: str) -> None:
        if self.stage is Stage.OVER:
            return
        if self.stage is Stage.WRITING:
            self.stage = Stage.HELD
            self.session.documents.changed(self)
        self._held.append(piece)

    async def insert_held(self) -> None:
        """Put in what was held back: now, as part of a command of the user's. Raises Problem."""
        piece, self._held = "".join(self._held), []
        self.stage = Stage.WRITING
        end = answer_position(self.text.text)
        if self._is_begun and end != self._anchor:
            last = last_block(self.text.lines)
            heading = "" if last is not None and last.role is Role.ASSISTANT else OPENING
            self._anchor, piece = end, f"\n\n{heading}" + piece.lstrip("\n")
        if await self._insert(piece):
            self._close()
            self.session.documents.changed(self)
            return
        self.stage, self._held = Stage.HELD, [piece]
        remedy = "Run the action again, or ask with qwen.chat.send, whose result holds the answer"
        raise Problem(Kind.NOT_SUPPORTED, "The editor did not take the answer", remedy=remedy)


def is_kept(old: str, new: str, start: int) -> bool:
    """Whether `new` is `old` with changes before `start` alone, which begins a line in both."""
    kept = old[start:]
    if not new.endswith(kept):
        return False
    at = len(new) - len(kept)
    return (at == 0 or new[at - 1] == "\n") if start else at == 0


def is_kept_but_for_blanks(old: str, new: str, end: int) -> bool:
    """Whether `new` is `old` up to `end`, and both have nothing but blanks after it."""
    return new.startswith(old[:end]) and not (old[end:].strip() or new[end:].strip())


def marks_of(turn: Turn, problem: Problem | None) -> list[str]:
    """What is to be remarked below an answer."""
    if problem is not None:
        return [problem.message]
    marks: list[str] = []
    if turn.stop_reason is StopReason.CANCELLED:
        marks.append("stopped")
    if turn.stop_reason is StopReason.MAX_TOKENS:
        marks.append(CUT)
    if turn.stand_in is not None:
        marks.append(turn.stand_in)
    return marks


@attrs.define(eq=False)
class Documents:
    """The answers under way into chat documents, and those that are held back, by URI."""

    session: Session
    writings: dict[str, Writing] = attrs.field(factory=dict)

    def writing(self, uri: str) -> Writing | None:
        """The answer that is on its way into a document, or held back."""
        return self.writings.get(uri)

    def begin(self, text: Text, stop: Callable[[], object]) -> Writing:
        """Make the way for an answer. Raises Problem where another one is on it."""
        held = self.writings.get(text.uri)
        if held is not None and held.stage is not Stage.OVER:
            what, remedy = "An answer is being written into this document", "Wait for it, or stop it"
            if held.stage is Stage.HELD:
                what, remedy = "An answer waits for this document", "Run the action Insert answer first"
            raise Problem(Kind.NOT_SUPPORTED, what, where=text.path or text.uri, remedy=remedy)
        writing = self.writings[text.uri] = Writing(self.session, text, stop)
        self.session.spawn(writing.run())
        self.changed(writing)
        return writing

    def changed(self, writing: Writing) -> None:
        """How an answer stands is another: the document's actions are too."""
        if writing.stage is Stage.OVER and self.writings.get(writing.text.uri) is writing:
            del self.writings[writing.text.uri]
        if writing.stage is Stage.HELD and writing.ended.is_set():
            self.session.editor.say("The answer is ready: run the code action Qwen: Insert answer")
        self.session.refresh_lenses()

    def stop(self, uri: str) -> bool:
        """Stop the answer into a document; whether there was one."""
        writing = self.writings.get(uri)
        return writing is not None and bool(writing.stop())

    async def insert(self, uri: str | None) -> bool:
        """Put in the answers that were held back and have all come; whether there was any. Raises Problem."""
        wanted = [w for w in self.writings.values() if uri in {None, w.text.uri}]
        held = [w for w in wanted if w.stage is Stage.HELD and w.ended.is_set()]
        for writing in held:
            await writing.insert_held()
        return bool(held)

    def open(self, uri: str) -> Text:
        """An open chat document. Raises Problem."""
        text = self.session.texts.get(uri)
        if text is not None and is_chat(text):
            return text
        what = "No such chat document is open" if text is None else "That is no chat document"
        remedy = f"Open a file whose name ends in {SUFFIX}"
        raise Problem(Kind.NOT_SUPPORTED, what, where=uri, remedy=remedy)


def message_of(document: ChatDocument, text: Text) -> str:
    """The message that is to be sent. Raises Problem where there is none."""
    last = document.last
    if last is None or last.role is not Role.USER or not last.content:
        remedy = "Write one below a line `### user` at the end"
        raise Problem(
            Kind.NOT_SUPPORTED, "There is no message to send", where=text.path or text.uri, remedy=remedy
        )
    return last.content


async def send(session: Session, params: contract.ChatSendParams, *, twin: bool) -> contract.ChatResult:
    """Send a chat document's last message and write the answer into it."""
    assert params.document is not None  # noqa: S101 - else it is not sent here
    world, place = await session.world(), await session.place(params.document)
    text = session.documents.open(params.document)  # only now: it may have been closed meanwhile
    document = parse_document(text.text)
    message_of(document, text)
    turn = world.chats.begin(place, None, document.messages, None, keep=False)
    turn.asked_model = params.model or document.front.get("model") or None
    chosen = given_by(params.context)
    turn.given = together(given_of(document.front), chosen)
    turn.unmentioned = chosen if is_cleared(document.messages) else None
    turn.is_given_for_good, turn.thread = True, text.uri
    try:
        writing = session.documents.begin(text, turn.stop)
    except Problem:
        world.chats.turns.pop(turn.id, None)
        raise
    waits = twin or params.wait
    conversation = Conversation(session, world, turn, writing)
    task = session.task(conversation.run(params.work_done_token, tell=not waits))
    if waits:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            turn.stop()
            raise
        finally:
            if turn.over:
                await writing.ended.wait()
    return payloads.chat_result(turn, with_text=False)
