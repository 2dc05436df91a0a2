"""The quota in `status`: requests of this run where limits are known, and the provider's own rate headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from raw_http import answer_of, raw_server
from scene import chat
from wire import RpcError, uri

if TYPE_CHECKING:
    from scene import Scene
    from wire import Client

KEY, OTHER = canary("test_quota: key"), canary("test_quota: another key")
LIMITS = {"minuteLimit": 60, "dayLimit": 2000}


async def quota(client: Client, **argument: Any) -> Any:
    """The quota in the status."""
    return (await client.command("qwen.auth.status", **argument)).get("quota")


def used(minute: int, today: int, **headers: str) -> dict[str, Any]:
    """A quota as it stands on the wire."""
    return {"requestsThisMinute": minute, "requestsToday": today, **LIMITS, "headers": headers}


async def test_requests_of_a_qwen_sign_in_are_counted(scene: Scene) -> None:
    """Each request for an answer counts, refused ones and the sign-in's check too; lists of models do not."""
    client = await scene.start(scene.folder())
    await scene.sign_in(client)
    assert await quota(client) == used(1, 1)
    await chat(client)
    await client.command("qwen.models.list")
    assert await quota(client) == used(2, 2)
    scene.provider.fault("chat", times=1, status=400, body={"error": {"message": "no"}})
    with pytest.raises(RpcError):
        await chat(client)
    assert await quota(client) == used(3, 3)


async def test_the_meter_is_of_this_run(scene: Scene) -> None:
    """A server that is started again begins at nothing: no file remembers the count."""
    scene.write_cache()
    folder = scene.folder()
    client = await scene.start(folder)
    await chat(client)
    assert await quota(client) == used(1, 1)
    await client.end()
    assert await quota(await scene.start(folder)) == used(0, 0)


async def test_the_status_is_told_with_its_quota(scene: Scene) -> None:
    """After an answer the notification brings the new count, unasked."""
    scene.write_cache()
    client = await scene.start(scene.folder())
    await chat(client)
    told = await client.notified(
        "qwen/didChangeStatus", lambda s: s.get("quota", {}).get("requestsToday") == 1 and not s["busy"]
    )
    assert told["quota"] == used(1, 1)


async def test_a_key_has_no_known_limits(scene: Scene) -> None:
    """Nothing is counted, and without headers nothing is shown."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder(env_file=scene.pair(KEY)))
    await chat(client)
    assert await quota(client) is None


async def test_rate_headers_are_shown_as_they_come(scene: Scene) -> None:
    """The last answer's, a refusal's among them; no other header, and nothing that is not text."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder(env_file=scene.pair(KEY)))
    headers = {
        "X-RateLimit-Limit-Requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-request-id": "none of the user's business",
        "set-cookie": "a=b",
    }
    scene.provider.fault("chat", times=1, headers=headers)
    await chat(client)
    assert await quota(client) == {
        "headers": {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "99"}
    }
    empty = {"x-ratelimit-remaining-requests": "0", "retry-after": "3600"}
    scene.provider.fault("chat", times=1, status=429, headers=empty, body={"error": {"message": "slower"}})
    with pytest.raises(RpcError) as limited:
        await chat(client)
    assert limited.value.kind == "rate-limited"
    assert await quota(client) == {"headers": {"x-ratelimit-remaining-requests": "0"}}


async def test_headers_belong_to_their_provider(scene: Scene) -> None:
    """Two folders with two providers: each status shows what its own has said."""
    scene.provider.configure(keys=[KEY])
    said = answer_of({"object": "list", "data": [{"id": "m"}]}, 200, "X-RateLimit-Remaining: 7")
    async with raw_server(lambda _: said) as other:
        first = scene.folder("first", scene.pair(KEY))
        second = scene.folder("second", scene.pair(OTHER, base_url=f"{other.url}/v1"))
        client = await scene.start(first, second)
        await chat(client, uri=uri(first))
        await client.command("qwen.models.list", uri=uri(second))
        assert await quota(client, uri=uri(first)) is None
        assert await quota(client, uri=uri(second)) == {"headers": {"x-ratelimit-remaining": "7"}}
