"""User settings: one JSON object -> checked values, with a problem for each that makes no sense.

They come from `settings.json` in the user's configuration folder, and from
`initializationOptions.user` of a client that says where a value was set.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.core.envchain import EXCLUDED_BY_DEFAULT
from qwen_ls.core.errors import Problem
from qwen_ls.core.oauth.token import Issuer
from qwen_ls.core.origin import parse_base_url, read_base_url

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen
class Timeouts:
    """Seconds to wait: for a connection, for the first byte, between bytes, and for Retry-After."""

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 60.0
    retry_after: float = 60.0


@attrs.frozen
class Settings:
    """What the user has set; the defaults where nothing is set."""

    excluded_env_vars: tuple[str, ...] = EXCLUDED_BY_DEFAULT
    insecure_origins: tuple[str, ...] = ()
    timeouts: Timeouts = attrs.field(factory=Timeouts)
    proxy: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None
    allow_plaintext_keys: bool = False
    oauth_servers: Mapping[str, Issuer] = attrs.field(factory=dict)
    fallback_models: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
LONGEST_TIMEOUT = 3600.0  # seconds
TIMEOUTS = {"connect": "connect", "firstByte": "first_byte", "idle": "idle", "retryAfter": "retry_after"}


def parse_settings(text: str, path: str) -> tuple[Mapping[str, Any], str | None]:
    """The object in a settings file's text, and what is wrong with it as a whole."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}, f"{path} is not JSON; its settings are not used"
    return (fields, None) if isinstance(fields, dict) else ({}, f"{path} holds no JSON object")


def read_settings(fields: Mapping[str, Any]) -> Settings:
    """Check each known setting; an unknown one is passed over, a bad one keeps its default."""
    problems: list[str] = []
    defaults = Settings()
    insecure = origins(fields, "insecureOrigins", problems)
    return Settings(
        texts(fields, "excludedEnvVars", defaults.excluded_env_vars, problems),
        insecure,
        timeouts(fields.get("timeouts"), problems),
        text(fields, "proxy", problems),
        text(fields, "caFile", problems),
        flag(fields, "allowPlaintextKeys", problems),
        oauth_servers(fields.get("oauthServers"), insecure, problems),
        texts(fields, "fallbackModels", defaults.fallback_models, problems),
        tuple(problems),
    )


def merge_settings(fields: Mapping[str, Any], over: Mapping[str, Any]) -> Settings:
    """The settings with `over` laid over them, name by name.

    What of it is null is passed over, and what is of no use at all is named and hides nothing.
    """
    merged = {**fields, **{name: value for name, value in over.items() if value is not None}}
    settings = read_settings(merged)
    stays = {name: fields.get(name) for name in over if is_useless(merged, name, settings)}
    below = read_settings({**merged, **stays})
    return attrs.evolve(below, problems=tuple(dict.fromkeys((*settings.problems, *below.problems))))


def is_useless(fields: Mapping[str, Any], name: str, settings: Settings) -> bool:
    """Whether a field has added nothing to the settings but a problem."""
    without = read_settings({key: value for key, value in fields.items() if key != name})
    is_bad = len(settings.problems) > len(without.problems)
    return is_bad and attrs.evolve(settings, problems=without.problems) == without


def texts(
    fields: Mapping[str, Any], name: str, default: tuple[str, ...], problems: list[str]
) -> tuple[str, ...]:
    """A list of strings."""
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    problems.append(f"{name} is no list of strings")
    return default


def origins(fields: Mapping[str, Any], name: str, problems: list[str]) -> tuple[str, ...]:
    """A list of origins, spelled as origins are compared."""
    found = []
    for number, text_ in enumerate(texts(fields, name, (), problems)):
        try:
            url = read_base_url(text_, name)
        except Problem:
            url = None
        if url is None or url.path:
            problems.append(f"{name}[{number}] is no origin, such as http://gpu.example:8000")
        else:
            found.append(str(url.origin))
    return tuple(found)


def text(fields: Mapping[str, Any], name: str, problems: list[str]) -> str | None:
    """A string, or None."""
    value = fields.get(name)
    if value is None or (isinstance(value, str) and value):
        return value
    problems.append(f"{name} is no text")
    return None


def oauth_servers(value: object, insecure: tuple[str, ...], problems: list[str]) -> dict[str, Issuer]:
    """The user's own RFC 8628 servers, by name."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append("oauthServers is no object")
        return {}
    found = {name: read_server(name, fields, insecure, problems) for name, fields in value.items()}
    return {name: issuer for name, issuer in found.items() if issuer is not None}


def read_server(name: str, fields: object, insecure: tuple[str, ...], problems: list[str]) -> Issuer | None:
    """One server, or None and a problem."""
    try:
        return oauth_server(name, fields, insecure)
    except (Problem, ValueError) as wrong:
        problems.append(f"oauthServers.{name}: {wrong}")
        return None


def oauth_server(name: str, fields: object, insecure: tuple[str, ...]) -> Issuer:
    """One server; only its chat may be at an insecure origin. Raises ValueError or Problem that says why."""
    if not SERVER_NAME.fullmatch(name):
        raise ValueError("the name is not of a-z 0-9 -")
    if not isinstance(fields, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - a finding about a setting, not about code
    texts_ = {key: fields.get(key) for key in ("deviceEndpoint", "tokenEndpoint", "clientId", "chatBaseUrl")}
    for key, text_ in texts_.items():
        if not isinstance(text_, str) or not text_:
            raise ValueError(f"{key} is missing")
    device, token, client_id, chat = (str(text_) for text_ in texts_.values())
    for url, allowed in ((device, ()), (token, ()), (chat, insecure)):
        parse_base_url(url, "oauthServers", allowed)
    scope, pages = fields.get("scope", ""), fields.get("verificationOrigins", [])
    if (
        not isinstance(scope, str)
        or not isinstance(pages, list)
        or not all(isinstance(p, str) for p in pages)
    ):
        raise ValueError("scope is no text, or verificationOrigins no list of texts")
    for page in pages:
        parse_base_url(page, "verificationOrigins")
    base = str(parse_base_url(device, "deviceEndpoint").origin)
    return Issuer(base, client_id, scope, tuple(pages), device, token, chat.rstrip("/"))


def flag(fields: Mapping[str, Any], name: str, problems: list[str]) -> bool:
    """A yes or no; no by default."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        problems.append(f"{name} is neither true nor false")
    return value is True


def timeouts(value: object, problems: list[str]) -> Timeouts:
    """The four time-outs, each with its own default."""
    if value is None:
        return Timeouts()
    if not isinstance(value, dict):
        problems.append("timeouts is no object")
        return Timeouts()
    good: dict[str, float] = {}
    for name, field in TIMEOUTS.items():
        seconds = value.get(name)
        if seconds is None:
            continue
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, (int, float))
            or not 0 < seconds <= LONGEST_TIMEOUT
        ):
            problems.append(f"timeouts.{name} is no number of seconds between 0 and {LONGEST_TIMEOUT:.0f}")
        else:
            good[field] = float(seconds)
    return Timeouts(**good)
