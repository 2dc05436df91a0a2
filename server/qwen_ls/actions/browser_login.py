"""Sign in to OpenRouter in the browser: authorization code with PKCE, which yields an API key."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import attrs

from qwen_ls.actions.drive import drive
from qwen_ls.actions.keys import NewKey, set_key
from qwen_ls.actions.switch import remember
from qwen_ls.core.credentials import API_KEY
from qwen_ls.core.oauth.code import code_flow, is_answer
from qwen_ls.core.oauth.pkce import VERIFIER_BYTES, code_verifier
from qwen_ls.core.stored import USER, entry_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from qwen_ls.actions.keys import KeySet
    from qwen_ls.actions.login import Flight
    from qwen_ls.actions.ports import Place, Ports, Redirect
    from qwen_ls.core.secret import Secret
    from qwen_ls.core.stored import Target

OPENROUTER = "openrouter"  # the method, and the provider whose key it yields
TARGETS: dict[str | None, Target] = {"user": "user", "workspaceFolder": "workspaceFolder"}


@attrs.define(eq=False)
class ClientRedirect:
    """The client's own redirect: it works where the browser and this server are on two machines.

    Our state is the last step of its path, so that the answer to another sign-in is told apart.
    """

    base: str
    state: str
    _answer: asyncio.Future[Mapping[str, str]] = attrs.field(
        factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def redirect_uri(self) -> str:
        """Where the browser shall come back to."""
        return f"{self.base.rstrip('/')}/{self.state}"

    def came_back(self, uri: str) -> bool:
        """The browser came back to the client with `uri`; whether that answers this sign-in."""
        parts = urlsplit(uri)
        params = dict(parse_qsl(parts.query))
        if self._answer.done() or not is_answer(params, self.state, parts.path):
            return False
        self._answer.set_result(params)
        return True

    async def wait(self, seconds: float) -> Mapping[str, str] | None:
        """The query parameters, or None when time is up."""
        await asyncio.wait({self._answer}, timeout=seconds)
        return self._answer.result() if self._answer.done() else None


class ClientRedirects:
    """The sign-ins that wait for the client's own redirect."""

    def __init__(self) -> None:
        self._waiting: list[ClientRedirect] = []

    @asynccontextmanager
    async def open(self, base: str, state: str) -> AsyncIterator[Redirect]:
        """Wait for the answer to the sign-in with this state."""
        redirect = ClientRedirect(base, state)
        self._waiting.append(redirect)
        try:
            yield redirect
        finally:
            self._waiting.remove(redirect)

    def came_back(self, uri: str) -> bool:
        """Whether any sign-in takes `uri` as its answer; junk is ignored."""
        return any(redirect.came_back(uri) for redirect in self._waiting)


async def obtain_key(
    ports: Ports, flight: Flight, show: Callable[[str], None], redirects: ClientRedirects
) -> Secret:
    """The key that the sign-in yields. The verifier and the state are random on their own.

    A terminal's session ends with the command: there no key is made that nobody would keep.
    """
    if flight.place.terminal:
        await ports.keys.check_keeper(entry_name(USER, None, OPENROUTER))
    verifier, state = (code_verifier(ports.entropy.token_bytes(VERIFIER_BYTES)) for _ in range(2))
    listening: AbstractAsyncContextManager[Redirect] = (
        redirects.open(flight.redirect_uri, state) if flight.redirect_uri else ports.redirects.open(state)
    )
    async with listening as redirect:
        flow = code_flow(ports.code_server, verifier, state, redirect.redirect_uri)
        return await drive(flow, ports, open_page=show, await_redirect=redirect.wait)


async def keep_openrouter_key(ports: Ports, place: Place, target: str | None, key: Secret) -> KeySet:
    """Check the key, store it, and make `api-key` the method in force. Raises Problem."""
    new = NewKey(key, TARGETS.get(target), OPENROUTER, ports.code_server.chat_base_url)
    # No client ever sees this key, so none keeps it.
    stored = await set_key(ports, place, new, client_keeps=False, for_good=place.terminal)
    await remember(ports, place, API_KEY, target)
    return stored
