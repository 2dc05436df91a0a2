"""qwen_ls.core.oauth.code: authorization code with PKCE (RFC 6749 section 4.1, RFC 7636), driven by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from qwen_ls.core.errors import Cause, Kind, Problem
from qwen_ls.core.intents import AwaitRedirect, NoReply, OpenPage, PostJson, Reply
from qwen_ls.core.oauth.code import REDIRECT_TIMEOUT, REQUEST_TIMEOUT, CodeServer, code_flow, is_answer
from qwen_ls.core.providers import provider_named
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
STATE = "state-canary-state-canary-state-canary-0001"
REDIRECT_URI = f"http://localhost:51423/callback/{STATE}"
CODE = "code-canary-of-openrouter-0001"
KEY = "sk-or-v1-canary-of-openrouter-0001"


def sign_in(
    params: Mapping[str, str] | None,
    result: Any = None,
    server: CodeServer | None = None,
    redirect_uri: str = REDIRECT_URI,
) -> tuple[Secret, list[Any]]:
    """Drive a flow by `send`: the key, and the intents it took."""
    flow = code_flow(server or CodeServer(), VERIFIER, STATE, redirect_uri)
    intents: list[Any] = [next(flow), flow.send(None), flow.send(params)]
    with pytest.raises(StopIteration) as ended:
        flow.send(result)
    assert isinstance(ended.value.value, Secret)
    return ended.value.value, intents


def failure(params: Mapping[str, str] | None, result: Any = None) -> Problem:
    """The problem in which a sign-in ends; it is one line, names a next step and holds no secret."""
    with pytest.raises(Problem) as caught:
        sign_in(params, result)
    problem = caught.value
    assert problem.message.isprintable()
    assert problem.remedy
    assert not any(secret in problem.message for secret in (STATE, VERIFIER, CODE, KEY))
    return problem


# --- the way of the flow -----------------------------------------------------------------------------


def test_a_page_a_redirect_and_an_exchange() -> None:
    """The three steps, with the values of RFC 7636 appendix B, and the key that comes of them."""
    key, (opened, awaited, posted) = sign_in({"code": CODE}, Reply(200, {"key": KEY, "user_id": "user"}))
    assert key.reveal() == KEY

    assert isinstance(opened, OpenPage)
    url = urlsplit(opened.url)
    assert (url.scheme, url.netloc, url.path) == ("https", "openrouter.ai", "/auth")
    assert parse_qs(url.query, strict_parsing=True) == {
        "callback_url": [REDIRECT_URI],
        "code_challenge": [CHALLENGE],
        "code_challenge_method": ["S256"],
        "state": [STATE],
    }
    assert awaited == AwaitRedirect(REDIRECT_TIMEOUT)
    assert REDIRECT_TIMEOUT == 300
    assert posted == PostJson(
        "https://openrouter.ai/api/v1/auth/keys",
        {"code": CODE, "code_verifier": VERIFIER, "code_challenge_method": "S256"},
        REQUEST_TIMEOUT,
    )


def test_the_page_learns_nothing_that_redeems_the_code() -> None:
    """The verifier stays here until the exchange, and no repr of an intent shows a secret."""
    _, intents = sign_in({"code": CODE}, Reply(200, {"key": KEY}))
    assert VERIFIER not in intents[0].url
    assert not any(secret in repr(intents) for secret in (STATE, VERIFIER, CODE))


def test_another_redirect_uri_is_quoted_whole() -> None:
    """An address with a query of its own does not run into ours."""
    uri = f"https://editor.example/redirect?to=a&b=1#x/{STATE}"
    _, intents = sign_in({"code": CODE}, Reply(200, {"key": KEY}), redirect_uri=uri)
    query = parse_qs(urlsplit(intents[0].url).query, strict_parsing=True)
    assert query["callback_url"] == [uri]
    assert len(query) == 4


def test_a_server_of_its_own() -> None:
    """A server is made of its base URL alone."""
    server = CodeServer("http://127.0.0.1:8080/")
    assert server.authorization_endpoint == "http://127.0.0.1:8080/auth"
    assert server.key_endpoint == "http://127.0.0.1:8080/api/v1/auth/keys"
    assert server.chat_base_url == "http://127.0.0.1:8080/api/v1"


def test_the_chat_base_url_is_the_catalogues() -> None:
    """The key that OpenRouter gives belongs to the catalogue's entry."""
    openrouter = provider_named("openrouter")
    assert openrouter is not None
    assert CodeServer().chat_base_url == openrouter.base_url


@pytest.mark.parametrize(
    "base_url",
    [
        "http://openrouter.ai",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://a@b",
        "-flag",
        "https://a?b",
    ],
)
def test_no_page_of_another_scheme_is_opened(base_url: str) -> None:
    """A base URL is https, or http on loopback; anything else is refused before a page is opened."""
    with pytest.raises(Problem) as caught:
        CodeServer(base_url)
    assert caught.value.kind is Kind.UNTRUSTED_ORIGIN


# --- the redirect ------------------------------------------------------------------------------------


def test_nobody_comes_back() -> None:
    """No redirect in time is login-expired."""
    problem = failure(None)
    assert problem.kind is Kind.LOGIN_EXPIRED
    assert "5 minutes" in problem.message


@pytest.mark.parametrize("error", ["access_denied", "user_cancelled", "consent_required"])
def test_denied(error: str) -> None:
    """An error that the user's decision explains is login-denied, with the server's word for it."""
    problem = failure({"error": error, "error_description": "No, thanks.\r\nReally."})
    assert problem.kind is Kind.LOGIN_DENIED
    assert f"{error}: No, thanks. Really." in problem.message


@pytest.mark.parametrize("error", ["server_error", "temporarily_unavailable", "invalid_request"])
def test_mishaps_of_the_server_are_no_decision(error: str) -> None:
    """RFC 6749 section 4.1.2.1: the errors that are the server's or ours are login-failed."""
    assert failure({"error": error}).kind is Kind.LOGIN_FAILED


def test_an_error_beats_a_code() -> None:
    """A redirect with both is a refusal: nothing is exchanged."""
    assert failure({"error": "access_denied", "code": CODE}).kind is Kind.LOGIN_DENIED


def test_a_description_that_repeats_the_state() -> None:
    """What the server repeats of our secrets is blotted out."""
    assert "canary" not in failure({"error": "access_denied", "error_description": f"bad {STATE}"}).message


ELSEWHERE = "https://editor.example/callback"


@pytest.mark.parametrize(
    ("params", "redirect_uri", "expected"),
    [
        ({"code": "c"}, REDIRECT_URI, True),
        ({"error": "e"}, REDIRECT_URI, True),
        ({"code": "c", "state": STATE}, REDIRECT_URI, True),
        ({"code": "c", "state": STATE}, ELSEWHERE, True),
        ({"code": "c"}, ELSEWHERE, False),
        ({"code": "c", "state": STATE[:-1]}, REDIRECT_URI, False),
        ({"code": "c", "state": ""}, REDIRECT_URI, False),
        ({"error": "e", "state": "other"}, REDIRECT_URI, False),
        ({"code": ""}, REDIRECT_URI, False),
        ({}, REDIRECT_URI, False),
        ({"state": STATE}, REDIRECT_URI, False),
    ],
)
def test_what_answers_a_sign_in(params: Mapping[str, str], redirect_uri: str, *, expected: bool) -> None:
    """A state that came back must be ours, else ours must stand in the address; empty words say nothing."""
    assert is_answer(params, STATE, redirect_uri) is expected


@pytest.mark.parametrize("params", [{"code": CODE, "state": "another"}, {"state": STATE}, {}])
def test_a_foreign_redirect_is_never_exchanged(params: Mapping[str, str]) -> None:
    """Even when whoever listened let it pass, the code is not sent on."""
    assert failure(params, Reply(200, {"key": KEY})).kind is Kind.LOGIN_FAILED


# --- the exchange ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "words", "retryable"),
    [
        (Reply(400, {"error": {"code": 400, "message": "Invalid code_challenge_method"}}), "Invalid", False),
        (Reply(403, {"error": {"code": 403, "message": f"Invalid code {CODE}"}}), "Invalid code", False),
        (Reply(403, {"error": "invalid_grant", "error_description": f"{VERIFIER}?"}), "invalid_grant", False),
        (Reply(405), "HTTP 405", False),
        (Reply(302), "HTTP 302", False),
        (Reply(429, {"error": None}), "HTTP 429", True),
        (Reply(500, []), "HTTP 500", True),
        (Reply(200, {"user_id": "user"}), "without a usable key", False),
        (Reply(200, {"key": ""}), "without a usable key", False),
        (Reply(200, {"key": f"{KEY}\r\nX-Evil: 1"}), "without a usable key", False),
        (Reply(200, {"key": "k" * 1025}), "without a usable key", False),
        (Reply(200, {"key": 7}), "without a usable key", False),
        (Reply(200, [KEY]), "without a usable key", False),
        (Reply(200), "without a usable key", False),
    ],
)
def test_a_refused_exchange(reply: Reply, words: str, *, retryable: bool) -> None:
    """Anything but a key is login-failed, in the server's words, without the secrets these repeat."""
    problem = failure({"code": CODE}, reply)
    assert (problem.kind, problem.retryable) == (Kind.LOGIN_FAILED, retryable)
    assert words in problem.message


@pytest.mark.parametrize("cause", list(Cause))
def test_no_answer(cause: Cause) -> None:
    """A key endpoint that cannot be reached is network, with the cause."""
    problem = failure({"code": CODE}, NoReply(cause, "nothing came"))
    assert (problem.kind, problem.cause) == (Kind.NETWORK, cause)
    assert "https://openrouter.ai" in problem.message
