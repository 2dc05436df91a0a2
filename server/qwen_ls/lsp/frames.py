"""Bytes to messages and back: the base protocol of LSP 3.17, without any I/O.

A bad frame never ends the connection. Where its length is known, reading goes on after its body; where it
is not, reading goes on at the next header line. JSON cannot contain such a line (a string holds no raw
newline, and outside of strings those letters do not occur), so no document can steer where that is.

https://microsoft.github.io/language-server-protocol/specifications/lsp/3.17/specification/#baseProtocol
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

Message: TypeAlias = Any  # one JSON value; whether it is a JSON-RPC message is for the reader to say

MAX_BODY = 16 * 1024 * 1024  # bytes; far above any open document, far below what hurts
MAX_HEADER = 8 * 1024  # bytes of one header block; HTTP servers commonly stop there too

# Bounded everywhere, so that a match has a longest form and skipping needs to keep only that much.
_RESUME = re.compile(rb"content-length[ \t]{0,8}:[ \t]{0,8}([0-9]{1,8})[ \t]{0,8}\r?\n", re.IGNORECASE)
_LONGEST_RESUME = len("content-length") + 8 + len(":") + 8 + 8 + 8 + len("\r\n")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2, token
_LINE_STARTS = frozenset(byte for byte in range(256) if _NAME.match(bytes([byte]))) | frozenset(b"\r\n")
_USUAL = re.compile(rb"Content-Length: ([0-9]{1,8})\r\n\r\n")  # the whole block as most clients send it
_LENGTH = re.compile(rb"[0-9]{1,8}")
_CHARSET = re.compile(rb"charset[ \t]*=[ \t]*\"?([^\";\s]+)", re.IGNORECASE)


@attrs.frozen
class Bad:
    """A frame that holds no message. `why` is a fixed text: it never repeats what was received."""

    why: str


@attrs.define
class _Header:
    """What has been read of one header block."""

    end: int = 0  # bytes read
    refused: int = 0  # bytes up to the end of its last Content-Length line: never to be read a second time
    length: int = -1  # bytes of the body; -1 while unknown
    why: str = ""  # what is wrong with its length
    is_utf8: bool = True

    def read(self, line: bytes, end: int) -> bool:
        """Take in a line that ends at `end`; False if it is no header line."""
        name, colon, value = line.partition(b":")
        name = name.rstrip()
        if not colon or not _NAME.fullmatch(name):
            return False
        self.end = end
        if name.lower() == b"content-length":
            self.refused = end
            self._read_length(value.strip())
        elif name.lower() == b"content-type":
            charset = _CHARSET.search(value)
            self.is_utf8 = charset is None or charset[1].lower() in (b"utf-8", b"utf8")
        return True

    def _read_length(self, value: bytes) -> None:
        if not _LENGTH.fullmatch(value):
            self.why = "Content-Length is not a number of at most eight digits"
        elif int(value) > MAX_BODY:
            self.why = "Content-Length is above 16 MiB"
        elif self.length not in (-1, int(value)):
            self.why = "two different Content-Lengths"
        else:
            self.length = int(value)


class Frames:
    """The incoming half. Holds at most one frame and one fed piece; almost nothing while it skips.

    Its state is a method that reads on from the start of the buffer and says whether it got anywhere.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header = _Header()
        self._state: Callable[[], bool] = self._in_header
        self._found: list[Message | Bad] = []

    def feed(self, data: bytes) -> list[Message | Bad]:
        """Return what `data` completes, in order: messages, and one Bad for each bad frame.

        How a stream is cut into pieces changes nothing. The work is linear in the bytes fed.
        """
        self._buffer += data
        while self._state():
            pass
        found, self._found = self._found, []
        return found

    def _in_header(self) -> bool:
        header, buffer = self._header, self._buffer
        if not header.end and (usual := _USUAL.match(buffer)) and int(usual[1]) <= MAX_BODY:
            header.length = int(usual[1])
            return self._end_block(usual.end())
        if header.end < len(buffer) and buffer[header.end] not in _LINE_STARTS:
            return self._lose("bytes outside of any frame")
        end = buffer.find(b"\n", header.end, MAX_HEADER) + 1
        if not end:
            return len(buffer) >= MAX_HEADER and self._lose("header block above 8 KiB")
        line = bytes(buffer[header.end : end]).rstrip(b"\r\n")
        if not line:
            return self._end_header(end)
        return header.read(line, end) or self._lose("not a header line")

    def _end_header(self, end: int) -> bool:
        header = self._header
        is_block = header.end > 0  # else a blank line between two frames, which is let pass
        if is_block and (header.why or header.length < 0):
            return self._lose(header.why or "no Content-Length")
        if is_block:
            return self._end_block(end)
        del self._buffer[:end]
        return True

    def _end_block(self, end: int) -> bool:
        del self._buffer[:end]
        self._state = self._in_body
        return True

    def _in_body(self) -> bool:
        length, is_utf8 = self._header.length, self._header.is_utf8
        if len(self._buffer) < length:
            return False
        self._found.append(_decode(self._buffer[:length]) if is_utf8 else Bad("charset is not utf-8"))
        del self._buffer[:length]
        self._header, self._state = _Header(), self._in_header
        return True

    def _lose(self, why: str) -> bool:
        """Say once that the position is unknown, and look for the next header line."""
        self._found.append(Bad(why))
        del self._buffer[: self._header.refused]
        self._header, self._state = _Header(), self._skipping
        return True

    def _skipping(self) -> bool:
        start = 0
        # The line may begin in mid-line: a body ends without a newline.
        while match := _RESUME.search(self._buffer, start):
            if int(match[1]) <= MAX_BODY:
                del self._buffer[: match.start()]
                self._state = self._in_header
                return True
            start = match.end()
        del self._buffer[:-_LONGEST_RESUME]
        return False


def encode(message: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return the frame that holds `message`. Raises ValueError or TypeError if it has no JSON form.

    `default` gives a form to what JSON has none for, as in `json.dumps`.
    """
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)
    try:
        body = text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and UTF-8 cannot
        body = json.dumps(message, allow_nan=False, separators=(",", ":"), default=default).encode("ascii")
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def _decode(body: bytearray) -> Message | Bad:
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except ValueError:  # the errors of UTF-8 and JSON both are
        return Bad("body is not JSON in UTF-8")
    except RecursionError:
        return Bad("body is nested too deep")


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("not JSON")  # NaN and the infinities: RFC 8259 section 6


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
