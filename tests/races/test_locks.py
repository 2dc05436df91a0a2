"""Qwen Code's lock file as it is found: waited for while somebody may hold it, else gone at once."""

from __future__ import annotations

import os
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from qwen_ls.adapters import qwen_cache
from qwen_ls.adapters.qwen_cache import QwenCache

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE = 0.5  # seconds


@pytest.fixture
def cache(tmp_path: Path) -> QwenCache:
    """An empty cache that has been locked before."""
    (tmp_path / ".qwen").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "oauth.lock.last").write_text(str(uuid.uuid4()))
    return QwenCache(tmp_path / ".qwen", tmp_path / "state")


def make(lock: Path, kind: str, age: float) -> None:
    """A lock that is so many seconds old."""
    if kind == "folder":
        lock.mkdir()
    elif kind == "link":
        lock.symlink_to("nowhere")
    else:
        lock.write_text("" if kind == "empty" else str(uuid.uuid4()))
    then = time.time() - age
    os.utime(lock, (then, then), follow_symlinks=False)


def names(cache: QwenCache) -> list[str]:
    """What lies in the folder."""
    return sorted(path.name for path in cache.folder.iterdir())


async def seconds_to_lock(cache: QwenCache) -> float:
    """How long it takes to hold the lock, and that it is ours then and leaves nothing."""
    started = time.monotonic()
    async with cache.lock() as held:
        taken = time.monotonic() - started
        assert held
        assert names(cache) == ["oauth_creds.lock"]
        assert (cache.folder / "oauth_creds.lock").read_bytes() == (
            cache.state_folder / "oauth.lock.last"
        ).read_bytes()
    assert names(cache) == []
    return taken


@pytest.mark.parametrize("kind", ["file", "empty", "folder", "link"])
@pytest.mark.parametrize("age", [35.5, 1e6, -5, -1e6], ids=lambda age: f"{age:g}")
async def test_a_stale_lock_goes_at_once(cache: QwenCache, kind: str, age: float) -> None:
    """Older than 35 s, or of a time to come: whatever it is, it is cleared away."""
    make(cache.folder / "oauth_creds.lock", kind, age)
    assert await seconds_to_lock(cache) < AT_ONCE


@pytest.mark.parametrize(("kind", "age"), [("file", 30), ("folder", 30), ("link", 30), ("empty", 0)])
async def test_a_lock_that_somebody_may_hold_is_left_alone(
    cache: QwenCache, monkeypatch: pytest.MonkeyPatch, kind: str, age: float
) -> None:
    """Younger than 35 s; an empty one is about to be written to."""
    monkeypatch.setattr(qwen_cache, "WAIT_AT_MOST", 0.2)
    make(cache.folder / "oauth_creds.lock", kind, age)
    with pytest.raises(TimeoutError):
        await seconds_to_lock(cache)
    assert names(cache) == ["oauth_creds.lock"]


async def test_a_fresh_lock_is_waited_for_until_it_is_35_seconds_old(cache: QwenCache) -> None:
    """Half a second of its time is left: it is not taken before, and soon after."""
    make(cache.folder / "oauth_creds.lock", "file", 34.5)
    assert 0.4 < await seconds_to_lock(cache) < 2


async def test_an_empty_lock_is_that_of_a_process_that_was_killed(cache: QwenCache) -> None:
    """It died between creating it and writing its uuid: a second is enough."""
    make(cache.folder / "oauth_creds.lock", "empty", 1.5)
    assert await seconds_to_lock(cache) < AT_ONCE


async def test_the_lock_of_a_dead_run_of_ours_goes_at_once(cache: QwenCache) -> None:
    """The uuid beside our own lock says whose it was."""
    make(cache.folder / "oauth_creds.lock", "file", 0)
    (cache.state_folder / "oauth.lock.last").write_text((cache.folder / "oauth_creds.lock").read_text())
    assert await seconds_to_lock(cache) < AT_ONCE


async def test_whoever_need_not_wait_any_longer_holds_neither_lock(cache: QwenCache) -> None:
    """Asked between attempts, at our own lock and at Qwen Code's: the other holder is not disturbed."""

    async def overtaken() -> bool:
        return True

    make(cache.folder / "oauth_creds.lock", "file", 0)
    async with cache.lock(overtaken) as held:
        assert not held
    assert names(cache) == ["oauth_creds.lock"]
    (cache.folder / "oauth_creds.lock").unlink()
    async with cache.lock(overtaken) as held:
        assert held
        async with QwenCache(cache.folder, cache.state_folder).lock(overtaken) as second:
            assert not second
        assert names(cache) == ["oauth_creds.lock"]
