"""Which models are asked before the first byte, in which order, and what is told when none answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actions.fakes import FakeCache, FakeClock, FakeExchange, FakeHttp, Somebody, ports_of
from qwen_ls.actions.chat import Chats, Turn
from qwen_ls.actions.ports import Place
from qwen_ls.actions.tokens import Accounts
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.settings import Settings

PROCESS = {"OPENAI_API_KEY": "sk-key", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_MODEL": "a"}
ANSWER = b'data: {"choices": [{"delta": {"content": "fine"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def fine() -> FakeExchange:
    """An answer."""
    return FakeExchange(200, ANSWER, {"content-type": "text/event-stream"})


def refused(status: int, message: str = "no", headers: dict[str, str] | None = None, **more: Any) -> Any:
    """A refusal."""
    return FakeExchange(status, json.dumps({"error": {"message": message, **more}}).encode(), headers or {})


FREE_QUOTA = "Free allocated quota exceeded."


class Sent:
    """One message with `b` and `c` to fall back to."""

    def __init__(self, *exchanges: FakeExchange, fallback: tuple[str, ...] = ("b", "c")) -> None:
        self.http, self.clock, self.somebody = FakeHttp((), exchanges), FakeClock(), Somebody()
        settings = Settings(fallback_models=fallback)
        ports = ports_of(
            http=self.http, clock=self.clock, settings=settings, oauth_cache=FakeCache(), process=PROCESS
        )
        self.chats = Chats(ports, Accounts(ports))

    async def turn(self, model: str | None = None) -> Turn:
        """Its turn."""
        turn = self.chats.begin(Place(), "hello", None, None)
        turn.asked_model = model
        return await self.chats.run(turn, self.somebody, self.somebody)

    async def failure(self) -> Problem:
        """What it fails with."""
        with pytest.raises(Problem) as failed:
            await self.turn()
        return failed.value

    @property
    def models(self) -> str:
        """The models asked for, in order."""
        return "".join(json.loads(request.body or b"")["model"] for request in self.http.requests)


@pytest.mark.parametrize(
    ("before", "models", "waits"),
    [
        ([], "a", []),
        ([refused(503)] * 3, "aaab", [0.5, 1.0]),
        ([refused(429)] * 3, "aaab", [1.0, 2.0]),
        ([refused(429, headers={"retry-after": "61"})], "ab", []),
        ([refused(404, "The model `a` does not exist")], "ab", []),
        ([refused(404, code="model_not_found")], "ab", []),
        ([refused(403, FREE_QUOTA)], "ab", []),
        ([refused(429, FREE_QUOTA, code="insufficient_quota")], "ab", []),
        ([refused(503)] * 4, "aaabc", [0.5, 1.0]),
        ([refused(404, "no model a"), refused(429, headers={"retry-after": "1"})], "abc", []),
    ],
)
async def test_which_models_are_asked(before: list[FakeExchange], models: str, waits: list[float]) -> None:
    """In order, after the retries of the first; the others once each, with no pause."""
    sent = Sent(*before, fine())
    turn = await sent.turn()
    assert (sent.models, sent.somebody.text) == (models, "fine")
    assert sent.clock.slept == pytest.approx(waits)
    assert turn.requested_model == "a"
    assert turn.model == (models[-1] if models[-1] != "a" else None)  # the provider does not say
    assert all(exchange.is_closed for exchange in before)


async def test_what_the_progress_says() -> None:
    """Each retry and each further model, with the reason."""
    sent = Sent(*[refused(503)] * 3, refused(404, "no model b"), fine())
    await sent.turn()
    assert sent.somebody.notes == [
        "provider-down: trying again in 0 s",
        "provider-down: trying again in 1 s",
        "provider-down: trying b",
        "model-not-found: trying c",
    ]


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (refused(401), Kind.KEY_REJECTED),
        (refused(403), Kind.KEY_REJECTED),
        (refused(402), Kind.QUOTA_EXCEEDED),
        (refused(429, code="insufficient_quota"), Kind.QUOTA_EXCEEDED),
        (refused(400), Kind.BAD_REPLY),
        (refused(413), Kind.TOO_LARGE),
        (refused(404, "Not Found"), Kind.BAD_REPLY),
        (refused(307, headers={"location": "http://127.0.0.1:2/"}), Kind.NETWORK),
        (refused(407), Kind.NETWORK),
    ],
)
async def test_what_another_model_cannot_mend(refusal: FakeExchange, kind: Kind) -> None:
    """The account, the network, the message itself: nothing else is asked, and the line is the usual one."""
    sent = Sent(refusal)
    alone = Sent(FakeExchange(refusal.status, refusal.body, refusal.headers), fallback=())
    problem = await sent.failure()
    assert (problem.kind, sent.models) == (kind, "a")
    assert problem.message == (await alone.failure()).message


async def test_no_connection() -> None:
    """Nobody else is asked over it either."""
    sent = Sent()
    assert ((await sent.failure()).kind, sent.models) == (Kind.NETWORK, "a")


async def test_every_failure_is_told_in_one_line() -> None:
    """The kind and the remedy are those of the model that was asked for."""
    problem = await (sent := Sent(*[refused(503, "busy")] * 3, refused(404, "b?"), refused(429))).failure()
    assert (problem.kind, problem.retryable, sent.models) == (Kind.PROVIDER_DOWN, True, "aaabc")
    assert problem.message == (
        "a: http://127.0.0.1:1 is in trouble: busy [HTTP 503]; "
        "then b: http://127.0.0.1:1 has no model b: b? [HTTP 404]; "
        "then c: http://127.0.0.1:1 asks for a pause: no [HTTP 429]. Try again in a while"
    )


async def test_a_fallback_that_is_refused_ends_it() -> None:
    """A 403 for the second model is no reason to try the third; the line tells both."""
    problem = await (sent := Sent(refused(404, "no model a"), refused(403))).failure()
    assert (problem.kind, sent.models) == (Kind.MODEL_NOT_FOUND, "ab")
    assert "then b: http://127.0.0.1:1 rejected the key" in problem.message


async def test_a_model_is_asked_once() -> None:
    """Though the list names it twice, or is headed by the one asked for already."""
    sent = Sent(*[refused(404, "no such model")] * 3, fallback=("a", "b", "b", "c"))
    await sent.failure()
    assert sent.models == "abc"


async def test_the_model_of_the_message_falls_back_too() -> None:
    """The list is the user's, whoever named the first one."""
    turn = await (sent := Sent(refused(404, "no such model"), fine())).turn("z")
    assert (sent.models, turn.requested_model, turn.model) == ("zb", "z", "b")


async def test_after_the_first_byte_no_other_model_is_asked() -> None:
    """A stream that breaks off, or tells an error, is told as such."""
    for body in (ANSWER[:40], b'data: {"error": {"message": "busy", "code": 503}}\n\n'):
        half = FakeExchange(200, body, {"content-type": "text/event-stream"})
        sent = Sent(half, fine())
        await sent.failure()
        assert sent.models == "a"
