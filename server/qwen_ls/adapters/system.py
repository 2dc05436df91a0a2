"""The process's clock, randomness, environment and folders."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import platformdirs

from qwen_ls.core.errors import Problem
from qwen_ls.core.oauth.code import OPENROUTER
from qwen_ls.core.oauth.token import QWEN_ISSUER
from qwen_ls.core.origin import parse_base_url
from qwen_ls.core.providers import KNOWN_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "qwen-ls"
NETWORK_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE")
ISSUER_VARIABLE = "QWEN_LS_OAUTH_BASE_URL"
OPENROUTER_VARIABLE = "QWEN_LS_OPENROUTER_BASE_URL"


class SystemClock:
    """The real clock."""

    def now(self) -> float:
        """Epoch seconds UTC."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)


class SystemEntropy:
    """The operating system's randomness."""

    def token_bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        return secrets.token_bytes(count)

    def jitter(self) -> float:
        """A number in -1..1."""
        return secrets.randbelow(2001) / 1000 - 1


@attrs.frozen
class Surroundings:
    """What this process was started with. Nothing here is ever taken from a file.

    `known` holds the variables the ladder may read, `network` those for proxies and certificates.
    """

    all: Mapping[str, str] = attrs.field(repr=False)
    home: Path | None
    qwen_home: Path | None
    state_folder: Path
    data_folder: Path
    settings_file: Path
    issuer: str
    openrouter: str
    problems: tuple[str, ...]

    @property
    def qwen_folder(self) -> Path:
        """Qwen Code's folder: `$QWEN_HOME`, else `~/.qwen`."""
        return self.qwen_home or (self.home or Path("~").absolute()) / ".qwen"

    @property
    def known(self) -> dict[str, str]:
        """The variables that a credential may come from."""
        return {name: self.all[name] for name in KNOWN_NAMES if name in self.all}

    @property
    def network(self) -> dict[str, str]:
        """The variables that steer connections, in either case of letters."""
        names = [n for upper in NETWORK_VARIABLES for n in (upper, upper.lower())]
        return {name: self.all[name] for name in names if self.all.get(name)}


def surroundings() -> Surroundings:
    """A snapshot of the process environment, taken once, at start."""
    environment = dict(os.environ)
    try:
        home: Path | None = Path.home()
    except RuntimeError:  # no HOME, and no entry for this user
        home = None
    qwen_home = environment.get("QWEN_HOME")
    problems: list[str] = []
    issuer = base_of(environment, ISSUER_VARIABLE, QWEN_ISSUER, problems)
    openrouter = base_of(environment, OPENROUTER_VARIABLE, OPENROUTER, problems)
    return Surroundings(
        environment,
        home,
        Path(qwen_home) if qwen_home else None,
        platformdirs.user_state_path(APP, appauthor=False),
        platformdirs.user_data_path(APP, appauthor=False),
        platformdirs.user_config_path(APP, appauthor=False) / "settings.json",
        issuer,
        openrouter,
        tuple(problems),
    )


def base_of(environment: Mapping[str, str], variable: str, usual: str, problems: list[str]) -> str:
    """Another sign-in server's base URL, if one is named and may be used."""
    try:
        return str(parse_base_url(environment.get(variable) or usual, f"environment variable {variable}"))
    except Problem as refused:
        problems.append(refused.message)
        return usual
