"""Send a message and stream the answer: conversations, turns, stop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.context import attach
from qwen_ls.actions.opening import Opening
from qwen_ls.actions.outgoing import Gate
from qwen_ls.actions.provider import model_of, with_consent, with_token
from qwen_ls.actions.resolve import stand
from qwen_ls.core.chat import (
    Answer,
    Delta,
    ErrorInStream,
    Message,
    Role,
    StopReason,
    Usage,
    bad_reply,
)
from qwen_ls.core.context import Given
from qwen_ls.core.errors import Kind, Problem, strip_control
from qwen_ls.core.intents import Cut, Unreachable
from qwen_ls.core.replies import (
    MAX_ANSWER,
    Refusal,
    content_type_of,
    explain_no_reply,
    explain_refusal,
    explain_stream_error,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_ls.actions.opening import Opened
    from qwen_ls.actions.ports import Human, Place, Ports, Sink
    from qwen_ls.actions.tokens import Accounts

ENDINGS = {
    StopReason.MAX_TOKENS: "the answer ends here because it reached the limit of tokens (max_tokens)",
    StopReason.REFUSAL: "the provider withheld the rest of the answer (refusal)",
}
WORDLESS = "the provider ended the answer without a word"
MOST_CONVERSATIONS = 256  # kept in memory; the one unused for longest goes first


@attrs.define(eq=False)
class Turn:
    """One message and its answer, as far as it has come."""

    id: str
    conversation_id: str
    messages: tuple[Message, ...]
    place: Place
    is_kept: bool = True
    given: Given = attrs.field(factory=Given)
    lasting: Given = attrs.field(factory=Given)  # what belongs to the whole conversation
    is_cleared: bool = False  # the conversation has begun anew: that goes only where it is mentioned
    raw_from: int = 0  # the messages from here on are as they were written
    thread: str = ""  # what a yes to sending secrets holds for; empty: the conversation
    asked_model: str | None = None
    requested_model: str | None = None
    model: str | None = None
    text: list[str] = attrs.field(factory=list)
    reasoning: list[str] = attrs.field(factory=list)
    usage: Usage | None = None
    stop_reason: StopReason | None = None
    task: asyncio.Task[object] | None = None
    stopped: bool = False
    over: bool = False

    @property
    def stand_in(self) -> str | None:
        """What to tell where another model answered than the one asked for."""
        if not self.model or self.model == self.requested_model:
            return None
        return f"{self.model} answered in place of {self.requested_model}"

    @property
    def is_wordless(self) -> bool:
        """Whether nothing can be seen of the answer."""
        return not "".join(self.text).strip()

    @property
    def remarks(self) -> list[str]:
        """What to tell about its end, unless a person has stopped it or it failed."""
        ending = ENDINGS.get(self.stop_reason) if self.stop_reason else None
        if self.stop_reason is StopReason.END_TURN and self.is_wordless:
            ending = WORDLESS
        return [remark for remark in (ending, self.stand_in) if remark is not None]

    def stop(self) -> bool:
        """End the answer and keep what came; whether there was anything to end."""
        if self.over or self.stopped or (self.task is not None and self.task.done()):
            return False
        self.stopped = True
        if self.task is not None:  # else it has not begun: Chats.run sees to it
            self.task.cancel()
        return True


class Chats:
    """The conversations of this process, kept in memory, and the turns under way."""

    def __init__(self, ports: Ports, accounts: Accounts) -> None:
        self._ports = ports
        self._accounts = accounts
        self._conversations: OrderedDict[str, tuple[Message, ...]] = OrderedDict()
        self._gate = Gate(ports)
        self.turns: dict[str, Turn] = {}

    def new(self, *, keep: bool = True) -> str:
        """Begin a conversation and return its id."""
        conversation_id = f"c-{self._ports.entropy.token_bytes(8).hex()}"
        if keep:
            self._keep(conversation_id, ())
        return conversation_id

    def begin(
        self,
        place: Place,
        text: str | None,
        messages: Sequence[Message] | None,
        conversation_id: str | None,
        *,
        keep: bool = True,
    ) -> Turn:
        """Make the turn of a message. Raises Problem for an unknown or busy conversation.

        Without `keep` the conversation is not remembered: somebody else does that.
        """
        if conversation_id is None:
            conversation_id = self.new(keep=keep)
        elif conversation_id not in self._conversations:
            remedy = "Send without conversationId, or with the messages themselves"
            raise Problem(Kind.NOT_SUPPORTED, f"There is no conversation {conversation_id!r}", remedy=remedy)
        if any(t.conversation_id == conversation_id for t in self.turns.values()):
            remedy = "Wait for it, or stop it with qwen.chat.cancel"
            raise Problem(Kind.NOT_SUPPORTED, "An answer is under way in this conversation", remedy=remedy)
        history = self._conversations.get(conversation_id, ()) if messages is None else tuple(messages)
        asked = () if text is None else (Message(Role.USER, text),)
        turn_id = f"t-{self._ports.entropy.token_bytes(8).hex()}"
        turn = Turn(turn_id, conversation_id, (*history, *asked), place, keep)
        turn.raw_from = len(history) if messages is None else 0
        self.turns[turn.id] = turn
        return turn

    def clear(self, conversation_id: str) -> None:
        """Begin a conversation anew, under the same name and with its system messages."""
        if conversation_id in self._conversations:
            kept = (m for m in self._conversations[conversation_id] if m.role is Role.SYSTEM)
            self._keep(conversation_id, tuple(kept))

    def stop(self, turn_id: str | None, conversation_id: str | None) -> bool:
        """Stop a turn, or all of a conversation; whether there was any."""
        found = [
            t
            for t in self.turns.values()
            if (t.id == turn_id if turn_id is not None else t.conversation_id == conversation_id)
        ]
        return any([turn.stop() for turn in found])  # noqa: C419 - each is stopped, not only the first

    async def run(self, turn: Turn, human: Human, sink: Sink) -> Turn:
        """Stream the answer into `sink` and the turn. Raises Problem; what came is kept all the same.

        A stop ends it normally with `cancelled`; a cancel from outside goes through.
        """
        turn.task = asyncio.current_task()
        if turn.stopped:  # stopped before it began
            turn.stop_reason = StopReason.CANCELLED
        try:
            if not turn.stopped:
                await self._complete(turn)
                attempt = partial(self._attempt, turn, human, sink)
                await with_consent(self._ports, turn.place, human.consent, attempt)
        except asyncio.CancelledError:
            if not turn.stopped:
                raise
            uncancel(turn.task)
            turn.stop_reason = StopReason.CANCELLED
        finally:
            turn.over = True
            self.turns.pop(turn.id, None)
            if turn.text and turn.is_kept:
                answer = Message(Role.ASSISTANT, "".join(turn.text))
                self._keep(turn.conversation_id, (*turn.messages, answer))
        return turn

    def _keep(self, conversation_id: str, messages: tuple[Message, ...]) -> None:
        self._conversations[conversation_id] = messages
        self._conversations.move_to_end(conversation_id)
        while len(self._conversations) > MOST_CONVERSATIONS:
            self._conversations.popitem(last=False)

    async def _complete(self, turn: Turn) -> None:
        """Put what goes along into the messages that are as they were written. Raises Problem."""
        sent, written = turn.messages[: turn.raw_from], turn.messages[turn.raw_from :]
        found = await attach(
            self._ports, turn.place, written, turn.given, turn.lasting, is_cleared=turn.is_cleared
        )
        turn.messages = (*sent, *found)
        turn.raw_from = len(turn.messages)  # signed in meanwhile, the turn is run once more

    async def _attempt(self, turn: Turn, human: Human, sink: Sink) -> None:
        standing = await stand(self._ports, turn.place)
        await self._gate.check(standing, turn.messages, turn.thread or turn.conversation_id, human)
        find_model = partial(model_of, self._ports, asked=turn.asked_model)
        signed, model = await with_token(self._ports, self._accounts, standing, find_model)
        turn.requested_model = model
        opening = Opening(self._ports, self._accounts, turn.messages, sink, signed)
        opened = await opening.first_of(tuple(dict.fromkeys((model, *self._ports.settings.fallback_models))))
        try:
            await self._stream(turn, opened, sink)
        finally:
            await opened.exchange.aclose()

    async def _stream(self, turn: Turn, opened: Opened, sink: Sink) -> None:
        answer, exchange, credential = Answer(), opened.exchange, opened.signed.credential
        try:
            if "event-stream" in content_type_of(exchange.headers):
                async for chunk in exchange.chunks():
                    for delta in answer.feed(chunk):
                        take(turn, delta, sink)
            else:
                for delta in await self._whole(opened, answer):
                    take(turn, delta, sink)
            answer.end()
        except Cut:
            answer.end()  # a connection cut after the last word is no loss
        except Unreachable as unreachable:
            raise explain_no_reply(unreachable.reply, credential) from None
        except ErrorInStream as error:
            now = self._ports.clock.now()
            raise explain_stream_error(error.fields, credential, opened.model, now) from None
        finally:
            fallback = opened.model if opened.model != turn.requested_model else None
            turn.model, turn.usage = answer.model or fallback, answer.usage
        turn.stop_reason = answer.stop_reason

    async def _whole(self, opened: Opened, answer: Answer) -> list[Delta]:
        """An answer that came at once, as JSON; anything else is explained."""
        exchange, credential = opened.exchange, opened.signed.credential
        body = await exchange.read_json(MAX_ANSWER)
        if body is None:
            content_type = content_type_of(exchange.headers)
            if "html" in content_type:
                page = Refusal(exchange.status, None, exchange.headers, content_type)
                raise explain_refusal(page, credential, opened.model, self._ports.clock.now())
            raise bad_reply(f"{credential.base_url} answered with neither events nor JSON")
        return answer.whole(body)


def take(turn: Turn, delta: Delta, sink: Sink) -> None:
    """Keep a delta and pass it on, as text alone: nothing in it moves a cursor or turns a line around."""
    delta = Delta(strip_control(delta.text), strip_control(delta.reasoning))
    if delta.text:
        turn.text.append(delta.text)
    if delta.reasoning:
        turn.reasoning.append(delta.reasoning)
    sink.delta(delta)


def uncancel(task: asyncio.Task[object] | None) -> None:
    """The cancel was ours and has been dealt with (Python 3.11 counts them)."""
    getattr(task, "uncancel", lambda: 0)()
