"""`killer.py HOME KILLS`: kills writers of the sign-in, the state and the plain keys; prints a line of JSON.

Each writer is forked from this process, writes in a fixed order, announces each finished write by a byte,
and dies by SIGKILL: at a random moment, or at one of four places between open and rename, where it waits.
Then everything is read as the next start reads it: each value is the last one written or, for the write
that was under way, the old or the new one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import stat
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_ls.adapters.key_file import PlainKeyFile
from qwen_ls.adapters.qwen_cache import QwenCache
from qwen_ls.adapters.state import StateFile
from qwen_ls.core.oauth.token import Token
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES = ("open", "write", "fsync", "replace")
SLOTS = 5  # values that each file keeps apart
LIVES = 0.001, 0.03  # seconds that a writer lives, at least and at most, if it dies at random
PATIENCE = 10  # seconds for it to come to its place
SHORT = 40  # bytes: what is no file's content
DONE, STOPPED = b".", b"!"


class Files:
    """What is written, as one process has it."""

    def __init__(self, home: Path) -> None:
        self.folders = home / ".qwen", home / "state"
        self.cache = QwenCache(*self.folders)
        self.state = StateFile(home / "state" / "state.json")
        self.keys = PlainKeyFile(home / "state" / "keys.json")

    async def write(self, number: int) -> None:
        """The write with this number: in turn to each file, into one slot after the other."""
        which, value = number % 3, str(number)
        slot = str(number // 3 % SLOTS)
        if which == 0:
            async with self.cache.lock():
                await self.cache.write(token(value))
        elif which == 1:
            await self.state.choose(slot, value)
        else:
            await self.keys.write(slot, value)

    async def read(self) -> dict[str, str | None]:
        """Every value, by the name of its place."""
        found = (await self.cache.read()).token
        value = found.access_token.reveal() if found else None
        values = {"token": value if found is None or found == token(value or "") else "torn"}
        for slot in map(str, range(SLOTS)):
            values[f"choice {slot}"] = await self.state.choice(slot)
            values[f"key {slot}"] = await self.keys.read(slot)
        return values

    def litter(self) -> list[str]:
        """Names of temporary files."""
        return [path.name for folder in self.folders for path in folder.iterdir() if ".tmp." in path.name]


def token(value: str) -> Token:
    """A token that says which it is, twice; long enough to be written in part."""
    return Token(Secret(value), Secret(value * 2000), "Bearer", None, 2e9)


def place_of(number: int) -> str:
    """The name, in `Files.read`, of what a write changes."""
    slot = number // 3 % SLOTS
    return ("token", f"choice {slot}", f"key {slot}")[number % 3]


def stop_at(place: str, after: int, announce: Callable[[], object]) -> None:
    """Make this process wait for its death at one call of `os`, once `after` temporary files are written."""
    original: Any = getattr(os, place)
    calls = 0

    def is_ours(*args: Any) -> bool:
        """Whether it is a call about a temporary file, and the last one about it where there are several."""
        if place == "open":
            return ".tmp." in str(args[0]) and bool(args[1] & os.O_EXCL)
        if place == "write":
            return len(args[1]) > SHORT
        return place == "replace" or not stat.S_ISDIR(os.fstat(args[0]).st_mode)

    def waiting(*args: Any) -> Any:
        nonlocal calls
        calls += is_ours(*args)
        if not is_ours(*args) or calls <= after:
            return original(*args)
        if place == "open":
            original(*args)
        elif place == "write":
            original(args[0], args[1][: len(args[1]) // 2])
        announce()
        return signal.pause()

    setattr(os, place, waiting)


async def write_on(files: Files, number: int, announce: Callable[[], object]) -> None:
    """Write until the end."""
    while True:
        await files.write(number)
        announce()
        number += 1


def kill_one(home: Path, first: int, place: str | None) -> int:
    """Fork a writer and kill it; how many writes it finished."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if place is not None:
                stop_at(place, random.randrange(3), partial(os.write, writer, STOPPED))  # noqa: S311
            asyncio.run(write_on(Files(home), first, partial(os.write, writer, DONE)))
        finally:
            os._exit(1)
    os.close(writer)
    announced = b""
    end = time.monotonic() + (PATIENCE if place else random.uniform(*LIVES))  # noqa: S311
    while STOPPED not in announced and select.select([reader], [], [], max(end - time.monotonic(), 0))[0]:
        announced += os.read(reader, 1) or sys.exit("a writer ended by itself")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reader, 1):  # what it announced before it died
        announced += more
    os.close(reader)
    if place and STOPPED not in announced:
        sys.exit(f"no writer came to {place}")
    return announced.count(DONE)


def main(home: Path, kills: int) -> None:
    """Kill and look, again and again."""
    number, between, wrong = 0, 0, []
    expected: dict[str, str | None] = asyncio.run(Files(home).read())
    for kill in range(kills):
        place = PLACES[kill // 5 % len(PLACES)] if kill % 5 == 0 else None
        done = kill_one(home, number, place)
        left = Files(home).litter()
        between += bool(left)
        if place is not None and not left:
            wrong.append(f"killed at {place}, yet there was no temporary file")
        expected.update({place_of(n): str(n) for n in range(number, number + done)})
        number += done
        now = Files(home)
        found = asyncio.run(now.read())
        under_way = place_of(number)
        if found != expected and found != {**expected, under_way: str(number)}:
            wrong.append(f"{place}: {found} instead of {expected} or {under_way} {number}")
        wrong += [f"{place}: {name} is still there" for name in now.litter()]
        expected = found
        number += 1
    print(json.dumps({"kills": kills, "between": between, "finished": number - kills, "wrong": wrong}))  # noqa: T201 - its report


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
