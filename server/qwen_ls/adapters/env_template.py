"""Making a `.qwen/.env`: from a template, private, and kept out of git."""

from __future__ import annotations

import os
from errno import ELOOP
from typing import TYPE_CHECKING

from qwen_ls.adapters.files import PRIVATE_FILE, PRIVATE_FOLDER, read_regular

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = """\
# Read by qwen-ls and by Qwen Code: the first file found from the workspace folder upward counts.
# Values are taken as they stand, without $VARIABLES. Keep this file out of version control.

# OPENAI_API_KEY=
# OPENAI_BASE_URL=https://api.openai.com/v1
# OPENAI_MODEL=

# Or a provider's own key, which goes to that provider:
# DASHSCOPE_API_KEY=
# BAILIAN_CODING_PLAN_API_KEY=
# OPENROUTER_API_KEY=
"""
RULE = "/.qwen/.env"
ANYWHERE = frozenset({".env", "**/.env"})
COVERED_BY = ANYWHERE | {RULE, ".qwen/.env", ".qwen", "/.qwen", ".qwen/", "/.qwen/", ".qwen/*"}
MAX_IGNORE_BYTES = 1024 * 1024


def prepare(folder: Path, *, in_qwen_home: bool = False) -> tuple[str, bool, bool]:
    """Make `.qwen/.env` in `folder` (or `.env` in it, if it is Qwen's home folder itself) and ignore it.

    Returns the path, whether it is new, and whether git ignores it now. Raises OSError.
    """
    qwen = folder if in_qwen_home else folder / ".qwen"
    if not in_qwen_home and qwen.is_symlink():
        raise OSError(ELOOP, "it is a link, and may lead anywhere", str(qwen))
    qwen.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    file = qwen / ".env"
    created = True
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(file, flags, PRIVATE_FILE)
    except FileExistsError:
        created = False
    else:
        with os.fdopen(descriptor, "w", encoding="utf-8") as text:
            text.write(TEMPLATE)
    return str(file), created, in_qwen_home or ignore(folder)


def ignore(folder: Path, rule: str = RULE) -> bool:
    """Add a rule to `.gitignore` in a git work tree, once; whether it stands there (true outside of one)."""
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return True
    path = folder / ".gitignore"
    if path.is_symlink():  # git does not read it, and what it points to may be anything
        return False
    data = read_regular(path, MAX_IGNORE_BYTES) or b""
    if len(data) > MAX_IGNORE_BYTES:
        return False
    lines = {line.strip() for line in data.decode("utf-8", "replace").splitlines()}
    covered = COVERED_BY if rule == RULE else ANYWHERE | {rule}
    if not lines & covered:
        with path.open("ab") as file:
            file.write((b"" if not data or data.endswith(b"\n") else b"\n") + rule.encode() + b"\n")
    return True
