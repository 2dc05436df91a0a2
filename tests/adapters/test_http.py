"""The network adapter against servers that answer byte by byte; nothing but loopback is contacted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from qwen_ls.adapters.http import HttpAdapter
from qwen_ls.core.errors import Cause
from qwen_ls.core.intents import Cut, HttpRequest, NoReply, PostForm, Reply, Unreachable
from qwen_ls.core.settings import Settings, Timeouts
from raw_http import Got, answer_of, raw_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

SHORT = Timeouts(connect=0.15, first_byte=0.15, idle=0.15)
PATIENT = Timeouts(connect=10, first_byte=10, idle=10)  # for whatever is not about silence


def adapter(environment: Mapping[str, str] | None = None, **settings: Any) -> HttpAdapter:
    """An adapter of a process that was started with these variables."""
    return HttpAdapter(Settings(**settings), environment or {})


async def get(http: HttpAdapter, url: str, timeouts: Timeouts = PATIENT) -> bytes:
    """The whole body."""
    exchange = await http.open(HttpRequest("GET", url, {"Authorization": "Bearer x"}), timeouts)
    try:
        return b"".join([chunk async for chunk in exchange.chunks()])
    finally:
        await exchange.aclose()


async def cause_of(http: HttpAdapter, url: str, timeouts: Timeouts = PATIENT) -> Cause:
    """Why there was no answer, or half of one."""
    with pytest.raises(Unreachable) as failed:
        await get(http, url, timeouts)
    await http.aclose()
    return failed.value.reply.cause


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No host name is known, as without a network; the names that were looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name.replace(".", "").isdigit():
            return real(host, *rest, **more)
        asked.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def port_of_nobody() -> int:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# --- no answer --------------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    """Refused."""
    assert await cause_of(adapter(), f"http://127.0.0.1:{port_of_nobody()}/v1") is Cause.REFUSED


async def test_a_name_that_is_not_known(nameless: list[str]) -> None:
    """Dns."""
    assert await cause_of(adapter(), "http://nowhere.invalid/v1") is Cause.DNS
    assert nameless == ["nowhere.invalid"]


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a..b/", "https://\ud800.example/", f"https://{'a' * 70}.example/"]
)
async def test_an_address_that_is_none(url: str, nameless: list[str]) -> None:
    """Dns too, and never an exception of the library's own."""
    assert await cause_of(adapter(), url) is Cause.DNS
    assert not {name for name in nameless if "\ud800" in name}


async def test_tls_to_a_port_that_speaks_none() -> None:
    """Tls."""
    async with await asyncio.start_server(speak_plainly, "127.0.0.1", 0) as listener:
        url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
        assert await cause_of(adapter(), url) is Cause.TLS


async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a TLS hello in plain words."""
    try:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "answer",
    [None, b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "a head", "half a body"],
)
async def test_silence(answer: bytes | None) -> None:
    """Before the head, after it, in the middle of the body: timeout, and the connection is closed."""
    hung_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # a busy machine may not have got to asking
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer or b"")
            await reader.read()
        hung_up.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
        assert await cause_of(adapter(), url, SHORT) is Cause.TIMEOUT
        await asyncio.wait_for(hung_up.wait(), 2)


@pytest.mark.parametrize(
    ("piece", "is_enough"), [(b"x", False), (b"\n", True), (b"\r", True), (b"x" * 1024, True)], ids=repr
)
async def test_dripping(piece: bytes, is_enough: bool) -> None:  # noqa: FBT001 - from the table
    """Bytes that make no line hold nothing open; a line does, and so does a kilobyte without one."""

    async def drip(_: Got) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nbegun"
        for _piece in range(12):
            await asyncio.sleep(0.05)  # as slow as the server is
            yield piece

    async with raw_server(drip) as server:
        http, patient = adapter(), Timeouts(10, 10, idle=0.4)
        if is_enough:
            assert await get(http, server.url, patient) == b"begun" + 12 * piece
        else:
            with pytest.raises(Unreachable, match="no whole line came for 0 s") as failed:
                await get(http, server.url, patient)
            assert failed.value.reply.cause is Cause.TIMEOUT
        await http.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ],
)
async def test_a_body_cut_short(answer: bytes) -> None:
    """It is a Cut, so that an answer that was whole already is none the worse for it."""
    async with raw_server(lambda _: answer) as server:
        http = adapter()
        with pytest.raises(Cut):
            await get(http, server.url)
        await http.aclose()


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "x, gzip"])
async def test_compression_is_declined_and_refused(encoding: str) -> None:
    """Asked for as it is; what is compressed all the same is not unpacked."""
    async with raw_server(lambda _: answer_of({}, 200, f"Content-Encoding: {encoding}")) as server:
        assert await cause_of(adapter(), server.url) is Cause.ENCODING
    assert server.got[0].header("accept-encoding") == "identity"


async def test_nothing_is_kept_from_one_request_to_the_next() -> None:
    """A redirect is an answer like any other, and no cookie comes back."""
    answer = answer_of("", 302, "Location: http://127.0.0.1:1/", "Set-Cookie: tracked=1; Path=/")
    async with raw_server(lambda _: answer) as server:
        http = adapter()
        for _ in range(2):
            exchange = await http.open(HttpRequest("GET", server.url, {}), PATIENT)
            assert (exchange.status, exchange.headers["location"]) == (302, "http://127.0.0.1:1/")
            await exchange.aclose()
        await http.aclose()
    assert [got.header("cookie") for got in server.got] == [None, None]


async def test_reading_json_is_bounded() -> None:
    """None for what is none, and for what is longer than the limit."""
    bodies = {
        "/json": b'{"a": 1}',
        "/text": b"no",
        "/deep": b"[" * 100_000,
        "/long": b'"' + b"x" * 999 + b'"',
    }
    async with raw_server(lambda got: answer_of(bodies[got.target])) as server:
        http = adapter()
        found = []
        for path in bodies:
            exchange = await http.open(HttpRequest("GET", server.url + path, {}), Timeouts())
            found.append(await exchange.read_json(200_000 if path == "/deep" else 100))
            await exchange.aclose()
        await http.aclose()
    assert found == [{"a": 1}, None, None, None]


# --- forms ------------------------------------------------------------------------------------------------


async def test_a_form() -> None:
    """As RFC 6749 wants it, with blanks and signs encoded; JSON and lower-case headers come back."""
    async with raw_server(lambda _: answer_of({"ok": 1}, 400, "X-Some: Thing")) as server:
        http = adapter()
        reply = await http.post_form(PostForm(f"{server.url}/token", {"a": "b c&d=é+"}, 5))
        await http.aclose()
    assert isinstance(reply, Reply)
    assert (reply.status, reply.json, reply.headers["x-some"]) == (400, {"ok": 1}, "Thing")
    (got,) = server.got
    assert got.body == b"a=b%20c%26d%3D%C3%A9%2B"
    assert got.header("content-type") == "application/x-www-form-urlencoded"


async def test_the_time_of_a_form_bounds_all_of_it() -> None:
    """A server that sends a byte now and then does not hold it up."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        gone = asyncio.ensure_future(reader.read())
        try:
            while not (await asyncio.wait({gone}, timeout=0.02))[0]:
                writer.write(b" ")
        finally:
            writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as listener:
        http = adapter()
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
        reply = await asyncio.wait_for(http.post_form(PostForm(url, {}, 0.3)), 2)
        await http.aclose()
    assert isinstance(reply, NoReply)
    assert reply.cause is Cause.TIMEOUT


# --- proxies and CAs --------------------------------------------------------------------------------------

PROXIES: list[tuple[dict[str, str], str, str | None]] = [
    ({}, "https://a.example/", None),
    ({"HTTPS_PROXY": "http://p:1"}, "https://a.example/", "http://p:1"),
    ({"https_proxy": "http://p:2", "HTTPS_PROXY": "http://p:1"}, "https://a.example/", "http://p:2"),
    ({"HTTP_PROXY": "http://p:1"}, "https://a.example/", None),
    ({"HTTP_PROXY": "http://p:1"}, "http://a.example/", "http://p:1"),
    ({"ALL_PROXY": "http://p:3"}, "https://a.example/", "http://p:3"),
    ({"ALL_PROXY": "http://p:3", "HTTPS_PROXY": "http://p:1"}, "https://a.example/", "http://p:1"),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "https://a.example/", None),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example,x"}, "https://a.example/", None),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://a.example/", None),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x,a.example:8443"}, "https://a.example:8443/v1", None),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "https://a.example:8443/v1", None),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "fd00::1"}, "https://[fd00::1]:8443/v1", None),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example:443"}, "https://a.example/", None),
    ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:80"}, "http://a.example/", None),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example:8443"}, "https://a.example/", "http://p:1"),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b.example"}, "https://a.example/", "http://p:1"),
    *(
        ({"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, f"http://{host}:8080/v1", None)
        for host in ("127.0.0.1", "127.9.9.9", "[::1]", "localhost", "LOCALHOST")
    ),
]


@pytest.mark.parametrize(("environment", "url", "proxy"), PROXIES)
def test_which_proxy(environment: dict[str, str], url: str, proxy: str | None) -> None:
    """By scheme, then for all; lower case first; NO_PROXY by host or suffix, port or none; loopback never."""
    assert adapter(environment).proxy_for(url) == proxy


def test_the_users_own_proxy_comes_first() -> None:
    """User settings before the environment; loopback and NO_PROXY as ever."""
    http = adapter({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b.example"}, proxy="http://mine:1")
    urls = ("https://a.example/", "https://b.example/", "http://127.0.0.1/")
    assert [http.proxy_for(url) for url in urls] == ["http://mine:1", None, None]


async def test_a_proxy_gets_what_is_elsewhere_and_nothing_of_loopback(nameless: list[str]) -> None:
    """It is asked for the whole address, and names are its to look up."""
    async with (
        raw_server(lambda _: answer_of({"by": "proxy"})) as proxy,
        raw_server(lambda _: answer_of({})) as here,
    ):
        http = adapter({"HTTP_PROXY": proxy.url})
        assert await get(http, "http://a.example/v1") == b'{"by": "proxy"}'
        assert await get(http, f"{here.url}/v1") == b"{}"
        await http.aclose()
    assert [got.target for got in proxy.got] == ["http://a.example/v1"]
    assert [got.target for got in here.got] == ["/v1"]
    assert nameless == []


async def test_the_process_environment_of_now_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, nameless: list[str]
) -> None:
    """What was not there at the start, or was put there since, steers no connection."""
    async with raw_server(lambda _: answer_of({})) as planted:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, planted.url)
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
        assert await cause_of(adapter(), "http://a.example/v1") is Cause.DNS
    assert (planted.connections, nameless) == (0, ["a.example"])


@pytest.mark.parametrize("proxy", ["socks4://127.0.0.1:1", "nonsense", "http://127.0.0.1:port"])
async def test_a_proxy_that_is_none(proxy: str) -> None:
    """Proxy, without its text, which may hold a password."""
    http = adapter({"HTTPS_PROXY": proxy})
    with pytest.raises(Unreachable) as failed:
        await get(http, "https://a.example/")
    assert failed.value.reply.cause is Cause.PROXY
    assert proxy not in failed.value.reply.detail


@pytest.mark.parametrize(("status", "cause"), [(407, Cause.PROXY), (502, Cause.PROXY)])
async def test_a_proxy_that_refuses(status: int, cause: Cause) -> None:
    """Whatever it says to CONNECT, the key has not left: there is no TLS yet to send it in."""
    async with raw_server(lambda _: answer_of({}, status)) as proxy:
        assert await cause_of(adapter({"HTTPS_PROXY": proxy.url}), "https://a.example/") is cause
    (got,) = proxy.got
    assert (got.method, got.target, got.header("authorization")) == ("CONNECT", "a.example:443", None)


async def test_a_proxys_password_is_the_proxys(nameless: list[str]) -> None:
    """Name and password in its address, however spelled, go to it and nowhere else."""
    async with raw_server(lambda _: answer_of({}, 407)) as proxy:
        address = proxy.url.replace("http://", "http://me%40here:p%3Aé@")
        exchange = await adapter({"HTTP_PROXY": address}).open(
            HttpRequest("GET", "http://a.example:8080/v1", {}), PATIENT
        )
        await exchange.aclose()
    (got,) = proxy.got
    assert got.header("proxy-authorization") == f"Basic {b64encode('me@here:p:é'.encode()).decode()}"
    assert (got.target, got.header("host")) == ("http://a.example:8080/v1", "a.example:8080")
    assert nameless == []


@pytest.mark.parametrize("where", ["environment", "settings"])
async def test_a_ca_file_that_cannot_be_used(where: str, tmp_path: Path) -> None:
    """Tls, with the file's name: SSL_CERT_FILE of the start, else the user's setting."""
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    for path in (tmp_path / "none.pem", bad):
        http = adapter({"SSL_CERT_FILE": str(path)}) if where == "environment" else adapter(ca_file=str(path))
        with pytest.raises(Unreachable) as failed:
            await get(http, "https://127.0.0.1:1/")
        assert failed.value.reply.cause is Cause.TLS
        assert str(path) in failed.value.reply.detail
        async with raw_server(lambda _: answer_of({})) as server:
            assert await get(http, server.url) == b"{}"  # there it is of no concern
        await http.aclose()
