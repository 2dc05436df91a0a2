"""Slash commands, run for the workspace folder of a turn; each answers with text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_ls.actions import models as models_action
from qwen_ls.actions.switch import check_method, switch
from qwen_ls.core.credentials import API_KEY
from qwen_ls.core.envhelp import code
from qwen_ls.core.slash import AUTH, CLEAR, HELP, MODEL, STATUS, Slash, help_line, help_text
from qwen_ls.lsp import models
from qwen_ls.lsp.methods import pick

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qwen_ls.actions.chat import Turn
    from qwen_ls.lsp.session import Session

MOST_MODELS = 50  # listed in a chat
FIRST = "what is named with the message comes first, as `model` in a document's front matter is"
CLEARED = "The conversation begins anew: nothing above is sent any more."


async def run(session: Session, turn: Turn, slash: Slash) -> str:
    """Run a command and answer in Markdown. Raises Problem.

    `/clear` only says that it has been done: whoever keeps the conversation does it.
    """
    runner = RUNNERS.get(slash.name)
    return help_line(slash.name) if runner is None else await runner(session, turn, slash.argument)


async def run_auth(session: Session, turn: Turn, method: str | None) -> str:
    """Switch the method for the folder; without a name the user is asked."""
    world = await session.world()
    if method is None:
        method = await pick(session, "Sign requests with", turn.place, (*world.ports.sign_ins, API_KEY))
    check_method(world.ports, method)
    message = await switch(world.ports, turn.place, method, None)
    session.changed()
    return message


async def run_model(session: Session, turn: Turn, model: str | None) -> str:
    """Choose the model for the folder; without a name, which there are."""
    if model is not None:
        message = (await models.selected(session, turn.place, model, None)).message
        if turn.asked_model in {None, model}:
            return message
        return f"{message}. This chat asks for {turn.asked_model} all the same: {FIRST}"
    world = await session.world()
    listing = await models_action.models(world.ports, world.accounts, turn.place, session.editor)
    active = turn.asked_model or listing.active
    lines = [f"- `{name}`{' (now)' if name == active else ''}" for name in listing.models]
    more = len(lines) - MOST_MODELS
    lines[MOST_MODELS:] = [f"- and {more} more"] if more > 0 else []
    return "\n".join([f"{listing.provider} has, at {listing.base_url}:", "", *lines])


async def run_status(session: Session, turn: Turn, _: str | None) -> str:
    """Who signs requests, what is used up, and what is wrong with the `.env` files."""
    status = await session.status(turn.place, turn.asked_model)
    lines = [status.message]
    if status.signed_in:
        lines += ["", f"- key: {status.fingerprint or 'none'}", f"- base URL: {status.base_url}"]
    used = status.quota
    headers = used.headers if used is not None else {}
    if used is not None and used.requests_today is not None:
        minute = f"{used.requests_this_minute} of {used.minute_limit} this minute"
        lines.append(f"- requests: {minute}, {used.requests_today} of {used.day_limit} today")
    lines += [f"- {code(f'{name}: {value}')}" for name, value in headers.items()]
    return "\n".join([*lines, *(f"- {p.file}:{p.line}: {p.text}" for p in status.problems)])


async def run_clear(_session: Session, _turn: Turn, _: str | None) -> str:
    """Say that the conversation begins anew."""
    return CLEARED


async def run_help(_session: Session, _turn: Turn, _: str | None) -> str:
    """Every command."""
    return help_text()


RUNNERS: dict[str, Callable[[Session, Turn, str | None], Awaitable[str]]] = {
    AUTH: run_auth,
    MODEL: run_model,
    STATUS: run_status,
    CLEAR: run_clear,
    HELP: run_help,
}
