"""What the stand-in provider can be told, at its start and while it runs."""

from __future__ import annotations

from typing import Any

import attrs

QWEN_CLIENT_ID = "f0304373b74a44d2b584a3fb70ca9e56"  # Qwen Code's public client, which has no secret
OWN = "own"


def _strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise TypeError("a list of strings is wanted")
    return tuple(value)


@attrs.frozen(kw_only=True)
class Settings:
    """The provider's behaviour when nothing goes wrong; times in seconds, None leaves a field out."""

    # Sign-in
    client_id: str = QWEN_CLIENT_ID
    interval: int | None = 5  # RFC 8628, section 3.2
    enforce_interval: bool = False  # answer slow_down to a client that polls sooner
    slow_down_status: int = 400
    device_expires_in: float = 900
    expires_in: float = 3600
    refresh_expires_in: float | None = None
    rotate: bool = True  # False: an answer to a refresh names no new refresh token
    resource_url: str | None = OWN  # OWN: this provider's /v1
    verification_uri: str | None = None  # None: this provider's page
    auto_approve: bool = False
    # Models
    keys: tuple[str, ...] = attrs.field(default=(), converter=_strings, repr=False)
    models: tuple[str, ...] = attrs.field(
        default=("coder-model", "vision-model", "qwen3-coder-plus"), converter=_strings
    )
    strict: bool = False  # refuse a model that is not listed
    served_model: str | None = None  # what chunks say has answered; None: the one asked for
    reply: str | None = None  # None: an answer made from the message
    tokens: int | None = None  # so many tokens: of `reply`, over and over, else the numbers from 1
    reasoning: str | None = None
    token_interval: float = 0.0
