"""OpenRouter's sign-in: the stand-in by itself, and our flow, listener and HTTP against it."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import attrs
import httpx
import pytest

from demo.signing_in import CHALLENGE, VERIFIER
from qwen_ls.actions.drive import drive
from qwen_ls.adapters.http import HttpAdapter
from qwen_ls.adapters.redirect import LoopbackRedirect
from qwen_ls.core.errors import Cause, Kind, Problem
from qwen_ls.core.intents import NoReply, PostJson, Reply
from qwen_ls.core.oauth.code import CodeServer, code_flow
from qwen_ls.core.oauth.pkce import code_verifier
from qwen_ls.core.settings import Settings
from qwen_ls.demo.provider import Provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from qwen_ls.core.secret import Secret

DEADLINE = 20.0  # seconds; nothing here takes that long unless it hangs
CALLBACK = "http://localhost:51423/callback/nonce"
QUERY = {
    "callback_url": CALLBACK,
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "state": "abc",
}


async def exchange(client: httpx.AsyncClient, code: str, **changes: str) -> httpx.Response:
    """Redeem a code."""
    body = {"code": code, "code_verifier": VERIFIER, "code_challenge_method": "S256"}
    return await client.post("/api/v1/auth/keys", json=body | changes)


async def approved(client: httpx.AsyncClient) -> str:
    """The code that an approval on the page gives."""
    answer = await client.post("/auth", params=QUERY, data={"decision": "approve"})
    (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    return code


# --- the stand-in ------------------------------------------------------------------------------------


async def test_the_page_asks_and_sends_back(client: httpx.AsyncClient) -> None:
    """A page without scripts, whose form may lead to the program's address; approval brings a code there."""
    page = await client.get("/auth", params=QUERY)
    assert page.status_code == 200
    assert "localhost:51423" in page.text
    assert "<script" not in page.text
    assert "form-action 'self' http://localhost:51423;" in page.headers["content-security-policy"]
    answer = await client.post("/auth", params=QUERY, data={"decision": "approve"})
    assert answer.status_code == 303
    location = urlsplit(answer.headers["location"])
    assert location._replace(query="").geturl() == CALLBACK
    query = parse_qs(location.query)
    assert query.pop("state") == ["abc"]
    assert [*query] == ["code"]


async def test_deny(client: httpx.AsyncClient) -> None:
    """A refusal goes back to the program as access_denied; no decision goes nowhere."""
    answer = await client.post("/auth", params=QUERY, data={"decision": "deny"})
    assert answer.headers["location"] == f"{CALLBACK}?error=access_denied&state=abc"
    assert (await client.post("/auth", params=QUERY)).status_code == 400


async def test_nobody_is_asked_with_auto_approve(provider: Provider, client: httpx.AsyncClient) -> None:
    """Told to approve by itself, it sends back at once; a state that was not sent does not come back."""
    provider.configure(auto_approve=True)
    answer = await client.get("/auth", params={k: v for k, v in QUERY.items() if k != "state"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{CALLBACK}?code=")
    assert "state" not in answer.headers["location"]


@pytest.mark.parametrize(
    "changes",
    [
        {"callback_url": "https://evil.example/callback"},
        {"callback_url": "http://localhost.evil.example:80/"},
        {"callback_url": "http://evil@localhost:80/"},
        {"callback_url": "http://localhost:80/\r\nX-Evil: 1"},
        {"callback_url": "javascript:alert(1)"},
        {"callback_url": ""},
        {"code_challenge": ""},
        {"code_challenge": "short"},
        {"code_challenge_method": "plain"},
    ],
)
async def test_a_wrong_request_is_sent_nowhere(client: httpx.AsyncClient, changes: dict[str, str]) -> None:
    """Without S256, or to an address elsewhere, the page refuses, by either method."""
    assert (await client.get("/auth", params=QUERY | changes)).status_code == 400
    answer = await client.post("/auth", params=QUERY | changes, data={"decision": "approve"})
    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_a_code_becomes_a_key_once(provider: Provider, client: httpx.AsyncClient) -> None:
    """The key is accepted for chat, models and its own description, until it is revoked."""
    code = await approved(client)
    answer = await exchange(client, code)
    assert answer.status_code == 200
    key = answer.json()["key"]
    assert key.startswith("sk-or-v1-")
    client.headers["authorization"] = f"Bearer {key}"
    described = (await client.get("/api/v1/key")).json()["data"]
    assert key not in described["label"]
    assert (await client.get("/api/v1/models")).json()["data"]
    body = {"model": "coder-model", "messages": [{"role": "user", "content": "hi"}]}
    assert (await client.post("/api/v1/chat/completions", json=body)).status_code == 200
    assert provider.log[-1]["credential"] == "key"

    assert (await exchange(client, code)).status_code == 403
    provider.openrouter.revoke_keys()
    for path in ("/api/v1/key", "/api/v1/models"):
        assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize("verifier", ["x" * 43, VERIFIER[:-1], "", CHALLENGE])
async def test_another_verifier_gets_nothing(
    provider: Provider, client: httpx.AsyncClient, verifier: str
) -> None:
    """PKCE is enforced, and the right program may still go on."""
    code = await approved(client)
    answer = await exchange(client, code, code_verifier=verifier)
    assert answer.status_code == 403
    assert answer.json() == {"error": {"code": 403, "message": "Invalid code or code_verifier"}}
    assert not provider.openrouter.keys
    assert (await exchange(client, code)).status_code == 200


async def test_what_else_gets_no_key(provider: Provider, client: httpx.AsyncClient) -> None:
    """Another method, an unknown code, a body that is none, a code that is too old."""
    code = await approved(client)
    assert (await exchange(client, code, code_challenge_method="plain")).status_code == 400
    assert (await exchange(client, "unknown")).status_code == 403
    assert (await client.post("/api/v1/auth/keys", json=[code])).status_code == 400
    assert (await client.get("/api/v1/key", headers={"authorization": ""})).status_code == 401
    provider.openrouter.expire_codes()
    assert (await exchange(client, code)).status_code == 403
    assert not provider.openrouter.keys


async def test_the_log_file_holds_no_code(tmp_path: Path) -> None:
    """What redeems a key is shortened in the file, in JSON as in forms."""
    log = tmp_path / "log"
    async with Provider(log=str(log)) as provider, httpx.AsyncClient(base_url=provider.base_url) as client:
        code = await approved(client)
        await exchange(client, code)
    written = log.read_text("utf-8")
    assert len(written.splitlines()) == 2
    assert code not in written
    assert VERIFIER not in written
    assert json.loads(written.splitlines()[1])["json"]["code_challenge_method"] == "S256"


# --- our side against it -----------------------------------------------------------------------------


@attrs.define(eq=False)
class SignIn:
    """A sign-in under way, and the browser that it opened."""

    provider: Provider
    client: httpx.AsyncClient
    redirect: LoopbackRedirect
    task: asyncio.Task[Secret]
    opened: asyncio.Future[str]

    async def decide(self, decision: str) -> httpx.Response:
        """The page as a person uses it; what the browser is told at the end."""
        url = await asyncio.wait_for(self.opened, DEADLINE)
        assert (await self.client.get(url)).status_code == 200
        answer = await self.client.post(url, data={"decision": decision})
        return await self.client.get(answer.headers["location"])

    async def key(self) -> Secret:
        """What comes of it."""
        return await asyncio.wait_for(self.task, DEADLINE)

    def exchanges(self) -> list[Any]:
        """The requests for a key."""
        return [entry for entry in self.provider.log if entry["route"] == "keys"]


@asynccontextmanager
async def signing_in(provider: Provider) -> AsyncIterator[SignIn]:
    """Begin a sign-in the way the actions do."""
    http = HttpAdapter(Settings(), {})
    ports: Any = SimpleNamespace(http=http)  # a browser sign-in asks for nothing else
    verifier, state = (code_verifier(secrets.token_bytes(32)) for _ in range(2))
    opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with LoopbackRedirect.open(state) as redirect, httpx.AsyncClient(trust_env=False) as client:
        flow = code_flow(CodeServer(provider.base_url), verifier, state, redirect.redirect_uri)
        task = asyncio.create_task(
            drive(flow, ports, open_page=opened.set_result, await_redirect=redirect.wait)
        )
        try:
            yield SignIn(provider, client, redirect, task, opened)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await http.aclose()


async def test_signing_in(provider: Provider) -> None:
    """Page, approval, redirect, exchange: the key is the one that was given out, and the browser is told."""
    async with signing_in(provider) as run:
        page = await run.decide("approve")
        assert (page.status_code, "may be closed" in page.text) == (200, True)
        key = await run.key()
        assert {key.reveal()} == provider.openrouter.keys
        (sent,) = run.exchanges()
        assert sent["json"].keys() == {"code", "code_verifier", "code_challenge_method"}
        assert sent["headers"]["content-type"] == "application/json"
        assert sent["authorization"] is None


async def test_refusing(provider: Provider) -> None:
    """A refusal on the page ends the sign-in as denied, and nothing is exchanged."""
    async with signing_in(provider) as run:
        assert (await run.decide("deny")).status_code == 200
        with pytest.raises(Problem) as caught:
            await run.key()
        assert caught.value.kind is Kind.LOGIN_DENIED
        assert not run.exchanges()


async def test_a_storm_around_the_real_answer(provider: Provider) -> None:
    """Wrong states, refusals and codes of others by the hundred: none is exchanged, the real one is."""
    async with signing_in(provider) as run:
        address = run.redirect.redirect_uri
        wrong = address[:-4] + "xxxx"
        junk = [
            f"{wrong}?code=junk",
            f"{wrong}?error=access_denied",
            f"{address}?code=junk&state=junk",
            address,
        ]
        for url in junk * 50:
            assert (await run.client.get(url)).status_code == 404
        rebound = {"host": f"evil.example:{urlsplit(address).port}"}
        assert (await run.client.get(f"{address}?code=junk", headers=rebound)).status_code == 404
        await run.decide("approve")
        assert {(await run.key()).reveal()} == provider.openrouter.keys
        assert len(run.exchanges()) == 1


async def test_cancelling(provider: Provider) -> None:
    """A cancel closes the listener, and the browser that comes later finds nobody; nothing is exchanged."""
    async with signing_in(provider) as run:
        await asyncio.wait_for(run.opened, DEADLINE)
        run.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run.task
        with pytest.raises(httpx.ConnectError):
            await run.decide("approve")
        assert not run.exchanges()


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        ({"status": 403, "body": {"error": {"message": "Invalid code"}}}, Kind.LOGIN_FAILED, False),
        ({"status": 503}, Kind.LOGIN_FAILED, True),
        ({"html": True}, Kind.LOGIN_FAILED, False),
        ({"redirect": "http://127.0.0.1:9/"}, Kind.LOGIN_FAILED, False),
        ({"cut": -1}, Kind.NETWORK, True),
    ],
)
async def test_a_key_endpoint_that_fails(
    provider: Provider, fault: dict[str, Any], kind: Kind, *, retryable: bool
) -> None:
    """No key comes of it, and the problem says which way, without the code."""
    provider.fault("keys", **fault)
    async with signing_in(provider) as run:
        await run.decide("approve")
        with pytest.raises(Problem) as caught:
            await run.key()
        assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
        (sent,) = run.exchanges()
        assert sent["json"]["code"] not in caught.value.message


async def test_without_anybody_at_the_door(provider: Provider) -> None:
    """A drive that can neither open a page nor listen ends as a sign-in that nobody came back from."""
    ports: Any = None
    flow = code_flow(CodeServer(provider.base_url), VERIFIER, "state", CALLBACK)
    with pytest.raises(Problem) as caught:
        await drive(flow, ports)
    assert caught.value.kind is Kind.LOGIN_EXPIRED


async def test_a_post_of_json(provider: Provider) -> None:
    """The body arrives as it is, the answer's status and JSON come back, and the time is bounded."""
    http = HttpAdapter(Settings(), {})
    post = partial(PostJson, f"{provider.base_url}/api/v1/auth/keys", {"code": "ü\r\n", "more": ""})
    try:
        reply = await http.post_json(post(DEADLINE))
        assert isinstance(reply, Reply)
        assert (reply.status, reply.json["error"]["code"]) == (400, 400)
        assert provider.log[-1]["json"] == {"code": "ü\r\n", "more": ""}
        provider.fault("keys", delay=DEADLINE)
        late = await http.post_json(post(0.05))
        assert isinstance(late, NoReply)
        assert late.cause is Cause.TIMEOUT
    finally:
        await http.aclose()
