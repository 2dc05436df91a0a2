"""The ladder: which credential signs a request, decided by one pure function.

`resolve` walks the rungs in order, takes the first that has a credential, and keeps for every other
one the reason why it did not win; `explain` prints exactly what was decided here.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.credentials import (
    API_KEY,
    METHODS,
    QWEN_OAUTH,
    SIGN_IN,
    SWITCH,
    Credential,
    Outcome,
    Rung,
    credential_of_cache,
    credential_of_qwen_settings,
    credential_of_stored,
    is_sign_in,
    is_stored,
    key_of_environment,
    sign_in_again,
)
from qwen_ls.core.envchain import FileProblem
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.models import model_rungs, with_choice
from qwen_ls.core.provenance import SourceKind
from qwen_ls.core.providers import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_ls.core.credentials import Facts
    from qwen_ls.core.models import ModelRung


class ChosenBy(str, Enum):
    """Why this method: who chose it."""

    FOLDER = "folder"
    USER = "user"
    INFERRED = "inferred"
    HEADLESS = "headless"


@attrs.frozen
class Resolution:
    """The outcome: the credential or the problem, the whole ladder, and what its owner should know.

    `models` are the places that may name the model, for the credential there is.
    """

    credential: Credential | None
    method: str | None
    chosen_by: ChosenBy
    rungs: tuple[Rung, ...]
    problem: Problem | None = None
    notes: tuple[FileProblem, ...] = ()
    models: tuple[ModelRung, ...] = ()

    def require(self) -> Credential:
        """The credential; raises the problem if there is none."""
        if self.credential is None:
            assert self.problem is not None  # noqa: S101 - resolve() sets one of the two
            raise self.problem.with_traceback(None)  # else each raise adds to what it holds on to
        return self.credential


def resolve(facts: Facts) -> Resolution:
    """Decide which credential signs this folder's requests."""
    environment, environment_rungs = key_of_environment(facts)
    folder, folder_rung = credential_of_stored(facts.folder_key, "key stored for this workspace folder")
    user, user_rung = credential_of_stored(facts.user_key, "key stored for the user")
    settings, settings_rung = credential_of_qwen_settings(facts)
    oauth, oauth_rung = credential_of_cache(QWEN_OAUTH, facts.issuer, facts.cached)
    others = {name: credential_of_cache(name, *found) for name, found in facts.others.items()}
    # Without anybody to ask, what the run was given explicitly comes first.
    order = (environment, folder, user, settings) if facts.headless else (folder, environment, user, settings)
    key = next((credential for credential in order if credential is not None), None)
    method, chosen_by = choose(facts, key, environment, oauth)
    signed_in = {name: credential for name, (credential, _) in others.items()}
    active = {API_KEY: key, QWEN_OAUTH: oauth, **signed_in}.get(method) if method else None
    other_rungs = (rung for _, rung in others.values())
    rungs = (folder_rung, *environment_rungs, user_rung, settings_rung, oauth_rung, *other_rungs)
    settled = tuple(settle(rung, method, chosen_by, active) for rung in rungs)
    problem = None if active else signed_out(facts, method, chosen_by, rungs)
    resolution = Resolution(active, method, chosen_by, settled, problem, notes_on(facts, active))
    if active is None:
        return resolution
    return attrs.evolve(resolution, credential=with_choice(facts, active), models=model_rungs(facts, active))


def choose(
    facts: Facts, key: Credential | None, environment: Credential | None, oauth: Credential | None
) -> tuple[str | None, ChosenBy]:
    """The method and who chose it: headless key, folder, user, inferred."""
    if facts.headless and environment is not None:
        return API_KEY, ChosenBy.HEADLESS
    if facts.folder_choice is not None:
        return facts.folder_choice, ChosenBy.FOLDER
    if facts.user_choice is not None:
        return facts.user_choice, ChosenBy.USER
    if key is not None:
        return API_KEY, ChosenBy.INFERRED
    return (QWEN_OAUTH if oauth is not None else None), ChosenBy.INFERRED


def settle(rung: Rung, method: str | None, chosen_by: ChosenBy, active: Credential | None) -> Rung:
    """A rung that had a credential and did not win has lost, and says to whom."""
    if rung.outcome is not Outcome.ACTIVE:
        return rung
    if rung.method != method:
        why = f"{method} is the method in force ({chosen_by.value})"
        why = why if active is not None else why + ", though it has no credential"
        return attrs.evolve(rung, outcome=Outcome.OUTRANKED, why=why)
    if (
        active is not None
        and method == API_KEY
        and rung.source not in {active.claim.source, active.claim.base_url.source}
    ):
        return attrs.evolve(rung, outcome=Outcome.OUTRANKED, why=f"{active.claim.source} comes first")
    return rung


def notes_on(facts: Facts, active: Credential | None) -> tuple[FileProblem, ...]:
    """What is passed over though somebody meant it to be used: a stored key, a base URL beside one."""
    return (*key_passed_over(facts, active), *url_passed_over(facts, active))


def key_passed_over(facts: Facts, active: Credential | None) -> tuple[FileProblem, ...]:
    """The folder's stored key comes before all others; another one signs only where it cannot be read."""
    found = facts.folder_key
    if found is None or found.secret is not None or active is None or active.method != API_KEY:
        return ()
    if facts.headless and active.claim.source.kind in {SourceKind.ENVIRONMENT, SourceKind.DOTENV}:
        return ()
    why = found.kept_away.event if found.kept_away else found.problem
    text = f"it cannot be read: {why}; the {active.claim.source} signs in its place"
    return (FileProblem(str(found.entry), 0, text),)


def url_passed_over(facts: Facts, active: Credential | None) -> tuple[FileProblem, ...]:
    """A project's base URL beside a stored key is not used, and that is said once."""
    url = facts.environment.from_file("OPENAI_BASE_URL")
    if url is None or url.tier.is_user or active is None or not is_stored(active):
        return ()
    text = f"OPENAI_BASE_URL is not used: the {active.claim.source} goes to its own base URL only"
    return (FileProblem(url.source.file or "", url.source.line or 0, text),)


def signed_out(facts: Facts, method: str | None, chosen_by: ChosenBy, rungs: Sequence[Rung]) -> Problem:
    """The problem that names what was looked for and where."""
    chain = facts.environment.chain
    if chain.unreadable is not None and method in {None, API_KEY}:
        unreadable = chain.unreadable
        return Problem(
            Kind.ENV_UNREADABLE,
            f"The .env file in force cannot be read: {unreadable.text}",
            where=unreadable.file,
            remedy="Make it a readable file, remove it, or switch to another method",
            actions=[SWITCH],
        )
    if (kept_away := key_kept_away(facts)) is not None and method in {None, API_KEY}:
        return kept_away
    signed_in = next((r for r in rungs if r.method == method and is_sign_in(r.method)), None)
    if signed_in is not None:
        what = f"Signed out of {method}, the method chosen for this {chosen_by.value}: {signed_in.why}"
        remedy = f"Sign in again (qwen.auth.login, or `qwen-ls login {method}`), or switch to another method"
        actions = [sign_in_again(signed_in.method), SWITCH]
        return Problem(Kind.SIGNED_OUT, what, where=signed_in.place, remedy=remedy, actions=actions)
    if method is not None and method != API_KEY:
        remedy = f"Choose one of {', '.join(METHODS)} with qwen.auth.switch"
        return Problem(
            Kind.SIGNED_OUT, f"The chosen method {method} is not known", remedy=remedy, actions=[SWITCH]
        )
    broken = (r for r in rungs if r.outcome is Outcome.UNUSABLE and method in {None, r.method})
    return nothing_found(facts, method, chosen_by, next(broken, None))


def key_kept_away(facts: Facts) -> Problem | None:
    """The keyring's own problem, for the first stored key that it would not give."""
    for found in (facts.folder_key, facts.user_key):
        if found is not None and (problem := found.kept_away) is not None:
            what = f"The {found.entry} cannot be read: {problem.event}"
            retryable = problem.retryable
            return Problem(problem.kind, what, remedy=problem.remedy, retryable=retryable, actions=[SWITCH])
    return None


def nothing_found(facts: Facts, method: str | None, chosen_by: ChosenBy, unusable: Rung | None) -> Problem:
    """No key anywhere: name every variable and the files looked for."""
    variables = ", ".join(p.key_variable for p in CATALOGUE if p.key_variable)
    chain = facts.environment.chain
    all_files = ", ".join(str(c.path) for c in chain.candidates)
    files = f"{chain.file}, the first file found and so the only one read" if chain.file else all_files
    what = (
        f"Signed out of {API_KEY}, the method chosen for this {chosen_by.value}: no API key"
        if method == API_KEY
        else "Signed out: no API key and no cached sign-in"
    )
    if unusable is not None:
        what += f" ({unusable.place} cannot be used: {unusable.why})"
    looked = f"looked for {variables} in the environment and in {files}"
    remedy = "Sign in with Qwen, or set OPENAI_API_KEY (with OPENAI_BASE_URL and OPENAI_MODEL) in one of them"
    return Problem(Kind.SIGNED_OUT, what, where=looked, remedy=remedy, actions=[SIGN_IN, SWITCH])
