"""Lines taken out of a `.env` file's text: what goes, what stays, and where it stood.

Everything else stays as it was, byte for byte: comments, other names, line ends.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.envfile import Binding, parse_env

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


@attrs.frozen
class Taken:
    """A text without some of its lines; `spans` are those, from 0: the first, and the one after the last."""

    rest: str = attrs.field(repr=False)
    lines: str = attrs.field(repr=False)
    spans: tuple[tuple[int, int], ...]


def bindings_of(text: str, names: Collection[str]) -> list[Binding]:
    """The bindings of these names that have a value, in order."""
    return [b for b in parse_env(text).bindings if b.name in names and b.value]


def take_out(text: str, bindings: Iterable[Binding]) -> Taken:
    """Take the lines of `bindings` out of the text they were read from."""
    spans = tuple((b.line - 1, b.last) for b in bindings)
    gone = {number for first, end in spans for number in range(first, end)}
    lines = LINE.findall(text)
    rest = "".join(line for number, line in enumerate(lines) if number not in gone)
    taken = "".join(line for number, line in enumerate(lines) if number in gone)
    return Taken(rest, taken, spans)


def joined(text: str, lines: str) -> str:
    """A text with further lines at its end, each on a line of its own."""
    end = "\r\n" if "\r\n" in text else "\n"
    before = text if not text or text.endswith(("\n", "\r")) else text + end
    return before + lines + ("" if not lines or lines.endswith(("\n", "\r")) else end)
