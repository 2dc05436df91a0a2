"""qwen_ls.core.envedit: lines go, and nothing else changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_ls.core.envedit import bindings_of, joined, take_out
from qwen_ls.core.envfile import parse_env

NAME = "OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("text", "rest", "spans"),
    [
        (f"{NAME}=x\n", "", ((0, 1),)),
        (f"A=1\n{NAME}=x", "A=1\n", ((1, 2),)),
        (f"# c\r\nexport {NAME} = 'x' # d\r\nA=1\r\n", "# c\r\nA=1\r\n", ((1, 2),)),
        (f'A=1\n\n\n{NAME}="x\ny"\n# z\n', "A=1\n\n\n# z\n", ((3, 5),)),
        (f"{NAME}=x\rA=1\r{NAME}=x\r", "A=1\r", ((0, 1), (2, 3))),
        (f"{NAME}=\nA=1\n", f"{NAME}=\nA=1\n", ()),
        (f"\ufeff# c\n{NAME}=x\n", "\ufeff# c\n", ((1, 2),)),
        (f"# {NAME}=x\nbad line\n{NAME}=y\n", f"# {NAME}=x\nbad line\n", ((2, 3),)),
    ],
)
def test_lines_go(text: str, rest: str, spans: tuple[tuple[int, int], ...]) -> None:
    """Those of the name, all of them, with their line ends."""
    taken = take_out(text, bindings_of(text, {NAME}))
    assert (taken.rest, taken.spans) == (rest, spans)
    assert len(taken.rest) + len(taken.lines) == len(text)


PIECES = st.sampled_from(
    [f"{NAME}=x", f'{NAME}="x\ny"', "A=1", "# c", "", "bad line", "B='z", "export C=d", f"{NAME}", "E: f"]
)


@settings(deadline=None)
@given(pieces=st.lists(PIECES, max_size=8), end=st.sampled_from(["\n", "\r\n", "\r"]), final=st.booleans())
def test_other_bindings_stay(pieces: list[str], end: str, final: bool) -> None:  # noqa: FBT001 - drawn
    """What is left reads as before, without the name; what was taken reads as the name's own lines."""
    text = end.join(pieces).replace("\r\n", "\n").replace("\r", "\n").replace("\n", end) + end * final
    before = parse_env(text)
    taken = take_out(text, bindings_of(text, {NAME}))
    left = [(b.name, b.value) for b in parse_env(taken.rest).bindings]
    assert left == [(b.name, b.value) for b in before.bindings if b.name != NAME or not b.value]
    moved = [(b.name, b.value) for b in parse_env(taken.lines).bindings]
    assert moved == [(b.name, b.value) for b in before.bindings if b.name == NAME and b.value]


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        ("", "A=1\n", "A=1\n"),
        ("B=2", "A=1", "B=2\nA=1\n"),
        ("B=2\r\n", "A=1\r\n", "B=2\r\nA=1\r\n"),
        ("B=2\r\nC=3", "A=1", "B=2\r\nC=3\r\nA=1\r\n"),
        ("B=2\n", "", "B=2\n"),
    ],
)
def test_lines_are_joined(text: str, lines: str, expected: str) -> None:
    """On lines of their own, with the line ends that the text has."""
    assert joined(text, lines) == expected
