"""What is used up: requests of this run for methods with known limits, and the provider's own headers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE = 60.0  # seconds
DAY = 86400.0  # seconds
QWEN_PER_MINUTE = 60  # Qwen OAuth's free tier before 2026-04-15
QWEN_PER_DAY = 2000
QWEN_OAUTH = "qwen-oauth"  # the method with known limits
PREFIXES = ("x-ratelimit-", "ratelimit")
SHOWN_LENGTH = 64  # characters of a header's value
MOST_HEADERS = 12


@attrs.frozen
class Quota:
    """What is used up, as far as it is known; `headers` are the provider's own words."""

    requests_this_minute: int | None = None
    minute_limit: int | None = None
    requests_today: int | None = None
    day_limit: int | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)


class Meter:
    """Counts requests as they are sent. `now` is epoch seconds; a day is a calendar day in UTC."""

    def __init__(self, per_minute: int = QWEN_PER_MINUTE, per_day: int = QWEN_PER_DAY) -> None:
        self._per_minute, self._per_day = per_minute, per_day
        self._minute: deque[float] = deque()
        self._day = 0
        self._today = -1

    def count(self, now: float) -> None:
        """A request is sent."""
        self._roll(now)
        self._minute.append(now)
        self._day += 1

    def quota(self, now: float) -> Quota:
        """The last minute and today, against their limits."""
        self._roll(now)
        return Quota(len(self._minute), self._per_minute, self._day, self._per_day)

    def _roll(self, now: float) -> None:
        while self._minute and self._minute[0] <= now - MINUTE:
            self._minute.popleft()
        today = int(now // DAY)
        if today != self._today:
            self._today, self._day = today, 0


def rate_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The provider's own rate-limit headers, as they came, at most 12 and shortened."""
    found = {
        name: value[:SHOWN_LENGTH]
        for name, value in headers.items()
        if name.startswith(PREFIXES) and value.isprintable()
    }
    return dict(sorted(found.items())[:MOST_HEADERS])


class Ledger:
    """What this run has sent, by method, and what providers said of their limits, by base URL."""

    def __init__(self) -> None:
        self._meters = {QWEN_OAUTH: Meter()}
        self._headers: dict[str, dict[str, str]] = {}

    def sent(self, method: str, now: float) -> None:
        """A chat request is sent."""
        if method in self._meters:
            self._meters[method].count(now)

    def answered(self, base_url: str, headers: Mapping[str, str]) -> None:
        """An answer has come; the last one's headers count."""
        found = rate_headers(headers)
        if found:
            self._headers[base_url] = found

    def quota(self, method: str, base_url: str, now: float) -> Quota | None:
        """What is known for a method and base URL; None if nothing is."""
        headers = self._headers.get(base_url, {})
        if method in self._meters:
            return attrs.evolve(self._meters[method].quota(now), headers=headers)
        return Quota(headers=headers) if headers else None
