"""Candidates in order -> the one `.env` file -> values that know where they came from.

The order: from the workspace folder's root up to the file system's root,
`.qwen/.env` before `.env` in each directory; then the home files. The first file found is the only
one read. What stands on the disk comes in through `look`, so that this stays a pure function.
"""

from __future__ import annotations

from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.envfile import Binding, EnvFile
from qwen_ls.core.provenance import USER, Source, SourceKind, Tier, Value
from qwen_ls.core.providers import KNOWN_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

EXCLUDED_BY_DEFAULT = ("DEBUG", "DEBUG_MODE")  # names a project's .env does not set


@attrs.frozen
class Candidate:
    """A place where the `.env` file may be."""

    path: PurePath
    home: bool = False


class Presence(str, Enum):
    """What `look` found at a candidate's path."""

    ABSENT = "absent"
    FILE = "file"
    UNREADABLE = "unreadable"
    FOREIGN = "foreign"


@attrs.frozen
class Look:
    """One look at a candidate. `reason` explains UNREADABLE and FOREIGN; `is_home` compares real paths."""

    presence: Presence
    content: EnvFile = attrs.field(factory=EnvFile)
    reason: str = ""
    is_home: bool = False


ABSENT = Look(Presence.ABSENT)


@attrs.frozen
class FileProblem:
    """Something about a candidate that its owner should know. `line` is 0 for the whole file."""

    file: str
    line: int
    text: str
    fatal: bool = False
    warning: bool = False


@attrs.frozen
class EnvChain:
    """What the search found: the candidates it looked at, the one file, and its bindings by name."""

    candidates: tuple[Candidate, ...]
    file: str | None
    tier: Tier
    bindings: Mapping[str, Binding]
    problems: tuple[FileProblem, ...]

    @property
    def unreadable(self) -> FileProblem | None:
        """The problem that ended the search, if the one file could not be read."""
        return next((p for p in self.problems if p.fatal), None)


def project_candidates(folder: PurePath | None) -> tuple[Candidate, ...]:
    """Candidates from `folder` (a real, absolute path) upward; none without a folder."""
    directories: Iterable[PurePath] = () if folder is None else (folder, *folder.parents)
    return tuple(Candidate(d / name) for d in directories for name in (".qwen/.env", ".env"))


def home_candidates(home: PurePath | None, qwen_home: PurePath | None) -> tuple[Candidate, ...]:
    """The fallback files: `$QWEN_HOME/.env` or `~/.qwen/.env`, then `~/.env`."""
    qwen = qwen_home or (home / ".qwen" if home else None)
    places = [qwen / ".env" if qwen else None, home / ".env" if home else None]
    return tuple(Candidate(p, home=True) for p in places if p is not None)


def find(
    candidates: Sequence[Candidate],
    look: Callable[[Candidate], Look],
    excluded: Sequence[str] = EXCLUDED_BY_DEFAULT,
) -> EnvChain:
    """Search `candidates` in order and read the first file that is there.

    `excluded` are the names that a project's `.env` does not set; files in a `.qwen` folder and
    home files may set them.
    """
    problems: list[FileProblem] = []
    for candidate in candidates:
        found = look(candidate)
        path = str(candidate.path)
        if found.presence is Presence.FOREIGN:
            problems.append(FileProblem(path, 0, found.reason))
        elif found.presence is Presence.UNREADABLE:
            problems.append(FileProblem(path, 0, found.reason, fatal=True))
            return EnvChain(tuple(candidates), path, tier_of(candidate, found), {}, tuple(problems))
        elif found.presence is Presence.FILE:
            problems += [FileProblem(path, p.line, p.text, warning=p.warning) for p in found.content.problems]
            ignored = () if is_scoped(candidate, found) else tuple(excluded)
            bindings = effective(found.content, ignored)
            return EnvChain(tuple(candidates), path, tier_of(candidate, found), bindings, tuple(problems))
    return EnvChain(tuple(candidates), None, USER, {}, tuple(problems))


def is_scoped(candidate: Candidate, found: Look) -> bool:
    """Whether every known name counts: any `.qwen/.env`, and the home files however reached."""
    return is_scoped_path(str(candidate.path), is_home=candidate.home or found.is_home)


def is_scoped_path(path: str, *, is_home: bool) -> bool:
    """The same for a path."""
    return is_home or PurePath(path).parent.name == ".qwen"


def tier_of(candidate: Candidate, found: Look) -> Tier:
    """Home files are the user's own, by real path however reached; any other file is a project's."""
    return USER if candidate.home or found.is_home else Tier(str(candidate.path))


def effective(content: EnvFile, ignored: Sequence[str]) -> dict[str, Binding]:
    """The last binding of each known name that is not ignored and not empty."""
    found = {name: content.get(name) for name in KNOWN_NAMES if name not in ignored}
    return {name: binding for name, binding in found.items() if binding is not None and binding.value}


@attrs.frozen
class Environment:
    """Process variables and the one file, merged name by name; empty counts as unset in both."""

    process: Mapping[str, str]
    chain: EnvChain

    def get(self, name: str) -> Value | None:
        """The process variable if it is set and not empty, else the file's."""
        return self.from_process(name) or self.from_file(name)

    def from_process(self, name: str) -> Value | None:
        """The process variable alone."""
        text = self.process.get(name)
        return Value(text, Source(SourceKind.ENVIRONMENT, name), USER) if text else None

    def from_file(self, name: str) -> Value | None:
        """The file's binding alone."""
        binding = self.chain.bindings.get(name)
        if binding is None or not binding.value:
            return None
        source = Source(SourceKind.DOTENV, name, self.chain.file, binding.line)
        return Value(binding.value, source, self.chain.tier)
