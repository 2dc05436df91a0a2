"""Every failure a user can meet is a `Problem` with a `Kind`.

    Problem                    what happened, where the value came from, what to do next
    |- signed-out              no usable credential                         (resolution)
    |- login-cancelled         the user ended the sign-in                   (sign-in)
    |- login-denied            the user said no on the provider's page      (sign-in)
    |- login-expired           the code ran out before it was entered       (sign-in)
    |- login-failed            the server refused in another way            (sign-in)
    |- key-rejected            401/403 for a key or token                   (requests)
    |- wrong-endpoint          a key of another region or plan              (requests)
    |- free-tier-closed        Qwen OAuth's free tier, closed 2026-04-15    (requests)
    |- quota-exceeded          402, or 429 with insufficient_quota          (requests)
    |- rate-limited            429                                          (requests)
    |- untrusted-origin        a key of one tier, a base URL of another;
    |                          a secret in a message                        (trust)
    |- env-unreadable          the one .env file cannot be read             (resolution)
    |- keyring-unavailable, keyring-locked                                  (storage)
    |- network                 `cause` says which way                       (requests)
    |- provider-down           5xx                                          (requests)
    |- bad-reply               not what the protocol promises               (requests)
    |- stream-truncated        an answer cut short                          (requests)
    |- too-large               over a cap                                   (requests)
    |- model-not-found                                                      (requests)
    |- not-supported           this client, method or provider cannot       (anywhere)
    `- internal                our own mistake                              (anywhere)

The text is composed from fields, always one line, and never holds a secret.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence


class Kind(str, Enum):
    """What clients switch on; never the text."""

    SIGNED_OUT = "signed-out"
    LOGIN_CANCELLED = "login-cancelled"
    LOGIN_DENIED = "login-denied"
    LOGIN_EXPIRED = "login-expired"
    LOGIN_FAILED = "login-failed"
    KEY_REJECTED = "key-rejected"
    WRONG_ENDPOINT = "wrong-endpoint"
    FREE_TIER_CLOSED = "free-tier-closed"
    QUOTA_EXCEEDED = "quota-exceeded"
    RATE_LIMITED = "rate-limited"
    UNTRUSTED_ORIGIN = "untrusted-origin"
    ENV_UNREADABLE = "env-unreadable"
    KEYRING_UNAVAILABLE = "keyring-unavailable"
    KEYRING_LOCKED = "keyring-locked"
    NETWORK = "network"
    PROVIDER_DOWN = "provider-down"
    BAD_REPLY = "bad-reply"
    STREAM_TRUNCATED = "stream-truncated"
    TOO_LARGE = "too-large"
    MODEL_NOT_FOUND = "model-not-found"
    NOT_SUPPORTED = "not-supported"
    INTERNAL = "internal"


class Cause(str, Enum):
    """Refines `Kind.NETWORK`."""

    DNS = "dns"
    REFUSED = "refused"
    TLS = "tls"
    PROXY = "proxy"
    CAPTIVE_PORTAL = "captive-portal"
    TIMEOUT = "timeout"
    REDIRECT = "redirect"
    ENCODING = "encoding"


# Where a proxy is named, first what comes first; NO_PROXY excepts a host from either.
CHECK_PROXY = (
    "Check the setting proxy, else HTTPS_PROXY, and NO_PROXY in the environment the server is started in"
)
PROXY_LOGIN = "Put them into the setting proxy, else HTTPS_PROXY in the environment the server is started in"


@attrs.frozen
class Action:
    """A next step a client may offer as a button: a server command and its one argument."""

    title: str
    command: str
    argument: dict[str, str] = attrs.field(factory=dict)


class Problem(Exception):  # noqa: N818 - the word users and the wire know it by
    """A failure with its kind, one line of text, and what to do next.

    `what` names the event, `where` the value's origin (file and line, variable, URL), `remedy` the
    next step. `retryable` says whether the same request may succeed later unchanged, `another_model`
    whether another model of the same provider may answer it now.
    """

    def __init__(
        self,
        kind: Kind,
        what: str,
        *,
        where: str = "",
        remedy: str,
        cause: Cause | None = None,
        retryable: bool = False,
        another_model: bool = False,
        actions: Sequence[Action] = (),
    ) -> None:
        super().__init__(kind.value)
        self.kind = kind
        self.cause = cause
        self.remedy = unlinked(one_line(remedy, LONGEST_MESSAGE))
        self.retryable = retryable
        self.another_model = another_model
        self.actions = tuple(actions)
        origin = f" ({where})" if where else ""
        self.message = unlinked(one_line(f"{what}{origin}. {remedy}", LONGEST_MESSAGE))

    def __str__(self) -> str:
        return self.message

    @property
    def event(self) -> str:
        """The message without its remedy."""
        return self.message.removesuffix(f". {self.remedy}")


CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
LONGEST_TEXT = 300  # characters; text that came from outside is quoted up to this
LONGEST_MESSAGE = 16_000  # characters; a message may list every candidate of a deep folder


def strip_control(text: str) -> str:
    """Drop what a terminal or editor could obey: C0/C1 (but tab and line feed), bidi marks.

    Lone surrogates go too: no frame and no terminal can carry them.
    """
    return CONTROL.sub("", text)


def one_line(text: str, limit: int = LONGEST_TEXT) -> str:
    """Text on one line, without control characters, at most `limit` characters."""
    flat = " ".join(strip_control(text.replace("\r", " ")).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def unlinked(text: str) -> str:
    """Text in which nothing is a Markdown link: VS Code makes one in messages, to a command as well."""
    return text.replace("](", "] (")
