"""Sign-in servers of the user's own (`oauthServers`): the device flow at endpoints that settings name."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from qwen_ls.demo.provider import Provider
from scene import QWEN, chat
from wire import CAPABILITIES, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from scene import Scene
    from wire import Client

CORP = "oauth:corp"
CLIENT_ID = "the-client-of-corp"
SHOW, ASK = "window/showDocument", "window/showMessageRequest"
LOGIN, TWIN = "qwen.auth.login", "qwen/auth/login"
DEVICE_PATH, TOKEN_PATH = "/api/v1/oauth2/device/code", "/api/v1/oauth2/token"
KEY = canary("test_own_servers: key of the file")
PASSWORD = canary("test_own_servers: password of the proxy")
OURS = {**CAPABILITIES, "experimental": {"qwen": {"userSettings": True}}}


@pytest.fixture
async def corp() -> AsyncIterator[Provider]:
    """A server that is not Qwen's: another client, no `resource_url`."""
    async with Provider(interval=1, client_id=CLIENT_ID, resource_url=None, auto_approve=True) as provider:
        yield provider


def described(corp: Provider, **changes: Any) -> dict[str, Any]:
    """The server as a setting."""
    return {
        "deviceEndpoint": corp.base_url + DEVICE_PATH,
        "tokenEndpoint": corp.base_url + TOKEN_PATH,
        "clientId": CLIENT_ID,
        "scope": "chat",
        "chatBaseUrl": f"{corp.base_url}/v1",
        **changes,
    }


def folder_of(scene: Scene, name: str = "corp") -> Path:
    """Where the tokens of a server are kept."""
    return scene.state.with_name("oauth") / name


async def start(scene: Scene, corp: Provider, **changes: Any) -> Client:
    """A server for one folder, with `corp` in the user's settings."""
    scene.settings(oauthServers={"corp": described(corp, **changes)})
    return await scene.start(scene.folder())


async def sign_in(client: Client, **argument: Any) -> Any:
    """A whole sign-in; the result of its end."""
    return await client.request(TWIN, {"method": CORP, **argument})


def requests(provider: Provider, route: str) -> list[Any]:
    """The provider's log of one route."""
    return [entry for entry in provider.log if entry["route"] == route]


# --- signing in -------------------------------------------------------------------------------------------


async def test_signing_in_at_a_server_of_ones_own(scene: Scene, corp: Provider) -> None:
    """Its endpoints, client, scope and chat URL are used; Qwen's server hears nothing."""
    client = await start(scene, corp)
    result = await sign_in(client)
    assert (result["method"], result["done"], result["checked"]) == (CORP, True, True)
    assert result["message"] == f"Signed in to {CORP}"
    assert result["status"]["method"] == CORP
    assert result["status"]["baseUrl"] == f"{corp.base_url}/v1"
    (device,) = requests(corp, "device")
    assert (device["form"]["client_id"], device["form"]["scope"]) == (CLIENT_ID, "chat")
    (shown,) = (m["params"] for m in client.asked if m["method"] == SHOW)
    assert shown["uri"].startswith(f"{corp.base_url}/authorize?")
    await chat(client)
    assert [e["status"] for e in requests(corp, "chat")] == [200, 200]  # the check, and the message
    assert scene.provider.log == []
    assert not scene.cache.exists()


async def test_the_token_is_kept_in_private(scene: Scene, corp: Provider) -> None:
    """In the state folder, readable by the user alone; nothing of it crosses the wire."""
    client = await start(scene, corp)
    await sign_in(client)
    file = folder_of(scene) / "oauth_creds.json"
    fields = json.loads(file.read_bytes())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert corp.oauth.accepts(fields["access_token"])
    told = bytes(client.stdout + client.stderr).decode()
    assert fields["access_token"] not in told
    assert fields["refresh_token"] not in told
    assert not (file.parent / "oauth_creds.lock").exists()


async def test_a_sign_in_outlives_the_server(scene: Scene, corp: Provider) -> None:
    """Started again it asks for nothing; a token that has run out is renewed at the same endpoint, once."""
    client = await start(scene, corp)
    await sign_in(client)
    await client.end()
    file = folder_of(scene) / "oauth_creds.json"
    first = json.loads(file.read_bytes())
    file.write_text(json.dumps({**first, "expiry_date": 1_000}), encoding="utf-8")
    again = await start(scene, corp)
    await chat(again)
    assert len(requests(corp, "device")) == 1
    (renewal,) = (e for e in requests(corp, "token") if e["form"]["grant_type"] == "refresh_token")
    assert (renewal["status"], renewal["form"]["client_id"]) == (200, CLIENT_ID)
    renewed = json.loads(file.read_bytes())
    assert renewed["access_token"] != first["access_token"]
    assert corp.oauth.accepts(renewed["access_token"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_token_refused_early_is_renewed(scene: Scene, corp: Provider) -> None:
    """A token that its server has ended early is renewed once, for models as in chat."""
    client = await start(scene, corp)
    await sign_in(client)
    for ask in (chat(client), chat(client, model="coder-model"), client.command("qwen.models.list")):
        corp.oauth.expire_tokens()
        await ask
    assert sum(e["form"]["grant_type"] == "refresh_token" for e in requests(corp, "token")) == 3


async def test_a_revoked_sign_in_names_its_own_method(scene: Scene, corp: Provider) -> None:
    """The error says whose sign-in has ended, and its button begins that one again."""
    client = await start(scene, corp)
    await sign_in(client)
    corp.oauth.revoke_tokens()
    with pytest.raises(RpcError) as ended:
        await chat(client)
    assert ended.value.kind == "signed-out"
    assert CORP in ended.value.message
    assert "Qwen" not in ended.value.message
    button = ended.value.data["actions"][0]
    assert (button["command"], button["argument"]) == (LOGIN, {"method": CORP})


async def test_a_rejected_sign_in_is_not_kept(scene: Scene, corp: Provider) -> None:
    """If the chat server refuses the token, nothing is written and nothing is chosen."""
    client = await start(scene, corp)
    corp.fault("chat", status=403, body={"error": {"message": "no seat"}})
    with pytest.raises(RpcError) as rejected:
        await sign_in(client)
    assert rejected.value.kind == "key-rejected"
    assert "no seat" in rejected.value.message
    assert not folder_of(scene).exists() or not list(folder_of(scene).glob("*.json"))
    assert (await client.command("qwen.auth.status")).get("method") is None


async def test_a_page_elsewhere_needs_a_verification_origin(scene: Scene, corp: Provider) -> None:
    """The sign-in page may lie on the device endpoint's origin or on one of the list, and nowhere else."""
    page = "https://login.example/device"
    corp.configure(verification_uri=page)
    client = await start(scene, corp)
    with pytest.raises(RpcError) as refused:
        await sign_in(client)
    assert refused.value.kind == "login-failed"
    assert "https://login.example" in refused.value.message
    assert not [m for m in client.asked if m["method"] in {SHOW, ASK}]
    await client.end()
    allowed = await start(scene, corp, verificationOrigins=["https://login.example"])
    assert (await sign_in(allowed))["done"]
    (shown,) = (m["params"] for m in allowed.asked if m["method"] == SHOW)
    assert shown["uri"].startswith(page)


async def test_chat_goes_where_the_setting_says(scene: Scene, corp: Provider) -> None:
    """`chatBaseUrl` wins over a `resource_url` in the token's answer."""
    corp.configure(resource_url="https://elsewhere.example/v1")
    client = await start(scene, corp, chatBaseUrl=f"{corp.base_url}/v1/")
    result = await sign_in(client)
    assert result["status"]["baseUrl"] == f"{corp.base_url}/v1"
    await chat(client)
    assert requests(corp, "chat")[-1]["status"] == 200


# --- beside other methods ---------------------------------------------------------------------------------


async def test_switching_and_logging_out(scene: Scene, corp: Provider) -> None:
    """It is a method like any other: to a key and back without a new sign-in, and logged out it says so."""
    scene.provider.configure(keys=[KEY])
    scene.settings(oauthServers={"corp": described(corp)})
    client = await scene.start(scene.folder(env_file=scene.pair(KEY)))
    await sign_in(client)
    await client.command("qwen.auth.switch", method="api-key")
    await chat(client)
    assert [e["status"] for e in scene.requests("chat")] == [200]
    back = await client.command("qwen.auth.switch", method=CORP)
    assert (back["status"]["method"], back["status"]["signedIn"]) == (CORP, True)
    await chat(client)
    assert len(requests(corp, "chat")) == 2
    out = await client.command("qwen.auth.logout", method=CORP)
    assert out["removed"] is True
    assert out["message"].startswith(f"Signed out of {CORP}; still in force: api-key")
    assert not (folder_of(scene) / "oauth_creds.json").exists()
    assert (await client.command("qwen.auth.logout", method=CORP))["removed"] is False
    chosen = await client.command("qwen.auth.switch", method=CORP)
    assert chosen["status"]["error"]["kind"] == "signed-out"
    assert CORP in chosen["status"]["message"]
    assert len(requests(corp, "device")) == 1


async def test_two_servers_and_qwen_side_by_side(scene: Scene, corp: Provider) -> None:
    """Each has tokens of its own; signing out of one leaves the others."""
    scene.settings(oauthServers={"corp": described(corp), "lab-2": described(corp)})
    client = await scene.start(scene.folder())
    await sign_in(client)
    await sign_in(client, method="oauth:lab-2")
    await scene.sign_in(client)
    files = [
        folder_of(scene) / "oauth_creds.json",
        folder_of(scene, "lab-2") / "oauth_creds.json",
        scene.cache,
    ]
    assert len({json.loads(f.read_bytes())["access_token"] for f in files}) == len(files)
    await client.command("qwen.auth.logout", method=CORP)
    assert [f.exists() for f in files] == [False, True, True]
    explained = await client.command("qwen.auth.explain")
    found = {r["method"]: r["outcome"] for r in explained["rungs"] if r["method"] != "api-key"}
    assert found == {QWEN: "active", CORP: "absent", "oauth:lab-2": "outranked"}


async def test_it_is_offered_where_a_method_is_asked_for(scene: Scene, corp: Provider) -> None:
    """Without a method, the question lists the user's own servers beside Qwen and the key."""
    client = await start(scene, corp)
    client.on(ASK, lambda _: {"title": CORP})
    result = await client.request(TWIN, {})
    assert result["method"] == CORP
    (asked,) = (m["params"] for m in client.asked if m["method"] == ASK)
    assert {"Qwen account", CORP, "API key", "Cancel"} <= {a["title"] for a in asked["actions"]}


async def test_signed_out_of_it_that_way_in_is_offered(scene: Scene, corp: Provider) -> None:
    """A message offers the chosen server, not another, and goes on with its token."""
    client = await start(scene, corp)
    await client.command("qwen.auth.switch", method=CORP)
    questions: list[Any] = []

    def answer(params: Any) -> Any:
        questions.append([action["title"] for action in params["actions"]])
        return {"title": f"Sign in with {CORP}"}

    client.on(ASK, answer)
    client.on(SHOW, lambda _: {"success": True})
    result = await client.command("qwen.chat.send", text="hello", model="coder-model", wait=True)
    assert result["stopReason"] == "end_turn"
    assert questions == [[f"Sign in with {CORP}", "Sign in with OpenRouter", "Not now"]]


@pytest.mark.parametrize("command", [LOGIN, "qwen.auth.switch", "qwen.auth.logout"])
async def test_an_unknown_name(scene: Scene, corp: Provider, command: str) -> None:
    """It is refused and not repeated, since it may be a key; the remedy lists the servers there are."""
    client = await start(scene, corp)
    with pytest.raises(RpcError) as refused:
        await client.command(command, method=KEY)
    assert refused.value.kind == "not-supported"
    assert KEY.encode() not in client.stdout + client.stderr
    assert CORP in refused.value.data["remedy"]


async def test_a_server_that_is_no_longer_set(scene: Scene, corp: Provider) -> None:
    """A choice that outlived its setting is named; nothing else signs in its place."""
    scene.provider.configure(keys=[KEY])
    client = await start(scene, corp)
    await sign_in(client)
    await client.end()
    scene.settings()
    again = await scene.start(scene.folder(env_file=scene.pair(KEY)))
    with pytest.raises(RpcError) as refused:
        await chat(again)
    assert refused.value.kind == "signed-out"
    assert CORP in refused.value.message
    assert scene.requests("chat") == []


# --- settings ---------------------------------------------------------------------------------------------


async def test_bad_settings_are_reported(scene: Scene, corp: Provider) -> None:
    """Each bad server is passed over and named in the doctor's report; a good one beside it works."""
    bad = {
        "no-token": {**described(corp), "tokenEndpoint": ""},
        "plain-http": {**described(corp), "chatBaseUrl": "http://chat.example/v1"},
        "Über": described(corp),
        "text": "https://chat.example",
    }
    scene.settings(oauthServers={**bad, "corp": described(corp)})
    client = await scene.start(scene.folder())
    facts = (await client.command("qwen.doctor"))["facts"]
    problems = facts["settings problems"]
    assert len(problems) == len(bad)
    for name, problem in zip(bad, problems, strict=True):
        assert problem.startswith(f"oauthServers.{name}: ")
    assert (await sign_in(client))["done"]


async def test_a_client_with_user_settings_may_bring_its_own(scene: Scene, corp: Provider) -> None:
    """`initializationOptions.user` counts from a client that declares `userSettings`."""
    options = {"user": {"oauthServers": {"corp": described(corp)}}}
    client = await scene.start(scene.folder(), capabilities=OURS, options=options)
    assert (await sign_in(client))["done"]


async def test_other_clients_may_not(scene: Scene, corp: Provider) -> None:
    """From any other client it may be the repository's word: there is no such method."""
    options = {"user": {"oauthServers": {"corp": described(corp)}}}
    client = await scene.start(scene.folder(), options=options)
    with pytest.raises(RpcError) as refused:
        await sign_in(client)
    assert refused.value.kind == "not-supported"
    assert corp.log == []


async def test_the_doctor_names_what_is_in_force(scene: Scene, corp: Provider) -> None:
    """Sign-in servers, keyring, proxies without their password, and CAs; no token, no key."""
    ca_file = scene.root / "corp.pem"
    proxy = f"http://me:{PASSWORD}@first.example:3128"
    scene.settings(oauthServers={"corp": described(corp)}, proxy=proxy, caFile=str(ca_file))
    environment = {
        "HTTPS_PROXY": f"http://me:{PASSWORD}@proxy.example:3128",
        "NO_PROXY": "localhost",
        "SSL_CERT_FILE": str(scene.root / "process.pem"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    client = await scene.start(scene.folder(env_file=scene.pair(KEY)), env=environment)
    report = await client.command("qwen.doctor")
    facts = report["facts"]
    assert facts["sign-in servers"] == [f"{QWEN}: {scene.provider.base_url}", f"{CORP}: {corp.base_url}"]
    assert facts["network"] == {
        "the setting proxy": "http://***@first.example:3128",
        "the setting caFile": str(ca_file),
        "HTTPS_PROXY": "http://***@proxy.example:3128",
        "NO_PROXY": "localhost",
        "SSL_CERT_FILE": str(scene.root / "process.pem"),
    }
    assert "null" in facts["keyring"]
    for name in ("sign-in servers", "keyring", "network"):
        assert f"- {name}: " in report["markdown"]
    told = client.stdout.decode()
    assert PASSWORD not in told
    assert KEY not in told
