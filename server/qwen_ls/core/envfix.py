"""What can be done at a line of an open `.env` file: the server's own commands, by file name alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.envlint import known
from qwen_ls.core.envview import Role
from qwen_ls.core.providers import KEY_VARIABLES
from qwen_ls.core.stored import FOLDER, USER, Target

if TYPE_CHECKING:
    from qwen_ls.core.envfile import Binding
    from qwen_ls.core.envview import View


@attrs.frozen
class Fix:
    """Something to do at a line: a server command, and the findings that it answers.

    `file` is what the command is about, `variable` and `target` its further arguments.
    """

    title: str
    command: str
    file: str
    variable: str | None = None
    target: Target | None = None
    codes: frozenset[str] = frozenset()


LEAKS = frozenset({"env.tracked", "env.not-ignored", "env.permissions"})


def fixes(view: View, first: int, last: int) -> list[Fix]:
    """What can be done on the lines from `first` to `last`, from 1."""
    here = [b for b in known(view) if b.line <= last and b.last >= first]
    path = view.path
    found: list[Fix] = []
    for binding in here:
        if binding.name in KEY_VARIABLES:
            found += key_fixes(view, binding)
    if here and is_movable(view):
        moved = frozenset({"env.excluded"})
        found.append(Fix("Qwen: Move to .qwen/.env", "qwen.env.move", path, codes=moved))
    if view.keys and view.file.git.ignored is False and not view.file.git.tracked:
        ignored = frozenset({"env.not-ignored"})
        found.append(Fix("Qwen: Add this file to .gitignore", "qwen.env.ignore", path, codes=ignored))
    if here and view.winner is not None and view.role is Role.SHADOWED:
        shadowed = frozenset({"env.shadowed"})
        found.append(
            Fix("Qwen: Open the .env file that is read", "qwen.env.open", view.winner, codes=shadowed)
        )
    return found


def key_fixes(view: View, binding: Binding) -> list[Fix]:
    """What can be done with a key."""
    title, command, name = "Qwen: Move this key to the keyring", "qwen.env.moveToKeyring", binding.name
    found = [Fix("Qwen: Check this key", "qwen.env.check", view.path, name)]
    if view.facts.folder is not None:
        title_of_folder = f"{title} (this folder)"
        found.append(Fix(title_of_folder, command, view.path, name, FOLDER, LEAKS))
    found.append(Fix(f"{title} (for you)", command, view.path, name, USER, LEAKS))
    return found


def is_movable(view: View) -> bool:
    """Whether it is a plain `.env`, and `.qwen/.env` beside it is looked at too."""
    chain = view.facts.environment.chain
    if view.file.rank is None or view.role in {Role.FOREIGN, Role.UNREADABLE}:
        return False
    path = chain.candidates[view.file.rank].path
    return path.parent.name != ".qwen" and (path.parent / ".qwen" / ".env") in {
        c.path for c in chain.candidates
    }
