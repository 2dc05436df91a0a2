"""The shared cache and its two locks, without a server."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING

import attrs
import pytest

from qwen_ls.adapters import qwen_cache
from qwen_ls.adapters.qwen_cache import QwenCache
from qwen_ls.core.oauth.token import Token
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKEN = Token(Secret("access"), Secret("refresh"), "Bearer", "portal.qwen.ai", 2e9, {"extra": [1]})


@pytest.fixture
def cache(tmp_path: Path) -> QwenCache:
    """A cache whose folders are not there yet."""
    return QwenCache(tmp_path / "home" / ".qwen", tmp_path / "state")


def twin_of(cache: QwenCache) -> QwenCache:
    """The same cache, as another process has it."""
    return QwenCache(cache.folder, cache.state_folder)


async def test_what_is_written_is_read(cache: QwenCache) -> None:
    """Every field, the unknown ones too; the file's date dates the token."""
    assert (await cache.read()).token is None
    before = time.time() - 1
    await cache.write(TOKEN)
    found = await cache.read()
    assert found.token == TOKEN
    assert before < found.written_at < time.time() + 1
    assert json.loads(cache.path.read_bytes())["expiry_date"] == 2_000_000_000_000
    assert [await cache.remove(), await cache.remove()] == [True, False]


async def test_one_holder_at_a_time(cache: QwenCache) -> None:
    """Twelve tasks of two adapters: never two inside, all get in, and no lock file is left."""
    inside, most, entries = 0, 0, 0

    async def hold(adapter: QwenCache) -> None:
        nonlocal inside, most, entries
        async with adapter.lock():
            inside, entries = inside + 1, entries + 1
            most = max(most, inside)
            assert (cache.folder / "oauth_creds.lock").exists()
            await asyncio.get_running_loop().run_in_executor(None, os.stat, cache.folder)
            inside -= 1

    await asyncio.gather(*(hold(adapter) for adapter in (cache, twin_of(cache)) for _ in range(6)))
    assert (most, entries, list(cache.folder.iterdir())) == (1, 12, [])


async def test_both_locks_are_given_back_after_a_failure(cache: QwenCache) -> None:
    """An error inside, and a cancel of whoever waits for them, leave nothing behind."""
    with pytest.raises(RuntimeError, match="inside"):
        async with cache.lock():
            raise RuntimeError("inside")
    async with cache.lock():
        waiting = asyncio.create_task(twin_of(cache).lock().__aenter__())
        await asyncio.wait({waiting}, timeout=0.1)
        waiting.cancel()
        await asyncio.wait({waiting})
    async with twin_of(cache).lock():
        assert (cache.folder / "oauth_creds.lock").exists()
    assert list(cache.folder.iterdir()) == []


async def test_nobody_waits_for_ever(cache: QwenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that stays fresh, or is a folder or a link, ends in TimeoutError and is left alone."""
    monkeypatch.setattr(qwen_cache, "WAIT_AT_MOST", 0.1)
    cache.folder.mkdir(parents=True)
    lock = cache.folder / "oauth_creds.lock"
    makes: list[Callable[[], object]] = [lock.touch, lock.mkdir, lambda: lock.symlink_to("nowhere")]
    for make in makes:
        make()
        with pytest.raises(TimeoutError):
            async with cache.lock():
                raise AssertionError("nobody should be here")
        assert [path.name for path in cache.folder.iterdir()] == [lock.name]
        lock.rmdir() if lock.is_dir() else lock.unlink()
    async with cache.lock():  # our own outer lock has been given back each time
        assert lock.read_text().count("-") == 4


async def test_a_crash_between_record_and_lock_costs_nothing(cache: QwenCache) -> None:
    """The record beside our own lock names the uuid that we were about to write."""
    async with cache.lock():
        recorded = (cache.state_folder / "oauth.lock.last").read_text()
        assert (cache.folder / "oauth_creds.lock").read_text() == recorded
    (cache.folder / "oauth_creds.lock").write_text(recorded)
    started = time.monotonic()
    async with cache.lock():
        assert (cache.folder / "oauth_creds.lock").read_text() != recorded
    assert time.monotonic() - started < 1


async def test_folders_that_take_no_file(cache: QwenCache, tmp_path: Path) -> None:
    """Without a state folder Qwen Code's lock alone is held; without a `.qwen` there is nothing to guard."""
    (tmp_path / "file").write_text("")
    stateless = attrs.evolve(cache, state_folder=tmp_path / "file" / "state")
    async with stateless.lock():
        assert (cache.folder / "oauth_creds.lock").exists()
    async with attrs.evolve(cache, folder=tmp_path / "file" / ".qwen").lock():
        assert (tmp_path / "file").read_text() == ""


async def test_a_cache_that_cannot_be_read_says_why(cache: QwenCache) -> None:
    """A folder in its place; the reason is a clause for people."""
    cache.path.mkdir(parents=True)
    assert (await cache.read()).problem == "the file cannot be read: it is not a regular file"
