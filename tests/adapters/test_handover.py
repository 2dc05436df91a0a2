"""The hand-over folder: who may enter, what is taken, what is left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from canary import canary
from qwen_ls.adapters.handover import Handover, HandoverRefused, read_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCES = Path(__file__).parents[2] / "server"
NAME = "Az09_-" + "x" * 26
DEADLINE = 20.0  # seconds


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """What XDG_RUNTIME_DIR should be."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def handover(tmp_path: Path, runtime: Path) -> Iterator[Handover]:
    """One whose folder exists."""
    made = Handover(lambda: tmp_path / "state", runtime)
    made.create()
    yield made
    made.remove()


def put(handover: Handover, data: bytes | str, name: str = NAME, mode: int = 0o600) -> Path:
    """What a client does."""
    assert handover.folder is not None
    path = handover.folder / name
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    path.chmod(mode)
    return path


def refused(handover: Handover, name: str = NAME) -> str:
    """The reason for which it is not taken."""
    with pytest.raises(HandoverRefused) as caught:
        handover.take(name)
    return str(caught.value)


def age(folder: Path, seconds: float = 61) -> None:
    """Make a folder look older than it is."""
    then = folder.stat().st_mtime - seconds
    os.utime(folder, (then, then))


# --- the folder ----------------------------------------------------------------------------------


def test_the_folder_is_new_and_its_owners_alone(tmp_path: Path, runtime: Path) -> None:
    """It stands in XDG_RUNTIME_DIR, with a name nobody can guess, and only its owner may enter."""
    before = os.umask(0)
    try:
        folders = [Handover(lambda: tmp_path / "state", runtime).create() for _ in range(2)]
    finally:
        os.umask(before)
    assert {folder.parent for folder in folders} == {runtime}
    assert folders[0] != folders[1]
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700, 0o700]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("case", ["unset", "missing", "open to others", "a link", "a file", "relative"])
def test_it_stands_in_the_state_folder_where_the_runtime_folder_is_not_private(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """A runtime folder that others could enter or swap, or that is none, is not used."""
    monkeypatch.chdir(tmp_path)
    link, file, shared = tmp_path / "link", tmp_path / "file", tmp_path / "shared"
    link.symlink_to(runtime)
    file.touch(mode=0o600)
    shared.mkdir()
    shared.chmod(0o750)
    named = {
        "unset": None,
        "missing": tmp_path / "nowhere",
        "open to others": shared,
        "a link": link,
        "a file": file,
        "relative": Path(runtime.name),
    }
    folder = Handover(lambda: tmp_path / "state", named[case]).create()
    assert folder.parent == tmp_path / "state"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_another_users_runtime_folder_is_not_used(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `sudo`, which keeps the variable of whoever called it."""
    monkeypatch.setattr(os, "geteuid", lambda: runtime.stat().st_uid + 1)
    assert Handover(lambda: tmp_path / "state", runtime).create().parent == tmp_path / "state"


def test_removing_takes_everything_along(handover: Handover, runtime: Path) -> None:
    """A key that nobody fetched does not outlive the server; twice is once."""
    assert handover.hold()
    put(handover, "key")
    assert handover.folder is not None
    (handover.folder / "sub").mkdir()
    handover.remove()
    handover.remove()
    assert list(runtime.iterdir()) == []
    assert refused(handover) == "there is no hand-over folder"


def test_removing_follows_no_link(handover: Handover, tmp_path: Path) -> None:
    """What a link in it points to stays."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    assert handover.folder is not None
    (handover.folder / "link").symlink_to(kept)
    handover.remove()
    assert (kept / "file").exists()


# --- a file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["sk-1", "sk-1\n", "sk-1\r\n"])
def test_a_file_is_read_once(handover: Handover, written: str) -> None:
    """Its text without one line ending; then it is gone."""
    path = put(handover, written)
    assert handover.take(NAME) == "sk-1"
    assert not path.exists()
    assert "cannot be opened" in refused(handover)


def test_a_file_may_hold_8_kib_and_any_script(handover: Handover) -> None:
    """A byte more is refused; letters beyond ASCII are text."""
    put(handover, "k" * 8192)
    assert handover.take(NAME) == "k" * 8192
    put(handover, "k" * 8193)
    assert "8192 bytes" in refused(handover)
    put(handover, '{"key": "Schlüssel 钥匙"}')
    assert handover.take(NAME) == '{"key": "Schlüssel 钥匙"}'


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 31,
        "x" * 33,
        "x" * 32 + "\n",
        "/" + "x" * 31,
        "../" + "x" * 29,
        "." * 32,
        ".lock",
        "x" * 31 + ".",
        "x" * 31 + "ä",
        "x" * 31 + "٣",
        "x" * 31 + "\0",
    ],
)
def test_a_name_that_is_not_of_the_form_is_refused_before_anything_is_touched(
    handover: Handover, name: str, tmp_path: Path
) -> None:
    """No other file can be reached, read or deleted by a name."""
    (tmp_path / "run" / ("x" * 29)).write_text("outside")
    assert handover.hold()
    before = sorted(tmp_path.rglob("*"))
    assert "32 characters" in refused(handover, name)
    assert sorted(tmp_path.rglob("*")) == before


CONTENTS = {
    "nothing": b"",
    "a line feed": b"\n",
    "two lines": b"sk-1\nsk-2",
    "two line feeds": b"sk-1\n\n",
    "no UTF-8": b"sk-\xff\xfe",
    "a NUL": b"sk-\0",
    "an escape": b"sk-\x1b[2J",
    "a tab": b"sk-\t1",
    "a C1 control": "sk-\x9b".encode(),
    "a bidi mark": "sk-\u202e1".encode(),
    "a line separator": "sk-\u2028".encode(),
    "a byte order mark": "\ufeffsk-1".encode(),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_not_one_line_of_text_is_refused_and_deleted(handover: Handover, content: str) -> None:
    """The file may hold a key all the same, so it does not stay."""
    path = put(handover, CONTENTS[content])
    refused(handover)
    assert not path.exists()


def test_a_refusal_does_not_carry_the_content(handover: Handover) -> None:
    """Neither its text nor a decoder's error behind it."""
    secret = canary("handed over with a bad byte")
    put(handover, secret.encode() + b"\xff")
    with pytest.raises(HandoverRefused) as caught:
        handover.take(NAME)
    told = [*traceback.format_exception(caught.value), repr(caught.value.__context__)]
    assert secret not in "".join(told)
    assert caught.value.__context__ is None


def linked(path: Path) -> None:
    """A second name for a file that stands elsewhere."""
    target = path.parents[1] / "target"
    target.write_text("somebody's secret")
    target.chmod(0o600)
    path.hardlink_to(target)


def symlinked(path: Path) -> None:
    """A link to a file that would be taken if it stood here."""
    target = path.parents[1] / "target"
    target.write_text("somebody's secret")
    target.chmod(0o600)
    path.symlink_to(target)


def socketed(path: Path) -> None:
    """A socket."""
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("make", [linked, symlinked, socketed, os.mkfifo, Path.mkdir])
def test_only_a_plain_file_is_taken(handover: Handover, make: Callable[[Path], None]) -> None:
    """Links, FIFOs, sockets and folders are refused at once; none of them blocks, no target is harmed."""
    assert handover.folder is not None
    path = handover.folder / NAME
    make(path)
    reason = refused(handover)
    assert "plain file" in reason or "cannot be opened" in reason
    target = handover.folder.parent / "target"
    assert not target.exists() or target.read_text() == "somebody's secret"
    assert path.is_dir() or not os.path.lexists(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604, 0o610])
def test_a_file_that_others_can_touch_is_refused_and_deleted(handover: Handover, mode: int) -> None:
    """Whoever wrote it so has to be told; the key does not stay."""
    path = put(handover, "sk-1", mode=mode)
    assert "mode 0600" in refused(handover)
    assert not path.exists()


def test_another_users_file_is_refused(handover: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is compared with the user running."""
    path = put(handover, "sk-1")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert "owner" in refused(handover)


def test_of_two_that_take_the_same_file_one_gets_it(
    handover: Handover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read it before either deletes it: still it is handed over once."""
    put(handover, "sk-1")
    both_read = threading.Barrier(2, timeout=DEADLINE)
    taken, not_taken = list[str](), list[str]()

    def read_and_wait(path: Path) -> bytes:
        data = read_private(path)
        both_read.wait()
        return data

    def take() -> None:
        try:
            taken.append(handover.take(NAME))
        except HandoverRefused as reason:
            not_taken.append(str(reason))

    monkeypatch.setattr("qwen_ls.adapters.handover.read_private", read_and_wait)
    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert (len(taken), len(not_taken)) == (1, 1)
    assert "deleted" in not_taken[0]


# --- other servers -------------------------------------------------------------------------------


SERVER = """
import sys
from pathlib import Path
from qwen_ls.adapters.handover import Handover
handover = Handover(lambda: Path(sys.argv[1]), Path(sys.argv[2]))
print(handover.create(), handover.hold(), flush=True)
sys.stdin.read()
"""


def test_a_living_servers_folder_stays_and_a_killed_ones_goes(tmp_path: Path, runtime: Path) -> None:
    """Its lock tells, not its age; the lock falls when the process is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, tmp_path / "state", runtime],
        env={"PATH": os.defpath, "PYTHONPATH": str(SOURCES)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as other:
        assert other.stdout is not None
        path, held = other.stdout.readline().split()
        folder = Path(path)
        assert (folder.parent, held) == (runtime, "True")
        (folder / NAME).write_text("a key that it never fetched")
        age(folder, 100_000)
        mine = Handover(lambda: tmp_path / "state", runtime)
        assert mine.sweep() == 0
        assert folder.exists()
        other.kill()
        other.wait(DEADLINE)
    assert mine.sweep() == 1
    assert not folder.exists()


def test_a_server_that_died_before_it_held_its_folder_is_swept_after_a_minute(
    tmp_path: Path, runtime: Path
) -> None:
    """A new folder has that long to get its lock; in both places."""
    others = [Handover(lambda: tmp_path / "state", place).create() for place in (runtime, None)]
    mine = Handover(lambda: tmp_path / "state", runtime)
    own = mine.create()
    assert mine.sweep() == 0
    for folder in (*others, own):
        age(folder, 59)
    assert mine.sweep() == 0
    for folder in (*others, own):
        age(folder, 2)
    assert mine.sweep() == 2
    assert [folder.exists() for folder in (*others, own)] == [False, False, True]


def test_sweeping_touches_nothing_else(tmp_path: Path, runtime: Path) -> None:
    """Only folders of that name that are the user's own; no link, no file, nobody else's."""
    name = "qwen-ls-" + "0" * 31
    target = tmp_path / "target"
    for folder in (target, runtime / "qwen-ls-notes", runtime / f"{name}x", runtime / f"{name}1"):
        folder.mkdir(mode=0o700)
    (runtime / f"{name}1").chmod(0o755)
    (runtime / f"{name}2").symlink_to(target)
    (runtime / f"{name}3").touch()
    before = sorted(runtime.iterdir())
    for path in before:
        os.utime(path, (0, 0))
    os.utime(target, (0, 0))
    assert Handover(lambda: tmp_path / "state", runtime).sweep() == 0
    assert sorted(runtime.iterdir()) == before
    assert Handover(lambda: tmp_path / "no state", None).sweep() == 0


def test_holding_needs_a_folder_and_happens_once(handover: Handover, tmp_path: Path) -> None:
    """Without a folder there is nothing to hold; a second call changes nothing."""
    assert Handover(lambda: tmp_path / "state").hold() is False
    assert handover.hold() is True
    assert handover.hold() is True
    assert handover.folder is not None
    assert [path.name for path in handover.folder.iterdir()] == [".lock"]
    assert (handover.folder / ".lock").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_locked_is_used_without(
    handover: Handover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without locks costs no key; hold says so."""

    def unlockable(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("filelock.FileLock._acquire", unlockable)
    assert handover.hold() is False
    put(handover, "sk-1")
    assert handover.take(NAME) == "sk-1"
