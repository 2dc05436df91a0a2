"""A resident httpx client, without any server around it: `direct.py`.

Each line of stdin is a JSON list of texts, which are sent at once; when all are answered, a line of stdout is
`{"first": seconds to the first token, "late": [seconds from a stamp to here, for each token]}`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import time
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = httpx.Limits(max_connections=520, max_keepalive_connections=520)


@functools.cache
def client() -> httpx.AsyncClient:
    """The one client."""
    return httpx.AsyncClient(limits=LIMITS, timeout=60, trust_env=False)


async def tokens(text: str, take: Callable[[str], None]) -> None:
    """Ask, and hand each token over as it comes."""
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": text}]}
    url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    async with client().stream("POST", url, json=body, headers=headers) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                take(json.loads(line[6:])["choices"][0]["delta"]["content"])


async def ask(text: str) -> tuple[float, list[float]]:
    """How long the first token takes, and how late each stamped one is."""
    began, came, late = time.monotonic(), 0.0, []

    def take(token: str) -> None:
        nonlocal came
        now = time.monotonic()
        came = came or now
        if token[:1].isdigit():
            late.append(now - float(token))

    await tokens(text, take)
    return came - began, late


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        answers = await asyncio.gather(*map(ask, json.loads(line)))
        late = [one for _, each in answers for one in each]
        sys.stdout.write(json.dumps({"first": answers[0][0], "late": late}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
