"""Open documents: changes in any of the protocol's units give the editor's own text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from qwen_ls.lsp.texts import LINE_END, Text, Texts

UNITS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
ALPHABET = st.text(alphabet="ab é😀\u2028\x0c\n\r", max_size=12)


def position_in(text: str, offset: int, encoding: str) -> types.Position:
    """The position of an offset, counted here by encoding alone."""
    before = LINE_END.split(text[:offset])
    codec, size = UNITS[encoding]
    return types.Position(len(before) - 1, len(before[-1].encode(codec)) // size)


@given(
    text=ALPHABET,
    inserted=ALPHABET,
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    encoding=st.sampled_from(sorted(UNITS)),
)
def test_a_change_gives_the_editors_text(
    text: str, inserted: str, cuts: tuple[float, float], encoding: str
) -> None:
    """A replaced range reads as the editor would have it, in each unit of positions."""
    start, end = sorted(int(cut * len(text)) for cut in cuts)
    if "\r\n" in (text[start - 1 : start + 1], text[end - 1 : end + 1]):
        return  # no editor has a position between the two
    document = Text("file:///x", "markdown", 1, LINE_END.split(text), encoding)
    chosen = types.Range(position_in(text, start, encoding), position_in(text, end, encoding))
    document.change([types.TextDocumentContentChangePartial(chosen, inserted)], 2)
    pieces = ["\n".join(LINE_END.split(piece)) for piece in (text[:start], inserted, text[end:])]
    assert document.text == "".join(pieces)
    assert document.version == 2


@given(line=st.text(alphabet="aé😀", max_size=8), encoding=st.sampled_from(sorted(UNITS)))
def test_columns_go_there_and_back(line: str, encoding: str) -> None:
    """Each column has a position of its own that leads back to it."""
    document = Text("file:///x", "markdown", 1, [line], encoding)
    for column in range(len(line) + 1):
        assert document.column(0, document.character(0, column)) == column


def test_a_position_inside_a_character_is_before_it() -> None:
    """Half of a surrogate pair, or a byte inside of one, never splits a character."""
    assert Text("file:///x", "markdown", 1, ["😀b"], "utf-16").column(0, 1) == 0
    assert Text("file:///x", "markdown", 1, ["éb"], "utf-8").column(0, 1) == 0


def test_past_the_end_is_the_end() -> None:
    """A change beyond the last line or column is one at the end."""
    document = Text("file:///x", "markdown", 1, ["a", "b"])
    far = types.Range(types.Position(9, 9), types.Position(9, 9))
    document.change([types.TextDocumentContentChangePartial(far, "c")], 2)
    assert document.text == "a\nbc"


def test_a_watcher_is_told_once_per_notification_and_at_the_end() -> None:
    """All changes of one notification are one step, and closing is told too."""
    told: list[tuple[str, ...]] = []

    class Watching:
        """Writes down what it is told."""

        def changed(self, before: str, after: str) -> None:
            told.append((before, after))

        def closed(self) -> None:
            told.append(("closed",))

    texts = Texts()
    document = texts.open(types.TextDocumentItem("file:///x", "markdown", 1, "a\r\nb"))
    document.watchers.append(Watching())
    at_start = types.Range(types.Position(0, 0), types.Position(0, 0))
    change = types.TextDocumentContentChangePartial(at_start, "x")
    texts.change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(2, "file:///x"), [change, change]
        )
    )
    texts.close("file:///x")
    assert told == [("a\nb", "xxa\nb"), ("closed",)]
    assert texts.get("file:///x") is None
