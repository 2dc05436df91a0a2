"""Which coroutine does a command, and what all of them share: the command under way, and how it is printed.

Each file of commands is imported for its own alone.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.actions.switch import USER_TARGET
from qwen_ls.core.errors import Problem
from qwen_ls.core.origin import parse_base_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.actions.tokens import Accounts
    from qwen_ls.terminal.arguments import Options
    from qwen_ls.terminal.output import Output
    from qwen_ls.terminal.person import Person

    Verb = Callable[["Run"], Awaitable[int]]

DONE, FAILED = 0, 1
VERBS = {  # command -> file of this folder, coroutine
    "chat": ("chat", "send"),
    "login": ("signing", "sign_in"),
    "logout": ("signing", "sign_out"),
    "switch": ("signing", "choose"),
    "status": ("reports", "show_status"),
    "explain": ("reports", "explain"),
    "models": ("reports", "list_models"),
    "doctor": ("reports", "examine"),
    "keys set": ("keys", "keys_set"),
    "keys list": ("keys", "keys_list"),
    "keys remove": ("keys", "keys_remove"),
    "trust list": ("keys", "trust_list"),
    "trust allow": ("keys", "trust_allow"),
    "trust forget": ("keys", "trust_forget"),
}


def verb(command: str) -> Verb:
    """The coroutine of a command, with what it needs."""
    file, name = VERBS[command]
    found: Verb = getattr(import_module(f"qwen_ls.terminal.{file}"), name)
    return found


@attrs.frozen
class Run:
    """One command under way."""

    options: Options
    ports: Ports
    place: Place
    accounts: Accounts
    output: Output
    person: Person

    @property
    def uri(self) -> str | None:
        """The workspace folder as LSP names it."""
        return None if self.place.folder is None else Path(self.place.folder).as_uri()

    @property
    def target(self) -> str:
        """Where a choice is kept: for the user, unless a folder was named."""
        return self.options.target or ("workspaceFolder" if self.options.folder is not None else USER_TARGET)

    def show(self, payload: attrs.AttrsInstance, text: Callable[[], str]) -> int:
        """Print a result in the form that was asked for."""
        if self.options.as_json:
            from qwen_ls.wire import to_wire  # noqa: PLC0415 - with the whole contract behind it

            self.output.json(to_wire(payload))
        else:
            self.output.line(text())
        return DONE

    def fail(self, problem: Problem, beside: dict[str, Any] | None = None) -> int:
        """Print a failure: one line, and with --json its payload, `beside` what there is all the same."""
        self.output.end_line()
        if self.options.as_json:
            from qwen_ls.wire import error, to_wire  # noqa: PLC0415 - with the whole contract behind it

            self.output.json({**(beside or {}), "error": to_wire(error(problem))})
        self.output.note(problem.message)
        return FAILED


def name_host(run: Run, standing: Standing) -> None:
    """Say where a project file sends the request, if it is about to; a refusal says so by itself."""
    credential = standing.resolution.credential
    base = credential.claim.base_url if credential else None
    if credential is None or base is None or base.tier.is_user:
        return
    if credential.claim.tier != base.tier and not run.place.may_mix:
        return
    try:
        checked = parse_base_url(base.text, str(base.source), run.ports.settings.insecure_origins)
    except Problem:
        return  # the request will not be sent
    run.output.note(f"{base.tier.file} names {checked.origin} as base URL")
