"""`.env` files on the disk: looked at by stat before each request, read when they have changed."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from errno import ELOOP, ENOENT, ENOTDIR
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import attrs

from qwen_ls.adapters.env_template import prepare
from qwen_ls.adapters.files import DEADLINE, InTurn, in_time, read_regular
from qwen_ls.core.envchain import (
    ABSENT,
    Candidate,
    EnvChain,
    Look,
    Presence,
    find,
    home_candidates,
    project_candidates,
)
from qwen_ls.core.envfile import MAX_BYTES, decode, parse_env
from qwen_ls.core.providers import KNOWN_NAMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Signature = tuple[int, ...]
Call: TypeAlias = "Callable[[str], os.stat_result]"
Chains = tuple[EnvChain, EnvChain]  # from the folder upward, and the home files alone
Excluded = tuple[str, ...]  # names of variables
Wanted = tuple[str | None, Excluded]  # the folder, and what is excluded in it
MOST_KNOWN = 64  # folders whose last search is kept
NOT_THERE = frozenset({ENOENT, ENOTDIR, ELOOP})  # also a broken link, and a `.qwen` that is no folder
SETTLED_AFTER = 100_000_000  # ns; above the ticks in which a system counts the times of files
SETTLED_AFTER_COARSE = 2_100_000_000  # where it seems to count whole seconds, as FAT does by twos


def of_file(found: os.stat_result) -> Signature:
    """What changes when a file, its owner or its mode does."""
    return (
        found.st_dev,
        found.st_ino,
        found.st_uid,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def of_folder(status: os.stat_result) -> Signature:
    """Which folder it is, and whose; not what is in it."""
    return status.st_dev, status.st_ino, status.st_uid


@attrs.frozen
class Said:
    """What the disk said to one call, and the signature of what is there, None for nothing."""

    call: Call
    path: str
    of: Callable[[os.stat_result], Signature]
    answer: os.stat_result | None
    signature: Signature | None
    error: int | None = None


@attrs.define
class Looks:
    """All that the disk said during a search, so that it can be asked again whether it still says so.

    It is asked each thing once: a file that is written meanwhile is one file to the whole search.
    """

    said: dict[tuple[Call, str], Said] = attrs.field(factory=dict)
    files: dict[str, Look] = attrs.field(factory=dict)  # what has been read, or cannot be reached
    is_passing: bool = False  # whether the next search may find something else and `still_hold` not tell

    def lstat(self, path: str, of: Callable[[os.stat_result], Signature] = of_file) -> os.stat_result:
        """As `os.lstat`. Raises OSError."""
        return self._ask(os.lstat, path, of)

    def stat(self, path: str, of: Callable[[os.stat_result], Signature] = of_file) -> os.stat_result:
        """As `os.stat`. Raises OSError."""
        return self._ask(os.stat, path, of)

    def _ask(self, call: Call, path: str, of: Callable[[os.stat_result], Signature]) -> os.stat_result:
        said = self.said.get((call, path))
        if said is None:
            try:
                answer = call(path)
                said = Said(call, path, of, answer, of(answer))
            except OSError as error:
                said = Said(call, path, of, None, None, error.errno)
            self.said[call, path] = said
        if said.answer is None:  # not the error itself: it would keep whoever it was raised in
            raise OSError(said.error, os.strerror(said.error or 0), path)
        return said.answer

    def still_hold(self) -> bool:
        """Whether the disk says the same as then; costs little more than the calls themselves."""
        for said in self.said.values():
            try:
                status = said.call(said.path)
            except OSError as error:  # noqa: PERF203 - that is the question
                if error.errno != said.error:
                    return False
            else:
                if said.of(status) != said.signature:
                    return False
        return True


@attrs.define
class EnvFileSystem:
    """Finds and reads `.env` files. `uid` is None where files have no owner we could check."""

    home: Path | None
    qwen_home: Path | None
    uid: int | None = attrs.field(factory=getattr(os, "getuid", lambda: None))
    _seen: dict[str, tuple[Signature, Look]] = attrs.field(factory=dict, repr=False)
    _known: dict[Wanted, tuple[Looks, Chains]] = attrs.field(factory=dict, repr=False)
    _looks: InTurn = attrs.field(factory=InTurn, repr=False)

    def find(self, folder: str | None, excluded: Sequence[str]) -> Awaitable[Chains]:
        """The chain from `folder` (None: the home files) upward, and that of the home files alone.

        A disk that does not answer within 2 s counts as one with no files, and is a problem. One folder is
        searched at a time.
        """

        def late() -> Chains:
            return hung(folder), hung(None)

        return self._looks.look(folder, partial(self.search, folder, tuple(excluded)), late, DEADLINE)

    async def prepare(self, folder: str | None) -> tuple[str, bool, bool]:
        """Make `.qwen/.env` in a folder, or in the home: its path, whether it is new, whether git ignores it.

        Raises OSError.
        """
        if folder is not None:
            work = partial(prepare, Path(folder))
        elif qwen := self.qwen_home or (self.home / ".qwen" if self.home else None):
            work = partial(prepare, qwen, in_qwen_home=True)
        else:
            raise FileNotFoundError(ENOENT, "there is no home folder")
        return await in_time(work, DEADLINE)

    def search(self, folder: str | None, excluded: tuple[str, ...]) -> Chains:
        """The same, in this thread. As long as the disk says the same, so does this."""
        known = self._known.get((folder, excluded))
        if known is not None and known[0].still_hold():
            return known[1]
        looks = Looks()
        chains = self._search(folder, excluded, looks)
        while len(self._known) >= MOST_KNOWN:
            self._known.pop(next(iter(self._known)), None)
        if not looks.is_passing:
            self._known[folder, excluded] = looks, chains
        return chains

    def _search(self, folder: str | None, excluded: tuple[str, ...], looks: Looks) -> Chains:
        root = Path(os.path.realpath(folder)) if folder is not None else None
        homes = home_candidates(self.home, self.qwen_home)
        for candidate in homes:  # where one is a link, what it leads to is the user's word
            with contextlib.suppress(OSError):
                looks.lstat(str(candidate.path))
        home_paths = {os.path.realpath(c.path) for c in homes}
        real_home = self.home and Path(os.path.realpath(self.home))
        names = {c.path for c in (*homes, *home_candidates(real_home, self.qwen_home))}
        owners = self._owners(folder, looks)

        def look(candidate: Candidate) -> Look:
            checked = None if candidate.path in names else owners
            return self._look(candidate, checked, home_paths, looks)

        home = find(homes, look, excluded)
        if root is None:
            return home, home
        upward = project_candidates(root)
        met = {c.path for c in upward}  # a home above the folder is met on the way
        return find((*upward, *(c for c in homes if c.path not in met)), look, excluded), home

    def _owners(self, folder: str | None, looks: Looks) -> frozenset[int] | None:
        """Whose files count: ours, root's, and the workspace folder's owner's. None: anybody's."""
        if folder is None:
            return None
        with contextlib.suppress(OSError):
            owner = looks.stat(folder, of_folder).st_uid
            return None if self.uid is None else frozenset({self.uid, 0, owner})
        return None if self.uid is None else frozenset({self.uid, 0})

    def _look(
        self, candidate: Candidate, owners: frozenset[int] | None, home_paths: set[str], looks: Looks
    ) -> Look:
        path = str(candidate.path)
        uids: list[int] = []
        target: os.stat_result | None = None
        try:
            target = looks.lstat(path)  # the common case, "not there", costs this one call
            uids.append(target.st_uid)
            if stat.S_ISLNK(target.st_mode):
                target = looks.stat(path)
                uids.append(target.st_uid)
        except OSError as error:
            self._seen.pop(path, None)
            if error.errno in NOT_THERE:
                return ABSENT
            looks.files[path] = Look(Presence.UNREADABLE, reason=error.strerror or "it cannot be read")
        if owners is not None:
            stranger = foreign_owner(candidate, uids, owners, looks)
            if stranger is not None:
                reason = f"not used: it belongs to another user (uid {stranger})"
                return Look(Presence.FOREIGN, reason=reason)
        if path not in looks.files and target is not None:
            looks.files[path] = self._content(path, target, looks)
        return attrs.evolve(looks.files[path], is_home=os.path.realpath(path) in home_paths)

    def _content(self, path: str, target: os.stat_result, looks: Looks) -> Look:
        """A file's content, read only where it may have changed."""
        signature = of_file(target)
        seen = self._seen.get(path)
        if seen is not None and seen[0] == signature:
            return seen[1]
        try:
            content = read(Path(path), target)
        except OSError as error:  # too many open files, say
            looks.is_passing = True
            return Look(Presence.UNREADABLE, reason=error.strerror or "it cannot be read")
        if time.time_ns() - max(target.st_mtime_ns, target.st_ctime_ns) < settled_after(target):
            looks.is_passing = True  # it may change once more, and neither its size nor its time with it
        else:
            self._seen[path] = signature, content
        return content


def settled_after(target: os.stat_result) -> int:
    """How old in ns a file must be for another change to have another time."""
    return SETTLED_AFTER if target.st_mtime_ns % 1_000_000_000 else SETTLED_AFTER_COARSE


def foreign_owner(
    candidate: Candidate, uids: Sequence[int], owners: frozenset[int], looks: Looks
) -> int | None:
    """The uid of a stranger who owns the file, its link or its `.qwen` folder."""
    folder = Path(candidate.path.parent)
    if folder.name == ".qwen":
        with contextlib.suppress(OSError):
            uids = [*uids, looks.lstat(str(folder), of_folder).st_uid]
            uids = [*uids, looks.stat(str(folder), of_folder).st_uid]
    return next((uid for uid in uids if uid not in owners), None)


def read(path: Path, status: os.stat_result) -> Look:
    """Read and parse a file that is there; what is of no use is UNREADABLE, with a reason. Raises OSError."""
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "a FIFO, socket or device"
        return Look(Presence.UNREADABLE, reason=f"it is {what}, not a regular file")
    data = read_regular(path, MAX_BYTES)
    if data is None:
        return ABSENT
    if len(data) > MAX_BYTES:
        return Look(Presence.UNREADABLE, reason=f"it is larger than {MAX_BYTES // 1024} KiB")
    try:
        return Look(Presence.FILE, parse_env(decode(data), KNOWN_NAMES))
    except UnicodeDecodeError:
        return Look(Presence.UNREADABLE, reason="it is not UTF-8")


def hung(folder: str | None) -> EnvChain:
    """The chain of a disk that does not answer."""

    def look(_: Candidate) -> Look:
        return Look(Presence.UNREADABLE, reason=f"the disk did not answer within {DEADLINE:.0f} s")

    return find((Candidate(Path(folder or "~") / ".env"),), look)
