"""Tokens: what a token endpoint answers, what Qwen Code's cache file holds, when to refresh.

The cache is `oauth_creds.json` in Qwen Code's format, shared with it: JSON with `access_token`,
`refresh_token`, `token_type`, `resource_url` and `expiry_date` in epoch milliseconds. Fields that
this module does not know are kept.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import attrs

from qwen_ls.core.errors import CHECK_PROXY, PROXY_LOGIN, Cause, Kind, Problem, one_line
from qwen_ls.core.intents import Flow, NoReply, PostForm, Reply
from qwen_ls.core.origin import CATALOGUE_ORIGINS, parse_base_url
from qwen_ls.core.providers import DASHSCOPE
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLIENT_ID = "f0304373b74a44d2b584a3fb70ca9e56"  # Qwen Code's public client, which has no secret
SCOPE = "openid profile email model.completion"
DEVICE_PATH = "/api/v1/oauth2/device/code"
TOKEN_PATH = "/api/v1/oauth2/token"  # noqa: S105 - a path
QWEN_ISSUER = "https://chat.qwen.ai"

REFRESH_TIMEOUT = 8.0  # seconds; below Qwen Code's 10 s for a stale lock, since it runs under it
AHEAD_AT_MOST = 300.0  # seconds before expiry
AHEAD_OF_LIFETIME = 0.2  # or this part of the lifetime, whichever is shorter
DEFAULT_LIFETIME = 3600.0  # seconds, where `expires_in` is missing or absurd
LONGEST_LIFETIME = 366 * 86400.0  # seconds
HUGE = 1e18  # an integer of JSON may be larger than a float can hold
LONGEST_NUMBER = 18  # digits
MAX_CACHE_BYTES = 64 * 1024
LATEST_EXPIRY = 1e15  # milliseconds since 1970; beyond it a date is a mistake
KNOWN_FIELDS = ("access_token", "refresh_token", "token_type", "resource_url", "expiry_date")


@attrs.frozen
class Issuer:
    """An authorization server (RFC 8628): where it is asked, as whom, and where its pages may lie.

    The endpoints default to Qwen's paths below `base_url`. `chat_base_url` None means that the token
    tells (`resource_url`), as Qwen's does.
    """

    base_url: str
    client_id: str = CLIENT_ID
    scope: str = SCOPE
    verification_origins: Sequence[str] = ()
    device_endpoint: str | None = None
    token_endpoint: str | None = None
    chat_base_url: str | None = None

    @property
    def device_url(self) -> str:
        """The device authorization endpoint."""
        return self.device_endpoint or self.base_url + DEVICE_PATH

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return self.token_endpoint or self.base_url + TOKEN_PATH


@attrs.frozen
class Token:
    """A signed-in account's tokens (RFC 6749 section 5.1). `expires_at` is epoch seconds UTC."""

    access_token: Secret
    refresh_token: Secret
    token_type: str
    resource_url: str | None
    expires_at: float
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False)


@attrs.frozen
class CachedToken:
    """The cache file as found: its path and its token, or why it cannot be used.

    `written_at` (epoch seconds) dates the token, so that its lifetime is known.
    """

    path: str
    token: Token | None = None
    problem: str | None = None
    written_at: float = 0.0


def parse_cache(data: bytes) -> Token | str:
    """The token of a cache file's bytes, or one clause that says why there is none."""
    if len(data) > MAX_CACHE_BYTES:
        return f"the file is larger than {MAX_CACHE_BYTES // 1024} KiB"
    try:
        fields = json.loads(data.decode("utf-8-sig"), parse_constant=no_constant)
    except (ValueError, RecursionError):
        return "the file is not JSON"
    if not isinstance(fields, dict):
        return "the file holds no JSON object"
    for name in ("access_token", "refresh_token", "token_type"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            return f"the file has no {name}"
    expiry = fields.get("expiry_date")
    if isinstance(expiry, bool) or not isinstance(expiry, (int, float)) or not 0 < expiry < LATEST_EXPIRY:
        return "the file has no expiry_date"
    resource_url = fields.get("resource_url")
    return Token(
        Secret(fields["access_token"]),
        Secret(fields["refresh_token"]),
        fields["token_type"],
        resource_url if isinstance(resource_url, str) and resource_url else None,
        expiry / 1000,
        {k: v for k, v in fields.items() if k not in KNOWN_FIELDS},
    )


def no_constant(name: str) -> NoReturn:
    """NaN and Infinity are no JSON: Qwen Code could not read them either."""
    raise ValueError(name)


def encode_cache(token: Token) -> bytes:
    """The cache file's bytes for `token`, unknown fields included."""
    fields: dict[str, Any] = {
        **token.extra,
        "access_token": token.access_token.reveal(),
        "refresh_token": token.refresh_token.reveal(),
        "token_type": token.token_type,
        "expiry_date": round(token.expires_at * 1000),
    }
    if token.resource_url is not None:
        fields["resource_url"] = token.resource_url
    return json.dumps(fields, indent=2).encode() + b"\n"


def from_reply(fields: Mapping[str, Any], now: float, previous: Token | None = None) -> Token:
    """The token of a token endpoint's answer received at `now`.

    `refresh_token` and `resource_url` are kept from `previous` when the answer omits them (RFC 6749
    section 6). Raises Problem(login-failed) without an access or refresh token.
    """
    access, refresh = fields.get("access_token"), fields.get("refresh_token")
    if not (isinstance(refresh, str) and refresh) and previous is not None:
        refresh = previous.refresh_token.reveal()
    if not (isinstance(access, str) and access and isinstance(refresh, str) and refresh):
        raise login_failed("The token endpoint's answer holds no access_token and refresh_token")
    token_type, resource_url = fields.get("token_type"), fields.get("resource_url")
    kept = previous.resource_url if previous else None
    return Token(
        Secret(access),
        Secret(refresh),
        token_type if isinstance(token_type, str) and token_type else "Bearer",
        resource_url if isinstance(resource_url, str) and resource_url else kept,
        now + lifetime(fields.get("expires_in")),
        previous.extra if previous else {},
    )


def lifetime(expires_in: object) -> float:
    """`expires_in` in seconds (RFC 6749 section 5.1), the default where it makes no sense."""
    seconds = number(expires_in)
    return min(seconds, LONGEST_LIFETIME) if seconds is not None and seconds > 0 else DEFAULT_LIFETIME


def number(value: object) -> float | None:
    """A finite number, as a server may write one: some put it between quotes. None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:LONGEST_NUMBER])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    capped = min(max(value, -HUGE), HUGE)
    return None if value != value else float(capped)  # noqa: PLR0124 - NaN


def refresh_at(cached: CachedToken, token: Token, jitter: float) -> float:
    """When to refresh, in epoch seconds: min(300 s, lifetime/5) ahead of expiry, by ±10 %.

    `jitter` in -1..1 spreads processes that share the cache.
    """
    whole = max(token.expires_at - cached.written_at, 0.0) if cached.written_at else DEFAULT_LIFETIME
    ahead = min(AHEAD_AT_MOST, whole * AHEAD_OF_LIFETIME)
    return token.expires_at - ahead * (1 + 0.1 * jitter)


def chat_base_url(token: Token, issuer: Issuer) -> str:
    """Where chat goes with this token: `resource_url`, completed as Qwen Code does; else DashScope.

    Raises Problem(untrusted-origin) unless it names portal.qwen.ai, a host of the catalogue or the
    issuer's own host.
    """
    if issuer.chat_base_url is not None:
        return issuer.chat_base_url
    if token.resource_url is None:
        return DASHSCOPE.base_url
    text = token.resource_url if "://" in token.resource_url else f"https://{token.resource_url}"
    text = text.rstrip("/")
    text = text if text.endswith("/v1") else f"{text}/v1"
    url = parse_base_url(text, "resource_url of the Qwen sign-in")
    if url.origin in CATALOGUE_ORIGINS and not url.origin.is_loopback:
        return str(url)
    if url.origin.host == (urlsplit(issuer.base_url).hostname or ""):
        return str(url)
    raise Problem(
        Kind.UNTRUSTED_ORIGIN,
        f"The Qwen sign-in names {url.origin} for chat, which is neither Qwen's nor the catalogue's",
        where="resource_url",
        remedy="Sign in again; if it comes back, report it, and use an API key meanwhile",
    )


def refresh_flow(issuer: Issuer, token: Token) -> Flow[Reply | NoReply]:
    """Ask for a new access token (RFC 6749 section 6). Returns the endpoint's answer as it came."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": token.refresh_token.reveal(),
        "client_id": issuer.client_id,
    }
    result: Reply | NoReply = yield PostForm(issuer.token_url, form, REFRESH_TIMEOUT)
    return result


def error_code(reply: Reply) -> str:
    """The `error` of an OAuth error answer (RFC 6749 section 5.2); empty if there is none."""
    code = reply.json.get("error") if isinstance(reply.json, dict) else None
    return code if isinstance(code, str) else ""


def login_failed(what: str, *, retryable: bool = False) -> Problem:
    """A sign-in that ended for a reason that has no kind of its own."""
    remedy = "Try again; if it comes back, use an API key (OPENAI_API_KEY in the environment or a .env file)"
    return Problem(Kind.LOGIN_FAILED, one_line(what), remedy=remedy, retryable=retryable)


def no_reply(result: NoReply, url: str) -> Problem:
    """The sign-in server could not be reached."""
    remedy = {
        Cause.PROXY: CHECK_PROXY,
        Cause.TLS: "If a proxy re-signs traffic, name its CA in SSL_CERT_FILE before the server starts",
    }.get(result.cause, "Check the network and try again")
    what = f"The sign-in server could not be reached: {result.detail}"
    return Problem(
        Kind.NETWORK, what, where=origin_of(url), remedy=remedy, cause=result.cause, retryable=True
    )


def passing_failure(reply: Reply, url: str) -> Problem | None:
    """What an answer says that is no decision of the sign-in server at `url`, and may be another one later.

    It is in trouble or asks for a pause; or a proxy or the network has answered in its place. None for all
    other answers.
    """
    status, kind, cause = reply.status, Kind.NETWORK, None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        cause, what = Cause.REDIRECT, "The sign-in server redirects, and redirects are not followed"
        remedy = "If the network wants you to sign in, do so in a browser, and try again"
    elif status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        cause, what = Cause.PROXY, "The proxy wants a user and password"
        remedy = PROXY_LOGIN
    elif status == HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED or is_page(reply):
        cause, what = Cause.CAPTIVE_PORTAL, "A web page came back in place of the sign-in server's answer"
        remedy = "Sign in to the network in a browser, and try again"
    elif status == HTTPStatus.TOO_MANY_REQUESTS:
        kind, what, remedy = Kind.RATE_LIMITED, "The sign-in server asks for a pause", "Try again in a minute"
    elif status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return server_down(status, url)
    else:
        return None
    return Problem(kind, what, where=origin_of(url), remedy=remedy, cause=cause, retryable=True)


def is_page(reply: Reply) -> bool:
    """Whether a web page came with a 2xx in place of JSON."""
    return reply.ok and reply.json is None and "html" in reply.headers.get("content-type", "").lower()


def server_down(status: int, url: str) -> Problem:
    """The sign-in server at `url` could not say anything about the request."""
    what, remedy = f"The sign-in server answered HTTP {status}", "Try again in a while"
    return Problem(Kind.PROVIDER_DOWN, what, where=origin_of(url), remedy=remedy, retryable=True)


def origin_of(url: str) -> str:
    """The origin of an endpoint, for messages."""
    return str(parse_base_url(url.partition("?")[0], "issuer").origin)
