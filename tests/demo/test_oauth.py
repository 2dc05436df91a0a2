from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from demo.signing_in import CHALLENGE, VERIFIER, models_status, poll, refresh, sign_in, start

if TYPE_CHECKING:
    import httpx

    from qwen_ls.demo.provider import Provider


def test_the_vector_of_the_rfc_is_what_these_tests_send() -> None:
    """The challenge that all tests here use is the S256 of their verifier."""
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == CHALLENGE


async def test_a_sign_in_through_the_page_gives_tokens_that_chat_accepts(
    provider: Provider, client: httpx.AsyncClient
) -> None:
    """Pending until the person presses Approve on the page; then tokens, once."""
    device = await start(client)
    assert device["http"] == 200
    assert device["verification_uri"] == f"{provider.base_url}/authorize"
    assert "interval" not in device
    assert (await poll(client, device["device_code"]))["error"] == "authorization_pending"

    page = await client.get(device["verification_uri_complete"])
    assert page.status_code == 200
    assert device["user_code"] in page.text
    assert "http://" not in page.text.replace(provider.base_url, "")
    assert "<script" not in page.text
    decided = await client.post(
        "/authorize", data={"user_code": device["user_code"].lower(), "decision": "approve"}
    )
    assert "You are signed in" in decided.text

    tokens = await poll(client, device["device_code"])
    assert tokens["http"] == 200
    assert (tokens["status"], tokens["token_type"], tokens["expires_in"]) == ("success", "Bearer", 3600)
    assert tokens["resource_url"] == f"{provider.base_url}/v1"
    assert await models_status(client, tokens["access_token"]) == 200
    assert provider.log[-1]["credential"] == "oauth"
    assert (await poll(client, device["device_code"]))["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": ""}, "invalid_request"),
        ({"client_id": "somebody-else"}, "invalid_client"),
    ],
)
async def test_a_wrong_device_request_is_refused(
    client: httpx.AsyncClient, changes: dict[str, str], error: str
) -> None:
    """Each missing or wrong parameter is a 400 in the form of RFC 6749."""
    answer = await start(client, **changes)
    assert (answer["http"], answer["error"]) == (400, error)


async def test_another_verifier_gets_nothing(provider: Provider, client: httpx.AsyncClient) -> None:
    """PKCE is enforced, and the right client may still go on."""
    device = await start(client)
    provider.approve(device["user_code"])
    wrong = await poll(client, device["device_code"], "x" * 43)
    assert (wrong["http"], wrong["error"]) == (400, "invalid_grant")
    assert "access_token" in await poll(client, device["device_code"])


async def test_denied(provider: Provider, client: httpx.AsyncClient) -> None:
    """Deny on the page ends the sign-in with access_denied."""
    device = await start(client)
    answer = await client.post("/authorize", data={"user_code": device["user_code"], "decision": "deny"})
    assert "Sign-in refused" in answer.text
    assert (await poll(client, device["device_code"]))["error"] == "access_denied"
    with pytest.raises(LookupError):
        provider.approve(device["user_code"])


async def test_expired(provider: Provider, client: httpx.AsyncClient) -> None:
    """An expired device code is refused at the token endpoint and on the page."""
    device = await start(client)
    provider.oauth.expire_devices()
    assert (await poll(client, device["device_code"]))["error"] == "expired_token"
    assert (await client.get(device["verification_uri_complete"])).status_code == 410


@pytest.mark.parametrize("status", [400, 429])
async def test_slow_down_on_request(provider: Provider, client: httpx.AsyncClient, status: int) -> None:
    """The asked number of polls is slowed down, with either status."""
    provider.configure(slow_down_status=status)
    device = await start(client)
    provider.oauth.slow_down(2)
    answers = [await poll(client, device["device_code"]) for _ in range(3)]
    assert [answer["error"] for answer in answers] == ["slow_down", "slow_down", "authorization_pending"]
    assert answers[0]["http"] == status


async def test_slow_down_by_the_clock(provider: Provider, client: httpx.AsyncClient) -> None:
    """With the interval enforced, a second poll at once is too soon."""
    provider.configure(enforce_interval=True, interval=5)
    device = await start(client)
    assert device["interval"] == 5
    assert (await poll(client, device["device_code"]))["error"] == "authorization_pending"
    assert (await poll(client, device["device_code"]))["error"] == "slow_down"


async def test_an_unknown_code_has_its_page(client: httpx.AsyncClient) -> None:
    """A code that was never given out is a 404 page and is not echoed as markup; none asks for one."""
    answer = await client.get("/authorize", params={"user_code": "<b>"})
    assert answer.status_code == 404
    assert "<b>" not in answer.text
    assert 'name="user_code"' in (await client.get("/authorize")).text


async def test_each_refresh_token_works_once(provider: Provider, client: httpx.AsyncClient) -> None:
    """Rotation gives a new refresh token each time; using an old one again revokes the whole sign-in."""
    first = await sign_in(provider, client)
    second = await refresh(client, first["refresh_token"])
    assert second["http"] == 200
    third = await refresh(client, second["refresh_token"])
    assert await models_status(client, third["access_token"]) == 200

    assert (await refresh(client, first["refresh_token"]))["error"] == "invalid_grant"
    assert (await refresh(client, third["refresh_token"]))["error"] == "invalid_grant"
    assert await models_status(client, third["access_token"]) == 401


async def test_without_rotation_the_answer_names_no_refresh_token(
    provider: Provider, client: httpx.AsyncClient
) -> None:
    """A provider that keeps its refresh tokens leaves them out of its answers, and the old one stays good."""
    provider.configure(rotate=False, resource_url=None)
    tokens = await sign_in(provider, client)
    for _ in range(2):
        answer = await refresh(client, tokens["refresh_token"])
        assert answer["http"] == 200
        assert not {"refresh_token", "resource_url"} & answer.keys()


async def test_tokens_end(provider: Provider, client: httpx.AsyncClient) -> None:
    """Access tokens expire by time or on request and can be refreshed; revoked sign-ins can not."""
    tokens = await sign_in(provider, client)
    provider.oauth.expire_tokens()
    assert await models_status(client, tokens["access_token"]) == 401
    provider.configure(expires_in=0)
    tokens = await refresh(client, tokens["refresh_token"])
    assert await models_status(client, tokens["access_token"]) == 401
    provider.configure(expires_in=60, refresh_expires_in=0)
    tokens = await refresh(client, tokens["refresh_token"])
    assert await models_status(client, tokens["access_token"]) == 200
    assert (await refresh(client, tokens["refresh_token"]))["error"] == "invalid_grant"
    provider.oauth.revoke_tokens()
    assert await models_status(client, tokens["access_token"]) == 401
