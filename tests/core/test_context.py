"""qwen_ls.core.context: what goes along with a message, and how it is written down."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.context import (
    MAX_ATTACHED,
    MAX_FILE,
    Block,
    Diagnostic,
    Given,
    Selection,
    Severity,
    check_size,
    check_total,
    compose,
    cut,
    diagnostics_block,
    fenced,
    file_block,
    front_of,
    given_of,
    parse_diagnostic,
    parse_selection,
    selection_block,
    together,
    write_selection,
)
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.mentions import Lines

# Characters that occur in paths and mean something to the parser, beside ordinary ones.
PATHS = st.text(st.sampled_from("aé日./_-# :()[]L1'*"), min_size=1, max_size=20)


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


def test_front_matter_is_read_back() -> None:
    """What is given stands in a document's front matter, and is the same when it is read again."""
    found = [Diagnostic("a b.py", 2, Severity.ERROR, 'say "é"'), Diagnostic("b.py", 0, Severity.HINT, "h")]
    given = Given(Selection("src/a.py", 2, 9), diagnostics=tuple(found))
    assert given_of(front_of(given)) == given
    assert front_of(given)["selection"] == "src/a.py#L3-L9"
    assert front_of(Given()) == {}


def test_what_two_give() -> None:
    """A document's front matter and a client may both give something."""
    first, second = Selection("a", 0, 1), Selection("b", 0, 1)
    found = Diagnostic("a", 0, Severity.ERROR, "m")
    both = together(Given(first, ("a",), (found,)), Given(second, ("b",)))
    assert both == Given(second, ("a", "b"), (found,))
    assert together(Given(first), Given()) == together(Given(), Given(first)) == Given(first)


@pytest.mark.parametrize(
    "diagnostics", ["", "[", "{}", "[1, null]", '["no place"]', "[" * 100_000, "a.py: error: no line"]
)
def test_front_matter_that_gives_nothing(diagnostics: str) -> None:
    """A field that is written by hand and makes no sense gives nothing."""
    assert given_of({"diagnostics": diagnostics, "selection": "src/a.py", "model": "m"}) == Given()


def test_one_diagnostic_alone() -> None:
    """A field written by hand may hold one diagnostic without the brackets."""
    given = given_of({"diagnostics": "a.py:3 error: wrong"})
    assert given.diagnostics == (Diagnostic("a.py", 2, Severity.ERROR, "wrong"),)


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
    block = Block("File `4`", "é")
    check_total(MAX_ATTACHED, block)
    with pytest.raises(Problem) as problem:
        check_total(MAX_ATTACHED + 1, block)
    assert (problem.value.kind, block.size) == (Kind.TOO_LARGE, 2)
    assert "File `4`" in problem.value.message
