"""`qwen-ls login`, `logout` and `switch`: signing in and out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qwen_ls.actions.browser_login import OPENROUTER
from qwen_ls.actions.login import Logins
from qwen_ls.actions.logout import logout
from qwen_ls.actions.switch import switch
from qwen_ls.core.credentials import API_KEY, QWEN_OAUTH
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.terminal.keys import login_by_key
from qwen_ls.terminal.verbs import DONE

if TYPE_CHECKING:
    from qwen_ls.terminal.verbs import Run


async def sign_in(run: Run) -> int:
    """Show a code and wait. An interruption ends the sign-in, and nothing is written."""
    method = run.options.method or QWEN_OAUTH
    if method == API_KEY:
        return await login_by_key(run)
    if run.place.headless and method in {*run.ports.sign_ins, OPENROUTER}:
        raise nobody_there()
    logins = Logins(run.ports, run.accounts)
    login = logins.start(method, run.place, run.target, run.person)
    try:
        signed_in = await login.result()
    except asyncio.CancelledError:
        login.leave()
        await asyncio.wait({login.flight.task})
        raise
    run.output.line(signed_in.message)
    return DONE


def nobody_there() -> Problem:
    """A sign-in needs a person."""
    return Problem(
        Kind.NOT_SUPPORTED,
        "This sign-in needs a person at a terminal, and standard input is none, or CI is set",
        remedy="Run `qwen-ls login` in a terminal, "
        "or set OPENAI_API_KEY (with OPENAI_BASE_URL and OPENAI_MODEL)",
    )


async def sign_out(run: Run) -> int:
    """Forget a credential: without a method the one in force, wherever it is kept."""
    method = run.options.method
    target = run.options.target if method is None else run.target
    _, message = await logout(run.ports, run.accounts, run.place, method, target)
    run.output.line(message)
    return DONE


async def choose(run: Run) -> int:
    """Choose the method in force."""
    run.output.line(await switch(run.ports, run.place, run.options.method or "", run.target))
    return DONE
