"""When a token is refreshed, by whom, and what becomes of a refresh that fails; no time passes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from actions.fakes import START, FakeCache, FakeClock, FakeEntropy, FakeHttp, granted, ports_of, token
from qwen_ls.actions.tokens import Accounts, Tokens
from qwen_ls.core.credentials import QWEN_OAUTH
from qwen_ls.core.errors import Cause, Kind, Problem
from qwen_ls.core.intents import NoReply, Reply

if TYPE_CHECKING:
    from qwen_ls.core.intents import PostForm
    from qwen_ls.core.oauth.token import CachedToken


def make(cache: FakeCache, http: FakeHttp, **more: Any) -> Tokens:
    """The tokens of a process."""
    return Accounts(ports_of(oauth_cache=cache, http=http, **more)).of(QWEN_OAUTH)


@pytest.mark.parametrize(
    ("lifetime", "jitter", "ahead"),
    [(3600, 0, 300), (3600, 1, 330), (3600, -1, 270), (1000, 0, 200), (1000, 1, 220), (50, 0, 10)],
)
async def test_when_it_is_refreshed(lifetime: float, jitter: float, ahead: float) -> None:
    """min(300 s, lifetime/5) before its end, ±10 %: not a second earlier, and then at once."""
    for seconds, refreshes in ((ahead + 1, 0), (ahead, 1)):
        http = FakeHttp([granted(2)])
        clock = FakeClock(START + lifetime - seconds)
        cache = FakeCache(token(expires_in=lifetime))
        await make(cache, http, clock=clock, entropy=FakeEntropy(jitter)).fresh()
        assert len(http.forms) == refreshes


async def test_fifty_at_once_are_one_flight() -> None:
    """All of them get the new token; it is written once, under the lock."""
    cache, http = FakeCache(token(expires_in=-1)), FakeHttp([granted(2)])
    tokens = make(cache, http)
    found = await asyncio.gather(*(tokens.fresh() for _ in range(50)))
    assert {t.access_token.reveal() for t in found} == {"access-2"}
    assert (len(http.forms), cache.writes) == (1, 1)
    assert http.forms[0]["refresh_token"] == "refresh-1"


async def test_a_waiter_that_is_cancelled_does_not_end_the_flight() -> None:
    """Somebody stops a message; the others still get the token."""
    cache, http = FakeCache(token(expires_in=-1)), FakeHttp([granted(2)])
    tokens = make(cache, http)
    first, second = asyncio.ensure_future(tokens.fresh()), asyncio.ensure_future(tokens.fresh())
    await http.asked.wait()
    first.cancel()
    assert (await second).access_token.reveal() == "access-2"
    assert len(http.forms) == 1


async def test_a_token_written_while_waiting_for_the_lock_is_adopted() -> None:
    """Read again under the lock: no second refresh with a spent token."""

    class Overtaken(FakeCache):
        def lock(self, unless: Any = None) -> Any:
            self.token = token(7)
            return super().lock(unless)

    http = FakeHttp()
    found = await make(Overtaken(token(expires_in=-1)), http).fresh()
    assert (found.access_token.reveal(), http.forms) == ("access-7", [])


async def test_whoever_is_overtaken_while_waiting_asks_for_nothing() -> None:
    """The new token is used without the locks; one that has run out meanwhile is not, and they are taken."""
    cache, http = FakeCache(token(expires_in=-1), overtaken=[token(7)]), FakeHttp([granted(8)])
    assert (await make(cache, http).fresh()).access_token.reveal() == "access-7"
    cache.token, cache.overtaken = token(expires_in=-1), [token(5, expires_in=-1)]
    assert (await make(cache, http).fresh()).access_token.reveal() == "access-8"
    assert [form["refresh_token"] for form in http.forms] == ["refresh-5"]


PAGE = {"content-type": "text/html"}


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (NoReply(Cause.DNS, "no"), Kind.NETWORK),
        (Reply(503), Kind.PROVIDER_DOWN),
        (Reply(503, {"error": "temporarily_unavailable"}), Kind.PROVIDER_DOWN),
        (Reply(408), Kind.PROVIDER_DOWN),
        (Reply(403), Kind.PROVIDER_DOWN),
        (Reply(403, None, PAGE), Kind.PROVIDER_DOWN),
        (Reply(404, {"message": "no route"}), Kind.PROVIDER_DOWN),
        (Reply(429, {"error": "slow_down"}), Kind.RATE_LIMITED),
        (Reply(302, None, PAGE), Kind.NETWORK),
        (Reply(407), Kind.NETWORK),
        (Reply(511, None, PAGE), Kind.NETWORK),
        (Reply(200, None, PAGE), Kind.NETWORK),
        (Reply(200, None), Kind.BAD_REPLY),
        (Reply(200, {"error": "x"}), Kind.BAD_REPLY),
    ],
)
async def test_a_failure_ahead_of_the_end_is_passed_over(failure: Reply | NoReply, kind: Kind) -> None:
    """What is left of the old token serves on; when nothing is left the failure is told, as retryable."""
    clock = FakeClock(START + 3500)
    tokens = make(FakeCache(token()), FakeHttp([failure, failure]), clock=clock)
    assert (await tokens.fresh()).access_token.reveal() == "access-1"
    clock.time = START + 3600
    with pytest.raises(Problem) as failed:
        await tokens.fresh()
    assert (failed.value.kind, failed.value.retryable) == (kind, True)


@pytest.mark.parametrize(
    "refusal", [Reply(400), Reply(401, None, PAGE), Reply(403, {"error": "invalid_grant"})]
)
async def test_a_refusal_ends_the_sign_in_ahead_of_its_time(refusal: Reply) -> None:
    """The server's own word, by OAuth's error or by its status: the old token does not serve on."""
    tokens = make(FakeCache(token()), FakeHttp([refusal]), clock=FakeClock(START + 3500))
    with pytest.raises(Problem) as failed:
        await tokens.fresh()
    assert (failed.value.kind, failed.value.retryable) == (Kind.SIGNED_OUT, False)


async def test_a_rejected_token_is_not_handed_out_again() -> None:
    """Though it has time left, and though its refresh fails."""
    cache = FakeCache(token())
    tokens = make(cache, FakeHttp([Reply(503), granted(2)]))
    with pytest.raises(Problem):
        await tokens.fresh(token().access_token)
    assert (await tokens.fresh(token().access_token)).access_token.reveal() == "access-2"


async def test_a_full_disk_does_not_sign_the_user_out() -> None:
    """The new token is kept in memory: the old refresh token is spent. A newer file takes over."""
    cache, http = FakeCache(token(expires_in=-1), is_full=True), FakeHttp([granted(2), granted(3)])
    clock = FakeClock()
    tokens = make(cache, http, clock=clock)
    assert [(await tokens.fresh()).access_token.reveal() for _ in range(2)] == ["access-2"] * 2
    clock.time += 3600
    await tokens.fresh()
    assert [form["refresh_token"] for form in http.forms] == ["refresh-1", "refresh-2"]
    cache.token = token(9, expires_in=99_999)
    assert (await tokens.fresh()).access_token.reveal() == "access-9"


@pytest.mark.parametrize(("after", "adopted"), [(1, True), (20, True), (21, False)])
async def test_after_invalid_grant_another_token_is_looked_for(after: int, adopted: bool) -> None:  # noqa: FBT001 - a column
    """For two seconds, in steps of a tenth; the file is never touched."""
    cache, clock = FakeCache(token(expires_in=-1)), FakeClock()

    def written_by_another(_: float) -> None:
        if len(clock.slept) == after:
            cache.token = token(5)

    clock.on_sleep = written_by_another
    tokens = make(cache, FakeHttp([Reply(400, {"error": "invalid_grant"})]), clock=clock)
    if adopted:
        assert (await tokens.fresh()).access_token.reveal() == "access-5"
    else:
        with pytest.raises(Problem) as failed:
            await tokens.fresh()
        assert (failed.value.kind, "invalid_grant" in failed.value.message) == (Kind.SIGNED_OUT, True)
    assert clock.slept == pytest.approx([0.1] * min(after, 20))
    assert cache.writes == 0


async def test_a_lock_that_is_never_given() -> None:
    """It is told as something that may pass, and the next attempt begins anew."""
    cache, http = FakeCache(token(expires_in=-1), held=True), FakeHttp([granted(2)])
    tokens = make(cache, http)
    with pytest.raises(Problem) as failed:
        await tokens.fresh()
    assert (failed.value.retryable, http.forms) == (True, [])
    cache.held = False
    assert (await tokens.fresh()).access_token.reveal() == "access-2"


async def test_the_refresh_is_given_less_time_than_a_lock_lives() -> None:
    """8 s: Qwen Code takes our lock for a dead one after 35, older versions after 10."""
    seen: list[float] = []

    class Timed(FakeHttp):
        async def post_form(self, intent: PostForm) -> Reply | NoReply:
            seen.append(intent.timeout)
            return await super().post_form(intent)

    await make(FakeCache(token(expires_in=-1)), Timed([granted(2)])).fresh()
    assert seen == [8.0]


@pytest.mark.parametrize("after", [0, 1])
async def test_a_home_that_does_not_answer(after: int) -> None:
    """It is named as what it is, also where the lock is held already: neither a lock nor a mistake."""

    class Silent(FakeCache):
        """A disk that answers so many times."""

        async def read(self) -> CachedToken:
            """As ever, until it is silent."""
            nonlocal after
            after -= 1
            if after < 0:
                raise TimeoutError(110, "the disk did not answer within 10 s")
            return await super().read()

    with pytest.raises(Problem, match="home folder could not be read: the disk did not answer") as silent:
        await make(Silent(token(expires_in=-1)), FakeHttp()).fresh()
    assert silent.value.retryable
