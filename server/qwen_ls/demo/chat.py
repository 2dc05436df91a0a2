"""The stand-in model: answers made from the message, in OpenAI's chat completion format."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qwen_ls.demo.settings import Settings

DONE = "data: [DONE]\n\n"
EXCERPT_LENGTH = 60


@attrs.frozen
class Event:
    """A server-sent event, and whether it carries a token of the answer."""

    text: str
    is_token: bool = False


def encode_event(data: Any) -> str:
    """Encode JSON data as a server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def answer_to(messages: list[dict[str, Any]], model: str) -> str:
    """Compose the answer: who speaks, what was asked, and how long the conversation is."""
    asked = [_text(message.get("content")) for message in messages if message.get("role") == "user"]
    excerpt = " ".join(asked[-1].split()) if asked else ""
    if len(excerpt) > EXCERPT_LENGTH:
        excerpt = excerpt[:EXCERPT_LENGTH].rstrip() + "…"
    turns = f"message {len(asked)} from you in this conversation"
    return (
        f"Hello! I stand in for the model {model}: no model runs here, and these words are composed by the "
        f"demo provider on this machine.\n\nYou wrote: “{excerpt}”. That is {turns}. "
        "Write again and the count goes up, which shows that the whole conversation was sent."
    )


def _split(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*\Z|\s*\S+", text)


def _tokens(body: dict[str, Any], model: str, settings: Settings) -> Iterator[str]:
    if settings.tokens is None:
        yield from _split(
            settings.reply if settings.reply is not None else answer_to(body["messages"], model)
        )
    elif settings.reply:
        yield from itertools.islice(itertools.cycle(_split(settings.reply)), settings.tokens)
    else:
        yield from (f"{number} " for number in range(1, settings.tokens + 1))


@attrs.define
class Completion:
    """One answer to one request; what it has produced so far is counted on the way."""

    body: dict[str, Any]
    settings: Settings
    created: int = attrs.field(factory=lambda: int(time.time()))
    completion_tokens: int = 0
    finish_reason: str = "stop"

    @property
    def model(self) -> str:
        """The model that is said to have answered."""
        return self.settings.served_model or str(self.body.get("model") or self.settings.models[0])

    def tokens(self) -> Iterator[str]:
        """Yield the answer's tokens, no more than `max_tokens`."""
        limit = self.body.get("max_completion_tokens", self.body.get("max_tokens"))
        for token in _tokens(self.body, self.model, self.settings):
            if isinstance(limit, int) and self.completion_tokens >= limit:
                self.finish_reason = "length"
                return
            self.completion_tokens += 1
            yield token

    def usage(self) -> dict[str, int]:
        """Count words as tokens, both ways."""
        prompt = sum(len(_text(message.get("content")).split()) for message in self.body["messages"])
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.completion_tokens,
            "total_tokens": prompt + self.completion_tokens,
        }

    def _object(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": "chatcmpl-stand-in",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **more,
        }

    def whole(self) -> dict[str, Any]:
        """Return the answer as one object."""
        message = {"role": "assistant", "content": "".join(self.tokens())}
        if self.settings.reasoning is not None:
            message["reasoning_content"] = self.settings.reasoning
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        return self._object("chat.completion", [choice], usage=self.usage())

    def events(self) -> Iterator[Event]:
        """Yield the answer as it streams; reasoning comes first and is not counted as tokens."""
        yield self._chunk({"role": "assistant", "content": ""})
        for thought in _split(self.settings.reasoning or ""):
            yield self._chunk({"reasoning_content": thought})
        for token in self.tokens():
            yield self._chunk({"content": token}, is_token=True)
        yield self._chunk({}, finish_reason=self.finish_reason)
        if (self.body.get("stream_options") or {}).get("include_usage"):
            yield Event(encode_event(self._object("chat.completion.chunk", [], usage=self.usage())))
        yield Event(DONE)

    def _chunk(
        self, delta: dict[str, Any], *, finish_reason: str | None = None, is_token: bool = False
    ) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return Event(encode_event(self._object("chat.completion.chunk", [choice])), is_token)
