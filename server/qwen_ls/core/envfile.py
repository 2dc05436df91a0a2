"""Text of a `.env` file -> bindings with line and problem.

Reading is python-dotenv's parser without interpolation (behaviour: values are literal). The caps
come first, since that parser's cost grows with the square of a run of blanks.
"""

from __future__ import annotations

import io
import re

import attrs
from dotenv.parser import parse_stream

MAX_BYTES = 64 * 1024  # a larger file is refused as unreadable
MAX_LINE = 8 * 1024  # characters; a longer line is skipped with a problem


@attrs.frozen
class Binding:
    """One `NAME=value` of a file; `line` counts from 1; `value` is None for a bare name."""

    name: str
    value: str | None
    line: int


@attrs.frozen
class LineProblem:
    """Something about a line that its author should know; `warning` when it still counts."""

    line: int
    text: str
    warning: bool = False


@attrs.frozen
class EnvFile:
    """A file's bindings in order, and what was wrong on the way."""

    bindings: tuple[Binding, ...] = ()
    problems: tuple[LineProblem, ...] = ()

    def get(self, name: str) -> Binding | None:
        """The last binding of `name` (a later line wins, as in a shell)."""
        return next((b for b in reversed(self.bindings) if b.name == name), None)


def decode(data: bytes) -> str:
    """UTF-8 with an optional BOM, CRLF folded to LF.

    Raises UnicodeDecodeError for anything else, UTF-16 included.
    """
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def parse_env(text: str) -> EnvFile:
    """Read bindings from `text`; a bad line is a problem, never an exception."""
    problems: list[LineProblem] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            problems.append(LineProblem(number, f"line longer than {MAX_LINE} characters, skipped"))
            lines[number - 1] = ""
    bindings: list[Binding] = []
    for item in parse_stream(io.StringIO("\n".join(lines))):
        original = item.original.string
        at = item.original.line + leading_lines(original)
        if item.error:
            problems.append(LineProblem(at, "not a NAME=value line, skipped"))
        elif item.key is not None:
            bindings.append(Binding(item.key, item.value, at))
            if differs_in_javascript(item.key, item.value, original):
                text_ = f"Qwen Code reads the value of {item.key} differently; put it in double quotes"
                problems.append(LineProblem(at, text_, warning=True))
    return EnvFile(tuple(bindings), tuple(sorted(problems, key=lambda p: p.line)))


def leading_lines(original: str) -> int:
    """How many lines of a binding's own text come before its name (blank lines belong to it)."""
    return original[: len(original) - len(original.lstrip())].count("\n")


# What the JavaScript dotenv takes as the start of an assignment: an optional `export`, a name,
# `=` or a colon followed by a blank.
JS_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([\w.-]+)(?:\s*=[^\S\n]*|:[^\S\n]+)", re.ASCII)
QUOTES = "'\"`"


def differs_in_javascript(name: str, value: str | None, original: str) -> bool:
    """Whether dotenv for JavaScript, which Qwen Code uses, reads this binding as another value."""
    assignment = JS_ASSIGNMENT.match(original)
    if assignment is None or assignment[1] != name:
        return value is not None  # not an assignment there: absent
    return read_as_javascript(original[assignment.end() :]) != value


def read_as_javascript(raw: str) -> str:
    r"""The value that dotenv for JavaScript gives for the text after `=`.

    Known from its behaviour: a quoted value ends at the closing quote if nothing but a comment
    follows, three kinds of quotes; unquoted text ends at any `#`; only `\\n` and `\\r` are
    escapes, and only between double quotes.
    """
    quote = raw[:1]
    if quote and quote in QUOTES:
        end = closing_quote(raw, quote)
        rest = raw[end + 1 :].split("\n", 1)[0].strip() if end > 0 else "?"
        if end > 0 and (not rest or rest.startswith("#")):
            inner = raw[1:end]
            return inner.replace("\\n", "\n").replace("\\r", "\r") if quote == '"' else inner
    text = raw.split("\n", 1)[0].split("#", 1)[0].strip()
    return text[1:-1] if len(text) > 1 and text[0] in QUOTES and text[0] == text[-1] else text


def closing_quote(raw: str, quote: str) -> int:
    """Index of the quote that closes the one at 0, skipping escaped ones; -1 if there is none."""
    index = 1
    while (index := raw.find(quote, index)) != -1:
        if raw[index - 1] != "\\":
            return index
        index += 1
    return -1
