"""What a provider can do wrong, and how a message then ends: the table of tests/lsp/test_faults.py."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

import attrs

from raw_http import answer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    Raw = bytes | Callable[[], AsyncIterator[bytes]]

THREE, NINE = "1 2 3 ", "1 2 3 4 5 6 7 8 9 "
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
TROUBLE = (500, 502, 503, 504, 529)
ENCODINGS = ("gzip", "deflate", "br", "zstd")
OK = "end_turn"


@attrs.frozen
class Row:
    """One fault. `ends` is a stop reason, or the kind of the failure and its cause.

    `fault` is the demo provider's; `raw` are the bytes of a server of its own; `place` is a folder whose
    `.env` leads elsewhere, or whose user has signed in. `asked` counts the requests, `says` stands in
    the message, `notes` are what the progress reports.
    """

    number: str
    what: str
    ends: str
    text: str = ""
    fault: dict[str, Any] | None = None
    raw: Raw | None = None
    place: str = "keyed"
    asked: int = 1
    says: str = ""
    notes: tuple[str, ...] = ()
    within: float = 10.0  # seconds

    def __str__(self) -> str:
        return f"{self.number} {self.what}"


# --- bytes ------------------------------------------------------------------------------------------------


def event(text: str | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """A delta, or with `finish` the end of an answer."""
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **fields}, ensure_ascii=False).encode() + b"\n\n"


DONE, STOP = b"data: [DONE]\n\n", event(finish="stop")
TOLD = b"".join(event(f"{number} ") for number in range(1, 10))  # as the provider does
TOLD_THREE = b"".join(event(f"{number} ") for number in range(1, 4))
TEXT = "Grüße an 世界 🎉, und zurück"
WORDS = b"".join(event(word) for word in re.findall(r"\S+\s*", TEXT))


def stream(body: bytes, *headers: str) -> bytes:
    """A stream that ends with its connection."""
    head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def chunked(pieces: Iterable[bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    """The same in chunks of HTTP (RFC 9112 section 7.1), each of which arrives by itself."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return stream(body + end, "Transfer-Encoding: chunked")


def bytewise(data: bytes) -> Iterator[bytes]:
    """Each byte by itself."""
    return (data[i : i + 1] for i in range(len(data)))


def slowly(seconds: float, *pieces: bytes) -> Callable[[], AsyncIterator[bytes]]:
    """A server that lets this time pass before each piece but the first."""

    async def send() -> AsyncIterator[bytes]:
        yield pieces[0]
        for piece in pieces[1:]:
            await asyncio.sleep(seconds)  # as slow as the server is
            yield piece

    return send


def bomb(encoding: str) -> bytes:
    """Ten million zeros in a few kilobytes, or what is said to be that."""
    zeros = bytes(10_000_000)
    packed = {"gzip": gzip.compress(zeros), "deflate": zlib.compress(zeros)}.get(encoding, b"\x00" * 4096)
    return stream(packed, f"Content-Encoding: {encoding}")


# --- the table --------------------------------------------------------------------------------------------


def limited(number: str, after: str | None, *, waits: int | None, **headers: str) -> Row:
    """A provider that asks once for a pause; `waits` seconds are told, None: none is made."""
    told = {**({} if after is None else {"Retry-After": after}), **headers}
    fault = {"status": 429, "headers": told, "times": 1}
    if waits is None:
        return Row(number, f"429, Retry-After: {after}", "rate-limited", fault=fault, says=f" {after} s")
    notes = (f"rate-limited: trying again in {waits} s",)
    return Row(number, f"429, Retry-After: {after}", OK, NINE, fault, asked=2, notes=notes)


def broken(what: str, ends: str, text: str, raw: Raw, **more: Any) -> Row:
    """A row whose bytes are its own; the number stands before the first blank of `what`."""
    number, _, rest = what.partition(" ")
    return Row(number, rest, ends, text, raw=raw, place="raw", **more)


def faulty(
    what: str, ends: str, text: str = "", /, *, asked: int = 1, place: str = "keyed", **fault: Any
) -> Row:
    """A row of the demo provider's."""
    number, _, rest = what.partition(" ")
    return Row(number, rest, ends, text, fault, asked=asked, place=place)


def leading(what: str, ends: str, place: str, text: str = "") -> Row:
    """A row whose base URL leads elsewhere."""
    number, _, rest = what.partition(" ")
    return Row(number, rest, ends, text, place=place, asked=0)


# Named for what the server sends; each ends with its connection.
KEPT_OPEN = slowly(0.4, stream(TOLD_THREE), *[b": wait\n\n"] * 4, TOLD[len(TOLD_THREE) :] + STOP)
DRIPPING = slowly(0.1, stream(TOLD_THREE), *bytewise(TOLD))
DRIPPING_HEAD = slowly(0.1, *bytewise(stream(TOLD)))
CHUNK_CUT = chunked([TOLD_THREE], b"ff\r\ndata: half")
CHUNK_OF_NONSENSE = chunked([TOLD_THREE], b"what?\r\n")
CHUNK_CUT_AT_THE_END = chunked([TOLD, STOP], b"ff\r\nhalf")
LENGTH_TOO_LONG = stream(TOLD_THREE, "Content-Length: 99999")
LENGTH_TOO_SHORT = stream(TOLD, f"Content-Length: {len(TOLD_THREE) + 9}")
NO_JSON = stream(TOLD_THREE + b"data: {nonsense\n\n" + TOLD)
NO_OBJECT = stream(TOLD_THREE + b"data: [4]\n\n" + TOLD)
ENDLESS_JSON = stream(b"data: " + b"[" * 100_000 + b"\n\n")
UNKNOWN = b"event: ping\ndata: {}\n\nretry: 5\nid: 7\nnoise\n\n"
EXTRA = event(finish="stop", extra={"a": [1]})
NO_CHOICES = b'data: {"choices": []}\n\ndata: {"choices": null}\n\n'
NULLS = b'data: {"choices": [{"delta": null}]}\n\ndata: {"choices": [{"delta": {"content": null}}]}\n\n'
OF_ANY_CASE = stream(TOLD + STOP).replace(b"text/event-stream", b"Text/Event-Stream; charset=utf-8")
PLAIN = stream(TOLD).replace(b"text/event-stream", b"text/plain")
MIXED = WORDS.replace(b"\n\n", b"\r\n\r", 2).replace(b"\n\n", b"\n\r\n", 1)
SEVERAL_LINES = (WORDS + STOP).replace(b'{"choices"', b'{\ndata:"choices"')
BYTEWISE = chunked(bytewise(b"\xef\xbb\xbf" + SEVERAL_LINES.replace(b"\n", b"\r\n")))
NO_UTF8 = event("aXb").replace(b"X", b"\xff") + event("X").replace(b"X", b"\xc3\xe4")
COMMENTS = b": hi\n\n" + TOLD_THREE.replace(b"\n\n", b"\n: data: no\n\n")
LONG_LINE = stream(TOLD_THREE + b"data: " + b"x" * 1_100_000)
LONG_COMMENTS = stream(TOLD_THREE + (b":" + b"x" * 998 + b"\n") * 17_000)
TINY_CHUNKS = chunked(bytewise(event("x" * 99_000) + STOP))
KEEP_ALIVES = stream(b": wait\n\n" * 100_000 + TOLD_THREE + STOP)
NO_QUOTA = {"error": {"code": "insufficient_quota"}}
NO_MODEL = {"error": {"code": "model_not_found"}}

# fmt: off
ROWS = [
    # P1, a pause that is asked for, and is made up to `retryAfter`
    limited("P1", "1", waits=1),
    limited("P1", "0.5", waits=0),
    limited("P1", "Wed, 21 Oct 2015 07:28:01 GMT", waits=1, Date=DATE),
    limited("P1", "Wed, 21 Oct 2015 07:27:00 GMT", waits=0, Date=DATE),
    limited("P1", "soon", waits=1),
    limited("P1", "-7", waits=1),
    limited("P1", None, waits=1),
    limited("P1", "2", waits=None),
    limited("P1", "1000000000", waits=None),
    faulty("P1 429 for ever", "rate-limited", asked=3, status=429, headers={"Retry-After": "0"}),
    # P2, trouble, met by asking again twice
    *(faulty(f"P2 {status} once", OK, NINE, asked=2, status=status, times=1) for status in TROUBLE),
    *(faulty(f"P2 {status} for ever", "provider-down", asked=3, status=status) for status in (500, 529)),
    # P3, silence
    faulty("P3 before the headers", "network: timeout", delay=60),
    faulty("P3 before the first byte", "network: timeout", stall=0),
    faulty("P3 in mid-stream", "network: timeout", THREE, stall=3),
    broken("P3 but for keep-alives", OK, NINE, KEPT_OPEN),
    # P4, less than was promised
    faulty("P4 no answer at all", "network: refused", cut=-1),
    faulty("P4 half-closed", "stream-truncated", THREE, cut=3, cut_cleanly=True),
    faulty("P4 reset", "stream-truncated", THREE, cut=3),
    broken("P4 a chunk cut short", "stream-truncated", THREE, CHUNK_CUT),
    broken("P4 a chunk that is none", "stream-truncated", THREE, CHUNK_OF_NONSENSE),
    broken("P4 a length too long", "stream-truncated", THREE, LENGTH_TOO_LONG),
    broken("P4 a length too short", "stream-truncated", THREE, LENGTH_TOO_SHORT),
    broken("P4 JSON cut short", "stream-truncated", "", answer_of({"choices": []})[:-9]),
    broken("P4 after the last word", OK, NINE, CHUNK_CUT_AT_THE_END),
    # P5, not what the protocol promises; an error in the stream is of the kind that it names
    faulty("P5 a line that is no JSON", "bad-reply", THREE, bad_json=3),
    broken("P5 its number is told", "bad-reply", THREE, NO_JSON, says="Event 4"),
    broken("P5 data that is no object", "bad-reply", THREE, NO_OBJECT, says="Event 4"),
    broken("P5 JSON without end", "bad-reply", "", ENDLESS_JSON),
    broken("P5 neither events nor JSON", "bad-reply", "", PLAIN),
    faulty("P5 an error", "provider-down", THREE, error_event=3),
    faulty("P5 its code counts", "key-rejected", THREE, error_event=3, error={"code": "invalid_api_key"}),
    faulty("P5 its status counts", "rate-limited", THREE, error_event=3, error={"code": 429}),
    broken("P5 its type in any case", OK, NINE, OF_ANY_CASE),
    broken("P5 unknown events and fields", OK, NINE, stream(UNKNOWN + TOLD + EXTRA)),
    broken("P5 no choices", OK, NINE, stream(TOLD + NO_CHOICES + STOP)),
    broken("P5 null deltas", OK, NINE, stream(NULLS + TOLD + STOP)),
    # P6, spellings of the same text
    broken("P6 LF", OK, TEXT, stream(WORDS + STOP)),
    broken("P6 CR", OK, TEXT, stream((WORDS + STOP).replace(b"\n", b"\r"))),
    broken("P6 CRLF", OK, TEXT, stream((WORDS + STOP).replace(b"\n", b"\r\n"))),
    broken("P6 mixed", OK, TEXT, stream(MIXED + STOP)),
    broken("P6 BOM", OK, TEXT, stream(b"\xef\xbb\xbf" + WORDS + STOP)),
    broken("P6 every byte by itself", OK, TEXT, BYTEWISE),
    broken("P6 invalid UTF-8", OK, "a\ufffdb\ufffd\ufffd", stream(NO_UTF8 + STOP)),
    broken("P6 U+2028 and U+0085", OK, "abc", stream(event("a\u2028b\u0085c") + STOP)),
    broken("P6 data on several lines", OK, TEXT, stream(SEVERAL_LINES)),
    broken("P6 comments", OK, THREE, stream(COMMENTS + STOP)),
    broken("P6 100,000 keep-alives", OK, THREE, KEEP_ALIVES),
    # P7, how an answer ends
    faulty("P7 no [DONE]", OK, NINE, no_done=True),
    broken("P7 [DONE] twice", OK, NINE, stream(TOLD + STOP + DONE + DONE)),
    broken("P7 data after [DONE]", OK, THREE, stream(TOLD_THREE + STOP + DONE + TOLD)),
    broken("P7 [DONE] and no finish_reason", OK, THREE, stream(TOLD_THREE + DONE)),
    broken("P7 neither", "stream-truncated", THREE, stream(TOLD_THREE)),
    # P8, too much
    faulty("P8 a line over 1 MiB", "too-large", huge_line=1_100_000),
    broken("P8 a line over 1 MiB after three", "too-large", THREE, LONG_LINE),
    broken("P8 16 MiB of comments", "too-large", THREE, LONG_COMMENTS),
    broken("P8 100,000 chunks of a byte", OK, "x" * 99_000, TINY_CHUNKS, within=20),
    *(broken(f"P8 a bomb in {encoding}", "network: encoding", "", bomb(encoding)) for encoding in ENCODINGS),
    # P10, somebody else answers, or nobody
    faulty("P10 a web page", "network: captive-portal", html=True),
    faulty("P10 511", "network: captive-portal", status=511),
    faulty("P10 407 from there", "network: proxy", status=407),
    leading("P10 407 from the proxy", "network: proxy", "proxied"),
    leading("P10 TLS where there is none", "network: tls", "tls"),
    leading("P10 a name that nobody knows", "network: dns", "nameless"),
    leading("P10 nobody listens", "network: refused", "refused"),
    leading("P10 IPv6 alone", OK, "six", NINE),
    # P11, a byte now and then
    broken("P11 in the body", "network: timeout", THREE, DRIPPING, says="no whole line"),
    broken("P11 in the head", "network: timeout", "", DRIPPING_HEAD),
    # P12, who you are
    faulty("P12 401 for a key", "key-rejected", status=401),
    faulty("P12 403 for a key", "key-rejected", status=403),
    faulty("P12 402", "quota-exceeded", status=402),
    faulty("P12 429 and no quota", "quota-exceeded", status=429, body=NO_QUOTA),
    faulty("P12 no such model", "model-not-found", status=404, body=NO_MODEL),
    faulty("P12 401 once for a sign-in", OK, NINE, place="account", asked=2, status=401, times=1),
    faulty("P12 401 for ever for a sign-in", "free-tier-closed", place="account", asked=2, status=401),
    faulty("P12 403 for ever for a sign-in", "key-rejected", place="account", asked=2, status=403),
]
# fmt: on
