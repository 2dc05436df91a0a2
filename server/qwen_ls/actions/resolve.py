"""Which credential signs this place's requests, and under which policy: the ladder, fed by the ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.credentials import QWEN_OAUTH, Facts
from qwen_ls.core.envchain import Environment
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.ladder import Resolution, resolve
from qwen_ls.core.origin import Policy

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Place, Ports


@attrs.frozen
class Standing:
    """Where a place stands: the facts the ladder saw, its outcome, and the policy for sending."""

    place: Place
    facts: Facts
    resolution: Resolution
    policy: Policy


async def stand(ports: Ports, place: Place) -> Standing:
    """Look at everything anew (files by stat) and resolve. Raises nothing of its own."""
    decisions = await ports.state.decisions()
    chain, home = await ports.env_files.find(place.folder, ports.settings.excluded_env_vars)
    folder_choice = await ports.state.choice(place.folder) if place.folder is not None else None
    folder_models = await ports.state.models(place.folder) if place.folder is not None else {}
    folder_key, user_key = await ports.keys.find(place.folder)
    facts = Facts(
        folder=place.folder,
        environment=Environment(ports.process, chain),
        user_environment=Environment(ports.process, home),
        cached=await ports.sign_ins[QWEN_OAUTH].cache.read(),
        issuer=ports.sign_ins[QWEN_OAUTH].issuer,
        others={
            method: (server.issuer, await server.cache.read())
            for method, server in ports.sign_ins.items()
            if method != QWEN_OAUTH
        },
        folder_choice=folder_choice,
        user_choice=await ports.state.choice(None),
        folder_models=folder_models,
        user_models=await ports.state.models(None),
        headless=place.headless,
        decisions=decisions,
        folder_key=folder_key,
        user_key=user_key,
        qwen_key=await ports.qwen_settings.read(),
        qwen_settings_path=ports.qwen_settings.path,
    )
    policy = Policy(
        folder=place.folder or "",
        trust=place.trust,
        terminal=place.terminal,
        may_mix=place.may_mix,
        insecure_origins=ports.settings.insecure_origins,
        decisions=decisions,
    )
    return Standing(place, facts, resolve(facts), policy)


def state_unwritable(error: OSError) -> Problem:
    """A choice could not be remembered."""
    return Problem(
        Kind.INTERNAL,
        f"The choice could not be saved: {error.strerror}",
        where=str(error.filename or "state folder"),
        remedy="Make the folder writable, or set XDG_STATE_HOME to one that is",
    )
