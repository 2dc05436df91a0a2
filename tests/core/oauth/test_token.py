"""qwen_ls.core.oauth.token: the cache file, a token endpoint's answer, when to refresh, where to chat."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.errors import Cause, Kind, Problem
from qwen_ls.core.intents import NoReply, PostForm, Reply
from qwen_ls.core.oauth.token import (
    CLIENT_ID,
    DEFAULT_LIFETIME,
    LONGEST_LIFETIME,
    MAX_CACHE_BYTES,
    QWEN_ISSUER,
    REFRESH_TIMEOUT,
    CachedToken,
    Issuer,
    Token,
    chat_base_url,
    encode_cache,
    error_code,
    from_reply,
    lifetime,
    no_reply,
    parse_cache,
    passing_failure,
    refresh_at,
    refresh_flow,
)

FIELDS = {
    "access_token": "access-canary",
    "refresh_token": "refresh-canary",
    "token_type": "Bearer",
    "resource_url": "portal.qwen.ai",
    "expiry_date": 1_757_000_000_123,
}
NOW = 1_757_000_000.0
PAGE = {"content-type": "Text/HTML; charset=utf-8"}


def cache(**changes: Any) -> bytes:
    """A cache file with some fields changed; None takes a field away."""
    fields = {**FIELDS, **changes}
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


def token(**changes: Any) -> Token:
    """The token of such a file."""
    found = parse_cache(cache(**changes))
    assert isinstance(found, Token)
    return found


def test_a_cache_of_qwen_code() -> None:
    """The five fields; `expiry_date` is in milliseconds, our time in seconds."""
    found = token()
    assert (found.access_token.reveal(), found.refresh_token.reveal()) == ("access-canary", "refresh-canary")
    assert (found.token_type, found.resource_url) == ("Bearer", "portal.qwen.ai")
    assert found.expires_at == pytest.approx(1_757_000_000.123, abs=1e-4)
    assert found.extra == {}
    assert token(resource_url=None).resource_url is None
    assert token(resource_url=5).resource_url is None
    assert token(resource_url="").resource_url is None


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + cache(),
        cache().replace(b", ", b",\r\n"),
        b"\r\n\t " + cache() + b"\n\n",
        json.dumps(FIELDS, indent=2).encode(),
        cache(expiry_date=1_757_000_000_123.0),
        cache(unknown={"deep": [1, None, "x"]}),
    ],
)
def test_a_cache_in_other_clothes(data: bytes) -> None:
    """BOM, line ends, blanks, indentation and unknown fields do not matter."""
    assert isinstance(parse_cache(data), Token)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the file is not JSON"),
        (cache()[:-1], "the file is not JSON"),
        (cache()[: len(cache()) // 2], "the file is not JSON"),
        (bytes(range(256)), "the file is not JSON"),
        (b"\x00" * 64, "the file is not JSON"),
        ('{"access_token": "x"}'.encode("utf-16"), "the file is not JSON"),
        (b"[" * 50_000, "the file is not JSON"),
        (b"9" * 5000, "the file is not JSON"),
        (b"[]", "the file holds no JSON object"),
        (b"null", "the file holds no JSON object"),
        (b'"x"', "the file holds no JSON object"),
        (b"{}", "the file has no access_token"),
        (cache(access_token=None), "the file has no access_token"),
        (cache(access_token=""), "the file has no access_token"),
        (cache(access_token=5), "the file has no access_token"),
        (cache(refresh_token=None), "the file has no refresh_token"),
        (cache(refresh_token=["x"]), "the file has no refresh_token"),
        (cache(token_type=None), "the file has no token_type"),
        (cache(expiry_date=None), "the file has no expiry_date"),
        (cache(expiry_date=0), "the file has no expiry_date"),
        (cache(expiry_date=-1), "the file has no expiry_date"),
        (cache(expiry_date=True), "the file has no expiry_date"),
        (cache(expiry_date="1757000000123"), "the file has no expiry_date"),
        (cache(expiry_date=10**400), "the file has no expiry_date"),
        (cache(expiry_date=1e300), "the file has no expiry_date"),
        (cache().replace(b"1757000000123", b"1e999"), "the file has no expiry_date"),
        (cache(expiry_date=float("nan")), "the file is not JSON"),
        (cache(expiry_date=float("inf")), "the file is not JSON"),
        (cache(unknown=float("nan")), "the file is not JSON"),
        (cache(unknown="x" * MAX_CACHE_BYTES), "the file is larger than 64 KiB"),
    ],
)
def test_a_cache_that_cannot_be_used(data: bytes, why: str) -> None:
    """One clause that says why, and never an exception."""
    assert parse_cache(data) == why


@given(st.binary(max_size=200))
def test_any_bytes_are_a_token_or_a_reason(data: bytes) -> None:
    """Whatever is in the file."""
    assert isinstance(parse_cache(data), (Token, str))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TEXT = st.text(min_size=1, max_size=20)


@given(
    TEXT,
    TEXT,
    TEXT,
    st.none() | TEXT,
    st.integers(1, 4 * 10**12),
    st.dictionaries(st.text().filter(lambda name: name not in FIELDS), JSON, max_size=4),
)
def test_a_cache_comes_back_as_it_was(  # noqa: PLR0917 - a file's fields
    access: str, refresh: str, kind: str, resource: str | None, expiry: int, extra: dict[str, Any]
) -> None:
    """What is written is read: every token field, unknown fields, the expiry to the millisecond."""
    fields = {
        **extra,
        "access_token": access,
        "refresh_token": refresh,
        "token_type": kind,
        "expiry_date": expiry,
    }
    if resource is not None:
        fields["resource_url"] = resource
    found = parse_cache(json.dumps(fields).encode())
    assert isinstance(found, Token)
    again = encode_cache(found)
    assert json.loads(again) == fields
    assert parse_cache(again) == found


def test_the_written_file_is_qwen_codes() -> None:
    """JSON with two blanks of indentation, the expiry as an integer of milliseconds."""
    text = encode_cache(token()).decode()
    assert json.loads(text) == FIELDS
    assert '\n  "access_token": "access-canary"' in text
    assert '"expiry_date": 1757000000123' in text
    assert text.endswith("}\n")


# --- answers of the token endpoint -------------------------------------------------------------------


def test_a_first_answer() -> None:
    """RFC 6749 section 5.1 with Qwen's `resource_url`; what is not ours is not kept."""
    reply = {
        "access_token": "a",
        "refresh_token": "r",
        "token_type": "bearer",
        "expires_in": 21600,
        "resource_url": "portal.qwen.ai",
        "status": "success",
    }
    found = from_reply(reply, NOW)
    assert (found.access_token.reveal(), found.refresh_token.reveal(), found.token_type) == (
        "a",
        "r",
        "bearer",
    )
    assert (found.resource_url, found.expires_at, found.extra) == ("portal.qwen.ai", NOW + 21600, {})


@pytest.mark.parametrize(
    "absent", [{}, {"refresh_token": None, "resource_url": None}, {"refresh_token": "", "resource_url": 5}]
)
def test_a_refresh_keeps_what_is_omitted(absent: dict[str, Any]) -> None:
    """Refresh token (RFC 6749 section 6), `resource_url` and unknown fields stay."""
    found = from_reply({"access_token": "new", "expires_in": 60, **absent}, NOW, token(other="kept"))
    assert (found.access_token.reveal(), found.refresh_token.reveal()) == ("new", "refresh-canary")
    assert (found.resource_url, found.extra, found.expires_at) == (
        "portal.qwen.ai",
        {"other": "kept"},
        NOW + 60,
    )


def test_a_refresh_takes_what_is_new() -> None:
    """Rotation: a new refresh token, a new place to chat."""
    reply = {"access_token": "a", "refresh_token": "rotated", "resource_url": "dashscope.aliyuncs.com"}
    found = from_reply(reply, NOW, token())
    assert (found.refresh_token.reveal(), found.resource_url) == ("rotated", "dashscope.aliyuncs.com")
    assert found.token_type == "Bearer"


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"access_token": ""},
        {"access_token": 5, "refresh_token": "r"},
        {"access_token": "a"},
        {"access_token": "a", "refresh_token": ""},
        {"refresh_token": "r"},
    ],
)
def test_an_answer_without_tokens(reply: dict[str, Any]) -> None:
    """A sign-in needs both; the problem shows none of it."""
    with pytest.raises(Problem) as caught:
        from_reply(reply, NOW)
    assert caught.value.kind is Kind.LOGIN_FAILED


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3600, 3600.0),
        (0.5, 0.5),
        ("7200", 7200.0),
        (None, DEFAULT_LIFETIME),
        (0, DEFAULT_LIFETIME),
        (-5, DEFAULT_LIFETIME),
        ("soon", DEFAULT_LIFETIME),
        ("-5", DEFAULT_LIFETIME),
        ("\u0665", DEFAULT_LIFETIME),
        ("", DEFAULT_LIFETIME),
        (True, DEFAULT_LIFETIME),
        ([60], DEFAULT_LIFETIME),
        (float("nan"), DEFAULT_LIFETIME),
        (float("inf"), LONGEST_LIFETIME),
        (2**63, LONGEST_LIFETIME),
        (10**400, LONGEST_LIFETIME),
        (-(10**400), DEFAULT_LIFETIME),
        ("9" * 5000, LONGEST_LIFETIME),
    ],
)
def test_lifetimes(expires_in: object, seconds: float) -> None:
    """`expires_in` is trusted as far as it makes sense, and no further than a year."""
    assert lifetime(expires_in) == seconds


# --- when to refresh ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whole", "ahead"),
    [(21_600.0, 300.0), (1500.0, 300.0), (1499.0, 299.8), (60.0, 12.0), (1.0, 0.2), (0.0, 0.0), (-5.0, 0.0)],
)
def test_refresh_is_ahead_of_expiry(whole: float, ahead: float) -> None:
    """min(300 s, lifetime/5) before the end, by ±10 % for processes that share the cache."""
    found = attrs.evolve(token(), expires_at=NOW + whole)
    cached = CachedToken("/c", found, written_at=NOW)
    assert refresh_at(cached, found, 0.0) == pytest.approx(NOW + whole - ahead, abs=0.001)
    assert refresh_at(cached, found, 1.0) == pytest.approx(NOW + whole - ahead * 1.1, abs=0.001)
    assert refresh_at(cached, found, -1.0) == pytest.approx(NOW + whole - ahead * 0.9, abs=0.001)


def test_refresh_without_a_date_of_writing() -> None:
    """An unknown lifetime counts as the default one."""
    found = attrs.evolve(token(), expires_at=NOW)
    assert refresh_at(CachedToken("/c", found), found, 0.0) == NOW - 300.0


# --- where to chat -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource_url", "url"),
    [
        (None, "https://dashscope.aliyuncs.com/compatible-mode/v1"),
        ("portal.qwen.ai", "https://portal.qwen.ai/v1"),
        ("portal.qwen.ai/", "https://portal.qwen.ai/v1"),
        ("portal.qwen.ai/v1", "https://portal.qwen.ai/v1"),
        ("portal.qwen.ai/v1//", "https://portal.qwen.ai/v1"),
        ("https://portal.qwen.ai", "https://portal.qwen.ai/v1"),
        ("HTTPS://PORTAL.qwen.ai/v1", "https://portal.qwen.ai/v1"),
        (
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        ),
        ("dashscope.aliyuncs.com/compatible-mode", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
        ("chat.qwen.ai/api", "https://chat.qwen.ai/api/v1"),
    ],
)
def test_the_chat_url_of_a_sign_in(resource_url: str | None, url: str) -> None:
    """`resource_url` completed; portal.qwen.ai, a catalogue host, the issuer's host; else DashScope."""
    assert chat_base_url(token(resource_url=resource_url), Issuer(QWEN_ISSUER)) == url


@pytest.mark.parametrize(
    "resource_url",
    [
        "evil.example",
        "https://evil.example/v1",
        "portal.qwen.ai.evil.example",
        "evil.example/portal.qwen.ai",
        "xportal.qwen.ai",
        "qwen.ai",
        "portal.qwen.ai:8443",
        "portal.qwen.ai@evil.example",
        "https://portal.qwen.ai@evil.example/v1",
        "portal.qwen.ai\\@evil.example",
        "http://portal.qwen.ai/v1",
        "http://chat.qwen.ai/v1",
        "portal.qwen.ai/v1?x=",
        "portal.qwen.ai#",
        "portal.qwen.ai/../x",
        "portal.qwen.ai\r\nHost: evil.example",
        "javascript://portal.qwen.ai/",
        "file:///etc/passwd",
        "169.254.169.254",
        "127.0.0.1:11434",
        "http://127.0.0.1:11434/v1",
        "http://localhost:8080",
        " ",
        "//evil.example",
        "x" * 5000,
    ],
)
def test_a_foreign_chat_url_is_refused(resource_url: str) -> None:
    """Anything else is untrusted, a local server too: the token is not sent there."""
    with pytest.raises(Problem) as caught:
        chat_base_url(token(resource_url=resource_url), Issuer(QWEN_ISSUER))
    assert caught.value.kind is Kind.UNTRUSTED_ORIGIN
    assert "canary" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_loopback_issuers_own_host() -> None:
    """A server on loopback may send chat to its own host, on any port; not to another."""
    issuer = "http://127.0.0.1:5000"
    assert (
        chat_base_url(token(resource_url="http://127.0.0.1:5001"), Issuer(issuer))
        == "http://127.0.0.1:5001/v1"
    )
    for other in ("http://127.0.0.2:5000", "http://localhost:5000", "evil.example"):
        with pytest.raises(Problem):
            chat_base_url(token(resource_url=other), Issuer(issuer))


# --- refreshing --------------------------------------------------------------------------------------


def test_the_refresh_request() -> None:
    """RFC 6749 section 6: grant type, refresh token, client; the answer comes back as it is."""
    flow = refresh_flow(Issuer(QWEN_ISSUER), token())
    assert next(flow) == PostForm(
        "https://chat.qwen.ai/api/v1/oauth2/token",
        {"grant_type": "refresh_token", "refresh_token": "refresh-canary", "client_id": CLIENT_ID},
        REFRESH_TIMEOUT,
    )
    answer = Reply(400, {"error": "invalid_grant"})
    with pytest.raises(StopIteration) as ended:
        flow.send(answer)
    assert ended.value.value is answer


def test_the_refresh_is_shorter_than_qwen_codes_patience() -> None:
    """Under the lock its time-out stays below the 10 s after which old versions call the lock stale."""
    assert REFRESH_TIMEOUT < 10


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": "invalid_grant"}, "invalid_grant"),
        ({"error": 5}, ""),
        ({}, ""),
        (None, ""),
        ([], ""),
        ("x", ""),
    ],
)
def test_error_codes(body: Any, code: str) -> None:
    """The `error` of RFC 6749 section 5.2, if it is a text."""
    assert error_code(Reply(400, body)) == code


@pytest.mark.parametrize("cause", Cause)
def test_an_unreachable_sign_in_server(cause: Cause) -> None:
    """Network, with its cause; the server's origin is named, and a next step."""
    problem = no_reply(NoReply(cause, "refused"), QWEN_ISSUER)
    assert (problem.kind, problem.cause, problem.retryable) == (Kind.NETWORK, cause, True)
    assert "https://chat.qwen.ai" in str(problem)
    assert problem.remedy
    assert ("the setting proxy, else HTTPS_PROXY" in problem.remedy) is (cause is Cause.PROXY)


@pytest.mark.parametrize(
    ("reply", "kind", "cause"),
    [
        (Reply(302, None), Kind.NETWORK, Cause.REDIRECT),
        (Reply(407, None), Kind.NETWORK, Cause.PROXY),
        (Reply(511, None), Kind.NETWORK, Cause.CAPTIVE_PORTAL),
        (Reply(200, None, PAGE), Kind.NETWORK, Cause.CAPTIVE_PORTAL),
        (Reply(408, None), Kind.PROVIDER_DOWN, None),
        (Reply(500, {"error": "server_error"}), Kind.PROVIDER_DOWN, None),
        (Reply(502, None, PAGE), Kind.PROVIDER_DOWN, None),
        (Reply(429, {"error": "slow_down"}), Kind.RATE_LIMITED, None),
    ],
)
def test_what_may_pass(reply: Reply, kind: Kind, cause: Cause | None) -> None:
    """It is nobody's decision, and is told so, with the server's origin and a next step."""
    problem = passing_failure(reply, f"{QWEN_ISSUER}/api/token?tenant=1")
    assert problem is not None
    assert (problem.kind, problem.cause, problem.retryable) == (kind, cause, True)
    assert "https://chat.qwen.ai)" in problem.message
    assert problem.remedy
    assert ("the setting proxy, else HTTPS_PROXY" in problem.remedy) is (cause is Cause.PROXY)


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(status, None) for status in (200, 204, 400, 401, 403, 404)),
        *(Reply(status, {"error": "invalid_grant"}, PAGE) for status in (200, 400, 401, 403)),
        Reply(401, None, PAGE),
    ],
)
def test_what_the_server_has_decided(reply: Reply) -> None:
    """A refusal, or an answer that is none of a web page: it would come again."""
    assert passing_failure(reply, QWEN_ISSUER) is None
