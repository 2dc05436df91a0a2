"""A process that uses OsKeyring as it is told: a call per line of JSON on stdin, what came of it on stdout.

["read", ["name"], {"patient": true}] gives {"result": null, "kind": null, "message": null, "seconds": 0.01}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from qwen_ls.adapters.keyring import OsKeyring
from qwen_ls.core.errors import Problem


async def answer(keyring: OsKeyring, verb: str, names: list[str], options: dict[str, bool]) -> dict[str, Any]:
    """Make one call."""
    result, kind, message = None, None, None
    started = time.monotonic()
    try:
        result = await getattr(keyring, verb)(*names, **options)
    except Problem as problem:
        kind, message = problem.kind.value, problem.message
    return {"result": result, "kind": kind, "message": message, "seconds": time.monotonic() - started}


async def main() -> None:
    """Until stdin ends. No other library than ours is loaded before the first call."""
    keyring = OsKeyring()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps(await answer(keyring, *json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
