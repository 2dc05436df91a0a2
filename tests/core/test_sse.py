"""qwen_ls.core.sse: server-sent events from bytes, as the WHATWG text defines them."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.sse import MAX_LINE, EventParser


def events(*chunks: bytes) -> list[str]:
    """The data of all events in a stream that comes in these portions."""
    parser = EventParser()
    return [data for chunk in chunks for data in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        # the examples of https://html.spec.whatwg.org/multipage/server-sent-events.html
        (b"data: This is the first message.\n\n", ["This is the first message."]),
        (
            b"data: This is the second message, it\ndata: has two lines.\n\n",
            ["This is the second message, it\nhas two lines."],
        ),
        (b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n", ["73857293", "2153"]),
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
         ["first event", "second event", " third event"]),
        (b"data\n\ndata\ndata\n\ndata:", ["", "\n"]),
        (b"data:test\n\ndata: test\n\n", ["test", "test"]),
        # line ends
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", ["a", "b", "c"]),
        (b"data: a\r\ndata: b\rdata: c\n\r", ["a\nb\nc"]),
        (b"data: a\n\r\ndata: b\r\n\n", ["a", "b"]),
        (b"data: a\xe2\x80\xa8b\xc2\x85c\x0b\x0c\n\n", ["a\u2028b\x85c\x0b\x0c"]),
        # a BOM at the start, and not elsewhere
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: \xef\xbb\xbfa\n\n\xef\xbb\xbfdata: b\n\n", ["\ufeffa"]),
        # fields that are not data
        (b"id: 1\n\n", []),
        (b"id: 1\nevent: x\nretry: 10\n\ndata: a\n\n", ["a"]),
        (b"retry: 99999999999999999999\nid: \x00\ndata: a\n\n", ["a"]),
        (b": keep-alive\n\n:\n\n::data: x\n\n", []),
        (b"data : a\n\nDATA: b\n\n data: c\n\ndatas: d\n\ndat: e\n\n", []),
        (b"data: a: b:c\n\n", ["a: b:c"]),
        (b"data\n\n", [""]),
        (b"\n\n\n\n", []),
        (b"", []),
        # invalid UTF-8
        (b"data: a\xffb\n\n", ["a\ufffdb"]),
        (b"data: \xe2\x98\ndata: \x83\n\n", ["\ufffd\n\ufffd"]),
        (b"data: \xed\xa0\x80\n\n", ["\ufffd\ufffd\ufffd"]),
        (b"da\xffta: a\n\n", []),
        # an event without its blank line is dropped
        (b"data: a\n\ndata: b\n", ["a"]),
        (b"data: a", []),
    ],
)  # fmt: skip
def test_streams(stream: bytes, expected: list[str]) -> None:
    """The events of a stream, whole, byte by byte, and cut in two at every place."""
    assert events(stream) == expected
    assert events(*(stream[i : i + 1] for i in range(len(stream)))) == expected
    for cut in range(len(stream) + 1):
        assert events(stream[:cut], b"", stream[cut:]) == expected


BYTES = st.lists(
    st.sampled_from(
        [
            *(b"data", b"data:", b"data: ", b"id: 1", b":", b" ", b"\r", b"\n", b"\r\n", b"\n\n", b"x"),
            *(b"\xef\xbb\xbf", b"\xe2\x98\x83", b"\xe2", b"\x80\xa8", b"\x00", b"event: e", b"retry: 5"),
        ]
    ),
    max_size=40,
).map(b"".join)


@given(BYTES, st.lists(st.integers(0, 120), max_size=8))
def test_any_stream_reads_the_same_however_it_is_cut(stream: bytes, cuts: list[int]) -> None:
    """Portions carry no meaning."""
    at = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert events(*(stream[a:b] for a, b in pairwise(at))) == events(stream)


@given(
    st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n"), max_size=20))
)
def test_what_a_server_sends_is_received(lines: list[str]) -> None:
    """Any text without line ends comes through as data, line by line."""
    stream = "".join(f"data: {line}\n\n" for line in lines).encode()
    assert events(stream) == lines


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n"])
def test_the_largest_line(end: bytes) -> None:
    """A line of 1 MiB is read."""
    text = b"x" * (MAX_LINE - 6)
    assert events(b"data: " + text + end) == [text.decode()]


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * MAX_LINE + b"\n\n",
        b": " + b"x" * MAX_LINE + b"\n\n",
        b"x" * (MAX_LINE + 1),
        b"data: xxxxxxx\n" * (MAX_LINE // 8) + b"\n",
        b"data\n" * (MAX_LINE + 1) + b"\n",
    ],
)
@pytest.mark.parametrize("size", [None, 65536])
def test_what_is_too_large(stream: bytes, size: int | None) -> None:
    """A line or an event over 1 MiB is refused, in one portion and in many; what came before counts."""
    before = b"data: before\n\n"
    stream = before + stream
    parser = EventParser()
    got: list[str] = []

    def feed() -> None:
        for at in range(0, len(stream), size or len(stream)):
            got.extend(parser.feed(stream[at : at + (size or len(stream))]))
        parser.feed(b"")

    with pytest.raises(Problem) as caught:
        feed()
    assert caught.value.kind is Kind.TOO_LARGE
    assert parser.failure is caught.value
    assert got == ["before"]


def test_a_failed_stream_stays_failed() -> None:
    """Nothing is read after an event that was too large."""
    parser = EventParser()
    for chunk in (b"x" * (MAX_LINE + 1), b"\n\ndata: a\n\n"):
        with pytest.raises(Problem):
            parser.feed(chunk)


def test_a_million_portions_of_one_byte() -> None:
    """Small portions cost no copy of what came before: a million in a few seconds of processor time."""
    line = b"data: " + b"x" * 999_000 + b"\n\n"
    short = b"data: x\n\n" * 112
    parser = EventParser()
    began = time.process_time()
    got = [len(data) for i in range(len(line)) for data in parser.feed(line[i : i + 1])]
    got += [len(data) for i in range(len(short)) for data in parser.feed(short[i : i + 1])]
    assert time.process_time() - began < 5.0
    assert got == [999_000] + [1] * 112


def test_a_hundred_thousand_keep_alives() -> None:
    """Comments cost little and leave nothing behind."""
    parser = EventParser()
    began = time.process_time()
    assert [data for _ in range(100_000) for data in parser.feed(b": keep-alive\n\n")] == []
    assert time.process_time() - began < 5.0
    assert parser.feed(b"data: a\n\n") == ["a"]
