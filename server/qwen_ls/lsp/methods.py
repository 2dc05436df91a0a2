"""The methods in an editor: what they are called, and the question which one it shall be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_ls.actions.browser_login import OPENROUTER
from qwen_ls.actions.resolve import stand
from qwen_ls.core.credentials import API_KEY, METHODS, QWEN_OAUTH
from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_ls.actions.ports import Place
    from qwen_ls.lsp.session import Session

LABELS = {QWEN_OAUTH: "Qwen account", API_KEY: "API key", OPENROUTER: "OpenRouter"}


async def pick(session: Session, question: str, place: Place, methods: Sequence[str]) -> str:
    """Let the user choose a method. Raises Problem when nothing is chosen."""
    world = await session.world()
    now = (await stand(world.ports, place)).resolution.method
    titles = {f"{LABELS.get(m, m)}{' (now)' if m == now else ''}": m for m in methods}
    chosen = await session.editor.choose(question, [*titles, "Cancel"])
    if chosen is None or chosen == "Cancel":
        raise nothing_chosen()
    return titles[chosen]


def nothing_chosen() -> Problem:
    """The question was dismissed, or this client does not show such questions."""
    remedy = f"Name the method: one of {', '.join(METHODS)}"
    return Problem(Kind.LOGIN_CANCELLED, "No method was chosen", remedy=remedy)
