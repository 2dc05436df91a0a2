"""The loopback redirect of a browser sign-in: one answer, on this machine, at an address nobody can guess.

RFC 8252 sections 7.3 and 8.3. What is no answer is answered with 404 and changes nothing: any web page can
make a browser send requests to loopback, and one of them must not end somebody's sign-in.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.oauth.code import is_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from typing_extensions import Self

MAX_HEAD = 8 * 1024  # bytes
PATIENCE = 5.0  # seconds for one connection
MOST_CONNECTIONS = 32  # at once; the oldest makes room
MOST_PARAMETERS = 16
QUEUE = 128  # connections that the system holds until it is their turn
TRIES = 16  # for a port that is free on both loopback addresses
GLANCE = 0.1  # seconds between two looks, where a loop cannot watch a socket
NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
REQUEST_LINE = re.compile(r"GET ([\x21-\x7e]+) HTTP/1\.[01]")
END_OF_HEAD = b"\r\n\r\n"
HEADERS = (
    "Cache-Control: no-store",
    "Connection: close",
    "Content-Security-Policy: default-src 'none'; form-action 'none'; frame-ancestors 'none'",
    "Content-Type: text/html; charset=utf-8",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
</main>
</body>
</html>
"""


def encode_answer(status: str, title: str, text: str) -> bytes:
    """A whole HTTP answer with a page that holds nothing but words."""
    body = PAGE.format(title=title, text=text).encode()
    head = (f"HTTP/1.1 {status}", *HEADERS, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(head).encode("ascii") + body


DONE = encode_answer("200 OK", "Back to your editor", "It goes on by itself. This window may be closed.")
GONE = encode_answer("410 Gone", "Already answered", "This sign-in has had its answer.")
NOT_FOUND = encode_answer("404 Not Found", "Not found", "There is nothing here.")


class LoopbackRedirect:
    """Listens on 127.0.0.1 and ::1, on one free port, from `open` until the answer, or the end of `wait`."""

    def __init__(self, state: str, listeners: list[socket.socket]) -> None:
        self._state = state
        self._path = f"/callback/{state}"
        port = listeners[0].getsockname()[1]
        # A name that somebody lets point to loopback (DNS rebinding) is none of these.
        self._hosts = [[f"{host}:{port}"] for host in ("localhost", "127.0.0.1", "[::1]")]
        self.redirect_uri = f"http://localhost:{port}{self._path}"
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Mapping[str, str]] = self._loop.create_future()
        self._taken = False
        self._connections: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._listeners = listeners
        self._glance: asyncio.TimerHandle | None = None
        self._listen()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, state: str) -> AsyncIterator[Self]:
        """Listen for the answer to the sign-in with this state. Raises Problem(login-failed)."""
        redirect = cls(state, listeners_on_loopback())
        try:
            yield redirect
        finally:
            await redirect.aclose()

    async def wait(self, seconds: float) -> Mapping[str, str] | None:
        """The query parameters of the first answer, or None when time is up; listens no longer then."""
        try:
            await asyncio.wait({self._answer}, timeout=seconds)
        finally:
            self._close()
        return self._answer.result() if self._answer.done() else None

    async def aclose(self) -> None:
        """Stop listening and close every connection."""
        self._close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    # --- connections ------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            for listener in self._listeners:
                self._loop.add_reader(listener, self._accept, listener)
        except NotImplementedError:  # Windows' own loop watches no sockets
            self._look()

    def _look(self) -> None:
        """Accept what has come, and look again soon."""
        came = [self._accept(listener) for listener in self._listeners]
        self._glance = self._loop.call_later(0 if any(came) else GLANCE, self._look)

    def _close(self) -> None:
        if self._glance is not None:
            self._glance.cancel()
        for listener in self._listeners:
            with contextlib.suppress(NotImplementedError):
                self._loop.remove_reader(listener)
            listener.close()
        self._listeners = []

    def _accept(self, listener: socket.socket) -> bool:
        """Accept one connection: it is read before the next one is accepted and makes it old."""
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return False
        except OSError:  # it is gone again, or no file descriptor is left
            self._make_room()
            return False
        connection.setblocking(False)  # noqa: FBT003 - its name in the library
        if len(self._connections) >= MOST_CONNECTIONS:
            self._make_room()
        task = self._loop.create_task(self._serve(connection))
        deadline = self._loop.call_later(PATIENCE, task.cancel)

        def ended(task: asyncio.Task[None]) -> None:
            deadline.cancel()
            connection.close()
            self._connections.pop(task, None)

        self._connections[task] = None
        task.add_done_callback(ended)
        return True

    def _make_room(self) -> None:
        """Close the oldest connection: it has had its time."""
        oldest = next(iter(self._connections), None)
        if oldest is not None:
            del self._connections[oldest]
            oldest.cancel()

    async def _serve(self, connection: socket.socket) -> None:
        """One connection, one request."""
        with contextlib.suppress(OSError):
            head = await read_head(connection)
            if head is None:
                return
            params = self._params(head)
            if params is None or self._taken:
                await send(connection, NOT_FOUND if params is None else GONE)
                return
            self._taken = True
            self._close()
            try:
                await send(connection, DONE)
            finally:
                self._answer.set_result(params)

    # --- requests ---------------------------------------------------------------------------------

    def _params(self, head: str) -> Mapping[str, str] | None:
        """The query parameters, if this is an answer to the sign-in."""
        first, *lines = head.split("\r\n")
        request = REQUEST_LINE.fullmatch(first)
        headers = [line.partition(":") for line in lines]
        hosts = [value.strip().lower() for name, _, value in headers if name.lower() == "host"]
        if request is None or hosts not in self._hosts:
            return None
        path, _, query = request[1].partition("?")
        if not compare_digest(path, self._path):
            return None
        return self._checked(query)

    def _checked(self, query: str) -> Mapping[str, str] | None:
        """The parameters of the right address's query, each of which may come once (RFC 6749 section 3.1)."""
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            return None
        params = dict(pairs)
        answers = len(params) == len(pairs) and is_answer(params, self._state, self.redirect_uri)
        return params if answers else None


async def read_head(connection: socket.socket) -> str | None:
    """A request's head; None if it is too long or does not come to its end."""
    loop = asyncio.get_running_loop()
    head = b""
    while END_OF_HEAD not in head:
        data = await loop.sock_recv(connection, MAX_HEAD + 1 - len(head))
        head += data
        if not data or len(head) > MAX_HEAD:
            return None
    return head[: head.index(END_OF_HEAD)].decode("latin-1")


async def send(connection: socket.socket, answer: bytes) -> None:
    """Send an answer and say that it is whole."""
    await asyncio.get_running_loop().sock_sendall(connection, answer)
    connection.shutdown(socket.SHUT_WR)


def listeners_on_loopback() -> list[socket.socket]:
    """Sockets that listen on one port of 127.0.0.1 and, where the machine has it, ::1.

    Both are ours or none is: what `localhost` means is the browser's choice. Raises
    Problem(login-failed).
    """
    for _ in range(TRIES):
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
            listeners = [opened.enter_context(bound(socket.AF_INET, "127.0.0.1", 0))]
            port = listeners[0].getsockname()[1]
            try:
                listeners.append(opened.enter_context(bound(socket.AF_INET6, "::1", port)))
            except OSError as error:
                if error.errno not in NO_SUCH_ADDRESS:
                    raise
            for listener in listeners:
                listener.listen(QUEUE)
            opened.pop_all()
            return listeners
    raise Problem(
        Kind.LOGIN_FAILED,
        "This machine has no free loopback port for the browser's answer",
        remedy="Use an API key, or try again when fewer programs are running",
    )


def bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """A socket of its own at an address. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 - its name in the library
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows lets others share a port otherwise
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
