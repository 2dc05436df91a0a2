"""What a provider's refusal means: HTTP status and error body -> Problem, with the next step."""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.core.credentials import (
    QWEN_OAUTH,
    SWITCH,
    Credential,
    is_sign_in,
    is_stored,
    sign_in_again,
)
from qwen_ls.core.errors import CHECK_PROXY, PROXY_LOGIN, Cause, Kind, Problem, one_line
from qwen_ls.core.origin import read_base_url
from qwen_ls.core.providers import CODING_PLAN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qwen_ls.core.intents import NoReply

SECONDS = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
FREE_TIER_CLOSED_ON = "2026-04-15"  # Qwen Code's own notice of that day
ACCESS = frozenset({401, 402, 403, 429})
INTERCEPTED = frozenset({407, 511})  # a proxy's and a captive portal's own statuses
FAILURES = range(400, 600)
MODEL_CODES = frozenset({"model_not_found", "model_not_supported"})
MAX_ANSWER = 16 * 1024 * 1024  # bytes of one answer


@attrs.frozen
class Refusal:
    """A provider's answer that is not the one asked for. `body` is JSON or None."""

    status: int
    body: Any = attrs.field(default=None, repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    content_type: str = ""


def explain_refusal(refusal: Refusal, credential: Credential, model: str | None, now: float) -> Problem:
    """Turn an HTTP refusal into the problem the user reads. `now` is epoch seconds UTC."""
    status, code = refusal.status, code_of(refusal)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return redirected(refusal, credential)
    if status in ACCESS:
        return explain_access(refusal, credential, now)
    is_page = refusal.body is None and "html" in refusal.content_type
    if status in INTERCEPTED or (is_page and status < HTTPStatus.MULTIPLE_CHOICES):
        return intercepted(refusal, credential)
    if status == HTTPStatus.NOT_FOUND or code in MODEL_CODES:
        return not_found(refusal, credential, model)
    return explain_other(refusal, credential)


def explain_other(refusal: Refusal, credential: Credential) -> Problem:
    """5xx, too large, and what has no meaning of its own."""
    said = quote(refusal, credential)
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        what = f"{host(credential)} is in trouble: {said}"
        remedy = "Try again in a while"
        return Problem(Kind.PROVIDER_DOWN, what, remedy=remedy, retryable=True, another_model=True)
    too_long = code_of(refusal) == "context_length_exceeded"
    if refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or too_long:
        what = f"The message is too large for {host(credential)}: {said}"
        return Problem(Kind.TOO_LARGE, what, remedy="Send less context, or start a new conversation")
    what = f"{host(credential)} refused the request: {said}"
    return Problem(Kind.BAD_REPLY, what, remedy="Check the model's name and the base URL")


def explain_access(refusal: Refusal, credential: Credential, now: float) -> Problem:
    """401, 402, 403 and 429: who you are, what you have left, how fast you ask."""
    out_of_quota = refusal.status == HTTPStatus.PAYMENT_REQUIRED or says_quota(refusal)
    if credential.method == QWEN_OAUTH and (refusal.status == HTTPStatus.UNAUTHORIZED or out_of_quota):
        return free_tier_closed(refusal, credential)
    if out_of_quota:
        what = f"The quota of {origin_of_key(credential)} is used up: {quote(refusal, credential)}"
        remedy, one_model = "Top it up, wait for its reset, or switch", is_quota_of_a_model(refusal)
        return Problem(Kind.QUOTA_EXCEEDED, what, remedy=remedy, another_model=one_model, actions=[SWITCH])
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = retry_after(refusal.headers, now)
        when = f"in {seconds:.0f} s" if seconds is not None else "in a minute"
        what = f"{host(credential)} asks for a pause: {quote(refusal, credential)}"
        remedy = f"Try again {when}"
        return Problem(Kind.RATE_LIMITED, what, remedy=remedy, retryable=True, another_model=True)
    if is_sign_in(credential.method):
        whose = "Qwen sign-in" if credential.method == QWEN_OAUTH else f"sign-in {credential.method}"
        what = f"{host(credential)} rejected the {whose}: {quote(refusal, credential)}"
        actions = [sign_in_again(credential.method), SWITCH]
        return Problem(Kind.KEY_REJECTED, what, remedy="Sign in again, or switch", actions=actions)
    return key_rejected(refusal, credential)


def key_rejected(refusal: Refusal, credential: Credential) -> Problem:
    """A key that is wrong, or wrong for this host: the Coding Plan's keys are told by their prefix."""
    is_plan_key = (credential.fingerprint or "").startswith(CODING_PLAN.key_prefix)
    is_plan_host = credential.base_url in CODING_PLAN.base_urls
    if is_plan_key != is_plan_host and "dashscope" in credential.base_url:
        belongs = (
            f"{CODING_PLAN.label}, {CODING_PLAN.base_url}"
            if is_plan_key
            else "Model Studio, not the Coding Plan"
        )
        what = f"{host(credential)} rejected {origin_of_key(credential)}, which looks like a key of {belongs}"
        remedy = (
            "Set the key again, with the address it belongs to (`qwen-ls keys set --base-url`)"
            if is_stored(credential)
            else "Set OPENAI_BASE_URL beside the key to the address it belongs to"
        )
        return Problem(Kind.WRONG_ENDPOINT, what, remedy=remedy)
    return Problem(
        Kind.KEY_REJECTED,
        f"{host(credential)} rejected {origin_of_key(credential)}: {quote(refusal, credential)}",
        remedy="Replace the key there, or switch to another method",
        actions=[SWITCH],
    )


def free_tier_closed(refusal: Refusal, credential: Credential) -> Problem:
    """Qwen OAuth's chat refuses accounts of the free tier since that day."""
    return Problem(
        Kind.FREE_TIER_CLOSED,
        f"{host(credential)} refused the Qwen sign-in ({quote(refusal, credential)}); "
        f"the free tier of Qwen OAuth was closed on {FREE_TIER_CLOSED_ON}",
        remedy="Use an API key (Coding Plan, Model Studio, OpenRouter, …) and switch to it",
        actions=[SWITCH],
    )


def redirected(refusal: Refusal, credential: Credential) -> Problem:
    """Redirects are not followed: the key is meant for the named host alone."""
    location = re.split(r"[?#]", refusal.headers.get("location", ""), maxsplit=1)[0]
    try:
        target = str(read_base_url(location, "redirect").origin)
    except Problem:
        target = "another address"
    what = f"{host(credential)} redirects to {target}, and redirects are not followed"
    remedy = "If that address is right, name it as the base URL"
    return Problem(
        Kind.NETWORK, what, where=str(credential.claim.base_url.source), remedy=remedy, cause=Cause.REDIRECT
    )


def intercepted(refusal: Refusal, credential: Credential) -> Problem:
    """A proxy or a captive portal answered in the provider's place."""
    if refusal.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        what, cause = "The proxy wants a user and password", Cause.PROXY
        remedy = PROXY_LOGIN
    else:
        what, cause = f"A web page came back in place of {host(credential)}'s answer", Cause.CAPTIVE_PORTAL
        remedy = "Sign in to the network in a browser, and check that the base URL ends in /v1"
    where = str(credential.claim.base_url.source)
    return Problem(Kind.NETWORK, what, where=where, remedy=remedy, cause=cause, retryable=True)


def not_found(refusal: Refusal, credential: Credential, model: str | None) -> Problem:
    """404: the model, or the path."""
    text, said = quote(refusal, credential), words_of(refusal).lower()
    is_about_model = model is not None and ("model" in said or model.lower() in said)
    if is_about_model or code_of(refusal) in MODEL_CODES:
        what = f"{host(credential)} has no model {model or 'of that name'}: {text}"
        own = credential.model
        where = str(own.source) if own is not None and own.text == model else ""
        other = (
            "set the key again (`qwen-ls keys set --model`)" if is_stored(credential) else "in OPENAI_MODEL"
        )
        remedy = f"Choose one of qwen.models.list (`qwen-ls models`) with qwen.models.select, or {other}"
        return Problem(Kind.MODEL_NOT_FOUND, what, where=where, remedy=remedy, another_model=True)
    what = f"{host(credential)} knows no such address: {text}"
    where = str(credential.claim.base_url.source)
    return Problem(Kind.BAD_REPLY, what, where=where, remedy="Check the base URL; most end in /v1")


def explain_no_reply(result: NoReply, credential: Credential) -> Problem:
    """No HTTP answer at all."""
    remedy = {
        Cause.DNS: "Check the host's name in the base URL, and the network",
        Cause.REFUSED: "Check that the server runs and the port in the base URL is right",
        Cause.TLS: "If a proxy re-signs traffic, name its CA in SSL_CERT_FILE before the server starts",
        Cause.PROXY: CHECK_PROXY,
    }.get(result.cause, "Check the network and try again")
    what = f"{host(credential)} could not be reached: {result.detail}"
    where = str(credential.claim.base_url.source)
    return Problem(Kind.NETWORK, what, where=where, remedy=remedy, cause=result.cause, retryable=True)


def told_together(failures: Sequence[tuple[str, Problem]]) -> Problem:
    """One problem for the failures of several models, in order: the first one's kind, everyone's line."""
    (_, first), *others = failures
    if not others:
        return first
    return Problem(
        first.kind,
        "; then ".join(f"{model}: {problem.event}" for model, problem in failures),
        remedy=first.remedy,
        cause=first.cause,
        retryable=any(problem.retryable for _, problem in failures),
        actions=first.actions,
    )


def content_type_of(headers: Mapping[str, str]) -> str:
    """What the body is said to be, in lower case (RFC 9110 section 8.3.1)."""
    return headers.get("content-type", "").lower()


def explain_stream_error(fields: Any, credential: Credential, model: str | None, now: float) -> Problem:
    """An `error` object inside a stream of status 200, by the status its code stands for."""
    error = fields if isinstance(fields, dict) else {"message": fields if isinstance(fields, str) else ""}
    code = error.get("status") or error.get("code")
    by_code = {str(status): status for status in FAILURES} | {
        "insufficient_quota": 429,
        "rate_limit_exceeded": 429,
        "invalid_api_key": 401,
        "model_not_found": 404,
        "context_length_exceeded": 413,
    }
    status = by_code.get(str(code), 500)
    return explain_refusal(Refusal(status, {"error": error}), credential, model, now)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """`Retry-After` in seconds from now (RFC 9110 section 10.2.3); None where it says nothing usable.

    A date is read against the answer's own `Date`, since clocks differ.
    """
    text = headers.get("retry-after", "").strip()
    if SECONDS.fullmatch(text):
        return float(text)
    then, date = http_date(text), http_date(headers.get("date", ""))
    return None if then is None else max(then - (now if date is None else date), 0.0)


def http_date(text: str) -> float | None:
    """An HTTP-date in epoch seconds (RFC 9110 section 5.6.7); without a zone it is UTC."""
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def error_fields(refusal: Refusal) -> Mapping[str, Any]:
    """The `error` object of an OpenAI-style body; empty if there is none."""
    error = refusal.body.get("error") if isinstance(refusal.body, dict) else None
    return error if isinstance(error, dict) else {}


def code_of(refusal: Refusal) -> str:
    """The `code` of an error body; empty for anything but a text."""
    code = error_fields(refusal).get("code")
    return code if isinstance(code, str) else ""


def says_quota(refusal: Refusal) -> bool:
    """Whether a 429 or 403 means an empty account and not a pause."""
    fields = error_fields(refusal)
    return "insufficient_quota" in (fields.get("code"), fields.get("type")) or is_quota_of_a_model(refusal)


def is_quota_of_a_model(refusal: Refusal) -> bool:
    """Whether it is one model's quota that is used up: Model Studio gives a free one for each."""
    return "free allocated quota exceeded" in words_of(refusal).lower()


def words_of(refusal: Refusal) -> str:
    """The message of an error body, as it came; empty if there is none."""
    body = refusal.body if isinstance(refusal.body, dict) else {}
    said = error_fields(refusal).get("message") or body.get("message") or body.get("error")
    return said if isinstance(said, str) else ""


def quote(refusal: Refusal, credential: Credential) -> str:
    """The provider's own words, on one line, with the key blotted out if it came back."""
    said = words_of(refusal)
    if not said:
        return f"HTTP {refusal.status}"
    # Blotted before it is cut, or the cut could leave the secret's beginning.
    whole = blot(one_line(said, len(said)), credential)
    return f"{one_line(whole)} [HTTP {refusal.status}]"


def blot(text: str, credential: Credential) -> str:
    """Text from outside with the credential's own secret replaced by its fingerprint."""
    secret = credential.claim.secret
    return secret.blot(text) if secret else text


def host(credential: Credential) -> str:
    """Whom the request went to."""
    return str(read_base_url(credential.base_url, "base URL").origin)


def origin_of_key(credential: Credential) -> str:
    """The key by fingerprint and place."""
    shown = f"the key {credential.fingerprint}" if credential.fingerprint else "a request without a key"
    return f"{shown} ({credential.claim.source})"
