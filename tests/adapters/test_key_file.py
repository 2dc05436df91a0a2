"""qwen_ls.adapters.key_file: keys in a plain file, none of which is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from qwen_ls.adapters.key_file import PlainKeyFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "state" / "keys.json"


def mode(path: Path) -> int:
    """A file's permission bits."""
    return path.stat().st_mode & 0o777


def write(path: Path, data: bytes) -> None:
    """Make the file as somebody would by hand."""
    path.parent.mkdir(mode=0o700)
    path.write_bytes(data)
    path.chmod(0o600)


def read(path: Path) -> bytes:
    """All of a file."""
    return path.read_bytes()


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return [each.name for each in folder.iterdir()]


def is_folder(path: Path) -> bool:
    """Whether it still is one."""
    return path.is_dir()


def make_folder(path: Path) -> Path:
    """Put a folder where the file should be."""
    path.mkdir(parents=True)
    return path


async def test_keys_come_back(path: Path) -> None:
    """Each by its name, in a file for its owner alone; a removed one does not."""
    file = PlainKeyFile(path)
    assert await file.read("a") is None
    await file.write("a", "one")
    await file.write("b", "two")
    await file.remove("a")
    assert (await file.read("a"), await PlainKeyFile(path).read("b")) == (None, "two")
    assert mode(path) == 0o600
    await file.remove("b")
    await file.write("b", "three")
    assert sorted(names(path.parent)) == ["keys.json", "keys.lock"]


@pytest.mark.parametrize("text", ['{"a": "one",}', "[]", "null", "\xff"])
async def test_a_file_that_makes_no_sense_is_kept(path: Path, text: str) -> None:
    """A comma too many, put in by hand, costs no key: the file is moved aside before a new one is written."""
    write(path, text.encode("latin-1"))
    file = PlainKeyFile(path)
    assert await file.read("a") is None
    await file.write("b", "two")
    aside = path.with_suffix(".bad")
    assert (read(aside), mode(aside)) == (text.encode("latin-1"), 0o600)
    assert json.loads(read(path)) == {"b": "two"}


async def test_a_file_that_cannot_be_read_is_not_replaced(path: Path) -> None:
    """A key is refused then, and no other is lost."""
    file = PlainKeyFile(make_folder(path))
    assert await file.read("a") is None
    with pytest.raises(OSError, match="not a regular file"):
        await file.write("a", "one")
    assert is_folder(path)
