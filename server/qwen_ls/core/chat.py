"""Chat completions: the request's body, and an answer's bytes -> deltas, stop reason, usage.

https://platform.openai.com/docs/api-reference/chat-streaming is the shape that all providers of the
catalogue follow.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.core.errors import Kind, Problem, one_line
from qwen_ls.core.replies import MAX_ANSWER
from qwen_ls.core.sse import EventParser

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE = "[DONE]"


class Role(str, Enum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@attrs.frozen
class Message:
    """One message of a conversation."""

    role: Role
    content: str


class StopReason(str, Enum):
    """Why an answer ended; the words of the Agent Client Protocol."""

    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    REFUSAL = "refusal"
    CANCELLED = "cancelled"


STOP_REASONS = {"length": StopReason.MAX_TOKENS, "content_filter": StopReason.REFUSAL}


@attrs.frozen
class Usage:
    """Tokens the provider counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@attrs.frozen
class Delta:
    """A piece of an answer: of its text, or of the reasoning before it."""

    text: str = ""
    reasoning: str = ""


class ErrorInStream(Exception):  # noqa: N818 - carries an event's `error` to whoever knows the credential
    """An `error` object came inside a stream of status 200."""

    def __init__(self, fields: Any) -> None:
        super().__init__("error in stream")
        self.fields = fields


def encode_request(
    messages: Sequence[Message], model: str, *, stream: bool = True, max_tokens: int | None = None
) -> bytes:
    """The JSON body of POST …/chat/completions."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role.value, "content": m.content} for m in messages],
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


class Whole:
    """Pieces of a text as they come, with no character cut in two: JSON can spell one as two surrogates."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """Take a piece; what there is by now, but for half a character at its end."""
        if not piece:
            return ""
        if self._half:
            pair = (self._half + piece[0]).encode("utf-16-le", "surrogatepass")
            piece = pair.decode("utf-16-le", "surrogatepass") + piece[1:]
        self._half = piece[-1] if "\ud800" <= piece[-1] <= "\udbff" else ""
        return piece[:-1] if self._half else piece


class Answer:
    """One answer in the making: feed it bytes, take deltas, then `end()`.

    `model` is the one that really served, `usage` what was counted; both as far as the provider said.
    `failure` is what went wrong behind the deltas just returned: it is raised by the next `feed` or
    `end`, so that what came before it in the same portion of bytes is not lost.
    """

    def __init__(self) -> None:
        self.model: str | None = None
        self.usage: Usage | None = None
        self._parser = EventParser()
        self._finish_reason: str | None = None
        self._is_refused = False
        self._text, self._reasoning = Whole(), Whole()
        self._done = False
        self._events = 0
        self._size = 0
        self.failure: Problem | ErrorInStream | None = None

    @property
    def stop_reason(self) -> StopReason:
        """Why the answer ended, in our words."""
        if self._is_refused:
            return StopReason.REFUSAL
        return STOP_REASONS.get(self._finish_reason or "", StopReason.END_TURN)

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas that `chunk` completes. Raises Problem (bad-reply, too-large) or ErrorInStream."""
        self._raise_failure()
        deltas: list[Delta] = []
        try:
            self._take(chunk, deltas)
        except (Problem, ErrorInStream) as failure:
            self.failure = failure
            if not deltas:
                raise
        return deltas

    def _take(self, chunk: bytes, deltas: list[Delta]) -> None:
        self._size += len(chunk)
        if self._size > MAX_ANSWER:
            what = f"The answer is larger than {MAX_ANSWER // 1024**2} MiB"
            raise Problem(Kind.TOO_LARGE, what, remedy="Ask for a shorter one")
        for data in self._parser.feed(chunk):
            delta = self._event(data)
            if delta is not None:
                deltas.append(delta)
        if self._parser.failure is not None:
            raise self._parser.failure

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def whole(self, body: Any) -> list[Delta]:
        """The deltas of an answer that came at once, as JSON, from a provider that does not stream."""
        self._done = True
        delta = self._fields(body)
        if not body.get("choices"):
            raise bad_reply("The answer has no choices")
        return [] if delta is None else [delta]

    def end(self) -> None:
        """The bytes are over. Raises Problem(stream-truncated) if the answer was not, or what had failed."""
        self._raise_failure()
        if not (self._done or self._finish_reason is not None):
            raise truncated(self._events)

    def _event(self, data: str) -> Delta | None:
        if self._done or not data.strip():
            return None
        if data.strip() == DONE:
            self._done = True
            return None
        self._events += 1
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            raise bad_reply(f"Event {self._events} of the answer is not JSON") from None
        return self._fields(fields)

    def _fields(self, fields: Any) -> Delta | None:
        if not isinstance(fields, dict):
            raise bad_reply(f"Event {self._events} of the answer is no JSON object")
        if fields.get("error"):
            raise ErrorInStream(fields["error"])
        model = fields.get("model")
        if isinstance(model, str) and model:
            self.model = one_line(model)
        self._count(fields.get("usage"))
        choices = fields.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return None  # the usage event has no choices
        finish_reason = choice.get("finish_reason")
        if isinstance(finish_reason, str) and finish_reason:
            self._finish_reason = finish_reason
        said = choice.get("delta") or choice.get("message")
        self._is_refused = self._is_refused or bool(refusal_of(said))
        text, reasoning = texts_of(said)
        delta = Delta(self._text.feed(text), self._reasoning.feed(reasoning))
        return delta if delta.text or delta.reasoning else None

    def _count(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        prompt, completion = (count(usage.get(k)) for k in ("prompt_tokens", "completion_tokens"))
        self.usage = Usage(prompt, completion, count(usage.get("total_tokens")) or prompt + completion)


def texts_of(fields: Any) -> tuple[str, str]:
    """A delta's text and reasoning."""
    if not isinstance(fields, dict):
        return "", ""
    text = fields.get("content")
    reasoning = fields.get("reasoning_content") or fields.get("reasoning")
    said = (text if isinstance(text, str) else "") + refusal_of(fields)
    return said, reasoning if isinstance(reasoning, str) else ""


def refusal_of(fields: Any) -> str:
    """What a provider says in place of an answer, where it says that in a field of its own."""
    refusal = fields.get("refusal") if isinstance(fields, dict) else None
    return refusal if isinstance(refusal, str) else ""


def count(value: Any) -> int:
    """A token count; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def bad_reply(what: str) -> Problem:
    """An answer that does not keep to the protocol."""
    return Problem(
        Kind.BAD_REPLY,
        what,
        remedy="Ask again; if it comes back, check that the base URL is an OpenAI-compatible one",
    )


def truncated(events: int) -> Problem:
    """A stream that stopped without saying so."""
    what = f"The answer was cut short after {events} events"
    return Problem(Kind.STREAM_TRUNCATED, what, remedy="What came is kept; ask to go on", retryable=True)
