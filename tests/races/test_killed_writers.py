"""A writer may die at any moment: what it was writing stays whole, and what it leaves is swept away."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_ls.adapters import files
from qwen_ls.adapters.files import replace_private, sweep
from qwen_ls.adapters.qwen_cache import QwenCache
from wire import environment

if TYPE_CHECKING:
    import pytest

KILLS = 500
HOUR = 3600  # seconds


async def test_500_killed_writers(tmp_path: Path) -> None:
    """A hundred die between open and rename, at least: nothing is torn or lost, and the next start sweeps."""
    script = Path(__file__).with_name("killer.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        tmp_path,
        str(KILLS),
        env=environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
    report = json.loads(out)
    sys.stdout.write(f"{report}\n")
    assert (report["kills"], report["wrong"]) == (KILLS, [])
    assert report["between"] >= KILLS // 5
    assert report["finished"] > KILLS // 5
    async with QwenCache(tmp_path / ".qwen", tmp_path / "state").lock():  # a dead writer's goes at once
        names = sorted(path.name for path in (tmp_path / ".qwen").iterdir())
        assert names == ["oauth_creds.json", "oauth_creds.lock"]
    names = [name for _, _, files in os.walk(tmp_path) for name in files]
    assert not [name for name in names if ".tmp." in name or ".stale." in name]


def abandon(path: Path, age: float = 0) -> Path:
    """What a killed writer leaves."""
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_living_writers_file_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is held up for an hour before its rename still succeeds, with another one meanwhile."""
    path, replace = tmp_path / "file", os.replace

    def held_up(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        os.utime(source, (time.time() - HOUR,) * 2)
        replace_private(path, b"meanwhile")
        assert path.read_bytes() == b"meanwhile"
        replace(source, target)

    monkeypatch.setattr(os, "replace", held_up)
    replace_private(path, b"held up")
    assert path.read_bytes() == b"held up"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between open and lock somebody takes it for a dead writer's."""
    path, claim = tmp_path / "file", files.claim

    def overtaken(descriptor: int) -> bool | None:
        monkeypatch.setattr(files, "claim", claim)
        sweep(path)
        assert list(tmp_path.iterdir()) == []
        return claim(descriptor)

    monkeypatch.setattr(files, "claim", overtaken)
    replace_private(path, b"new")
    assert (list(tmp_path.iterdir()), path.read_bytes()) == ([path], b"new")


def test_without_locks_age_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be locked, those of the last minute are left alone."""
    old = abandon(tmp_path / "file.tmp.1.0123abcd", 61)
    young = abandon(tmp_path / "file.tmp.1.4567cdef", 50)
    answer: Any = None
    monkeypatch.setattr(files, "claim", lambda _: answer)
    sweep(tmp_path / "file")
    assert (old.exists(), young.exists()) == (False, True)
    monkeypatch.undo()
    sweep(tmp_path / "file")
    assert not young.exists()


def test_only_our_own_names_are_swept(tmp_path: Path) -> None:
    """Not Qwen Code's temporary files, nor another file's, nor what is no file."""
    qwen_code = "oauth_creds.json.tmp.12.0b0f6a7e-5a3c-4a5e-9f0b-8d2c1e4f6a7b"
    kept = [
        abandon(tmp_path / name, HOUR) for name in (qwen_code, "x.json.tmp.1.0123abcd", "oauth_creds.json")
    ]
    folder, link = (tmp_path / f"oauth_creds.json.tmp.1.{n * 8}" for n in "ab")
    folder.mkdir()
    link.symlink_to(kept[0])
    abandon(tmp_path / "oauth_creds.json.tmp.999999.0123abcd")
    sweep(tmp_path / "oauth_creds.json")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, folder, link])
    sweep(tmp_path / "nowhere" / "oauth_creds.json")
