"""Answers to consent questions: give one beforehand, list them, forget them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.resolve import from_home, stand, state_unwritable
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.origin import ConsentKey, ConsentNeeded, Decision, authorize, consent_key, parse_base_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.actions.ports import Place, Ports

SEND_PATH = "/chat/completions"


async def decide(ports: Ports, place: Place, decision: Decision) -> str:
    """Answer the question that this place's next request would ask. Raises Problem where there is none.

    Returns what was decided, in one line. The answer is for every face, so what a shell is allowed without
    one does not count.
    """
    standing = await stand(ports, place)
    credential = standing.resolution.require()
    claim, policy = credential.claim, attrs.evolve(standing.policy, terminal=False, may_mix=False)
    try:
        authorize(claim, credential.base_url + SEND_PATH, policy)
    except ConsentNeeded as need:
        key = need.key
    except Problem as problem:
        base = parse_base_url(claim.base_url.text, str(claim.base_url.source), policy.insecure_origins)
        key = consent_key(claim, policy.folder, base)
        if key not in policy.decisions:
            raise problem from None
    else:
        base = parse_base_url(claim.base_url.text, str(claim.base_url.source), policy.insecure_origins)
        key = consent_key(claim, policy.folder, base)
        if key not in policy.decisions:
            what = "There is nothing to decide here: the key goes where its own source says"
            raise Problem(Kind.NOT_SUPPORTED, what, remedy="See qwen.auth.explain for where that is")
    await remember(ports, {key: decision})
    verb = "may go" if decision is Decision.SEND else "never goes"
    return f"{claim.source} {verb} to {key.base_url}, as {key.file} asks"


async def remember(ports: Ports, answers: Mapping[ConsentKey, Decision]) -> None:
    """Write answers. Raises Problem when they cannot be written."""
    try:
        await ports.state.decide(answers)
    except OSError as error:
        raise state_unwritable(error) from None


async def forget(ports: Ports, place: Place, file: str | None) -> int:
    """Forget the answers for a place's folder, or only those about `file`; how many there were."""
    found = [
        key
        for key in await from_home(ports.state.decisions())
        if key.folder == (place.folder or "") and file in {None, key.file}
    ]
    try:
        await ports.state.undecide(found)
    except OSError as error:
        raise state_unwritable(error) from None
    return len(found)


async def answers(ports: Ports) -> list[tuple[ConsentKey, Decision]]:
    """Every remembered answer, by folder and file."""
    found = await from_home(ports.state.decisions())
    return sorted(found.items(), key=lambda item: (item[0].folder, item[0].file, item[0].base_url))
