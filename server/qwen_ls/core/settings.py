"""User settings: one JSON object -> checked values, with a problem for each that makes no sense.

They come from `settings.json` in the user's configuration folder, and from
`initializationOptions.user` of a client that says where a value was set.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.core.envchain import EXCLUDED_BY_DEFAULT

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
    problems: tuple[str, ...] = ()


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
    return Settings(
        texts(fields, "excludedEnvVars", defaults.excluded_env_vars, problems),
        texts(fields, "insecureOrigins", defaults.insecure_origins, problems),
        timeouts(fields.get("timeouts"), problems),
        text(fields, "proxy", problems),
        text(fields, "caFile", problems),
        tuple(problems),
    )


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


def text(fields: Mapping[str, Any], name: str, problems: list[str]) -> str | None:
    """A string, or None."""
    value = fields.get(name)
    if value is None or (isinstance(value, str) and value):
        return value
    problems.append(f"{name} is no text")
    return None


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
