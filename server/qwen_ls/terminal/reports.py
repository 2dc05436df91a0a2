"""`qwen-ls status`, `explain`, `models` and `doctor`: what there is."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from qwen_ls import __version__, payloads
from qwen_ls.actions.doctor import doctor
from qwen_ls.actions.models import models
from qwen_ls.actions.resolve import stand
from qwen_ls.core.errors import one_line
from qwen_ls.terminal.verbs import DONE, FAILED, name_host

if TYPE_CHECKING:
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.core.credentials import Credential
    from qwen_ls.terminal.verbs import Run


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
