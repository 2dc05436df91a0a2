"""qwen_ls.core.context: what a message mentions, and what is sent in its place."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.context import (
    MAX_ATTACHED,
    MAX_FILE,
    Block,
    Diagnostic,
    Lines,
    MentionKind,
    Selection,
    Severity,
    check_size,
    compose,
    cut,
    diagnostics_block,
    fenced,
    file_block,
    find_mentions,
    parse_diagnostic,
    parse_reference,
    parse_selection,
    selection_block,
    write_mention,
    write_selection,
)
from qwen_ls.core.errors import Kind, Problem

# Characters that occur in paths and mean something to the parser, beside ordinary ones.
PATHS = st.text(st.sampled_from("aé日./_-# :()[]L1'*"), min_size=1, max_size=20)
MARKDOWN = st.text(st.sampled_from('a`~\n >\\@filselcton:"'), max_size=60)


def found(text: str) -> list[tuple[str, str, str]]:
    """The mentions as kind, path and lines."""
    return [(m.kind.value, m.path, str(m.lines or "")) for m in find_mentions(text)]


# --- where a mention is one ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "@selection",
        "explain @selection",
        "(@selection)",
        "see:\n@selection.",
        "`a` @selection",
        "@selection?",
    ],
)
def test_a_mention(text: str) -> None:
    """A mention stands at the beginning of a word, whatever follows the word."""
    assert found(text) == [("selection", "", "")]


@pytest.mark.parametrize(
    "text",
    [
        "me@selection.example",
        "me.too@file:a.py",
        "@selections",
        "@selection-box",
        "@@selection",
        "a/@selection",
        r"\@selection",
        "@file:",
        "@file: a.py",
        "@file:...",
        '@file:""',
        "@files:a.py",
        "`@selection`",
        "``a ` @file:b.py``",
        "`over\ntwo @selection lines`",
        "```\n@selection\n```",
        "~~~ py\n@file:a.py\n```\n~~~\n",
        "> ```\n> @selection\n> ```",
        "- a list\n  ```\n  @selection\n  ```",
        "````\n```\n@selection\n````",
        "```\nnever closed @selection",
    ],
)
def test_no_mention(text: str) -> None:
    """Not in a word or an address, not behind a backslash, not in code."""
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "a ` alone, then @selection",
        "`a`` @selection",
        "`one paragraph\n\n@selection another`",
        "```a``` @selection",
        "```\ncode\n```\n@selection",
        r"\`@selection`",
        "~~ @selection",
    ],
)
def test_what_only_looks_like_code(text: str) -> None:
    """A backtick without its like, an escaped one, and the text after a block are ordinary text."""
    assert found(text) == [("selection", "", "")]


@pytest.mark.parametrize(
    ("text", "path", "lines"),
    [
        ("@file:src/a.py", "src/a.py", ""),
        ("@file:src/a.py#L3-L9", "src/a.py", "#L3-L9"),
        ("@file:src/a.py#L3-9", "src/a.py", "#L3-L9"),
        ("@file:src/a.py#L9-L3", "src/a.py", "#L3-L9"),
        ("@file:src/a.py#L3", "src/a.py", "#L3"),
        ("@file:src/a.py#L0", "src/a.py", "#L1"),
        ('@file:"my notes/a b.md"', "my notes/a b.md", ""),
        ('@file:"my notes/a b.md"#L3-L9', "my notes/a b.md", "#L3-L9"),
        ('@file:"a#L3.md"', "a#L3.md", ""),
        ("@file:a#b.md", "a#b.md", ""),
        ("look at @file:a.py, then", "a.py", ""),
        ("look at @file:a.py#L3.", "a.py", "#L3"),
        ("(@file:a.py)", "a.py", ""),
        ("(see @file:a.py?)", "a.py", ""),
        ("@file:app/(group)/page.tsx", "app/(group)/page.tsx", ""),
        ("(@file:app/(group)/page.tsx)", "app/(group)/page.tsx", ""),
        ("[@file:pages/[id].tsx]", "pages/[id].tsx", ""),
        ("@file:a.py's tests", "a.py", ""),
        ("**@file:a.py**", "a.py", ""),
        ("@file:/home/me/a.py", "/home/me/a.py", ""),
        (r"@file:C:\src\a.py", r"C:\src\a.py", ""),
        ("@file:日本/é.md", "日本/é.md", ""),
    ],
)
def test_files(text: str, path: str, lines: str) -> None:
    """A path with its lines; the sentence and the brackets around it are not part of it."""
    assert found(text) == [("file", path, lines)]


def test_places_of_mentions() -> None:
    """Each mention knows where it stands, so that it can be completed and replaced."""
    text = 'é @selection, @file:"a b"#L1: `@diagnostics` @diagnostics'
    assert [text[m.start : m.end] for m in find_mentions(text)] == [
        "@selection",
        '@file:"a b"#L1',
        "@diagnostics",
    ]


@given(MARKDOWN)
def test_any_text_has_mentions_of_its_own(text: str) -> None:
    """What is found stands in the text as it is written, in order, and never in a closed code span."""
    end = 0
    for mention in find_mentions(text):
        assert mention.start >= end
        end = mention.end
        written = text[mention.start : end]
        assert written.startswith(f"@{mention.kind.value}")
        assert mention.kind is not MentionKind.FILE or mention.path in written
    assert find_mentions(f"`{text.replace('`', '')}`".replace("\n", " ")) == []


@given(PATHS, st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999)))
def test_a_written_mention_is_read_back(path: str, numbers: tuple[int, int] | None) -> None:
    """The mention made for a file names it, with its lines, also inside a sentence."""
    lines = Lines(min(numbers), max(numbers)) if numbers else None
    mention = write_mention(path, lines)
    for text in (mention, f"see {mention} and go on"):
        (read,) = find_mentions(text)
        assert (read.path, read.lines, text[read.start : read.end]) == (path, lines, mention)


@pytest.mark.parametrize(
    "unit", ["`", "``a`", "@file:", "@file:)", "((", "~~~\n", "`\n\n", "\\`", '@file:"', "#L1"]
)
def test_hostile_texts_are_read_in_time(unit: str) -> None:
    """No text makes the search take more than a moment: 256 KiB are."""
    began = time.monotonic()
    find_mentions(unit * (256 * 1024 // len(unit)) + " @selection")
    assert time.monotonic() - began < 5


# --- front matter -------------------------------------------------------------------------------------------


@given(PATHS.map(str.strip).filter(bool), st.integers(0, 500), st.integers(1, 500))
def test_a_selection_is_read_back(path: str, start: int, count: int) -> None:
    """A selection written into a document names the same lines again."""
    selection = Selection(path, start, start + count)
    assert parse_selection(write_selection(selection)) == selection


@pytest.mark.parametrize("text", ["", "src/a.py", "#L3", "src/a.py#L"])
def test_no_selection(text: str) -> None:
    """Without lines there is nothing selected."""
    assert parse_selection(text) is None


def test_a_caret_is_its_line() -> None:
    """A selection that ends where it begins means the line it is on."""
    assert Selection("a", 4, 4).lines == Selection("a", 4, 5).lines == Lines(5, 5)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("src/a.py:3:5 error: text: more", Diagnostic("src/a.py", 2, Severity.ERROR, "text: more", column=4)),
        ("a b.py:3 warning: w", Diagnostic("a b.py", 2, Severity.WARNING, "w")),
        ("src/a.py:3:5: hint: h", Diagnostic("src/a.py", 2, Severity.HINT, "h", column=4)),
        (r"C:\a.py:1 information: i", Diagnostic(r"C:\a.py", 0, Severity.INFORMATION, "i")),
        ("src/a.py: error: no line", None),
        ("src/a.py:3 fatal: no such word", None),
        ("", None),
    ],
)
def test_diagnostics_of_a_document(text: str, read: Diagnostic | None) -> None:
    """A line of a document names place, severity and message; anything else is no diagnostic."""
    assert parse_diagnostic(text) == read
    assert read is None or parse_diagnostic(str(read)) == read


def test_a_diagnostic_says_who_found_it() -> None:
    """Source and code stand behind the message, and a message of several lines on one."""
    found = Diagnostic("a.py", 0, Severity.ERROR, "first\nsecond", "mypy", "arg-type")
    assert str(found) == "a.py:1 error: first second [mypy arg-type]"
    assert str(Diagnostic("a.py", 0, Severity.ERROR, "m", "ts", 0)) == "a.py:1 error: m [ts 0]"


# --- what is sent -------------------------------------------------------------------------------------------


def test_the_message_and_its_blocks() -> None:
    """The message stands first, as it was written; each block names what it is."""
    sent = compose(
        "explain @selection",
        [
            selection_block("src/a.py", Selection("src/a.py", 2, 4), "x = 1\ny = 2"),
            file_block("b.txt", "text\n", None),
            file_block("c", "", Lines(3, 3)),
            diagnostics_block([Diagnostic("a.py", 2, Severity.ERROR, "wrong")]),
        ],
        ["gone"],
    )
    assert sent == (
        "explain @selection\n\n"
        "Selection in `src/a.py`, lines 3 to 4:\n```py\nx = 1\ny = 2\n```\n\n"
        "File `b.txt`:\n```txt\ntext\n```\n\n"
        "File `c`, line 3:\n```\n```\n\n"
        "Diagnostics:\n```\na.py:3 error: wrong\n```\n\n"
        "[gone]"
    )


def test_a_message_alone_is_sent_as_it_is() -> None:
    """Nothing is added where nothing goes along."""
    assert compose(" as it is\n", []) == " as it is\n"


@given(st.text(st.sampled_from("`a\n"), max_size=80))
def test_no_content_ends_its_block(content: str) -> None:
    """The fence around a file is longer than any run of backticks in it."""
    lines = fenced(Block("File", content)).split("\n")
    fence = lines[1]
    assert set(fence) == {"`"}
    assert lines[-1] == fence
    assert not any(line.strip().startswith(fence) for line in lines[2:-1])
    assert "\n".join(lines[2:-1]) == content.removesuffix("\n")


@pytest.mark.parametrize("path", ["a`b.py", "a\nb.py", "a\x1b[2Jb.py"])
def test_a_name_stays_on_its_line(path: str) -> None:
    """Whatever a file is called, its title is one line without control characters."""
    title = file_block(path, "", None).title
    assert re.search(r"[\n\x1b]", title) is None


def test_lines_are_cut_out() -> None:
    """Lines are counted from 1, both ends included; past the end is the end."""
    text = "one\ntwo\nthree"
    assert cut(text, Lines(2, 3), "a") == "two\nthree"
    assert cut(text, Lines(3, 99), "a") == "three"
    with pytest.raises(Problem) as problem:
        cut(text, Lines(4, 5), "a")
    assert problem.value.message.startswith("a has 3 lines, and line 4 was asked for")


def test_caps_count_bytes_and_name_the_file() -> None:
    """What is too large is refused by its name: one file, and all of a message together."""
    assert check_size("é" * (MAX_FILE // 2), "a.py") == "é" * (MAX_FILE // 2)
    with pytest.raises(Problem) as problem:
        check_size("é" * (MAX_FILE // 2 + 1), "a.py")
    assert problem.value.kind is Kind.TOO_LARGE
    assert problem.value.message.startswith("a.py is larger than 256 KiB. Name some of its lines")
    blocks = [Block(f"File `{number}`", "x" * MAX_FILE) for number in range(5)]
    compose("", blocks[: MAX_ATTACHED // MAX_FILE])
    with pytest.raises(Problem) as problem:
        compose("", blocks)
    assert problem.value.kind is Kind.TOO_LARGE
    assert "File `4`" in problem.value.message


def test_references() -> None:
    """A path with lines is told from a path alone."""
    assert parse_reference("a.py#L3-L9") == ("a.py", Lines(3, 9))
    assert parse_reference("a.py") == ("a.py", None)
    assert parse_reference("") == ("", None)
