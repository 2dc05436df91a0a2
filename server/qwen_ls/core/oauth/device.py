"""Device authorization grant (RFC 8628) with PKCE, as a generator that yields intents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.core.errors import Kind, Problem, one_line
from qwen_ls.core.intents import Flow, NoReply, Now, PostForm, Reply, ShowCode, Wait
from qwen_ls.core.oauth.pkce import code_challenge
from qwen_ls.core.oauth.token import (
    Issuer,
    Token,
    error_code,
    from_reply,
    login_failed,
    no_reply,
    number,
    passing_failure,
)
from qwen_ls.core.origin import LONGEST_URL, parse_base_url
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"  # section 3.4
DEFAULT_INTERVAL = 5.0  # seconds, section 3.2
SHORTEST_INTERVAL = 1.0  # seconds
SLOW_DOWN_STEP = 5.0  # seconds, section 3.5
LONGEST_BACKOFF = 30.0  # seconds, between polls that get no answer
MOST_DOUBLINGS = 5
REQUEST_TIMEOUT = 15.0  # seconds
DEFAULT_EXPIRES_IN = 900.0  # seconds, where the server does not say
LONGEST_EXPIRES_IN = 3600.0  # seconds
LONGEST_CODE = 64  # characters of a user code that people can still type
URI_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986 section 2
TOO_MANY_REQUESTS = 429


@attrs.frozen
class DeviceAuthorization:
    """The answer of the device endpoint (section 3.2). Times in seconds."""

    device_code: str = attrs.field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: float
    interval: float


def device_flow(issuer: Issuer, verifier: str) -> Flow[Token]:
    """Sign in: ask for a code, show it, poll until the user has decided.

    Raises Problem with login-denied, login-expired or login-failed; network, rate-limited or provider-down
    where no code was given.
    """
    form = {
        "client_id": issuer.client_id,
        **({"scope": issuer.scope} if issuer.scope else {}),
        "code_challenge": code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    url = issuer.device_url
    authorization = parse_authorization((yield PostForm(url, form, REQUEST_TIMEOUT)), issuer)
    deadline = (yield Now()) + authorization.expires_in
    yield ShowCode(authorization)
    return (yield from poll(issuer, authorization, verifier, deadline))


def poll(issuer: Issuer, authorization: DeviceAuthorization, verifier: str, deadline: float) -> Flow[Token]:
    """Poll the token endpoint as section 3.5 asks, until `deadline` on the wall clock.

    After the deadline (a laptop slept, say) one more poll is made before giving up.
    """
    url = issuer.token_url
    form = {
        "grant_type": GRANT_TYPE,
        "client_id": issuer.client_id,
        "device_code": authorization.device_code,
        "code_verifier": verifier,
    }
    interval, failures = authorization.interval, 0
    while True:
        yield Wait(min(interval * 2**failures, max(LONGEST_BACKOFF, interval)))
        result = yield PostForm(url, form, REQUEST_TIMEOUT)
        now = yield Now()
        step = judge(result, url, (Secret(authorization.device_code), Secret(verifier)))
        if step == "token":
            return from_reply(result.json, now)
        if now >= deadline:
            raise expired()
        failures = min(failures + 1, MOST_DOUBLINGS) if step == "failure" else 0
        interval += SLOW_DOWN_STEP if step == "slow_down" else 0


def judge(result: Reply | NoReply, url: str, sent: Sequence[Secret] = ()) -> str:
    """What one poll's answer means: token, pending, slow_down or failure; raises what ends the flow.

    The secrets that were `sent` are blotted out of the server's words.
    """
    if isinstance(result, NoReply):
        return "failure"
    code = error_code(result)
    if code == "access_denied":
        raise Problem(
            Kind.LOGIN_DENIED, "The sign-in was refused on the provider's page", remedy="Start it again"
        )
    if code == "expired_token":
        raise expired()
    if code == "slow_down" or result.status == TOO_MANY_REQUESTS:
        return "slow_down"
    if code == "authorization_pending":
        return "pending"
    if passing_failure(result, url) is not None:
        return "failure"
    if result.ok and not code:
        return "token" if is_token(result.json) else pending_of(result)
    raise login_failed(f"{host_of(url)} refused the sign-in: {describe(result, sent)}")


def is_token(fields: Any) -> bool:
    """Whether a 2xx body is a token answer."""
    return (
        isinstance(fields, dict)
        and isinstance(fields.get("access_token"), str)
        and bool(fields["access_token"])
    )


def pending_of(result: Reply) -> str:
    """Qwen's other spelling of pending, in a 2xx body: {"status": "pending", "slowDown": true?}."""
    fields = result.json if isinstance(result.json, dict) else {}
    if fields.get("status") == "pending":
        return "slow_down" if fields.get("slowDown") is True else "pending"
    raise login_failed("The token endpoint answered without an access_token")


def expired() -> Problem:
    """The code ran out (section 3.5)."""
    return Problem(
        Kind.LOGIN_EXPIRED,
        "The sign-in code expired before it was approved",
        remedy="Start the sign-in again",
    )


def parse_authorization(result: Reply | NoReply, issuer: Issuer) -> DeviceAuthorization:
    """Check the device endpoint's answer (section 3.2).

    Raises Problem: login-failed, or what kept the endpoint from deciding (`passing_failure`, no answer).
    """
    host = host_of(issuer.base_url)
    if isinstance(result, NoReply):
        raise no_reply(result, issuer.base_url)
    if (problem := passing_failure(result, issuer.base_url)) is not None:
        raise problem
    fields = result.json
    if not isinstance(fields, dict):
        raise login_failed(
            f"{host} answered the sign-in with something else than JSON (HTTP {result.status})"
        )
    if not result.ok or "device_code" not in fields:
        raise login_failed(f"{host} did not start the sign-in: {describe(result)}")
    device_code, user_code = text_of(fields, "device_code"), text_of(fields, "user_code")
    complete = uri_of(fields, "verification_uri_complete")
    uri = uri_of(fields, "verification_uri") or complete
    if not (device_code and user_code and uri) or len(user_code) > LONGEST_CODE:
        raise login_failed(f"{host} answered the sign-in without device_code, user_code and verification_uri")
    expires_in = expiry_of(fields.get("expires_in"))
    return DeviceAuthorization(
        device_code,
        user_code,
        checked_uri(uri, issuer),
        checked_uri(complete or uri, issuer),
        expires_in,
        interval_of(fields.get("interval"), expires_in),
    )


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """A printable text field; empty for anything else."""
    value = fields.get(name)
    return value if isinstance(value, str) and value.isprintable() else ""


def uri_of(fields: Mapping[str, Any], name: str) -> str:
    """A text field that `checked_uri` will judge; empty for anything else."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def checked_uri(uri: str, issuer: Issuer) -> str:
    """A verification URI that may be opened: on the issuer's origin or one of its own list.

    Raises Problem(login-failed) for another scheme or host (RFC 8628 section 5.4).
    """
    plain, _, _ = uri.partition("?")
    if len(uri) > LONGEST_URL or not URI_CHARACTERS.fullmatch(uri):
        raise login_failed("The sign-in page's address is refused: it is too long, or no plain URI")
    try:
        origin = parse_base_url(plain, "verification_uri").origin
    except Problem as problem:
        raise login_failed(f"The sign-in page's address is refused: {problem.message}") from None
    allowed = {
        str(parse_base_url(u, "issuer").origin) for u in (issuer.base_url, *issuer.verification_origins)
    }
    if str(origin) not in allowed:
        raise login_failed(
            f"The sign-in page would be at {origin}, which is not {host_of(issuer.base_url)}'s own"
        )
    return uri


def expiry_of(value: Any) -> float:
    """`expires_in` in seconds, within an hour; the default where it is no positive number."""
    seconds = number(value)
    if seconds is None or seconds <= 0:
        return DEFAULT_EXPIRES_IN
    return min(max(seconds, SHORTEST_INTERVAL), LONGEST_EXPIRES_IN)


def interval_of(value: Any, expires_in: float) -> float:
    """`interval` in seconds: at least one, and not beyond the code's end; the default if it is no number."""
    seconds = number(value)
    return min(max(DEFAULT_INTERVAL if seconds is None else seconds, SHORTEST_INTERVAL), expires_in)


def describe(result: Reply, sent: Sequence[Secret] = ()) -> str:
    """An error answer in words: the code, its description, the status; without the secrets it repeats."""
    description = result.json.get("error_description") if isinstance(result.json, dict) else None
    words = [error_code(result), description if isinstance(description, str) else "", f"HTTP {result.status}"]
    text = ", ".join(w for w in words if w)
    for secret in sent:
        text = secret.blot(text)
    return one_line(text)


def host_of(url: str) -> str:
    """The host for messages."""
    return parse_base_url(url.partition("?")[0], "issuer").origin.host
