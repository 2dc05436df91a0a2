"""Which credential signs this place's requests, and under which policy: the ladder, fed by the ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from qwen_ls.core.credentials import QWEN_OAUTH, Facts
from qwen_ls.core.envchain import Environment
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.ladder import Resolution, resolve
from qwen_ls.core.origin import Policy

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.core.credentials import FoundKey
    from qwen_ls.core.envchain import EnvChain
    from qwen_ls.core.oauth.token import CachedToken
    from qwen_ls.core.qwen_settings import QwenKey
    from qwen_ls.core.stored import Remembered

MOST_PLACES = 64  # whose last standing is kept
Result = TypeVar("Result")


@attrs.frozen
class Seen:
    """What was found in the files and keepers; equal as long as they are as they were."""

    chain: EnvChain
    home: EnvChain
    tokens: tuple[CachedToken, ...]  # in the order of `Ports.sign_ins`
    remembered: Remembered
    qwen_key: QwenKey | str | None
    folder_key: FoundKey | None
    user_key: FoundKey | None


@attrs.frozen
class Standing:
    """Where a place stands: the facts the ladder saw, its outcome, and the policy for sending."""

    place: Place
    facts: Facts
    resolution: Resolution
    policy: Policy


async def stand(ports: Ports, place: Place) -> Standing:
    """Look at everything anew (files by stat) and resolve. Raises Problem for a home that does not answer.

    As long as all of it is as it was, so is the standing.
    """
    # All begin before any is awaited, so that they share one hop to a thread; and the project's files last,
    # since a disk that hangs there keeps what comes after it waiting.
    begun = [server.cache.read() for server in ports.sign_ins.values()]
    recalled, qwen = ports.state.recall(place.folder), ports.qwen_settings.read()
    files = ports.env_files.find(place.folder, ports.settings.excluded_env_vars)
    try:
        tokens, found, qwen_key = [await read for read in begun], await recalled, await qwen
        chain, home = await files
    except OSError as error:
        raise home_silent(error) from None
    folder_key, user_key = await ports.keys.find(place.folder, found.keys)
    seen = Seen(chain, home, tuple(tokens), found, qwen_key, folder_key, user_key)
    known = ports.standings.get(place)
    if known is not None and known[0] == seen:
        return known[1]
    standing = standing_of(ports, place, seen)
    ports.standings.pop(place, None)
    if standing.resolution.problem is None:  # one that is raised again and again would keep what it passed
        while len(ports.standings) >= MOST_PLACES:
            del ports.standings[next(iter(ports.standings))]
        ports.standings[place] = seen, standing
    return standing


def standing_of(ports: Ports, place: Place, seen: Seen) -> Standing:
    """Resolve from what was seen."""
    found = seen.remembered
    caches = {
        method: (server.issuer, token)
        for (method, server), token in zip(ports.sign_ins.items(), seen.tokens, strict=True)
    }
    issuer, cached = caches.pop(QWEN_OAUTH)
    facts = Facts(
        folder=place.folder,
        environment=Environment(ports.process, seen.chain),
        user_environment=Environment(ports.process, seen.home),
        cached=cached,
        issuer=issuer,
        others=caches,
        folder_choice=found.folder_choice,
        user_choice=found.user_choice,
        folder_models=found.folder_models,
        user_models=found.user_models,
        headless=place.headless,
        decisions=found.decisions,
        folder_key=seen.folder_key,
        user_key=seen.user_key,
        qwen_key=seen.qwen_key,
        qwen_settings_path=ports.qwen_settings.path,
    )
    policy = Policy(
        folder=place.folder or "",
        trust=place.trust,
        terminal=place.terminal,
        may_mix=place.may_mix,
        insecure_origins=ports.settings.insecure_origins,
        decisions=found.decisions,
    )
    return Standing(place, facts, resolve(facts), policy)


async def from_home(reading: Awaitable[Result]) -> Result:
    """What is read from the home folder. Raises Problem for one that does not answer."""
    try:
        return await reading
    except OSError as error:
        raise home_silent(error) from None


def home_silent(error: OSError) -> Problem:
    """What every request needs from the home folder could not be read."""
    return Problem(
        Kind.INTERNAL,
        f"The home folder could not be read: {error.strerror}",
        where=str(error.filename or "~"),
        remedy="See whether the disk or share it lies on is there, and try again",
        retryable=True,
    )


def state_unwritable(error: OSError) -> Problem:
    """A choice could not be remembered."""
    return Problem(
        Kind.INTERNAL,
        f"The choice could not be saved: {error.strerror}",
        where=str(error.filename or "state folder"),
        remedy="Make the folder writable, or set XDG_STATE_HOME to one that is",
    )
