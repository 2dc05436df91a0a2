"""One coroutine per command: what to ask of the actions, and how to print the answer."""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls import __version__, payloads
from qwen_ls.actions.browser_login import OPENROUTER
from qwen_ls.actions.chat import Chats, Turn
from qwen_ls.actions.doctor import doctor
from qwen_ls.actions.login import Logins
from qwen_ls.actions.logout import logout
from qwen_ls.actions.models import models
from qwen_ls.actions.resolve import Standing, stand
from qwen_ls.actions.switch import USER_TARGET, switch
from qwen_ls.core.chat import StopReason
from qwen_ls.core.credentials import API_KEY, QWEN_OAUTH
from qwen_ls.core.errors import Kind, Problem, one_line
from qwen_ls.core.origin import parse_base_url
from qwen_ls.terminal.keys import KEY_VERBS, login_by_key
from qwen_ls.terminal.output import Output, Quiet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.actions.tokens import Accounts
    from qwen_ls.core.credentials import Credential
    from qwen_ls.terminal.arguments import Options
    from qwen_ls.terminal.person import Person

DONE, FAILED = 0, 1
STOPPED = {
    StopReason.MAX_TOKENS: "the answer ends here because it reached the limit of tokens (max_tokens)",
    StopReason.REFUSAL: "the provider withheld the rest of the answer (refusal)",
}


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
            self.output.json(payloads.to_wire(payload))
        else:
            self.output.line(text())
        return DONE

    def fail(self, problem: Problem, beside: dict[str, Any] | None = None) -> int:
        """Print a failure: one line, and with --json its payload, `beside` what there is all the same."""
        self.output.end_line()
        if self.options.as_json:
            self.output.json({**(beside or {}), "error": payloads.to_wire(payloads.error(problem))})
        self.output.note(problem.message)
        return FAILED


# --- chat ----------------------------------------------------------------------------------------


async def send(run: Run) -> int:
    """Ask once. What came before a failure or an interruption is kept: it stands on standard output."""
    name_host(run, await stand(run.ports, run.place))
    chats = Chats(run.ports, run.accounts)
    turn = chats.begin(run.place, run.options.prompt, None, None)
    turn.asked_model = run.options.model
    if not run.options.is_typed:
        turn.raw_from = len(turn.messages)  # what is piped in mentions nothing: it may be a stranger's
    try:
        await chats.run(turn, run.person, Quiet(run.output) if run.options.as_json else run.output)
    except Problem as problem:
        return run.fail(problem, whole(turn) if turn.text else None)
    except asyncio.CancelledError:
        turn.stop_reason = StopReason.CANCELLED
        end(run, turn)
        raise
    end(run, turn)
    return DONE


def end(run: Run, turn: Turn) -> None:
    """The answer's last line, or all of it as JSON; then what is worth knowing about it."""
    run.output.end_line()
    if run.options.as_json:
        run.output.json(whole(turn))
    if turn.stand_in is not None:
        run.output.note(turn.stand_in)
    if turn.stop_reason in STOPPED:
        run.output.note(STOPPED[turn.stop_reason])


def whole(turn: Turn) -> dict[str, Any]:
    """A turn as ChatResult on the wire, with its text, ended or not."""
    wire: dict[str, Any] = payloads.to_wire(payloads.chat_result(turn, with_text=False))
    for name, pieces in (("text", turn.text), ("reasoning", turn.reasoning)):
        if pieces or name == "text":
            wire[name] = "".join(pieces)
    return wire


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


# --- signing in and out --------------------------------------------------------------------------


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
        login.cancel()
        await asyncio.wait({login.task})
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
    """Forget a credential."""
    _, message = await logout(run.ports, run.accounts, run.place, run.options.method, run.target)
    run.output.line(message)
    return DONE


async def choose(run: Run) -> int:
    """Choose the method in force."""
    run.output.line(await switch(run.ports, run.place, run.options.method or "", run.target))
    return DONE


# --- reports -------------------------------------------------------------------------------------


async def show_status(run: Run) -> int:
    """Who signs requests here; a failure if nothing does, as scripts want to know."""
    standing = await stand(run.ports, run.place)
    shown = payloads.status(standing, uri=run.uri)
    run.show(shown, lambda: describe(standing, shown.message))
    return DONE if shown.signed_in else FAILED


def describe(standing: Standing, message: str) -> str:
    """A status as text: the line that says it all, then each value with where it came from."""
    resolution = standing.resolution
    lines = [message]
    if resolution.method is not None:
        lines.append(f"  method    {resolution.method} ({resolution.chosen_by.value})")
    if resolution.credential is not None:
        lines += values(resolution.credential)
    problems = (*standing.facts.environment.chain.problems, *standing.resolution.notes)
    lines += [f"  {p.file}:{p.line}: {p.text}" for p in problems]
    return "\n".join(one_line(line, len(line)) if i == 0 else line for i, line in enumerate(lines))


def values(credential: Credential) -> list[str]:
    """Each value of a credential with its source."""
    claim, model = credential.claim, credential.model
    return [
        f"  base URL  {credential.base_url or 'a refused one'} ({claim.base_url.source})",
        f"  model     {model.text} ({model.source})" if model else "  model     the first that is listed",
        f"  key       {credential.fingerprint} ({claim.source})" if claim.secret else "  key       none",
    ]


async def explain(run: Run) -> int:
    """The whole ladder."""
    explanation = payloads.explanation(await stand(run.ports, run.place), run.uri)
    return run.show(explanation, lambda: explanation.markdown.rstrip("\n"))


async def list_models(run: Run) -> int:
    """The provider's models, one on a line, the active one starred."""
    name_host(run, await stand(run.ports, run.place))
    found = payloads.models(await models(run.ports, run.accounts, run.place, run.person))
    return run.show(
        found, lambda: "\n".join(f"{'*' if m.active else ' '} {one_line(m.id)}" for m in found.models)
    )


async def examine(run: Run) -> int:
    """A report to paste into a question."""
    door = {
        "qwen-ls": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "door": "terminal, headless" if run.place.headless else "terminal",
    }
    report = payloads.doctor(await doctor(run.ports, run.place, door))
    return run.show(report, lambda: report.markdown.rstrip("\n"))


VERBS: dict[str, Callable[[Run], Awaitable[int]]] = {
    "chat": send,
    "login": sign_in,
    "logout": sign_out,
    "switch": choose,
    "status": show_status,
    "explain": explain,
    "models": list_models,
    "doctor": examine,
    **KEY_VERBS,
}
