"""qwen_ls.lsp.folders: paths of URIs, what a folder's real path costs, a disk that does not tell it."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from qwen_ls.adapters import files
from qwen_ls.lsp.folders import Folders, path_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a%20b/c", "/a b/c"),
        ("file://localhost/a%20b/c", "/a b/c"),
        ("FILE://LocalHost/a", "/a"),
        ("file:/a", "/a"),
        ("file:///localhost/a", "/localhost/a"),
        ("file://localhost.example/a", "//localhost.example/a"),
        ("file:///a%00", None),
        ("untitled:a", None),
        ("https://localhost/a", None),
    ],
)
def test_the_path_of_a_uri(uri: str, path: str | None) -> None:
    """The host `localhost` is this machine, as none is (RFC 8089 section 2)."""
    assert path_of(uri) == path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder by its real name."""
    return tmp_path.resolve()


async def test_where_there_is_no_link_nothing_is_asked_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder's own name, and all within it, are known from the first time on."""
    folders, uri = Folders(), root.as_uri()
    (first,) = await folders.open([uri])
    monkeypatch.delattr(os.path, "realpath")
    assert await folders.open([uri]) == [first]
    assert await folders.of(f"{uri}/a.py", [uri]) == first


async def test_a_disk_that_does_not_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link counts as it was found last, and holds one thread; once it answers, it is as it is now."""
    link, begun, answers, asked = root / "link", threading.Event(), threading.Event(), []
    link.symlink_to("old")
    realpath = os.path.realpath

    def hang(path: str) -> str:
        asked.append(path)
        begun.set()
        assert answers.wait(20)
        return realpath(path)

    folders, uri = Folders(), link.as_uri()
    await folders.open([uri])
    link.unlink()
    link.symlink_to("new")
    monkeypatch.setattr(os.path, "realpath", hang)
    monkeypatch.setattr(files, "DEADLINE", 0.05)
    for _ in range(5):
        (folder,) = await folders.open([uri])
        assert folder.real == str(link.with_name("old"))
    await asyncio.get_running_loop().run_in_executor(None, begun.wait, 20)
    assert asked == [str(link)]
    answers.set()
    monkeypatch.setattr(files, "DEADLINE", 20)
    (folder,) = await folders.open([uri])
    assert folder.real == str(link.with_name("new"))
