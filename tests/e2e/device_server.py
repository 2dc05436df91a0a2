"""An OAuth server with the device grant (RFC 8628), made of Authlib and Flask: `device_server.py --help`.

Authlib decides what is pending, too fast, denied, expired, rotated or invalid; this file gives it a
memory, one public client and one user. What Authlib leaves out is added: it ignores PKCE at the device
endpoint, so the S256 challenge is stored there and its verifier demanded at the token endpoint.

Prints one line of JSON, `{"port": N}`, when it listens. `GET /log` tells what was asked of it; with
`?error=CODE` the answer waits until something has been answered with that error.
Access tokens are those of --access-token in that order, then random ones: the same list given to
llama-server as its keys makes it accept exactly the tokens issued here (it knows no expiry).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import sys
import threading
import time
from typing import Any

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # read at each request: loopback has no TLS

import attrs
from authlib.common.security import generate_token
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oauth2.rfc8628 import (
    DEVICE_CODE_GRANT_TYPE,
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCredentialDict,
)
from flask import Flask, Response, jsonify, request
from markupsafe import escape
from werkzeug.serving import WSGIRequestHandler, make_server

CLIENT_ID = "f0304373b74a44d2b584a3fb70ca9e56"
SCOPE = "openid profile email model.completion"
SLOW_DOWN_STEP = 5  # seconds, RFC 8628 section 3.5
JITTER = 0.1  # seconds by which a poll may come early
AWAITED_FOR = 20.0  # seconds that a request for the log may wait for an error
USER = "the one user"


class PublicClient(ClientMixin):  # type: ignore[misc] # Authlib has no types
    """The one client: it has no secret."""

    def get_client_id(self) -> str:
        """Return the id that is registered."""
        return CLIENT_ID

    def get_allowed_scope(self, scope: str) -> str:
        """Allow every scope that the server supports."""
        return scope

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Say whether it may show itself by `method`: by its id alone (RFC 6749 section 2.1)."""
        return method == "none"

    def check_grant_type(self, grant_type: str) -> bool:
        """Say whether it may use this grant."""
        return grant_type in (DEVICE_CODE_GRANT_TYPE, "refresh_token")


@attrs.frozen
class RefreshToken:
    """A refresh token that may be used once."""

    value: str
    scope: str

    def check_client(self, client: PublicClient) -> bool:
        """Say whether it was issued to this client."""
        return client.get_client_id() == CLIENT_ID

    def get_scope(self) -> str:
        """Return the scope that a new token inherits."""
        return self.scope


@attrs.define
class Memory:
    """Everything the server knows; a credential waits by its device code for its user's decision."""

    credentials: dict[str, DeviceCredentialDict] = attrs.field(factory=dict)
    refresh_tokens: dict[str, RefreshToken] = attrs.field(factory=dict)
    log: list[dict[str, Any]] = attrs.field(factory=list)
    lock: threading.Condition = attrs.field(factory=threading.Condition)  # notified of each log entry


def device_endpoint(memory: Memory, options: argparse.Namespace) -> type:
    """Return Authlib's device authorization endpoint, which here stores a PKCE challenge."""

    class Endpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc]
        INTERVAL = options.interval
        EXPIRES_IN = options.device_expires_in

        def get_verification_uri(self) -> str:
            return f"{request.host_url}authorize"

        def create_endpoint_response(self, oauth_request: Any) -> Any:
            if request.form.get("code_challenge_method") != "S256" or not request.form.get("code_challenge"):
                raise InvalidRequestError("Missing 'code_challenge' of method S256")
            return super().create_endpoint_response(oauth_request)

        def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
            memory.credentials[data["device_code"]] = DeviceCredentialDict(
                client_id=client_id,
                scope=scope,
                user_code=data["user_code"],
                code_challenge=request.form["code_challenge"],
                expires_at=time.time() + data["expires_in"],
                interval=data["interval"],
                enforced_interval=options.enforced_interval or data["interval"],
            )

    return Endpoint


def device_grant(memory: Memory) -> type:
    """Return Authlib's device grant, which here demands the PKCE verifier."""

    class Grant(DeviceCodeGrant):  # type: ignore[misc]
        def query_device_credential(self, device_code: str) -> DeviceCredentialDict | None:
            return memory.credentials.get(device_code)

        def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
            for credential in memory.credentials.values():
                if credential["user_code"] == user_code and "approved" in credential:
                    return USER, credential["approved"]
            return None

        def should_slow_down(self, credential: DeviceCredentialDict) -> bool:
            now, before = time.monotonic(), credential.get("polled_at", -math.inf)
            credential["polled_at"] = now
            if now - before >= credential["enforced_interval"] - JITTER:
                return False
            credential["interval"] += SLOW_DOWN_STEP
            credential["enforced_interval"] = credential["interval"]
            return True

        def validate_device_credential(self, credential: DeviceCredentialDict) -> Any:
            verifier = request.form.get("code_verifier")
            if not verifier:
                raise InvalidRequestError("Missing 'code_verifier'")
            if create_s256_code_challenge(verifier) != credential["code_challenge"]:
                raise InvalidGrantError("The 'code_verifier' does not match")  # RFC 7636 section 4.6
            return super().validate_device_credential(credential)

    return Grant


def refresh_grant(memory: Memory) -> type:
    """Return Authlib's refresh grant with rotation: a token that was used is worth nothing."""

    class Grant(RefreshTokenGrant):  # type: ignore[misc]
        INCLUDE_NEW_REFRESH_TOKEN = True
        TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

        def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
            return memory.refresh_tokens.get(refresh_token)

        def authenticate_user(self, _refresh_token: RefreshToken) -> str:
            return USER

        def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
            del memory.refresh_tokens[refresh_token.value]

    return Grant


def authorization_server(app: Flask, memory: Memory, options: argparse.Namespace) -> AuthorizationServer:
    """Return Authlib's server with the two grants."""
    access_tokens = itertools.chain(options.access_token, iter(lambda: generate_token(42), None))
    app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = lambda *_, **__: next(access_tokens)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_SCOPES_SUPPORTED"] = SCOPE.split()
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(
        (DEVICE_CODE_GRANT_TYPE, "refresh_token"), options.expires_in
    )

    def save_token(token: dict[str, Any], _request: Any) -> None:
        value = token["refresh_token"]
        memory.refresh_tokens[value] = RefreshToken(value=value, scope=token["scope"])
        memory.credentials.pop(request.form.get("device_code", ""), None)  # a device code is good for one
        token["resource_url"] = options.resource_url  # Authlib answers with this very dict

    server = AuthorizationServer(app, {CLIENT_ID: PublicClient()}.get, save_token)
    server.register_endpoint(device_endpoint(memory, options))
    server.register_grant(device_grant(memory))
    server.register_grant(refresh_grant(memory))
    return server


def create_app(options: argparse.Namespace) -> Flask:
    """Return the server as a WSGI application."""
    app, memory = Flask(__name__), Memory()
    server = authorization_server(app, memory, options)

    def logged(response: Response) -> Response:
        entry = {"path": request.path, "grant_type": request.form.get("grant_type")}
        error = (response.get_json(silent=True) or {}).get("error")
        memory.log.append({**entry, "status": response.status_code, "error": error, "at": time.monotonic()})
        memory.lock.notify_all()
        return response

    @app.post("/api/v1/oauth2/device/code")
    def device_code() -> Response:
        with memory.lock:
            return logged(server.create_endpoint_response(DeviceAuthorizationEndpoint.ENDPOINT_NAME))

    @app.post("/api/v1/oauth2/token")
    def token() -> Response:
        with memory.lock:  # of several refreshes with one token, one wins
            return logged(server.create_token_response())

    @app.get("/authorize")
    def ask() -> str:
        user_code = escape(request.args.get("user_code", ""))
        return (
            f'<form method="post">Code <input name="user_code" value="{user_code}">'
            '<button name="decision" value="approve">Approve</button>'
            '<button name="decision" value="deny">Deny</button></form>'
        )

    @app.post("/authorize")
    def decide() -> tuple[str, int]:
        with memory.lock:
            for credential in memory.credentials.values():
                if credential["user_code"] == request.form["user_code"]:
                    credential["approved"] = request.form["decision"] == "approve"
                    return "Done. Go back to your editor.", 200
        return "No such code.", 404

    @app.get("/log")
    def log() -> Response:
        awaited = request.args.get("error")
        with memory.lock:
            memory.lock.wait_for(
                lambda: awaited is None or any(entry["error"] == awaited for entry in memory.log),
                AWAITED_FOR,
            )
            return jsonify(memory.log)

    return app


class QuietHandler(WSGIRequestHandler):
    """Answers over connections that stay open, and prints nothing."""

    protocol_version = "HTTP/1.1"

    def log(self, _type: str, _message: str, *_arguments: Any) -> None:
        """Say nothing: /log tells more."""


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Read the options; durations are whole seconds unless said otherwise."""
    parser = argparse.ArgumentParser(description="An OAuth device-grant server on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--resource-url", required=True, help="the chat base URL that token answers name")
    parser.add_argument("--access-token", action="append", default=[], help="issued in this order")
    parser.add_argument("--expires-in", type=int, default=3600, help="of access tokens")
    parser.add_argument("--device-expires-in", type=int, default=600, help="of device codes")
    parser.add_argument("--interval", type=int, default=1, help="between polls, as announced")
    parser.add_argument("--enforced-interval", type=float, help="longer: slow_down for the obedient")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Serve until killed."""
    options = parse_arguments(arguments)
    server = make_server(
        "127.0.0.1", options.port, create_app(options), threaded=True, request_handler=QuietHandler
    )
    sys.stdout.write(json.dumps({"port": server.port}) + "\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
