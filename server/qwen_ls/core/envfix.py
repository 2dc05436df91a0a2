"""What can be done at a line of an open `.env` file: the server's own commands, by file name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.envlint import known
from qwen_ls.core.envview import Role
from qwen_ls.core.providers import KEY_VARIABLES
from qwen_ls.core.stored import FOLDER, USER, Target

if TYPE_CHECKING:
    from qwen_ls.core.envview import View


CHECK = "Qwen: Check this key"
TO_FOLDER = "Qwen: Move this key to the keyring (this folder)"
TO_USER = "Qwen: Move this key to the keyring (for you)"
MOVE = "Qwen: Move to .qwen/.env"
IGNORE = "Qwen: Add this file to .gitignore"
OPEN = "Qwen: Open the .env file that is read"

# What each title does, as a command of the server.
TITLES = {
    CHECK: "qwen.env.check",
    TO_FOLDER: "qwen.env.moveToKeyring",
    TO_USER: "qwen.env.moveToKeyring",
    MOVE: "qwen.env.move",
    IGNORE: "qwen.env.ignore",
    OPEN: "qwen.env.open",
}
ANSWERS = {
    TO_FOLDER: frozenset({"env.tracked", "env.not-ignored", "env.permissions"}),
    TO_USER: frozenset({"env.tracked", "env.not-ignored", "env.permissions"}),
    MOVE: frozenset({"env.excluded"}),
    IGNORE: frozenset({"env.not-ignored"}),
    OPEN: frozenset({"env.shadowed"}),
}


@attrs.frozen
class Fix:
    """Something to do at a line.

    `file` is what its command is about, `variable` and `target` are further arguments.
    """

    title: str
    file: str
    variable: str | None = None
    target: Target | None = None

    @property
    def command(self) -> str:
        """The server's command."""
        return TITLES[self.title]

    @property
    def codes(self) -> frozenset[str]:
        """The findings that it answers."""
        return ANSWERS.get(self.title, frozenset())


def fixes(view: View, first: int, last: int) -> list[Fix]:
    """What can be done on the lines from `first` to `last`, from 1."""
    here = [b for b in known(view) if b.line <= last and b.last >= first]
    found: list[Fix] = []
    for binding in here:
        if binding.name in KEY_VARIABLES:
            found += key_fixes(view, binding.name)
    if here and is_movable(view):
        found.append(Fix(MOVE, view.path))
    if view.keys and view.file.git.ignored is False and not view.file.git.tracked:
        found.append(Fix(IGNORE, view.path))
    if here and view.winner is not None and view.role is Role.SHADOWED:
        found.append(Fix(OPEN, view.winner))
    return found


def key_fixes(view: View, name: str) -> list[Fix]:
    """What can be done with a key."""
    found = [Fix(CHECK, view.path, name)]
    if view.facts.folder is not None:
        found.append(Fix(TO_FOLDER, view.path, name, FOLDER))
    return [*found, Fix(TO_USER, view.path, name, USER)]


def is_movable(view: View) -> bool:
    """Whether it is a plain `.env`, and `.qwen/.env` beside it is looked at too."""
    chain = view.facts.environment.chain
    if view.file.rank is None or view.role in {Role.FOREIGN, Role.UNREADABLE}:
        return False
    path = chain.candidates[view.file.rank].path
    return path.parent.name != ".qwen" and (path.parent / ".qwen" / ".env") in {
        c.path for c in chain.candidates
    }
