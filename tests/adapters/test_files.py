"""Private files: one step, 0600, old or new bytes, no litter; and reading that never blocks."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import threading
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from qwen_ls.adapters.files import glance, make_private_folder, read_regular, replace_private


def mode_of(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_only_its_owner_may_read_it(tmp_path: Path, umask: int) -> None:
    """0600 in a 0700 folder under any umask, also in place of a file that everybody could read."""
    path = tmp_path / "folder" / "file"
    before = os.umask(umask)
    try:
        replace_private(path, b"one")
        assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
        path.chmod(0o666)
        replace_private(path, b"two")
    finally:
        os.umask(before)
    assert (mode_of(path), path.read_bytes()) == (0o600, b"two")


@pytest.mark.parametrize("name", ["write", "fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "^C"]
)
def test_a_failure_leaves_the_old_bytes_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException
) -> None:
    """Whichever call fails between open and rename."""
    path = tmp_path / "file"
    replace_private(path, b"old")

    def fail(*_: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(type(error)):
        replace_private(path, b"new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_a_write_that_takes_a_part_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) may take less than it was given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    replace_private(tmp_path / "file", b"0123456789")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """The file that a symbolic link names stays as it is."""
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_bytes(b"victim")
    path.symlink_to(victim)
    replace_private(path, b"new")
    assert (victim.read_bytes(), path.is_symlink(), path.read_bytes()) == (b"victim", False, b"new")


def test_a_link_in_the_temporary_files_place_is_not_written_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who guesses its name gains nothing: it is created, or the write fails."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"victim")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "guessed")
    (tmp_path / f"file.tmp.{os.getpid()}.guessed").symlink_to(victim)
    with pytest.raises(FileExistsError):
        replace_private(tmp_path / "file", b"new")
    assert victim.read_bytes() == b"victim"


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    """It is the user's own."""
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path)
    assert mode_of(tmp_path) == 0o755


def test_reading_is_bounded(tmp_path: Path) -> None:
    """One byte more than the limit tells that there is more."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert (len(read_regular(path, 10) or b""), len(read_regular(path, 100) or b"")) == (11, 100)


def test_what_is_not_there(tmp_path: Path) -> None:
    """No file, a broken link, and a path through a file are all None."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert [read_regular(tmp_path / name, 10) for name in ("none", "link", "file/below")] == [None] * 3


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, a FIFO that nobody writes to and an endless device are errors at once, and closed again."""
    os.mkfifo(tmp_path / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(OSError, match="not a regular file"):
            read_regular(path, 10)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- looks ------------------------------------------------------------------------------------------------


async def test_looks_that_begin_together_share_a_thread() -> None:
    """In the order in which they began; one that fails fails alone."""
    threads: list[str] = []

    def look(name: str) -> str:
        threads.append(threading.current_thread().name)
        if name == "bad":
            raise PermissionError(name)
        return name

    found = await asyncio.gather(
        *(glance(partial(look, name)) for name in ("one", "bad", "two")), return_exceptions=True
    )
    assert (found[0], str(found[1]), found[2]) == ("one", "bad", "two")
    assert len(threads) == 3
    assert len(set(threads)) == 1
    assert threads[0] != threading.current_thread().name


async def test_a_look_that_hangs_holds_up_only_what_comes_after() -> None:
    """What was found before it is told by its deadline; it and the rest are late, and later looks go on."""
    answers = threading.Event()
    found = await asyncio.gather(
        glance(lambda: "before"),
        glance(lambda: answers.wait(10), 0.05),
        glance(lambda: "after", 0.05),
        return_exceptions=True,
    )
    assert found[0] == "before"
    assert [type(late) for late in found[1:]] == [TimeoutError] * 2
    assert await glance(lambda: "another") == "another"
    answers.set()


async def test_each_look_has_a_deadline_of_its_own() -> None:
    """One that may take longer gets its answer although another beside it was late."""
    answers = threading.Event()
    patient = glance(lambda: answers.wait(10) and "patient", 10)
    with pytest.raises(TimeoutError, match="did not answer within 0 s"):
        await glance(lambda: "late", 0.05)
    answers.set()
    assert await patient == "patient"


async def test_a_disk_that_is_stood_in_for_keeps_nobody_else_waiting() -> None:
    """Neither what is looked at beside it, however late that was asked for, nor another such disk."""
    go_on = threading.Event()

    def hang() -> str:
        assert go_on.wait(10)
        return "late"

    hanging = glance(hang, 5, lambda: "nothing")
    beside = [glance(lambda: "home"), glance(lambda: "another", 5, lambda: "nothing"), glance(lambda: "home")]
    assert await asyncio.wait_for(asyncio.gather(*beside), 5) == ["home", "another", "home"]
    go_on.set()
    assert await hanging == "late"


async def test_what_stands_in_for_a_disk_that_hangs() -> None:
    """In its time, and in place of an error."""
    go_on = threading.Event()
    assert await glance(lambda: str(go_on.wait(10)), 0.05, lambda: "nothing") == "nothing"
    go_on.set()


async def test_a_look_that_nobody_waits_for_any_more() -> None:
    """Whoever looks beside it gets what it asked for."""
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(10)
        return "slow"

    given_up, waiting = asyncio.ensure_future(glance(slow)), asyncio.ensure_future(glance(lambda: "quick"))
    await asyncio.get_running_loop().run_in_executor(None, begun.wait, 10)
    given_up.cancel()
    go_on.set()
    assert await waiting == "quick"
    assert given_up.cancelled()
