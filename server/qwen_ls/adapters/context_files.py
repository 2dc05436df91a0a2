"""Files of a workspace folder that go along with a message, and their names for completion.

Everything is decided by real paths: a link that leaves the folder, or that leads to a file with secrets,
is treated as what it leads to.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs

from qwen_ls.adapters.files import DEADLINE, in_time, read_regular
from qwen_ls.core.context import MAX_FILE, MOST_LISTED, Listed, Located, file_too_large
from qwen_ls.core.errors import Kind, Problem, one_line
from qwen_ls.core.secret_files import BEGINNING, check_text, holds_secrets, withheld

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_READ = 16 * 1024**2  # bytes that are read of a file of which only some lines are wanted
BINARY_HEAD = 8 * 1024  # bytes in which a NUL tells a binary file, as git looks at them
MOST_SEEN = 20_000  # names of one folder that are looked at
Result = TypeVar("Result")


@attrs.define
class WorkspaceFiles:
    """Reads inside a workspace folder. `private` are our own files and folders, which nobody is shown."""

    private: Sequence[Path] = ()

    async def locate(self, folder: str | None, path: str, *, inside: bool = True) -> Located:
        """Where a path, absolute or relative to the folder, really leads.

        Raises Problem(not-supported) for one outside the folder, unless it need not be inside, and for one
        that holds secrets.
        """
        return await off_the_loop(lambda: self._locate(folder, path, inside=inside), path)

    async def read(self, located: Located, *, whole: bool) -> str:
        """The text of a file; lines end in LF. `whole` refuses one that is too large to go along as such.

        Raises Problem (not-supported, too-large).
        """
        return await off_the_loop(lambda: read_text(located, MAX_FILE if whole else MAX_READ), located.shown)

    async def names(self, folder: str | None, path: str, begun: str = "") -> list[Listed]:
        """The first names in a folder that begin so, in any case; none that is hidden or holds secrets."""
        if folder is None:
            return []
        try:
            return await off_the_loop(lambda: self._list(folder, path, begun.lower()), path)
        except (Problem, OSError, ValueError):  # no folder, or none that can be read
            return []

    def _locate(self, folder: str | None, path: str, *, inside: bool) -> Located:
        shown = one_line(path)
        if folder is None and inside:
            what = f"{shown} is not attached: no workspace folder is open"
            raise refused(what, "Open the folder that the file lies in")
        try:
            root = Path(os.path.realpath(folder)) if folder is not None else None
            given = Path(path) if root is None else root / path
            real = Path(os.path.realpath(given))
        except (OSError, ValueError):  # a NUL, or a loop of links
            raise refused(f"{shown} is no path to a file", "Name a file of the workspace folder") from None
        is_inside = root is not None and real.is_relative_to(root)
        if inside and not is_inside:
            what = f"{shown} is not attached: it lies outside the workspace folder"
            raise refused(what, f"Only files below {root} can be mentioned")
        if holds_secrets(real) or holds_secrets(given) or self._is_private(real):
            raise withheld(shown)
        with contextlib.suppress(OSError):  # it may not be there, and reading it says so
            check_text((read_regular(real, BEGINNING) or b"").decode("utf-8", "replace"), shown)
        return Located(real.relative_to(root).as_posix() if root and is_inside else str(real), str(real))

    def _is_private(self, real: Path) -> bool:
        return any(real.is_relative_to(os.path.realpath(path)) for path in self.private)

    def _list(self, folder: str, path: str, begun: str) -> list[Listed]:
        root = Path(os.path.realpath(folder))
        here = Path(os.path.realpath(root / path))
        if not here.is_relative_to(root):
            return []
        found: list[Listed] = []
        with os.scandir(here) as entries:
            for number, entry in enumerate(entries):
                if number >= MOST_SEEN:
                    break
                is_wanted = entry.name.lower().startswith(begun) and not entry.name.startswith(".")
                if is_wanted and not self._is_withheld(root, Path(entry.path)):
                    found.append(Listed(entry.name, entry.is_dir()))
        found.sort(key=lambda one: (not one.is_folder, one.name))
        return found[:MOST_LISTED]

    def _is_withheld(self, root: Path, path: Path) -> bool:
        """Whether a mention of it would be refused; a link is followed."""
        if holds_secrets(path):
            return True
        if not path.is_symlink():
            return self._is_private(path)
        real = Path(os.path.realpath(path))
        return not real.is_relative_to(root) or holds_secrets(real) or self._is_private(real)


def read_text(located: Located, limit: int) -> str:
    """The text of a regular file. Raises Problem (not-supported, too-large)."""
    shown = one_line(located.shown)
    remedy = "Name another file, or copy what the question is about into the message"
    try:
        data = read_regular(Path(located.real), limit)
    except OSError as error:
        raise refused(f"{shown} cannot be read: {error.strerror}", remedy) from None
    if data is None:
        raise refused(
            f"{shown} is not there", "Name a file that there is, by its path in the workspace folder"
        )
    if len(data) > limit:
        raise file_too_large(shown)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise binary(shown, remedy) from None
    if b"\0" in data[:BINARY_HEAD]:
        raise binary(shown, remedy)
    return check_text(text.replace("\r\n", "\n").replace("\r", "\n"), shown)


async def off_the_loop(work: Callable[[], Result], path: str) -> Result:
    """What `work` gives, in a thread. Raises its Problem, or one when the disk does not answer in time."""
    try:
        return await in_time(work, DEADLINE)
    except TimeoutError:
        what = f"The disk did not answer within {DEADLINE:.0f} s about {one_line(path)}"
        remedy = "Try again, or leave the file out"
        raise Problem(Kind.NOT_SUPPORTED, what, remedy=remedy, retryable=True) from None


def binary(shown: str, remedy: str) -> Problem:
    """A file that is no text."""
    return refused(f"{shown} is not attached: it is not text in UTF-8", remedy)


def refused(what: str, remedy: str) -> Problem:
    """A file that does not go along."""
    return Problem(Kind.NOT_SUPPORTED, what, remedy=remedy)
