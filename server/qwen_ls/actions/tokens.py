"""Qwen OAuth's token, fresh when it is needed: refreshed ahead of expiry, one flight, both locks."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

from qwen_ls.actions.drive import drive
from qwen_ls.actions.resolve import from_home
from qwen_ls.core.credentials import QWEN_OAUTH, SWITCH, sign_in_again
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.intents import NoReply, Reply
from qwen_ls.core.oauth.device import is_token
from qwen_ls.core.oauth.token import (
    CachedToken,
    Token,
    error_code,
    from_reply,
    no_reply,
    passing_failure,
    refresh_at,
    refresh_flow,
    server_down,
)

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Ports, SignInServer
    from qwen_ls.core.secret import Secret

ADOPT_FOR = 2.0  # seconds to look for a newer token after invalid_grant
ADOPT_EVERY = 0.1  # seconds
REFUSALS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED})  # RFC 6749 section 5.2


class Accounts:
    """The tokens of this process, one for each OAuth method."""

    def __init__(self, ports: Ports) -> None:
        self._tokens = {method: Tokens(ports, server, method) for method, server in ports.sign_ins.items()}

    def of(self, method: str) -> Tokens:
        """A method's token, for a method of `Ports.sign_ins`."""
        return self._tokens[method]

    async def aclose(self, patience: float) -> None:
        """Let refreshes under way end, for at most `patience` seconds, then end them."""
        await asyncio.gather(*(tokens.aclose(patience) for tokens in self._tokens.values()))


class Tokens:
    """One method's token. `fresh` is safe to call from any number of requests at once."""

    def __init__(self, ports: Ports, server: SignInServer, method: str = QWEN_OAUTH) -> None:
        self._ports = ports
        self._method = method
        self._issuer = server.issuer
        self._cache = server.cache
        self._jitter = ports.entropy.jitter()
        self._flight: asyncio.Task[Token] | None = None
        self._unsaved: CachedToken | None = None

    async def read(self) -> CachedToken:
        """The cache, or the newer token that could not be written to it."""
        cached = await from_home(self._cache.read())
        unsaved = self._unsaved
        if unsaved is None or unsaved.token is None:
            return cached
        if cached.token is not None and cached.token.expires_at >= unsaved.token.expires_at:
            self._unsaved = None  # another process has written a newer one
            return cached
        return unsaved

    async def fresh(self, rejected: Secret | None = None) -> Token:
        """A token to sign a request with now.

        `rejected` is an access token that the provider has just refused: it is refreshed even if it
        has time left. Raises Problem (signed-out, network, provider-down, rate-limited, bad-reply).
        """
        cached = await self.read()
        token = required(cached, self._method)
        now = self._ports.clock.now()
        if token.access_token != rejected and now < refresh_at(cached, token, self._jitter):
            return token
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._refresh(token, rejected))
            self._flight.add_done_callback(lambda flight: flight.cancelled() or flight.exception())
        try:
            return await asyncio.shield(self._flight)
        except Problem as problem:
            if problem.retryable and token.access_token != rejected and now < token.expires_at:
                return token  # refreshing ahead may fail; this one still has time left
            raise

    async def _refresh(self, seen: Token, rejected: Secret | None) -> Token:
        """Adopt a newer token, as soon as there is one; else ask for one under both locks."""

        async def overtaken() -> bool:
            token = (await self.read()).token
            return token is not None and self._is_newer(token, seen, rejected)

        try:
            async with self._cache.lock(overtaken) as held:
                current = required(await self.read(), self._method)
                if self._is_newer(current, seen, rejected):
                    return current
                result = await drive(refresh_flow(self._issuer, current), self._ports) if held else None
                if isinstance(result, Reply) and result.ok and is_token(result.json):
                    return await self._save(from_reply(result.json, self._ports.clock.now(), current))
        except TimeoutError:
            raise locked(self._method) from None
        if result is None:  # what overtook us has run out since
            return await self._refresh(current, rejected)
        return await self._explain(result, current)

    async def aclose(self, patience: float) -> None:
        """End a refresh that is under way, so that no lock stays behind.

        It has `patience` seconds to end well: its refresh token may be spent, and the new one on its way.
        """
        if self._flight is not None and not self._flight.done():
            await asyncio.wait({self._flight}, timeout=patience)
            self._flight.cancel()
            await asyncio.wait({self._flight}, timeout=patience)

    def _is_newer(self, current: Token, seen: Token, rejected: Secret | None) -> bool:
        changed = current.access_token not in (seen.access_token, rejected)
        return changed and self._ports.clock.now() < current.expires_at

    async def _save(self, token: Token) -> Token:
        self._unsaved = None
        try:
            await self._cache.write(token)
        except OSError:
            # The old refresh token is spent: losing the new one would sign the user out.
            self._unsaved = CachedToken("memory", token, None, self._ports.clock.now())
        return token

    async def _explain(self, result: Reply | NoReply, current: Token) -> Token:
        """No new token: adopt one that somebody else has just written, or say why."""
        if isinstance(result, NoReply):
            raise no_reply(result, self._issuer.base_url)
        if (problem := passing_failure(result, self._issuer.base_url)) is not None:
            raise problem
        if result.ok:
            what = "The sign-in server answered a refresh with something else than a token"
            remedy = "Check the network and try again"
            raise Problem(Kind.BAD_REPLY, what, where=self._issuer.base_url, remedy=remedy, retryable=True)
        if not error_code(result) and result.status not in REFUSALS:  # a firewall's 403, say
            raise server_down(result.status, self._issuer.base_url)
        for _ in range(round(ADOPT_FOR / ADOPT_EVERY)):
            await self._ports.clock.sleep(ADOPT_EVERY)
            newer = (await self.read()).token
            if newer is not None and newer.access_token != current.access_token:
                return newer
        code = current.refresh_token.blot(error_code(result)) or f"HTTP {result.status}"
        raise Problem(
            Kind.SIGNED_OUT,
            f"The {name_of(self._method)} has ended: the server refused to renew it ({code})",
            where=str(self._cache.path),
            remedy="Sign in again, or switch to another method",
            actions=[sign_in_again(self._method), SWITCH],
        )

    async def forget(self) -> bool:
        """Remove the shared cache under both locks; whether there was one. Raises Problem, OSError."""
        self._unsaved = None
        try:
            async with self._cache.lock():
                return await self._cache.remove()
        except TimeoutError:
            raise locked(self._method) from None

    async def locks(self) -> contextlib.AsyncExitStack:
        """Both locks, where they can be had, held until what is returned is closed."""
        async with contextlib.AsyncExitStack() as stack:
            with contextlib.suppress(TimeoutError):  # a new sign-in beats whoever holds the lock
                await stack.enter_async_context(self._cache.lock())
            return stack.pop_all()

    async def adopt(self, token: Token) -> None:
        """Write a token that has just been issued and checked, while the locks are held.

        Raises Problem when it cannot be written.
        """
        try:
            await self._cache.write(token)
        except OSError as error:
            raise self._unwritable(error) from None
        self._unsaved = None

    def _unwritable(self, error: OSError) -> Problem:
        return Problem(
            Kind.INTERNAL,
            f"The {name_of(self._method)} could not be saved: {error.strerror}",
            where=str(self._cache.path),
            remedy="See that this file can be written, and sign in again",
        )


def name_of(method: str) -> str:
    """A sign-in as a message names it."""
    return "Qwen sign-in" if method == QWEN_OAUTH else f"sign-in {method}"


def required(cached: CachedToken, method: str = QWEN_OAUTH) -> Token:
    """The cached token; raises Problem(signed-out) if there is none."""
    if cached.token is None:
        raise Problem(
            Kind.SIGNED_OUT,
            f"Signed out of {method}: {cached.problem or 'no sign-in is cached'}",
            where=cached.path,
            remedy="Sign in again, or switch to another method",
            actions=[sign_in_again(method), SWITCH],
        )
    return cached.token


def locked(method: str) -> Problem:
    """The lock could not be had in time."""
    return Problem(
        Kind.PROVIDER_DOWN,
        f"The {name_of(method)} could not be renewed: another program has held its lock for too long",
        where="oauth_creds.lock",
        remedy="Close hanging Qwen Code windows and try again",
        retryable=True,
    )
