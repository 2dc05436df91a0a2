"""`herd.py PROCESSES SECONDS EARLY ENOUGH`: many processes that want a fresh token at once, again and again.

Each is composed as the product composes itself. They start together when stdin ends; they end after
SECONDS, or when the file ENOUGH exists, if that is later; each prints one line of JSON. A process refuses
a token it has seen for EARLY seconds, as chat does by 401 for a token that was revoked early; so there are
more rotations than lifetimes alone would give.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from qwen_ls.__main__ import compose
from qwen_ls.actions.tokens import Accounts
from qwen_ls.core.credentials import QWEN_OAUTH
from qwen_ls.core.errors import Problem

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Ports
    from qwen_ls.core.secret import Secret

PACE = 0.02  # seconds that a request with the token takes, about
GRACE = 15  # seconds to reach what is enough on a busy machine


def is_there(path: str) -> bool:
    """Whether there is such a file."""
    return os.path.lexists(path)


async def race(ports: Ports, seconds: float, early: float, enough: str) -> dict[str, Any]:
    """Ask for a token until the time is up; how often, how long at most, and which errors came.

    `late` is by how much a pause was longer than asked for, at most: what the machine itself is late.
    """
    tokens = Accounts(ports).of(QWEN_OAUTH)
    calls, longest, late, problems = 0, 0.0, 0.0, []
    seen: Secret | None = None
    since = 0.0
    end = time.monotonic() + seconds
    while (started := time.monotonic()) < end or (not is_there(enough) and started < end + GRACE):
        rejected = seen if seen is not None and started - since > early else None
        try:
            token = await tokens.fresh(rejected)
        except Problem as problem:
            problems.append(f"{problem.kind.value}: {problem}")
            break
        now = time.monotonic()
        calls, longest = calls + 1, max(longest, now - started)
        if token.access_token != seen:
            seen, since = token.access_token, now
        pause = PACE * random.uniform(0.5, 1.5)  # noqa: S311 - pace, not a secret
        await ports.clock.sleep(pause)
        late = max(late, time.monotonic() - now - pause)
    await tokens.aclose(1)
    return {"calls": calls, "longest": longest, "late": late, "problems": problems}


def run(seconds: float, early: float, enough: str) -> None:
    """One process of the herd."""
    ports = compose()
    ports.http.warm()
    sys.stdin.read()
    report = asyncio.run(race(ports, seconds, early, enough))
    os.write(1, json.dumps(report).encode() + b"\n")  # in one go: the others write there too


def main(processes: int, seconds: float, early: float, enough: str) -> None:
    """Fork them all from one process, which has imported everything, and wait for them."""
    compose().http.warm()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            try:
                run(seconds, early, enough)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
