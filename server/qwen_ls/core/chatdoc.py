r"""A chat document's text <-> its messages.

A Markdown file with a heading per message, `### user`, `### assistant` or `### system`, and optional
front matter. Text before the first heading is a message of the user. Three things are escaped by a
backslash, and come back unchanged: a line of a message that looks like a heading or like a mark of ours, a
first or last line that would be taken for blank, and in answers, outside of fenced code, what a preview may
fetch something for that a model has named: `![`, and HTML. What has the backslash already gets one more.
Marks, `<!-- qwen: … -->`, tell about an answer and are no part of it. An answer that ends
inside of fenced code gets the fence that ends it, so that nothing below it is taken for code, and a mark
which says that the fence is ours.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, ClassVar

import attrs

from qwen_ls.core.chat import Message, Role
from qwen_ls.core.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SUFFIX = ".qwen.md"
LANGUAGE_ID = "qwen-chat"
FRONT = "---"
HEADING = re.compile(r"###[ \t]+(user|assistant|system)[ \t]*", re.IGNORECASE)
MARK_START = "<!-- qwen: "
MARK = re.compile(r"<!-- qwen: (.*) -->[ \t]*")
OURS = re.compile(r"(\\*)(?:###[ \t]+(?:user|assistant|system)|<!-- qwen: .* -->)[ \t]*", re.IGNORECASE)
BLANK = re.compile(r"[ \t]*")
EDGE = re.compile(r"\\+[ \t]*")  # a line that stands for a blank one, or for itself
IMAGE = re.compile(r"!(\\*)\[")
ESCAPED_IMAGE = re.compile(r"!\\(\\*)\[")
FENCE_ADDED = "the fence above is not the answer's"
FENCE = re.compile(r"`{3,}|~{3,}")
TAG = re.compile(r"<(\\*)(?:([A-Za-z][A-Za-z0-9-]*)([\s/>]|\Z)?|[A-Za-z/!?])")
MAYBE_TAG = re.compile(r"<\\*[A-Za-z0-9-]*\Z")
BLOCK_START = re.compile(r"(?:[ \t]*\[\^[^\]\s]*\]:)?[^A-Za-z`<]*")
ACTIVE = {"script", "style"}  # elements that fetch without an attribute
HEADING_START = re.compile(r"###[ \t]+([a-z]*)([ \t]*)")
FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):[ \t]*(.*?)[ \t]*")


@attrs.frozen
class Block:
    """One message and where it stands.

    `heading` is the line of its heading (None before the first one), its content lies in lines `first` to
    `end`, exclusive; lines count from 0. `marks` are our remarks in it.
    """

    role: Role
    content: str
    heading: int | None
    first: int
    end: int
    marks: tuple[str, ...] = ()


@attrs.frozen
class ChatDocument:
    """What a chat document says: the fields of its front matter, and its messages in order."""

    front: Mapping[str, str]
    blocks: tuple[Block, ...]

    @property
    def last(self) -> Block | None:
        """The message at the end."""
        return self.blocks[-1] if self.blocks else None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation: every message that says something."""
        return tuple(Message(b.role, b.content) for b in self.blocks if b.content)


# --- reading -------------------------------------------------------------------------------------


def parse_document(text: str) -> ChatDocument:
    """Read a document; any text is one. CRLF and CR count as LF."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff").split("\n")
    front, start = read_front(lines)
    blocks: list[Block] = []
    heading, role, first = None, Role.USER, start
    for number in range(start, len(lines) + 1):
        found = HEADING.fullmatch(lines[number]) if number < len(lines) and lines[number][:1] == "#" else None
        if found is None and number < len(lines):
            continue
        block = read_block(role, heading, first, lines[first:number])
        if heading is not None or block.content:
            blocks.append(block)
        if found is not None:
            heading, role, first = number, Role(found[1].lower()), number + 1
    return ChatDocument(front, tuple(blocks))


def last_block(lines: Sequence[str]) -> Block | None:
    """The message at the end of a document's lines, without reading what comes before it."""
    for number in range(len(lines) - 1, -1, -1):
        found = HEADING.fullmatch(lines[number]) if lines[number][:1] == "#" else None
        if found is not None:
            return read_block(Role(found[1].lower()), number, number + 1, lines[number + 1 :])
    return parse_document("\n".join(lines)).last


def find_messages(text: str, content: str) -> list[Block]:
    """The messages of the user's that say this, but for blanks at lines' ends, which editors take away."""
    wanted = trimmed(content)
    return [b for b in parse_document(text).blocks if b.role is Role.USER and trimmed(b.content) == wanted]


def trimmed(content: str) -> str:
    """A message without blanks at its lines' ends."""
    return "\n".join(line.rstrip() for line in content.rstrip().split("\n"))


def read_front(lines: Sequence[str]) -> tuple[dict[str, str], int]:
    """The fields of the front matter, and the line after it; none where it is not closed."""
    if lines[0].removeprefix("\ufeff").rstrip() != FRONT:
        return {}, 0
    end = next((n for n in range(1, len(lines)) if lines[n].rstrip() == FRONT), None)
    if end is None:
        return {}, 0
    fields = (FIELD.fullmatch(line) for line in lines[1:end])
    return {f[1].lower(): read_field(f[2]) for f in fields if f is not None}, end + 1


def read_field(text: str) -> str:
    """A field's value: as it stands, or a JSON string."""
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if isinstance(value, str) else text
    return text


def read_block(role: Role, heading: int | None, first: int, lines: Sequence[str]) -> Block:
    """A message from the lines below its heading."""
    end = first + len(lines)
    marks: list[str] = []
    kept: list[str] = []
    for line in lines:
        mark = MARK.fullmatch(line) if line.startswith(MARK_START) else None
        if mark is None:
            kept.append(line)
        elif mark[1] != FENCE_ADDED:
            marks.append(mark[1])
        elif kept and FENCE.fullmatch(kept[-1]):
            kept.pop()
    while kept and BLANK.fullmatch(kept[-1]):
        kept.pop()
    while kept and BLANK.fullmatch(kept[0]):
        kept.pop(0)
    if not kept:
        return Block(role, "", heading, first, end, tuple(marks))
    code = Fences()
    read: list[str] = []
    for number, line in enumerate(kept):
        is_edge = number in {0, len(kept) - 1} and EDGE.fullmatch(line)
        text = line[1:] if is_edge or (line.startswith("\\") and OURS.fullmatch(line)) else line
        if role is Role.ASSISTANT:
            is_escaped = "\\" in text and not code.inside
            read.append(unescape_html(ESCAPED_IMAGE.sub(r"!\1[", text)) if is_escaped else text)
            code.feed(line)
        else:
            read.append(text)
    return Block(role, "\n".join(read), heading, first, end, tuple(marks))


# --- writing -------------------------------------------------------------------------------------


def write_document(messages: Iterable[Message], front: Mapping[str, str] | None = None) -> str:
    """A document that reads as `messages`."""
    parts = [write_front(front)] if front else []
    for message in messages:
        parts.append(f"### {message.role.value}\n")
        if message.content:
            parts.append(write_content(message) + "\n")
    return "\n".join(parts)


def write_front(fields: Mapping[str, str]) -> str:
    """Front matter; a value that would not read as itself is written as a JSON string."""
    lines = [f"{name}: {write_field(value)}" for name, value in fields.items()]
    return "\n".join([FRONT, *lines, FRONT, ""])


def write_field(value: str) -> str:
    """A field's value."""
    is_plain = bool(value) and value.isprintable() and value == value.strip() and not value.startswith('"')
    return value if is_plain else json.dumps(value)


def write_content(message: Message) -> str:
    """A message's text as it stands in a document."""
    lines = message.content.split("\n")
    code = Fences()
    written: list[str] = []
    for number, raw in enumerate(lines):
        is_plain = message.role is Role.ASSISTANT and not code.inside
        line = escape_html(raw) if is_plain else raw
        is_edge = number in {0, len(lines) - 1} and (BLANK.fullmatch(line) or EDGE.fullmatch(line))
        text = f"\\{line}" if is_edge or OURS.fullmatch(line) else line
        written.append(IMAGE.sub(r"!\\\1[", text) if is_plain else text)
        code.feed(written[-1])
    if message.role is Role.ASSISTANT:
        written += code.ending
    return "\n".join(written)


def write_mark(text: str) -> str:
    """A remark of ours, on a line of its own; nothing in it ends the comment that hides it."""
    return f"{MARK_START}{re.sub('-(?=-)', '- ', one_line(text, 2000))} -->"


def answer_position(text: str) -> int:
    """Where an answer is put into a document: after its last visible character."""
    return len(text.rstrip())


# --- HTML in answers -----------------------------------------------------------------------------


def escape_html(text: str, before: str = "", *, is_end: bool = True) -> str:
    """Text up to the line's end, or to the `<` of something that may become a tag: without HTML that fetches.

    `before` is the line as far as it stands. Where an HTML block may begin, nothing of HTML is left: in a
    block, all is HTML. Elsewhere, a tag is left where it has no attributes and fetches nothing by itself.
    https://spec.commonmark.org/0.31.2/#html-blocks
    """

    def escape(tag: re.Match[str]) -> str:
        is_cut = not is_end and tag.end() == len(text) and not tag[3]
        return f"<\\{tag[0][1:]}" if is_active(tag, before + text[: tag.start()], is_cut=is_cut) else tag[0]

    return TAG.sub(escape, text)


def unescape_html(line: str) -> str:
    """The same the other way, for a whole line."""

    def unescape(tag: re.Match[str]) -> str:
        return f"<{tag[0][2:]}" if tag[1] and is_active(tag, line[: tag.start()]) else tag[0]

    return TAG.sub(unescape, line)


def is_active(tag: re.Match[str], before: str, *, is_cut: bool = False) -> bool:
    """Whether what may be a tag may make a preview fetch something, or let something else do so."""
    name, after = tag[2], tag[3]
    if BLOCK_START.fullmatch(before):
        return True
    return bool(name) and (name.lower() in ACTIVE or (after not in {None, ">"} and not is_cut))


# --- code in answers -----------------------------------------------------------------------------


class Fences:
    """Whether a line of an answer, as it stands in a document, is inside of a fenced code block.

    Careful rather than complete: only a fence at the start of a line counts, and none that begins inside
    of what a preview may take for raw HTML or a formula, where the fence would be no fence to it. The
    opening line itself is not code. https://spec.commonmark.org/0.31.2/#fenced-code-blocks
    """

    STARTS: ClassVar = {"<", "$", "`", "~"}  # of all that begins something
    OPENING = re.compile(r"(`{3,})[^`]*|(~{3,}).*")
    RAW = re.compile(
        r" {0,3}(<!--|<\?|<![A-Za-z]|<(?:script|pre|style|textarea)\b|<(?!\\)|\$\$)", re.IGNORECASE
    )
    ENDS: ClassVar = {"<!--": "-->", "<?": "?>", "<!": ">", "$$": "$$", "<": ""}  # "" is a blank line

    def __init__(self) -> None:
        self._closing: re.Pattern[str] | None = None
        self._fence = ""
        self._raw_until: str | None = None

    @property
    def inside(self) -> bool:
        """Whether the next line is code, or the end of it."""
        return self._closing is not None

    @property
    def ending(self) -> list[str]:
        """The lines that end the code, where it is left open."""
        return [self._fence, write_mark(FENCE_ADDED)] if self.inside else []

    def feed(self, line: str) -> None:
        """Take a whole line."""
        if self._closing is not None:
            if self._closing.fullmatch(line):
                self._closing = None
        elif self._raw_until is not None:
            self._leave_raw(line)
        elif line.lstrip(" ")[:1] not in self.STARTS:
            return
        elif (raw := self.RAW.match(line)) is not None:
            self._raw_until = self._end_of(raw[1])
            if self._raw_until:
                self._leave_raw(line[raw.end() :])
        elif (opening := self.OPENING.fullmatch(line)) is not None:
            fence = self._fence = opening[1] or opening[2]
            self._closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*")

    def _end_of(self, start: str) -> str:
        if start[1:2].isalpha():
            return "</"
        return next(end for begins, end in self.ENDS.items() if start.startswith(begins))

    def _leave_raw(self, line: str) -> None:
        if (self._raw_until in line) if self._raw_until else not line.strip():
            self._raw_until = None


def may_be_ours(start: str) -> bool:
    """Whether a line that begins like this may need a backslash in the end."""
    rest = start.lstrip("\\").lower()
    if BLANK.fullmatch(rest):
        return rest != start or not rest
    if "###".startswith(rest) or MARK_START.startswith(rest) or rest.startswith(MARK_START):
        return True
    found = HEADING_START.fullmatch(rest)
    return found is not None and any(
        role.value == found[1] if found[2] else role.value.startswith(found[1]) for role in Role
    )


class AnswerWriter:
    """An answer's text as it is written into a document while it arrives.

    What `feed` and `end` give, put together, reads as the answer without blank lines before it and
    blanks after it. Given out is only what no later text can change: the beginning of a line that may
    still need a backslash is held back, and so are blanks at the end, which editors like to take away.
    """

    def __init__(self) -> None:
        self._fences = Fences()
        self._start: str | None = ""  # the line's beginning, until it is known what the line is
        self._line: list[str] = []  # the line as it is written, for the fences
        self._held = ""  # comes out with the next visible character
        self._tag = ""  # what may become a tag, until it is known whether it does
        self._bang = False  # whether the line so far ends with `!` and backslashes
        self._is_first = True  # nothing visible has come yet

    def feed(self, text: str) -> str:
        """Take a piece; what can be written by now."""
        out: list[str] = []
        first, *rest = text.split("\n")
        self._take(first, out)
        for piece in rest:
            self._end_line(out)
            self._held = "" if self._is_first else self._held + "\n"
            self._take(piece, out)
        return "".join(out)

    def end(self) -> str:
        """The answer is over; what is left to write of it."""
        out: list[str] = []
        self._end_line(out)
        lines = self._held.split("\n")
        while lines and BLANK.fullmatch(lines[-1]):
            lines.pop()
        if lines:
            out.append("\n".join([*lines[:-1], "\\" + lines[-1].rstrip(" \t")]))
        out += [f"\n{line}" for line in self._fences.ending]
        return "".join(out)

    def _take(self, piece: str, out: list[str]) -> None:
        if self._start is None:
            self._give(piece, out)
            return
        self._start += piece
        if not may_be_ours(self._start):
            self._give(self._start, out)
            self._start = None

    def _end_line(self, out: list[str]) -> None:
        """The line has all come."""
        start = self._start or ""
        is_ours = OURS.fullmatch(start if self._fences.inside else escape_html(start))
        if is_ours or (self._is_first and EDGE.fullmatch(start)):
            self._give(f"\\{start}", out)
        elif EDGE.fullmatch(start):
            self._held += start  # if it stays the last one, it needs a backslash
        else:
            self._give(start, out)
        self._give("", out, is_whole=True)
        self._fences.feed("".join(self._line))
        self._line, self._start, self._bang = [], "", False

    def _give(self, piece: str, out: list[str], *, is_whole: bool = False) -> None:
        """A piece of the line, images and HTML escaped, but for the blanks at its end."""
        if not self._fences.inside:
            piece = self._tag + piece
            maybe = None if is_whole else MAYBE_TAG.search(piece)
            self._tag = maybe[0] if maybe else ""
            piece = piece[: maybe.start()] if maybe else piece
            piece = escape_html(piece, "".join(self._line), is_end=maybe is None)
            piece = self._escape_images(piece)
        self._line.append(piece)
        visible = piece.rstrip(" \t")
        if visible:
            out.append(self._held + visible)
            self._held = ""
            self._is_first = False
        self._held += piece[len(visible) :]

    def _escape_images(self, piece: str) -> str:
        opens = self._bang and re.match(r"\\*\[", piece)
        if piece:
            self._bang = bool(re.search(r"!\\*\Z", piece)) or (self._bang and not piece.strip("\\"))
        escaped = IMAGE.sub(r"!\\\1[", piece)
        return f"\\{escaped}" if opens else escaped
