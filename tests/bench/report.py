"""The table, and the page it stands on."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import attrs

from bench.rig import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = ROOT / "docs" / "reference" / "performance.md"
HEAD = ("figure", "against", "this run", "at most", "floor", "reached")


@attrs.frozen
class Row:
    """One line of the table. `value` is a ratio unless `unit` says otherwise; None: it could not be had."""

    figure: str
    against: str
    value: float | None
    limit: float
    floor: float | None = None
    unit: str = "x"

    @property
    def is_met(self) -> bool | None:
        """Whether the number is reached."""
        return None if self.value is None else self.value <= self.limit


def number(value: float | None, unit: str) -> str:
    """A value as it is read."""
    if value is None:
        return "not measured"
    if unit == "x":
        return f"{value:.2f}" if value >= 0.095 or not value else f"{value:.3f}"
    return f"{value:,.0f} {unit}" if unit == "KiB" else f"{value:.1f} {unit}"


def cells(row: Row) -> tuple[str, ...]:
    """A row's words."""
    reached = {None: "not installed", True: "yes", False: "**no**"}[row.is_met]
    floor = "" if row.floor is None else number(row.floor, row.unit)
    return row.figure, row.against, number(row.value, row.unit), number(row.limit, row.unit), floor, reached


def line(row: Row) -> str:
    """A row for the terminal."""
    figure, against, value, limit, floor, reached = cells(row)
    return f"{figure} / {against}: {value} (at most {limit}, floor {floor}): {reached}"


def table(rows: Iterable[Row]) -> str:
    """All of them."""
    lines = [HEAD, ("---",) * len(HEAD), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(each)} |" for each in lines)


def page(rows: Iterable[Row]) -> str:
    """docs/reference/performance.md."""
    today = datetime.now(timezone.utc).date().isoformat()
    return f"""# Performance

Written by `make bench` on {today}, on {platform.system()} with CPython {platform.python_version()} and \
{os.cpu_count()} cores.
Each number is a ratio of medians, unless it names a unit: programs that take turns in one run.
Runs differ by a tenth or so; on a busy machine by more.
[How it is measured, and where the time goes](../explanation/performance.md).

{table(rows)}

- "At most" is what the project sets itself, "floor" the least there could be in the same run: \
a server or a client by hand, without any library; the null sink or the loop of `stat` itself; \
for 200 streams our own server with none.
- A null sink is our own server, but nobody is told of its deltas.
- Stock pygls is a server as its documentation has one, with httpx for the streams.
- "Direct" is a client that does nothing but read the same streams.
"""
