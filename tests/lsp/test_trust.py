"""Trust over LSP: which key goes where, who is asked, what is remembered, and that nothing else is sent.

`second` is the server that a project's file names. A proxy on loopback stands for hosts that are elsewhere.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from qwen_ls.demo.provider import Provider
from raw_http import RawServer, answer_of, raw_server
from scene import chat
from wire import RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scene import Scene
    from wire import Client

ASK = "window/showMessageRequest"
KEY, FILE_KEY = canary("test_trust: the user's key"), canary("test_trust: the file's key")
USE_FILE, NO = "Use the file's key and URL", "No"
TRUSTS = {"workspace": {"workspaceFolders": True}, "experimental": {"qwen": {"workspaceTrust": True}}}
ELSEWHERE = "https://llm.example/v1"


@pytest.fixture
async def second() -> AsyncIterator[Provider]:
    """A provider that would take either key."""
    async with Provider(keys=[KEY, FILE_KEY]) as provider:
        yield provider


@pytest.fixture
async def proxy() -> AsyncIterator[RawServer]:
    """A proxy that lets nobody through, and knows where they wanted to go."""
    async with raw_server(lambda _: answer_of({}, 403)) as server:
        yield server


def questions(client: Client) -> list[str]:
    """What the user has been asked."""
    return [message["params"]["message"] for message in client.asked if message["method"] == ASK]


def offered(client: Client) -> list[str]:
    """The buttons of the last question."""
    asked = [message["params"]["actions"] for message in client.asked if message["method"] == ASK]
    return [action["title"] for action in asked[-1]]


def answer(client: Client, beginning: str) -> None:
    """From now on the user presses the button whose title begins so."""
    client.on(ASK, lambda params: next(a for a in params["actions"] if a["title"].startswith(beginning)))


def bearers(provider: Provider) -> list[str | None]:
    """Who the requests to a provider say they come from."""
    return [
        entry["authorization"] and entry["authorization"].removeprefix("Bearer ") for entry in provider.log
    ]


async def refused(client: Client, **more: Any) -> RpcError:
    """The refusal to sign a message."""
    with pytest.raises(RpcError) as failed:
        await chat(client, **more)
    assert failed.value.kind == "untrusted-origin"
    assert len(failed.value.message.splitlines()) == 1
    assert KEY not in failed.value.message
    return failed.value


async def mixed(scene: Scene, second: Provider, **initialize: Any) -> Client:
    """A server with the user's key, in a folder whose `.env` names the second server alone."""
    folder = scene.folder("ws", f"OPENAI_BASE_URL={second.base_url}/v1\nOPENAI_MODEL=m\n")
    return await scene.start(folder, env={"OPENAI_API_KEY": KEY}, **initialize)


# --- a user's key and a file's URL ----------------------------------------------------------------------


async def test_nobody_to_ask_is_a_refusal(scene: Scene, second: Provider) -> None:
    """A client without questions, and a user who closes them: refused, with the way out; nothing is sent."""
    client = await mixed(scene, second)
    for _ in range(2):
        error = await refused(client)
        assert f"{scene.folder()}/.env" in error.message
        assert "--trust-project" in error.data["remedy"]
        client.on(ASK, lambda _: None)
    assert len(questions(client)) == 2  # a closed question is no answer: it comes again
    with pytest.raises(RpcError):
        await client.command("qwen.models.list")
    assert second.log == []
    assert not scene.state.exists()


async def test_nothing_is_asked_before_a_key_would_be_sent(scene: Scene, second: Provider) -> None:
    """Start-up, status, explain and switch ask nothing; the second server sees no key in a report either."""
    client = await mixed(scene, second)
    await client.notified("qwen/didChangeStatus")
    for command in ("qwen.auth.status", "qwen.auth.explain", "qwen.doctor"):
        await client.command(command)
    await client.command("qwen.auth.switch", method="api-key")
    assert questions(client) == []
    assert set(bearers(second)) <= {None}


async def test_a_yes_is_remembered_for_this_host_alone(scene: Scene, second: Provider) -> None:
    """Not across other lines of the file, nor restarts, is it asked again; another host or folder is."""
    client = await mixed(scene, second)
    answer(client, "Send my key to 127.0.0.1")
    await chat(client)
    (question,) = questions(client)
    assert f"{scene.folder()}/.env" in question
    assert f"127.0.0.1:{second.port}" in question
    assert [title.partition(":")[0] for title in offered(client)] == ["Send my key to 127.0.0.1", NO]
    file = scene.folder() / ".env"
    file.write_text(f"# another line\nOPENAI_MODEL=another\nOPENAI_BASE_URL={second.base_url}/v1/\n")
    await chat(client)
    assert len(questions(client)) == 1
    assert set(bearers(second)) == {KEY}

    restarted = await scene.start(scene.folder(), env={"OPENAI_API_KEY": KEY})
    await chat(restarted)
    assert questions(restarted) == []
    async with Provider(keys=[KEY]) as third:
        file.write_text(f"OPENAI_BASE_URL={third.base_url}/v1\nOPENAI_MODEL=m\n")
        await refused(restarted)
        assert third.log == []
        file.write_text(f"OPENAI_BASE_URL={second.base_url}/v2\nOPENAI_MODEL=m\n")
        await refused(restarted)  # a host that is not the catalogue's is compared with its path
    assert len(questions(restarted)) == 2
    another = scene.folder("another", f"OPENAI_BASE_URL={second.base_url}/v1\nOPENAI_MODEL=m\n")
    elsewhere = await scene.start(another, env={"OPENAI_API_KEY": KEY})
    await refused(elsewhere)
    text = scene.state.read_text()
    assert KEY not in text
    assert [row["decision"] for row in json.loads(text)["decisions"]] == ["send"]


async def test_a_no_is_remembered(scene: Scene, second: Provider) -> None:
    """It refuses now and after a restart, without another question."""
    client = await mixed(scene, second)
    answer(client, NO)
    for _ in range(2):
        assert "as you decided" in (await refused(client)).message
    assert len(questions(client)) == 1
    restarted = await scene.start(scene.folder(), env={"OPENAI_API_KEY": KEY})
    await refused(restarted)
    assert (questions(restarted), second.log) == ([], [])


async def test_the_files_own_pair_may_be_chosen_instead(scene: Scene, second: Provider) -> None:
    """A file with a key of its own offers it; chosen, it signs from then on and the user's key stays home."""
    folder = scene.folder(
        "ws", f"OPENAI_API_KEY={FILE_KEY}\nOPENAI_BASE_URL={second.base_url}/v1\nOPENAI_MODEL=m\n"
    )
    client = await scene.start(folder, env={"OPENAI_API_KEY": KEY})
    answer(client, USE_FILE)
    await chat(client)
    assert [title.partition(":")[0] for title in offered(client)] == [
        USE_FILE,
        "Send my key to 127.0.0.1",
        NO,
    ]
    await chat(client)
    assert (len(questions(client)), bearers(second)) == (1, [FILE_KEY, FILE_KEY])
    status = await client.command("qwen.auth.status")
    assert (status["source"]["kind"], status["source"]["line"]) == ("dotenv", 1)


# --- a file's own pair ----------------------------------------------------------------------------------


async def test_an_untrusted_workspace_signs_nothing(scene: Scene, second: Provider) -> None:
    """While the client says so the file's own pair is refused without a question; then it is used."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=f"{second.base_url}/v1"))
    client = await scene.start(folder, options={"workspaceTrust": "untrusted"})
    answer(client, "Send")
    error = await refused(client)
    assert (questions(client), second.log) == ([], [])
    assert "Trust the workspace" in error.data["remedy"]
    client.notify("qwen/didChangeTrust", {"workspaceTrust": "unknown"})
    await chat(client)
    assert (questions(client), bearers(second)) == ([], [FILE_KEY])  # loopback: nobody need be asked
    client.notify("qwen/didChangeTrust", {"workspaceTrust": "untrusted"})
    await refused(client)


async def test_trust_counts_only_from_a_client_that_knows(scene: Scene, proxy: RawServer) -> None:
    """Declared, "trusted" lets a file's pair go to its host; undeclared, the user is asked and obeyed."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=ELSEWHERE))
    variables = {"HTTPS_PROXY": proxy.url}
    says = {"options": {"workspaceTrust": "trusted"}}
    undeclared = await scene.start(folder, env=variables, **says)
    answer(undeclared, NO)
    await refused(undeclared)
    (question,) = questions(undeclared)
    assert "llm.example" in question
    assert offered(undeclared) == ["Send to llm.example", NO]
    assert proxy.connections == 0

    scene.state.unlink()
    declared = await scene.start(folder, env=variables, capabilities=TRUSTS, **says)
    with pytest.raises(RpcError) as failed:
        await chat(declared)
    assert failed.value.kind == "network"
    assert questions(declared) == []
    assert {got.target for got in proxy.got} == {"llm.example:443"}
    assert FILE_KEY.encode() not in proxy.everything  # it would have gone inside TLS


async def test_a_yes_to_a_files_own_host_is_remembered(scene: Scene, proxy: RawServer) -> None:
    """Asked once, with the host in the question; then the pair is used."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url=ELSEWHERE))
    client = await scene.start(folder, env={"HTTPS_PROXY": proxy.url})
    answer(client, "Send to llm.example")
    for _ in range(2):
        with pytest.raises(RpcError) as failed:
            await chat(client)
        assert failed.value.kind == "network"
    assert len(questions(client)) == 1
    assert {got.target for got in proxy.got} == {"llm.example:443"}


# --- where no key goes ----------------------------------------------------------------------------------

NEVER = [
    "http://llm.example/v1",
    "http://10.0.0.1/v1",
    "http://169.254.169.254/v1",
    "https://169.254.169.254/v1",
    "https://metadata.google.internal/v1",
    "https://[::ffff:169.254.169.254]/v1",
    "https://0x7f.1/v1",
    "https://2130706433/v1",
    "https://me@llm.example/v1",
    "https://llm.example/v1?to=x",
    "https://llm.example/v1#x",
    "https://llm.example\\@evil.example/v1",
    "file:///etc/passwd",
    "llm.example/v1",
]


async def test_addresses_that_are_refused_before_any_request(scene: Scene, proxy: RawServer) -> None:
    """Plain http, link-local, metadata, numeric hosts, user info, query: no connection, no question."""
    variables = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), proxy.url)
    folder = scene.folder()
    client = await scene.start(
        folder, env=variables, capabilities=TRUSTS, options={"workspaceTrust": "trusted"}
    )
    answer(client, "Send")
    for base_url in NEVER:
        scene.folder("ws", scene.pair(FILE_KEY, base_url=base_url))
        error = await refused(client)
        assert f"{folder}/.env" in error.message
        with contextlib.suppress(RpcError):
            await client.command("qwen.models.list")
    assert (proxy.connections, questions(client)) == (0, [])


async def test_an_insecure_origin_of_the_users_own_settings(scene: Scene, proxy: RawServer) -> None:
    """Only exactly the origin that the user named goes over http; undeclared settings name none."""
    folder = scene.folder("ws", scene.pair(FILE_KEY, base_url="http://llm.example:8080/v1"))
    named = {"insecureOrigins": ["http://llm.example:8080"]}
    variables = {"HTTP_PROXY": proxy.url}
    trusted = {"workspaceTrust": "trusted", "user": named}
    undeclared = await scene.start(folder, env=variables, capabilities=TRUSTS, options=trusted)
    undeclared.notify("workspace/didChangeConfiguration", {"settings": {"qwenLs": named, **named}})
    await refused(undeclared)
    assert proxy.connections == 0
    scene.settings(**named)
    client = await scene.start(
        folder, env=variables, capabilities=TRUSTS, options={"workspaceTrust": "trusted"}
    )
    with pytest.raises(RpcError):
        await chat(client)
    assert {got.target for got in proxy.got} == {"http://llm.example:8080/v1/chat/completions"}
    scene.folder("ws", scene.pair(FILE_KEY, base_url="http://llm.example:8081/v1"))
    await refused(client)


async def test_redirects_are_not_followed(scene: Scene, second: Provider) -> None:
    """The server that a redirect names sees nothing; the error names its origin alone and says why."""
    scene.provider.configure(keys=[KEY])
    variables = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": f"{scene.provider.base_url}/v1",
        "OPENAI_MODEL": "m",
    }
    client = await scene.start(env=variables)
    for status in (301, 302, 303, 307, 308):
        for route in ("chat", "models"):
            scene.provider.fault(
                route, status=status, redirect=f"{second.base_url}/v1/chat/completions?{KEY}"
            )
        for work in (chat(client), client.command("qwen.models.list")):
            with pytest.raises(RpcError) as failed:
                await work
            assert (failed.value.kind, failed.value.data["cause"]) == ("network", "redirect")
            assert f"127.0.0.1:{second.port}," in failed.value.message
            assert KEY not in failed.value.message
    assert (scene.statuses("chat"), second.log) == ([301, 302, 303, 307, 308], [])


async def test_a_sign_in_is_not_redirected_either(scene: Scene, second: Provider) -> None:
    """Device code, verifier and refresh token go to the issuer alone."""
    client = await scene.start()
    scene.write_cache(expires_in=-60)
    for route in ("device", "token"):
        scene.provider.fault(route, redirect=f"{second.base_url}/api/v1/oauth2/token")
    with pytest.raises(RpcError) as failed:
        await client.request("qwen/auth/login", {"method": "qwen-oauth"})
    assert (failed.value.kind, failed.value.data["cause"]) == ("network", "redirect")
    with pytest.raises(RpcError):
        await chat(client)
    assert second.log == []
