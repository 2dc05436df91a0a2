"""A stand-in for OpenRouter's browser sign-in: authorization code with PKCE, at the end of it an API key.

Shapes and errors are those of https://openrouter.ai/docs/oauth; S256 is demanded though OpenRouter does not.
Only addresses on loopback are redirected to.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from qwen_ls.demo import page
from qwen_ls.demo.exchange import HTML_TYPE, Reply

if TYPE_CHECKING:
    from qwen_ls.demo.requests import Entry
    from qwen_ls.demo.settings import Settings

CODE_LIFETIME = 600.0  # seconds
CALLBACK = re.compile(r"http://(?:localhost|127\.0\.0\.1|\[::1\]):[1-9][0-9]{0,4}/[\x21-\x7e]*\Z")


@attrs.define
class _Code:
    code_challenge: str
    expires_at: float


class OpenRouter:
    """The codes and keys it has given out; a key is known by itself, times by the monotonic clock."""

    def __init__(self) -> None:
        self._codes: dict[str, _Code] = {}
        self.keys: set[str] = set()

    def ask(self, entry: Entry, settings: Settings) -> Reply:
        """GET /auth: the page that asks the user, or at once the redirect if nobody shall be asked."""
        wrong = _complaint(entry["query"])
        if wrong:
            return _html(page.message("This request cannot be granted", wrong), status=HTTPStatus.BAD_REQUEST)
        if settings.auto_approve:
            return self._send_back(entry["query"], "approve")
        callback = urlsplit(entry["query"]["callback_url"])
        return _html(page.connect(callback.netloc), form_action=f"{callback.scheme}://{callback.netloc}")

    def decide(self, entry: Entry) -> Reply:
        """POST /auth with the same query: back to where the user came from, with a code or an error."""
        decision = entry["form"].get("decision")
        wrong = _complaint(entry["query"]) or ("" if decision in ("approve", "deny") else "Approve or deny?")
        if wrong:
            return _html(page.message("Nothing decided", wrong), status=HTTPStatus.BAD_REQUEST)
        return self._send_back(entry["query"], decision)

    def _send_back(self, query: dict[str, str], decision: str) -> Reply:
        answer = {"error": "access_denied"}
        if decision == "approve":
            answer = {"code": secrets.token_urlsafe(32)}
            expires_at = time.monotonic() + CODE_LIFETIME
            self._codes[answer["code"]] = _Code(query["code_challenge"], expires_at)
        if "state" in query:
            answer["state"] = query["state"]
        callback = urlsplit(query["callback_url"])
        location = callback._replace(query=urlencode([*parse_qsl(callback.query), *answer.items()])).geturl()
        return Reply(HTTPStatus.SEE_OTHER, b"", headers={"location": location, "cache-control": "no-store"})

    def exchange(self, entry: Entry) -> Reply:
        """POST /api/v1/auth/keys: the code and the verifier for a key."""
        body = entry["json"] if isinstance(entry["json"], dict) else {}
        if body.get("code_challenge_method") != "S256":
            return error_reply(HTTPStatus.BAD_REQUEST, "Invalid code_challenge_method")
        code, verifier = body.get("code"), body.get("code_verifier")
        found = self._codes.get(code) if isinstance(code, str) else None
        known = found is not None and time.monotonic() < found.expires_at
        if found is None or not known or _challenge_of(verifier) != found.code_challenge:
            return error_reply(HTTPStatus.FORBIDDEN, "Invalid code or code_verifier")
        del self._codes[str(code)]
        key = f"sk-or-v1-{secrets.token_hex(32)}"
        self.keys.add(key)
        return Reply.from_json({"key": key, "user_id": "user_of_the_demo"})

    def describe_key(self, entry: Entry) -> Reply:
        """GET /api/v1/key: what there is to know about the key that signs the request."""
        scheme, _, key = (entry["authorization"] or "").partition(" ")
        if scheme.lower() != "bearer" or key not in self.keys:
            return error_reply(HTTPStatus.UNAUTHORIZED, "No auth credentials found")
        data = {
            "label": f"{key[:12]}...{key[-3:]}",
            "usage": 0,
            "limit": None,
            "limit_remaining": None,
            "is_free_tier": True,
        }
        return Reply.from_json({"data": data})

    def expire_codes(self) -> None:
        """Let every code expire now."""
        for code in self._codes.values():
            code.expires_at = time.monotonic()

    def revoke_keys(self) -> None:
        """Forget every key there has been."""
        self.keys.clear()


def _complaint(query: dict[str, str]) -> str:
    """Why an authorization request cannot be granted; empty if it can."""
    if query.get("code_challenge_method") != "S256":
        return "code_challenge_method must be S256."
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", query.get("code_challenge", "")):
        return "code_challenge is no base64url of a SHA-256."
    if not CALLBACK.match(query.get("callback_url", "")):
        return "callback_url must be an http address with a port on this machine."
    return ""


def _challenge_of(verifier: Any) -> str:
    """S256 (RFC 7636, section 4.2); empty for what is no verifier."""
    if not isinstance(verifier, str) or not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier):
        return ""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def error_reply(status: HTTPStatus, message: str) -> Reply:
    """An error in OpenRouter's form."""
    return Reply.from_json({"error": {"code": int(status), "message": message}}, status)


def _html(content: str, *, status: HTTPStatus = HTTPStatus.OK, form_action: str = "") -> Reply:
    # Browsers apply form-action to the redirect that answers a form as well.
    policy = page.POLICY.replace("form-action 'self'", f"form-action 'self' {form_action}".rstrip())
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return Reply(status, content.encode(), HTML_TYPE, headers)
