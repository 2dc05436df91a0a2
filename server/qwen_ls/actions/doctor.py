"""A report to paste into a question: what runs, what was found, what answers. No secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qwen_ls.actions.resolve import stand
from qwen_ls.core.errors import Problem
from qwen_ls.core.intents import HttpRequest, Unreachable
from qwen_ls.core.origin import authorize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.actions.resolve import Standing


async def doctor(ports: Ports, place: Place, door: Mapping[str, Any]) -> dict[str, Any]:
    """The facts, in the order in which they are read. `door` is what the face knows: versions, client."""
    try:
        standing = await stand(ports, place)
    except Problem as problem:  # which is when a report is wanted most
        return {**door, "folder": place.folder, "problem": problem.message, **await around(ports)}
    resolution, chain = standing.resolution, standing.facts.environment.chain
    credential = resolution.credential
    return {
        **door,
        "folder": place.folder,
        "workspace trust": place.trust.value,
        "method": resolution.method,
        "chosen by": resolution.chosen_by.value,
        "provider": credential.provider.label if credential else None,
        "base URL": credential.base_url if credential else None,
        "base URL reachable": await reach(ports, standing) if credential else None,
        "key": f"{credential.fingerprint or 'none'} ({credential.claim.source})" if credential else None,
        "problem": resolution.problem.message if resolution.problem else None,
        ".env file in force": chain.file,
        ".env candidates": [str(c.path) for c in chain.candidates],
        ".env problems": [f"{p.file}:{p.line}: {p.text}" for p in chain.problems],
        "Qwen sign-in": standing.facts.cached.problem
        or ("cached" if standing.facts.cached.token else f"none at {standing.facts.cached.path}"),
        **await around(ports),
    }


async def around(ports: Ports) -> dict[str, Any]:
    """What does not depend on where one stands."""
    return {
        "sign-in servers": [f"{method}: {s.issuer.base_url}" for method, s in ports.sign_ins.items()],
        "keyring": await ports.keyring.backend(),
        "settings problems": list(ports.settings.problems),
        "network": {name: without_password(value) for name, value in ports.steering.items()},
    }


async def reach(ports: Ports, standing: Standing) -> str:
    """Whether anything answers at the base URL in force; asked without a key, and only where one may go."""
    credential = standing.resolution.require()
    base_url = credential.base_url
    try:
        authorize(credential.claim, base_url + "/models", standing.policy)
    except Problem as problem:
        return f"not tried: {problem.message}"
    try:
        exchange = await ports.http.open(
            HttpRequest("GET", base_url + "/models", {}), ports.settings.timeouts
        )
    except Unreachable as unreachable:
        return f"no: {unreachable.reply.cause.value}, {unreachable.reply.detail}"
    await exchange.aclose()
    return f"yes (HTTP {exchange.status} without a key)"


def without_password(value: str) -> str:
    """A proxy's address without its user and password, also where it is no URL."""
    head, at, host = value.rpartition("@")
    if not at:
        return value
    scheme = re.match(r"[a-z0-9]{1,8}://", head)
    return f"{scheme[0] if scheme else ''}***@{host}"
