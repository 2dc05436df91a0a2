"""qwen_ls.core.errors: kinds, causes, and a message of one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.errors import LONGEST_MESSAGE, Action, Cause, Kind, Problem, one_line, strip_control


def test_kinds_and_causes() -> None:
    """Exactly the words that clients switch on."""
    assert {k.value for k in Kind} == {
        *("signed-out", "login-cancelled", "login-denied", "login-expired", "login-failed", "key-rejected"),
        *("wrong-endpoint", "free-tier-closed", "quota-exceeded", "rate-limited", "untrusted-origin"),
        *("env-unreadable", "keyring-unavailable", "keyring-locked", "network", "provider-down", "bad-reply"),
        *("stream-truncated", "too-large", "model-not-found", "not-supported", "internal"),
    }
    assert {c.value for c in Cause} == {
        *("dns", "refused", "tls", "proxy", "captive-portal", "timeout", "redirect", "encoding"),
    }


def test_a_message_is_composed() -> None:
    """What happened, where the value came from, what to do next."""
    problem = Problem(
        Kind.SIGNED_OUT, "No key", where="/p/.env:3", remedy="Set one", actions=[Action("Go", "x")]
    )
    assert str(problem) == problem.message == "No key (/p/.env:3). Set one"
    assert (problem.kind, problem.cause, problem.retryable) == (Kind.SIGNED_OUT, None, False)
    assert [a.command for a in problem.actions] == ["x"]
    assert str(Problem(Kind.INTERNAL, "Odd", remedy="Report it")) == "Odd. Report it"


def test_a_message_is_one_line_whatever_is_in_it() -> None:
    """Text from outside cannot break the line, speak to a terminal or grow without end."""
    problem = Problem(
        Kind.INTERNAL, "a\r\nb\x1b[2J\u202ec\x00", where="d\n\te", remedy="f\x07" + "g" * 20_000
    )
    assert problem.message.startswith("a b[2Jc (d e). fg")
    assert problem.message.isprintable()
    assert len(problem.message) == len(problem.remedy) == LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("\x00a\x08b\x0bc\x0cd\re\x1ff", "abcdef"),
        ("a\x7fb\x80c\x9fd", "abcd"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "]8;;http://x\\link]8;;\\"),
        ("a\u2028b\u2029c", "abc"),
        ("\u202aa\u202bb\u202cc\u202dd\u202ee", "abcde"),
        ("\u2066a\u2067b\u2068c\u2069d\u200ee\u200ff\u061cg", "abcdefg"),
        ("a\ud800b\udfffc", "abc"),
        ("é☃😀 \xa0", "é☃😀 \xa0"),
    ],
)
def test_strip_control(text: str, expected: str) -> None:
    """C0, C1, direction marks and lone surrogates go; tabs, line feeds and all other text stay."""
    assert strip_control(text) == expected


@given(st.text(), st.integers(1, 50))
def test_one_line(text: str, limit: int) -> None:
    """Never more than a line, never more than the limit, and always fit for UTF-8."""
    flat = one_line(text, limit)
    assert len(flat) <= limit
    assert flat.splitlines() in ([], [flat])
    assert one_line(flat, limit) == flat
    flat.encode()


def test_one_line_cuts_visibly() -> None:
    """What was cut ends in an ellipsis."""
    assert one_line("abcdef", 4) == "abc…"
    assert one_line(" a \r\n b ", 10) == "a b"
