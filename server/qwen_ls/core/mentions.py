"""Mentions in a message: `@selection`, `@diagnostics`, `@file:path`, `@file:path#L3-L9`, `@file:"a path"`.

One is a mention wherever it begins a word outside of Markdown's code.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

MENTION = re.compile(
    r"(?<![\w@.+\\/-])@(?:"
    r"(?P<word>selection|diagnostics)(?![\w-])"
    r'|file:(?:"(?P<quoted>[^"\n\0]+)"(?P<lines>#L\d{1,9}(?:-L?\d{1,9})?(?![\w-]))?'
    r"|(?P<bare>[^\s\0\"'<>`|*]+)))"
)
REFERENCE = re.compile(r"(?P<path>.+?)(?P<lines>#L\d{1,9}(?:-L?\d{1,9})?)?", re.DOTALL)
FENCE = re.compile(r"[ \t>]*(`{3,}|~{3,})([^\n]*)")
CLOSING = {")": "(", "]": "[", "}": "{"}


class MentionKind(str, Enum):
    """What is mentioned."""

    SELECTION = "selection"
    DIAGNOSTICS = "diagnostics"
    FILE = "file"


@attrs.frozen
class Lines:
    """Lines of a file, from 1, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"#L{self.first}" + (f"-L{self.last}" if self.last != self.first else "")


@attrs.frozen
class Mention:
    """A mention and where it stands in the text; a file's with its path and lines."""

    kind: MentionKind
    start: int
    end: int
    path: str = ""
    lines: Lines | None = None


def find_mentions(text: str) -> list[Mention]:
    """The mentions of a text, in order; none in code, in a word, or behind a backslash."""
    found: list[Mention] = []
    if next(matches(text), None) is None:  # as most are; looking for code costs more
        return found
    for match in matches(without_code(text)):
        if match["word"]:
            found.append(Mention(MentionKind(match["word"]), match.start(), match.end()))
            continue
        end = match.end()
        if match["quoted"]:
            path, lines = match["quoted"], parse_lines(match["lines"])
        else:
            bare = without_punctuation(match["bare"])
            end -= len(match["bare"]) - len(bare)
            path, lines = parse_reference(bare)
        if path:
            found.append(Mention(MentionKind.FILE, match.start(), end, path, lines))
    return found


def matches(text: str) -> Iterator[re.Match[str]]:
    """What looks like a mention, in order; one search for all would keep other threads waiting."""
    at = text.find("@")
    while at >= 0:
        match = MENTION.match(text, at)
        if match:
            yield match
        at = text.find("@", match.end() if match else at + 1)


def without_punctuation(text: str) -> str:
    """A path without what ends the sentence or the bracket around it."""
    counts, end = Counter(text), len(text)
    while end:
        last = text[end - 1]
        if last not in ".,;:!?" and counts[last] <= counts.get(CLOSING.get(last, last), 0):
            break
        counts[last] -= 1
        end -= 1
    return text[:end]


def parse_reference(text: str) -> tuple[str, Lines | None]:
    """`path#L3-L9` as path and lines; the empty text has neither."""
    match = REFERENCE.fullmatch(text)
    return (match["path"], parse_lines(match["lines"])) if match else ("", None)


def parse_lines(text: str | None) -> Lines | None:
    """`#L3-L9`, `#L3-9` or `#L3`, in either order; line 0 is line 1."""
    numbers = sorted(max(1, int(n)) for n in re.findall(r"\d+", text or ""))
    return Lines(numbers[0], numbers[-1]) if numbers else None


def write_mention(path: str, lines: Lines | None = None) -> str:
    """The mention that names a file, quoted where it has to be; a backtick or a quote cannot be helped."""
    shown = str(lines) if lines else ""
    mention = f"@file:{path}{shown}"
    read = next(iter(find_mentions(mention)), None)
    if read is not None and (read.path, read.lines, read.end) == (path, lines, len(mention)):
        return mention
    return f'@file:"{path}"{shown}'


def without_code(text: str) -> str:
    """The text with a NUL for each character of its fenced blocks and code spans (CommonMark 4.5, 6.1)."""
    masked: list[str] = []
    paragraph: list[str] = []
    fence = ""

    def flush() -> None:
        masked.append(without_spans("".join(paragraph)))
        paragraph.clear()

    for found in re.finditer(r"[^\n]*\n|[^\n]+", text):
        line = found[0]
        match = FENCE.match(line)
        if fence:
            masked.append(blank(line))
            if match and match[1].startswith(fence) and not match[2].strip():
                fence = ""
        elif match and not (match[1][0] == "`" and "`" in match[2]):
            flush()
            fence = match[1]
            masked.append(blank(line))
        else:
            paragraph.append(line)
            if not line.strip():
                flush()
    flush()
    return "".join(masked)


def without_spans(paragraph: str) -> str:
    """The same for the code spans of one paragraph: a run of backticks up to the next of its length."""
    runs = [(m.start(), m.end()) for m in re.finditer("`+", paragraph)]
    places: dict[int, list[int]] = {}
    for number, (start, end) in enumerate(runs):
        places.setdefault(end - start, []).append(number)
    pieces, at, number = [], 0, 0
    while number < len(runs):
        start, end = runs[number]
        start += paragraph[max(0, start - 1) : start] == "\\"  # an escaped backtick opens nothing
        alike = places.get(end - start, [])
        closing = bisect_right(alike, number)
        number += 1
        if closing < len(alike):
            number = alike[closing] + 1
            pieces += [paragraph[at:start], blank(paragraph[start : runs[number - 1][1]])]
            at = runs[number - 1][1]
    return "".join([*pieces, paragraph[at:]])


def blank(text: str) -> str:
    """As many NULs."""
    return "\0" * len(text)


# --- one that is being written --------------------------------------------------------------------

BEGUN = re.compile(r"@(?:(?P<word>[a-z]*)|file:(?:\"(?P<quoted>[^\"\n]*)|(?P<bare>[^\s\"'<>`|*]*)))\Z")


@attrs.frozen
class Begun:
    """A mention that is being written: where it starts, and its word or path so far, quoted or not."""

    start: int
    word: str | None = None
    path: str | None = None
    is_quoted: bool = False


def find_begun(text: str) -> Begun | None:
    """The mention that a text ends with, if one may stand there."""
    match = BEGUN.search(text, max(0, text.rfind("\n")))
    if match is None:
        return None
    place = find_mentions(text[: match.start()] + "@selection")
    if not place or place[-1].start != match.start():
        return None  # in a word, or in code
    quoted = match["quoted"]
    return Begun(
        match.start(), match["word"], quoted if quoted is not None else match["bare"], quoted is not None
    )
