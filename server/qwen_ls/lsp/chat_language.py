"""Chat documents as a language: everything a user does in one, without any code of the client's own.

Code actions work in every client, code lenses in some; both run the server's own commands. On other
documents, code actions open a chat document about what is selected or what another server has found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from lsprotocol import types

from qwen_ls import contract
from qwen_ls.actions.browser_login import OPENROUTER
from qwen_ls.actions.documents import new_document
from qwen_ls.core.chat import Role
from qwen_ls.core.chatdoc import SUFFIX, last_block, read_front
from qwen_ls.core.context import Given, Selection, cut
from qwen_ls.core.credentials import API_KEY
from qwen_ls.lsp.chat import diagnostic_of, selection_of
from qwen_ls.lsp.folders import path_of
from qwen_ls.lsp.writing import Stage
from qwen_ls.wire import to_wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_ls.lsp.folders import Folder
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

SEND, STOP, INSERT, NEW = "Qwen: Send", "Qwen: Stop", "Qwen: Insert answer", "Qwen: New chat"
SWITCH, MODEL, SIGN_IN = "Qwen: Switch authentication", "Qwen: Choose model", "Qwen: Sign in"
ENV = "Qwen: Open .env"
ASK, EXPLAIN = "Ask Qwen about this", "Explain this diagnostic with Qwen"
SEVERITIES = {
    types.DiagnosticSeverity.Error: "error",
    types.DiagnosticSeverity.Warning: "warning",
    types.DiagnosticSeverity.Information: "information",
    types.DiagnosticSeverity.Hint: "hint",
}


def command(title: str, name: str, **argument: Any) -> types.Command:
    """A server command with its one argument."""
    return types.Command(title, name, arguments=[argument])


def action(title: str, name: str, **argument: Any) -> types.CodeAction:
    """The same as a code action."""
    return types.CodeAction(title, command=command(title, name, **argument))


# --- chat documents ------------------------------------------------------------------------------


async def code_actions(session: Session, text: Text, _: types.CodeActionParams) -> list[types.CodeAction]:
    """What can be done with a chat document now."""
    uri = text.uri
    status = await session.status(await session.place(uri))
    found = [types.CodeAction(c.title, command=c) for c in steps(session, text)]
    found.append(action(NEW, "qwen.chat.new", document=True, uri=uri))
    if not status.signed_in:
        found += await ways_in(session, uri)
    found += await switches(session, uri, status.method)
    found.append(action(MODEL, "qwen.models.select", uri=uri))
    return found


def steps(session: Session, text: Text) -> list[types.Command]:
    """The next step of the conversation: send, stop, or put in what was held back."""
    writing = session.documents.writing(text.uri)
    held: list[types.Command] = []
    if writing is not None and writing.is_ready:
        held = [command(INSERT, "qwen.chat.insert", document=text.uri)]
        if not writing.has_failed:
            return held
    elif writing is not None and writing.stage is not Stage.OVER:
        return [command(STOP, "qwen.chat.cancel", document=text.uri)]
    last = last_block(text.lines)
    if last is None or last.role is not Role.USER or not last.content:
        return held
    return [*held, command(SEND, "qwen.chat.send", document=text.uri)]


async def ways_in(session: Session, uri: str) -> list[types.CodeAction]:
    """Signing in: by one question, or each way by itself for a client that puts none."""
    env = action(ENV, "qwen.env.open", uri=uri)
    if not session.editor.is_mute:
        return [action(SIGN_IN, "qwen.auth.login", uri=uri), env]
    methods = (*(await session.world()).ports.sign_ins, OPENROUTER)
    return [action(f"{SIGN_IN} with {m}", "qwen.auth.login", uri=uri, method=m) for m in methods] + [env]


async def switches(session: Session, uri: str, method: str | None) -> list[types.CodeAction]:
    """Switching, in the same two ways."""
    if not session.editor.is_mute:
        return [action(SWITCH, "qwen.auth.switch", uri=uri)]
    methods = (*(await session.world()).ports.sign_ins, API_KEY)
    others = [m for m in methods if m != method]
    return [action(f"{SWITCH} to {m}", "qwen.auth.switch", uri=uri, method=m) for m in others]


async def code_lenses(session: Session, text: Text) -> list[types.CodeLens]:
    """Who signs, above the first line; the next step, above the last message."""
    status = await status_in(session, text)
    lenses = [types.CodeLens(text.range(0, 0, 0), command(status.message, "qwen.auth.switch", uri=text.uri))]
    last = last_block(text.lines)
    line = (last.heading or 0) if last else 0
    return lenses + [types.CodeLens(text.range(line, 0, 0), step) for step in steps(session, text)]


async def status_in(session: Session, text: Text) -> contract.Status:
    """Who signs in a document, with the model that it asks for."""
    front, _ = read_front(text.lines)
    return await session.status(await session.place(text.uri), front.get("model"))


async def hover(session: Session, text: Text, position: types.Position) -> types.Hover | None:
    """Who signs, on the first line."""
    if position.line:
        return None
    status = await status_in(session, text)
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, describe(status)))


def describe(status: contract.Status) -> str:
    """A status as Markdown. Everything that came from outside stands as code: nothing in it is a link."""
    facts = {
        "Method": status.method,
        "Provider": status.provider,
        "Model": status.model,
        "Base URL": status.base_url,
        "Key": status.fingerprint,
        "From": describe_source(status.source),
    }
    rows = [f"- {name}: {code(value)}" for name, value in facts.items() if value]
    return "\n".join([f"**qwen-ls**: {code(status.message)}", "", *rows])


def describe_source(source: contract.Source | None) -> str | None:
    """Where a credential came from."""
    if source is None:
        return None
    line = f":{source.line}" if source.line is not None else ""
    place = f"{source.file}{line}" if source.file else source.kind
    return f"{source.variable} ({place})" if source.variable else place


def code(text: str) -> str:
    """Text as inline code, whatever stands in it."""
    return "`" + text.replace("`", "'") + "`"


# --- every other document ------------------------------------------------------------------------


async def ask_actions(_: Session, text: Text, params: types.CodeActionParams) -> list[types.CodeAction]:
    """Open a chat about what is selected, or about what another server has found there."""
    path = text.path
    if path is None:
        return []
    chosen, context = params.range, params.context
    is_asked = context.trigger_kind is not types.CodeActionTriggerKind.Automatic
    found: list[types.CodeAction] = []
    selection = selected(text, chosen)
    if selection is not None or is_asked:
        found.append(action(ASK, "qwen.chat.new", **new_arguments(text.uri, selection, [])))
    if context.diagnostics:
        lines = selection or whole_lines(text.uri, context.diagnostics)
        listed = [diagnostic(text.uri, d) for d in context.diagnostics]
        explain = action(EXPLAIN, "qwen.chat.new", **new_arguments(text.uri, lines, listed))
        explain.kind, explain.diagnostics = types.CodeActionKind.QuickFix, context.diagnostics
        found.append(explain)
    return found


def selected(text: Text, chosen: types.Range) -> contract.ChatSelection | None:
    """The lines of a range that is not empty."""
    start, end = chosen.start, chosen.end
    if start == end:
        return None
    last = end.line + (1 if end.character else 0)
    return contract.ChatSelection(text.uri, start.line, max(last, start.line + 1))


def whole_lines(uri: str, found: Sequence[types.Diagnostic]) -> contract.ChatSelection:
    """The lines that some findings are about."""
    first = min(d.range.start.line for d in found)
    return contract.ChatSelection(uri, first, max(d.range.end.line for d in found) + 1)


def diagnostic(uri: str, found: types.Diagnostic) -> contract.ChatDiagnostic:
    """A finding as a payload."""
    severity: Any = SEVERITIES.get(found.severity or types.DiagnosticSeverity.Error, "error")
    code = str(found.code) if found.code is not None else None
    return contract.ChatDiagnostic(uri, found.range.start.line, found.message, severity, found.source, code)


def new_arguments(
    uri: str, selection: contract.ChatSelection | None, found: list[contract.ChatDiagnostic]
) -> dict[str, Any]:
    """The argument of a command that opens a chat document."""
    argument: dict[str, Any] = to_wire(contract.ChatNewParams(uri, True, selection, found))  # noqa: FBT003
    return argument


async def new(session: Session, params: contract.ChatNewParams) -> contract.ChatNewResult:
    """Make a chat document, and let the client open it."""
    world, folder = await session.world(), await session.folders.of(params.uri, session.folder_uris())
    made = await new_document(
        world.ports,
        session.place_of(folder),
        about(session, params, folder),
        file_of(params, folder) if params.selection is None else None,
    )
    opened = await session.editor.show_file(made)
    message = f"{made} is new" + ("" if opened else "; open it in the editor yourself")
    if not opened:
        session.editor.say(message)
    return contract.ChatNewResult(None, made, opened, message)


def file_of(params: contract.ChatNewParams, folder: Folder | None) -> str | None:
    """The file that a new chat document is to be about: neither a folder nor another chat."""
    file = path_of(params.uri or "")
    if (
        file is None
        or file.lower().endswith(SUFFIX)
        or (folder is not None and file in {folder.path, folder.real})
    ):
        return None
    return folder.by_real_name(file) if folder is not None else file


def about(session: Session, params: contract.ChatNewParams, folder: Folder | None) -> Given:
    """What a new chat document is about; of a lone file, outside of every folder, with its text."""
    selection = selection_of(params.selection) if params.selection is not None else None
    found = tuple(map(diagnostic_of, params.diagnostics))
    if folder is None:
        return Given(with_text(session, params, selection), diagnostics=found)
    if selection is not None:
        selection = attrs.evolve(selection, path=folder.by_real_name(selection.path))
    return Given(
        selection, diagnostics=tuple(attrs.evolve(d, path=folder.by_real_name(d.path)) for d in found)
    )


def with_text(
    session: Session, params: contract.ChatNewParams, selection: Selection | None
) -> Selection | None:
    """A selection with its text, where that is open; all of a file where nothing is selected."""
    file = file_of(params, None)
    text = session.texts.get(params.selection.uri if params.selection is not None else params.uri or "")
    if text is None or (selection is None and file is None):
        return selection
    if selection is None:
        selection = Selection(file or "", 0, len(text.lines))
    if selection.text is not None:
        return selection
    return attrs.evolve(selection, text=cut(text.text, selection.lines, selection.path))
