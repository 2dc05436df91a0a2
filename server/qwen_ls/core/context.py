"""What goes along with a message: a selection, files, diagnostics, and the blocks that they become.

What is sent is the message as it was written, and below it one fenced block for each thing that was
mentioned or given.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.errors import Kind, Problem, one_line
from qwen_ls.core.mentions import Lines, parse_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_FILE = 256 * 1024  # bytes of one file: some 64,000 tokens, half of what the usual model takes in
MAX_ATTACHED = 1024 * 1024  # bytes of all that goes along with one message: no usual model takes in more
MOST_LISTED = 200  # names of one folder that are offered at once
SHORTEST_FENCE = 3  # characters, CommonMark section 4.5


@attrs.frozen
class Selection:
    """What is selected in an editor. Lines from 0, the end excluded; an equal end means the one line.

    `path` is a path, or a URI where there is none; `text` None means that the file is read.
    """

    path: str
    start_line: int
    end_line: int
    text: str | None = None
    language: str | None = None

    @property
    def lines(self) -> Lines:
        """The same as people count."""
        return Lines(self.start_line + 1, max(self.end_line, self.start_line + 1))


class Severity(str, Enum):
    """How bad a diagnostic is."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"
    HINT = "hint"


@attrs.frozen
class Diagnostic:
    """What an editor says about a line, counted from 0 as its column is."""

    path: str
    line: int
    severity: Severity
    message: str
    source: str | None = None
    code: str | int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = f"{self.path}:{self.line + 1}" + (f":{self.column + 1}" if self.column is not None else "")
        by = " ".join(one_line(str(part)) for part in (self.source, self.code) if part not in {None, ""})
        return f"{place} {self.severity.value}: {one_line(self.message, 2000)}" + (f" [{by}]" if by else "")


@attrs.frozen
class Given:
    """What a client gives along with a message. Files are paths."""

    selection: Selection | None = None
    files: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


@attrs.frozen
class Located:
    """A file that may go along: as people are shown it, relative to the folder, and its real path."""

    shown: str
    real: str


@attrs.frozen
class Listed:
    """A name in a folder."""

    name: str
    is_folder: bool


# --- front matter of chat documents ---------------------------------------------------------------

DIAGNOSTIC = re.compile(
    r"(?P<path>.+?):(?P<line>\d{1,9})(?::(?P<column>\d{1,9}))?:? "
    r"(?P<severity>error|warning|information|hint): (?P<message>.+)"
)


def parse_selection(text: str) -> Selection | None:
    """`src/a.py#L3-L9` as a selection; a path alone is no selection."""
    path, lines = parse_reference(text.strip())
    return Selection(path, lines.first - 1, lines.last) if lines else None


def write_selection(selection: Selection) -> str:
    """The same the other way; its text stays in the file."""
    return f"{selection.path}{selection.lines}"


def given_of(front: Mapping[str, str]) -> Given:
    """What a document's front matter gives: `selection`, and `diagnostics` as a JSON array or one of them."""
    listed = front.get("diagnostics", "")
    try:
        texts = json.loads(listed) if listed.startswith("[") else [listed]
    except (ValueError, RecursionError):
        texts = []
    found = (parse_diagnostic(text) for text in texts if isinstance(text, str))
    selection = parse_selection(front.get("selection", ""))
    return Given(selection, diagnostics=tuple(d for d in found if d is not None))


def together(one: Given, other: Given) -> Given:
    """What both give; of two selections, that of the other."""
    return Given(
        other.selection or one.selection, one.files + other.files, one.diagnostics + other.diagnostics
    )


def front_of(given: Given) -> dict[str, str]:
    """The same the other way: the fields that say what is given, but for files, which are mentioned."""
    front = {}
    if given.selection is not None:
        front["selection"] = write_selection(given.selection)
    if given.diagnostics:
        front["diagnostics"] = json.dumps([str(d) for d in given.diagnostics], ensure_ascii=False)
    return front


def parse_diagnostic(text: str) -> Diagnostic | None:
    """`src/a.py:3:5 error: text`, the column optional, as a diagnostic."""
    match = DIAGNOSTIC.fullmatch(text.strip())
    if match is None:
        return None
    line, column = (max(0, int(n) - 1) if n else None for n in (match["line"], match["column"]))
    return Diagnostic(
        match["path"], line or 0, Severity(match["severity"]), match["message"], None, None, column
    )


# --- composing -----------------------------------------------------------------------------------


@attrs.frozen
class Block:
    """One thing that goes along: what it is, in a few words, and its text."""

    title: str
    text: str
    language: str = ""

    @property
    def size(self) -> int:
        """Its bytes in UTF-8."""
        return len(self.text.encode("utf-8", "replace"))


def file_block(shown: str, text: str, lines: Lines | None, language: str | None = None) -> Block:
    """A file, or some lines of it."""
    title = f"File {name(shown)}" if lines is None else f"File {name(shown)}, {in_words(lines)}"
    return Block(title, text, language or language_of(shown))


def selection_block(shown: str, selection: Selection, text: str) -> Block:
    """What is selected."""
    title = f"Selection in {name(shown)}, {in_words(selection.lines)}"
    return Block(title, text, selection.language or language_of(shown))


def diagnostics_block(diagnostics: Sequence[Diagnostic]) -> Block:
    """What the editor says, a line each."""
    return Block("Diagnostics", "\n".join(str(d) for d in diagnostics))


def name(path: str) -> str:
    """A path as a title shows it."""
    shown = one_line(path, 1000)
    return shown if "`" in shown else f"`{shown}`"


def in_words(lines: Lines) -> str:
    """Lines as a title shows them."""
    return f"line {lines.first}" if lines.first == lines.last else f"lines {lines.first} to {lines.last}"


def language_of(path: str) -> str:
    """The info string for a file: its ending, where that is a word."""
    ending = PurePosixPath(path).suffix[1:]
    return ending if ending.isalnum() and ending.isascii() else ""


def compose(text: str, blocks: Sequence[Block], notes: Sequence[str] = ()) -> str:
    """The message that is sent: as written, then the blocks, then what could not be attached."""
    remarks = [f"[{one_line(note, 1000)}]" for note in notes]
    return "\n\n".join([text, *(fenced(block) for block in blocks), *remarks])


def check_total(size: int, block: Block) -> None:
    """Raise Problem(too-large), naming the block with which a message's blocks became so many bytes."""
    if size > MAX_ATTACHED:
        raise too_large(f"More than {MAX_ATTACHED // 1024} KiB would go along, with {block.title}")


def fenced(block: Block) -> str:
    """A block as Markdown, with a fence that nothing in it can end."""
    longest = max(map(len, re.findall("`+", block.text)), default=0)
    fence = "`" * max(SHORTEST_FENCE, longest + 1)
    end = "" if block.text.endswith("\n") or not block.text else "\n"
    return f"{block.title}:\n{fence}{block.language}\n{block.text}{end}{fence}"


def cut(text: str, lines: Lines, shown: str) -> str:
    """Some lines of a text. Raises Problem where it has none of them."""
    every = text.split("\n")
    if lines.first > len(every):
        what = f"{one_line(shown)} has {len(every)} lines, and line {lines.first} was asked for"
        raise Problem(Kind.NOT_SUPPORTED, what, remedy="Name lines that there are, or the file alone")
    return "\n".join(every[lines.first - 1 : lines.last])


def check_size(text: str, shown: str) -> str:
    """The text of one file. Raises Problem(too-large)."""
    if len(text.encode("utf-8", "replace")) > MAX_FILE:
        raise file_too_large(shown)
    return text


def file_too_large(shown: str) -> Problem:
    """One file is too much."""
    return too_large(f"{one_line(shown)} is larger than {MAX_FILE // 1024} KiB")


def too_large(what: str) -> Problem:
    """Too much is to go along."""
    remedy = "Name some of its lines, as in @file:path#L1-L200, or attach less"
    return Problem(Kind.TOO_LARGE, what, remedy=remedy)
