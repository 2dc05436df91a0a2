"""Which credential signs a request: the ladder of behaviour.md, section 3, as one pure function.

`resolve` walks the rungs in order, takes the first that has a credential, and keeps for every other
one the reason why it did not win; `explain` prints exactly what was decided here.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.errors import Action, Kind, Problem
from qwen_ls.core.oauth.token import CachedToken, Token, chat_base_url
from qwen_ls.core.origin import Claim, ConsentKey, Decision, consent_key, parse_base_url, read_base_url
from qwen_ls.core.provenance import USER, Source, SourceKind, Value
from qwen_ls.core.providers import (
    CATALOGUE,
    OPENAI,
    QWEN_PORTAL,
    Provider,
    provider_of_key,
    provider_of_url,
)
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.core.envchain import Environment

QWEN_OAUTH = "qwen-oauth"
API_KEY = "api-key"
METHODS = (QWEN_OAUTH, API_KEY)


class Outcome(str, Enum):
    """What became of a rung."""

    ACTIVE = "active"
    OUTRANKED = "outranked"
    ABSENT = "absent"
    UNUSABLE = "unusable"


@attrs.frozen
class Rung:
    """One place of the ladder: what was looked at, what it held, and why it won or did not."""

    method: str
    place: str
    outcome: Outcome
    why: str
    source: Source | None = None
    fingerprint: str | None = None
    base_url: str | None = None


@attrs.frozen
class Credential:
    """What signs a request, and where the request goes.

    `claim` holds the secret with its tier and is what `authorize` decides on. `model` is None when
    the provider has no default. `expires_at` is epoch seconds UTC, for OAuth only.
    """

    method: str
    provider: Provider
    claim: Claim
    model: Value | None
    expires_at: float | None = None

    @property
    def base_url(self) -> str:
        """Where requests go, without trailing slashes; empty for a URL that `authorize` refuses to read.

        So a password in a URL is never shown.
        """
        try:
            read_base_url(self.claim.base_url.text, "")
        except Problem:
            return ""
        return self.claim.base_url.text.rstrip("/")

    @property
    def fingerprint(self) -> str | None:
        """What people may see of the secret."""
        return self.claim.secret.fingerprint if self.claim.secret else None


class ChosenBy(str, Enum):
    """Why this method: who chose it."""

    FOLDER = "folder"
    USER = "user"
    INFERRED = "inferred"
    HEADLESS = "headless"


@attrs.frozen
class Facts:
    """Everything the ladder looks at for one workspace folder.

    `environment` is the process merged with the folder's `.env` file, `user_environment` the same
    without any project file. `cached` is Qwen OAuth's cache, `issuer` its server's base URL.
    """

    folder: str | None
    environment: Environment
    user_environment: Environment
    cached: CachedToken
    issuer: str
    folder_choice: str | None = None
    user_choice: str | None = None
    headless: bool = False
    decisions: Mapping[ConsentKey, Decision] = attrs.field(factory=dict)


@attrs.frozen
class Resolution:
    """The outcome: the credential or the problem, and the whole ladder."""

    credential: Credential | None
    method: str | None
    chosen_by: ChosenBy
    rungs: tuple[Rung, ...]
    problem: Problem | None = None

    def require(self) -> Credential:
        """The credential; raises the problem if there is none."""
        if self.credential is None:
            assert self.problem is not None  # noqa: S101 - resolve() sets one of the two
            raise self.problem
        return self.credential


def resolve(facts: Facts) -> Resolution:
    """Decide which credential signs this folder's requests."""
    key, key_rungs = key_of_environment(facts)
    oauth, oauth_rung = credential_of_cache(facts)
    method, chosen_by = choose(facts, key, oauth)
    active = {API_KEY: key, QWEN_OAUTH: oauth}.get(method) if method else None
    rungs = tuple(
        settle(rung, method, chosen_by, won=active is not None) for rung in (*key_rungs, oauth_rung)
    )
    problem = None if active else signed_out(facts, method, chosen_by, oauth_rung)
    return Resolution(active, method, chosen_by, rungs, problem)


def choose(facts: Facts, key: Credential | None, oauth: Credential | None) -> tuple[str | None, ChosenBy]:
    """The method and who chose it: headless key, folder, user, inferred."""
    if facts.headless and key is not None:
        return API_KEY, ChosenBy.HEADLESS
    if facts.folder_choice is not None:
        return facts.folder_choice, ChosenBy.FOLDER
    if facts.user_choice is not None:
        return facts.user_choice, ChosenBy.USER
    if key is not None:
        return API_KEY, ChosenBy.INFERRED
    return (QWEN_OAUTH if oauth is not None else None), ChosenBy.INFERRED


def settle(rung: Rung, method: str | None, chosen_by: ChosenBy, *, won: bool) -> Rung:
    """A rung of another method than the chosen one has lost, and says to whom."""
    if rung.outcome is not Outcome.ACTIVE or rung.method == method:
        return rung
    why = f"{method} is the method in force ({chosen_by.value})"
    return attrs.evolve(
        rung, outcome=Outcome.OUTRANKED, why=why if won else why + ", though it has no credential"
    )


# --- the API key ---------------------------------------------------------------------------------


def key_of_environment(facts: Facts) -> tuple[Credential | None, list[Rung]]:
    """The first key of the environment, OPENAI_API_KEY before the providers' own variables."""
    winner: Credential | None = None
    rungs: list[Rung] = []
    for provider in CATALOGUE:
        if provider.key_variable is None:
            continue
        found = openai_key(facts) if provider is OPENAI else provider_key(facts, provider)
        rungs += rungs_of(facts, provider.key_variable, found, winner)
        winner = winner or found
    return winner, rungs


def rungs_of(facts: Facts, variable: str, found: Credential | None, winner: Credential | None) -> list[Rung]:
    """The process variable's rung and the file's, with the outcome of each."""
    rungs = []
    for place, value in (
        ("environment", facts.environment.from_process(variable)),
        (facts.environment.chain.file or ".env", facts.environment.from_file(variable)),
    ):
        rung = Rung(API_KEY, f"{variable} in {place}", Outcome.ABSENT, "not set, or empty")
        if value is not None:
            rung = attrs.evolve(rung, source=value.source, fingerprint=Secret(value.text).fingerprint)
            if winner is not None:
                rung = attrs.evolve(rung, outcome=Outcome.OUTRANKED, why=f"{winner.claim.source} comes first")
            elif found is not None and found.claim.source == value.source:
                why = f"the first key found; base URL from {found.claim.base_url.source}"
                rung = attrs.evolve(rung, outcome=Outcome.ACTIVE, why=why, base_url=found.base_url)
            else:
                why = (
                    "the process environment beats the file"
                    if place != "environment"
                    else "the file's pair was chosen"
                )
                rung = attrs.evolve(rung, outcome=Outcome.OUTRANKED, why=why)
        rungs.append(rung)
    if found is not None and found.claim.secret is None and winner is None:
        why = "a local server needs no key"
        source = found.claim.base_url.source
        rungs.append(Rung(API_KEY, str(source), Outcome.ACTIVE, why, source, base_url=found.base_url))
    return rungs


def openai_key(facts: Facts) -> Credential | None:
    """OPENAI_API_KEY with OPENAI_BASE_URL and OPENAI_MODEL; a loopback URL needs no key."""
    env = facts.environment
    key, url = env.get("OPENAI_API_KEY"), env.get("OPENAI_BASE_URL")
    model = env.get("OPENAI_MODEL") or env.get("QWEN_MODEL")
    if key is None:
        if url is None or not is_loopback(url):
            return None
        claim = Claim(None, url.source, url.tier, url.text, url)
        return Credential(API_KEY, provider_of_url(url.text), claim, model)
    pair = file_pair(env)
    credential = openai_credential(facts, key, url, model, has_pair=pair is not None)
    if pair is not None and pair != (key, url) and prefers_file(facts, credential):
        return openai_credential(facts, *pair, model, has_pair=True)
    return credential


def openai_credential(
    facts: Facts, key: Value, url: Value | None, model: Value | None, *, has_pair: bool
) -> Credential:
    """A key with the URL it goes to, and the URL that its own tier names."""
    provider = provider_of_url(url.text) if url is not None else provider_of_key(key.text)
    env = facts.user_environment if key.tier.is_user else facts.environment
    named = env.get("OPENAI_BASE_URL") if key.tier.is_user else env.from_file("OPENAI_BASE_URL")
    base = url or default_url(provider)
    own = named.text if named is not None else provider_of_key(key.text).base_url
    claim = Claim(Secret(key.text), key.source, key.tier, own, base, file_has_pair=has_pair)
    return Credential(API_KEY, provider, claim, model or default_model(provider))


def file_pair(env: Environment) -> tuple[Value, Value] | None:
    """A project file's own key and base URL, if it has both."""
    key, url = env.from_file("OPENAI_API_KEY"), env.from_file("OPENAI_BASE_URL")
    return (key, url) if key is not None and url is not None and not key.tier.is_user else None


def prefers_file(facts: Facts, mixed: Credential) -> bool:
    """Whether the user answered "use the file's key and URL" to this mixture."""
    try:
        base = read_base_url(mixed.claim.base_url.text, "")
    except Problem:
        return False
    return facts.decisions.get(consent_key(mixed.claim, facts.folder or "", base)) is Decision.FILE


def provider_key(facts: Facts, provider: Provider) -> Credential | None:
    """A provider's own variable, which goes to that provider and nowhere else."""
    key = facts.environment.get(provider.key_variable or "")
    if key is None:
        return None
    base = default_url(provider)
    claim = Claim(Secret(key.text), key.source, key.tier, base.text, base)
    return Credential(API_KEY, provider, claim, default_model(provider))


def default_url(provider: Provider) -> Value:
    """The provider's own base URL: the catalogue's word, hence the user's tier."""
    return Value(provider.base_url, Source(SourceKind.DEFAULT, file=provider.label), USER)


def default_model(provider: Provider) -> Value | None:
    """The provider's default model; None means the first of its `/models`."""
    if provider.default_model is None:
        return None
    return Value(provider.default_model, Source(SourceKind.DEFAULT, file=provider.label), USER)


def is_loopback(url: Value) -> bool:
    """Whether a base URL is this machine; a refused one is not."""
    try:
        return parse_base_url(url.text, str(url.source)).origin.is_loopback
    except Problem:
        return False


# --- Qwen OAuth ----------------------------------------------------------------------------------


def credential_of_cache(facts: Facts) -> tuple[Credential | None, Rung]:
    """Qwen OAuth's cached token, if it is usable; an expired one is, since it can be refreshed."""
    cached = facts.cached
    source = Source(SourceKind.QWEN_OAUTH, file=cached.path)
    rung = Rung(QWEN_OAUTH, cached.path, Outcome.ABSENT, "no sign-in is cached there", source)
    if cached.problem:
        return None, attrs.evolve(rung, outcome=Outcome.UNUSABLE, why=cached.problem)
    if cached.token is None:
        return None, rung
    try:
        credential = oauth_credential(cached.token, source, facts.issuer)
    except Problem as problem:
        return None, attrs.evolve(rung, outcome=Outcome.UNUSABLE, why=problem.message)
    rung = attrs.evolve(
        rung,
        outcome=Outcome.ACTIVE,
        why="a sign-in is cached; it is refreshed when it runs out",
        fingerprint=credential.fingerprint,
        base_url=credential.base_url,
    )
    return credential, rung


def oauth_credential(token: Token, source: Source, issuer: str) -> Credential:
    """The credential of a token. Raises Problem(untrusted-origin) for a foreign `resource_url`."""
    base = Value(chat_base_url(token, issuer), source, USER)
    claim = Claim(token.access_token, source, USER, base.text, base)
    model = Value(QWEN_PORTAL.default_model or "", Source(SourceKind.DEFAULT, file=QWEN_PORTAL.label), USER)
    return Credential(QWEN_OAUTH, QWEN_PORTAL, claim, model, token.expires_at)


# --- signed out ----------------------------------------------------------------------------------

SIGN_IN = Action("Sign in with Qwen", "qwen.auth.login", {"method": QWEN_OAUTH})
SWITCH = Action("Switch authentication", "qwen.auth.switch")


def signed_out(facts: Facts, method: str | None, chosen_by: ChosenBy, oauth_rung: Rung) -> Problem:
    """The problem that names what was looked for and where."""
    chain = facts.environment.chain
    if chain.unreadable is not None and method != QWEN_OAUTH:
        unreadable = chain.unreadable
        return Problem(
            Kind.ENV_UNREADABLE,
            f"The .env file in force cannot be read: {unreadable.text}",
            where=unreadable.file,
            remedy="Make it a readable file, remove it, or switch to another method",
            actions=[SWITCH],
        )
    if method == QWEN_OAUTH:
        what = f"Signed out of qwen-oauth, the method chosen for this {chosen_by.value}: {oauth_rung.why}"
        remedy = "Sign in again (qwen.auth.login, or `qwen-ls login qwen-oauth`), or switch to another method"
        return Problem(
            Kind.SIGNED_OUT, what, where=oauth_rung.place, remedy=remedy, actions=[SIGN_IN, SWITCH]
        )
    if method is not None and method != API_KEY:
        remedy = f"Choose one of {', '.join(METHODS)} with qwen.auth.switch"
        return Problem(
            Kind.SIGNED_OUT, f"The chosen method {method} is not known", remedy=remedy, actions=[SWITCH]
        )
    return nothing_found(facts, method, chosen_by)


def nothing_found(facts: Facts, method: str | None, chosen_by: ChosenBy) -> Problem:
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
    looked = f"looked for {variables} in the environment and in {files}"
    remedy = "Sign in with Qwen, or set OPENAI_API_KEY (with OPENAI_BASE_URL and OPENAI_MODEL) in one of them"
    return Problem(Kind.SIGNED_OUT, what, where=looked, remedy=remedy, actions=[SIGN_IN, SWITCH])
