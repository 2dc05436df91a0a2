"""qwen_ls.core.mentions: where a text mentions something, and what."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.mentions import (
    Begun,
    Lines,
    MentionKind,
    find_begun,
    find_mentions,
    parse_reference,
    write_mention,
)

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


def test_references() -> None:
    """A path with lines is told from a path alone."""
    assert parse_reference("a.py#L3-L9") == ("a.py", Lines(3, 9))
    assert parse_reference("a.py") == ("a.py", None)
    assert parse_reference("") == ("", None)


@pytest.mark.parametrize(
    ("text", "begun"),
    [
        ("@", Begun(0, "")),
        ("see @se", Begun(4, "se")),
        ("a\n(@file:", Begun(3, None, "")),
        ("@file:src/a", Begun(0, None, "src/a")),
        ('`x` @file:"my no', Begun(4, None, "my no", is_quoted=True)),
        ("@file:a @file:b", Begun(8, None, "b")),
        ("", None),
        ("me@exa", None),
        ("`@se", Begun(1, "se")),
        ("```\n@se", None),
        ("@file:a ", None),
        ('@file:"a"', None),
        ("@se\n", None),
        (r"\@se", None),
    ],
)
def test_a_mention_that_is_being_written(text: str, begun: Begun | None) -> None:
    """What stands before the cursor begins one, but not in a word, in a block of code, or on another line."""
    assert find_begun(text) == begun
