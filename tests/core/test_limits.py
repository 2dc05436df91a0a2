"""What is used up: a minute that slides, a day that ends at midnight UTC, and the provider's own headers."""

from __future__ import annotations

import attrs
import pytest

from qwen_ls.core.limits import DAY, MINUTE, MOST_HEADERS, QWEN_OAUTH, Ledger, Meter, Quota, rate_headers

NOON = 20_000 * DAY + DAY / 2  # epoch seconds of some day's noon, UTC
URL, OTHER = "https://one.example/v1", "https://two.example/v1"


def test_a_minute_slides() -> None:
    """A request counts for sixty seconds, to the moment, and then no longer."""
    meter = Meter(60, 2000)
    meter.count(NOON)
    meter.count(NOON + 30)
    assert [
        meter.quota(NOON + later).requests_this_minute for later in (30, MINUTE - 0.001, MINUTE, 89.9, 90)
    ] == [2, 2, 1, 1, 0]


def test_a_day_ends_at_midnight() -> None:
    """A day is a calendar day in UTC: the count begins again with the next one, the minute goes on."""
    midnight = NOON + DAY / 2
    meter = Meter(60, 2000)
    meter.count(NOON)
    meter.count(midnight - 1)
    assert meter.quota(midnight - 0.5) == Quota(1, 60, 2, 2000)
    assert meter.quota(midnight) == Quota(1, 60, 0, 2000)
    meter.count(midnight + 1)
    assert meter.quota(midnight + 1) == Quota(2, 60, 1, 2000)


def test_a_meter_forgets_what_it_need_not_know() -> None:
    """A day of requests, one every second: the minute's are held, and no more than those."""
    meter = Meter()
    start = 20_000 * DAY
    for second in range(10_000):
        meter.count(start + second)
    assert meter.quota(start + 9_999) == Quota(60, 60, 10_000, 2000)
    assert len(meter._minute) == MINUTE


def test_an_unused_meter_shows_the_limits() -> None:
    """Before the first request nothing is used."""
    assert Meter().quota(NOON) == Quota(0, 60, 0, 2000)


@pytest.mark.parametrize(
    ("name", "is_shown"),
    [
        ("x-ratelimit-limit-requests", True),
        ("x-ratelimit-reset-tokens", True),
        ("ratelimit", True),
        ("ratelimit-policy", True),
        ("ratelimit-remaining", True),
        ("x-request-id", False),
        ("set-cookie", False),
        ("authorization", False),
        ("retry-after", False),
        ("not-x-ratelimit-limit", False),
    ],
)
def test_only_rate_headers_are_shown(name: str, is_shown: bool) -> None:  # noqa: FBT001 - a column
    """Of all headers those that speak of rates, and no other, are kept."""
    assert rate_headers({name: "7"}) == ({name: "7"} if is_shown else {})


def test_rate_headers_are_bounded() -> None:
    """A provider that sends a great many long ones is shown in part; control characters never."""
    many = {f"x-ratelimit-{number:03}": "9" * 1000 for number in range(100)}
    found = rate_headers({**many, "x-ratelimit-000": "\x1b[2J"})
    assert list(found) == [f"x-ratelimit-{number:03}" for number in range(1, MOST_HEADERS + 1)]
    assert set(found.values()) == {"9" * 64}


def test_a_ledger_counts_methods_with_known_limits_alone() -> None:
    """Requests signed by a key have no known limits: nothing is counted, and nothing is shown."""
    ledger = Ledger()
    for method in ("api-key", "oauth:corp", QWEN_OAUTH, QWEN_OAUTH):
        ledger.sent(method, NOON)
    assert ledger.quota(QWEN_OAUTH, URL, NOON) == Quota(2, 60, 2, 2000)
    assert ledger.quota("api-key", URL, NOON) is None
    assert ledger.quota("oauth:corp", URL, NOON) is None


def test_a_providers_last_word_counts() -> None:
    """Headers belong to a base URL; a later answer replaces them, one that has none leaves them."""
    ledger = Ledger()
    ledger.answered(URL, {"x-ratelimit-remaining": "9"})
    ledger.answered(URL, {"x-ratelimit-remaining": "8"})
    ledger.answered(URL, {"content-type": "text/plain"})
    ledger.answered(OTHER, {"content-type": "text/plain"})
    assert ledger.quota("api-key", URL, NOON) == Quota(headers={"x-ratelimit-remaining": "8"})
    assert ledger.quota("api-key", OTHER, NOON) is None
    of_account = ledger.quota(QWEN_OAUTH, URL, NOON)
    assert of_account is not None
    assert attrs.evolve(of_account, headers={}) == Quota(0, 60, 0, 2000)
    assert of_account.headers == {"x-ratelimit-remaining": "8"}
