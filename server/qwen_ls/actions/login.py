"""Sign in: run a flow, check the credential with a request, then keep it and remember the choice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.actions.browser_login import OPENROUTER, ClientRedirects, sign_in_by_browser
from qwen_ls.actions.chat import uncancel
from qwen_ls.actions.drive import drive
from qwen_ls.actions.provider import Signed, check
from qwen_ls.actions.resolve import stand
from qwen_ls.actions.switch import remember
from qwen_ls.core.credentials import API_KEY, QWEN_OAUTH, oauth_credential
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.oauth.device import DeviceAuthorization, device_flow
from qwen_ls.core.oauth.pkce import VERIFIER_BYTES, code_verifier
from qwen_ls.core.provenance import Source, SourceKind

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from contextlib import AsyncExitStack

    from qwen_ls.actions.ports import Human, Place, Ports
    from qwen_ls.actions.tokens import Accounts
    from qwen_ls.core.oauth.token import Token


@attrs.frozen
class SignedIn:
    """A sign-in that has succeeded. `checked` is false when the provider could not be asked."""

    method: str
    checked: bool
    message: str


@attrs.define(eq=False)
class Login:
    """A sign-in under way. `authorization` is there once the code to show is known, or the page to open."""

    id: str
    method: str
    task: asyncio.Task[SignedIn]
    authorization: asyncio.Future[DeviceAuthorization | str]
    cancelled: bool = False

    def cancel(self) -> bool:
        """End it; whether there was anything to end."""
        if self.task.done():
            return False
        self.cancelled = True
        self.task.cancel()
        return True

    async def code(self) -> DeviceAuthorization | str | None:
        """The code to show or the page to open, or None when the flow ended before there was one."""
        either: set[asyncio.Future[Any]] = {self.task, self.authorization}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return self.authorization.result() if self.authorization.done() else None

    async def result(self) -> SignedIn:
        """The end. Raises Problem, login-cancelled among others; cancelling the wait ends nothing."""
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self.task.cancelled() and self.cancelled:
                raise cancelled() from None
            raise


class Logins:
    """The sign-ins of this process: one flow at a time per method, a second login joins the first."""

    def __init__(self, ports: Ports, accounts: Accounts) -> None:
        self._ports = ports
        self._accounts = accounts
        self.redirects = ClientRedirects()
        self._flights: dict[str, Login] = {}
        self._count = 0

    def __bool__(self) -> bool:
        return any(not login.task.done() for login in self._flights.values())

    def start(
        self, method: str, place: Place, target: str | None, human: Human, redirect_uri: str | None = None
    ) -> Login:
        """Begin a sign-in, or join the one under way. Raises Problem for a method that cannot.

        `redirect_uri` is the client's own, for a sign-in that comes back from the browser.
        """
        if method != OPENROUTER and method not in self._ports.sign_ins:
            raise not_supported((*self._ports.sign_ins, OPENROUTER))
        running = self._flights.get(method)
        if running is not None and not running.task.done():
            return running
        self._count += 1
        authorization: asyncio.Future[DeviceAuthorization | str] = asyncio.get_running_loop().create_future()
        begun = Beginning(f"login-{self._count}", method, place, target, human, redirect_uri)
        flow = self._sign_in(begun, authorization)
        login = Login(f"login-{self._count}", method, asyncio.create_task(flow), authorization)
        login.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._flights[method] = login
        return login

    def cancel(self, login_id: str | None) -> bool:
        """End the named sign-in, or every one; whether there was any."""
        found = [f for f in self._flights.values() if login_id is None or f.id == login_id]
        return any([login.cancel() for login in found])  # noqa: C419 - each is cancelled, not only the first

    async def aclose(self, patience: float) -> None:
        """End every sign-in; each has `patience` seconds to let go of what it holds."""
        tasks = {login.task for login in self._flights.values() if login.cancel()}
        if tasks:
            await asyncio.wait(tasks, timeout=patience)

    async def _sign_in(
        self, begun: Beginning, authorization: asyncio.Future[DeviceAuthorization | str]
    ) -> SignedIn:
        shown: list[asyncio.Task[None]] = []
        flow_task = asyncio.current_task()

        async def show(code: DeviceAuthorization | str) -> None:
            login, human = self._flights.get(begun.method), begun.human
            if isinstance(code, str):
                goes_on = await human.show_page(begun.login_id, code)
            else:
                goes_on = await human.show_code(begun.login_id, begun.method, code)
            if not goes_on and login and login.task is flow_task:
                login.cancel()

        def show_code(code: DeviceAuthorization | str) -> None:
            authorization.set_result(code)
            shown.append(asyncio.create_task(show(code)))

        try:
            if begun.method == OPENROUTER:
                stored = await sign_in_by_browser(self._ports, begun, show_code, self.redirects)
                return SignedIn(API_KEY, stored.checked, f"Signed in to OpenRouter. {stored.message}")
            verifier = code_verifier(self._ports.entropy.token_bytes(VERIFIER_BYTES))
            flow = device_flow(self._ports.sign_ins[begun.method].issuer, verifier)
            token = await drive(flow, self._ports, show_code)
        finally:
            for task in shown:
                task.cancel()
        return await self._keep(token, begun)

    async def _keep(self, token: Token, begun: Beginning) -> SignedIn:
        """Check the token with a request, write it, and make this the method in force."""
        method, server = begun.method, self._ports.sign_ins[begun.method]
        source = Source(SourceKind.QWEN_OAUTH, file=str(server.cache.path))
        credential = oauth_credential(method, token, source, server.issuer)
        checked = await check(self._ports, Signed(credential, await stand(self._ports, begun.place)))
        locks = await self._accounts.of(method).locks()  # not below: a cancel ends the wait for them
        await whole(self._commit(token, begun, locks))
        message = f"Signed in to {'Qwen' if method == QWEN_OAUTH else method}"
        if not checked:
            message += f", but {credential.base_url} did not answer, so the sign-in could not be checked"
        return SignedIn(method, checked, message)

    async def _commit(self, token: Token, begun: Beginning, locks: AsyncExitStack) -> None:
        async with locks:
            await self._accounts.of(begun.method).adopt(token)
        await remember(self._ports, begun.place, begun.method, begun.target)


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


@attrs.frozen
class Beginning:
    """A sign-in as it was asked for."""

    login_id: str
    method: str
    place: Place
    target: str | None
    human: Human
    redirect_uri: str | None = None


def not_supported(known: Iterable[str]) -> Problem:
    """A way in that there is not. Its name is not said again: it may be a key, as in `check_method`."""
    remedy = f"Use one of {', '.join((*known, API_KEY))}; more servers can be set in oauthServers"
    return Problem(Kind.NOT_SUPPORTED, "There is no such way in", remedy=remedy)


def cancelled() -> Problem:
    """The user ended the sign-in."""
    return Problem(Kind.LOGIN_CANCELLED, "The sign-in was cancelled", remedy="Start it again when you like")
