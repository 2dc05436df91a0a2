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
PREFIXES = ("x-ratelimit-", "ratelimit")
SHOWN_LENGTH = 64  # characters of a header's value
MOST_HEADERS = 12


@attrs.frozen
class Usage:
    """A window's count against its limit; `window` in seconds."""

    used: int
    limit: int
    window: float


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

    def usage(self, now: float) -> tuple[Usage, Usage]:
        """The last minute and today."""
        self._roll(now)
        return (
            Usage(len(self._minute), self._per_minute, MINUTE),
            Usage(self._day, self._per_day, DAY),
        )

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
