"""The cached sign-in: kept as Qwen Code keeps it, refreshed once, shared under both locks, never lost."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from scene import QWEN, chat
from wire import RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Json, Scene

PAST = 1_000_000_000_000  # epoch milliseconds, in 2001
STALE = 36.0  # seconds; Qwen Code breaks a lock after 35


def mode_of(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def bearers(scene: Scene) -> list[str]:
    """The access tokens that chat was asked with, in order."""
    return [entry["authorization"].removeprefix("Bearer ") for entry in scene.requests("chat")]


def read(scene: Scene) -> Json:
    """The cache's fields."""
    fields: Json = json.loads(scene.cache.read_bytes())
    return fields


async def test_a_sign_in_is_kept_as_qwen_code_keeps_it_and_serves_the_next_server(scene: Scene) -> None:
    """0600 in a 0700 folder, expiry in milliseconds; a server killed and started again asks for nothing."""
    umask = os.umask(0)
    try:
        first = await scene.start(scene.folder())
    finally:
        os.umask(umask)
    before = time.time()
    await scene.sign_in(first)
    fields = read(scene)
    (granted,) = [e for e in scene.requests("token") if e["status"] == 200]
    assert granted["form"]["grant_type"].endswith(":device_code")
    assert set(fields) == {"access_token", "refresh_token", "token_type", "resource_url", "expiry_date"}
    assert (fields["token_type"], fields["resource_url"]) == ("Bearer", f"{scene.provider.base_url}/v1")
    assert before + 3600 <= fields["expiry_date"] / 1000 <= time.time() + 3600
    assert (mode_of(scene.cache), mode_of(scene.cache.parent)) == (0o600, 0o700)
    assert (mode_of(scene.state), mode_of(scene.state.parent)) == (0o600, 0o700)
    assert sorted(path.name for path in scene.cache.parent.iterdir()) == ["oauth_creds.json"]

    first.process.kill()
    await first.process.wait()
    asked = len(scene.requests("device")), len(scene.requests("token"))
    second = await scene.start(scene.folder())
    assert (await second.command("qwen.auth.status"))["signedIn"] is True
    assert (await chat(second))["stopReason"] == "end_turn"
    assert (len(scene.requests("device")), len(scene.requests("token"))) == asked
    assert bearers(scene)[-1] == fields["access_token"]


async def test_a_sign_in_that_cannot_be_kept_is_none(scene: Scene) -> None:
    """It fails, names the file and what to do, and nothing is chosen; nobody is told of a success."""
    scene.cache.mkdir(parents=True)
    client = await scene.start(scene.folder())
    with pytest.raises(RpcError) as failed:
        await scene.sign_in(client)
    assert f"could not be saved: Is a directory ({scene.cache})" in failed.value.message
    assert "sign in again" in failed.value.data["remedy"]
    assert (await client.command("qwen.auth.status"))["signedIn"] is False
    assert not scene.state.exists()


async def test_an_expired_token_is_refreshed_once_for_twenty_chats_and_rotates(scene: Scene) -> None:
    """One refresh, which keeps unknown fields and an omitted resource_url; the next uses the new token."""
    old = scene.write_cache(expires_in=-60, future_field={"kept": [1, 2]})
    scene.provider.configure(resource_url=None)
    client = await scene.start(scene.folder())
    answers = await asyncio.gather(*(chat(client) for _ in range(20)))
    assert {answer["stopReason"] for answer in answers} == {"end_turn"}
    (refresh,) = scene.requests("token")
    assert refresh["form"] == {
        "grant_type": "refresh_token",
        "refresh_token": old["refresh_token"],
        "client_id": scene.provider.settings.client_id,
    }
    new = read(scene)
    assert set(bearers(scene)) == {new["access_token"]} != {old["access_token"]}
    assert new["refresh_token"] != old["refresh_token"]
    assert (new["future_field"], new["resource_url"]) == ({"kept": [1, 2]}, old["resource_url"])
    assert mode_of(scene.cache) == 0o600

    scene.edit_cache(expiry_date=PAST)
    await chat(client)
    assert [e["form"]["refresh_token"] for e in scene.requests("token")] == [
        old["refresh_token"],
        new["refresh_token"],
    ]
    assert scene.statuses("token") == [200, 200]


async def test_a_token_that_is_about_to_run_out_is_refreshed_ahead(scene: Scene) -> None:
    """With a fifth of its lifetime left it is renewed; if that fails, what is left of it serves on."""
    scene.write_cache(expires_in=100)
    written = time.time() - 900
    os.utime(scene.cache, (written, written))  # a lifetime of 1,000 s: due at 200 s before the end
    client = await scene.start()
    scene.provider.fault("token", status=503)
    await chat(client)
    assert scene.statuses("token") == [503]
    scene.provider.faults.clear()
    await chat(client)
    assert scene.statuses("token") == [503, 200]
    await chat(client)
    assert scene.statuses("token") == [503, 200]


async def test_a_token_from_somebody_else_is_adopted_without_a_request(scene: Scene) -> None:
    """What Qwen Code writes is used from the next message on."""
    first = scene.write_cache()
    client = await scene.start()
    await chat(client)
    second = scene.write_cache()
    await chat(client)
    assert bearers(scene) == [first["access_token"], second["access_token"]]
    assert scene.requests("token") == []


async def test_a_401_from_chat_is_one_refresh_and_one_retry(scene: Scene) -> None:
    """A token revoked early is renewed once; a chat that goes on refusing is told of, not asked again."""
    scene.write_cache()
    client = await scene.start()
    scene.provider.oauth.expire_tokens()
    assert (await chat(client))["stopReason"] == "end_turn"
    assert (scene.statuses("chat"), scene.statuses("token")) == ([401, 200], [200])

    scene.provider.fault("chat", status=401)
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "free-tier-closed"
    assert scene.statuses("chat") == [401, 200, 401, 401]
    assert scene.statuses("token") == [200, 200]


async def test_invalid_grant_is_signed_out_and_the_file_stays(scene: Scene) -> None:
    """A revoked sign-in says so, names the file, and leaves it byte for byte."""
    scene.write_cache(expires_in=-60)
    scene.provider.oauth.revoke_tokens()
    before = scene.cache.read_bytes()
    client = await scene.start()
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "signed-out"
    assert str(scene.cache) in failed.value.message
    assert scene.cache.read_bytes() == before
    assert scene.statuses("token") == [400]
    assert not scene.lock.exists()


async def test_invalid_grant_adopts_what_somebody_else_writes_in_the_next_two_seconds(scene: Scene) -> None:
    """Whoever refreshed first with the same token has a new one: it is used."""
    scene.write_cache(expires_in=-60)
    scene.provider.oauth.revoke_tokens()
    client = await scene.start()
    answer = asyncio.ensure_future(chat(client))
    await scene.provider.wait_for(lambda entry: entry["route"] == "token" and entry["status"] == 400, 5)
    newer = scene.write_cache()
    assert (await answer)["stopReason"] == "end_turn"
    assert bearers(scene) == [newer["access_token"]]


# --- Qwen Code's lock --------------------------------------------------------------------------------


async def test_a_fresh_lock_of_qwen_code_is_waited_for(scene: Scene) -> None:
    """Nothing is asked while it stands; a token written under it is adopted when it has gone."""
    scene.write_cache(expires_in=-60)
    scene.lock.write_text(str(uuid.uuid4()))
    client = await scene.start()
    answer = asyncio.ensure_future(chat(client))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(answer), 0.6)
    assert scene.requests("token") == []
    newer = scene.write_cache()
    scene.lock.unlink()
    assert (await answer)["stopReason"] == "end_turn"
    assert (scene.requests("token"), bearers(scene)) == ([], [newer["access_token"]])


async def test_a_sign_in_that_waits_for_the_lock_can_be_cancelled(scene: Scene) -> None:
    """It ends while the lock still stands, which may be for 35 s more, and keeps nothing."""
    scene.cache.parent.mkdir(parents=True)
    scene.lock.write_text(str(uuid.uuid4()))
    client = await scene.start(scene.folder())
    signing_in = asyncio.ensure_future(scene.sign_in(client))
    await scene.provider.wait_for(lambda entry: entry["route"] == "chat" and entry["status"] == 200, 10)
    assert await client.command("qwen.auth.cancel") == {"cancelled": True}
    with pytest.raises(RpcError) as failed:
        await asyncio.wait_for(signing_in, 10)
    assert failed.value.kind == "login-cancelled"
    assert scene.lock.exists()
    assert not scene.cache.exists()
    assert not scene.state.exists()


@pytest.mark.parametrize("age", [STALE, -STALE], ids=["36 s old", "from the future"])
async def test_a_stale_lock_is_broken(scene: Scene, age: float) -> None:
    """A lock that nobody can be holding any more goes at once, and leaves no litter."""
    scene.write_cache(expires_in=-60)
    scene.lock.write_text(str(uuid.uuid4()))
    then = time.time() - age
    os.utime(scene.lock, (then, then))
    client = await scene.start()
    assert (await asyncio.wait_for(chat(client), 3))["stopReason"] == "end_turn"
    assert [path.name for path in scene.cache.parent.iterdir()] == ["oauth_creds.json"]


async def test_the_lock_of_a_dead_run_of_ours_goes_at_once(scene: Scene) -> None:
    """Its uuid stands beside our own lock, so that a crash costs no 35 s; another's is left to stand."""
    scene.write_cache(expires_in=-60)
    ours = str(uuid.uuid4())
    scene.lock.write_text(ours)
    recorded = scene.state.parent / "oauth.lock.last"
    recorded.parent.mkdir(parents=True)
    recorded.write_text(ours)
    client = await scene.start()
    assert (await asyncio.wait_for(chat(client), 3))["stopReason"] == "end_turn"
    assert not scene.lock.exists()


async def test_a_lock_that_is_not_ours_any_more_is_not_removed(scene: Scene) -> None:
    """Qwen Code removes locks at its exit, whoever owns them: one that it made since is left alone."""
    scene.write_cache(expires_in=-60)
    client = await scene.start()
    scene.provider.fault("token", delay=0.5)
    answer = asyncio.ensure_future(chat(client))
    await scene.provider.wait_for(lambda entry: entry["route"] == "token", 5)
    assert mode_of(scene.lock) == 0o600
    scene.lock.write_text("somebody-else's")
    assert (await answer)["stopReason"] == "end_turn"
    assert scene.lock.read_text() == "somebody-else's"


# --- signing out -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen_for", "target"), [("workspaceFolder", None), ("user", None), ("workspaceFolder", "user")]
)
async def test_logout_removes_the_cache_and_says_what_still_applies(
    scene: Scene, chosen_for: str, target: str | None
) -> None:
    """The file goes, under the lock, and the choice wherever it was made; what still applies is mentioned."""
    scene.write_cache()
    key = "sk-a-key-of-the-environment"
    scene.provider.configure(keys=[key])
    variables = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"{scene.provider.base_url}/v1"}
    client = await scene.start(scene.folder(), env=variables)
    await client.command("qwen.auth.switch", method=QWEN, target=chosen_for)
    scene.lock.write_text(str(uuid.uuid4()))
    going = asyncio.ensure_future(client.command("qwen.auth.logout", method=QWEN, target=target))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(going), 0.3)
    assert scene.cache.exists()
    scene.lock.unlink()
    gone = await going
    assert gone["removed"] is True
    assert not scene.cache.exists()
    assert "Qwen Code" in gone["message"]
    assert "environment variable OPENAI_API_KEY" in gone["message"]
    assert (gone["status"]["method"], gone["status"]["signedIn"]) == ("api-key", True)
    assert (await client.command("qwen.auth.logout", method=QWEN))["removed"] is False


async def test_a_cache_that_names_a_foreign_host_is_not_used(scene: Scene) -> None:
    """`resource_url` may be Qwen's, the catalogue's or the issuer's host; no request goes anywhere else."""
    scene.write_cache(resource_url="https://portal.qwen.ai.example/v1")
    client = await scene.start()
    await client.command("qwen.auth.switch", method=QWEN, target="user")
    status = await client.command("qwen.auth.status")
    assert (status["signedIn"], status["error"]["kind"]) == (False, "signed-out")
    assert "portal.qwen.ai.example" in status["message"]
    with pytest.raises(RpcError):
        await chat(client)
    assert scene.provider.log == []
