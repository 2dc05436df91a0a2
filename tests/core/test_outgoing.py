"""qwen_ls.core.outgoing: loaded secrets are found in what is to be sent, and named without their text."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import quote

import attrs
import pytest

from canary import canary
from qwen_ls.core.credentials import Facts, FoundKey
from qwen_ls.core.envchain import Candidate, EnvChain, Environment, Look, Presence, find
from qwen_ls.core.envfile import parse_env
from qwen_ls.core.errors import Kind
from qwen_ls.core.oauth.token import CachedToken, Issuer, Token
from qwen_ls.core.outgoing import Loaded, SecretInMessage, find_loaded, loaded_secrets
from qwen_ls.core.qwen_settings import QwenKey
from qwen_ls.core.secret import Secret
from qwen_ls.core.stored import StoredKey

NAMES = ("process", "file", "home", "folder", "user", "access", "refresh", "other", "settings", "proxy word")
KEYS = {name: canary(f"test_outgoing: {name}") for name in NAMES}


def chain(path: str, text: str, *, home: bool = False) -> EnvChain:
    """A chain whose one file has this text."""
    look = Look(Presence.FILE, parse_env(text))
    return find([Candidate(PurePosixPath(path), home=home)], lambda _: look)


def token(access: str, refresh: str = "") -> CachedToken:
    """A sign-in."""
    return CachedToken("/h/creds.json", Token(Secret(access), Secret(refresh), "Bearer", None, 1.0))


def stored(target: str, folder: str | None, key: str) -> FoundKey:
    """A stored key."""
    entry = StoredKey(target, folder, "openai", "https://h/v1", None, "…", 1.0)  # type: ignore[arg-type] # a literal
    return FoundKey(entry, Secret(key))


FACTS = Facts(
    folder="/ws",
    environment=Environment(
        {"OPENAI_API_KEY": KEYS["process"], "OPENAI_MODEL": "a-model-of-some-length"},
        chain("/ws/.env", f"OPENAI_API_KEY={KEYS['file']}\nOPENAI_BASE_URL=https://some.host.example/v1"),
    ),
    user_environment=Environment({}, chain("/h/.env", f"DASHSCOPE_API_KEY={KEYS['home']}", home=True)),
    cached=token(KEYS["access"], KEYS["refresh"]),
    issuer=Issuer("https://i"),
    others={"oauth:work": (Issuer("https://w"), token(KEYS["other"]))},
    folder_key=stored("workspaceFolder", "/ws", KEYS["folder"]),
    user_key=stored("user", None, KEYS["user"]),
    qwen_key=QwenKey(KEYS["settings"], None, None, "security.auth.apiKey"),
)
NETWORK = {
    "HTTPS_PROXY": f"http://me:{quote(KEYS['proxy word'])}@proxy.example:8080",
    "HTTP_PROXY": "http://proxy.example",
    "ALL_PROXY": "http://[",
}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("process", "environment variable OPENAI_API_KEY"),
        ("file", "OPENAI_API_KEY at /ws/.env:1"),
        ("home", "DASHSCOPE_API_KEY at /h/.env:1"),
        ("folder", "key stored for /ws (keyring)"),
        ("user", "key stored for the user (keyring)"),
        ("access", "the access token in /h/creds.json"),
        ("refresh", "the refresh token in /h/creds.json"),
        ("other", "the access token in /h/creds.json"),
        ("settings", "security.auth.apiKey in ~/.qwen/settings.json"),
        ("proxy word", "the password in HTTPS_PROXY"),
    ],
)
def test_every_secret_of_a_place_is_found(name: str, source: str) -> None:
    """Whatever a secret was loaded from, a text that holds it is known, and the source is named."""
    loaded = list(loaded_secrets(FACTS, NETWORK))
    (found,) = find_loaded(["first", f"my key is {KEYS[name]}."], loaded)
    assert (found.secret, found.source) == (Secret(KEYS[name]), source)


def test_nothing_else_is_found() -> None:
    """Models, hosts and ordinary text are no secrets, nor is a place without any."""
    text = "a-model-of-some-length at https://some.host.example/v1 and http://proxy.example"
    assert find_loaded([text], loaded_secrets(FACTS, NETWORK)) == ()
    bare = attrs.evolve(
        FACTS,
        environment=FACTS.user_environment,
        user_environment=Environment({}, find([], lambda _: Look(Presence.ABSENT))),
        cached=CachedToken("/h/creds.json"),
        others={},
        folder_key=attrs.evolve(stored("user", None, "x"), secret=None),
        user_key=None,
        qwen_key="the file is not JSON",
    )
    assert [str(one.source) for one in loaded_secrets(bare, {})] == ["DASHSCOPE_API_KEY at /h/.env:1"]


def test_short_ones_and_encoded_ones() -> None:
    """A word of eleven characters is none; a secret in a URL is one."""
    short, odd = Loaded(Secret("elevenchars"), "a"), Loaded(Secret("a/b+c=0123456"), "b")
    assert find_loaded(["elevenchars"], [short]) == ()
    assert find_loaded(["https://h/?k=a%2Fb%2Bc%3D0123456"], [odd]) == (odd,)


def test_one_secret_of_several_sources_is_named_once() -> None:
    """The first place it was found in is named; a secret that was cleared is not."""
    one, again = Loaded(Secret(KEYS["file"]), "a"), Loaded(Secret(KEYS["file"]), "b")
    assert find_loaded([KEYS["file"]], [one, again]) == (one,)
    assert find_loaded([KEYS["file"]], [one], {one.secret.digest}) == ()


def test_the_problem_names_no_secret() -> None:
    """Message, remedy and question show fingerprint, source and host, and never the text."""
    found = [Loaded(Secret(KEYS["file"]), "OPENAI_API_KEY at /ws/.env:1"), Loaded(Secret(KEYS["user"]), "b")]
    problem = SecretInMessage(found, "api.openai.com")
    assert problem.kind is Kind.UNTRUSTED_ORIGIN
    for text in (problem.message, problem.question):
        assert f"…{KEYS['file'][-4:]} (OPENAI_API_KEY at /ws/.env:1) and …{KEYS['user'][-4:]} (b)" in text
        assert not any(key in text for key in KEYS.values())
    assert problem.question.endswith("would go to api.openai.com")
