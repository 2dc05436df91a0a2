"""Chat documents: any conversation survives writing and reading, whatever stands in it."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qwen_ls.core.chat import Message, Role
from qwen_ls.core.chatdoc import (
    AnswerWriter,
    Fences,
    answer_position,
    find_messages,
    last_block,
    parse_document,
    write_content,
    write_document,
    write_mark,
)

# Lines that mean something to the format, in pieces that meet each other.
PIECES = st.sampled_from(
    [
        "### user",
        "### assistant",
        "###  System ",
        "<!-- qwen: stopped -->",
        "<!--",
        "-->",
        "---",
        "\\",
        "\\\\",
        "\\ ",
        " ",
        "\t",
        "```",
        "~~~~",
        " ```",
        "$$",
        "<pre>",
        "</pre>",
        "<![CDATA[",
        "![a](https://example.test/i)",
        "!",
        "!\\",
        "[",
        "vec![1]",
        "<",
        "<img src=https://example.test/i>",
        "<img",
        "<img/",
        "<\\img",
        "<br>",
        "<div>",
        "</",
        "> ",
        "style",
        "a",
        "é😀",
        "\n",
        "\n\n",
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(
    st.characters(exclude_characters="\r"), max_size=40
)
MESSAGES = st.lists(st.builds(Message, st.sampled_from(Role), TEXTS), max_size=6)
FRONT = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True), TEXTS, max_size=3)


@given(messages=MESSAGES, front=FRONT)
@settings(max_examples=200)
def test_any_conversation_survives(messages: list[Message], front: dict[str, str]) -> None:
    """What was written reads the same: roles, texts, and the fields of the front matter."""
    document = parse_document(write_document(messages, front))
    assert [(b.role, b.content) for b in document.blocks] == [(m.role, m.content) for m in messages]
    assert document.front == front
    assert last_block(write_document(messages, front).split("\n")) == document.last


@given(messages=MESSAGES)
def test_line_ends_do_not_matter(messages: list[Message]) -> None:
    """A document with CRLF is the same conversation."""
    text = write_document(messages)
    assert parse_document(text.replace("\n", "\r\n")).messages == parse_document(text).messages


@given(text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=8))
@settings(max_examples=300)
@example(text="a\n\\", cuts=[])
@example(text="\\\n\\", cuts=[1])
@example(text="!\\[", cuts=[1, 2])
@example(text="<![CDATA[\n```\n![", cuts=[2])
@example(text="a <img<", cuts=[])
@example(text="a <\\img", cuts=[3])
def test_an_answer_written_as_it_arrives_reads_the_same(text: str, cuts: list[int]) -> None:
    """However an answer is cut into pieces, it reads as it was, without blank lines around it."""
    writer = AnswerWriter()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [writer.feed(text[a:b]) for a, b in itertools.pairwise(edges)] + [writer.end()]
    so_far = ""
    for piece in pieces:
        so_far += piece
        assert so_far == so_far.rstrip(" \t\n")  # an editor has nothing to trim at any moment
    block = parse_document(f"### assistant\n\n{so_far}\n\n### user\n").blocks[0]
    expected = re.sub(r"\A([ \t]*\n)+", "", text).rstrip(" \t\n")
    assert block.content == ("" if re.fullmatch(r"[ \t]*", expected) else expected)


def test_text_before_the_first_heading_is_the_users() -> None:
    """A new file needs no heading to be sent."""
    document = parse_document("What is a monad?\n")
    assert document.messages == (Message(Role.USER, "What is a monad?"),)
    assert document.last is not None
    assert document.last.heading is None


@pytest.mark.parametrize("dashes", ["-->", "--->", "---->", "--!>"])
def test_a_mark_stays_a_comment(dashes: str) -> None:
    """A provider's words in it do not get out of it, where a preview would fetch what they name."""
    mark = write_mark(f"Refused: {dashes}![x](https://e.example/)")
    assert mark.startswith("<!-- ")
    assert mark.find("--", len("<!--")) == len(mark) - len("-->")


def test_marks_are_no_part_of_an_answer() -> None:
    """What we remark about an answer is kept apart from it, and read as a mark."""
    text = f"### assistant\n\nHalf of it\n\n{write_mark('stopped -- now -->')}\n"
    (block,) = parse_document(text).blocks
    assert block.content == "Half of it"
    assert block.marks == ("stopped - - now - ->",)


def test_blocks_know_their_lines() -> None:
    """Where each message stands is told by its lines."""
    document = parse_document("---\nmodel: a\n---\n\n### user\n\nhi\n\n### assistant\n\nho\n")
    assert document.front == {"model": "a"}
    assert [(b.heading, b.first, b.end) for b in document.blocks] == [(4, 5, 8), (8, 9, 12)]


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_code_that_is_left_open_ends_with_its_answer(fence: str) -> None:
    """As by a stop: what follows is no code to a preview, and no fence is added to the conversation."""
    text = f"So:\n\n{fence}py\na = 1"
    writer = AnswerWriter()
    written = writer.feed(text) + writer.end()
    assert written == f"{text}\n{fence}\n<!-- qwen: the fence above is not the answer's -->"
    assert write_content(Message(Role.ASSISTANT, text)) == written
    fences = Fences()
    for line in written.split("\n"):
        fences.feed(line)
    assert not fences.inside
    (block,) = parse_document(f"### assistant\n\n{written}\n\n<!-- qwen: stopped -->\n").blocks
    assert (block.content, block.marks) == (text, ("stopped",))


def test_a_fence_of_the_answers_own_is_none_of_ours() -> None:
    """Code that has ended stays as it is, also below our mark, where its user has taken our fence away."""
    text = "```\na = 1\n```"
    assert write_content(Message(Role.ASSISTANT, text)) == text
    (block,) = parse_document(
        "### assistant\n\na\n<!-- qwen: the fence above is not the answer's -->\n"
    ).blocks
    assert block.content == "a"


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        ("![x](https://example.test/i)", "!\\[x](https://example.test/i)"),
        ("```rust\nvec![1]\n```\n![x](u)", "```rust\nvec![1]\n```\n!\\[x](u)"),
        ("- a\n\n  ```\n![x](u)", "- a\n\n  ```\n!\\[x](u)"),
        ("<div>\n```\n![1]\n```\n![x](u)", "<\\div>\n```\n![1]\n```\n!\\[x](u)"),
        ("<!--\n```\n![1]\n```\n![x](u)", "<\\!--\n```\n![1]\n```\n!\\[x](u)"),
        ("$$\n```\n$$\n![x](u)", "$$\n```\n$$\n!\\[x](u)"),
        ("``` ` ![x](u)", "``` ` !\\[x](u)"),
        ("```\ncode\n  ```\n![x](u)", "```\ncode\n  ```\n!\\[x](u)"),
    ],
)
def test_an_image_outside_of_code_is_none(answer: str, written: str) -> None:
    """No preview fetches what an answer names, in whatever it is wrapped; code stays as it is."""
    assert write_content(Message(Role.ASSISTANT, answer)) == written
    writer = AnswerWriter()
    assert "".join(map(writer.feed, answer)) + writer.end() == written


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        ("<img src=https://e.test/i>", "<\\img src=https://e.test/i>"),
        ("see <IMG\nsrc=u>", "see <\\IMG\nsrc=u>"),
        ("see <video/src=u>", "see <\\video/src=u>"),
        ("a <source srcset=u><iframe src=u>", "a <\\source srcset=u><\\iframe src=u>"),
        ("a <b style='background:url(u)'>b</b>", "a <\\b style='background:url(u)'>b</b>"),
        ("a <style>@import 'u'", "a <\\style>@import 'u'"),
        ("a <\\img src=u>", "a <\\\\img src=u>"),
        ("\\<img src=u>", "\\<\\img src=u>"),
        (
            "a <br>, Vec<String>, Map<String, List<T>> and x<y",
            "a <br>, Vec<String>, Map<String, List<T>> and x<\\y",
        ),
        ("`<div>` and <https://e.test/>", "`<div>` and <https://e.test/>"),
        ("<div>\n<img\nsrc=u>", "<\\div>\n<\\img\nsrc=u>"),
        ("> 1. <div>", "> 1. <\\div>"),
        ("[^note]: <div>", "[^note]: <\\div>"),
        ("</div>\n<!-- -->\n<?a", "<\\/div>\n<\\!-- -->\n<\\?a"),
        ("<!-- qwen: --> <img src=u> -->", "<\\!-- qwen: --> <\\img src=u> -->"),
        ("```html\n<img src=u>\n```\n<img src=u>", "```html\n<img src=u>\n```\n<\\img src=u>"),
        ("1 < 2 <= 3 <3", "1 < 2 <= 3 <3"),
    ],
)
def test_html_that_fetches_is_none(answer: str, written: str) -> None:
    """No preview fetches what an answer names in HTML, and no block of HTML begins; code stays as it is."""
    message = Message(Role.ASSISTANT, answer)
    assert write_content(message) == written
    writer = AnswerWriter()
    assert "".join(map(writer.feed, answer)) + writer.end() == written
    assert parse_document(write_document([message])).messages == (message,)


def test_raw_html_ends() -> None:
    """After raw HTML has ended, a fence is one again."""
    for before in (
        "<!-- a -->",
        "<b>x</b>\n",
        "<!-- a\n-->",
        "$$x$$",
        "<pre>\n\n</pre>",
        "<?php\n?>",
        "<!D\n>",
    ):
        fences = Fences()
        for line in [*before.split("\n"), "```"]:
            fences.feed(line)
        assert fences.inside, before


def test_what_the_user_writes_is_left_alone() -> None:
    """An image of the user's own stays one."""
    assert write_content(Message(Role.USER, "![x](u)")) == "![x](u)"


def test_a_message_is_found_by_what_it_says() -> None:
    """Each of the user's, wherever it stands by now; blanks at the ends of its lines do not count."""
    text = "---\na: b\n---\nfirst\n### user\nhi \nyou\n### assistant\nhi\nyou\n### user\nhi\nyou\n"
    (unheaded, user, _, again) = parse_document(text).blocks
    assert find_messages(text, "hi\nyou  ") == [user, again]
    assert find_messages(text, "first ") == [unheaded]
    assert find_messages(text, "hi") == []


def test_the_place_of_an_answer_is_after_the_last_visible_character() -> None:
    """Blank lines at the end of a document stay behind the answer."""
    assert answer_position("### user\n\nhi\n\n \n") == len("### user\n\nhi")
