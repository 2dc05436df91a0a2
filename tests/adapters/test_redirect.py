"""The loopback redirect, hit by browsers, by web pages that mean harm, and by nobody at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from qwen_ls.adapters import redirect as module
from qwen_ls.adapters.redirect import MAX_HEAD, MOST_CONNECTIONS, LoopbackRedirect
from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

STATE = "state-canary-state-canary-state-canary-0001"
PATH = f"/callback/{STATE}"
DEADLINE = 20.0  # seconds; nothing here takes that long unless it hangs
LONG = 300.0  # seconds of patience, which no test uses up


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection ends for its age, where a test does not say so."""
    monkeypatch.setattr(module, "PATIENCE", LONG)


@pytest.fixture
async def redirect() -> AsyncIterator[LoopbackRedirect]:
    """One that listens."""
    async with LoopbackRedirect.open(STATE) as listening:
        yield listening


def port_of(redirect: LoopbackRedirect) -> int:
    """The port it listens on."""
    port = urlsplit(redirect.redirect_uri).port
    assert port is not None
    return port


def get(redirect: LoopbackRedirect, target: str, host: str | None = None, *headers: str) -> bytes:
    """A browser's request; its Host is the right one unless told otherwise."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host or f'localhost:{port_of(redirect)}'}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Connection:
    """One connection, with deadlines on what it waits for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def say(self, data: bytes) -> None:
        """Send."""
        self._writer.write(data)

    async def answer(self) -> bytes:
        """All that comes until the other side closes; nothing if it closes at once."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self._reader.read(), DEADLINE)
        return b""


@contextlib.asynccontextmanager
async def connection(redirect: LoopbackRedirect, address: str = "127.0.0.1") -> AsyncIterator[Connection]:
    """Connect. Raises ConnectionError when nobody listens."""
    reader, writer = await asyncio.open_connection(address, port_of(redirect))
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask(redirect: LoopbackRedirect, request: bytes, address: str = "127.0.0.1") -> bytes:
    """One request's answer."""
    async with connection(redirect, address) as one:
        one.say(request)
        return await one.answer()


async def is_refused(redirect: LoopbackRedirect, address: str = "127.0.0.1") -> bool:
    """Whether nobody listens there any more."""
    try:
        async with connection(redirect, address):
            return False
    except ConnectionRefusedError:
        return True


async def answered(redirect: LoopbackRedirect) -> Mapping[str, str] | None:
    """What the wait comes to."""
    return await asyncio.wait_for(redirect.wait(LONG), DEADLINE)


def status(answer: bytes) -> int:
    """An answer's status; 0 if there was none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


# --- the answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_the_browser_comes_back(redirect: LoopbackRedirect, address: str) -> None:
    """On either address: a page that says so, the parameters, and nobody listens any more."""
    assert redirect.redirect_uri == f"http://localhost:{port_of(redirect)}{PATH}"
    page = await ask(redirect, get(redirect, f"{PATH}?code=c%2Bd&scope=a+b"), address)
    assert status(page) == 200
    assert await is_refused(redirect)
    assert await is_refused(redirect, "::1")
    assert await answered(redirect) == {"code": "c+d", "scope": "a b"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
async def test_each_name_of_this_machine(redirect: LoopbackRedirect, host: str) -> None:
    """A browser may write the host in any of the three ways, and header names in any case."""
    request = get(redirect, f"{PATH}?code=c&state={STATE}", f"{host}:{port_of(redirect)}", "Accept: */*")
    assert status(await ask(redirect, request.replace(b"Host", b"hOST"))) == 200
    assert await answered(redirect) == {"code": "c", "state": STATE}


async def test_an_error_is_an_answer_too(redirect: LoopbackRedirect) -> None:
    """What the user decided comes through as it is."""
    assert status(await ask(redirect, get(redirect, f"{PATH}?error=access_denied&error_description="))) == 200
    assert await answered(redirect) == {"error": "access_denied", "error_description": ""}


async def test_the_page_is_self_contained(redirect: LoopbackRedirect) -> None:
    """No script, no address, nothing of the request, and a policy that forbids the rest."""
    page = await ask(redirect, get(redirect, f"{PATH}?code=code-canary"))
    head, _, body = page.partition(b"\r\n\r\n")
    assert b"default-src 'none'" in head
    assert b"no-store" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert not any(word in page for word in (b"<script", b"http://", b"https://", b"canary", b"src="))
    assert b"may be closed" in body


async def test_a_browser_that_hangs_up_has_answered(
    redirect: LoopbackRedirect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parameters count as soon as they are here, whether or not the page can be sent."""

    async def gone(*_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(module, "send", gone)
    assert await ask(redirect, get(redirect, f"{PATH}?code=c")) == b""
    assert await answered(redirect) == {"code": "c"}


async def test_a_request_in_pieces(redirect: LoopbackRedirect) -> None:
    """A head that comes byte by byte is read to its end."""
    async with connection(redirect) as one:
        for byte in get(redirect, f"{PATH}?code=c"):
            one.say(bytes([byte]))
            await asyncio.sleep(0)
        assert status(await one.answer()) == 200
    assert await answered(redirect) == {"code": "c"}


async def test_a_second_hit(redirect: LoopbackRedirect) -> None:
    """Whoever was connected already and hits again is told so, and changes nothing."""
    async with connection(redirect) as first, connection(redirect) as second, connection(redirect) as junk:
        first.say(get(redirect, f"{PATH}?code=first"))
        assert status(await first.answer()) == 200
        second.say(get(redirect, f"{PATH}?code=second"))
        assert status(await second.answer()) == 410
        junk.say(get(redirect, "/favicon.ico"))
        assert status(await junk.answer()) == 404
    assert await answered(redirect) == {"code": "first"}
    assert await is_refused(redirect)


# --- what is none ------------------------------------------------------------------------------------

JUNK_TARGETS = {
    "the root": "/",
    "an icon": "/favicon.ico",
    "no state": "/callback?code=junk",
    "an empty state": "/callback/?code=junk",
    "a wrong state in the path": f"/callback/{'x' * len(STATE)}?code=junk",
    "half the state": f"{PATH[:-1]}?code=junk",
    "the state and more": f"{PATH}/?code=junk",
    "the state quoted": f"/callback/%73{STATE[1:]}?code=junk",
    "another folder": f"/other/{STATE}?code=junk",
    "a wrong state in the query": f"{PATH}?code=junk&state=other",
    "an empty state in the query": f"{PATH}?code=junk&state=",
    "neither code nor error": f"{PATH}?hello=junk",
    "an empty code": f"{PATH}?code=",
    "no query": PATH,
    "two codes": f"{PATH}?code=junk&code=junk2",
    "two states": f"{PATH}?code=junk&state={STATE}&state=other",
    "a flood of parameters": f"{PATH}?code=junk" + "".join(f"&a{n}=1" for n in range(16)),
    "an address in place of a path": f"http://localhost{PATH}?code=junk",
}


@pytest.mark.parametrize("target", JUNK_TARGETS.values(), ids=JUNK_TARGETS)
async def test_junk_is_ignored(redirect: LoopbackRedirect, target: str) -> None:
    """Whatever is no answer gets a 404, and the real one still arrives."""
    assert status(await ask(redirect, get(redirect, target))) == 404
    assert status(await ask(redirect, get(redirect, f"{PATH}?code=real"))) == 200
    assert await answered(redirect) == {"code": "real"}


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "PUT", "get", ""])
async def test_other_methods(redirect: LoopbackRedirect, method: str) -> None:
    """Only GET counts, and a preflight is told nothing that would let a page read on."""
    request = get(redirect, f"{PATH}?code=junk", None, "Origin: https://evil.example")
    answer = await ask(redirect, request.replace(b"GET", method.encode()))
    assert status(answer) == 404
    assert b"access-control" not in answer.lower()
    await ask(redirect, get(redirect, f"{PATH}?code=real"))
    assert await answered(redirect) == {"code": "real"}


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["localhost"],
        ["localhost:1"],
        ["evil.example:{port}"],
        ["localhost.evil.example:{port}"],
        ["evil.example@localhost:{port}"],
        ["127.0.0.2:{port}"],
        ["::1:{port}"],
        ["localhost:{port}", "evil.example:{port}"],
        ["localhost:{port}", "localhost:{port}"],
    ],
)
async def test_a_rebound_name(redirect: LoopbackRedirect, hosts: list[str]) -> None:
    """A web page whose name was let point here shows in Host, even when it knows the address."""
    lines = [f"GET {PATH}?code=junk HTTP/1.1", *(f"Host: {h.format(port=port_of(redirect))}" for h in hosts)]
    assert status(await ask(redirect, "\r\n".join([*lines, "", ""]).encode())) == 404
    await ask(redirect, get(redirect, f"{PATH}?code=real"))
    assert await answered(redirect) == {"code": "real"}


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /  HTTP/1.1\r\n\r\n",
        b"\xff\r\n\r\n",
    ],
)
async def test_no_http(redirect: LoopbackRedirect, data: bytes) -> None:
    """Bytes of another protocol are junk like any other."""
    assert status(await ask(redirect, data)) == 404


async def test_a_head_without_end(redirect: LoopbackRedirect) -> None:
    """More than the cap closes the connection without an answer; up to it is read."""
    rest = MAX_HEAD - len(get(redirect, f"{PATH}?code=c", None, "X: "))
    for excess in (1, 2 * MAX_HEAD):
        too_long = get(redirect, f"{PATH}?code=c", None, "X: " + "x" * (rest + excess))
        assert await ask(redirect, too_long) == b""
    longest = get(redirect, f"{PATH}?code=c", None, "X: " + "x" * rest)
    assert len(longest) == MAX_HEAD
    assert status(await ask(redirect, longest)) == 200


# --- storms ------------------------------------------------------------------------------------------


async def test_a_thousand_junk_hits(redirect: LoopbackRedirect) -> None:
    """A thousand hits from many connections at once, and the real one in their midst."""
    targets = list(JUNK_TARGETS.values())
    seen: list[int] = []
    begun = asyncio.Event()

    async def junk(worker: int) -> None:
        for number in range(worker, 1000, 25):
            try:
                seen.append(status(await ask(redirect, get(redirect, targets[number % len(targets)]))))
            except ConnectionError:  # the real answer has come and nobody listens any more
                seen.append(-1)
            if len(seen) >= 500:
                begun.set()

    storm = [asyncio.create_task(junk(worker)) for worker in range(25)]
    await asyncio.wait_for(begun.wait(), DEADLINE)
    assert not redirect._answer.done()
    assert status(await ask(redirect, get(redirect, f"{PATH}?code=real"), "::1")) == 200
    assert await answered(redirect) == {"code": "real"}
    await asyncio.gather(*storm)
    assert len(seen) == 1000
    assert seen[:500] == [404] * 500
    assert set(seen) <= {404, 0, -1}


async def test_slow_clients_do_not_block_the_real_one(redirect: LoopbackRedirect) -> None:
    """More connections than the cap, each with half a request: the oldest make room for the browser."""
    async with contextlib.AsyncExitStack() as stack:
        slow = []
        for _ in range(MOST_CONNECTIONS + 8):
            one = await stack.enter_async_context(connection(redirect))
            one.say(b"GET /callback/")
            slow.append(one)
        assert status(await ask(redirect, get(redirect, f"{PATH}?code=real"))) == 200
        assert await answered(redirect) == {"code": "real"}
        assert [await one.answer() for one in slow[:9]] == [b""] * 9
        slow[-1].say(f"x HTTP/1.1\r\nHost: localhost:{port_of(redirect)}\r\n\r\n".encode())
        assert status(await slow[-1].answer()) == 404
        assert len(redirect._connections) < MOST_CONNECTIONS


async def test_a_slow_client_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody holds a connection for longer than the patience there is for one."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    async with LoopbackRedirect.open(STATE) as redirect, connection(redirect) as slow:
        slow.say(b"GET ")
        assert await slow.answer() == b""


# --- the end -----------------------------------------------------------------------------------------


async def test_nobody_comes_back(redirect: LoopbackRedirect) -> None:
    """When time is up there is no answer, and nobody listens any more."""
    assert await redirect.wait(0.01) is None
    assert await is_refused(redirect)
    assert await is_refused(redirect, "::1")


async def test_cancel_closes_the_listener(redirect: LoopbackRedirect) -> None:
    """A wait that is cancelled stops listening before it ends."""
    async with connection(redirect):
        waiting = asyncio.create_task(redirect.wait(LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await is_refused(redirect)
        assert await is_refused(redirect, "::1")


async def test_the_end_of_the_block_closes_every_connection() -> None:
    """Whatever is half said is cut off."""
    async with contextlib.AsyncExitStack() as stack:
        async with LoopbackRedirect.open(STATE) as redirect:
            idle = await stack.enter_async_context(connection(redirect))
            half = await stack.enter_async_context(connection(redirect))
            half.say(b"GET /")
        assert await idle.answer() == b""
        assert await half.answer() == b""
        assert await is_refused(redirect)


async def test_the_answer_comes_before_anybody_waits(redirect: LoopbackRedirect) -> None:
    """A browser that is faster than we are loses nothing."""
    assert status(await ask(redirect, get(redirect, f"{PATH}?code=c"))) == 200
    assert await redirect.wait(0) == {"code": "c"}


# --- machines ----------------------------------------------------------------------------------------


async def test_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no ::1 the other address does alone."""
    bound = module.bound

    def without(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return bound(family, host, port)

    monkeypatch.setattr(module, "bound", without)
    async with LoopbackRedirect.open(STATE) as redirect:
        assert await is_refused(redirect, "::1")
        await ask(redirect, get(redirect, f"{PATH}?code=c"))
        assert await answered(redirect) == {"code": "c"}


async def test_a_port_that_somebody_holds_on_the_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour that sits on ::1 would be sent the code: another port is taken, on both."""
    bound = module.bound
    with contextlib.ExitStack() as stack:
        held: list[int] = []

        def neighbour_first(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
            if family == socket.AF_INET6 and len(held) < 2:
                neighbour = stack.enter_context(bound(family, host, port))
                neighbour.listen()
                held.append(port)
            return bound(family, host, port)

        monkeypatch.setattr(module, "bound", neighbour_first)
        async with LoopbackRedirect.open(STATE) as redirect:
            assert len(held) == 2
            assert port_of(redirect) not in held
            assert status(await ask(redirect, get(redirect, f"{PATH}?code=c"), "::1")) == 200


async def test_no_port_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing can be bound ends the sign-in with a problem."""

    def none_free(*_: object) -> socket.socket:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(module, "bound", none_free)
    with pytest.raises(Problem) as caught:
        async with LoopbackRedirect.open(STATE):
            raise AssertionError("nothing listens")
    assert caught.value.kind is Kind.LOGIN_FAILED


async def test_a_loop_that_cannot_watch_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows' own event loop: the listeners are looked at now and then."""

    def missing(*_: object) -> bool:
        raise NotImplementedError

    loop = asyncio.get_running_loop()
    with monkeypatch.context() as windows:
        windows.setattr(loop, "add_reader", missing)
        windows.setattr(loop, "remove_reader", missing)
        async with LoopbackRedirect.open(STATE) as redirect:
            asking = partial(ask, redirect)
            junk = [asyncio.create_task(asking(get(redirect, "/"), a)) for a in ("127.0.0.1", "::1") * 4]
            assert [status(await one) for one in junk] == [404] * 8
            assert status(await asking(get(redirect, f"{PATH}?code=c"))) == 200
            assert await answered(redirect) == {"code": "c"}
            assert await is_refused(redirect)
