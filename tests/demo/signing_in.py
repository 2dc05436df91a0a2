"""A device grant, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwen_ls.demo.oauth import DEVICE_GRANT
from qwen_ls.demo.settings import QWEN_CLIENT_ID

if TYPE_CHECKING:
    import httpx

    from qwen_ls.demo.provider import Provider

KEY = "sk-canary-of-the-demo-provider-0001"
# RFC 7636, appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
DEVICE_FORM = {
    "client_id": QWEN_CLIENT_ID,
    "scope": "openid profile email model.completion",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
Json = dict[str, Any]


async def start(client: httpx.AsyncClient, **changes: str) -> Json:
    """Ask for a device code; the answer, with its status as `http`."""
    answer = await client.post("/api/v1/oauth2/device/code", data=DEVICE_FORM | changes)
    return {"http": answer.status_code, **answer.json()}


async def poll(client: httpx.AsyncClient, device_code: str, verifier: str = VERIFIER) -> Json:
    """Ask once whether the person has decided."""
    form = {
        "grant_type": DEVICE_GRANT,
        "client_id": QWEN_CLIENT_ID,
        "device_code": device_code,
        "code_verifier": verifier,
    }
    answer = await client.post("/api/v1/oauth2/token", data=form)
    return {"http": answer.status_code, **answer.json()}


async def refresh(client: httpx.AsyncClient, refresh_token: str) -> Json:
    """Redeem a refresh token."""
    form = {"grant_type": "refresh_token", "client_id": QWEN_CLIENT_ID, "refresh_token": refresh_token}
    answer = await client.post("/api/v1/oauth2/token", data=form)
    return {"http": answer.status_code, **answer.json()}


async def sign_in(provider: Provider, client: httpx.AsyncClient) -> Json:
    """Go through a whole sign-in."""
    device = await start(client)
    provider.approve(device["user_code"])
    return await poll(client, device["device_code"])


async def models_status(client: httpx.AsyncClient, token: str) -> int:
    """Return the status that an access token gets."""
    answer = await client.get("/v1/models", headers={"authorization": f"Bearer {token}"})
    return answer.status_code
