"""qwen_ls.core.envfile: text of a `.env` file -> bindings, problems, and what Qwen Code would read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.envfile import (
    MAX_BLANKS,
    MAX_BYTES,
    MAX_LINE,
    MOST_PROBLEMS,
    EnvFile,
    decode,
    parse_env,
    read_as_javascript,
)


def bindings(text: str) -> list[tuple[str, str | None, int]]:
    """Name, value and line of each binding."""
    return [(b.name, b.value, b.line) for b in parse_env(text).bindings]


def warned(text: str) -> list[int]:
    """The lines that carry a warning."""
    return [p.line for p in parse_env(text).problems if p.warning]


def refused(text: str) -> list[int]:
    """The lines that were skipped."""
    return [p.line for p in parse_env(text).problems if not p.warning]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n\n\n", []),
        ("# only a comment", []),
        ("A=1", [("A", "1", 1)]),
        ("A=1\n", [("A", "1", 1)]),
        ("\n\n# c\n\nA=1\n\n  # c\nB=2\n", [("A", "1", 5), ("B", "2", 8)]),
        ("A=1\nA=2\n", [("A", "1", 1), ("A", "2", 2)]),
        ("export A=1\n  export   B=2\n", [("A", "1", 1), ("B", "2", 2)]),
        ("A='1\n2\n3'\nB=4\n", [("A", "1\n2\n3", 1), ("B", "4", 4)]),
        ('\nA="1\n\n2"\n\nB=4\n', [("A", "1\n\n2", 2), ("B", "4", 6)]),
        ("A=1\r\n\r\nB=2\r\n", [("A", "1", 1), ("B", "2", 3)]),
        ("A=1\rB=2\r", [("A", "1", 1), ("B", "2", 2)]),
        ("A=\n", [("A", "", 1)]),
        ("A=''\nB=\"\"\n", [("A", "", 1), ("B", "", 2)]),
        ("A = 1 \n", [("A", "1", 1)]),
        ("A=a # comment\n", [("A", "a", 1)]),
        ("A='a # b'\n", [("A", "a # b", 1)]),
        ("A=a=b=c\n", [("A", "a=b=c", 1)]),
        ("\ufeffA=1\n", [("A", "1", 1)]),
        ("A=é☃\n", [("A", "é☃", 1)]),
    ],
)
def test_bindings_carry_their_line(text: str, expected: list[tuple[str, str | None, int]]) -> None:
    """Each binding stands on the line of its name, whatever stands around it."""
    assert bindings(text) == expected
    assert parse_env(text).problems == ()


def test_the_last_of_a_name_wins() -> None:
    """`get` gives the last binding of a name, also when it is empty, and None for an unknown one."""
    file = parse_env("A=1\nB=2\nA=\n")
    assert file.get("A") is file.bindings[2]
    assert file.get("C") is None
    assert EnvFile().get("A") is None


@pytest.mark.parametrize("value", ["$B", "${B}", "${B:-x}", "%B%", "$(id)", "`id`", "${${B}}", "~/x"])
def test_values_are_literal(value: str) -> None:
    """Nothing in a value is replaced, by another binding or anything else."""
    assert bindings(f"B=secret\nA={value}\n")[1] == ("A", value, 2)
    assert bindings(f'B=secret\nA="{value}"\n')[1] == ("A", value, 2)


def test_decoding() -> None:
    """UTF-8 with or without BOM, CRLF and CR folded; other encodings are refused."""
    assert decode("\ufeffA=é\r\nB=1\rC".encode()) == "A=é\nB=1\nC"
    for data in ("A=1\n".encode("utf-16"), b"A=\xff\n", b"\xc3"):
        with pytest.raises(UnicodeDecodeError):
            decode(data)


def test_a_long_line_is_skipped_alone() -> None:
    """A line over 8 KiB is a problem on its line; the lines around it count."""
    for long in ("B=" + "x" * MAX_LINE, "B=" + "☃" * (MAX_LINE // 3 + 1)):
        file = parse_env(f"A=1\n{long}\nC=3\n")
        assert [(b.name, b.line) for b in file.bindings] == [("A", 1), ("C", 3)]
        assert [(p.line, p.warning) for p in file.problems] == [(2, False)]
        assert "8 KiB" in file.problems[0].text
    assert len(bindings("B=" + "x" * (MAX_LINE - 2))) == 1


def test_a_long_run_of_blanks_is_skipped() -> None:
    """A run of blanks that would cost the parser its square is a problem; a blank line is none."""
    file = parse_env("A=1" + " " * (MAX_BLANKS + 1) + "2\nB=2\n" + " " * (MAX_BLANKS + 1) + "\nC=3\n")
    assert [b.name for b in file.bindings] == ["B", "C"]
    assert [p.line for p in file.problems] == [1]
    assert bindings("A=1" + " " * MAX_BLANKS + "2")[0][0] == "A"


def test_problems_are_bounded() -> None:
    """A file full of nonsense does not fill the editor's list of problems."""
    problems = parse_env("A: v\n" * 5000).problems
    assert [p.line for p in problems] == list(range(1, MOST_PROBLEMS + 1))


def test_problems_of_names_that_nobody_asks_about_are_left_out() -> None:
    """They do not use up the bound either; a line that no name can be made out of stays, and one too long."""
    others = "A=a#b\nA: v\nA : v\nexport A='open\n"
    text = others * MOST_PROBLEMS + "what is this\nB=a#b\nB: v\nB : v\nA=" + "x" * MAX_LINE
    first = 4 * MOST_PROBLEMS + 1
    assert [p.line for p in parse_env(text, {"B"}).problems] == list(range(first, first + 5))
    assert len(parse_env(text).problems) == MOST_PROBLEMS


@pytest.mark.parametrize(
    ("text", "names", "bad"),
    [
        ("A: v\nB=2\n", ["B"], [1]),
        ("=x\nB=2\n", ["B"], [1]),
        ("A='open\nB=2\n", ["B"], [1]),
        ('A="open\nB=2\n', ["B"], [1]),
        ('A="x" y\nB=2\n', ["B"], [1]),
        ("A b=c\nB=2\n", ["B"], [1]),
        ("\n\nA b\nB=2\n", ["B"], [3]),
    ],
)
def test_a_bad_line_is_a_problem_and_reading_goes_on(text: str, names: list[str], bad: list[int]) -> None:
    """A line that is no binding is reported where it stands."""
    assert [b.name for b in parse_env(text).bindings] == names
    assert refused(text) == bad


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [
        ("A=a#b", "a#b", "a"),
        ("A=http://h/p#frag", "http://h/p#frag", "http://h/p"),
        ("A=#x", "#x", ""),
        ("A=`b`", "`b`", "b"),
        ("A=`b # c`", "`b", "b # c"),
        ('A="a\\tb"', "a\tb", "a\\tb"),
        ('A="a\\"b"', 'a"b', 'a\\"b'),
        ("A='a\\'b'", "a'b", "a\\'b"),
        ('A="a\\\\b"', "a\\b", "a\\\\b"),
        ("A=\n'x'", "", "x"),
        ("A-ü=1", None, None),
        ("'A'=1", "1", None),
    ],
)
def test_a_line_read_otherwise_by_qwen_code_is_warned_of(
    text: str, ours: str | None, theirs: str | None
) -> None:
    """Our value counts, and the line says that Qwen Code takes another, or none."""
    values = [b.value for b in parse_env(text).bindings if b.name == "A"]
    assert values == ([] if ours is None else [ours])
    assert [v for n, _, v in read_as_javascript(text) if n == "A"] == ([] if theirs is None else [theirs])
    assert warned(text) == [1]


@pytest.mark.parametrize(("text", "name"), [("A: v", "A"), ("A='open", "A"), ('A="x" y', "A")])
def test_a_skipped_line_that_qwen_code_reads_says_so(text: str, name: str) -> None:
    """Where only the other parser finds an assignment, the problem names it."""
    (problem,) = parse_env(text).problems
    assert not problem.warning
    assert f"Qwen Code reads {name} from it" in problem.text


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "export A",
        "A=${B}",
        'A="a\\nb"',
        "A='a#b'",
        'A="it\'s" # c',
        "A=it's",
        "A= b ",
        "export A=1",
        "A=",
        "# A: v",
        "1A=x",
        "A.b-c=d",
    ],
)
def test_a_line_both_read_alike_is_not_warned_of(text: str) -> None:
    """No warning where there is no difference; a bare name has no value for either."""
    assert parse_env(text).problems == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KEY: v", [("KEY", 1, "v")]),
        ("KEY:v", []),
        ("KEY : v", []),
        ("A=1\n\n  export B = 2 # c\n", [("A", 1, "1"), ("B", 3, "2")]),
        ("A='a' 'b'", [("A", 1, "a' 'b")]),
        ('A="a" b', [("A", 1, '"a" b')]),
        ('A="x\\n\\ty"', [("A", 1, "x\n\\ty")]),
        ('A="open\\n', [("A", 1, '"open\n')]),
        ("A='1\n2'\nB=3", [("A", 1, "1\n2"), ("B", 3, "3")]),
        ("A=\"it's\nB='x'\nC=\"y\"", [("A", 1, "\"it's"), ("B", 2, "x"), ("C", 3, "y")]),
        ("A='x\\' # c", [("A", 1, "x\\")]),
        ("A='x#y\\' # c", [("A", 1, "x#y\\")]),
        ("A='x#y\\'z\\' # c", [("A", 1, "x#y\\'z\\")]),
        ("A:\nB=2", [("A", 1, "B=2")]),
        ("not a line\n# A=1\n=2", []),
    ],
)
def test_reading_as_javascript(text: str, expected: list[tuple[str, int, str]]) -> None:
    """Vectors of dotenv for JavaScript, as Qwen Code was seen to read them."""
    assert list(read_as_javascript(text)) == expected


def test_a_name_that_may_be_a_key_is_not_shown() -> None:
    """A key pasted as a name, or a name with an escape in it, does not get into a message."""
    for line in ("sk-live-0123456789abcdef=`x`", "\x1b[31mA=`x`", "sk-0123456789: v", "Q" * 70 + "=`x`"):
        (problem,) = parse_env(line).problems
        assert "0123456789" not in problem.text
        assert "\x1b" not in problem.text
        assert "QQQ" not in problem.text


def fill(unit: str) -> str:
    """64 KiB of `unit`, whole units only."""
    return unit * (MAX_BYTES // len(unit.encode()))


LINE = MAX_LINE - 10
ADVERSARIAL = {
    "line feeds": fill("\n"),
    "blank lines": fill(" " * LINE + "\n"),
    "a value, then blanks": fill("A=x" + " " * LINE + "\n"),
    "blanks inside values, at the cap": fill("A=x" + " " * MAX_BLANKS + "y\n"),
    "tabs inside values": fill("A=x" + ("\t" * MAX_BLANKS + "y") * 7 + "\n"),
    "blanks and hashes": fill("A=x" + " #" * (LINE // 2) + "\n"),
    "open double quotes": fill('A="\n'),
    "open single and double quotes": fill("A='x\nB=\"y\n"),
    "one open quote": 'A="' + fill("B=1\n")[:-3],
    "open back-quotes": fill("A=`\n"),
    "nested interpolation": fill("A=" + "${" * (LINE // 2) + "\n"),
    "backslashes in quotes": fill('A="' + "\\" * LINE + "\n"),
    "escaped quotes": "A='" + fill("\\'" * 100 + "\n")[:-3],
    "export, export": fill("export " * (LINE // 7) + "\n"),
    "export on lines": fill("export\n"),
    "names without end": fill("A" * LINE + "\n"),
    "colons": fill("A: " * (LINE // 3) + "\n"),
    "equal signs": fill("=" * LINE + "\n"),
    "short bindings": fill("A=1\n"),
    "other blanks": fill("A=x" + "\u2028" * MAX_BLANKS + "y\n"),
}


@pytest.mark.parametrize("shape", ADVERSARIAL)
def test_an_adversarial_file_is_read_in_time(shape: str) -> None:
    """64 KiB of the worst text we know cost at most a second of this processor."""
    text = ADVERSARIAL[shape]
    assert len(text.encode()) <= MAX_BYTES
    assert len(text.encode()) > MAX_BYTES - 2 * MAX_LINE
    began = time.process_time()
    parse_env(text)
    assert time.process_time() - began <= 1.0


PIECES = st.sampled_from(
    ["A", "B", "=", "=", ":", " ", "\n", "\n", "'", '"', "`", "#", "\\", "x", "export ", "\r", "\t", "é"]
)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    """Lines are within the text, in order, and each value we take otherwise than Qwen Code is warned of."""
    file = parse_env(text)
    last = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    lines = [b.line for b in file.bindings]
    assert lines == sorted(lines)
    assert all(1 <= line <= last for line in (*lines, *(p.line for p in file.problems)))
    theirs = {
        (n, line): v for n, line, v in read_as_javascript(text.replace("\r\n", "\n").replace("\r", "\n"))
    }
    for binding in file.bindings:
        if binding.value != theirs.get((binding.name, binding.line)):
            assert any(p.warning and p.line == binding.line for p in file.problems)


NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True)
PLAIN = st.text(st.sampled_from("abcXYZ019_-./:@$%&+,;=é"), min_size=1, max_size=30)


@given(st.dictionaries(NAMES, PLAIN, max_size=8), st.integers(0, 3), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_is_read(values: dict[str, str], blanks: int, newline: str) -> None:
    """Quoted values come back as they were written, with their lines, and both parsers agree."""
    text = "".join(newline * blanks + f'{name}="{value}"{newline}' for name, value in values.items())
    file = parse_env(text)
    assert [(b.name, b.value) for b in file.bindings] == list(values.items())
    assert [b.line for b in file.bindings] == [(i + 1) * (blanks + 1) for i in range(len(values))]
    assert file.problems == ()
