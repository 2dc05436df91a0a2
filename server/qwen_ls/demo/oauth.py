"""Device authorization (RFC 8628) with PKCE (RFC 7636), and refresh tokens that rotate (RFC 9700, 4.14.2)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Literal

import attrs

from qwen_ls.demo.settings import OWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.demo.settings import Settings

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_GRANT = "refresh_token"
USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1
USER_CODE_LENGTH = 8
SLOW_DOWN_STEP = 5  # seconds; RFC 8628, section 3.5
Decision = Literal["approve", "deny"]
State = Literal["waiting", "approved", "denied", "expired"]


@attrs.frozen
class OAuthError(Exception):
    """An error answer of RFC 6749, section 5.2."""

    error: str
    description: str
    status: int = 400


@attrs.define
class _Grant:
    user_code: str
    code_challenge: str
    expires_at: float
    interval: float
    decision: Decision | None = None
    redeemed: bool = False
    polled_at: float | None = None


@attrs.define
class _Family:
    """All tokens that come from one sign-in."""

    revoked: bool = False


@attrs.define
class _Token:
    family: _Family
    expires_at: float
    used: bool = False


class Authority:
    """Grants and tokens; times by the monotonic clock."""

    def __init__(self) -> None:
        self._grants: dict[str, _Grant] = {}
        self._access: dict[str, _Token] = {}
        self._refresh: dict[str, _Token] = {}
        self._slow_downs = 0

    def start_grant(self, form: Mapping[str, str], settings: Settings, base_url: str) -> dict[str, Any]:
        """Answer a device authorization request (RFC 8628, sections 3.1 and 3.2)."""
        _require(form, "client_id", "scope", "code_challenge", "code_challenge_method")
        _check_client(form, settings)
        if form["code_challenge_method"] != "S256":
            raise OAuthError("invalid_request", "code_challenge_method must be S256")
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", form["code_challenge"]):
            raise OAuthError("invalid_request", "code_challenge is no base64url of a SHA-256")
        device_code = secrets.token_urlsafe(32)
        user_code = "".join(secrets.choice(USER_CODE_ALPHABET) for _ in range(USER_CODE_LENGTH))
        grant = _Grant(
            user_code,
            form["code_challenge"],
            time.monotonic() + settings.device_expires_in,
            5 if settings.interval is None else settings.interval,
            decision="approve" if settings.auto_approve else None,
        )
        self._grants[device_code] = grant
        uri = settings.verification_uri or f"{base_url}/authorize"
        answer: dict[str, Any] = {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": uri,
            "verification_uri_complete": f"{uri}?user_code={user_code}&client=qwen-code",
            "expires_in": settings.device_expires_in,
        }
        if settings.interval is not None:
            answer["interval"] = settings.interval
        return answer

    def issue(self, form: Mapping[str, str], settings: Settings, base_url: str) -> dict[str, Any]:
        """Answer a token request of either grant (RFC 6749, sections 5 and 6; RFC 8628, section 3.4)."""
        _require(form, "grant_type", "client_id")
        _check_client(form, settings)
        if form["grant_type"] == DEVICE_GRANT:
            return self._tokens(self._redeem(form, settings), settings, base_url, rotate=True)
        if form["grant_type"] == REFRESH_GRANT:
            return self._tokens(self._renew(form, settings), settings, base_url, rotate=settings.rotate)
        raise OAuthError("unsupported_grant_type", "only device_code and refresh_token are known here")

    def _redeem(self, form: Mapping[str, str], settings: Settings) -> _Family:
        _require(form, "device_code", "code_verifier")
        grant = self._grants.get(form["device_code"])
        if grant is None or grant.redeemed:
            raise OAuthError("invalid_grant", "this device code is unknown or was used")
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.code_challenge:
            raise OAuthError("invalid_grant", "code_verifier does not match code_challenge")
        now = time.monotonic()
        if now >= grant.expires_at:
            raise OAuthError("expired_token", "the device code has expired")
        too_soon = grant.polled_at is not None and now - grant.polled_at < grant.interval
        grant.polled_at = now
        if self._slow_downs > 0 or (settings.enforce_interval and too_soon):
            self._slow_downs = max(0, self._slow_downs - 1)
            grant.interval += SLOW_DOWN_STEP
            raise OAuthError("slow_down", "poll less often", settings.slow_down_status)
        if grant.decision is None:
            raise OAuthError("authorization_pending", "the user has not decided yet")
        if grant.decision == "deny":
            raise OAuthError("access_denied", "the user refused")
        grant.redeemed = True
        return _Family()

    def _renew(self, form: Mapping[str, str], settings: Settings) -> _Family:
        _require(form, "refresh_token")
        token = self._refresh.get(form["refresh_token"])
        if token is None or token.family.revoked or time.monotonic() >= token.expires_at:
            raise OAuthError("invalid_grant", "this refresh token is unknown, revoked or expired")
        if token.used:
            token.family.revoked = True
            raise OAuthError("invalid_grant", "this refresh token was used before; the sign-in is revoked")
        token.used = settings.rotate
        return token.family

    def _tokens(self, family: _Family, settings: Settings, base_url: str, *, rotate: bool) -> dict[str, Any]:
        access_token = secrets.token_urlsafe(32)
        self._access[access_token] = _Token(family, time.monotonic() + settings.expires_in)
        answer: dict[str, Any] = {
            "status": "success",
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": settings.expires_in,
        }
        if rotate:
            lifetime = settings.refresh_expires_in
            answer["refresh_token"] = secrets.token_urlsafe(32)
            self._refresh[answer["refresh_token"]] = _Token(
                family, float("inf") if lifetime is None else time.monotonic() + lifetime
            )
        if settings.resource_url is not None:
            answer["resource_url"] = (
                f"{base_url}/v1" if settings.resource_url == OWN else settings.resource_url
            )
        return answer

    def state(self, user_code: str) -> State | None:
        """Where a sign-in stands, None for a code that was never given out."""
        grant = self._find(user_code)
        if grant is None:
            return None
        if grant.decision is not None:
            return "approved" if grant.decision == "approve" else "denied"
        return "expired" if time.monotonic() >= grant.expires_at else "waiting"

    def decide(self, user_code: str, decision: Decision) -> None:
        """Record what the user said, once; raises LookupError if nothing waits under this code."""
        grant = self._find(user_code)
        if grant is None or self.state(user_code) != "waiting":
            raise LookupError(f"no sign-in waits under the code {user_code}")
        grant.decision = decision

    def _find(self, user_code: str) -> _Grant | None:
        typed = user_code.replace("-", "").replace(" ", "").upper()
        return next((grant for grant in self._grants.values() if grant.user_code == typed), None)

    def knows(self, access_token: str) -> bool:
        """Whether this access token was ever issued here."""
        return access_token in self._access

    def accepts(self, access_token: str) -> bool:
        """Whether this access token is issued, unexpired and unrevoked."""
        token = self._access.get(access_token)
        return token is not None and not token.family.revoked and time.monotonic() < token.expires_at

    def slow_down(self, polls: int) -> None:
        """Answer `slow_down` to so many polls more."""
        self._slow_downs = polls

    def expire_devices(self) -> None:
        """Let every device code expire now."""
        for grant in self._grants.values():
            grant.expires_at = time.monotonic()

    def expire_tokens(self) -> None:
        """Let every access token expire now; refresh tokens stay."""
        for token in self._access.values():
            token.expires_at = time.monotonic()

    def revoke_tokens(self) -> None:
        """Revoke every sign-in there has been, refresh tokens included."""
        for token in (*self._access.values(), *self._refresh.values()):
            token.family.revoked = True


def _require(form: Mapping[str, str], *names: str) -> None:
    missing = [name for name in names if not form.get(name)]
    if missing:
        raise OAuthError("invalid_request", f"missing: {', '.join(missing)}")


def _check_client(form: Mapping[str, str], settings: Settings) -> None:
    if form["client_id"] != settings.client_id:
        raise OAuthError("invalid_client", "this client is not known here")
