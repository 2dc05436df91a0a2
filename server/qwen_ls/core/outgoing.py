"""Secrets that this process has loaded, looked for in what is about to be sent to a provider.

A key is pasted into a message, or stands in a file that goes along: nobody meant to send it, and a provider
keeps what it is sent. So it is asked about first, by fingerprint and source, never by its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import attrs

from qwen_ls.core.errors import LONGEST_MESSAGE, Kind, Problem, one_line
from qwen_ls.core.provenance import Source, SourceKind
from qwen_ls.core.providers import KEY_VARIABLES
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from qwen_ls.core.credentials import Facts, FoundKey
    from qwen_ls.core.envchain import Environment
    from qwen_ls.core.oauth.token import CachedToken


@attrs.frozen
class Loaded:
    """A secret that this process holds, and where it came from."""

    secret: Secret
    source: str

    def __str__(self) -> str:
        return f"{self.secret.fingerprint} ({self.source})"


class SecretInMessage(Problem):
    """A message holds secrets, and nobody has said that it may be sent all the same."""

    def __init__(self, found: Sequence[Loaded], host: str) -> None:
        which = " and ".join(map(str, found))
        super().__init__(
            Kind.UNTRUSTED_ORIGIN,
            f"The message was not sent: it holds {which}",
            remedy="Take it out and send again, or answer “Send anyway” where you are asked",
        )
        question = f"Your message holds {which}, which would go to {host}"
        self.found = tuple(found)
        self.question = one_line(question, LONGEST_MESSAGE)


def find_loaded(
    texts: Iterable[str], loaded: Iterable[Loaded], cleared: Collection[str] = ()
) -> tuple[Loaded, ...]:
    """The secrets that stand in any of the texts, each once; `cleared` are the digests of those that may."""
    every = tuple(texts)
    found: dict[Secret, Loaded] = {}
    for one in loaded:
        if one.secret in found or one.secret.digest in cleared:
            continue
        if any(one.secret.stands_in(text) for text in every):
            found[one.secret] = one
    return tuple(found.values())


def loaded_secrets(
    facts: Facts, steering: Mapping[str, str], stored: Iterable[FoundKey] = ()
) -> Iterator[Loaded]:
    """Every secret known for one place: keys, those stored for others too, tokens, and proxies' passwords."""
    yield from keys_of(facts.environment)
    yield from keys_of(facts.user_environment)
    for found in (facts.folder_key, facts.user_key, *stored):
        if found is not None and found.secret is not None:
            yield Loaded(found.secret, str(found.entry))
    for cached in (facts.cached, *(cached for _, cached in facts.others.values())):
        yield from tokens_of(cached)
    if facts.qwen_key is not None and not isinstance(facts.qwen_key, str):
        source = Source(SourceKind.SETTINGS, facts.qwen_key.path, facts.qwen_settings_path)
        yield Loaded(Secret(facts.qwen_key.key), str(source))
    for name, url in steering.items():
        for password in passwords_of(url):
            yield Loaded(Secret(password), f"the password in {name}")


def keys_of(environment: Environment) -> Iterator[Loaded]:
    """The keys of the process and of the one `.env` file, whichever of the two counts."""
    for variable in KEY_VARIABLES:
        for value in (environment.from_process(variable), environment.from_file(variable)):
            if value is not None:
                yield Loaded(Secret(value.text), str(value.source))


def tokens_of(cached: CachedToken) -> Iterator[Loaded]:
    """The tokens of a sign-in."""
    if cached.token is not None:
        yield Loaded(cached.token.access_token, f"the access token in {cached.path}")
        yield Loaded(cached.token.refresh_token, f"the refresh token in {cached.path}")


def passwords_of(url: str) -> tuple[str, ...]:
    """A proxy's password, and as it is written where that is not how it would be encoded anew."""
    try:
        written = urlsplit(url).password
    except ValueError:
        return ()
    password = unquote(written) if written else ""
    return tuple(p for p in (password, written) if p and (p == password or not Secret(password).stands_in(p)))
