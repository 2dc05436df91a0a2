"""Text of a `.env` file -> bindings with line and problem.

Reading is python-dotenv's parser without interpolation: values are literal. The caps
come first, since that parser's cost grows with the square of a run of blanks. Then the text is read
a second time, as Qwen Code's parser would read it: each line on which the two differ gets a warning.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

MAX_BYTES = 64 * 1024  # a larger file is refused as unreadable
MAX_LINE = 8 * 1024  # bytes; a longer line is skipped with a problem
MAX_BLANKS = 1024  # characters in one run of blanks; a line with a longer one is skipped with a problem
MOST_PROBLEMS = 100  # of one file; the first are kept


@attrs.frozen
class Binding:
    """One `NAME=value` of a file, from `line` to `last` (from 1); `value` is None for a bare name."""

    name: str
    value: str | None
    line: int
    last: int


@attrs.frozen
class LineProblem:
    """Something about a line that its author should know; `warning` when it still counts.

    `name` is the one that the line is about; None where none can be made out.
    """

    line: int
    text: str
    warning: bool = False
    name: str | None = None


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
    return fold(data.decode("utf-8-sig"))


def fold(text: str) -> str:
    """CRLF and CR become LF, for both readings."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_env(text: str, about: Collection[str] | None = None) -> EnvFile:
    """Read bindings from `text`; a bad line is a problem, never an exception.

    `about` are the names that anybody here reads: problems of others are their own programs' to tell, and
    left out. None: those of all.
    """
    from dotenv.parser import parse_stream  # noqa: PLC0415 - where there is no file, nothing is to be parsed

    problems: list[LineProblem] = []
    lines = fold(text).removeprefix("\ufeff").split("\n")
    for number, line in enumerate(lines, 1):
        if (why := over_cap(line)) is not None:
            problems.append(LineProblem(number, f"{why}, skipped"))
            lines[number - 1] = ""
    text = "\n".join(lines)
    bindings: list[Binding] = []
    bad: list[int] = []
    for item in parse_stream(io.StringIO(text)):
        at = item.original.line + leading_lines(item.original.string)
        if item.error:
            bad.append(at)
        elif item.key is not None:
            last = item.original.line + item.original.string.rstrip().count("\n")
            bindings.append(Binding(item.key, item.value, at, last))
    theirs = {(line, name): value for name, line, value in read_as_javascript(text)}
    problems += bad_lines(bad, theirs, lines)
    problems += differences(bindings, {at: v for at, v in theirs.items() if at[0] not in bad}, lines)
    problems = [p for p in problems if about is None or p.name is None or p.name in about]
    return EnvFile(tuple(bindings), tuple(sorted(problems, key=lambda p: p.line)[:MOST_PROBLEMS]))


def over_cap(line: str) -> str | None:
    """Why a line is too long to be read, if it is."""
    if len(line) > MAX_LINE or len(line.encode("utf-8", "replace")) > MAX_LINE:
        return f"line longer than {MAX_LINE // 1024} KiB"
    if any(len(run) > MAX_BLANKS for run in re.findall(r"\s+", line)) and not line.isspace():
        return f"line with more than {MAX_BLANKS} blanks in a row"
    return None


LIKE_AN_ASSIGNMENT = re.compile(r"[^\S\n]*(?:export\s+)?([A-Za-z0-9_.-]+)\s*[=:]")


def name_in(line: str) -> str | None:
    """The name that a line seems meant to set, however badly."""
    found = LIKE_AN_ASSIGNMENT.match(line)
    return found[1] if found is not None else None


def leading_lines(original: str) -> int:
    """How many lines of a binding's own text come before its name (blank lines belong to it)."""
    return original[: len(original) - len(original.lstrip())].count("\n")


# --- how Qwen Code reads the same text -------------------------------------------------------------


def bad_lines(
    bad: list[int], theirs: Mapping[tuple[int, str], str], lines: list[str]
) -> Iterator[LineProblem]:
    """The lines that hold no binding, and what Qwen Code makes of each."""
    names = dict(theirs.keys())
    for at in bad:
        also = f"; Qwen Code reads {shown(names[at])} from it" if at in names else ""
        why = f"not a NAME=value line, or a quote is not closed, skipped{also}"
        yield LineProblem(at, why, name=names.get(at) or name_in(lines[at - 1]))


def differences(
    bindings: list[Binding], theirs: Mapping[tuple[int, str], str], lines: list[str]
) -> Iterator[LineProblem]:
    """A warning for each line where one reading has another value, or none.

    A bare name has no value in either, so it is no difference.
    """
    ours = {(b.line, b.name): b.value for b in bindings}
    for (line, name), value in ours.items():
        other = theirs.get((line, name))
        if other == value:
            continue
        quotes = "single" if "\\" in lines[line - 1] else "double"
        how = "does not read" if other is None else "reads the value of"
        advice = "write NAME=value" if other is None else f"put it in {quotes} quotes"
        how += f" {shown(name)}" + ("" if other is None else " differently")
        yield LineProblem(line, f"Qwen Code {how}; {advice}", warning=True, name=name)
    for line, name in theirs.keys() - ours.keys():
        why = f"only Qwen Code reads {shown(name)} here; write NAME=value on one line"
        yield LineProblem(line, why, warning=True, name=name)


def shown(name: str) -> str:
    """A name fit for a message: anything that is no plain variable name might be a key, or a trick."""
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) else "a name"


# An optional `export`, a name, then `=` or a colon followed by one blank.
JS_ASSIGNMENT = re.compile(r"[^\S\n]*(?:export\s+)?([A-Za-z0-9_.-]+)(?:\s*=|:\s)")
JS_AFTER_QUOTE = re.compile(r"[^\S\n]*(?:#|\n|\Z)")  # nothing but a comment may follow
JS_UNQUOTED = re.compile(r"[^#\n]*")
BLANKS = re.compile(r"\s*")
QUOTES = "'\"`"


def read_as_javascript(text: str) -> Iterator[tuple[str, int, str]]:
    """Name, line and value of each assignment, as dotenv for JavaScript reads `text`.

    Known from its behaviour: a quoted value, of three kinds of quotes, may begin on a later line and
    span lines; it ends at the closing quote if nothing but a comment follows. Other text ends at any
    `#`. Names hold letters, digits, `_`, `.` and `-`; lines that do not fit are passed over.
    """
    at = counted = 0
    line = 1
    while at < len(text):
        found = JS_ASSIGNMENT.match(text, at)
        if found is not None:
            line += text.count("\n", counted, found.start(1))
            counted = found.start(1)
            value, at = javascript_value(text, found.end())
            yield found[1], line, value
        at = text.find("\n", at) + 1 or len(text)


def javascript_value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at `at`, and where it ends."""
    start = skip(BLANKS, text, at)
    if start < len(text) and text[start] in QUOTES:
        for end in closing_quotes(text, start):
            if JS_AFTER_QUOTE.match(text, end + 1):
                return unquote(text[start : end + 1]), end + 1
    end = skip(JS_UNQUOTED, text, at)
    return unquote(text[at:end].strip()), end


def skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where `pattern` ends that begins at `at`."""
    found = pattern.match(text, at)
    return found.end() if found else at


def closing_quotes(text: str, start: int) -> Iterator[int]:
    """Where the quote at `start` may close: at the next one unescaped, else at an escaped one before it."""
    escaped: list[int] = []
    at = start
    while (at := text.find(text[start], at + 1)) != -1:
        if text[at - 1] != "\\":
            yield at
            break
        escaped.append(at)
    yield from reversed(escaped)


def unquote(text: str) -> str:
    r"""One pair of equal outer quotes goes; `\n` and `\r` are escapes if it began with a double quote."""
    inner = text[1:-1] if len(text) > 1 and text[0] in QUOTES and text[0] == text[-1] else text
    return inner.replace("\\n", "\n").replace("\\r", "\r") if text.startswith('"') else inner
