"""Authorization code grant with PKCE for OpenRouter (RFC 6749 section 4.1, RFC 7636), as a generator.

OpenRouter's variant: `callback_url` for redirect_uri, no client_id, and the code is exchanged for an API
key, by a POST of JSON (https://openrouter.ai/docs/oauth). Its documentation names no `state`, so the state
is sent all the same and is the last step of the redirect's path too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import attrs

from qwen_ls.core.errors import Kind, Problem, one_line
from qwen_ls.core.intents import AwaitRedirect, Flow, NoReply, OpenPage, PostJson, Reply
from qwen_ls.core.oauth.pkce import code_challenge
from qwen_ls.core.oauth.token import login_failed, no_reply
from qwen_ls.core.origin import parse_base_url
from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPENROUTER = "https://openrouter.ai"
AUTHORIZATION_PATH = "/auth"
KEY_PATH = "/api/v1/auth/keys"
CHAT_PATH = "/api/v1"
REDIRECT_TIMEOUT = 300.0  # seconds that people have for the page
REQUEST_TIMEOUT = 15.0  # seconds
KEY = re.compile(r"[\x21-\x7e]{1,1024}")  # what a header can carry and every keyring can hold
# RFC 6749 section 4.1.2.1: all of them but access_denied. They are no decision of the user's.
MISHAPS = frozenset(
    {
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    }
)
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500


def checked_base_url(base_url: str) -> str:
    """A base URL whose pages may be opened; raises Problem(untrusted-origin)."""
    return str(parse_base_url(base_url, "sign-in server"))


@attrs.frozen
class CodeServer:
    """A server like OpenRouter, by its base URL: https, or http on loopback. Raises Problem for another."""

    base_url: str = attrs.field(default=OPENROUTER, converter=checked_base_url)

    @property
    def authorization_endpoint(self) -> str:
        """The page that asks the user."""
        return self.base_url + AUTHORIZATION_PATH

    @property
    def key_endpoint(self) -> str:
        """Where a code becomes a key."""
        return self.base_url + KEY_PATH

    @property
    def chat_base_url(self) -> str:
        """Where the key is used."""
        return self.base_url + CHAT_PATH

    @property
    def host(self) -> str:
        """The host for messages."""
        return parse_base_url(self.base_url, "sign-in server").origin.host


def code_flow(server: CodeServer, verifier: str, state: str, redirect_uri: str) -> Flow[Secret]:
    """Sign in: open the page, wait for the browser to come back, exchange the code for a key.

    `verifier` and `state` are random on their own (32 bytes each, base64url). Raises Problem with
    login-denied, login-expired, login-failed or network.
    """
    yield OpenPage(authorization_url(server, verifier, state, redirect_uri))
    params = yield AwaitRedirect(REDIRECT_TIMEOUT)
    if params is None:
        raise expired()
    code = code_of(params, server, state, redirect_uri)
    body = {"code": code, "code_verifier": verifier, "code_challenge_method": "S256"}
    result = yield PostJson(server.key_endpoint, body, REQUEST_TIMEOUT)
    return key_of(result, server, (Secret(code), Secret(verifier)))


def authorization_url(server: CodeServer, verifier: str, state: str, redirect_uri: str) -> str:
    """The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3), in OpenRouter's names."""
    query = {
        "callback_url": redirect_uri,
        "code_challenge": code_challenge(verifier),
        "code_challenge_method": "S256",
        "state": state,
    }
    return f"{server.authorization_endpoint}?{urlencode(query, quote_via=quote)}"


def is_answer(params: Mapping[str, str], state: str, redirect_uri: str) -> bool:
    """Whether a redirect answers the sign-in with this `state` (RFC 6749 sections 4.1.2 and 10.12).

    A `state` that came back must be ours; where none did, ours must end the address it came to.
    """
    proof = params.get("state")
    proven = redirect_uri.endswith("/" + state) if proof is None else proof == state
    return proven and bool(params.get("code") or params.get("error"))


def code_of(params: Mapping[str, str], server: CodeServer, state: str, redirect_uri: str) -> str:
    """The code of a redirect; raises Problem with login-denied or login-failed."""
    if not is_answer(params, state, redirect_uri):
        raise login_failed("The browser came back with an answer that does not belong to this sign-in")
    error = params.get("error")
    if not error:
        return params["code"]
    words = blotted(": ".join(w for w in (error, params.get("error_description")) if w), (Secret(state),))
    if error in MISHAPS:
        raise login_failed(f"{server.host} did not complete the sign-in: {words}")
    raise Problem(
        Kind.LOGIN_DENIED,
        f"The sign-in was refused on the page of {server.host}: {words}",
        remedy="Start it again",
    )


def key_of(result: Reply | NoReply, server: CodeServer, sent: Sequence[Secret]) -> Secret:
    """The key in the key endpoint's answer; raises Problem with login-failed or network.

    The secrets that were `sent` are blotted out of the server's words.
    """
    if isinstance(result, NoReply):
        raise no_reply(result, server.key_endpoint)
    if not result.ok:
        later = result.status == TOO_MANY_REQUESTS or result.status >= SERVER_ERROR
        words = blotted(describe(result), sent)
        raise login_failed(f"{server.host} gave no key for the sign-in: {words}", retryable=later)
    key = result.json.get("key") if isinstance(result.json, dict) else None
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise login_failed(f"{server.host} answered the sign-in without a usable key")
    return Secret(key)


def describe(result: Reply) -> str:
    """An error answer in words: OpenRouter's `error.message` or OAuth's fields, and the status."""
    fields = result.json if isinstance(result.json, dict) else {}
    error = fields.get("error")
    found = [error.get("message")] if isinstance(error, dict) else [error, fields.get("error_description")]
    return ", ".join([*(w for w in found if isinstance(w, str) and w), f"HTTP {result.status}"])


def blotted(text: str, secrets: Sequence[Secret]) -> str:
    """Words from outside on one line, without the secrets they repeat."""
    for secret in secrets:
        text = secret.blot(text)
    return one_line(text)


def expired() -> Problem:
    """The browser did not come back."""
    return Problem(
        Kind.LOGIN_EXPIRED,
        f"The browser did not come back from the sign-in page within {REDIRECT_TIMEOUT / 60:.0f} minutes",
        remedy="Start the sign-in again",
    )
