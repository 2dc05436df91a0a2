"""What the terminal prints: answers on standard output, everything about them on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

import attrs

from qwen_ls.core.errors import Kind, Problem, one_line, strip_control
from qwen_ls.terminal.arguments import PROGRAM

if TYPE_CHECKING:
    from typing_extensions import Self

    from qwen_ls.core.chat import Delta

DIM, PLAIN = "\x1b[2m", "\x1b[0m"  # ECMA-48, section 8.3.117


class ReaderGone(Exception):  # noqa: N818 - `| head` has seen enough, which is no error
    """Whoever read standard output does so no longer."""


@attrs.define(eq=False)
class Output:
    """The two streams; None where the process was started without one.

    Text from outside is stripped of control characters here, whatever it is. Fits the port `Sink`.
    """

    out: TextIO | None
    err: TextIO | None
    _is_inside_line: bool = False
    _is_inside_thought: bool = False

    @classmethod
    def standard(cls) -> Self:
        """This process's streams, which from now on show `?` for what their encoding lacks."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        return cls(sys.stdout, sys.stderr)

    def text(self, text: str) -> None:
        """A piece of text, at once. Raises ReaderGone, or Problem where it cannot be written."""
        text = strip_control(text)
        if self.out is None or not text:
            return
        self._is_inside_line = not text.endswith("\n")
        try:
            self.out.write(text)
            self.out.flush()
        except OSError as error:
            self._is_inside_line = False
            silence(self.out)  # what is still buffered would fail again at exit
            if isinstance(error, BrokenPipeError):
                raise ReaderGone from None
            what = f"Standard output cannot be written: {error.strerror}"
            raise Problem(Kind.INTERNAL, what, remedy="Send it somewhere with room") from None

    def line(self, text: str) -> None:
        """A line, or several."""
        self.text(text + "\n")

    def end_line(self) -> None:
        """Finish a line that was begun."""
        self._end_thought()
        if self._is_inside_line:
            self.text("\n")

    def json(self, fields: dict[str, Any]) -> None:
        """One JSON object on one line, in ASCII: no terminal obeys it, no encoding lacks it."""
        self.line(json.dumps(fields))

    def note(self, text: str) -> None:
        """A line of our own on standard error; also what the port `Sink` reports meanwhile."""
        self._end_thought()
        self._aside(f"{PROGRAM}: {one_line(text, len(text))}\n")

    def ask(self, text: str) -> None:
        """Text for a person on standard error, as it stands."""
        self._aside(strip_control(text))

    def delta(self, delta: Delta) -> None:
        """A piece of an answer; its reasoning is shown to a person and to nobody else."""
        if delta.reasoning and self.err is not None and self.err.isatty():
            self._is_inside_thought = True
            thought = delta.reasoning
            self._aside(thought if os.environ.get("NO_COLOR") else f"{DIM}{thought}{PLAIN}")
        if delta.text:
            self._end_thought()
            self.text(delta.text)

    def _end_thought(self) -> None:
        if self._is_inside_thought:
            self._is_inside_thought = False
            self._aside("\n")

    def _aside(self, text: str) -> None:
        if self.err is not None:
            with contextlib.suppress(OSError):  # nobody reads it
                self.err.write(text)
                self.err.flush()


@attrs.frozen
class Quiet:
    """A sink for an answer that is printed as a whole afterwards; notes are still shown."""

    output: Output

    def delta(self, delta: Delta) -> None:
        """Kept by the turn."""

    def note(self, text: str) -> None:
        """What is going on meanwhile."""
        self.output.note(text)


def silence(stream: TextIO) -> None:
    """Let everything still to be written vanish."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
