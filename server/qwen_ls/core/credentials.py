"""Credentials, and each place that one may come from: environment and `.env`, keyring, settings, sign-in.

Every source gives its credential, or None, and its rungs as they would stand if it won; `ladder.py`
decides which one does.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.errors import Action, Problem
from qwen_ls.core.oauth.token import CachedToken, Issuer, Token, chat_base_url
from qwen_ls.core.origin import Claim, ConsentKey, Decision, consent_key, parse_base_url, read_base_url
from qwen_ls.core.provenance import USER, Source, SourceKind, Value
from qwen_ls.core.providers import (
    CATALOGUE,
    OPENAI,
    QWEN_PORTAL,
    Provider,
    provider_named,
    provider_of_key,
    provider_of_url,
)
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.core.envchain import Environment
    from qwen_ls.core.qwen_settings import QwenKey
    from qwen_ls.core.stored import StoredKey

QWEN_OAUTH = "qwen-oauth"
API_KEY = "api-key"
METHODS = (QWEN_OAUTH, API_KEY)
OAUTH_PREFIX = "oauth:"  # and the name of a server of the user's own
SIGN_IN = Action("Sign in with Qwen", "qwen.auth.login", {"method": QWEN_OAUTH})
SWITCH = Action("Switch authentication", "qwen.auth.switch")


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


@attrs.frozen
class FoundKey:
    """A stored key as found: its entry, and its secret or what is wrong with it.

    `kept_away` is the problem of a keyring that would not give it.
    """

    entry: StoredKey
    secret: Secret | None = None
    problem: str | None = None
    kept_away: Problem | None = None


@attrs.frozen
class Facts:
    """Everything the ladder looks at for one workspace folder.

    `environment` is the process merged with the folder's `.env` file, `user_environment` the same
    without any project file. `cached` is Qwen OAuth's cache, `issuer` its server; `others` are the user's
    own by method. The keys stored for this folder and for the user come with their secret or with what
    kept it away. The models chosen for them are by base URL.
    """

    folder: str | None
    environment: Environment
    user_environment: Environment
    cached: CachedToken
    issuer: Issuer
    folder_choice: str | None = None
    user_choice: str | None = None
    folder_models: Mapping[str, str] = attrs.field(factory=dict)
    user_models: Mapping[str, str] = attrs.field(factory=dict)
    headless: bool = False
    decisions: Mapping[ConsentKey, Decision] = attrs.field(factory=dict)
    others: Mapping[str, tuple[Issuer, CachedToken]] = attrs.field(factory=dict)
    folder_key: FoundKey | None = None
    user_key: FoundKey | None = None
    qwen_key: QwenKey | str | None = None
    qwen_settings_path: str = "~/.qwen/settings.json"


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
    env = facts.environment
    if key.tier.is_user and not env.chain.tier.is_user:
        env = facts.user_environment  # as if there were no project file
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


def credential_of_cache(method: str, issuer: Issuer, cached: CachedToken) -> tuple[Credential | None, Rung]:
    """A sign-in's cached token, if it is usable; an expired one is, since it can be refreshed."""
    source = Source(SourceKind.QWEN_OAUTH, file=cached.path)
    rung = Rung(method, cached.path, Outcome.ABSENT, "no sign-in is cached there", source)
    if cached.problem:
        return None, attrs.evolve(rung, outcome=Outcome.UNUSABLE, why=cached.problem)
    if cached.token is None:
        return None, rung
    try:
        credential = oauth_credential(method, cached.token, source, issuer)
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


def oauth_credential(method: str, token: Token, source: Source, issuer: Issuer) -> Credential:
    """The credential of a token. Raises Problem(untrusted-origin) for a foreign `resource_url`."""
    base = Value(chat_base_url(token, issuer), source, USER)
    claim = Claim(token.access_token, source, USER, base.text, base)
    provider = QWEN_PORTAL if method == QWEN_OAUTH else provider_of_url(base.text)
    return Credential(method, provider, claim, default_model(provider), token.expires_at)


# --- stored keys, and Qwen Code's settings --------------------------------------------------------


def credential_of_stored(found: FoundKey | None, place: str) -> tuple[Credential | None, Rung]:
    """A key from the keyring, used only with the base URL and model that were stored along."""
    rung = Rung(API_KEY, place, Outcome.ABSENT, "no key is stored")
    if found is None:
        return None, rung
    entry = found.entry
    source = Source(SourceKind.KEYRING, file=str(entry))
    rung = attrs.evolve(rung, source=source, fingerprint=entry.fingerprint, base_url=entry.base_url)
    if found.secret is None:
        return None, attrs.evolve(rung, outcome=Outcome.UNUSABLE, why=found.problem or "it cannot be read")
    base = Value(entry.base_url, source, USER)
    claim = Claim(found.secret, source, USER, base.text, base)
    provider = provider_named(entry.provider) or provider_of_url(entry.base_url)
    model = Value(entry.model, source, USER) if entry.model else default_model(provider)
    why = "stored on purpose, with its own base URL"
    return Credential(API_KEY, provider, claim, model), attrs.evolve(rung, outcome=Outcome.ACTIVE, why=why)


def credential_of_qwen_settings(facts: Facts) -> tuple[Credential | None, Rung]:
    """The key that Qwen Code's own settings hold; the last resort."""
    path, found = facts.qwen_settings_path, facts.qwen_key
    rung = Rung(API_KEY, path, Outcome.ABSENT, "no key is set there")
    if found is None:
        return None, rung
    if isinstance(found, str):
        return None, attrs.evolve(rung, outcome=Outcome.UNUSABLE, why=found)
    source = Source(SourceKind.SETTINGS, found.path, path)
    provider = provider_of_setting(found)
    base = Value(found.base_url, source, USER) if found.base_url else default_url(provider)
    claim = Claim(Secret(found.key), source, USER, base.text, base)
    model = Value(found.model, source, USER) if found.model else default_model(provider)
    credential = Credential(API_KEY, provider, claim, model)
    rung = attrs.evolve(
        rung,
        outcome=Outcome.ACTIVE,
        why=f"Qwen Code's own, {found.path}",
        source=source,
        fingerprint=credential.fingerprint,
        base_url=credential.base_url,
    )
    return credential, rung


def provider_of_setting(found: QwenKey) -> Provider:
    """Whom a key of Qwen Code's settings belongs to: by base URL, else by variable, else by its form."""
    if found.base_url:
        return provider_of_url(found.base_url)
    own = (p for p in CATALOGUE if p is not OPENAI and p.key_variable is not None)
    return next((p for p in own if p.key_variable == found.variable), None) or provider_of_key(found.key)


def sign_in_again(method: str) -> Action:
    """The button that signs in by a method."""
    if method == QWEN_OAUTH:
        return SIGN_IN
    return Action(f"Sign in with {method}", SIGN_IN.command, {"method": method})


def is_sign_in(method: str) -> bool:
    """Whether a method's credential is a token that is refreshed."""
    return method == QWEN_OAUTH or method.startswith(OAUTH_PREFIX)


def is_stored(credential: Credential) -> bool:
    """Whether it is a key that was stored, together with its base URL and model."""
    return credential.claim.source.kind is SourceKind.KEYRING
