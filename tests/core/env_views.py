"""Views of an open `.env` file for the tests of what is said about it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from qwen_ls.core.credentials import Facts, FoundKey
from qwen_ls.core.envchain import (
    ABSENT,
    Candidate,
    Environment,
    Look,
    Presence,
    find,
    home_candidates,
    project_candidates,
)
from qwen_ls.core.envfile import parse_env
from qwen_ls.core.envview import GitState, OpenFile, View, view_of
from qwen_ls.core.oauth.token import CachedToken, Issuer
from qwen_ls.core.origin import Policy
from qwen_ls.core.secret import Secret
from qwen_ls.core.stored import FOLDER, StoredKey

HOME = PurePosixPath("/home/ada")
KEY = "sk-infile-0123456789"
OWN_KEY = "sk-process-0123456789"


def view(
    text: str,
    *,
    at: str = "/p/.env",
    folder: str | None = "/p",
    disk: dict[str, str | Look] | None = None,
    process: dict[str, str] | None = None,
    git: GitState | None = None,
    mode: int | None = None,
    excluded: tuple[str, ...] = ("DEBUG", "DEBUG_MODE"),
    policy: Policy | None = None,
    **more: Any,
) -> View:
    """The view of an open file with this text; `disk` is what else is there, `more` are facts."""
    there = {at: "", **(disk or {})}

    def look(candidate: Candidate) -> Look:
        found = there.get(str(candidate.path), ABSENT)
        return Look(Presence.FILE, parse_env(found)) if isinstance(found, str) else found

    homes = home_candidates(HOME, None)
    upward = project_candidates(PurePosixPath(folder)) if folder else ()
    chain, home = find((*upward, *homes), look, excluded), find(homes, look, excluded)
    facts = Facts(
        folder=folder,
        environment=Environment(process or {}, chain),
        user_environment=Environment(process or {}, home),
        cached=CachedToken("/home/ada/.qwen/oauth_creds.json"),
        issuer=Issuer("https://chat.qwen.ai"),
        **more,
    )
    paths = [str(c.path) for c in chain.candidates]
    home_paths = [str(c.path) for c in homes]
    opened = OpenFile(
        at,
        text,
        paths.index(at) if at in paths else None,
        home_paths.index(at) if at in home_paths else None,
        mode,
        git or GitState(),
    )
    return view_of(opened, facts, policy or Policy(folder or ""), excluded)


def stored(key: str = OWN_KEY, folder: str = "/p") -> FoundKey:
    """A key in the keyring for a folder."""
    secret = Secret(key)
    entry = StoredKey(FOLDER, folder, "openai", "https://api.openai.com/v1", None, secret.fingerprint, 1.0)
    return FoundKey(entry, secret)
