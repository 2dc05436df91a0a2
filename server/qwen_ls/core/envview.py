"""A `.env` file that is open in an editor, seen as if it were saved.

Its place in a folder's search, and what would then be in force there. What stands on the disk, and what
git says, comes in as facts.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import reduce
from typing import TYPE_CHECKING

import attrs

from qwen_ls.core.credentials import key_of_environment
from qwen_ls.core.envchain import EXCLUDED_BY_DEFAULT, EnvChain, effective, is_scoped_path
from qwen_ls.core.envfile import MAX_BYTES, Binding, EnvFile, parse_env
from qwen_ls.core.ladder import Resolution, resolve
from qwen_ls.core.provenance import USER, Tier
from qwen_ls.core.providers import KEY_VARIABLES, KNOWN_NAMES
from qwen_ls.core.secret import SHORTEST_SHOWN, Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_ls.core.credentials import Credential, Facts
    from qwen_ls.core.origin import Policy

LIKE_A_KEY = re.compile(r"sk-[\w-]{8,}", re.IGNORECASE)  # a key in a place where it does not belong


@attrs.frozen
class GitState:
    """What git says of a file; None where it was not asked, is not there, or sees no work tree."""

    tracked: bool | None = None
    ignored: bool | None = None


@attrs.frozen
class OnDisk:
    """What the disk says of a file: permission bits, None where there are none.

    `ranks` are its places in each of the searches asked about; None: it is not looked at there.
    """

    mode: int | None = None
    ranks: tuple[int | None, ...] = ()


class Role(str, Enum):
    """What a file is to a folder's search."""

    READ = "read"
    SHADOWED = "shadowed"
    UNREADABLE = "unreadable"
    FOREIGN = "foreign"
    ELSEWHERE = "elsewhere"


@attrs.frozen
class OpenFile:
    """An open file. `rank` is its place among a folder's candidates, `home_rank` among the home files."""

    path: str
    text: str = attrs.field(repr=False)
    rank: int | None = None
    home_rank: int | None = None
    mode: int | None = None
    git: GitState = attrs.field(factory=GitState)


@attrs.frozen
class View:
    """An open file and everything that decides about it.

    `facts` and `resolution` are those of a saved file. `why` is the disk's reason for UNREADABLE and
    FOREIGN, `winner` the file that is read, `kept` the names of keys that only the disk still has.
    """

    file: OpenFile
    content: EnvFile
    role: Role
    winner: str | None
    why: str
    excluded: tuple[str, ...]
    facts: Facts
    policy: Policy
    resolution: Resolution
    credential: Credential | None
    kept: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The file's path as the search names it."""
        chain = self.facts.environment.chain
        return self.file.path if self.file.rank is None else str(chain.candidates[self.file.rank].path)

    @property
    def effective(self) -> dict[str, Binding]:
        """The binding of each known name that counts, if the file is read."""
        return effective(self.content, self.excluded)

    @property
    def keys(self) -> list[Binding]:
        """Every binding that holds a key, the ones that do not count too."""
        return [b for b in self.content.bindings if b.name in KEY_VARIABLES and b.value]

    def blot(self, text: str) -> str:
        """A text without any of the file's keys, nor what has the form of one, wherever it comes from."""
        secrets = (Secret(b.value) for b in self.keys if b.value and len(b.value) >= SHORTEST_SHOWN)
        return LIKE_A_KEY.sub("sk-…", reduce(lambda said, secret: secret.blot(said), secrets, text))


def read_open(text: str) -> EnvFile:
    """What an open file says of the known names: nothing, where it is too large to be read from the disk."""
    return EnvFile() if is_too_large(text) else parse_env(text, KNOWN_NAMES)


def is_too_large(text: str) -> bool:
    """Whether a file with this text is refused as unreadable."""
    return len(text.encode("utf-8", "replace")) > MAX_BYTES


def view_of(
    file: OpenFile, facts: Facts, policy: Policy, excluded: Sequence[str] = EXCLUDED_BY_DEFAULT
) -> View:
    """Look at an open file from one folder. `facts` are as the disk stands, `excluded` the user's setting."""
    content = read_open(file.text)
    chain = facts.environment.chain
    is_home = file.home_rank is not None
    role, why = role_of(chain, file.rank)
    ignored = () if is_scoped_path(file.path, is_home=is_home) else tuple(excluded)
    if role is Role.READ:
        facts = as_saved(facts, file, content, ignored)
    resolution = resolve(facts)
    credential, _ = key_of_environment(facts)
    winner = facts.environment.chain.file
    kept: tuple[str, ...] = ()
    if role is Role.READ and not is_too_large(file.text) and chain.file == winner:
        names = {b.name for b in content.bindings if b.value}
        kept = tuple(n for n in chain.bindings if n in KEY_VARIABLES and n not in names)
    return View(file, content, role, winner, why, ignored, facts, policy, resolution, credential, kept)


def role_of(chain: EnvChain, rank: int | None) -> tuple[Role, str]:
    """What a candidate is to the search, and the disk's reason."""
    if rank is None:
        return Role.ELSEWHERE, ""
    paths = [str(c.path) for c in chain.candidates]
    about = [p for p in chain.problems if p.file == paths[rank] and p.line == 0]
    if about:
        return (Role.UNREADABLE if about[0].fatal else Role.FOREIGN), about[0].text
    is_first = chain.file is None or chain.file not in paths or rank <= paths.index(chain.file)
    return (Role.READ if is_first else Role.SHADOWED), ""


def as_saved(facts: Facts, file: OpenFile, content: EnvFile, ignored: Sequence[str]) -> Facts:
    """The facts, if the open text stood on the disk."""
    environment, user = facts.environment, facts.user_environment
    bindings = effective(content, ignored)
    if file.rank is not None:
        path = str(environment.chain.candidates[file.rank].path)
        tier = USER if file.home_rank is not None else Tier(path)
        chain = attrs.evolve(environment.chain, file=path, tier=tier, bindings=bindings, problems=())
        environment = attrs.evolve(environment, chain=chain)
    if file.home_rank is not None and role_of(user.chain, file.home_rank)[0] is Role.READ:
        path = str(user.chain.candidates[file.home_rank].path)
        chain = attrs.evolve(user.chain, file=path, tier=USER, bindings=bindings, problems=())
        user = attrs.evolve(user, chain=chain)
    return attrs.evolve(facts, environment=environment, user_environment=user)
