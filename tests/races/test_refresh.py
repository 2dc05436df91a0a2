"""Many processes share one sign-in whose refresh tokens rotate: none reuses one, nobody is signed out."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from races.authority import QWEN_CODE, Authority, running_authority
from wire import environment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

HERE = Path(__file__).parent
PROCESSES = 32
LIFETIME = 0.2  # seconds that an access token lives
EARLY = 0.01  # seconds after which a token is refused all the same, so that 10 s hold 200 rotations
LOCK_DELETED_EVERY = 0.03  # seconds
MARGIN = 0.05  # seconds ahead that Qwen Code refreshes: 30 s of an hour, to scale
PATIENCE = 60  # seconds for the whole of a race
ROTATIONS = 200
QUICK = 1.0  # seconds: nobody waits longer for a token, on a machine that is in time itself
TURNS = 5  # times that a wait may find the machine as late as it ever was
RACES = 3  # of which one must be quick: a machine that others use stands still for a moment now and then


class Race:
    """A home, an authority, and processes that start together."""

    def __init__(self, home: Path, authority: Authority) -> None:
        self.folder, self.authority = home / ".qwen", authority
        self.enough = home / "enough"
        self.environment = environment(home, QWEN_LS_OAUTH_BASE_URL=authority.base_url)
        self.folder.mkdir(mode=0o700, parents=True)
        (self.folder / "oauth_creds.json").write_text(json.dumps(authority.cache()))

    async def run(self, *commands: Sequence[object]) -> list[list[dict[str, Any]]]:
        """Start Python with each of `commands`; what each printed, by line."""
        async with AsyncExitStack() as stack:
            processes = [await self.start(command, stack) for command in commands]
            outputs = await asyncio.wait_for(
                asyncio.gather(*(process.communicate(b"") for process in processes)), PATIENCE
            )
        return [[json.loads(line) for line in out.splitlines()] for out, _ in outputs]

    async def start(self, command: Sequence[object], stack: AsyncExitStack) -> asyncio.subprocess.Process:
        """One process, which is gone when the stack is."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *map(str, command),
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

        def end() -> None:
            with suppress(ProcessLookupError):
                process.kill()

        stack.callback(end)
        return process

    async def delete_locks(self) -> int:
        """Delete Qwen Code's lock file again and again, as its processes do at their exit; how often.

        Meanwhile let the race end once it has seen enough.
        """
        deleted = 0
        try:
            while True:
                with suppress(FileNotFoundError):
                    (self.folder / "oauth_creds.lock").unlink()
                    deleted += 1
                if self.authority.rotations["ours"] >= ROTATIONS:
                    self.enough.touch()
                await asyncio.sleep(LOCK_DELETED_EVERY)
        except asyncio.CancelledError:
            return deleted


async def one_is_quick(race: Callable[[Path], Awaitable[bool]], home: Path) -> bool:
    """Whether nobody waits long in one race of some; each must be clean."""
    for number in range(RACES):
        if await race(home / str(number)):
            return True
    return False


def judge(reports: list[dict[str, Any]], authority: Authority) -> bool:
    """No process signed out, no refresh token used twice; whether nobody waited long."""
    longest: float = max(report["longest"] for report in reports)
    assert [problem for report in reports for problem in report["problems"]] == []
    assert (len(reports), authority.reuses, authority.is_revoked) == (PROCESSES, {}, False)
    assert min(report["calls"] for report in reports) > 0
    calls = sum(report["calls"] for report in reports)
    late: float = max(report["late"] for report in reports)
    sys.stdout.write(
        f"{calls} calls, {dict(authority.rotations)} rotations, longest wait {longest:.3f} s, "
        f"on a machine that was {late:.3f} s late\n"
    )
    return longest < QUICK + TURNS * late


async def test_32_processes_refresh_at_once_while_the_lock_is_deleted(tmp_path: Path) -> None:
    """10 s of tokens that live 200 ms: 200 rotations and more, each wait below 1 s, and no litter."""

    async def deleting(home: Path) -> bool:
        async with running_authority(LIFETIME) as authority:
            race = Race(home, authority)
            bystander = asyncio.create_task(race.delete_locks())
            (reports,) = await race.run((HERE / "herd.py", PROCESSES, 10, EARLY, race.enough))
            bystander.cancel()
            assert await bystander > 10
        is_quick = judge(reports, authority)
        assert authority.rotations["ours"] >= ROTATIONS
        assert [path.name for path in race.folder.iterdir()] == ["oauth_creds.json"]
        return is_quick

    assert await one_is_quick(deleting, tmp_path)


async def test_qwen_code_refreshes_beside_us(tmp_path: Path) -> None:
    """Two clients of its protocol among our 32: each side rotates and adopts, none reuses."""

    async def mixed(home: Path) -> bool:
        async with running_authority(LIFETIME) as authority:
            race = Race(home, authority)
            qwen_code = (HERE / "qwen_code.py", race.folder, authority.base_url, 4, MARGIN)
            ours = (HERE / "herd.py", PROCESSES, 4, 1, race.folder)
            herd, *others = await race.run(ours, qwen_code, qwen_code)
        is_quick = judge(herd, authority)
        assert [problem for (report,) in others for problem in report["problems"]] == []
        assert authority.rotations[QWEN_CODE] == sum(report["refreshed"] for (report,) in others) > 0
        assert authority.rotations["ours"] > 0
        return is_quick

    assert await one_is_quick(mixed, tmp_path)
