"""What a message waits for before its first byte, and how often it is sent again; no time passes."""

from __future__ import annotations

from typing import Any

import pytest

from actions.fakes import FakeCache, FakeClock, FakeEntropy, FakeExchange, FakeHttp, Somebody, ports_of
from qwen_ls.actions.chat import Chats, Turn
from qwen_ls.actions.ports import Place
from qwen_ls.actions.tokens import Accounts
from qwen_ls.core.errors import Kind, Problem

PROCESS = {"OPENAI_API_KEY": "sk-key", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_MODEL": "m"}
ANSWER = b'data: {"choices": [{"delta": {"content": "fine"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def fine() -> FakeExchange:
    """An answer."""
    return FakeExchange(200, ANSWER, {"content-type": "text/event-stream"})


def refused(status: int, **headers: str) -> FakeExchange:
    """A refusal."""
    return FakeExchange(status, b"{}", {name.replace("_", "-"): value for name, value in headers.items()})


async def send(exchanges: list[FakeExchange], **more: Any) -> tuple[Turn, FakeClock, Somebody, FakeHttp]:
    """One message."""
    clock, somebody, http = FakeClock(), Somebody(), FakeHttp((), exchanges)
    ports = ports_of(clock=clock, http=http, oauth_cache=FakeCache(), process=PROCESS, **more)
    chats = Chats(ports, Accounts(ports))
    turn = chats.begin(Place(), "hello", None, None)
    await chats.run(turn, somebody, somebody)
    return turn, clock, somebody, http


@pytest.mark.parametrize(
    ("before", "waits"),
    [
        ([], []),
        ([refused(503)], [0.5]),
        ([refused(500), refused(529)], [0.5, 1.0]),
        ([refused(429)], [1.0]),
        ([refused(429), refused(429)], [1.0, 2.0]),
        ([refused(429, retry_after="7"), refused(429, retry_after="0.5")], [7.0, 0.5]),
        ([refused(429, retry_after="-7")], [1.0]),
        ([refused(429, retry_after="soon")], [1.0]),
        (
            [refused(429, retry_after="Wed, 21 Oct 2015 07:28:09 GMT", date="Wed, 21 Oct 2015 07:28:00 GMT")],
            [9.0],
        ),
        ([refused(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")], [0.0]),
        ([refused(503), refused(429), refused(503), refused(429)], [0.5, 1.0, 1.0, 2.0]),
    ],
)
async def test_what_is_waited_for(before: list[FakeExchange], waits: list[float]) -> None:
    """Each kind twice: 5xx with a doubling pause, 429 as long as the provider asks; the user is told."""
    turn, clock, somebody, http = await send([*before, fine()])
    assert (somebody.text, "".join(turn.text)) == ("fine", "fine")
    assert clock.slept == pytest.approx(waits)
    assert (len(http.requests), len(somebody.notes)) == (len(before) + 1, len(before))
    assert all(exchange.is_closed for exchange in before)


@pytest.mark.parametrize(("jitter", "wait"), [(1.0, 0.6), (-1.0, 0.4)])
async def test_the_pause_is_spread(jitter: float, wait: float) -> None:
    """±20 %, so that a thousand editors do not come back as one."""
    _, clock, _, _ = await send([refused(503), fine()], entropy=FakeEntropy(jitter))
    assert clock.slept == pytest.approx([wait])


@pytest.mark.parametrize(
    ("answers", "kind", "sent"),
    [
        ([refused(503)] * 3, Kind.PROVIDER_DOWN, 3),
        ([refused(429)] * 3, Kind.RATE_LIMITED, 3),
        ([refused(429, retry_after="61")], Kind.RATE_LIMITED, 1),
        ([refused(429, retry_after="9" * 18)], Kind.RATE_LIMITED, 1),
        ([refused(401)], Kind.KEY_REJECTED, 1),
        ([refused(402)], Kind.QUOTA_EXCEEDED, 1),
        ([], Kind.NETWORK, 1),
    ],
)
async def test_what_is_given_up_on(answers: list[FakeExchange], kind: Kind, sent: int) -> None:
    """After two retries, or at once: a longer pause than the user's limit, a refusal, no connection."""
    http = FakeHttp((), answers)
    ports = ports_of(http=http, oauth_cache=FakeCache(), process=PROCESS)
    chats, somebody = Chats(ports, Accounts(ports)), Somebody()
    turn = chats.begin(Place(), "hello", None, None)
    with pytest.raises(Problem) as failed:
        await chats.run(turn, somebody, somebody)
    assert (failed.value.kind, len(http.requests)) == (kind, sent)
    assert chats.turns == {}


async def test_after_the_first_byte_nothing_is_sent_again() -> None:
    """A stream that breaks off is told as such, with what came."""
    half = FakeExchange(200, ANSWER[:40], {"content-type": "text/event-stream"})
    http = FakeHttp((), [half, fine()])
    ports = ports_of(http=http, oauth_cache=FakeCache(), process=PROCESS)
    chats, somebody = Chats(ports, Accounts(ports)), Somebody()
    with pytest.raises(Problem) as failed:
        await chats.run(chats.begin(Place(), "hello", None, None), somebody, somebody)
    assert (failed.value.kind, len(http.requests)) == (Kind.STREAM_TRUNCATED, 1)
