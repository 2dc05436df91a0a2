"""The framing rules, one row each, however the stream is cut into pieces."""

from __future__ import annotations

import json
import time
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.lsp.frames import MAX_BODY, MAX_HEADER, Bad, Frames, encode

FIRST, SECOND = {"id": 1, "method": "first"}, {"id": 2, "method": "zweite Zeile\n,通义"}
NEXT_TWO = encode(FIRST) + encode(SECOND)


def frame(body: bytes, *headers: bytes) -> bytes:
    """Return a well-measured frame with further header lines."""
    return b"".join(line + b"\r\n" for line in (b"Content-Length: %d" % len(body), *headers)) + b"\r\n" + body


def read(stream: bytes, piece: int = 65536) -> list[Any]:
    """Return all that comes out of `stream` fed in pieces."""
    frames = Frames()
    return [found for at in range(0, len(stream), piece) for found in frames.feed(stream[at : at + piece])]


def shape(found: list[Any]) -> list[Any]:
    """Return `found` with every Bad made comparable by its text."""
    return [f"bad: {item.why}" if isinstance(item, Bad) else item for item in found]


PIECES = pytest.mark.parametrize("piece", [1, 7, 65536, 1 << 40], ids=["1", "7", "64KiB", "all"])

NO_JSON = "bad: body is not JSON in UTF-8"
NO_LENGTH = "bad: no Content-Length"
NO_NUMBER = "bad: Content-Length is not a number of at most eight digits"
TOO_LONG = "bad: Content-Length is above 16 MiB"
NO_LINE = "bad: not a header line"
OUTSIDE = "bad: bytes outside of any frame"

# Each row: what comes before the next two messages, and what it gives.
ACCEPTED: dict[str, tuple[bytes, list[Any]]] = {
    "nothing": (b"", []),
    "lower case": (b"content-length: 2\r\n\r\n{}", [{}]),
    "upper case": (b"CONTENT-LENGTH: 2\r\n\r\n{}", [{}]),
    "no blank after the colon": (b"Content-Length:2\r\n\r\n{}", [{}]),
    "blanks around": (b"Content-Length \t: \t 2 \t\r\n\r\n{}", [{}]),
    "leading zeros": (b"Content-Length: 00000002\r\n\r\n{}", [{}]),
    "LF only": (b"Content-Length: 2\n\n{}", [{}]),
    "CRLF and LF mixed": (b"Content-Length: 2\r\nX: y\n\r\n{}", [{}]),
    "extra headers around": (b"X-One: 1\r\nContent-Length: 2\r\nX-Two: a: b\r\n\r\n{}", [{}]),
    "a header that only ends in the name": (b"X-Content-Length: 9\r\nContent-Length: 2\r\n\r\n{}", [{}]),
    "the same length twice": (b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", [{}]),
    "content type as LSP gives it": (
        frame(b"{}", b"Content-Type: application/vscode-jsonrpc; charset=utf-8"),
        [{}],
    ),
    "charset utf8, as older clients have it": (frame(b"{}", b"content-type: a/b; CHARSET = UTF8;x=y"), [{}]),
    "charset in quotes": (frame(b"{}", b'Content-Type: a/b; charset="utf-8"'), [{}]),
    "content type without charset": (frame(b"{}", b"Content-Type: application/json"), [{}]),
    "blank lines between": (b"\r\n\n\r\n" + frame(b"{}") + b"\r\n\r\n", [{}]),
    "a header line inside a string": (
        frame(json.dumps("Content-Length: 5\r\n\r\n12345").encode()),
        ["Content-Length: 5\r\n\r\n12345"],
    ),
    "JSON that is no object": (b"".join(map(frame, (b"[]", b"null", b"1", b'""'))), [[], None, 1, ""]),
    "a header block as long as can be": (frame(b"{}", b"X: " + b"a" * (MAX_HEADER - 26)), [{}]),
}

KNOWN_LENGTH: dict[str, tuple[bytes, list[Any]]] = {
    "body is not JSON": (frame(b"{nope}"), [NO_JSON]),
    "two values in a body": (frame(b"{}{}"), [NO_JSON]),
    "bad UTF-8": (frame(b'{"a": "\xff"}'), [NO_JSON]),
    "UTF-16": (frame('{"a": 1}'.encode("utf-16")), [NO_JSON]),
    "byte order mark in the body": (frame(b"\xef\xbb\xbf{}"), [NO_JSON]),
    "a raw newline in a string": (frame(b'"a\nb"'), [NO_JSON]),
    "NaN": (frame(b'{"a": NaN}'), [NO_JSON]),
    "Infinity": (frame(b"[Infinity]"), [NO_JSON]),
    "-Infinity": (frame(b"-Infinity"), [NO_JSON]),
    "a number of 5,000 digits": (frame(b"9" * 5000), [NO_JSON]),
    "nested too deep": (frame(b"[" * 100_000 + b"]" * 100_000), ["bad: body is nested too deep"]),
    "length 0": (frame(b""), [NO_JSON]),
    "charset latin-1": (frame(b"{}", b"Content-Type: a/b; charset=latin-1"), ["bad: charset is not utf-8"]),
    "charset utf-16": (frame(b"{}", b"Content-Type: a/b; charset=utf-16"), ["bad: charset is not utf-8"]),
    "two bad ones": (frame(b"{") + frame(b"}"), [NO_JSON, NO_JSON]),
}

UNKNOWN_LENGTH: dict[str, tuple[bytes, list[Any]]] = {
    "length missing": (b"X-Other: 1\r\n\r\n{}", [NO_LENGTH]),
    "length empty": (b"Content-Length:\r\n\r\n{}", [NO_NUMBER]),
    "length negative": (b"Content-Length: -2\r\n\r\n{}", [NO_NUMBER]),
    "length with a sign": (b"Content-Length: +2\r\n\r\n{}", [NO_NUMBER]),
    "length in hex": (b"Content-Length: 0x02\r\n\r\n{}", [NO_NUMBER]),
    "length in other digits": ("Content-Length: ٢\r\n\r\n{}".encode(), [NO_NUMBER]),
    "two lengths in one line": (b"Content-Length: 2, 2\r\n\r\n{}", [NO_NUMBER]),
    "nine digits": (b"Content-Length: 000000002\r\n\r\n{}", [NO_NUMBER]),
    "a length of 10^12": (b"Content-Length: 1000000000000\r\n\r\n{}", [NO_NUMBER]),
    "a length of 5,000 digits": (b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}", [NO_NUMBER]),
    "one byte above 16 MiB": (b"Content-Length: %d\r\n\r\n{}" % (MAX_BODY + 1), [TOO_LONG]),
    "two different lengths": (
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        [
            "bad: two different Content-Lengths",
        ],
    ),
    "a good length after a bad one": (b"Content-Length: x\r\nContent-Length: 2\r\n\r\n{}", [NO_NUMBER]),
    "a bad length after a good one": (b"Content-Length: 2\r\nContent-Length: x\r\n\r\n{}", [NO_NUMBER]),
    "a line without a colon inside": (b"Content-Length: 2\r\nnonsense\r\n\r\n{}", [NO_LINE]),
    "a name with a blank": (b"Some Name: 2\r\n\r\n{}", [NO_LINE]),
    "a header block above 8 KiB": (
        b"Content-Length: 2\r\nX: " + b"a" * MAX_HEADER + b"\r\n\r\n{}",
        ["bad: header block above 8 KiB"],
    ),
    "a header block that does not end": (b"X: y\r\n" * 2000, ["bad: header block above 8 KiB"]),
    "junk bytes": (bytes(range(256)) * 5, [OUTSIDE]),
    "junk lines": (b"Traceback (most recent call last):\n  File x\n\n", [NO_LINE]),
    "junk of 100 KiB in one line": (b"j" * 100_000, ["bad: header block above 8 KiB"]),
    "junk that touches the next header": (b"some junk", [NO_LINE]),
    "junk of one word that touches it": (b"junk", [NO_LENGTH]),
    "junk that looks like a header and touches it": (b"X: junk", [NO_LENGTH]),
    "junk with a header that is too long": (b"ju nk Content-Length: 99999999\r\n\r\n{}", [NO_LINE]),
    "junk before the longest header line": (
        b"{" + b" \t \t \t \t".join((b"Content-Length", b":", b"00000002", b"\r\n")) + b"\r\n{}",
        [OUTSIDE, {}],
    ),
    "a byte order mark": (b"\xef\xbb\xbf", [OUTSIDE]),
    "JSON without a header": (b'{"id": 1}\r\n', [OUTSIDE]),
    "JSON that touches the next header": (b'{"id": 1}', [OUTSIDE]),
    "a length that is one too short": (b"Content-Length: 7\r\n\r\n" + b'{"a": 1}', [NO_JSON, OUTSIDE]),
}

ROWS = {**ACCEPTED, **KNOWN_LENGTH, **UNKNOWN_LENGTH}


@PIECES
@pytest.mark.parametrize("row", ROWS)
def test_row(row: str, piece: int) -> None:
    """Each kind of frame gives what its row says, and the next two messages always arrive."""
    stream, expected = ROWS[row]
    assert shape(read(stream + NEXT_TWO, piece)) == [*expected, FIRST, SECOND]


@pytest.mark.parametrize("first", UNKNOWN_LENGTH)
def test_bad_after_bad(first: str) -> None:
    """Skipping ends where the rule says, whichever bad frame comes next."""
    stream, expected = UNKNOWN_LENGTH[first]
    for bad, then in KNOWN_LENGTH.values():
        assert shape(read(stream + bad + NEXT_TWO)) == [*expected, *then, FIRST, SECOND]


@pytest.mark.parametrize("piece", [65536, 1 << 40])
@pytest.mark.parametrize(
    ("size", "expected"), [(MAX_BODY, "x"), (MAX_BODY + 1, "bad"), (20 * 1024 * 1024, "bad")]
)
def test_large_body(size: int, expected: str, piece: int) -> None:
    """A body of 16 MiB is a message; a longer one is refused once, and skipped."""
    found = read(frame(b'"%b"' % (b"x" * (size - 2))) + NEXT_TWO, piece)
    assert [item.why if isinstance(item, Bad) else item[:1] for item in found[:-2]] == [
        {"x": "x", "bad": "Content-Length is above 16 MiB"}[expected]
    ]
    assert found[-2:] == [FIRST, SECOND]


def test_too_long_length() -> None:
    """A length that is too long costs the message it reaches into, and no more."""
    stream = b"Content-Length: 4\r\n\r\n{}" + encode({}) + NEXT_TWO
    assert shape(read(stream)) == [NO_JSON, NO_LENGTH, FIRST, SECOND]


def test_answers_before_the_next_frame() -> None:
    """A bad frame is reported when it has been read, not when the next one comes."""
    for stream, expected in (*KNOWN_LENGTH.values(), *UNKNOWN_LENGTH.values()):
        if b"\r\n\r\n" in stream or b"{" in stream[:1]:
            assert shape(read(stream)) == expected


def test_unfinished_is_nothing() -> None:
    """A stream that ends in mid-frame has given nothing, and no error."""
    for end in range(len(encode(FIRST))):
        assert read(encode(FIRST)[:end]) == []


def test_why_repeats_nothing() -> None:
    """What was received does not stand in the reason, which may be logged and sent back."""
    canary = b"canary0f3f8c9b7e5d4a62b1c8e7f6a5"
    for stream in (frame(canary), canary + b" ", b"Content-Length: " + canary + b"\r\n\r\n", canary * 500):
        (bad,) = read(stream + b"\r\n")
        assert isinstance(bad, Bad)
        assert "canary" not in repr(bad)


def test_skipping_holds_nothing() -> None:
    """Skipping 32 MiB takes no memory to speak of, and the message after it arrives."""
    frames, junk = Frames(), b"content-length content-length: 1" * 2048
    assert len(frames.feed(junk)) == 1
    tracemalloc.start()
    for _ in range(32 * 1024 * 1024 // len(junk)):
        assert frames.feed(junk) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 512 * 1024
    assert frames.feed(NEXT_TWO) == [FIRST, SECOND]


def cost(stream: bytes, piece: int) -> float:
    """Return the least of three timings of reading `stream`, in seconds of this thread."""

    def once() -> float:
        start = time.thread_time()
        read(stream, piece)
        return time.thread_time() - start

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    ("stream", "piece"),
    [
        (lambda n: frame(b'"%b"' % (b"x" * n)), 1),
        (lambda n: b"! " + b"content-length" * (n // 14), 1),
        (lambda n: encode({}) * (n // 16), 1 << 40),
        (lambda n: (b"a:b\n\n" + encode({})) * (n // 32), 1 << 40),
        (lambda n: b"! " + b"content-length: 99999999\n" * (n // 8), 1 << 40),
    ],
    ids=["body byte by byte", "junk byte by byte", "small frames", "bad and good", "refused headers"],
)
def test_linear(stream: Any, piece: int) -> None:
    """Eight times the bytes take about eight times as long: a quadratic reader would take 64 times."""
    assert cost(stream(800_000), piece) < 24 * cost(stream(100_000), piece) + 0.01


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
messages = st.dictionaries(st.text(), json_values, max_size=5)
junk = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet='aX-: \t\r\n{}[]"0\\é', max_size=200).map(str.encode),
)


def read_cut(stream: bytes, cuts: list[int]) -> list[Any]:
    """Return all that comes out of `stream` cut at the given places."""
    frames, edges = Frames(), [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [found for at, end in pairwise(edges) for found in frames.feed(stream[at:end])]


cuts = st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=12)


@given(st.lists(messages, max_size=5), cuts)
def test_any_split(sent: list[Any], where: list[int]) -> None:
    """What `encode` writes is read back, however the stream is cut."""
    assert read_cut(b"".join(map(encode, sent)), where) == sent


@given(st.lists(junk | messages.map(encode) | st.sampled_from([row for row, _ in ROWS.values()])), cuts)
def test_split_changes_nothing(parts: list[bytes], where: list[int]) -> None:
    """Any bytes give the same messages and the same reasons, however they are cut."""
    stream = b"".join(parts)
    assert shape(read_cut(stream, where)) == shape(read(stream, 1 << 40))


@given(st.lists(st.tuples(junk, messages), min_size=1, max_size=4))
def test_junk_loses_no_message(parts: list[tuple[bytes, Any]]) -> None:
    """Junk between frames that is no header costs no message, and is reported at most once each."""
    found = read(b"".join(noise + encode(message) for noise, message in parts))
    assert [item for item in found if not isinstance(item, Bad)] == [message for _, message in parts]
    assert len(found) <= 2 * len(parts)


def test_encode() -> None:
    """A frame is one header and compact JSON, with other scripts as they are."""
    assert encode({"a": [1, "é"]}) == b'Content-Length: 14\r\n\r\n{"a":[1,"\xc3\xa9"]}'


def test_encode_half_a_pair() -> None:
    """A lone surrogate, which JSON may bring in and UTF-8 cannot spell, goes out as an escape."""
    assert read(encode({"a": "\ud83d"})) == [{"a": "\ud83d"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_encode_refuses(value: object) -> None:
    """What JSON cannot hold is an error here rather than in the client."""
    with pytest.raises((ValueError, TypeError)):
        encode({"a": value})
