"""Server-sent events: bytes -> data, as the WHATWG text defines them.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

Lines end with CR, LF or CRLF and nothing else (U+2028 does not end one), a BOM at the start is
dropped, invalid UTF-8 becomes U+FFFD. Only `data` matters to chat completions; `event`, `id`,
`retry` and comments are recognised and passed over.
"""

from __future__ import annotations

from qwen_ls.core.errors import Kind, Problem

MAX_LINE = 1024 * 1024  # bytes
BOM = b"\xef\xbb\xbf"


class EventParser:
    """Feed it the bytes of a stream in any portions; it gives back the data of each whole event.

    An event that the stream does not finish with a blank line is dropped, as the specification says.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._started = False
        self._after_cr = False
        self._event_size = 0
        self.failure: Problem | None = None

    def feed(self, chunk: bytes) -> list[str]:
        """The data of every event completed by `chunk`. Raises Problem(too-large) over 1 MiB.

        The events before one that is too large are given back first; `failure` then holds what the
        next `feed` raises.
        """
        if self.failure is not None:
            raise self.failure
        events: list[str] = []
        try:
            for line in self._lines(chunk):
                event = self._line(line)
                if event is not None:
                    events.append(event)
            if len(self._rest) > MAX_LINE:
                raise too_large()
        except Problem as failure:
            self.failure = failure
            if not events:
                raise
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines completed by `chunk`."""
        if self._after_cr and chunk:  # the LF of a CRLF that was cut in two
            chunk = chunk[1:] if chunk.startswith(b"\n") else chunk
            self._after_cr = False
        if self._started and b"\n" not in chunk and b"\r" not in chunk:
            self._rest += chunk  # one-byte portions of a long line cost no copy each
            return []
        buffer = bytes(self._rest) + chunk
        if not self._started:
            if len(buffer) < len(BOM) and BOM.startswith(buffer):
                self._rest = bytearray(buffer)
                return []
            self._started = True
            buffer = buffer.removeprefix(BOM)
        if b"\r" in buffer:
            self._after_cr = buffer.endswith(b"\r")
            buffer = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = buffer.split(b"\n")
        self._rest = bytearray(rest)
        return lines

    def _line(self, line: bytes) -> str | None:
        if len(line) > MAX_LINE:
            raise too_large()
        if line:
            if line.startswith(b"data"):
                self._field(line)
            return None
        if not self._data:
            return None
        data = b"\n".join(self._data).decode("utf-8", "replace")
        self._data.clear()
        self._event_size = 0
        return data

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name != b"data":
            return
        self._event_size += len(value) + 1
        if self._event_size > MAX_LINE:
            raise too_large()
        self._data.append(value[1:] if value.startswith(b" ") else value)


def too_large() -> Problem:
    """One event is larger than any answer's part can be."""
    return Problem(
        Kind.TOO_LARGE,
        f"The provider sent one event of more than {MAX_LINE // 1024} KiB",
        remedy="Ask again; if it comes back, choose another model or provider",
    )
