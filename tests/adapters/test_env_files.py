"""`.env` files on a real disk: whose count, what is not there, what cannot be read, and when they are."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import gc
import os
import sys
import threading
import time
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from qwen_ls.adapters import env_files
from qwen_ls.adapters.env_files import EnvFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qwen_ls.core.envchain import EnvChain, Look

ME, ROOT, STRANGER, OWNER = 1000, 0, 6666, 2000


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """A workspace folder below another one."""
    folder = tmp_path / "up" / "ws"
    folder.mkdir(parents=True)
    return folder


def search(folder: Path, home: Path | None = None, uid: int | None = None) -> EnvChain:
    """The chain from a folder."""
    return EnvFileSystem(home, None, uid=uid).search(str(folder), ())[0]


def search_in(system: EnvFileSystem, folder: Path) -> EnvChain:
    """The same by a system that has searched before."""
    return system.search(str(folder), ())[0]


def put(path: Path, model: str) -> Path:
    """A file that names a model."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"OPENAI_MODEL={model}\n")
    return path


def model_of(chain: EnvChain) -> str | None:
    """What the one file says."""
    binding = chain.bindings.get("OPENAI_MODEL")
    return binding.value if binding else None


class Owners:
    """Who owns what, as stat(2) and lstat(2) shall say; all else belongs to ME."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._uids: dict[int, int] = {}
        self._lstat, real_stat = os.lstat, os.stat

        monkeypatch.setattr(os, "lstat", lambda path: self._owned(self._lstat(path)))
        monkeypatch.setattr(os, "stat", lambda path, **given: self._owned(real_stat(path, **given)))

    def give(self, path: Path, uid: int) -> None:
        """Let a file, folder or link (not its target) belong to somebody."""
        self._uids[self._lstat(path).st_ino] = uid

    def _owned(self, status: os.stat_result) -> Any:
        fields = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        return SimpleNamespace(**{**fields, "st_uid": self._uids.get(status.st_ino, ME)})


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> Owners:
    """Everything is ME's for now."""
    return Owners(monkeypatch)


@contextlib.contextmanager
def as_anybody() -> Iterator[None]:
    """In this thread, for a while, modes count for root too (capabilities(7))."""
    if os.getuid() != 0 or sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3; this thread
    assert libc.capget(header, sets) == 0
    fewer = (ctypes.c_uint32 * 6)(*sets)
    fewer[0] &= ~0b110  # of what is effective, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, sets) == 0


# --- whose files count ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("uid", "counts"), [(ME, True), (ROOT, True), (OWNER, True), (STRANGER, False)])
@pytest.mark.parametrize("name", [".env", ".qwen/.env"])
def test_whose_files_count(ws: Path, owners: Owners, name: str, uid: int, counts: bool) -> None:  # noqa: FBT001 - a column
    """Ours, root's and the folder owner's; a stranger's is named, and the search goes on."""
    owners.give(ws, OWNER)
    owners.give(put(ws / name, "near"), uid)
    put(ws.parent / ".env", "far")
    chain = search(ws, uid=ME)
    assert model_of(chain) == ("near" if counts else "far")
    assert [(p.file, str(STRANGER) in p.text) for p in chain.problems] == (
        [] if counts else [(str(ws / name), True)]
    )


def test_a_strangers_qwen_folder(ws: Path, owners: Owners) -> None:
    """Whoever owns `.qwen` could put any file of ours there."""
    put(ws / ".qwen" / ".env", "near")
    owners.give(ws / ".qwen", STRANGER)
    assert model_of(search(ws, uid=ME)) is None
    assert len(search(ws, uid=ME).problems) == 1


@pytest.mark.parametrize("whose", ["link", "target"])
def test_a_strangers_link_or_its_target(ws: Path, owners: Owners, whose: str) -> None:
    """Both the link and what it leads to must be somebody's who counts."""
    target = put(ws / "target", "near")
    (ws / ".env").symlink_to(target)
    assert model_of(search(ws, uid=ME)) == "near"
    owners.give(target if whose == "target" else ws / ".env", STRANGER)
    assert model_of(search(ws, uid=ME)) is None


@pytest.mark.parametrize("whose", ["file", "link", "target", ".qwen", "workspace folder"])
def test_a_change_of_owner_is_seen(ws: Path, owners: Owners, whose: str) -> None:
    """Also by a system that has found the file before, and where nothing else has changed."""
    system = EnvFileSystem(None, None, uid=ME)
    target = put(ws / "target", "near")
    path = ws / ".qwen" / ".env" if whose == ".qwen" else ws / ".env"
    if whose in {"link", "target"}:
        path.symlink_to(target)
    else:
        put(path, "near")
    if whose == "workspace folder":
        owners.give(ws, OWNER)
        owners.give(path, OWNER)
    assert model_of(system.search(str(ws), ())[0]) == "near"
    changed = {"target": target, ".qwen": path.parent, "workspace folder": ws}.get(whose, path)
    owners.give(changed, STRANGER)
    assert model_of(system.search(str(ws), ())[0]) is None


def test_home_files_are_the_users_whoever_owns_them(ws: Path, owners: Owners, tmp_path: Path) -> None:
    """A home on a share may belong to anybody; where files have no owner nothing is checked."""
    home = tmp_path / "home"
    owners.give(put(home / ".env", "home"), STRANGER)
    assert model_of(search(ws, home, uid=ME)) == "home"
    (tmp_path / "link").symlink_to(home)
    below = home / "project"
    below.mkdir()
    for name in ("home", "link"):  # and where it is met on the way
        chain = search(below, tmp_path / name, uid=ME)
        assert (model_of(chain), chain.tier.is_user, chain.problems) == ("home", True, ())
    (below / ".env").symlink_to(home / ".env")
    assert [p.file for p in search(below, home, uid=ME).problems] == [str(below / ".env")]
    owners.give(put(ws / ".env", "near"), STRANGER)
    assert model_of(search(ws, home, uid=None)) == "near"


# --- what is there ----------------------------------------------------------------------------------------


def a_loop(path: Path) -> None:
    """A symbolic link to itself."""
    path.symlink_to(path)


NOT_THERE: dict[str, Callable[[Path], object]] = {
    "a broken link": lambda ws: (ws / ".env").symlink_to(ws / "nowhere"),
    "a loop of links": lambda ws: a_loop(ws / ".env"),
    ".qwen is a file": lambda ws: (ws / ".qwen").write_text("OPENAI_MODEL=near"),
    ".qwen is a loop": lambda ws: a_loop(ws / ".qwen"),
    ".qwen is a broken link": lambda ws: (ws / ".qwen").symlink_to(ws / "nowhere"),
    "another name": lambda ws: put(ws / ".env.local", "near"),
}


@pytest.mark.parametrize("make", NOT_THERE.values(), ids=NOT_THERE)
def test_what_counts_as_not_there(ws: Path, make: Callable[[Path], object]) -> None:
    """The search goes on to the next directory, without a problem."""
    make(ws)
    put(ws.parent / ".env", "far")
    chain = search(ws)
    assert (model_of(chain), chain.problems) == ("far", ())


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "a directory": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "too large": lambda path: path.write_bytes(b"x" * 65537),
    "not UTF-8": lambda path: path.write_bytes(b"OPENAI_MODEL=\xff\n"),
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_ends_the_search(ws: Path, make: Callable[[Path], object]) -> None:
    """It is the one file, with its reason; a readable one further up is not taken in its place."""
    make(ws / ".env")
    put(ws.parent / ".env", "far")
    chain = search(ws)
    assert (model_of(chain), chain.file) == (None, str(ws / ".env"))
    assert chain.unreadable is not None
    assert chain.unreadable.file == str(ws / ".env")


def a_closed_folder(path: Path) -> Path:
    """One that nobody may enter."""
    path.mkdir()
    path.chmod(0)
    return path


CLOSED: dict[str, Callable[[Path], object]] = {
    ".qwen": lambda ws: a_closed_folder(ws / ".qwen"),
    ".qwen is a link": lambda ws: (ws / ".qwen").symlink_to(a_closed_folder(ws / "closed") / "below"),
    "the file is a link": lambda ws: (ws / ".env").symlink_to(a_closed_folder(ws / "closed") / "file"),
}


@pytest.mark.parametrize("make", CLOSED.values(), ids=CLOSED)
def test_what_cannot_be_reached_ends_the_search(
    ws: Path, owners: Owners, make: Callable[[Path], object]
) -> None:
    """Nobody can tell what is there; a stranger's is named and passed over; each is seen when it comes."""
    put(ws.parent / ".env", "far")
    system = EnvFileSystem(None, None, uid=ME)
    assert model_of(search_in(system, ws)) == "far"
    make(ws)
    (name,) = (path.name for path in ws.iterdir() if path.name != "closed")
    file = ws / ".env" if name == ".env" else ws / ".qwen" / ".env"
    with as_anybody():
        unreadable = search_in(system, ws).unreadable
        assert unreadable is not None
        assert (unreadable.file, unreadable.text) == (str(file), os.strerror(errno.EACCES))
        owners.give(ws / name, STRANGER)
        chain = search_in(system, ws)
    assert model_of(chain) == "far"
    assert [(p.file, str(STRANGER) in p.text) for p in chain.problems] == [(str(file), True)]


def test_the_largest_file_that_is_read(ws: Path) -> None:
    """64 KiB exactly."""
    text = "OPENAI_MODEL=near\n"
    (ws / ".env").write_text(text + "#" * (65536 - len(text)))
    assert model_of(search(ws)) == "near"


def test_a_link_to_the_users_own_file_is_the_users(ws: Path, tmp_path: Path) -> None:
    """By real path, however reached; a link to any other file is the project's."""
    home = tmp_path / "home"
    (ws / ".env").symlink_to(put(home / ".env", "home"))
    assert search(ws, home).tier.is_user
    (ws / ".env").unlink()
    (ws / ".env").symlink_to(put(home / "other.env", "other"))
    assert search(ws, home).tier.file == str(ws / ".env")


# --- when it is read --------------------------------------------------------------------------------------


def test_a_file_is_read_again_only_when_it_has_changed(ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look costs a stat; new bytes, a new file of the same size and time, and a return are all seen."""
    reads: list[Path] = []
    read = env_files.read

    def counted(path: Path, status: os.stat_result) -> Look:
        reads.append(path)
        return read(path, status)

    monkeypatch.setattr(env_files, "read", counted)
    monkeypatch.setattr(env_files, "SETTLED_AFTER", 0)
    system = EnvFileSystem(None, None, uid=None)

    def model() -> str | None:
        return model_of(system.search(str(ws), ())[0])

    path = put(ws / ".env", "one")
    assert [model(), model(), model(), len(reads)] == ["one", "one", "one", 1]
    put(path, "two")
    assert [model(), model(), len(reads)] == ["two", "two", 2]
    times = path.stat()
    other = put(ws / "other", "six")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)
    assert [model(), len(reads)] == ["six", 3]
    path.unlink()
    assert model() is None
    put(path, "six")
    assert [model(), len(reads)] == ["six", 4]


def test_a_file_that_is_written_during_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Met twice, as a home file above the folder is, it is one file; the next search sees the other."""
    home = tmp_path / "up"
    (home / "ws").mkdir(parents=True)
    path = put(home / ".env", "one")
    read = env_files.read

    def overtaken(*given: Any) -> Look:
        found = read(*given)
        path.write_text("")  # as an editor begins to save
        return found

    system = EnvFileSystem(home, None, uid=None)
    with monkeypatch.context() as writing:
        writing.setattr(env_files, "read", overtaken)
        chain, of_home = system.search(str(home / "ws"), ())
    assert [model_of(chain), model_of(of_home)] == ["one", "one"]
    assert model_of(system.search(str(home / "ws"), ())[0]) is None
    put(path, "two")
    assert list(map(model_of, system.search(str(home / "ws"), ()))) == ["two", "two"]


@pytest.mark.parametrize("tick", [10_000_000, 1_000_000_000, 2_000_000_000], ids="{:,} ns".format)
def test_two_changes_within_a_tick_of_the_disk(ws: Path, monkeypatch: pytest.MonkeyPatch, tick: int) -> None:
    """The second is seen too, though neither size nor time tells: many a disk counts times in ticks."""
    lstat = os.lstat

    def coarse(path: str) -> Any:
        status = lstat(path)
        fields = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        times = {name: fields[name] // tick * tick for name in ("st_mtime_ns", "st_ctime_ns")}
        return SimpleNamespace(**{**fields, **times})

    monkeypatch.setattr(os, "lstat", coarse)
    system = EnvFileSystem(None, None, uid=None)
    for number in range(1000, 1500):
        put(ws / ".env", str(number))
        assert model_of(search_in(system, ws)) == str(number)


def test_a_failure_that_passes_is_not_remembered(ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files just now says nothing about the next request."""
    put(ws / ".env", "near")
    system = EnvFileSystem(None, None, uid=None)

    def fail(path: Path, _: int) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    with monkeypatch.context() as failing:
        failing.setattr(env_files, "read_regular", fail)
        unreadable = system.search(str(ws), ())[0].unreadable
    assert unreadable is not None
    assert "open files" in unreadable.text
    assert model_of(system.search(str(ws), ())[0]) == "near"


def test_a_link_that_goes_takes_the_users_word_along(ws: Path, tmp_path: Path) -> None:
    """A file is the user's as long as the home's link leads to it, not as long as it stays the same."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".env").symlink_to(put(ws / ".env", "near"))
    system = EnvFileSystem(home, None, uid=None)
    assert system.search(str(ws), ())[0].tier.is_user
    (home / ".env").unlink()
    assert not system.search(str(ws), ())[0].tier.is_user
    (home / ".env").symlink_to(ws / ".env")
    assert system.search(str(ws), ())[0].tier.is_user


async def test_a_disk_that_does_not_answer(ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline the search is over: a problem in place of an answer, and nobody waits any longer."""
    put(ws / ".env", "near")
    answers = threading.Event()
    lstat = os.lstat

    def hang(path: str) -> os.stat_result:
        assert answers.wait(10)
        return lstat(path)

    monkeypatch.setattr(env_files, "DEADLINE", 0.05)
    monkeypatch.setattr(os, "lstat", hang)
    system = EnvFileSystem(None, None, uid=None)
    chain, home = await system.find(str(ws), ())
    answers.set()
    assert chain.unreadable is not None
    assert "did not answer" in chain.unreadable.text
    assert home.bindings == {}
    monkeypatch.setattr(env_files, "DEADLINE", 5)
    assert model_of((await system.find(str(ws), ()))[0]) == "near"


async def test_a_slow_disk_is_asked_by_one_at_a_time(ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes while it is asked waits for that, also where those before have gone; all see the latest."""
    put(ws / ".env", "near")
    answers, begun, asked = threading.Event(), threading.Event(), []
    search = EnvFileSystem.search

    def slow(self: EnvFileSystem, *given: Any) -> Any:
        asked.append(threading.current_thread())
        begun.set()
        assert answers.wait(20)
        return search(self, *given)

    monkeypatch.setattr(EnvFileSystem, "search", slow)
    monkeypatch.setattr(env_files, "DEADLINE", 20)
    system = EnvFileSystem(None, None, uid=None)
    gone = [asyncio.ensure_future(system.find(str(ws), ())) for _ in range(10)]
    await asyncio.get_running_loop().run_in_executor(None, begun.wait, 10)
    for each in gone:
        each.cancel()
    waiting = [asyncio.ensure_future(system.find(str(ws), ())) for _ in range(10)]
    await asyncio.wait(gone)
    assert len(asked) == 1
    answers.set()
    assert [model_of(chain) for chain, _ in await asyncio.gather(*waiting)] == ["near"] * 10


def test_a_search_leaves_nothing_to_the_collector(ws: Path) -> None:
    """A file that is not there leaves no error behind that holds on to who met it."""
    system = EnvFileSystem(None, None, uid=None)
    gc.disable()
    try:
        search_in(system, ws)
        looks = weakref.ref(system._known[str(ws), ()][0])
        system._known.clear()
        assert looks() is None
    finally:
        gc.enable()


async def test_a_silent_disk_is_not_asked_again(ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it has answered: it holds one thread, however often it is needed, and no other folder waits."""
    put(ws / ".env", "near")
    put(ws.parent / "other" / ".env", "other")
    answers, asked = threading.Event(), []
    lstat = os.lstat

    def hang(path: str) -> os.stat_result:
        if str(ws) in str(path) and not answers.is_set():
            asked.append(path)
            assert answers.wait(20)
        return lstat(path)

    monkeypatch.setattr(env_files, "DEADLINE", 0.2)
    monkeypatch.setattr(os, "lstat", hang)
    system = EnvFileSystem(None, None, uid=None)
    for _ in range(40):
        assert (await system.find(str(ws), ()))[0].unreadable is not None
    assert model_of((await system.find(str(ws.parent / "other"), ()))[0]) == "other"
    assert len(asked) == 1
    answers.set()
    end = time.monotonic() + 10
    while model_of((await system.find(str(ws), ()))[0]) != "near":
        assert time.monotonic() < end
