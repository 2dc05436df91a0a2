"""The network, by httpx: no redirects, no compression, nothing taken from the environment behind our back.

It is httpx's transport that is used, without its client: what that adds (redirects, cookies, authentication,
proxies and passwords from the environment) is what must not happen here, and it costs a tenth of a request.
httpx is imported on first use or by `warm`, since it costs more than the rest of the start together.
"""

from __future__ import annotations

import asyncio
import functools
import json
import platform
import socket
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # missing in typeshed

import attrs

from qwen_ls import __version__
from qwen_ls.core.errors import Cause
from qwen_ls.core.intents import Cut, HttpRequest, NoReply, PostForm, PostJson, Reply, Unreachable
from qwen_ls.core.origin import DEFAULT_PORTS, Origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import httpx
    from typing_extensions import Self

    from qwen_ls.core.settings import Settings, Timeouts

Way = tuple[str | None, bool]  # through which proxy, and whether by TLS
USER_AGENT = f"qwen-ls/{__version__} ({sys.platform}; {platform.machine()})"
ALWAYS = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT}
MOST_CONNECTIONS = 520  # a little above the requests in flight that the transport allows
MOST_IDLE = 64
MAX_FORM_REPLY = 256 * 1024  # bytes
ENOUGH = 1024  # bytes that count as something, even without the end of a line
LINE_ENDS = (b"\n", b"\r")


class Patience:
    """Bounds the silence inside a `with` block: `first` seconds until the first `touch()`, then `then`.

    When it runs out the block's task is woken, and Unreachable(timeout) is raised in its place.
    One timer serves the whole stream, so that a token costs no more than a clock reading.
    `what` did not come in time, for the message.
    """

    def __init__(self, first: float, then: float | None = None) -> None:
        self._limit = first
        self._then = first if then is None else then
        self._expired = False
        self.what = "nothing came"

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(self._limit, self._check)
        return self

    def touch(self) -> None:
        """Something came."""
        self._last = self._loop.time()
        if self._limit != self._then:  # the timer of the longer silence would be late for the shorter
            self._limit = self._then
            self._timer.cancel()
            self._timer = self._loop.call_later(self._limit, self._check)

    def _check(self) -> None:
        left = self._last + self._limit - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
            return
        self._expired = True
        if self._task is not None:
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._timer.cancel()
        if self._expired and isinstance(error, asyncio.CancelledError):
            getattr(self._task, "uncancel", lambda: 0)()  # Python 3.11 counts cancels
            raise Unreachable(NoReply(Cause.TIMEOUT, f"{self.what} for {self._limit:.0f} s")) from None


@attrs.define(eq=False)
class HttpAdapter:
    """Direct and proxied connections, with the proxies and CAs of the process's start."""

    settings: Settings
    environment: Mapping[str, str] = attrs.field(repr=False)
    _transports: dict[Way, httpx.AsyncHTTPTransport] = attrs.field(factory=dict, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, repr=False)

    def warm(self) -> None:
        """Import httpx and build the direct transports; for a worker thread."""
        import anyio._backends._asyncio  # noqa: F401, PLC0415 - else the first request loads it

        for is_tls in (True, False):
            self._transport((None, is_tls))

    async def open(self, request: HttpRequest, timeouts: Timeouts) -> HttpExchange:
        """Send, and wait for the head of the answer. Raises Unreachable."""
        import httpx  # noqa: PLC0415 - not before the first request

        try:
            transport = await self._transport_for(request.url)
            outgoing = httpx.Request(
                request.method,
                parse_url(request.url),
                headers={"Accept": "*/*", **request.headers, **ALWAYS},
                content=request.body,
                extensions={"timeout": {"connect": timeouts.connect}},
            )
            with Patience(timeouts.connect + timeouts.first_byte):
                response = await transport.handle_async_request(outgoing)
        except httpx.HTTPError as error:
            raise Unreachable(explain(error, proxied=self.proxy_for(request.url) is not None)) from None
        except (httpx.InvalidURL, ValueError):  # UnicodeError is one
            raise Unreachable(NoReply(Cause.DNS, "the address is not a valid one")) from None
        exchange = HttpExchange(response, timeouts)
        if exchange.headers.get("content-encoding", "identity") != "identity":
            await exchange.aclose()
            detail = "the answer is compressed, though that was declined"
            raise Unreachable(NoReply(Cause.ENCODING, detail))
        return exchange

    async def post_form(self, intent: PostForm) -> Reply | NoReply:
        """One form exchange with an authorization server; `timeout` bounds all of it."""
        body = urlencode(intent.form, quote_via=quote).encode("ascii")
        return await self._post(intent, "application/x-www-form-urlencoded", body)

    async def post_json(self, intent: PostJson) -> Reply | NoReply:
        """The same with a body of JSON."""
        return await self._post(intent, "application/json", json.dumps(intent.body).encode())

    async def _post(self, intent: PostForm | PostJson, content_type: str, body: bytes) -> Reply | NoReply:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        request = HttpRequest("POST", intent.url, headers, body)
        try:
            with Patience(intent.timeout):
                return await self._reply(request)
        except Unreachable as unreachable:
            return unreachable.reply

    async def _reply(self, request: HttpRequest) -> Reply:
        exchange = await self.open(request, self.settings.timeouts)
        try:
            return Reply(exchange.status, await exchange.read_json(MAX_FORM_REPLY), exchange.headers)
        finally:
            await exchange.aclose()

    async def aclose(self) -> None:
        """Close what is kept open."""
        for transport in self._transports.values():
            await transport.aclose()

    async def _transport_for(self, url: str) -> httpx.AsyncHTTPTransport:
        way = self.proxy_for(url), urlsplit(url).scheme == "https"
        transport = self._transports.get(way)
        if transport is None:
            transport = await asyncio.get_running_loop().run_in_executor(None, self._transport, way)
        return transport

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a URL: user settings, then the start's environment; loopback has none."""
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        origin = Origin(parts.scheme, parts.hostname or "", port)
        no_proxy = self.environment.get("no_proxy") or self.environment.get("NO_PROXY") or ""
        if origin.is_loopback or proxy_bypass_environment(f"{origin.host}:{port}", {"no": no_proxy}):
            return None
        names = (f"{origin.scheme}_proxy", "all_proxy")
        found = (self.environment.get(n) or self.environment.get(n.upper()) for n in names)
        return self.settings.proxy or next((p for p in found if p), None)

    def _transport(self, way: Way) -> httpx.AsyncHTTPTransport:
        import httpx  # noqa: PLC0415 - on a worker, after the editor has its answer

        limits = httpx.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_IDLE)
        with self._lock:
            if way not in self._transports:
                proxy, is_tls = way
                # One without CAs, where none is used: they take longer to load than all the rest.
                context = self._ssl_context() if is_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                try:
                    transport = httpx.AsyncHTTPTransport(
                        verify=context, trust_env=False, proxy=proxy, limits=limits
                    )
                except (ValueError, ImportError, httpx.InvalidURL):
                    detail = "the proxy's address is not one of http:// or https://"
                    raise Unreachable(NoReply(Cause.PROXY, detail)) from None
                self._transports[way] = transport
            return self._transports[way]

    def _ssl_context(self) -> ssl.SSLContext:
        """The CAs of SSL_CERT_FILE at start, else of the user's settings, else the system's store."""
        ca_file = self.environment.get("SSL_CERT_FILE") or self.settings.ca_file
        if ca_file:
            try:
                return ssl.create_default_context(cafile=ca_file)
            except OSError as error:  # SSLError is one
                detail = (
                    f"the CA file {ca_file} cannot be used: {error.strerror or 'it holds no certificate'}"
                )
                raise Unreachable(NoReply(Cause.TLS, detail)) from None
        import truststore  # noqa: PLC0415 - for the first TLS connection, not before

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@attrs.define(eq=False)
class HttpExchange:
    """An answer whose head has arrived."""

    _response: httpx.Response
    _timeouts: Timeouts
    status: int = attrs.field(init=False)
    headers: Mapping[str, str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.status = self._response.status_code
        self.headers = {k.lower(): v for k, v in self._response.headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unreachable when it stalls, Cut when it is cut short.

        After the first byte only a whole line counts (a keep-alive is one), or `ENOUGH` bytes: a
        server that drips its bytes out does not hold a request for hours.
        """
        import httpx  # noqa: PLC0415 - loaded by now

        patience, dripped = Patience(self._timeouts.first_byte, self._timeouts.idle), ENOUGH
        with patience:
            try:
                async for chunk in self._response.aiter_raw():
                    dripped += len(chunk)
                    if dripped >= ENOUGH or any(end in chunk for end in LINE_ENDS):
                        patience.touch()
                        dripped = 0
                    patience.what = "no whole line came" if dripped else "nothing came"
                    yield chunk
            except httpx.HTTPError as error:
                raise Cut(explain(error)) from None

    async def read_json(self, limit: int) -> Any:
        """The whole body as JSON, None if it is none or too long."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return None

    async def aclose(self) -> None:
        """Close the connection if anything is left on it. A cancel waits until that is done."""
        closing = asyncio.ensure_future(self._response.aclose())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait({closing})
            raise


@functools.lru_cache(maxsize=64)
def parse_url(url: str) -> httpx.URL:
    """A URL in httpx's form; the same few are asked for again and again. Raises httpx.InvalidURL."""
    import httpx  # noqa: PLC0415 - loaded by now

    return httpx.URL(url)


def explain(error: httpx.HTTPError, *, proxied: bool = False) -> NoReply:
    """What an httpx exception means, without its text, which may hold a URL's password.

    `proxied`: it was the proxy that no connection could be made to.
    """
    import httpx  # noqa: PLC0415 - loaded by now

    if isinstance(error, httpx.ProxyError):
        return NoReply(Cause.PROXY, "the proxy refused the connection")
    if isinstance(error, httpx.TimeoutException):
        return NoReply(Cause.TIMEOUT, "no connection in time")
    found = next((r for c in causes(error) if (r := explain_cause(c)) is not None), None)
    refused = isinstance(error, httpx.ConnectError)
    if proxied and refused and (found is None or found.cause is Cause.DNS):
        return NoReply(Cause.PROXY, "the proxy could not be reached")
    if found is not None:
        return found
    return NoReply(
        Cause.REFUSED, "nothing accepts connections there" if refused else "it closed the connection"
    )


def explain_cause(cause: BaseException) -> NoReply | None:
    """What an exception beneath httpx's own means."""
    if isinstance(cause, socket.gaierror):
        return NoReply(Cause.DNS, "the host's name is not known")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return NoReply(Cause.TLS, f"its certificate is not trusted ({cause.verify_message})")
    if isinstance(cause, ssl.SSLError):
        return NoReply(Cause.TLS, f"the TLS handshake failed ({cause.reason or 'no reason given'})")
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it came from, and the members of its groups; each once."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
