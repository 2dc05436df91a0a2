"""One answer on its way into a chat document, by `workspace/applyEdit` alone.

Every edit is a pure insertion at the end of the answer, against the version that was seen last, one at a
time. What counts is the `didChange` that follows, not what the client says of the edit: some clients say
`applied` and have skipped it, others say nothing. An edit that is not seen is worked out anew and sent
again; a client that goes on dropping them, says nothing of them, or takes none at all, gets the rest by
one more action of its user's. An edit that comes very late all the same is not put in again. What waits
for its user waits for the session, also while the document is closed. Whatever the user changes before
the answer's last line moves the place; a change there, or below it, ends the answer. So does a change of
the message that is answered, or below it, before anything of the answer stands there.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum
from typing import TYPE_CHECKING

import attrs
from lsprotocol import types

from qwen_ls.core.chat import Role, StopReason
from qwen_ls.core.chatdoc import AnswerWriter, answer_position, find_messages, last_block, write_mark
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.lsp.rpc import ASK_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwen_ls.actions.chat import Turn
    from qwen_ls.core.chat import Delta
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

EVERY = 0.06  # seconds between two edits: often enough for reading along
ECHO_TIMEOUT = 300.0  # seconds for the `didChange` of an applied edit; Emacs tells when its user rests
BLOCKED = 10.0  # seconds for it where the client says nothing: its user may have a prompt to answer first
SETTLE = 0.5  # seconds for it where the document has changed meanwhile, or the client has said no
MOST_REFUSALS = 3  # edits in a row that are not taken, before the rest is held back
INSERT_TIMEOUT = 1.0  # seconds for a held answer to be taken: a command is answered within two
OPENING, CLOSING = "### assistant\n\n", "\n\n### user\n"
FORGETFUL = {"Eglot"}
"""Clients that take an edit against a text they have not told yet, as if nothing had changed.

Emacs tells what is typed only after half a second of rest, and counts versions when it tells. A line added
above meanwhile would put the edit one line too high; but a place beyond the end is the end to it, whatever
has become of the lines before, so answers for it are written at the very end, also where saving has put
a line end there: it stays in the answer.
"""
PAST_THE_END = types.Position(2**31 - 1, 0)
CHANGED = "its message has been changed"


class Stage(Enum):
    """How an answer stands with its document."""

    WRITING = "writing"
    HELD = "held"  # the client takes no edits but those of its user's own commands
    OVER = "over"


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

    `asked` is the message that is answered. `stop` ends the answer where it comes from. `ended` is set when
    nothing more will be written.
    """

    session: Session
    text: Text
    asked: str
    stop: Callable[[], object]
    number: int = 1  # of those that say the same
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
    _held: list[str] = attrs.field(factory=list)  # an edit that may still come late puts in the first
    _written: list[str] = attrs.field(factory=list)  # what of it the document has taken
    _is_inserting: bool = False  # what is held is on its way, by a command of the user's
    has_failed: bool = False  # the client has not taken what is held, although its user asked for it

    @property
    def is_open(self) -> bool:
        """Whether its document is open, and the same as it was."""
        return self.session.texts.get(self.text.uri) is self.text

    @property
    def is_ready(self) -> bool:
        """Whether all of it has come, and waits to be put in."""
        return self.stage is Stage.HELD and self.ended.is_set() and not self._is_inserting

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
            by = shift_of(expected, after, start, anchor + len(self._flight)) if self._flight else None
            if by is not None:
                self._landed(anchor + by, start)
                return
            by = shift_of(before, after, start, anchor)
            if by is not None:
                self._shift(by, start)
                return
        if (self._is_begun or self._has_begun(before, after)) and self.stage is Stage.WRITING:
            self._take_leave()  # the user has changed where we write

    def _has_begun(self, before: str, after: str) -> bool:
        """Whether the first piece has come into the text, along with what its user wrote there at once."""
        head = self._flight.strip().partition("\n")[0]
        return bool(head) and after.count(head) > before.count(head)

    def closed(self) -> None:
        """The document is gone; what is held back waits for it to be opened again."""
        if self.stage is Stage.HELD:
            self._flight = ""
            self._moved.set()
            self.stop()
            self.session.documents.keep(self)
        else:
            self._take_leave()
            self.session.documents.changed(self)

    def reopened(self, text: Text) -> None:
        """The document is there again, perhaps as it was before any of the answer."""
        self.text, self._anchor = text, -1
        stood = "".join(self._written).strip("\n")
        if self._is_begun and stood not in text.text:
            self._is_begun = False
            self._written.clear()
            self._held.insert(0, stood.removeprefix(OPENING))
        text.watchers.append(self)

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
        self._written.append(self._flight)
        self._flight = ""
        self._seen.set()
        if not self._is_inserting:
            self.session.documents.drops_edits = False
        if self.stage is Stage.HELD:
            self._held_landed()

    def _held_landed(self) -> None:
        """The first of what is held stands in the document: as wanted, or very late."""
        del self._held[:1]
        self._is_inserting = False
        if not self.ended.is_set():
            self.stage = Stage.WRITING  # the client takes edits after all
            self._woken.set()
        elif self._held:
            self.session.spawn(self._go_on())
            return
        else:
            self._close()
        self.session.documents.changed(self)

    async def _go_on(self) -> None:
        """An edit has come late: the client takes them after all, so put in the rest."""
        with contextlib.suppress(Problem):
            if self.is_ready and self.is_open:
                await self.insert_held()
                return
        self.has_failed = False  # nobody has asked for it
        self.session.documents.changed(self)

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

    def drop(self) -> None:
        """Give up what is held back."""
        self.session.editor.say(f"The answer that waited for {self.text.name} is dropped")
        self._close()
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
            if self.stage is Stage.HELD:
                self._hold(piece)
            elif self._held or piece:
                piece = "".join([*self._held, piece])
                self._held.clear()
                if not await self._insert(piece):
                    self._hold(piece)
            if is_all:
                return
            await happens(self._complete, EVERY)

    def _last_words(self) -> str:
        """The rest of the answer, the remarks, and the heading of the next message if there was an answer."""
        rest = self._writer.end()
        self._is_said = self._is_said or bool(rest)
        marks = "\n".join(map(write_mark, self._marks or []))
        last = "\n" if self._is_forgetful else ""  # where the document's last line end is before the answer
        return rest + (f"\n\n{marks}" if marks else "") + (CLOSING if self._is_said else "") + last

    async def _insert(self, piece: str) -> bool:
        """Put a piece in at the end of the answer; whether it stands there."""
        refusals = 0
        is_dropper = self.session.documents.drops_edits  # then one try shows whether it still is
        while self.stage is not Stage.OVER and refusals < (1 if is_dropper else MOST_REFUSALS):
            if not (self._is_begun or self._has_place()):
                self._take_leave()
                if self._is_said:
                    self.session.editor.say(f"The answer is not written into {self.text.name}: {CHANGED}")
                return False
            version = self.text.version
            applied = await self._put(piece, ASK_TIMEOUT)
            has_moved = self.text.version != version
            silence = SETTLE if is_dropper else BLOCKED
            patience = SETTLE if has_moved else {True: ECHO_TIMEOUT, None: silence, False: SETTLE}[applied]
            if not (applied is False and has_moved) and await self._is_seen(patience):
                return True
            has_moved = self.text.version != version
            if applied is None and not has_moved:
                return False  # it may still come
            self._flight = ""
            refusals = 0 if has_moved else refusals + 1
        return False

    async def _put(self, piece: str, timeout: float) -> bool | None:
        """Ask once for a piece to be put in; what the client says, None if nothing."""
        if self._is_begun and self._is_forgetful:
            piece = self._at_the_end(piece)
        self._flight = piece if self._is_begun else self._opening() + piece
        self._seen.clear()
        self._moved.clear()
        return await self._apply(self._flight, self.text.version, timeout)

    def _has_place(self) -> bool:
        """Find where the first piece goes: right after the message that is answered; whether that is there.

        What was held back may also go above the messages that its user has written meanwhile.
        """
        same = find_messages(self.text.text, self.asked)
        if len(same) < self.number:
            return False
        asked = same[self.number - 1]
        must_be_last = self.stage is Stage.WRITING or self._is_forgetful
        if must_be_last and asked.end < len(self.text.lines):
            return False
        self._block = self._anchor = answer_position("\n".join(self.text.lines[: asked.end]))
        return True

    def _opening(self) -> str:
        """What comes before the first piece; an answer that says nothing has no heading."""
        text = self.text.text
        gap = "\n\n" if self._anchor else ""
        if self._is_forgetful:
            gap = gap[text.count("\n", self._anchor) :]
            self._block = self._anchor = len(text)
        return gap + OPENING if self._is_said else ""

    @property
    def _is_forgetful(self) -> bool:
        """Whether the answer is written at the very end, for a client that may have changed what is above."""
        return self.session.editor.name in FORGETFUL

    def _at_the_end(self, piece: str) -> str:
        """Let a piece go below the blanks that are behind the answer by now: the piece as it follows them."""
        text = self.text.text
        ends = text.count("\n", self._anchor)
        self._anchor = len(text)
        if not ends:
            return piece
        own = len(piece) - len(piece.lstrip("\n"))
        # A blank, so that it is no heading, nor anything else of a line's start.
        return piece[min(own, ends) :] if own else f" {piece}"

    async def _is_seen(self, patience: float) -> bool:
        while not self._seen.is_set():
            if self.stage is Stage.OVER or not await happens(self._moved, patience):
                return self._seen.is_set()
            self._moved.clear()
            patience = SETTLE
        return True

    async def _apply(self, inserted: str, version: int, timeout: float) -> bool | None:
        """Ask the client for the edit; what it says, None if nothing."""
        before = self.text.text[: self._anchor]
        line = before.count("\n")
        place = self.text.position(line, self._anchor - (before.rfind("\n") + 1))
        if self._is_forgetful:
            place = PAST_THE_END
        edit = types.TextEdit(types.Range(place, place), inserted)
        return await self.session.editor.apply(self._edit_of(edit, version), timeout)

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
            self.session.documents.drops_edits = True
            self.session.documents.changed(self)
        if self._is_said:
            self._held.append(piece)
        elif self._marks is not None:
            self._close()  # nothing but remarks, which its user is told in any case

    async def insert_held(self) -> None:
        """Put in what was held back: now, as part of a command of the user's. Raises Problem.

        Answers in time for that command; a client that says yes may tell of the change later.
        """
        piece = "".join(self._held)
        self._held, self._is_inserting = [piece], True
        end = answer_position(self.text.text)
        if not self._is_begun:
            if not self._has_place():
                self._fail(may_come=True)
                remedy = "Make it what it was and insert again, or send again, which drops the answer"
                what = f"The answer is not inserted: {CHANGED}"
                raise Problem(Kind.NOT_SUPPORTED, what, where=self.text.name, remedy=remedy)
            piece = piece if self._anchor == end else piece.removesuffix(CLOSING)
        elif end != self._anchor:
            last = last_block(self.text.lines)
            heading = "" if last is not None and last.role is Role.ASSISTANT else OPENING
            self._anchor, piece = end, f"\n\n{heading}" + piece.lstrip("\n")
        applied = await self._put(piece, INSERT_TIMEOUT)
        if await happens(self._seen, SETTLE):
            return
        if applied is True:
            self.session.spawn(self._settle())
            return
        self._fail(may_come=applied is None)
        remedy = "Run the action again, or ask with qwen.chat.send, whose result holds the answer"
        raise Problem(Kind.NOT_SUPPORTED, "The editor did not take the answer", remedy=remedy)

    async def _settle(self) -> None:
        """The client says that it has put in what was held, and has yet to tell of it."""
        if not await self._is_seen(ECHO_TIMEOUT):
            self._fail(may_come=False)
            self.session.documents.changed(self)

    def _fail(self, *, may_come: bool) -> None:
        self._is_inserting, self.has_failed = False, True
        self._flight = self._flight if may_come else ""


def shift_of(old: str, new: str, start: int, end: int) -> int | None:
    """How far the lines of `old` from `start` have moved in `new`; None where they have changed.

    Blanks after `end` do not count where nothing else is there, as in `is_kept_but_for_blanks`.
    """
    kept = old[start:]
    if not new.endswith(kept):
        kept, new = old[start:end].rstrip(), new.rstrip()
        if old[end:].strip() or not kept or not new.endswith(kept):
            return None
    at = len(new) - len(kept)
    is_line = (at == 0 or new[at - 1] == "\n") if start else at == 0
    return at - start if is_line else None


def is_kept_but_for_blanks(old: str, new: str, end: int) -> bool:
    """Whether `new` is `old` up to `end`, and both have nothing but blanks after it."""
    return new.startswith(old[:end]) and not (old[end:].strip() or new[end:].strip())


def marks_of(turn: Turn, problem: Problem | None) -> list[str]:
    """What is to be remarked below an answer."""
    if problem is not None:
        return [problem.message]
    return (["stopped"] if turn.stop_reason is StopReason.CANCELLED else []) + turn.remarks
