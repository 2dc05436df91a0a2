"""Completion in a chat document's last message: slash commands with their arguments, and mentions."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from lsprotocol import types

from qwen_ls.actions.models import listed
from qwen_ls.core.chat import Role
from qwen_ls.core.chatdoc import last_block, read_front
from qwen_ls.core.context import MOST_LISTED, given_of
from qwen_ls.core.credentials import API_KEY
from qwen_ls.core.errors import Problem
from qwen_ls.core.mentions import MentionKind, find_begun, write_mention
from qwen_ls.core.slash import AUTH, COMMANDS, MODEL
from qwen_ls.lsp.editor import ANSWER_WITHIN, within
from qwen_ls.lsp.methods import LABELS

if TYPE_CHECKING:
    from qwen_ls.core.context import Listed
    from qwen_ls.core.mentions import Begun
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

COMMAND = re.compile(r"\s*(/[A-Za-z]*)")
ARGUMENT = re.compile(r"\s*/([A-Za-z]+)[ \t]+(\S*)")
KEYWORD, VALUE = types.CompletionItemKind.Keyword, types.CompletionItemKind.Value
FILE, FOLDER = types.CompletionItemKind.File, types.CompletionItemKind.Folder


async def complete(
    session: Session, text: Text, position: types.Position
) -> list[types.CompletionItem] | types.CompletionList | None:
    """What may stand at a place; None outside the user's last message."""
    first = start_of_message(text)
    if first is None or not first <= position.line < len(text.lines):
        return None
    line = text.lines[position.line]
    column = text.column(position.line, position.character)
    if is_only_line(text, first, position.line) and not line[column:].strip():
        if (command := COMMAND.fullmatch(line, 0, column)) is not None:
            return commands(text.range(position.line, command.start(1), column))
        if (argument := ARGUMENT.fullmatch(line, 0, column)) is not None:
            chosen = text.range(position.line, argument.start(2), column)
            return await arguments(session, text, argument[1].lower(), chosen)
    if "@" not in line[:column]:
        return None
    above = "".join(f"{other}\n" for other in text.lines[first : position.line])
    loop = asyncio.get_running_loop()  # a long message takes a moment: is this place in its code?
    begun = await loop.run_in_executor(None, find_begun, above + line[:column])
    if begun is None:
        return None
    chosen = text.range(position.line, begun.start - len(above), column)
    return (
        mentions(session, text, chosen) if begun.path is None else await paths(session, text, begun, chosen)
    )


def start_of_message(text: Text) -> int | None:
    """The first line of the user's last message; None where somebody else has the last word."""
    last = last_block(text.lines)
    if last is None:
        return read_front(text.lines)[1]
    return last.first if last.role is Role.USER else None


def is_only_line(text: Text, first: int, line: int) -> bool:
    """Whether every other line of a message is blank."""
    return not any(other.strip() for other in (*text.lines[first:line], *text.lines[line + 1 :]))


def item(
    label: str,
    kind: types.CompletionItemKind,
    edit: types.TextEdit,
    detail: str | None = None,
    found_by: str | None = None,
) -> types.CompletionItem:
    """One proposal; a client compares what is written with `found_by`, else with the edit's own text."""
    return types.CompletionItem(
        label, kind=kind, detail=detail, filter_text=found_by or edit.new_text, text_edit=edit
    )


def commands(chosen: types.Range) -> list[types.CompletionItem]:
    """The slash commands; one with an argument leaves room for it."""
    edits = [types.TextEdit(chosen, f"/{c.name} " if c.argument else f"/{c.name}") for c in COMMANDS]
    return [item(f"/{c.name}", KEYWORD, e, c.summary) for c, e in zip(COMMANDS, edits, strict=True)]


async def arguments(
    session: Session, text: Text, command: str, chosen: types.Range
) -> list[types.CompletionItem]:
    """What a command may be given: methods, or the provider's models; nobody is asked anything for it."""
    world = await session.world()
    names: dict[str, str | None] = {}
    if command == AUTH:
        names = {method: LABELS.get(method) for method in (*world.ports.sign_ins, API_KEY)}
    elif command == MODEL:
        asking = session.task(listed(world.ports, world.accounts, await session.place(text.uri)))
        try:
            listing = await asking if await within(asking, ANSWER_WITHIN) else None
        except Problem:
            listing = None
        if listing is not None:
            names = {name: "now" if name == listing.active else None for name in listing.models}
    return [item(name, VALUE, types.TextEdit(chosen, name), detail) for name, detail in names.items()]


def mentions(session: Session, text: Text, chosen: types.Range) -> list[types.CompletionItem]:
    """The mentions that mean something in this document."""
    given = given_of(read_front(text.lines)[0])
    details = {"@file:": "a file of the workspace folder"} if session.folder_uris() else {}
    if given.selection is not None:
        details[f"@{MentionKind.SELECTION.value}"] = given.selection.path
    if given.diagnostics:
        details[f"@{MentionKind.DIAGNOSTICS.value}"] = str(given.diagnostics[0])
    return [item(word, KEYWORD, types.TextEdit(chosen, word), said) for word, said in details.items()]


async def paths(session: Session, text: Text, begun: Begun, chosen: types.Range) -> types.CompletionList:
    """The names in the folder that has been written so far."""
    world, place = await session.world(), await session.place(text.uri)
    folder, slash, name = (begun.path or "").rpartition("/")
    found = await world.ports.context_files.names(place.folder, folder + slash, name)
    items = [path_item(folder + slash, one, chosen, is_quoted=begun.is_quoted) for one in found]
    return types.CompletionList(is_incomplete=len(items) == MOST_LISTED, items=items)


def path_item(folder: str, one: Listed, chosen: types.Range, *, is_quoted: bool) -> types.CompletionItem:
    """One name in a folder; that of a folder can be gone on with."""
    label = f"{one.name}/" if one.is_folder else one.name
    mention = write_mention(folder + label)
    if one.is_folder:
        mention = mention.removesuffix('"')
    found_by = f"@file:{chr(34) if is_quoted else ''}{folder}{label}"
    return item(label, FOLDER if one.is_folder else FILE, types.TextEdit(chosen, mention), found_by=found_by)
