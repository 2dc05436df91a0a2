"""Requests to the provider: every one is signed by `authorize`, and by nothing else."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import attrs

from qwen_ls.actions.resolve import state_unwritable
from qwen_ls.core.chat import Message, Role, encode_request
from qwen_ls.core.credentials import QWEN_OAUTH, Credential, is_sign_in, is_stored, oauth_credential
from qwen_ls.core.errors import Kind, Problem, one_line
from qwen_ls.core.intents import HttpRequest, Unreachable
from qwen_ls.core.models import with_choice
from qwen_ls.core.origin import ConsentNeeded, Decision, authorize
from qwen_ls.core.replies import MAX_ANSWER, Refusal, content_type_of, explain_no_reply, explain_refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qwen_ls.actions.ports import Exchange, Place, Ports
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.actions.tokens import Accounts
    from qwen_ls.core.limits import Quota

    Ask = Callable[[ConsentNeeded], Awaitable[Decision | None]]

Result = TypeVar("Result")
OPENROUTER = "openrouter"  # the provider that tells about a key by itself
ACCEPTED = range(200, 300)
ACCEPTED_FORMS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
REFUSED = frozenset({Kind.KEY_REJECTED, Kind.FREE_TIER_CLOSED})
MAX_ERROR_BODY = 64 * 1024  # bytes of a refusal's body that are read


@attrs.frozen
class Signed:
    """A credential that is ready to sign, with the place it was resolved for."""

    credential: Credential
    standing: Standing


async def ready(
    ports: Ports, accounts: Accounts, standing: Standing, rejected: Credential | None = None
) -> Signed:
    """The standing's credential, with a fresh token where it is an OAuth one.

    `rejected` is the credential that the provider has just refused. Raises Problem.
    """
    credential = standing.resolution.require()
    if is_sign_in(credential.method):
        token = await accounts.of(credential.method).fresh(rejected.claim.secret if rejected else None)
        issuer = ports.sign_ins[credential.method].issuer
        credential = oauth_credential(credential.method, token, credential.claim.source, issuer)
        credential = with_choice(standing.facts, credential)
    return Signed(credential, standing)


async def with_token(
    ports: Ports, accounts: Accounts, standing: Standing, ask: Callable[[Signed], Awaitable[Result]]
) -> tuple[Signed, Result]:
    """What `ask` gets with the credential in force; a sign-in refused is renewed once. Raises Problem."""
    signed = await ready(ports, accounts, standing)
    try:
        return signed, await ask(signed)
    except Problem as problem:
        if problem.kind not in REFUSED or not is_sign_in(signed.credential.method):
            raise
    signed = await ready(ports, accounts, standing, signed.credential)
    return signed, await ask(signed)


async def with_consent(
    ports: Ports, place: Place, ask: Ask, attempt: Callable[[], Awaitable[Result]]
) -> Result:
    """Run `attempt`; if it needs the user's consent, ask once, remember the answer, run it again.

    Raises the need itself when nobody answers, and a refusal when the answer is No.
    """
    try:
        return await attempt()
    except ConsentNeeded as need:
        decision = None if place.headless else await ask(need)
        if decision is None:
            raise
        try:
            await ports.state.decide({need.key: decision})
        except OSError as error:
            raise state_unwritable(error) from None
        next_ask = after_choosing(need.key.file, ask) if decision is Decision.FILE else ask
        return await with_consent(ports, place, next_ask, attempt)


def after_choosing(file: str, ask: Ask) -> Ask:
    """Who answers once the user has chosen a file's own key and URL: that pair is not asked about again.

    Any other question is the user's, and above all one about a key of their own: the file may have
    changed while the question stood.
    """

    async def answer(need: ConsentNeeded) -> Decision | None:
        return Decision.SEND if not need.mixed and need.key.file == file else await ask(need)

    return answer


async def send(ports: Ports, signed: Signed, method: str, path: str, body: bytes | None = None) -> Exchange:
    """Send a signed request to the credential's base URL + `path`, and wait for the answer's head.

    Raises Problem for a refusal to sign, and for no answer at all.
    """
    credential = signed.credential
    url = credential.base_url + path
    headers = authorize(credential.claim, url, signed.standing.policy)
    if body is not None:
        headers["Content-Type"] = "application/json"
    if credential.method == QWEN_OAUTH:
        headers["X-DashScope-AuthType"] = QWEN_OAUTH  # as Qwen Code marks such requests
    if method == "POST":
        ports.ledger.sent(credential.method, ports.clock.now())
    try:
        exchange = await ports.http.open(HttpRequest(method, url, headers, body), ports.settings.timeouts)
    except Unreachable as unreachable:
        raise explain_no_reply(unreachable.reply, credential) from None
    ports.ledger.answered(credential.base_url, exchange.headers)
    return exchange


async def refuse(ports: Ports, exchange: Exchange, credential: Credential, model: str | None) -> Problem:
    """The problem that an answer other than 2xx means."""
    try:
        body = await exchange.read_json(MAX_ERROR_BODY)
    except Unreachable:
        body = None
    refusal = Refusal(exchange.status, body, exchange.headers, content_type_of(exchange.headers))
    return explain_refusal(refusal, credential, model, ports.clock.now())


async def list_models(ports: Ports, signed: Signed) -> list[str]:
    """The ids of GET …/models, in the provider's order. Raises Problem."""
    exchange = await send(ports, signed, "GET", "/models")
    try:
        if exchange.status != HTTPStatus.OK:
            raise await refuse(ports, exchange, signed.credential, None)
        body = await exchange.read_json(MAX_ANSWER)
    except Unreachable as unreachable:
        raise explain_no_reply(unreachable.reply, signed.credential) from None
    finally:
        await exchange.aclose()
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        page = Refusal(exchange.status, None, exchange.headers, content_type_of(exchange.headers))
        raise not_a_list(page, signed.credential, ports.clock.now())
    ids = (m.get("id") for m in data if isinstance(m, dict))
    return [one_line(i) for i in ids if isinstance(i, str) and i]


def not_a_list(page: Refusal, credential: Credential, now: float) -> Problem:
    """A 200 that is no list of models: a web page, or another service."""
    if "html" in page.content_type:
        return explain_refusal(page, credential, None, now)
    return Problem(
        Kind.BAD_REPLY,
        f"{credential.base_url}/models did not answer with a list of models",
        where=str(credential.claim.base_url.source),
        remedy="Check the base URL; most end in /v1",
    )


async def model_of(ports: Ports, signed: Signed, asked: str | None) -> str:
    """The model to ask for: the one given, the configured one, else the provider's first."""
    if asked:
        return asked
    if signed.credential.model is not None:
        return signed.credential.model.text
    models = await list_models(ports, signed)
    if models:
        return models[0]
    raise Problem(
        Kind.MODEL_NOT_FOUND,
        f"{signed.credential.base_url} lists no models, and none is set",
        where=str(signed.credential.claim.base_url.source),
        remedy="Set the key again, with a model (`qwen-ls keys set --model`)"
        if is_stored(signed.credential)
        else "Set OPENAI_MODEL beside the base URL",
    )


async def check(ports: Ports, signed: Signed) -> bool:
    """Whether the provider accepts the credential: one chat completion of one token.

    True when it was accepted (a 400 about parameters is an acceptance), False when there was no
    answer to judge by. Raises Problem when it was rejected.
    """
    try:
        await try_out(ports, signed)
    except Problem as problem:
        if problem.retryable:
            return False
        raise
    return True


async def try_out(ports: Ports, signed: Signed) -> None:
    """Raise the problem that the provider's answer means. OpenRouter tells about a key by itself."""
    if signed.credential.provider.id == OPENROUTER:
        model = None
        exchange = await send(ports, signed, "GET", "/key")
    else:
        model = await model_of(ports, signed, None)
        body = encode_request([Message(Role.USER, "hi")], model, stream=False, max_tokens=1)
        exchange = await send(ports, signed, "POST", "/chat/completions", body)
    try:
        is_page = "html" in content_type_of(exchange.headers)
        if is_page or (exchange.status not in ACCEPTED and exchange.status not in ACCEPTED_FORMS):
            raise await refuse(ports, exchange, signed.credential, model)
    finally:
        await exchange.aclose()


def quota(ports: Ports, standing: Standing) -> Quota | None:
    """What this run has used of the credential in force, and the provider's own word on it."""
    credential = standing.resolution.credential
    if credential is None:
        return None
    return ports.ledger.quota(credential.method, credential.base_url, ports.clock.now())
