"""Everything before an answer's first byte: a sign-in renewed, pauses and retries, models to fall back to."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.provider import ready, refuse, send
from qwen_ls.core.chat import encode_request
from qwen_ls.core.credentials import is_sign_in
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.replies import retry_after, told_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qwen_ls.actions.ports import Exchange, Ports, Sink
    from qwen_ls.actions.provider import Signed
    from qwen_ls.actions.tokens import Accounts
    from qwen_ls.core.chat import Message

RETRIES = 2  # before the first byte, for 429 and for 5xx each
BACKOFF = 0.5  # seconds before the first retry of a 5xx, doubled for the second, jittered
REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@attrs.frozen
class Opened:
    """A request that was accepted: who signed it, the model that was asked for, the answer on its way."""

    signed: Signed
    model: str
    exchange: Exchange


@attrs.define(eq=False)
class Opening:
    """The requests of one message until one of them is accepted."""

    _ports: Ports
    _accounts: Accounts
    _messages: Sequence[Message]
    _sink: Sink
    _signed: Signed
    _renewed: bool = False
    _retries: dict[Kind, int] = attrs.field(factory=dict)

    async def first_of(self, models: Sequence[str]) -> Opened:
        """The answer of the first model that gives one. Raises Problem, with every failure in its line.

        The first model is asked again as often as retries allow, the others once each; and none any
        more after a failure that another model cannot mend.
        """
        failures: list[tuple[str, Problem]] = []
        for model in models:
            if failures:
                self._sink.note(f"{failures[-1][1].kind.value}: trying {model}")
            try:
                return await self._ask(model, retry=not failures)
            except Problem as problem:
                failures.append((model, problem))
                if not problem.another_model:
                    break
        raise told_together(failures)

    async def _ask(self, model: str, *, retry: bool) -> Opened:
        body = encode_request(self._messages, model)
        while True:
            exchange = await send(self._ports, self._signed, "POST", "/chat/completions", body)
            if exchange.status == HTTPStatus.OK:
                return Opened(self._signed, model, exchange)
            try:
                problem = await refuse(self._ports, exchange, self._signed.credential, model)
            finally:
                await exchange.aclose()
            if not await self._renew(exchange) and not (retry and await self._pause(problem, exchange)):
                raise problem

    async def _renew(self, exchange: Exchange) -> bool:
        """Renew a sign-in that was refused, once; whether it was."""
        credential = self._signed.credential
        if exchange.status not in REFUSALS or not is_sign_in(credential.method) or self._renewed:
            return False
        self._renewed = True
        self._sink.note("renewing the sign-in")
        self._signed = await ready(self._ports, self._accounts, self._signed.standing, rejected=credential)
        return True

    async def _pause(self, problem: Problem, exchange: Exchange) -> bool:
        """Wait as long as the failure asks for; whether to ask again."""
        count = self._retries.get(problem.kind, 0)
        if problem.kind not in {Kind.RATE_LIMITED, Kind.PROVIDER_DOWN} or count == RETRIES:
            return False
        self._retries[problem.kind] = count + 1
        seconds = BACKOFF * 2.0**count * (1 + 0.2 * self._ports.entropy.jitter())
        if problem.kind is Kind.RATE_LIMITED:
            asked = retry_after(exchange.headers, self._ports.clock.now())
            if asked is not None and asked > self._ports.settings.timeouts.retry_after:
                return False
            seconds = BACKOFF * 2.0 ** (count + 1) if asked is None else asked
        self._sink.note(f"{problem.kind.value}: trying again in {seconds:.0f} s")
        await self._ports.clock.sleep(seconds)
        return True
