"""qwen_ls.core.replies: what a provider's refusal means, and what to do next."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from qwen_ls.core.credentials import API_KEY, QWEN_OAUTH, Credential
from qwen_ls.core.errors import LONGEST_TEXT, Cause, Kind, Problem
from qwen_ls.core.intents import NoReply
from qwen_ls.core.origin import Claim
from qwen_ls.core.provenance import USER, Source, SourceKind, Value
from qwen_ls.core.providers import CODING_PLAN, DASHSCOPE, QWEN_PORTAL, provider_of_url
from qwen_ls.core.replies import (
    Refusal,
    explain_no_reply,
    explain_refusal,
    explain_stream_error,
    retry_after,
)
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

CANARY = "sk-canary-7f3a9c5e1b2d4a6f8e0c9b1d"
IN_FILE = Source(SourceKind.DOTENV, "OPENAI_API_KEY", "/p/.env", 3)
URL_IN_FILE = Source(SourceKind.DOTENV, "OPENAI_BASE_URL", "/p/.env", 4)
STORED = Source(SourceKind.KEYRING, file="key stored for the user (keyring)")
NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 section 5.6.7


def key(
    base: str = "https://h.example/v1", secret: str | None = CANARY, *, is_stored: bool = False
) -> Credential:
    """An API key for a base URL, of a file or stored along with it."""
    held = None if secret is None else Secret(secret)
    source, of_url = (STORED, STORED) if is_stored else (IN_FILE, URL_IN_FILE)
    claim = Claim(held, source, USER, base, Value(base, of_url, USER))
    return Credential(API_KEY, provider_of_url(base), claim, None)


def sign_in() -> Credential:
    """A Qwen sign-in."""
    source = Source(SourceKind.QWEN_OAUTH, file="/h/.qwen/oauth_creds.json")
    base = Value("https://portal.qwen.ai/v1", source, USER)
    return Credential(QWEN_OAUTH, QWEN_PORTAL, Claim(Secret(CANARY), source, USER, base.text, base), None)


def error(message: str = "no", code: str | None = None, **more: Any) -> dict[str, Any]:
    """An OpenAI-style error body."""
    return {"error": {"message": message, "code": code, **more}}


def explain(
    status: int,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
    credential: Credential | None = None,
    model: str | None = "m-1",
) -> Problem:
    """The problem for one refusal; it is one line, says what to do, and holds no secret."""
    refusal = Refusal(status, body, headers or {}, content_type)
    problem = explain_refusal(refusal, credential or key(), model, NOW)
    assert problem.message.isprintable()
    assert problem.remedy
    assert "canary" not in problem.message + repr(refusal)
    return problem


TABLE: list[tuple[int, Any, Kind, bool]] = [
    (400, error(), Kind.BAD_REPLY, False),
    (400, error(code="context_length_exceeded"), Kind.TOO_LARGE, False),
    (400, error(code="model_not_found"), Kind.MODEL_NOT_FOUND, False),
    (400, None, Kind.BAD_REPLY, False),
    (401, error("Incorrect API key provided", "invalid_api_key"), Kind.KEY_REJECTED, False),
    (401, None, Kind.KEY_REJECTED, False),
    (402, error("Insufficient credits"), Kind.QUOTA_EXCEEDED, False),
    (402, None, Kind.QUOTA_EXCEEDED, False),
    (403, error(), Kind.KEY_REJECTED, False),
    (403, error("Free allocated quota exceeded."), Kind.QUOTA_EXCEEDED, False),
    (404, error("The model `m-1` does not exist", "model_not_found"), Kind.MODEL_NOT_FOUND, False),
    (404, error("model 'm-1' not found, try pulling it first"), Kind.MODEL_NOT_FOUND, False),
    (404, {"error": "model 'm-1' not found"}, Kind.MODEL_NOT_FOUND, False),
    (404, error("No route"), Kind.BAD_REPLY, False),
    (404, None, Kind.BAD_REPLY, False),
    (405, None, Kind.BAD_REPLY, False),
    (413, None, Kind.TOO_LARGE, False),
    (418, None, Kind.BAD_REPLY, False),
    (422, error(), Kind.BAD_REPLY, False),
    (429, error("Slow down", "rate_limit_exceeded"), Kind.RATE_LIMITED, True),
    (429, None, Kind.RATE_LIMITED, True),
    (429, error("You exceeded your current quota", "insufficient_quota"), Kind.QUOTA_EXCEEDED, False),
    (429, error("x", None, type="insufficient_quota"), Kind.QUOTA_EXCEEDED, False),
    (429, error("Free allocated quota exceeded, please ..."), Kind.QUOTA_EXCEEDED, False),
    (500, error(), Kind.PROVIDER_DOWN, True),
    (500, None, Kind.PROVIDER_DOWN, True),
    (502, None, Kind.PROVIDER_DOWN, True),
    (503, {"message": "overloaded"}, Kind.PROVIDER_DOWN, True),
    (504, None, Kind.PROVIDER_DOWN, True),
    (529, error("Overloaded"), Kind.PROVIDER_DOWN, True),
    (599, "text", Kind.PROVIDER_DOWN, True),
]


@pytest.mark.parametrize(("status", "body", "kind", "retryable"), TABLE)
def test_what_a_status_means(status: int, body: Any, kind: Kind, retryable: bool) -> None:  # noqa: FBT001 - a table's column
    """Each status and code has its kind; the message names the host and the status."""
    problem = explain(status, body)
    assert (problem.kind, problem.retryable) == (kind, retryable)
    assert "https://h.example" in problem.message or "/p/.env:3" in problem.message
    assert f"HTTP {status}" in problem.message


@pytest.mark.parametrize(
    "body", [None, [], "x", 5, {}, {"error": None}, {"error": []}, {"error": {"message": {}}}]
)
@pytest.mark.parametrize("status", [100, 200, 204, 400, 401, 403, 404, 429, 500])
def test_no_body_is_too_odd(status: int, body: Any) -> None:
    """Whatever a provider sends, there is an explanation."""
    assert explain(status, body).kind in Kind


def test_the_providers_words_are_quoted() -> None:
    """On one line, within bounds, without what a terminal would obey; in each known shape."""
    for body in (
        error("No such\r\nthing \x1b[2J"),
        {"message": "No such\nthing [2J"},
        {"error": "No such thing [2J"},
    ):
        assert "No such thing [2J [HTTP 400]" in explain(400, body).message
    long = explain(400, error("x" * 100_000)).message
    assert "x" * (LONGEST_TEXT - 1) + "…" in long
    assert len(long) < 1000


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500])
@pytest.mark.parametrize(
    "said",
    [
        f"Incorrect API key provided: {CANARY}.",
        f"{CANARY}{CANARY}",
        "x" * (LONGEST_TEXT - 10) + CANARY,
        "x" * (LONGEST_TEXT - 1) + CANARY,
        CANARY[:10] + "\x00" + CANARY[10:],
        CANARY[:10] + "\u202e" + CANARY[10:],
    ],
)
def test_an_echoed_secret_is_blotted(status: int, said: str) -> None:
    """A provider that repeats the key does not get it into a message, not even a part of it at a cut."""
    for body in (error(said), {"message": said}, {"error": said}):
        assert "canary" not in explain(status, body).message
        assert "sk-can" not in explain(status, body).message


def names_the_proxys_places(problem: Problem) -> bool:
    """Whether the remedy says where a proxy can be set, first what comes first."""
    return "the setting proxy, else HTTPS_PROXY" in problem.remedy


def test_a_rejected_key_names_its_place() -> None:
    """Fingerprint, file and line; the remedy is to replace it there."""
    problem = explain(401, error("Incorrect API key provided"))
    assert f"the key {Secret(CANARY).fingerprint} (OPENAI_API_KEY at /p/.env:3)" in problem.message
    assert [a.command for a in problem.actions] == ["qwen.auth.switch"]
    local = explain(401, credential=key("http://127.0.0.1:8080/v1", secret=None))
    assert "a request without a key" in local.message


@pytest.mark.parametrize(
    ("secret", "base", "kind"),
    [
        ("sk-sp-0123456789abcdef", DASHSCOPE.base_url, Kind.WRONG_ENDPOINT),
        ("sk-sp-0123456789abcdef", DASHSCOPE.others[0], Kind.WRONG_ENDPOINT),
        ("sk-sp-0123456789abcdef", CODING_PLAN.base_url, Kind.KEY_REJECTED),
        ("sk-sp-0123456789abcdef", CODING_PLAN.others[0] + "/", Kind.KEY_REJECTED),
        ("sk-0123456789abcdef", CODING_PLAN.base_url, Kind.WRONG_ENDPOINT),
        ("sk-0123456789abcdef", DASHSCOPE.base_url, Kind.KEY_REJECTED),
        ("sk-0123456789abcdef", "https://api.openai.com/v1", Kind.KEY_REJECTED),
    ],
)
@pytest.mark.parametrize("status", [401, 403])
def test_a_key_of_another_plan(status: int, secret: str, base: str, kind: Kind) -> None:
    """The Coding Plan's keys are told by their prefix; the message says where the key belongs."""
    problem = explain(status, credential=key(base, secret))
    assert problem.kind is kind
    assert secret not in problem.message
    assert ("Coding Plan" in problem.message) is (kind is Kind.WRONG_ENDPOINT)


@pytest.mark.parametrize(
    ("is_stored", "base_url", "model"),
    [(False, "OPENAI_BASE_URL", "OPENAI_MODEL"), (True, "keys set --base-url", "keys set --model")],
)
def test_what_can_be_changed(is_stored: bool, base_url: str, model: str) -> None:  # noqa: FBT001 - a column
    """A stored key has its base URL and model along, and no variable changes them."""
    plan = key(DASHSCOPE.base_url, "sk-sp-0123456789abcdef", is_stored=is_stored)
    remedies = {
        base_url: explain(401, credential=plan).remedy,
        model: explain(404, error("x", "model_not_found"), credential=key(is_stored=is_stored)).remedy,
    }
    for named, remedy in remedies.items():
        assert named in remedy
        assert ("OPENAI_" in remedy) is not is_stored


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, None, Kind.FREE_TIER_CLOSED),
        (401, error("invalid access token"), Kind.FREE_TIER_CLOSED),
        (429, error("Free allocated quota exceeded", "insufficient_quota"), Kind.FREE_TIER_CLOSED),
        (429, error("x", "insufficient_quota"), Kind.FREE_TIER_CLOSED),
        (429, error("Too many requests"), Kind.RATE_LIMITED),
        (403, error("forbidden"), Kind.KEY_REJECTED),
        (500, None, Kind.PROVIDER_DOWN),
    ],
)
def test_a_refused_qwen_sign_in(status: int, body: Any, kind: Kind) -> None:
    """401 and an empty quota mean that the free tier is closed: the day, and the other methods."""
    problem = explain(status, body, credential=sign_in())
    assert problem.kind is kind
    if kind is Kind.FREE_TIER_CLOSED:
        assert "2026-04-15" in problem.message
        assert "API key" in problem.remedy
        assert [a.command for a in problem.actions] == ["qwen.auth.switch"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://evil.example/steal?key=hunter2#x", "https://evil.example"),
        ("https://evil.example:8443/a/b", "https://evil.example:8443"),
        ("http://evil.example/hunter2", "http://evil.example"),
        ("https://u:hunter2@evil.example/", "another address"),
        ("/hunter2", "another address"),
        ("javascript:hunter2", "another address"),
        ("https://evil.example\\hunter2", "another address"),
        ("", "another address"),
    ],
)
def test_redirects(status: int, location: str, target: str) -> None:
    """Not followed; of the target only the host is named."""
    problem = explain(status, headers={"location": location})
    assert (problem.kind, problem.cause) == (Kind.NETWORK, Cause.REDIRECT)
    assert f"redirects to {target}, and" in problem.message
    assert "hunter2" not in problem.message
    assert "OPENAI_BASE_URL at /p/.env:4" in problem.message
    assert "another address" in explain(status).message


@pytest.mark.parametrize(
    ("status", "kind", "cause"),
    [
        (200, Kind.NETWORK, Cause.CAPTIVE_PORTAL),
        (204, Kind.NETWORK, Cause.CAPTIVE_PORTAL),
        (511, Kind.NETWORK, Cause.CAPTIVE_PORTAL),
        (407, Kind.NETWORK, Cause.PROXY),
        (404, Kind.BAD_REPLY, None),
        (405, Kind.BAD_REPLY, None),
        (403, Kind.KEY_REJECTED, None),
        (500, Kind.PROVIDER_DOWN, None),
        (502, Kind.PROVIDER_DOWN, None),
        (503, Kind.PROVIDER_DOWN, None),
    ],
)
def test_a_web_page_in_place_of_json(status: int, kind: Kind, cause: Cause | None) -> None:
    """With 200 it is a captive portal; with 5xx the provider is down; with 404 the address is wrong."""
    problem = explain(status, content_type="text/html; charset=utf-8")
    assert (problem.kind, problem.cause) == (kind, cause)
    assert names_the_proxys_places(problem) is (cause is Cause.PROXY)


@pytest.mark.parametrize("cause", Cause)
def test_no_reply(cause: Cause) -> None:
    """Network, with its cause, the host and the place of the base URL."""
    problem = explain_no_reply(NoReply(cause, "why\nnot"), key())
    assert (problem.kind, problem.cause, problem.retryable) == (Kind.NETWORK, cause, True)
    assert "https://h.example could not be reached: why not (OPENAI_BASE_URL at /p/.env:4)" in problem.message
    assert names_the_proxys_places(problem) is (cause is Cause.PROXY)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"code": "insufficient_quota", "message": "x"}, Kind.QUOTA_EXCEEDED),
        ({"code": "rate_limit_exceeded"}, Kind.RATE_LIMITED),
        ({"code": "invalid_api_key"}, Kind.KEY_REJECTED),
        ({"code": "model_not_found", "message": "x"}, Kind.MODEL_NOT_FOUND),
        ({"code": "context_length_exceeded"}, Kind.TOO_LARGE),
        ({"code": 429}, Kind.RATE_LIMITED),
        ({"code": "429"}, Kind.RATE_LIMITED),
        ({"status": "401", "code": "x"}, Kind.KEY_REJECTED),
        ({"code": "9" * 5000}, Kind.PROVIDER_DOWN),
        ({"code": 502, "message": "upstream"}, Kind.PROVIDER_DOWN),
        ({"status": 401, "code": "x"}, Kind.KEY_REJECTED),
        ({"code": 200}, Kind.PROVIDER_DOWN),
        ({"code": True}, Kind.PROVIDER_DOWN),
        ({"code": None}, Kind.PROVIDER_DOWN),
        ({"code": {"a": 1}}, Kind.PROVIDER_DOWN),
        ("plain words", Kind.PROVIDER_DOWN),
        ([1], Kind.PROVIDER_DOWN),
        (True, Kind.PROVIDER_DOWN),
    ],
)
def test_an_error_inside_a_stream(fields: Any, kind: Kind) -> None:
    """By the status its code stands for; one that stands for none is the provider's trouble."""
    problem = explain_stream_error(fields, key(), "m-1", NOW)
    assert problem.kind is kind
    if isinstance(fields, str):
        assert fields in problem.message


def test_a_secret_echoed_in_a_stream_is_blotted() -> None:
    """As in any other answer."""
    for fields in (f"bad key {CANARY}", {"message": CANARY, "code": "invalid_api_key"}):
        assert "canary" not in explain_stream_error(fields, key(), None, NOW).message


def test_a_model_that_is_not_there() -> None:
    """The message names model and host; without a model of ours the code is enough."""
    problem = explain(404, error("x", "model_not_found"))
    assert "https://h.example has no model m-1" in problem.message
    assert explain(404, error("x", "model_not_found"), model=None).kind is Kind.MODEL_NOT_FOUND
    assert explain(404, error("Not Found"), model="found").kind is Kind.MODEL_NOT_FOUND
    assert explain(404, None, model="404").kind is Kind.BAD_REPLY


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("1000000000", 1e9),
        # the three forms of a date in RFC 9110 section 5.6.7, a minute later than now
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 1993 23:59:59 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:50:37 -0000", 60.0),
        ("", None),
        ("-1", None),
        ("+5", None),
        ("1e3", None),
        ("1_000", None),
        ("inf", None),
        ("nan", None),
        ("0x10", None),
        ("\u0665", None),
        ("5 s", None),
        ("soon", None),
        ("Sun, 99 Nov 1994 99:50:37 GMT", None),
        ("9" * 400, None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds, fractions of them, and dates (RFC 9110 section 10.2.3); None where it says nothing usable."""
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_a_date_without_a_zone_is_utc_wherever_we_are() -> None:
    """The old form of a date names no zone; the machine's own one is not meant."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Etc/GMT+7"
    time.tzset()
    try:
        assert retry_after({"retry-after": "Sun Nov  6 08:50:37 1994"}, NOW) == 60.0
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


def test_retry_after_reads_a_date_by_the_servers_clock() -> None:
    """The answer's own Date is the clock, since ours may be wrong by a day; a broken one is not."""
    headers = {"retry-after": "Sun, 06 Nov 1994 08:50:37 GMT", "date": "Sun, 06 Nov 1994 08:50:27 GMT"}
    assert retry_after(headers, NOW + 86_400) == 10.0
    assert retry_after({**headers, "date": "nonsense"}, NOW) == 60.0
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize(
    ("value", "when"), [("30", "in 30 s"), ("nonsense", "in a minute"), (None, "in a minute")]
)
def test_a_rate_limit_says_when(value: str | None, when: str) -> None:
    """The remedy is to try again, and when."""
    headers = {} if value is None else {"retry-after": value}
    assert f"Try again {when}" in explain(429, headers=headers).message


def test_an_insecure_origin_is_explained_too() -> None:
    """A host that the user allowed over http can be named."""
    problem = explain(500, credential=key("http://llm.lan:8080/v1"))
    assert "http://llm.lan:8080 is in trouble" in problem.message
