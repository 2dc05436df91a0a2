"""The real software these tests stand on does what they take for granted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from e2e.identity_provider import DEVICE_GRANT, IdentityProvider, running_identity_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from e2e.llama import Llama
    from e2e.relay import Relay

CLIENT_ID = "f0304373b74a44d2b584a3fb70ca9e56"
SCOPE = "openid profile email model.completion"
# RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
STOP_LIMIT = 0.25  # seconds from a client's stop to a closed socket
UNENDING = 16000  # tokens: about 8 s of generation


def chat_request(model: str, max_tokens: int) -> dict[str, Any]:
    """A streaming request in OpenAI's format."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": "Say something."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": max_tokens,
    }


class Chat:
    """One streaming request over a connection of its own."""

    def __init__(self, origin: str, llama: Llama, max_tokens: int = UNENDING) -> None:
        self._client = httpx.AsyncClient(
            base_url=origin, headers={"Authorization": f"Bearer {llama.api_keys[0]}"}
        )
        self._body = chat_request(llama.alias, max_tokens)
        self.received = 0

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the stream's bytes."""
        request = self._client.stream("POST", "/v1/chat/completions", json=self._body)
        async with self._client, request as response:
            async for data in response.aiter_raw():
                self.received += len(data)
                yield data


async def test_llama_streams_words_usage_and_done(llama: Llama) -> None:
    """The model's answer comes as many deltas of words, then usage, then [DONE]."""
    stream = b"".join([data async for data in Chat(llama.origin, llama, max_tokens=40).read()])
    *chunks, last = [line[6:] for line in stream.decode().splitlines() if line.startswith("data: ")]
    events = [json.loads(chunk) for chunk in chunks]
    deltas = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
    assert last == "[DONE]"
    assert events[-1]["usage"]["completion_tokens"] == 40
    assert {event["model"] for event in events} == {llama.alias}
    assert len(list(filter(None, deltas))) >= 35
    assert "".join(deltas).replace(" ", "").isalpha()


def test_llama_refuses_a_bad_key(llama: Llama) -> None:
    """A key that it was not started with is answered by 401 and an error body."""
    reply = httpx.post(
        f"{llama.base_url}/chat/completions",
        headers={"Authorization": "Bearer none-of-them"},
        json=chat_request(llama.alias, 1),
    )
    assert (reply.status_code, reply.json()["error"]["type"]) == (401, "authentication_error")


async def test_relay_sees_a_stop_before_the_headers(llama: Llama, relay: Relay) -> None:
    """A client that leaves while the response is held back whole is seen at once, and llama.cpp stops."""
    relay.hold()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {llama.api_keys[0]}"}) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(
                f"{relay.origin}/v1/chat/completions",
                json=chat_request(llama.alias, UNENDING),
                timeout=httpx.Timeout(5, read=0.3),
            )
        await relay.stalled()
        left = time.monotonic()
    assert await relay.client_closed() - left < STOP_LIMIT
    assert relay.connections[0].bytes_down == 0
    await llama.falls_idle()


async def test_relay_sees_a_stop_in_mid_stream(llama: Llama, relay: Relay) -> None:
    """A client that leaves a paced stream is seen at once, and llama.cpp stops generating."""
    relay.max_bytes_per_second = 50_000
    chat = Chat(relay.origin, llama)
    stream = chat.read()
    while chat.received < 10_000:
        await anext(stream)
    assert llama.busy_slots() == 1
    left = time.monotonic()
    await stream.aclose()  # type: ignore[attr-defined]
    assert await relay.client_closed() - left < STOP_LIMIT
    await llama.falls_idle()


async def test_relay_sees_a_stop_while_stalled(llama: Llama, relay: Relay) -> None:
    """A client that leaves when nothing has come for a while is seen at once."""
    relay.hold(after=5000)
    chat = Chat(relay.origin, llama)
    stream = chat.read()
    while relay.connections == [] or relay.connections[0].bytes_down < 5000:
        await anext(stream)
    await relay.stalled()
    left = time.monotonic()
    await stream.aclose()  # type: ignore[attr-defined]
    assert await relay.client_closed() - left < STOP_LIMIT
    assert relay.connections[0].bytes_down == 5000
    await llama.falls_idle()


async def test_relay_makes_a_stream_last(llama: Llama, relay: Relay) -> None:
    """A paced answer takes the time its pace says, arrives whole, and goes on after a hold."""
    relay.max_bytes_per_second = 20_000
    relay.hold(after=1000)
    chat = Chat(relay.origin, llama, max_tokens=100)
    stream = chat.read()
    started = time.monotonic()
    pieces = [await anext(stream)]
    await relay.stalled()
    relay.release()
    pieces += [data async for data in stream]
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
    assert time.monotonic() - started >= chat.received / 20_000


def start_sign_in(provider: IdentityProvider) -> dict[str, Any]:
    """Ask for a device code."""
    form = {
        "client_id": CLIENT_ID,
        "scope": SCOPE,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    reply = httpx.post(provider.device_authorization_endpoint, data=form).raise_for_status()
    body: dict[str, Any] = reply.json()
    return body


def poll(provider: IdentityProvider, device_code: str, verifier: str = VERIFIER) -> dict[str, Any]:
    """Ask for the token, once."""
    form = {
        "grant_type": DEVICE_GRANT,
        "client_id": CLIENT_ID,
        "device_code": device_code,
        "code_verifier": verifier,
    }
    body: dict[str, Any] = httpx.post(provider.token_endpoint, data=form).json()
    return body


def refresh(provider: IdentityProvider, refresh_token: str) -> httpx.Response:
    """Ask for a new token in exchange."""
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": refresh_token}
    return httpx.post(provider.token_endpoint, data=form)


def test_sign_in_passes_pending_and_slow_down(identity_provider: IdentityProvider, llama: Llama) -> None:
    """One poll is pending, the next too early, and after the user's yes a token that llama.cpp takes."""
    started = start_sign_in(identity_provider)
    page = started["verification_uri_complete"]
    assert page.startswith(f"{identity_provider.base_url}/authorize?user_code=")
    assert started["user_code"] in httpx.get(page).text
    assert started["interval"] == 1
    assert poll(identity_provider, started["device_code"])["error"] == "authorization_pending"
    assert poll(identity_provider, started["device_code"])["error"] == "slow_down"
    identity_provider.decide(started["user_code"])
    token = poll(identity_provider, started["device_code"])
    assert (token["access_token"], token["token_type"]) == (llama.api_keys[1], "Bearer")
    assert (token["expires_in"], token["resource_url"]) == (3600, llama.base_url)
    reply = httpx.post(
        f"{token['resource_url']}/chat/completions",
        headers={"Authorization": f"Bearer {token['access_token']}"},
        json=chat_request(llama.alias, 1),
    )
    assert reply.status_code == 200
    assert "error" in poll(identity_provider, started["device_code"])
    assert [entry["error"] for entry in identity_provider.log(DEVICE_GRANT)] == [
        "authorization_pending",
        "slow_down",
        None,
        "invalid_request",
    ]


def test_denied_and_expired_sign_ins_end(llama: Llama) -> None:
    """The user's no and a device code past its time are the errors of RFC 8628 section 3.5."""
    with running_identity_provider(llama.base_url) as provider:
        started = start_sign_in(provider)
        provider.decide(started["user_code"], "deny")
        assert poll(provider, started["device_code"])["error"] == "access_denied"
    with running_identity_provider(llama.base_url, device_expires_in=0) as provider:
        assert poll(provider, start_sign_in(provider)["device_code"])["error"] == "expired_token"


def test_pkce_is_enforced(identity_provider: IdentityProvider) -> None:
    """A wrong or absent verifier gets no token even after the user's yes, nor an absent challenge a code."""
    started = start_sign_in(identity_provider)
    identity_provider.decide(started["user_code"])
    assert poll(identity_provider, started["device_code"], VERIFIER[::-1])["error"] == "invalid_grant"
    assert poll(identity_provider, started["device_code"], "")["error"] == "invalid_request"
    assert "access_token" in poll(identity_provider, started["device_code"])
    form = {"client_id": CLIENT_ID, "scope": SCOPE}
    assert httpx.post(identity_provider.device_authorization_endpoint, data=form).status_code == 400


def test_refresh_rotates(identity_provider: IdentityProvider, llama: Llama) -> None:
    """A refresh yields two new tokens and the resource URL; the old refresh token is worth nothing then."""
    started = start_sign_in(identity_provider)
    identity_provider.decide(started["user_code"])
    first = poll(identity_provider, started["device_code"])
    second = refresh(identity_provider, first["refresh_token"]).json()
    assert (second["access_token"], second["resource_url"]) == (llama.api_keys[2], llama.base_url)
    assert second["refresh_token"] != first["refresh_token"]
    again = refresh(identity_provider, first["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert [entry["status"] for entry in identity_provider.log("refresh_token")] == [200, 400]


def test_a_server_that_does_not_come_up_says_why(llama: Llama) -> None:
    """A child that ends at once is a failure that quotes its own words."""
    with (
        pytest.raises(RuntimeError, match="unrecognized arguments: --nonsense"),
        running_identity_provider(llama.base_url, nonsense=1),
    ):
        pass
