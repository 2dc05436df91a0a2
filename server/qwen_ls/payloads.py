"""Core records -> contract payloads, for both doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwen_ls import contract
from qwen_ls.core.credentials import Outcome
from qwen_ls.core.errors import Problem
from qwen_ls.core.origin import parse_base_url
from qwen_ls.core.provenance import SourceKind
from qwen_ls.wire import error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qwen_ls.actions.chat import Turn
    from qwen_ls.actions.models import Listing
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.core.limits import Quota
    from qwen_ls.core.origin import Claim, ConsentKey, Decision, Policy
    from qwen_ls.core.provenance import Source
    from qwen_ls.core.stored import StoredKey

MARKS = {Outcome.ACTIVE: "**active**", Outcome.OUTRANKED: "outranked", Outcome.UNUSABLE: "unusable"}


def source(found: Source) -> contract.Source:
    """Provenance."""
    return contract.Source(found.kind.value, found.variable, found.file, found.line)


def quota(found: Quota | None) -> contract.Quota | None:
    """What is used up."""
    if found is None:
        return None
    return contract.Quota(
        found.requests_this_minute,
        found.minute_limit,
        found.requests_today,
        found.day_limit,
        dict(found.headers),
    )


def status(
    standing: Standing,
    *,
    busy: bool = False,
    uri: str | None = None,
    used: Quota | None = None,
    asked_model: str | None = None,
) -> contract.Status:
    """Where a place stands; `asked_model` is named by a request itself, in place of the place's own."""
    resolution, chain = standing.resolution, standing.facts.environment.chain
    problems = [contract.FileProblem(p.file, p.line, p.text) for p in (*chain.problems, *resolution.notes)]
    common: dict[str, Any] = {
        "busy": busy,
        "uri": uri,
        "command": "qwen.auth.switch",
        "method": resolution.method,
        "chosen_by": resolution.chosen_by.value,
        "problems": problems,
    }
    if resolution.credential is None:
        problem = resolution.problem
        return contract.Status(
            **common,
            kind="Inactive" if resolution.method is None else "Error",
            message=problem.message if problem else "Signed out",
            error=error(problem) if problem else None,
        )
    credential = resolution.credential
    claim, model = credential.claim, credential.model
    refused = refusal_of(claim, standing.policy)
    if refused is not None:
        return contract.Status(**common, kind="Error", message=refused.message, error=error(refused))
    name = asked_model or (model.text if model else None)
    shown = name or "the first model listed"
    return contract.Status(
        **common,
        kind="Warning" if problems else "Normal",
        message=f"{credential.provider.label}: {shown} ({credential.method}, {claim.source})",
        signed_in=True,
        provider=credential.provider.label,
        base_url=credential.base_url,
        base_url_source=source(claim.base_url.source),
        model=name,
        model_source=source(model.source) if model and not asked_model else None,
        source=source(claim.source),
        fingerprint=credential.fingerprint,
        expires_at=credential.expires_at,
        quota=quota(used),
    )


def refusal_of(claim: Claim, policy: Policy) -> Problem | None:
    """Why nothing can be sent to a base URL at all, whoever is asked."""
    try:
        parse_base_url(claim.base_url.text, str(claim.base_url.source), policy.insecure_origins)
    except Problem as problem:
        return problem
    return None


def explanation(standing: Standing, uri: str | None = None) -> contract.Explanation:
    """The whole ladder."""
    chain = standing.facts.environment.chain
    rungs = [
        contract.Rung(
            r.method,
            r.place,
            r.outcome.value,
            r.why,
            source(r.source) if r.source else None,
            r.fingerprint,
            r.base_url,
        )
        for r in standing.resolution.rungs
    ]
    models = [
        contract.ModelRung(m.place, m.outcome.value, m.why, m.model, source(m.source) if m.source else None)
        for m in standing.resolution.models
    ]
    shown = status(standing, uri=uri)
    candidates = [str(c.path) for c in chain.candidates]
    markdown = explain_in_words(shown, standing, candidates)
    return contract.Explanation(shown, rungs, candidates, chain.file, markdown, models)


def explain_in_words(shown: contract.Status, standing: Standing, candidates: list[str]) -> str:
    """The ladder as Markdown: the outcome first, then each place that held something, then the rest."""
    resolution, chain = standing.resolution, standing.facts.environment.chain
    lines = ["# Authentication", "", shown.message, ""]
    lines += ["| place | outcome | key | why |", "|---|---|---|---|"]
    for rung in resolution.rungs:
        if rung.outcome is not Outcome.ABSENT:
            key = rung.fingerprint or "—"
            lines.append(f"| {cell(rung.place)} | {MARKS[rung.outcome]} | {cell(key)} | {cell(rung.why)} |")
    absent = [cell(rung.place) for rung in resolution.rungs if rung.outcome is Outcome.ABSENT]
    lines += ["", "Nothing was found as:", "", *(f"- {place}" for place in absent)] if absent else []
    if resolution.models:
        lines += ["", "## Model", "", "| place | outcome | model | why |", "|---|---|---|---|"]
        lines += [
            f"| {cell(m.place)} | {MARKS[m.outcome]} | {cell(m.model or '—')} | {cell(m.why)} |"
            for m in resolution.models
        ]
    lines += ["", "## .env", ""]
    lines += [
        f"- {path}{' ← the one file that is read' if path == chain.file else ''}" for path in candidates
    ]
    lines += [f"- {p.file}:{p.line}: {p.text}" for p in chain.problems]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Text inside a table row."""
    return text.replace("|", "\\|")


def stored_key(entry: StoredKey, *, active: bool) -> contract.StoredKey:
    """A stored key, as far as it may be shown."""
    return contract.StoredKey(
        entry.target,
        entry.provider,
        entry.base_url,
        entry.fingerprint,
        entry.kept_in,
        entry.stored_at,
        entry.folder,
        entry.model,
        active,
    )


def stored_keys(entries: Iterable[StoredKey], standing: Standing) -> contract.KeysResult:
    """The stored keys, the one in force marked."""
    credential, facts = standing.resolution.credential, standing.facts
    used = credential.claim.source if credential is not None else None
    found = [key.entry for key in (facts.folder_key, facts.user_key) if key is not None]
    is_keyring = used is not None and used.kind is SourceKind.KEYRING
    active = {e.name for e in found if used is not None and is_keyring and str(e) == used.file}
    return contract.KeysResult([stored_key(e, active=e.name in active) for e in entries])


def consents(answers: Iterable[tuple[ConsentKey, Decision]], message: str) -> contract.TrustResult:
    """Remembered answers."""
    found = [
        contract.Consent(key.folder, key.file, key.base_url, decision.value) for key, decision in answers
    ]
    return contract.TrustResult(found, message)


def models(listing: Listing) -> contract.ModelsResult:
    """A provider's models."""
    found = [contract.Model(m, m == listing.active) for m in listing.models]
    return contract.ModelsResult(listing.provider, listing.base_url, found)


def usage(turn: Turn) -> contract.Usage | None:
    """What a turn took."""
    if turn.usage is None:
        return None
    counted = turn.usage
    return contract.Usage(counted.prompt_tokens, counted.completion_tokens, counted.total_tokens)


def chat_result(turn: Turn, *, with_text: bool) -> contract.ChatResult:
    """A turn as it stands; `with_text` where it is over and the text was not streamed."""
    return contract.ChatResult(
        turn.conversation_id,
        turn.id,
        turn.stop_reason.value if turn.stop_reason else None,
        "".join(turn.text) if with_text else None,
        "".join(turn.reasoning) if with_text and turn.reasoning else None,
        usage(turn),
        turn.model,
        turn.requested_model,
    )


def chat_end(turn: Turn, seq: int, problem: Problem | None) -> contract.ChatEnd:
    """The end of a turn's stream."""
    return contract.ChatEnd(
        "end",
        turn.id,
        seq,
        turn.stop_reason.value if turn.stop_reason else None,
        usage(turn),
        turn.model,
        turn.requested_model,
        error(problem) if problem else None,
    )


def doctor(facts: dict[str, Any]) -> contract.DoctorReport:
    """The report as Markdown and as data."""
    lines = ["# qwen-ls doctor", ""]
    for name, value in facts.items():
        if isinstance(value, list):
            lines.append(f"- {name}: {len(value) or 'none'}")
            lines += [f"  - {v}" for v in value]
        elif isinstance(value, dict):
            lines.append(f"- {name}: {'' if value else 'none'}")
            lines += [f"  - {k}: {v}" for k, v in value.items()]
        else:
            lines.append(f"- {name}: {'none' if value is None else value}")
    return contract.DoctorReport("\n".join(lines) + "\n", facts)
