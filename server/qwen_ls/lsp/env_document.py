"""`.env` files as a language: findings, hover, completion and actions, by the protocol alone."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeVar

import attrs
from lsprotocol import types
from pygls.uris import from_fs_path

from qwen_ls.actions.resolve import stand
from qwen_ls.core.envfix import fixes
from qwen_ls.core.envhelp import binding_at, explain, propose
from qwen_ls.core.envlint import lint
from qwen_ls.core.envview import GitState, OpenFile, Role, View, read_open, view_of
from qwen_ls.core.providers import KEY_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qwen_ls.actions.ports import Place
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.core.envfix import Fix
    from qwen_ls.core.envhelp import Proposal
    from qwen_ls.core.envlint import Finding
    from qwen_ls.lsp.folders import Folder
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

Result = TypeVar("Result")
SOURCE = "qwen-ls"
BEST_FIRST = (Role.READ, Role.UNREADABLE, Role.FOREIGN, Role.SHADOWED, Role.ELSEWHERE)


def claims(text: Text) -> bool:
    """Whether a document is a `.env` file on this disk."""
    return text.path is not None and PurePath(text.path).name == ".env"


# --- what is looked at -----------------------------------------------------------------------------


@attrs.frozen
class Seat:
    """A file as one folder sees it."""

    place: Place
    standing: Standing
    view: View


async def seat_of(session: Session, uri: str, path: str, text: str) -> Seat:
    """A `.env` file with a text of its own, as the folder sees it that has the most to do with it.

    That is the one that reads it, its own before others; else one whose search comes by.
    """
    world = await session.world()
    places = [session.place_of(folder) for folder in await folders_for(session, uri)]
    standings = [await stand(world.ports, place) for place in places]
    searches = [[c.path for c in s.facts.environment.chain.candidates] for s in standings]
    homes = [c.path for c in standings[0].facts.user_environment.chain.candidates]
    disk = await world.ports.env_disk.inspect(path, [*searches, homes])
    *ranks, home_rank = disk.ranks
    has_key = any(name in text for name in KEY_VARIABLES)
    git = await world.ports.git.state(path) if has_key else GitState()
    excluded = world.ports.settings.excluded_env_vars

    def look() -> list[Seat]:
        opened = OpenFile(path, text, None, home_rank, disk.mode, git)
        views = [
            view_of(attrs.evolve(opened, rank=rank), s.facts, s.policy, excluded)
            for rank, s in zip(ranks, standings, strict=True)
        ]
        return [Seat(*seen) for seen in zip(places, standings, views, strict=True)]

    seats = await off_the_loop(look)
    return min(seats, key=lambda seat: BEST_FIRST.index(seat.view.role))


async def folders_for(session: Session, uri: str) -> list[Folder | None]:
    """The open folders, a document's own first; [None] where none is open."""
    uris = session.folder_uris()
    every, own = await session.folders.open(uris), await session.folders.of(uri, uris)
    return sorted(every, key=lambda folder: folder != own) or [None]


async def off_the_loop(work: Callable[[], Result]) -> Result:
    """Parsing takes its time."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def view_of_text(session: Session, text: Text) -> View | None:
    """An open document's view."""
    if text.path is None:
        return None
    return (await seat_of(session, text.uri, text.path, text.text)).view


# --- answers ---------------------------------------------------------------------------------------


async def diagnose(session: Session, text: Text) -> list[types.Diagnostic]:
    """What is found in a document."""
    view = await view_of_text(session, text)
    if view is None:
        return []
    found = await off_the_loop(partial(lint, view))
    shows_tags = can_tag(session)
    return [diagnostic(text, f, with_tags=shows_tags) for f in found]


def can_tag(session: Session) -> bool:
    """Whether the client shows what has no effect faded."""
    documents = session.editor.capabilities.text_document
    published = documents.publish_diagnostics if documents else None
    support = published.tag_support if published else None
    return support is not None and types.DiagnosticTag.Unnecessary in support.value_set


def diagnostic(text: Text, found: Finding, *, with_tags: bool) -> types.Diagnostic:
    """A finding as the protocol has it, from the line's first character to its last."""
    number = min(found.line, len(text.lines)) - 1
    line = text.lines[number]
    start = len(line) - len(line.lstrip())
    return types.Diagnostic(
        range=text.range(number, start, max(start, len(line.rstrip()))),
        message=found.message,
        severity=types.DiagnosticSeverity(int(found.severity)),
        code=found.code,
        source=SOURCE,
        tags=[types.DiagnosticTag.Unnecessary] if found.is_moot and with_tags else None,
    )


async def hover(session: Session, text: Text, position: types.Position) -> types.Hover | None:
    """What the name on a line means, and what is in force."""
    view = await view_of_text(session, text)
    binding = binding_at(view, position.line + 1) if view is not None else None
    if view is None or binding is None:
        return None
    lines = "\n".join(explain(view, binding))
    return types.Hover(types.MarkupContent(kind=hover_kind(session), value=lines))


def hover_kind(session: Session) -> types.MarkupKind:
    """Markdown where the client shows it; the same lines are readable without."""
    documents = session.editor.capabilities.text_document
    formats = documents.hover.content_format if documents and documents.hover else None
    is_plain = formats is not None and types.MarkupKind.Markdown not in formats
    return types.MarkupKind.PlainText if is_plain else types.MarkupKind.Markdown


async def complete(_: Session, text: Text, position: types.Position) -> list[types.CompletionItem]:
    """Known names, and what of the catalogue fits a name."""
    number = position.line
    if not 0 <= number < len(text.lines):
        return []
    content = await off_the_loop(partial(read_open, text.text))
    found = propose(content, text.lines[number], text.column(number, position.character))
    return [item(text, number, index, proposal) for index, proposal in enumerate(found)]


def item(text: Text, number: int, index: int, found: Proposal) -> types.CompletionItem:
    """A proposal as the protocol has it, in our order."""
    kinds = types.CompletionItemKind
    return types.CompletionItem(
        label=found.label,
        kind=kinds.Value if found.is_value else kinds.Variable,
        detail=found.detail or None,
        documentation=found.documentation or None,
        sort_text=f"{index:03}",
        filter_text=found.label,
        text_edit=types.TextEdit(text.range(number, found.start, found.end), found.insert),
    )


async def code_actions(
    session: Session, text: Text, params: types.CodeActionParams
) -> list[types.CodeAction]:
    """What can be done on the lines of a range."""
    view = await view_of_text(session, text)
    if view is None:
        return []
    start, end = params.range.start, params.range.end
    last = end.line if end.character or end.line == start.line else end.line - 1
    found = await off_the_loop(partial(fixes, view, start.line + 1, last + 1))
    return [action(text, view, fix, params.context.diagnostics) for fix in found]


def action(text: Text, view: View, fix: Fix, shown: Sequence[types.Diagnostic]) -> types.CodeAction:
    """A fix as the protocol has it: a command of the server, with names and no values."""
    uri = text.uri if fix.file == view.path else from_fs_path(fix.file)
    argument = {"file": uri, "variable": fix.variable, "target": fix.target}
    answered = [d for d in shown if d.source == SOURCE and d.code in fix.codes]
    return types.CodeAction(
        title=fix.title,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=answered or None,
        command=types.Command(
            title=fix.title,
            command=fix.command,
            arguments=[{name: value for name, value in argument.items() if value is not None}],
        ),
    )
