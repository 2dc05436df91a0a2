"""Chat for an editor: a turn in a task of its own, its deltas to the client's token, its end told once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import attrs
from lsprotocol import types

from qwen_ls import contract, payloads
from qwen_ls.actions.browser_login import OPENROUTER
from qwen_ls.actions.chat import take, uncancel
from qwen_ls.core.chat import Delta, Message, Role, StopReason
from qwen_ls.core.context import Diagnostic, Given, Selection, Severity, cut
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.secret_files import check_text
from qwen_ls.core.slash import CLEAR, last_command, without_commands
from qwen_ls.lsp.folders import path_of
from qwen_ls.lsp.rpc import AnswerFailed, mistake
from qwen_ls.lsp.signing import accompany, end_of
from qwen_ls.lsp.slash import run as run_slash
from qwen_ls.wire import to_wire

if TYPE_CHECKING:
    from qwen_ls.actions.chat import Turn
    from qwen_ls.core.slash import Slash
    from qwen_ls.lsp import rpc
    from qwen_ls.lsp.editor import Progress
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Texts
    from qwen_ls.lsp.world import World

EVERY = 0.016  # seconds between two deltas of a burst: a screen's frame
SHOW_AFTER = 0.1  # seconds before a progress of our own
NOTHING = "There is no message to send"
LOGIN, NOT_NOW = "qwen.auth.login", "Not now"


@attrs.define(eq=False)
class Deltas:
    """Deltas to a partial-result token: the first at once, bursts together, in order, counted by `seq`."""

    protocol: rpc.Protocol
    token: str | int
    turn_id: str
    seq: int = 0
    _kind: str = "delta"
    _pieces: list[str] = attrs.field(factory=list)
    _timer: asyncio.TimerHandle | None = None

    def delta(self, delta: Delta) -> None:
        """Take a piece."""
        if delta.reasoning:
            self._take("reasoning", delta.reasoning)
        if delta.text:
            self._take("delta", delta.text)

    def _take(self, kind: str, text: str) -> None:
        if kind != self._kind:
            self._send()
            self._kind = kind
        self._pieces.append(text)
        if self._timer is None:
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        if self._pieces:
            self._send()
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._flush)

    def _send(self) -> None:
        if self._pieces:
            value = {
                "kind": self._kind,
                "turnId": self.turn_id,
                "seq": self.seq,
                "text": "".join(self._pieces),
            }
            self._pieces.clear()
            self.seq += 1
            self.protocol.tell(types.PROGRESS, {"token": self.token, "value": value})

    def end(self, turn: Turn, problem: Problem | None) -> None:
        """What is left, then the end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send()
        end = to_wire(payloads.chat_end(turn, self.seq, problem))
        self.protocol.tell(types.PROGRESS, {"token": self.token, "value": end})


class Outlet(Protocol):
    """Where an answer goes: to a partial-result token, or into a document."""

    def delta(self, delta: Delta) -> None:
        """A piece of it."""

    def end(self, turn: Turn, problem: Problem | None) -> None:
        """The end of it."""


@attrs.define(eq=False)
class Conversation:
    """One turn on its way to the editor. Fits the Sink port of the actions."""

    session: Session
    world: World
    turn: Turn
    outlet: Outlet | None
    progress: Progress | None = None
    _noted: str | None = None
    _is_thinking: bool = False

    def delta(self, delta: Delta) -> None:
        """A piece of the answer, or of the reasoning before it."""
        if self.outlet is not None:
            self.outlet.delta(delta)
        if delta.reasoning and not self._is_thinking:
            self._is_thinking = True
            self.note("Thinking")

    def note(self, text: str) -> None:
        """What is going on meanwhile; until there is a progress, the last of it is kept for that."""
        self._noted = text
        if self.progress is not None:
            self.progress.report(text)

    def begin(self, token: str | int | None, *, tell: bool) -> asyncio.Task[Turn]:
        """Run it in a task of its own; from now on a cancel of the token ends it."""
        self.session.editor.ends(token, self.turn.stop)
        return self.session.task(self.run(token, tell=tell))

    async def run(self, token: str | int | None, *, tell: bool) -> Turn:
        """Run the turn to its end and tell it. Raises the problem it ended with.

        `tell` shows a failure as a message too, where no request waits for it.
        """
        editor = self.session.editor
        showing = self.session.task(self._show(token))
        problem: Problem | None = None
        self.session.changed()
        try:
            return await self._answer()
        except Problem as failed:
            problem = failed
            raise
        except asyncio.CancelledError:
            if not self.turn.stopped:
                raise
            uncancel(self.turn.task)
            self.turn.stop_reason = StopReason.CANCELLED
            return self.turn
        except Exception as error:  # noqa: BLE001 - an answer that nobody waits for would end without a word
            problem = mistake(error)
            raise problem from None
        finally:
            self.turn.over = True
            self.world.chats.turns.pop(self.turn.id, None)
            showing.cancel()
            if self.outlet is not None:
                self.outlet.end(self.turn, problem)
            if self.progress is not None:
                extra = to_wire(payloads.chat_end(self.turn, 0, problem))
                editor.close(self.progress, problem.message if problem else self._outcome(), extra)
            editor.forget(token)
            if tell and not isinstance(self.outlet, Deltas):
                self._say(problem)
            self.session.changed()

    async def _show(self, token: str | int | None) -> None:
        """Begin the progress beside the request, not before it; for a quick answer none is made."""
        if token is None:
            await asyncio.sleep(SHOW_AFTER)
        progress = await self.session.editor.progress(token, self.turn.stop)
        progress.begin("Qwen")
        self.progress = progress
        if self._noted is not None:
            progress.report(self._noted)

    async def _reply(self, slash: Slash) -> Turn:
        """Run a command instead of sending it; neither it nor its reply becomes part of the conversation."""
        turn = self.turn
        turn.task = asyncio.current_task()
        if turn.stopped:
            raise asyncio.CancelledError
        text = await run_slash(self.session, turn, slash)
        if slash.name == CLEAR:
            self.world.chats.clear(turn.conversation_id)
        take(turn, Delta(text), self)
        turn.stop_reason = StopReason.END_TURN
        return turn

    async def _answer(self) -> Turn:
        """The answer; signed out, the ways in are offered first, and the message goes on from there."""
        chats, editor = self.world.chats, self.session.editor
        if (slash := last_command(self.turn.messages)) is not None:
            return await self._reply(slash)
        sent, written = self.turn.messages[: self.turn.raw_from], self.turn.messages[self.turn.raw_from :]
        self.turn.messages = (*sent, *without_commands(written))
        try:
            return await chats.run(self.turn, editor, self)
        except Problem as problem:
            if problem.kind is not Kind.SIGNED_OUT:
                raise
            self.turn.over = False
            chats.turns[self.turn.id] = self.turn  # it can be stopped while the question stands
            ways = {a.title: a.argument["method"] for a in problem.actions if a.command == LOGIN}
            ways["Sign in with OpenRouter"] = OPENROUTER
            chosen = await editor.choose(problem.message, [*ways, NOT_NOW])
            if chosen not in ways:
                raise
        login = self.world.logins.start(ways[chosen], self.turn.place, None, editor)
        self.session.spawn(accompany(self.session, login, None, tell=False))
        await end_of(login)
        return await chats.run(self.turn, editor, self)

    def _say(self, problem: Problem | None) -> None:
        """Say what stands in no answer: why there is none."""
        if problem is not None:
            self.session.editor.say(problem.message, types.MessageType.Error)
        elif self.turn.stop_reason not in {None, StopReason.CANCELLED} and self.turn.is_wordless:
            self.session.editor.say("; ".join(self.turn.remarks), types.MessageType.Warning)

    def _outcome(self) -> str | None:
        if self.turn.stop_reason is StopReason.CANCELLED:
            return "Stopped"
        return "; ".join(self.turn.remarks) or None


def given_by(context: contract.ChatContext | None, texts: Texts) -> Given:
    """What a client gives along, with paths for URIs. Raises Problem."""
    if context is None:
        return Given()
    selection = None
    if (chosen := context.selection) is not None:
        selection = selection_of(chosen)
        is_file = path_of(chosen.uri) is not None
        if chosen.text is None and not is_file and (opened := texts.get(chosen.uri)) is not None:
            text = cut(check_text(opened.text, selection.path), selection.lines, selection.path)
            selection = attrs.evolve(selection, text=text)
    files = tuple(path_of(file) or file for file in context.files)
    return Given(selection, files, tuple(map(diagnostic_of, context.diagnostics)))


def selection_of(chosen: contract.ChatSelection) -> Selection:
    """A client's selection; lines before the first count as the first."""
    path = path_of(chosen.uri) or chosen.uri
    start = max(0, chosen.start_line)
    return Selection(path, start, max(start, chosen.end_line), chosen.text, chosen.language_id)


def diagnostic_of(found: contract.ChatDiagnostic) -> Diagnostic:
    """A client's diagnostic."""
    path = path_of(found.uri) or found.uri
    return Diagnostic(
        path, max(0, found.line), Severity(found.severity), found.message, found.source, found.code
    )


async def send(session: Session, params: contract.ChatSendParams, *, twin: bool) -> contract.ChatResult:
    """Send a message. A request twin, and a command with `wait`, answer with the end; else the beginning."""
    if params.text is not None and not params.text.strip():
        raise Problem(Kind.NOT_SUPPORTED, NOTHING, remedy="Write one")
    world, place = await session.world(), await session.place(params.uri)
    messages = (
        None if params.messages is None else [Message(Role(m.role), m.content) for m in params.messages]
    )
    given = given_by(params.context, session.texts)
    turn = world.chats.begin(place, params.text, messages, params.conversation_id)
    turn.asked_model, turn.given = params.model, given
    token = params.partial_result_token
    deltas = None if token is None else Deltas(session.editor.protocol, token, turn.id)
    waits = twin or params.wait
    conversation = Conversation(session, world, turn, deltas)
    task = conversation.begin(params.work_done_token, tell=not waits)
    if not waits:
        return payloads.chat_result(turn, with_text=False)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        turn.stop()
        await asyncio.wait({task}, timeout=1.0)  # the last delta comes before the reply
        raise
    except Problem as problem:
        if not turn.text:
            raise
        raise AnswerFailed(problem, payloads.chat_result(turn, with_text=deltas is None)) from None
    return payloads.chat_result(turn, with_text=deltas is None)
