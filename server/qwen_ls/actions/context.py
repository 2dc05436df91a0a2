"""What goes along with a message: mentions are looked up, read, and put below the text."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.chat import Message, Role
from qwen_ls.core.context import (
    Block,
    Given,
    check_size,
    check_total,
    compose,
    cut,
    diagnostics_block,
    file_block,
    selection_block,
    together,
)
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.mentions import Lines, Mention, MentionKind, find_mentions
from qwen_ls.core.secret_files import check_text, names_secrets, withheld

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence

    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.core.context import Diagnostic, Located, Selection

    Fetch = Callable[[], Coroutine[None, None, Block | None]]  # None: it goes along already

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # of a URI; one letter would be a drive
SHORT = 16 * 1024  # characters that are looked through in a few milliseconds at most
NOTHING = Given()


async def attach(
    ports: Ports,
    place: Place,
    messages: Sequence[Message],
    given: Given = NOTHING,
    lasting: Given = NOTHING,
    *,
    is_cleared: bool = False,
) -> tuple[Message, ...]:
    """The messages as they are sent: each user message with what it mentions, the last with what is given.

    All that is given goes along with the last user message, whether it is mentioned or not: a client gives
    what its user chose. `lasting` belongs to the whole conversation, as a chat document's front matter does:
    it goes where it is mentioned, else along with the first user message, unless the conversation
    `is_cleared`, and begins anew.
    What the last message mentions must be there, else Problem (not-supported, too-large). A file that an
    earlier one mentioned may have gone, and a short note says so in its place; its `@selection` and
    `@diagnostics` are left as words, since what they meant then only the client may know.
    """
    asked = [i for i, m in enumerate(messages) if m.role is Role.USER]
    if not asked:
        return tuple(messages)

    def look() -> dict[int, list[Mention]]:
        return {i: find_mentions(messages[i].content) for i in asked}

    if sum(len(messages[i].content) for i in asked) < SHORT:
        mentions = look()
    else:  # a long text takes a moment
        mentions = await asyncio.get_running_loop().run_in_executor(None, look)
    said = {m.kind for i in asked for m in mentions[i]}
    sent = list(messages)
    for i in asked:
        is_last = i == asked[-1]
        gather = Gather(ports, place, together(lasting, given) if is_last else lasting, is_last)
        wanted = dict(gather.mentioned(mentions[i]))
        unmentioned = without(lasting, said) if i == asked[0] and not is_cleared else NOTHING
        if is_last:
            unmentioned = together(unmentioned, given)
        for key, fetch in attrs.evolve(gather, seen=unmentioned).given():
            wanted.setdefault(key, fetch)
        if wanted:
            sent[i] = await complete(messages[i], wanted.values(), is_last=is_last)
    return tuple(sent)


def without(given: Given, kinds: set[MentionKind]) -> Given:
    """What is given, but for what some kinds of mentions mean."""
    selection = None if MentionKind.SELECTION in kinds else given.selection
    return attrs.evolve(
        given, selection=selection, diagnostics=() if MentionKind.DIAGNOSTICS in kinds else given.diagnostics
    )


async def complete(message: Message, wanted: Iterable[Fetch], *, is_last: bool) -> Message:
    """One message with its blocks; a note for what is not there. Raises Problem for the last."""
    blocks: list[Block] = []
    notes: list[str] = []
    size = 0
    for fetch in wanted:
        found = await beside(size, fetch)
        if found is None:
            continue
        if isinstance(found, Block):
            blocks.append(found)
            size += found.size
        elif is_last:
            raise found
        else:
            notes.append(found.message.removesuffix(f". {found.remedy}"))
    return attrs.evolve(message, content=compose(message.content, blocks, notes))


async def beside(size: int, fetch: Fetch) -> Block | Problem | None:
    """One more block, or why there is none: also because it is too much beside so many bytes of others."""
    try:
        block = await fetch()
        if block is not None:
            check_total(size + block.size, block)
    except Problem as problem:
        return problem
    return block


@attrs.frozen
class Gather:
    """What can go along with one message: each thing by a key that is the same for the same thing."""

    ports: Ports
    place: Place
    seen: Given
    is_strict: bool  # what is mentioned must be there
    taken: set[tuple[str, Lines | None]] = attrs.field(factory=set)  # files by their real paths

    def mentioned(self, mentions: Sequence[Mention]) -> Iterator[tuple[object, Fetch]]:
        """What some mentions stand for."""
        for mention in mentions:
            if mention.kind is MentionKind.FILE:
                yield self._file(mention.path, mention.lines)
            elif mention.kind is MentionKind.SELECTION and (
                self.is_strict or self.seen.selection is not None
            ):
                yield mention.kind, self._selection
            elif mention.kind is MentionKind.DIAGNOSTICS and (self.is_strict or self.seen.diagnostics):
                yield mention.kind, self._diagnostics

    def given(self) -> Iterator[tuple[object, Fetch]]:
        """All that was given."""
        if self.seen.selection is not None:
            yield MentionKind.SELECTION, self._selection
        for path in self.seen.files:
            yield self._file(path, None)
        if self.seen.diagnostics:
            yield MentionKind.DIAGNOSTICS, self._diagnostics

    def _file(self, path: str, lines: Lines | None) -> tuple[object, Fetch]:
        async def fetch() -> Block | None:
            located = await self.ports.context_files.locate(self.place.folder, path)
            if (located.real, lines) in self.taken:
                return None
            self.taken.add((located.real, lines))
            return file_block(located.shown, await self._text(located, lines), lines)

        return (path, lines), fetch

    async def _text(self, located: Located, lines: Lines | None) -> str:
        """A file's text, or some lines of it: as it stands in the editor, else on the disk."""
        texts = self.ports.open_texts
        text = await texts.text_of(located.real) if texts is not None else None
        if text is None:
            text = await self.ports.context_files.read(located, whole=lines is None)
        check_text(text, located.shown)
        return check_size(text if lines is None else cut(text, lines, located.shown), located.shown)

    async def _selection(self) -> Block:
        selection = self.seen.selection
        if selection is None:
            remedy = "Select something and ask from there, or name a file: @file:path#L3-L9"
            raise Problem(Kind.NOT_SUPPORTED, "Nothing is selected that @selection could mean", remedy=remedy)
        shown, text = await self._selected(selection)
        return selection_block(shown, selection, text)

    async def _selected(self, selection: Selection) -> tuple[str, str]:
        """A selection's document as it is shown, and its text."""
        if selection.text is None:
            located = await self.ports.context_files.locate(self.place.folder, selection.path)
            return located.shown, await self._text(located, selection.lines)
        return await given_text(self.ports, self.place, selection.path, selection.text)

    async def _diagnostics(self) -> Block:
        if not self.seen.diagnostics:
            remedy = "Ask from a line that has one, by the code action “Explain this diagnostic with Qwen”"
            what = "There are no diagnostics that @diagnostics could mean"
            raise Problem(Kind.NOT_SUPPORTED, what, remedy=remedy)
        return diagnostics_block([await self._shown(d) for d in self.seen.diagnostics])

    async def _shown(self, diagnostic: Diagnostic) -> Diagnostic:
        """A diagnostic with its path as it is shown."""
        if SCHEME.match(diagnostic.path):
            return diagnostic
        locate = self.ports.context_files.locate
        try:
            located = await locate(self.place.folder, diagnostic.path, inside=False)
        except Problem:  # what is said about a file with secrets is not what it holds
            return diagnostic
        return attrs.evolve(diagnostic, path=located.shown)


async def given_text(ports: Ports, place: Place, path: str, text: str) -> tuple[str, str]:
    """A document as it is shown, and text of it that the editor gave: a file with secrets stays one.

    Raises Problem (not-supported, too-large).
    """
    shown = path
    if not SCHEME.match(path):
        located = await ports.context_files.locate(place.folder, path, inside=False)
        shown = located.shown
        whole = await ports.open_texts.text_of(located.real) if ports.open_texts is not None else None
        check_text(whole or "", shown)
    elif names_secrets(path):
        raise withheld(shown)
    return shown, check_size(check_text(text, shown), shown)
