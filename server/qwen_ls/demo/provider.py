"""An embedded stand-in for qwen.ai and for an OpenAI-compatible provider, on loopback only.

`python -m qwen_ls.demo.provider` prints one line, `{"port": N}`, and serves until SIGTERM. Sign-in is RFC
8628 with PKCE at the paths of chat.qwen.ai, or as OpenRouter does it, at its paths; models answer at `/v1`
and, as OpenRouter's, at `/api/v1`. `--control` adds what control.py says, for tests: the log there holds
secrets.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from qwen_ls.demo import page
from qwen_ls.demo.chat import Completion
from qwen_ls.demo.control import control_routes
from qwen_ls.demo.exchange import HTML_TYPE, STREAM_TYPE, Reply
from qwen_ls.demo.faults import Faults
from qwen_ls.demo.oauth import Authority, OAuthError
from qwen_ls.demo.openrouter import OpenRouter
from qwen_ls.demo.requests import Entry, RequestLog
from qwen_ls.demo.serving import Endpoint, Protocol, Server
from qwen_ls.demo.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _error(status: HTTPStatus, message: str, kind: str, code: str | None) -> Reply:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Reply.from_json({"error": error}, status)


def _html(content: str, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    headers = {"content-security-policy": page.POLICY, "cache-control": "no-store"}
    return Reply(status, content.encode(), HTML_TYPE, headers)


class Provider:
    """The provider, run in the caller's event loop: `async with Provider(keys=[...]) as provider`.

    Other keywords are fields of Settings. Raises ValueError for a host that is not loopback, OSError when the
    port is taken. It installs no signal handlers.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: str | None = None,
        log_secrets: bool = False,
        control: bool = False,
        **settings: Any,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"{host} is not a loopback address")
        self.settings = Settings(**settings)
        self.faults = Faults()
        self.oauth = Authority()
        self.openrouter = OpenRouter()
        self.requests = RequestLog(log, with_secrets=log_secrets)
        self._host, self.port, self._control = host, port, control
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        """The origin, which is the issuer; `/v1` below it is the models' base URL."""
        return (
            f"http://[{self._host}]:{self.port}" if ":" in self._host else f"http://{self._host}:{self.port}"
        )

    @property
    def log(self) -> list[Entry]:
        """All requests so far, secrets included (RequestLog.add says what is in one)."""
        return self.requests.entries

    async def wait_for(self, predicate: Callable[[Entry], object], timeout: float) -> Entry:
        """Return the first request for which a predicate holds; raises TimeoutError."""
        return await self.requests.wait_for(predicate, timeout)

    # Running

    async def start(self) -> None:
        """Listen, and return when requests are answered."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self.port), family=family)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app(), http=Protocol, ws="none", loop="asyncio", lifespan="off",
            log_config=None, log_level="error", access_log=False, server_header=False,
            date_header=False,
        )  # fmt: skip
        server = self._server = Server(config)
        self._serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        ready = asyncio.ensure_future(server.ready.wait())
        await asyncio.wait({ready, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._serving.done():
            self._serving.result()

    async def stop(self) -> None:
        """Close every connection at once and stop listening."""
        if self._server is not None and self._serving is not None:
            self.requests.end_waits()
            self._server.stopping.set()
            await self._serving
        self.requests.close()

    async def __aenter__(self) -> Provider:  # noqa: PYI034 - Self is newer than Python 3.10
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _app(self) -> Starlette:
        oauth = "/api/v1/oauth2"
        routes = [
            self._route("POST", f"{oauth}/device/code", "device", self._device),
            self._route("POST", f"{oauth}/token", "token", self._token),
            self._route("GET", "/authorize", "authorize", self._ask),
            self._route("POST", "/authorize", "authorize", self._decide),
            self._route("GET", "/v1/models", "models", self._models),
            self._route("POST", "/v1/chat/completions", "chat", self._chat),
            *self._openrouter_routes(),
        ]
        if self._control:
            routes += control_routes(self)
        return Starlette(routes=[*routes, self._route(None, "/{path:path}", "unknown", self._unknown)])

    def _openrouter_routes(self) -> list[Route]:
        sign_in, api = self.openrouter, "/api/v1"
        return [
            self._route("GET", "/auth", "auth", lambda entry: sign_in.ask(entry, self.settings)),
            self._route("POST", "/auth", "auth", sign_in.decide),
            self._route("POST", f"{api}/auth/keys", "keys", sign_in.exchange),
            self._route("GET", f"{api}/key", "key", sign_in.describe_key),
            self._route("GET", f"{api}/models", "models", self._models),
            self._route("POST", f"{api}/chat/completions", "chat", self._chat),
        ]

    def _route(self, method: str | None, path: str, name: str, handle: Callable[[Entry], Reply]) -> Route:
        endpoint = Endpoint(
            name,
            handle,
            requests=self.requests,
            faults=self.faults,
            kind_of_credential=self.kind_of_credential,
        )
        return Route(path, endpoint, methods=method and [method])

    # Sign-in

    def _device(self, entry: Entry) -> Reply:
        return self._oauth_reply(self.oauth.start_grant, entry)

    def _token(self, entry: Entry) -> Reply:
        return self._oauth_reply(self.oauth.issue, entry)

    def _oauth_reply(
        self, answer: Callable[[Mapping[str, str], Settings, str], dict[str, Any]], entry: Entry
    ) -> Reply:
        try:
            return Reply.from_json(answer(entry["form"], self.settings, self.base_url))
        except OAuthError as error:
            body = {"error": error.error, "error_description": error.description}
            return Reply.from_json(body, error.status)

    def _ask(self, entry: Entry) -> Reply:
        user_code = entry["query"].get("user_code")
        if not user_code:
            return _html(page.enter_code())
        return self._page(user_code)

    def _decide(self, entry: Entry) -> Reply:
        user_code, decision = entry["form"].get("user_code", ""), entry["form"].get("decision")
        if decision not in ("approve", "deny"):
            return _html(page.message("Nothing decided", "Approve or deny?"), HTTPStatus.BAD_REQUEST)
        with contextlib.suppress(LookupError):  # the page says where this sign-in stands instead
            self.oauth.decide(user_code, decision)
        return self._page(user_code)

    def _page(self, user_code: str) -> Reply:
        status, content = page.for_state(self.oauth.state(user_code), user_code)
        return _html(content, status)

    # Models

    def kind_of_credential(self, authorization: str | None) -> str | None:
        """Tell `oauth`, `key`, or None for what was never given out here."""
        scheme, _, credential = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if credential in self.settings.keys or credential in self.openrouter.keys:
            return "key"
        return "oauth" if self.oauth.knows(credential) else None

    def _refusal(self, entry: Entry) -> Reply | None:
        credential = (entry["authorization"] or "").partition(" ")[2]
        kind = self.kind_of_credential(entry["authorization"])
        if kind == "key" or (kind == "oauth" and self.oauth.accepts(credential)):
            return None
        text = "invalid access token or token expired" if kind else "Incorrect API key provided."
        return _error(HTTPStatus.UNAUTHORIZED, text, "invalid_request_error", "invalid_api_key")

    def _models(self, entry: Entry) -> Reply:
        models = [{"id": name, "object": "model", "owned_by": "demo"} for name in self.settings.models]
        return self._refusal(entry) or Reply.from_json({"object": "list", "data": models})

    def _chat(self, entry: Entry) -> Reply:
        refusal = self._refusal(entry)
        if refusal is not None:
            return refusal
        body = entry["json"]
        messages = body.get("messages") if isinstance(body, dict) else None
        if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
            text = "'messages' is missing: a list of messages is wanted."
            return _error(HTTPStatus.BAD_REQUEST, text, "invalid_request_error", None)
        completion = Completion(body, self.settings)
        if self.settings.strict and body.get("model") not in self.settings.models:
            text = f"The model `{body.get('model')}` does not exist or you do not have access to it."
            return _error(HTTPStatus.NOT_FOUND, text, "invalid_request_error", "model_not_found")
        if body.get("stream") is True:
            headers = {"cache-control": "no-cache"}
            pace = self.settings.token_interval
            return Reply(HTTPStatus.OK, completion.events(), STREAM_TYPE, headers, pace)
        return Reply.from_json(completion.whole())

    def _unknown(self, entry: Entry) -> Reply:
        text = f"Nothing answers {entry['method']} {entry['path']} here."
        return _error(HTTPStatus.NOT_FOUND, text, "invalid_request_error", "not_found")

    # Control

    def configure(self, **changes: Any) -> None:
        """Change settings from the next request on; raises TypeError for a field that Settings lacks."""
        self.settings = attrs.evolve(self.settings, **changes)

    def fault(self, route: str, **fields: Any) -> None:
        """Let requests of a route go wrong (Faults.add, Fault)."""
        self.faults.add(route, **fields)

    def approve(self, user_code: str) -> None:
        """Say yes to a sign-in; raises LookupError if none waits under this code."""
        self.oauth.decide(user_code, "approve")

    def deny(self, user_code: str) -> None:
        """Say no to a sign-in; raises LookupError if none waits under this code."""
        self.oauth.decide(user_code, "deny")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="qwen_ls.demo.provider", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--log", metavar="FILE", help="append requests as lines of JSON; - is stdout")
    parser.add_argument("--log-secrets", action="store_true", help="keep credentials whole in that file")
    parser.add_argument("--control", action="store_true", help="serve /control/ to whoever can connect")
    parser.add_argument("--until-eof", action="store_true", help="end when stdin does")
    parser.add_argument("--settings", metavar="JSON", type=json.loads, default={}, help="fields of Settings")
    return parser.parse_args(argv)


async def _serve(options: argparse.Namespace) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def end(*_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed already
            loop.call_soon_threadsafe(ended.set)

    def drain_stdin() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):  # not sys.stdin: its lock would hold up the interpreter's exit
                pass
        end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if options.until_eof:
        threading.Thread(target=drain_stdin, daemon=True).start()
    async with Provider(
        host=options.host, port=options.port, log=options.log, log_secrets=options.log_secrets,
        control=options.control, **options.settings,
    ) as provider:  # fmt: skip
        sys.stdout.write(json.dumps({"port": provider.port}) + "\n")
        sys.stdout.flush()
        await ended.wait()


def main(argv: list[str] | None = None) -> None:
    """Run the provider as a process of its own."""
    asyncio.run(_serve(_parse(argv)))


if __name__ == "__main__":
    main()
