"""qwen_ls.adapters.context_files against real files: what may go along with a message, and what may not."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from canary import canary
from qwen_ls.adapters import context_files
from qwen_ls.adapters.context_files import MAX_READ, WorkspaceFiles, off_the_loop
from qwen_ls.core.context import MAX_FILE, MOST_LISTED
from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from pathlib import Path

SECRET = canary("test_context_files")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace folder with a source file, and something beside it."""
    folder = tmp_path.resolve() / "ws"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("one\ntwo\n", encoding="utf-8")
    (folder.parent / "beside.txt").write_text("beside\n", encoding="utf-8")
    return folder


async def text_of(folder: Path | None, path: str, *, whole: bool = True) -> str:
    """What would go along."""
    files = WorkspaceFiles()
    located = await files.locate(None if folder is None else str(folder), path)
    return await files.read(located, whole=whole)


async def refusal(folder: Path | None, path: str, *, whole: bool = True) -> Problem:
    """Why a file does not go along."""
    with pytest.raises(Problem) as refused:
        await text_of(folder, path, whole=whole)
    assert SECRET not in refused.value.message
    return refused.value


# --- which file it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["src/a.py", "./src/../src/a.py", "{}/src/a.py"])
async def test_a_file_of_the_folder(folder: Path, spelling: str) -> None:
    """However its path is written, its text goes along, and it is shown relative to the folder."""
    path = spelling.format(folder)
    assert await text_of(folder, path) == "one\ntwo\n"
    located = await WorkspaceFiles().locate(str(folder), path)
    assert (located.shown, located.real) == ("src/a.py", str(folder / "src" / "a.py"))


async def test_a_link_inside_the_folder(folder: Path) -> None:
    """A link counts as what it leads to, and so does a folder that is reached by one."""
    (folder / "link.py").symlink_to("src/a.py")
    reached = folder.parent / "reached"
    reached.symlink_to(folder)
    assert await text_of(folder, "link.py") == await text_of(reached, "link.py") == "one\ntwo\n"
    assert (await WorkspaceFiles().locate(str(reached), "link.py")).shown == "src/a.py"


@pytest.mark.parametrize(
    "path", ["../beside.txt", "{}/beside.txt", "link", "out/beside.txt", "src/../../beside.txt"]
)
async def test_nothing_outside_the_folder(folder: Path, path: str) -> None:
    """Neither by dots, nor by an absolute path, nor by a link to a file or to a folder."""
    (folder / "link").symlink_to("../beside.txt")
    (folder / "out").symlink_to("..")
    problem = await refusal(folder, path.format(folder.parent))
    assert problem.kind is Kind.NOT_SUPPORTED
    assert "it lies outside the workspace folder" in problem.message


async def test_a_folder_with_a_longer_name_is_outside(folder: Path) -> None:
    """`ws-other` is not below `ws`."""
    other = folder.with_name("ws-other")
    other.mkdir()
    (other / "a").write_text("a", encoding="utf-8")
    assert "outside" in (await refusal(folder, str(other / "a"))).message


async def test_without_a_folder_nothing_is_read(folder: Path) -> None:
    """Where no folder is open there is no inside."""
    assert "no workspace folder is open" in (await refusal(None, str(folder / "src" / "a.py"))).message


async def test_a_path_that_is_none(folder: Path) -> None:
    """A NUL in a path is a refusal like any other."""
    assert "is no path to a file" in (await refusal(folder, "a\0b")).message


# --- secrets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [".env", ".env.local", ".qwen/.env", ".qwen/settings.json", "id_ed25519", "a.pem"]
)
async def test_files_with_secrets(folder: Path, name: str) -> None:
    """A file of such a name is refused, and so is a link to it under an innocent name, and the other way."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(SECRET, encoding="utf-8")
    (folder / "notes.txt").symlink_to(path)
    (folder / ".netrc").symlink_to("src/a.py")
    for spelling in (name, name.upper(), str(path), "notes.txt", f"src/../{name}", ".netrc"):
        assert "hold keys or passwords" in (await refusal(folder, spelling)).message


async def test_our_own_files_wherever_they_are(folder: Path) -> None:
    """The state folder and Qwen Code's settings are withheld by their real path, whatever they are called."""
    state, settings = folder / "state", folder / "cfg.json"
    state.mkdir()
    for path in (state / "anything.txt", settings):
        path.write_text(SECRET, encoding="utf-8")
    (folder / "way").symlink_to("state")
    files = WorkspaceFiles((folder / "way", settings))
    for withheld in ("state/anything.txt", "way/anything.txt", "cfg.json"):
        with pytest.raises(Problem) as refused:
            await files.locate(str(folder), withheld)
        assert "hold keys or passwords" in refused.value.message
    assert (await files.locate(str(folder), "src/a.py")).shown == "src/a.py"
    assert [one.name for one in await files.names(str(folder), "")] == ["src"]


async def test_a_selection_may_be_of_any_file_but_one_with_secrets(folder: Path) -> None:
    """Its text came from the editor, so the folder does not matter; the name still does."""
    files = WorkspaceFiles()
    beside = folder.parent / "beside.txt"
    for within in (str(folder), None):
        assert (await files.locate(within, str(beside), inside=False)).shown == str(beside)
        with pytest.raises(Problem):
            await files.locate(within, str(folder / ".env"), inside=False)


async def test_a_private_key_under_any_name(folder: Path) -> None:
    """Its first line gives it away."""
    (folder / "notes.txt").write_text(f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n", encoding="utf-8")
    assert "it is a private key" in (await refusal(folder, "notes.txt")).message


# --- what a file holds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"a\0b", b"\xff\xfe", "é".encode("latin-1"), "text".encode("utf-16")])
async def test_binary_files(folder: Path, data: bytes) -> None:
    """What is no text in UTF-8 is refused."""
    (folder / "a.bin").write_bytes(data)
    assert "it is not text in UTF-8" in (await refusal(folder, "a.bin")).message


async def test_text_is_read_as_editors_do(folder: Path) -> None:
    """Without its byte order mark, and with one kind of line end."""
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n\xc3\xa9")
    assert await text_of(folder, "a.txt") == "one\ntwo\nthree\né"


async def test_the_largest_file(folder: Path) -> None:
    """256 KiB go along, one byte more does not, and lines of a larger one are still read."""
    large = folder / "large.txt"
    large.write_bytes(b"x" * MAX_FILE)
    assert len(await text_of(folder, "large.txt")) == MAX_FILE
    large.write_bytes(b"x" * (MAX_FILE + 1))
    problem = await refusal(folder, "large.txt")
    assert (problem.kind, problem.message[:34]) == (Kind.TOO_LARGE, "large.txt is larger than 256 KiB. ")
    assert len(await text_of(folder, "large.txt", whole=False)) == MAX_FILE + 1
    os.truncate(large, MAX_READ + 1)
    assert (await refusal(folder, "large.txt", whole=False)).kind is Kind.TOO_LARGE


async def test_what_is_not_there(folder: Path) -> None:
    """A missing file, and one below a file, are named."""
    for path in ("gone.py", "src/a.py/b"):
        assert (await refusal(folder, path)).message.startswith(f"{path} is not there.")


async def test_what_is_no_file(folder: Path) -> None:
    """A folder and a FIFO are refused at once; nobody waits for a writer."""
    os.mkfifo(folder / "fifo")
    for path in ("src", "fifo"):
        assert "it is not a regular file" in (await refusal(folder, path)).message


async def test_a_file_that_may_not_be_read(folder: Path) -> None:
    """The system's own word is given; whoever may read everything sees a link that leads round in a ring."""
    (folder / "ring").symlink_to("ring")
    problem = await refusal(folder, "ring")
    assert problem.kind is Kind.NOT_SUPPORTED


async def test_a_disk_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than the deadline, and the thread's end is no surprise."""
    monkeypatch.setattr(context_files, "DEADLINE", 0.05)
    hangs = threading.Event()
    try:
        with pytest.raises(Problem) as late:
            await asyncio.wait_for(off_the_loop(lambda: hangs.wait(20), "a\nb.py"), 10)
    finally:
        hangs.set()
    assert late.value.retryable
    assert "did not answer" in late.value.message
    assert "a b.py" in late.value.message


# --- names --------------------------------------------------------------------------------------------------


async def test_names(folder: Path) -> None:
    """Folders first, then files; none that is hidden, holds secrets, or leads out."""
    for name in (".hidden", ".env", "b.txt", "a.txt", "server.key"):
        (folder / name).write_text("x", encoding="utf-8")
    (folder / "out").symlink_to("..")
    (folder / "plain.txt").symlink_to(".env")
    (folder / "gone").symlink_to("nowhere")
    (folder / "linked").symlink_to("src")
    files = WorkspaceFiles()
    found = [(one.name, one.is_folder) for one in await files.names(str(folder), "")]
    assert found == [("linked", True), ("src", True), ("a.txt", False), ("b.txt", False), ("gone", False)]
    assert [one.name for one in await files.names(str(folder), "src/")] == ["a.py"]
    for path in ("..", "out", "nowhere", "a.txt", "a\0", "/"):
        assert await files.names(str(folder), path) == []
    assert await files.names(None, "") == []


async def test_a_folder_of_many_names(folder: Path) -> None:
    """No more than two hundred are told."""
    for number in range(MOST_LISTED + 50):
        (folder / "src" / f"{number:03}.py").touch()
    found = await WorkspaceFiles().names(str(folder), "src")
    assert [one.name for one in found] == [f"{number:03}.py" for number in range(MOST_LISTED)]
    found = await WorkspaceFiles().names(str(folder), "src", "24")
    assert [one.name for one in found] == [f"{number}.py" for number in range(240, 250)]


async def test_names_that_begin_so(folder: Path) -> None:
    """The case of letters does not matter."""
    (folder / "README.md").touch()
    (folder / "reading.txt").touch()
    found = await WorkspaceFiles().names(str(folder), "", "rEa")
    assert [one.name for one in found] == ["README.md", "reading.txt"]
