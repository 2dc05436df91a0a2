"""qwen_ls.adapters.chat_files: where new chat documents are made, and where not."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from qwen_ls.adapters import chat_files
from qwen_ls.adapters.chat_files import ChatFolder
from qwen_ls.adapters.files import in_time


def look(file: str) -> tuple[str, str, int]:
    """A file's name, text and permissions."""
    path = Path(file)
    return path.name, path.read_text(encoding="utf-8"), stat.S_IMODE(path.stat().st_mode)


async def test_documents_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    """Nothing that is there is written over, and only its owner reads a chat."""
    chats = ChatFolder(tmp_path / "home")
    made = [await chats.create(str(tmp_path), "now", text) for text in ("one\n", "two\n")]
    assert [look(file) for file in made] == [
        ("now.qwen.md", "one\n", 0o600),
        ("now-2.qwen.md", "two\n", 0o600),
    ]
    assert look(str(tmp_path / ".qwen" / "chats" / ".gitignore"))[1] == "*\n"


async def test_without_a_folder(tmp_path: Path) -> None:
    """It stands in the user's own folder, which no git looks at."""
    made = await ChatFolder(tmp_path / "home").create(None, "now", "text")
    assert made == str(tmp_path / "home" / "chats" / "now.qwen.md")
    assert os.listdir(tmp_path / "home" / "chats") == ["now.qwen.md"]  # noqa: PTH208 - names are all it needs


@pytest.mark.parametrize("link", [".qwen", ".qwen/chats"])
async def test_a_link_of_a_repository_leads_nowhere(tmp_path: Path, link: str) -> None:
    """What a stranger has put in the folder's place is refused, and nothing is written through it."""
    elsewhere, place = tmp_path / "elsewhere", tmp_path / "ws" / link
    elsewhere.mkdir()
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere)
    with pytest.raises(OSError, match="it is a link") as refused:
        await ChatFolder(tmp_path).create(str(tmp_path / "ws"), "now", "text")
    assert refused.value.filename == str(place)
    assert not any(elsewhere.iterdir())


async def test_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than the deadline; why is an OSError like any other."""
    hangs = threading.Event()
    monkeypatch.setattr(chat_files, "make_private_folder", lambda _: hangs.wait(20))
    monkeypatch.setattr(chat_files, "in_time", lambda work: in_time(work, 0.05))
    try:
        with pytest.raises(OSError, match="did not answer") as late:
            await ChatFolder(tmp_path).create(str(tmp_path), "now", "text")
    finally:
        hangs.set()
    assert late.value.strerror
