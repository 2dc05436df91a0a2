"""Sign in: run a flow, check the credential with a request, then keep it and remember the choice."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.actions.browser_login import OPENROUTER, ClientRedirects, keep_openrouter_key, obtain_key
from qwen_ls.actions.chat import uncancel
from qwen_ls.actions.drive import drive
from qwen_ls.actions.provider import Signed, check
from qwen_ls.actions.resolve import stand
from qwen_ls.actions.switch import check_target, overruled, remember
from qwen_ls.core.credentials import API_KEY, QWEN_OAUTH, oauth_credential
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.oauth.device import DeviceAuthorization, device_flow
from qwen_ls.core.oauth.pkce import VERIFIER_BYTES, code_verifier
from qwen_ls.core.provenance import Source, SourceKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
    from contextlib import AsyncExitStack

    from qwen_ls.actions.ports import Human, Place, Ports
    from qwen_ls.actions.tokens import Accounts
    from qwen_ls.core.oauth.token import Token
    from qwen_ls.core.secret import Secret


@attrs.frozen
class SignedIn:
    """A sign-in that has succeeded. `checked` is false when the provider could not be asked."""

    method: str
    checked: bool
    message: str


@attrs.define(eq=False)
class Flight:
    """A sign-in under way, and everybody who has asked for it and not left.

    `authorization` is there once the code to show is known, or the page to open. `place` is where it was
    asked for first.
    """

    id: str
    method: str
    place: Place
    human: Human
    redirect_uri: str | None = None
    logins: list[Login] = attrs.field(factory=list)
    authorization: asyncio.Future[DeviceAuthorization | str] = attrs.field(
        factory=lambda: asyncio.get_running_loop().create_future()
    )
    task: asyncio.Task[None] = attrs.field(init=False)
    is_being_kept: bool = False  # from then on nobody leaves
    told: set[str] = attrs.field(factory=set)  # as what its end was said to the user

    def cancel(self) -> bool:
        """End it for everybody; whether there was anything to end."""
        return self.task.cancel()

    def ended(self, task: asyncio.Task[None]) -> None:
        """Tell everybody."""
        problem = cancelled() if task.cancelled() else task.exception()
        for login in self.logins:
            if login.outcome is not None:
                login.end.set_result(login.outcome)
            elif problem is not None:
                login.end.set_exception(problem)


def open_end() -> asyncio.Future[SignedIn]:
    """An end that is still to come; nobody has to look at it."""
    end: asyncio.Future[SignedIn] = asyncio.get_running_loop().create_future()
    end.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return end


@attrs.define(eq=False)
class Login:
    """A sign-in as one has asked for it: where the choice shall be written, and how it ends for them."""

    flight: Flight
    place: Place
    target: str | None
    outcome: SignedIn | None = None
    end: asyncio.Future[SignedIn] = attrs.field(factory=open_end)
    keeping: asyncio.Future[SignedIn] | None = None  # while it is checked, stored and chosen for this one

    def leave(self) -> None:
        """Ask for it no longer: nothing is written for this one, unless it is too late; the last ends it."""
        if self.flight.is_being_kept or self.outcome is not None or self.end.done():
            return
        self.flight.logins.remove(self)
        self.end.set_exception(cancelled())
        if not self.flight.logins:
            self.flight.cancel()
        elif self.keeping is not None:
            self.keeping.cancel()

    async def code(self) -> DeviceAuthorization | str | None:
        """The code to show or the page to open, or None when the flow ended before there was one."""
        authorization = self.flight.authorization
        either: set[asyncio.Future[Any]] = {self.end, authorization}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return authorization.result() if authorization.done() else None

    async def result(self) -> SignedIn:
        """The end. Raises Problem, login-cancelled among others; cancelling the wait ends nothing."""
        return await asyncio.shield(self.end)


class Logins:
    """The sign-ins of this process: one flow at a time per method, a second login joins the first."""

    def __init__(self, ports: Ports, accounts: Accounts) -> None:
        self._ports = ports
        self._accounts = accounts
        self.redirects = ClientRedirects()
        self._flights: dict[str, Flight] = {}
        self._count = 0

    def __bool__(self) -> bool:
        return any(not flight.task.done() for flight in self._flights.values())

    def start(
        self, method: str, place: Place, target: str | None, human: Human, redirect_uri: str | None = None
    ) -> Login:
        """Begin a sign-in, or join the one under way. Raises Problem for a method that cannot, or no folder.

        `redirect_uri` is the client's own, for a sign-in that comes back from the browser.
        """
        if method != OPENROUTER and method not in self._ports.sign_ins:
            raise not_supported((*self._ports.sign_ins, OPENROUTER))
        check_target(place, target)
        flight = self._flights.get(method)
        if flight is None or flight.task.done():
            self._count += 1
            flight = Flight(f"login-{self._count}", method, place, human, redirect_uri)
            flight.task = asyncio.create_task(self._sign_in(flight))
            flight.task.add_done_callback(flight.ended)
            self._flights[method] = flight
        login = Login(flight, place, target)
        flight.logins.append(login)
        return login

    def cancel(self, login_id: str | None) -> bool:
        """End the named sign-in, or every one; whether there was any."""
        found = [f for f in self._flights.values() if login_id is None or f.id == login_id]
        return any([flight.cancel() for flight in found])  # noqa: C419 - each is cancelled, not only the first

    async def aclose(self, patience: float) -> None:
        """End every sign-in; each has `patience` seconds to let go of what it holds."""
        tasks = {flight.task for flight in self._flights.values() if flight.cancel()}
        if tasks:
            await asyncio.wait(tasks, timeout=patience)

    async def _sign_in(self, flight: Flight) -> None:
        if flight.method == OPENROUTER:
            with showing(flight) as show:
                key = await obtain_key(self._ports, flight, show, self.redirects)
            await self._for_everybody(flight, partial(self._keep_key, key))
        else:
            verifier = code_verifier(self._ports.entropy.token_bytes(VERIFIER_BYTES))
            flow = device_flow(self._ports.sign_ins[flight.method].issuer, verifier)
            with showing(flight) as show:
                token = await drive(flow, self._ports, show)
            await self._keep(token, flight)

    async def _keep_key(self, key: Secret, login: Login) -> SignedIn:
        stored = await keep_openrouter_key(self._ports, login.place, login.target, key)
        return SignedIn(API_KEY, stored.checked, f"Signed in to OpenRouter. {stored.message}")

    async def _keep(self, token: Token, flight: Flight) -> None:
        """Check the token with a request, write it, and make this the method in force."""
        method, server = flight.method, self._ports.sign_ins[flight.method]
        source = Source(SourceKind.QWEN_OAUTH, file=str(server.cache.path))
        credential = oauth_credential(method, token, source, server.issuer)
        checked = await check(self._ports, Signed(credential, await stand(self._ports, flight.place)))
        message = f"Signed in to {'Qwen' if method == QWEN_OAUTH else method}"
        if not checked:
            message += f", but {credential.base_url} did not answer, so the sign-in could not be checked"
        locks = await self._accounts.of(method).locks()  # not below: a cancel ends the wait for them
        flight.is_being_kept = True
        await whole(self._commit(token, flight, locks, SignedIn(method, checked, message)))

    async def _commit(self, token: Token, flight: Flight, locks: AsyncExitStack, signed_in: SignedIn) -> None:
        async with locks:
            await self._accounts.of(flight.method).adopt(token)

        async def choose(login: Login) -> SignedIn:
            await remember(self._ports, login.place, flight.method, login.target)
            return signed_in

        await self._for_everybody(flight, choose)

    async def _for_everybody(self, flight: Flight, keep: Callable[[Login], Awaitable[SignedIn]]) -> None:
        """Keep it for each who has asked, and for those who join meanwhile; the next begins anew."""
        while waiting := [login for login in flight.logins if login.outcome is None]:
            login = waiting[0]
            login.keeping = asyncio.ensure_future(keep(login))
            try:
                signed_in = await login.keeping
            except asyncio.CancelledError:
                if login in flight.logins or not flight.logins:
                    raise
                continue  # this one has left, and the others go on
            if stays := await overruled(self._ports, login.place, signed_in.method):
                signed_in = attrs.evolve(signed_in, message=f"{signed_in.message}. {stays}")
            login.outcome = signed_in
        del self._flights[flight.method]


@contextmanager
def showing(flight: Flight) -> Iterator[Callable[[DeviceAuthorization | str], None]]:
    """What shows a code or page, which goes on beside the flow and ends with it."""
    shown: list[asyncio.Task[None]] = []

    async def show(code: DeviceAuthorization | str) -> None:
        if isinstance(code, str):
            goes_on = await flight.human.show_page(flight.id, code)
        else:
            goes_on = await flight.human.show_code(flight.id, flight.method, code)
        if not goes_on:
            flight.cancel()

    def begin(code: DeviceAuthorization | str) -> None:
        flight.authorization.set_result(code)
        shown.append(asyncio.create_task(show(code)))

    try:
        yield begin
    finally:
        for task in shown:
            task.cancel()


async def whole(work: Coroutine[Any, Any, None]) -> None:
    """Do all of it: a cancel that comes once the token is being written comes too late."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise
        await task
        uncancel(asyncio.current_task())


def not_supported(known: Iterable[str]) -> Problem:
    """A way in that there is not. Its name is not said again: it may be a key, as in `check_method`."""
    remedy = f"Use one of {', '.join((*known, API_KEY))}; more servers can be set in oauthServers"
    return Problem(Kind.NOT_SUPPORTED, "There is no such way in", remedy=remedy)


def cancelled() -> Problem:
    """The user ended the sign-in."""
    return Problem(Kind.LOGIN_CANCELLED, "The sign-in was cancelled", remedy="Start it again when you like")
