"""The network, by httpcore: no redirects, no compression, nothing taken from the environment behind our back.

That is what httpx stands on. What httpx adds (redirects, cookies, authentication, proxies and passwords from
the environment) is what must not happen here, and loading it takes longer than a request.
httpcore is imported on first use or by `warm`, since it costs more than the rest of the start together.
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
from urllib.parse import quote, unquote, urlencode, urlsplit

import attrs
from typing_extensions import Self

from qwen_ls import __version__
from qwen_ls.core.errors import Cause
from qwen_ls.core.intents import Cut, HttpRequest, NoReply, PostForm, PostJson, Reply, Unreachable
from qwen_ls.core.origin import DEFAULT_PORTS, Origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    import httpcore

    from qwen_ls.core.settings import Settings, Timeouts

USER_AGENT = f"qwen-ls/{__version__} ({sys.platform}; {platform.machine()})"
ALWAYS = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT}
MOST_CONNECTIONS = 520  # a little above the requests in flight that the transport allows
MOST_IDLE = 64
MOST_IDLE_TIME = 5.0  # seconds
MAX_FORM_REPLY = 256 * 1024  # bytes
ENOUGH = 1024  # bytes that count as something, even without the end of a line
LINE_ENDS = (b"\n", b"\r")
IN_PATHS = "!$%&'()*+,/:;=@[]\\^|~"  # stand there as they are (RFC 3986, section 3.3, and what browsers add)


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
    _pools: dict[tuple[str | None, bool], httpcore.AsyncConnectionPool] = attrs.field(
        factory=dict, repr=False
    )
    _lock: threading.Lock = attrs.field(factory=threading.Lock, repr=False)

    def warm(self) -> None:
        """Import httpcore and make the pool of direct TLS connections; for a worker thread."""
        import anyio._backends._asyncio  # noqa: F401, PLC0415 - else the first request loads it

        self._pool(None, is_tls=True)

    async def open(self, request: HttpRequest, timeouts: Timeouts) -> HttpExchange:
        """Send, and wait for the head of the answer. Raises Unreachable."""
        import httpcore  # noqa: PLC0415 - not before the first request

        try:
            pool = await self._pool_for(request.url)
            url, host = parse_url(request.url)
            headers = {"Host": host, "Accept": "*/*", **request.headers, **ALWAYS}
            if request.body is not None or request.method == "POST":
                headers["Content-Length"] = str(len(request.body or b""))
            outgoing = httpcore.Request(
                request.method,
                url,
                headers={name: value.encode("ascii") for name, value in headers.items()},
                content=request.body,
                extensions={"timeout": {"connect": timeouts.connect}},
            )
            with Patience(timeouts.connect + timeouts.first_byte):
                response = await pool.handle_async_request(outgoing)
        except failures() as error:
            raise Unreachable(explain(error, proxied=self.proxy_for(request.url) is not None)) from None
        except ValueError:  # UnicodeError is one
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
        for pool in self._pools.values():
            await pool.aclose()

    async def _pool_for(self, url: str) -> httpcore.AsyncConnectionPool:
        proxy, is_tls = self.proxy_for(url), urlsplit(url).scheme == "https"
        pool = self._pools.get((proxy, is_tls))
        if pool is None:
            make = functools.partial(self._pool, proxy, is_tls=is_tls)
            pool = await asyncio.get_running_loop().run_in_executor(None, make)
        return pool

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a URL: user settings, then the start's environment; loopback has none."""
        parts = urlsplit(url)
        origin = Origin(parts.scheme, parts.hostname or "", 0)
        no_proxy = self.environment.get("no_proxy") or self.environment.get("NO_PROXY") or ""
        if origin.is_loopback or (no_proxy and is_excepted(origin.host, no_proxy)):
            return None
        names = (f"{origin.scheme}_proxy", "all_proxy")
        found = (self.environment.get(n) or self.environment.get(n.upper()) for n in names)
        return self.settings.proxy or next((p for p in found if p), None)

    def _pool(self, proxy: str | None, *, is_tls: bool) -> httpcore.AsyncConnectionPool:
        import httpcore  # noqa: PLC0415 - on a worker, after the editor has its answer

        with self._lock:
            if (proxy, is_tls) not in self._pools:
                self._pools[proxy, is_tls] = httpcore.AsyncConnectionPool(
                    ssl_context=self._ssl_context() if is_tls else None,
                    proxy=None if proxy is None else parse_proxy(proxy),
                    max_connections=MOST_CONNECTIONS,
                    max_keepalive_connections=MOST_IDLE,
                    keepalive_expiry=MOST_IDLE_TIME,
                )
            return self._pools[proxy, is_tls]

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
        import truststore  # noqa: PLC0415 - with the first TLS connection, not before

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@attrs.define(eq=False)
class HttpExchange:
    """An answer whose head has arrived."""

    _response: httpcore.Response
    _timeouts: Timeouts
    status: int = attrs.field(init=False)
    headers: Mapping[str, str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.status = self._response.status
        self.headers = read_headers(self._response.headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unreachable when it stalls, Cut when it is cut short.

        After the first byte only a whole line counts (a keep-alive is one), or `ENOUGH` bytes: a
        server that drips its bytes out does not hold a request for hours.
        """
        patience, dripped = Patience(self._timeouts.first_byte, self._timeouts.idle), ENOUGH
        with patience:
            try:
                async for chunk in self._response.aiter_stream():
                    dripped += len(chunk)
                    if dripped >= ENOUGH or any(end in chunk for end in LINE_ENDS):
                        patience.touch()
                        dripped = 0
                    patience.what = "no whole line came" if dripped else "nothing came"
                    yield chunk
            except failures() as error:
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
def parse_url(url: str) -> tuple[httpcore.URL, str]:
    """A URL in httpcore's form, and its Host header; the same few are asked for again and again.

    Raises ValueError.
    """
    import httpcore  # noqa: PLC0415 - loaded by now

    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError
    target = quote(parts.path or "/", safe=IN_PATHS) + (f"?{parts.query}" if parts.query else "")
    found = httpcore.URL(
        scheme=parts.scheme.encode(), host=host.encode("ascii"), port=port, target=target.encode("ascii")
    )
    return found, str(Origin(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme])).partition("//")[2]


def parse_proxy(proxy: str) -> httpcore.Proxy:
    """A proxy's address, with the name and password in it. Raises Unreachable."""
    import httpcore  # noqa: PLC0415 - loaded by now

    try:
        url, _ = parse_url(proxy)
    except ValueError:
        detail = "the proxy's address is not one of http:// or https://"
        raise Unreachable(NoReply(Cause.PROXY, detail)) from None
    parts = urlsplit(proxy)
    said = [unquote(part or "").encode() for part in (parts.username, parts.password)]
    return httpcore.Proxy(url, auth=(said[0], said[1]) if any(said) else None)


def is_excepted(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY names a host."""
    from urllib.request import (  # type: ignore[attr-defined] # noqa: PLC0415 - few have one; missing in typeshed
        proxy_bypass_environment,
    )

    return bool(proxy_bypass_environment(host, {"no": no_proxy}))


def read_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name in lower case; those of one name are joined (RFC 9110, section 5.3)."""
    found: dict[str, str] = {}
    for name, value in raw:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        key = name.decode("ascii").lower()
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


@functools.cache
def failures() -> tuple[type[Exception], ...]:
    """The exceptions of httpcore, which have no class in common."""
    import httpcore  # noqa: PLC0415 - loaded by now

    return (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.TimeoutException,
    )


def explain(error: Exception, *, proxied: bool = False) -> NoReply:
    """What an exception of httpcore means, without its text, which may hold a URL's password.

    `proxied`: it was the proxy that no connection could be made to.
    """
    import httpcore  # noqa: PLC0415 - loaded by now

    if isinstance(error, httpcore.ProxyError):
        return NoReply(Cause.PROXY, "the proxy refused the connection")
    if isinstance(error, httpcore.TimeoutException):
        return NoReply(Cause.TIMEOUT, "no connection in time")
    found = next((r for c in causes(error) if (r := explain_cause(c)) is not None), None)
    refused = isinstance(error, httpcore.ConnectError)
    if proxied and refused and (found is None or found.cause is Cause.DNS):
        return NoReply(Cause.PROXY, "the proxy could not be reached")
    if found is not None:
        return found
    return NoReply(
        Cause.REFUSED, "nothing accepts connections there" if refused else "it closed the connection"
    )


def explain_cause(cause: BaseException) -> NoReply | None:
    """What an exception beneath httpcore's own means."""
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
