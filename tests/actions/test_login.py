"""The pace of a sign-in, its end on the wall clock, and the check; no time passes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from actions.fakes import (
    ISSUER,
    FakeCache,
    FakeClock,
    FakeExchange,
    FakeHttp,
    FakeState,
    Somebody,
    granted,
    ports_of,
)
from qwen_ls.actions.login import Logins, SignedIn, whole
from qwen_ls.actions.ports import Place
from qwen_ls.actions.tokens import Accounts
from qwen_ls.core.credentials import QWEN_OAUTH
from qwen_ls.core.errors import Cause, Kind, Problem
from qwen_ls.core.intents import NoReply, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PENDING = Reply(400, {"error": "authorization_pending"})
SLOW_DOWN = Reply(400, {"error": "slow_down"})


def device(**more: Any) -> Reply:
    """What the device endpoint answers."""
    page = f"{ISSUER}/authorize"
    fields = {"device_code": "d", "user_code": "ABCD", "verification_uri": page, "expires_in": 900}
    return Reply(200, {**fields, **more})


def given(status: int) -> Reply:
    """A token whose chat goes to the issuer's own host."""
    reply = granted(1)
    return Reply(status, {**reply.json, "resource_url": f"{ISSUER}/v1"})


async def sign_in(replies: list[Any], chat: list[FakeExchange], clock: FakeClock, **ports: Any) -> SignedIn:
    """A whole sign-in."""
    world = {"oauth_cache": FakeCache(), "http": FakeHttp(replies, chat), "clock": clock, **ports}
    made = ports_of(**world)
    login = Logins(made, Accounts(made)).start(QWEN_OAUTH, Place(), None, Somebody())
    return await login.result()


@pytest.mark.parametrize(
    ("interval", "answers", "waits"),
    [
        ({}, [PENDING, PENDING], [5, 5, 5]),
        ({"interval": 2}, [PENDING], [2, 2]),
        ({"interval": 0}, [PENDING], [1, 1]),
        ({"interval": 2}, [SLOW_DOWN, PENDING, SLOW_DOWN], [2, 7, 7, 12]),
        ({"interval": 2}, [Reply(429)], [2, 7]),
        ({"interval": 2}, [Reply(503), NoReply(Cause.DNS, "no"), PENDING], [2, 4, 8, 2]),
        ({"interval": 2}, [Reply(200, {"status": "pending", "slowDown": True})], [2, 7]),
    ],
)
async def test_the_pace(interval: dict[str, Any], answers: list[Any], waits: list[float]) -> None:
    """RFC 8628 section 3.5: the server's interval, 5 s more for each slow_down, back-off."""
    clock = FakeClock()
    ended = await sign_in([device(**interval), *answers, given(200)], [FakeExchange(200, b"{}")], clock)
    assert ended.checked
    assert clock.slept == waits


async def test_a_laptop_that_slept_asks_once_more_and_gives_up() -> None:
    """The deadline is on the wall clock; the wait that jumped over it is followed by one last poll."""
    clock = FakeClock()

    def sleep(_: float) -> None:
        if len(clock.slept) == 3:
            clock.time += 9_999

    clock.on_sleep = sleep
    http = FakeHttp([device(), PENDING, PENDING, PENDING])
    with pytest.raises(Problem) as failed:
        await sign_in([], [], clock, http=http)
    assert failed.value.kind is Kind.LOGIN_EXPIRED
    assert len(http.forms) == 4


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, True),
        (400, True),
        (422, True),
        (500, False),
        (503, False),
        (429, False),
        (401, Kind.FREE_TIER_CLOSED),
        (402, Kind.FREE_TIER_CLOSED),
        (403, Kind.KEY_REJECTED),
        (307, Kind.NETWORK),
    ],
)
async def test_the_check(status: int, outcome: bool | Kind) -> None:  # noqa: FBT001 - a column
    """Accepted, refused, or no answer to judge by; only what is not refused is kept and chosen."""
    cache, state = FakeCache(), FakeState()
    work = sign_in(
        [device(), given(200)], [FakeExchange(status, b"{}")], FakeClock(), oauth_cache=cache, state=state
    )
    if isinstance(outcome, Kind):
        with pytest.raises(Problem) as failed:
            await work
        assert (failed.value.kind, cache.token, state.choices) == (outcome, None, {})
    else:
        assert (await work).checked is outcome
        assert cache.token is not None
        assert state.choices == {None: QWEN_OAUTH}


async def test_a_token_that_cannot_be_kept() -> None:
    """It would be lost at once: the sign-in fails, names the file, and chooses nothing."""
    cache, state = FakeCache(is_full=True), FakeState()
    with pytest.raises(Problem, match=r"could not be saved: No space left on device \(oauth_creds\.json\)"):
        await sign_in(
            [device(), given(200)], [FakeExchange(200)], FakeClock(), oauth_cache=cache, state=state
        )
    assert state.choices == {}


async def test_the_check_is_one_token_and_no_stream() -> None:
    """It costs as little as a request can."""
    http = FakeHttp([device(), given(200)], [FakeExchange(200, b"{}")])
    await sign_in([], [], FakeClock(), http=http)
    (request,) = http.requests
    assert b'"max_tokens": 1' in (request.body or b"")
    assert b'"stream": false' in (request.body or b"")
    assert request.url == f"{ISSUER}/v1/chat/completions"


async def test_nobody_there_to_check_with() -> None:
    """No connection at all is an outcome of its own: kept, and said."""
    ended = await sign_in([device(), given(200)], [], FakeClock())
    assert (ended.checked, "did not answer" in ended.message) == (False, True)


async def test_a_cancel_while_another_program_holds_the_lock() -> None:
    """Nothing is being written yet: it ends there and then, and nothing goes on that would write later."""
    waiting = asyncio.Event()

    class Busy(FakeCache):
        """A cache whose lock somebody else keeps."""

        @contextlib.asynccontextmanager
        async def lock(self, unless: Any = None) -> AsyncIterator[bool]:
            """Never given."""
            waiting.set()
            await asyncio.Event().wait()
            yield unless is None

    cache, state, http = Busy(), FakeState(), FakeHttp([device(), given(200)], [FakeExchange(200)])
    made = ports_of(oauth_cache=cache, state=state, http=http)
    login = Logins(made, Accounts(made)).start(QWEN_OAUTH, Place(), None, Somebody())
    await waiting.wait()
    assert login.flight.cancel()
    with pytest.raises(Problem) as failed:
        await asyncio.wait_for(login.result(), 5)
    assert failed.value.kind is Kind.LOGIN_CANCELLED
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (cache.token, state.choices) == (None, {})


async def test_whoever_joins_while_the_choice_is_written() -> None:
    """Theirs is written too, whatever has been written before; the next sign-in begins anew."""

    class Joined(FakeState):
        """Somebody joins during each of the first two writes."""

        async def choose(self, folder: str | None, method: str | None) -> None:
            """Choose."""
            await super().choose(folder, method)
            if len(asked) < 3:
                asked.append(logins.start(QWEN_OAUTH, Place(f"/{len(asked)}"), None, Somebody()))

    cache, state, http = FakeCache(), Joined(), FakeHttp([device(), given(200)], [FakeExchange(200)])
    made = ports_of(oauth_cache=cache, state=state, http=http)
    logins = Logins(made, Accounts(made))
    asked = [logins.start(QWEN_OAUTH, Place("/0"), None, Somebody())]
    await asked[0].result()
    assert [(await login.result()).message for login in asked] == ["Signed in to Qwen"] * 3
    assert state.choices == {f"/{number}": QWEN_OAUTH for number in range(3)}
    assert len({login.flight.id for login in asked}) == 1
    assert logins.start(QWEN_OAUTH, Place(), None, Somebody()).flight is not asked[0].flight
    await logins.aclose(5)


async def test_a_token_that_is_being_written_is_written_whole() -> None:
    """A cancel that comes during the write comes too late: file and choice are both there, or neither."""
    written: list[str] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        begun.set()
        written.append("token")
        await go_on.wait()
        written.append("choice")

    task = asyncio.create_task(whole(write()))
    await begun.wait()
    task.cancel()
    asyncio.get_running_loop().call_soon(go_on.set)
    await task
    assert written == ["token", "choice"]
