"""qwen_ls.adapters.env_disk: where a file stands, what may be changed, and changes in one step."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from qwen_ls.adapters.env_disk import EnvDisk
from qwen_ls.core.envchain import home_candidates, project_candidates
from qwen_ls.core.envfile import MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def disk() -> EnvDisk:
    """The disk as the server has it."""
    return EnvDisk()


# --- where it stands ----------------------------------------------------------------------------------


async def test_a_files_place_in_each_search(tmp_path: Path, disk: EnvDisk) -> None:
    """By its name, whether it is there or not; None where nobody looks at it."""
    upward = [c.path for c in project_candidates(tmp_path / "a" / "b")]
    homes = [c.path for c in home_candidates(tmp_path / "home", None)]
    for file, ranks in (
        (tmp_path / "a" / "b" / ".qwen" / ".env", (0, None)),
        (tmp_path / "a" / ".env", (3, None)),
        (tmp_path / "home" / ".env", (None, 1)),
        (tmp_path / "c" / ".env", (None, None)),
    ):
        assert (await disk.inspect(str(file), [upward, homes])).ranks == ranks


async def test_a_place_reached_by_links(tmp_path: Path, disk: EnvDisk) -> None:
    """A folder opened through a link, and a `.qwen` or a file that is one, are the same file."""
    real = tmp_path / "real"
    (real / "dot").mkdir(parents=True)
    (real / "dot" / ".env").write_text("")
    (real / ".qwen").symlink_to(real / "dot")
    (tmp_path / "link").symlink_to(real)
    searches = [[c.path for c in project_candidates(real)]]
    for file in (tmp_path / "link" / ".qwen" / ".env", real / "dot" / ".env"):
        assert (await disk.inspect(str(file), searches)).ranks == (0,)
    assert (await disk.inspect(str(tmp_path / "link" / ".env"), searches)).ranks == (1,)


async def test_permission_bits(tmp_path: Path, disk: EnvDisk) -> None:
    """Those of the file, or of what a link leads to; none where there is no file."""
    file = tmp_path / ".env"
    assert (await disk.inspect(str(file), [])).mode is None
    file.write_text("")
    file.chmod(0o640)
    (tmp_path / "link").symlink_to(file)
    assert (await disk.inspect(str(file), [])).mode == 0o640
    assert (await disk.inspect(str(tmp_path / "link"), [])).mode == 0o640


# --- what may be changed --------------------------------------------------------------------------------


async def test_a_text_is_read_as_it_stands(tmp_path: Path, disk: EnvDisk) -> None:
    """Byte order mark and line ends belong to it."""
    file = tmp_path / ".env"
    assert await disk.read(str(file)) is None
    assert await disk.read(str(tmp_path / "gone" / ".env")) is None
    file.write_bytes("\ufeffA='é'\r\nB=1\r".encode())
    assert await disk.read(str(file)) == "\ufeffA='é'\r\nB=1\r"


async def test_what_may_not_be_changed(tmp_path: Path, disk: EnvDisk) -> None:
    """Links, folders, pipes, other encodings, files that are too large, and another user's."""
    target = tmp_path / "target"
    target.write_text("A=1\n")
    cases = {"link": "a link", "folder": "regular", "fifo": "regular", "utf16": "UTF-8", "large": "64 KiB"}
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "utf16").write_bytes("A=1".encode("utf-16"))
    (tmp_path / "large").write_bytes(b"x" * (MAX_BYTES + 1))
    for name, why in cases.items():
        with pytest.raises(OSError, match=why):
            await disk.read(str(tmp_path / name))
    with pytest.raises(OSError, match="another user"):
        await EnvDisk(uid=target.stat().st_uid + 1).read(str(target))


async def test_a_link_to_a_qwen_folder_is_no_way_out(tmp_path: Path, disk: EnvDisk) -> None:
    """Nothing is read or made behind it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".qwen").symlink_to(tmp_path / "elsewhere")
    file = str(tmp_path / ".qwen" / ".env")
    with pytest.raises(OSError, match="a link"):
        await disk.read(file)
    with pytest.raises(OSError, match="a link"):
        await disk.replace(file, None, "A=1\n")
    assert list((tmp_path / "elsewhere").iterdir()) == []


# --- changes ----------------------------------------------------------------------------------------------


async def test_a_file_is_replaced_in_one_step(tmp_path: Path, disk: EnvDisk) -> None:
    """Whoever has the old one open reads it to its end; the new one is the owner's alone; no litter."""
    file = tmp_path / ".env"
    file.write_text("A=1\n")
    file.chmod(0o644)
    with file.open() as old:
        await disk.replace(str(file), "A=1\n", "B=2\r\n")
        assert old.read() == "A=1\n"
    assert file.read_bytes() == b"B=2\r\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [name for _, _, names in os.walk(tmp_path) for name in names] == [file.name]


async def test_a_new_file_has_a_private_folder(tmp_path: Path, disk: EnvDisk) -> None:
    """`.qwen` is made, for its owner alone."""
    file = tmp_path / ".qwen" / ".env"
    await disk.replace(str(file), None, "A=1\n")
    assert [stat.S_IMODE(p.stat().st_mode) for p in (file, file.parent)] == [0o600, 0o700]


@pytest.mark.parametrize("before", [None, "A=0\n", "A=1"])
async def test_a_file_that_has_changed_is_left_alone(
    tmp_path: Path, disk: EnvDisk, before: str | None
) -> None:
    """What somebody wrote meanwhile is not overwritten, nor is a file that has come meanwhile."""
    file = tmp_path / ".env"
    file.write_text("A=1\n")
    with pytest.raises(OSError, match="changed meanwhile"):
        await disk.replace(str(file), before, "B=2\n")
    assert file.read_text() == "A=1\n"


# --- .gitignore -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rules", "after"),
    [
        (".env", None, "/.env\n"),
        (".env", "*.pyc", "*.pyc\n/.env\n"),
        (".env", "# all\n.env\n", "# all\n.env\n"),
        (".env", "/.qwen/.env\n", "/.qwen/.env\n/.env\n"),
        (".qwen/.env", "/.env\n", "/.env\n/.qwen/.env\n"),
        (".qwen/.env", ".qwen/\n", ".qwen/\n"),
    ],
)
async def test_a_rule_is_added_once(
    tmp_path: Path, disk: EnvDisk, name: str, rules: str | None, after: str
) -> None:
    """In the folder that holds the file, or its `.qwen`, at the end, unless a line covers it."""
    (tmp_path / ".git").mkdir()
    if rules is not None:
        (tmp_path / ".gitignore").write_text(rules)
    for _ in range(2):
        assert await disk.ignore(str(tmp_path / name)) == str(tmp_path / ".gitignore")
    assert (tmp_path / ".gitignore").read_text() == after


async def test_rules_behind_a_link_are_left_alone(tmp_path: Path, disk: EnvDisk) -> None:
    """Git does not read such a file, and what it leads to may be anything."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "target").write_text("mine\n")
    (tmp_path / ".gitignore").symlink_to(tmp_path / "target")
    assert await disk.ignore(str(tmp_path / ".env")) is None
    assert (tmp_path / "target").read_text() == "mine\n"
