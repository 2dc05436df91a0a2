"""The demo provider as a child process, so that a busy test does not slow down what it measures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import httpx

import qwen_ls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Entry = dict[str, Any]  # qwen_ls.demo.requests.RequestLog.add says what is in one
LONG_POLL = 10.0  # seconds
PATIENCE = 5.0  # seconds for the process to end when told to


@attrs.define
class RunningProvider:
    """What a test can see of the provider and tell it."""

    base_url: str
    process: asyncio.subprocess.Process
    _client: httpx.AsyncClient
    _entries: dict[int, Entry] = attrs.field(factory=dict)
    _version: int = 0

    @property
    def v1(self) -> str:
        """The base URL of the models."""
        return f"{self.base_url}/v1"

    @property
    def issuer(self) -> str:
        """The origin under which the device and token endpoints are found."""
        return self.base_url

    async def control(self, action: str, **arguments: Any) -> None:
        """Run one of the actions in qwen_ls.demo.control; raises AssertionError with its complaint."""
        answer = await self._client.post(f"/control/{action}", json=arguments)
        assert answer.is_success, answer.text

    async def configure(self, **settings: Any) -> None:
        """Change fields of qwen_ls.demo.settings.Settings."""
        await self.control("configure", **settings)

    async def fault(self, route: str, **fields: Any) -> None:
        """Let requests of a route go wrong: fields of qwen_ls.demo.faults.Fault, `times`, `credential`."""
        await self.control("fault", route=route, **fields)

    async def clear_faults(self) -> None:
        """Let everything go well again."""
        await self.control("clear_faults")

    async def approve(self, user_code: str) -> None:
        """Approve a sign-in."""
        await self.control("approve", user_code=user_code)

    async def deny(self, user_code: str) -> None:
        """Deny a sign-in."""
        await self.control("deny", user_code=user_code)

    async def log(self, route: str | None = None) -> list[Entry]:
        """Return the requests so far, of one route or all."""
        await self._read_log(0)
        return [entry for entry in self._entries.values() if route in (None, entry["route"])]

    async def wait_for(self, wanted: str | Callable[[Entry], object], timeout: float = 5.0) -> Entry:
        """Return the first request of a route, or for which a predicate holds; raises TimeoutError."""

        def is_wanted(entry: Entry) -> object:
            return entry["route"] == wanted if isinstance(wanted, str) else wanted(entry)

        deadline = time.monotonic() + timeout
        await self._read_log(0)
        while True:
            for entry in self._entries.values():
                if is_wanted(entry):
                    return entry
            left = deadline - time.monotonic()
            if left <= 0:
                seen = [(entry["route"], entry["status"]) for entry in self._entries.values()]
                raise TimeoutError(f"no such request within {timeout} s; there were {seen}")
            await self._read_log(min(left, LONG_POLL))

    async def _read_log(self, timeout: float) -> None:
        answer = await self._client.get("/control/log", params={"since": self._version, "timeout": timeout})
        news = answer.raise_for_status().json()
        self._version = max(self._version, news["version"])
        for entry in news["entries"]:
            if entry["changed"] >= self._entries.get(entry["id"], entry)["changed"]:
                self._entries[entry["id"]] = entry

    async def stop(self) -> None:
        """End the process, as a crash of the provider would, and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def running_provider(
    *, host: str = "127.0.0.1", port: int = 0, log: Path | None = None, **settings: Any
) -> AsyncIterator[RunningProvider]:
    """Run a provider with these Settings; it ends with the block, or with this process."""
    command = ["-m", "qwen_ls.demo.provider", "--host", host, "--port", str(port), "--control", "--until-eof"]
    if log is not None:
        command += ["--log", str(log)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(qwen_ls.__file__).parents[1])},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        assert line, "the provider ended before it listened"
        base_url = f"http://{f'[{host}]' if ':' in host else host}:{json.loads(line)['port']}"
        async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=LONG_POLL + 5) as client:
            provider = RunningProvider(base_url, process, client)
            # Not on the command line: keys are secrets there too.
            await provider.configure(**settings)
            yield provider
    finally:
        process.stdin.close()
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), PATIENCE)
        if process.returncode is None:
            process.kill()
        await process.wait()
