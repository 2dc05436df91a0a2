"""Chat documents on the disk: `.qwen/chats/` of a workspace folder, which keeps itself out of git."""

from __future__ import annotations

import os
from errno import EEXIST, ELOOP
from functools import partial
from pathlib import Path

import attrs

from qwen_ls.adapters.files import PRIVATE_FILE, in_time, make_private_folder

IGNORE = ".gitignore"
IGNORE_ALL = "*\n"
MOST_OF_A_NAME = 1000  # documents of one name before giving up


@attrs.frozen
class ChatFolder:
    """Makes documents in workspace folders, and in `home` where there is none."""

    home: Path

    async def create(self, folder: str | None, name: str, text: str) -> str:
        """Make a document under a name like `name`; its path. Raises OSError."""
        return await in_time(partial(self.make, folder, name, text))

    def make(self, folder: str | None, name: str, text: str) -> str:
        """The same, in this thread."""
        from qwen_ls.core.chatdoc import SUFFIX  # noqa: PLC0415 - all about documents, for one name

        chats = self.home / "chats" if folder is None else Path(folder) / ".qwen" / "chats"
        for place in (chats.parent, chats) if folder is not None else ():
            if place.is_symlink():
                raise OSError(ELOOP, "it is a link, and may lead anywhere", str(place))
        make_private_folder(chats)
        if folder is not None:
            write_new(chats / IGNORE, IGNORE_ALL)
        for number in range(1, MOST_OF_A_NAME):
            path = chats / f"{name}{'' if number == 1 else f'-{number}'}{SUFFIX}"
            if write_new(path, text):
                return str(path)
        raise OSError(EEXIST, os.strerror(EEXIST), str(chats))


def write_new(path: Path, text: str) -> bool:
    """Write a file that is not there yet, for its owner alone; whether it was not. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags, PRIVATE_FILE)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return True
