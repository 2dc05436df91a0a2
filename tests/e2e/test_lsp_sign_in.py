"""Sign-in over LSP against Authlib's device grant, and a llama.cpp that accepts the tokens it issues."""

from __future__ import annotations

import asyncio
import json
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from e2e.identity_provider import DEVICE_GRANT, IdentityProvider, running_identity_provider
from wire import RpcError, environment, result_of, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from e2e.llama import Llama
    from wire import Client

DEVICE_PATH = "/api/v1/oauth2/device/code"
SLOWED_DOWN = 6.0  # seconds between polls: an interval of 1 s and a slow_down
JITTER = 0.1  # seconds
ANSWERED_WITHIN = 2.0  # seconds for a command
LONG_AGO = 1_700_000_000_000  # milliseconds since 1970


@pytest.fixture
def llama(brief_llama: Llama) -> Llama:
    """Here `identity_provider` issues tokens for answers that end by themselves."""
    return brief_llama


@pytest.fixture
def prompt_provider(llama: Llama) -> Iterator[IdentityProvider]:
    """An OAuth server that keeps to the interval it announces, so that a sign-in takes a second."""
    with running_identity_provider(llama.base_url, access_tokens=llama.api_keys[1:], interval=1) as running:
        yield running


class Browser:
    """What the editor opens pages in: goes there, reads the code and presses a button."""

    def __init__(self, provider: IdentityProvider, decision: str | None = "approve") -> None:
        self.provider = provider
        self.decision = decision  # None: the user only looks at the page
        self.opened: list[dict[str, Any]] = []

    async def show(self, params: dict[str, Any]) -> dict[str, bool]:
        """Answer `window/showDocument`."""
        self.opened.append(params)
        page = await asyncio.to_thread(httpx.get, params["uri"])
        assert page.is_success
        user_code = httpx.URL(params["uri"]).params["user_code"]
        assert user_code in page.text
        if self.decision is not None:
            await asyncio.to_thread(self.provider.decide, user_code, self.decision)
        return {"success": True}


@asynccontextmanager
async def editing(home: Path, browser: Browser) -> AsyncIterator[Client]:
    """An editor with a server of its own; no byte that it gets holds a token."""
    project = home.parent / "project"
    project.mkdir(exist_ok=True)
    async with server(environment(home, QWEN_LS_OAUTH_BASE_URL=browser.provider.base_url)) as client:
        client.on("window/showDocument", browser.show)
        await client.initialize(project)
        yield client
    heard = bytes(client.stdout + client.stderr)
    assert heard
    assert [token for token in tokens_of(home) if token.encode() in heard] == []


def cache_of(home: Path) -> Path:
    """The file that is shared with Qwen Code."""
    return home / ".qwen" / "oauth_creds.json"


def cached(home: Path) -> dict[str, Any]:
    """What it holds."""
    fields: dict[str, Any] = json.loads(cache_of(home).read_text())
    return fields


def tokens_of(home: Path) -> list[str]:
    """The tokens in it, if there is one."""
    return (
        [cached(home)[f"{kind}_token"] for kind in ("access", "refresh")] if cache_of(home).exists() else []
    )


def expire(home: Path, **changes: object) -> None:
    """Let the access token have expired long ago, by hand."""
    cache_of(home).write_text(json.dumps({**cached(home), "expiry_date": LONG_AGO, **changes}))


def device_requests(provider: IdentityProvider) -> int:
    """How often a sign-in was begun."""
    return sum(entry["path"] == DEVICE_PATH for entry in provider.log())


async def sign_in(client: Client) -> Any:
    """Sign in and wait for the end."""
    return await client.request("qwen/auth/login", {"method": "qwen-oauth"})


async def chats(client: Client, count: int = 1) -> list[Any]:
    """Send that many messages at once, and return all answers."""
    replies = [client.begin("qwen/chat/send", {"text": f"Message {n}"})[1] for n in range(count)]
    return [result_of(reply) for reply in await asyncio.wait_for(asyncio.gather(*replies), 30)]


async def test_sign_in_goes_by_pending_and_slow_down(
    tmp_path: Path, identity_provider: IdentityProvider, llama: Llama
) -> None:
    """The editor opens the page, polls obey slow_down, and after the user's yes llama.cpp takes the token."""
    browser = Browser(identity_provider, decision=None)
    async with editing(tmp_path / "home", browser) as client:
        begun = await client.command("qwen.auth.login", ANSWERED_WITHIN, method="qwen-oauth")
        await asyncio.to_thread(identity_provider.until, "slow_down")
        assert not cache_of(tmp_path / "home").exists()
        identity_provider.decide(begun["userCode"])
        status = await client.notified("qwen/didChangeStatus", lambda status: status["signedIn"])
        (answer,) = await chats(client)
    page = f"{identity_provider.base_url}/authorize?user_code={begun['userCode']}"
    assert [(opened["uri"], opened["external"]) for opened in browser.opened] == [(page, True)]
    assert begun["verificationUriComplete"] == page
    polls = identity_provider.log(DEVICE_GRANT)
    assert [poll["error"] for poll in polls] == ["authorization_pending", "slow_down", None]
    assert polls[2]["at"] - polls[1]["at"] >= SLOWED_DOWN - JITTER
    assert (status["method"], status["baseUrl"]) == ("qwen-oauth", llama.base_url)
    assert (answer["model"], answer["stopReason"]) == (llama.alias, "max_tokens")
    assert answer["text"]
    assert cached(tmp_path / "home")["access_token"] == llama.api_keys[1]
    assert stat.S_IMODE(cache_of(tmp_path / "home").stat().st_mode) == 0o600


async def test_a_refused_sign_in_keeps_nothing(tmp_path: Path, prompt_provider: IdentityProvider) -> None:
    """The user's no on the page is login-denied, and no file is written."""
    async with editing(tmp_path / "home", Browser(prompt_provider, "deny")) as client:
        with pytest.raises(RpcError) as failed:
            await sign_in(client)
        assert failed.value.kind == "login-denied"
        assert (await client.command("qwen.auth.status"))["signedIn"] is False
    assert not cache_of(tmp_path / "home").exists()


async def test_a_killed_server_comes_back_signed_in(
    tmp_path: Path, prompt_provider: IdentityProvider
) -> None:
    """After SIGKILL a new server chats with the cached token: no page, no device request, no refresh."""
    browser = Browser(prompt_provider)
    async with editing(tmp_path / "home", browser) as client:
        done = await sign_in(client)
        assert (done["done"], done["checked"]) == (True, True)
        client.process.kill()
        await client.process.wait()
    before = prompt_provider.log()
    async with editing(tmp_path / "home", browser) as client:
        assert (await client.command("qwen.auth.status"))["signedIn"] is True
        (answer,) = await chats(client)
        assert answer["text"]
        assert {asked["method"] for asked in client.asked} <= {"window/workDoneProgress/create"}
    assert prompt_provider.log() == before
    assert (len(browser.opened), device_requests(prompt_provider)) == (1, 1)


@pytest.mark.parametrize("servers", [1, 2])
async def test_an_expired_token_is_refreshed_once(
    servers: int, tmp_path: Path, prompt_provider: IdentityProvider, llama: Llama
) -> None:
    """Ten requests at once, of one server or of each of two, make one refresh, and the file is renewed."""
    home, browser = tmp_path / "home", Browser(prompt_provider)
    async with editing(home, browser) as first, editing(home, browser) as second:
        await sign_in(first)
        old = tokens_of(home)
        assert old[0] == llama.api_keys[1]
        expire(home, left_by="another program")
        asked = [first, second][:servers]
        answers = await asyncio.gather(*(chats(client, 10) for client in asked))
        assert [sum(bool(answer["text"]) for answer in of_one) for of_one in answers] == [10] * servers
        assert not [t for t in old if t.encode() in first.stdout + second.stdout]
    assert [entry["status"] for entry in prompt_provider.log("refresh_token")] == [200]
    assert device_requests(prompt_provider) == 1
    renewed = cached(home)
    assert renewed["access_token"] == llama.api_keys[2]
    assert renewed["refresh_token"] not in old
    assert (renewed["left_by"], renewed["expiry_date"] > LONG_AGO) == ("another program", True)
    assert renewed["resource_url"] == llama.base_url
    assert stat.S_IMODE(cache_of(home).stat().st_mode) == 0o600


async def test_a_spent_refresh_token_asks_for_a_new_sign_in(
    tmp_path: Path, prompt_provider: IdentityProvider, llama: Llama
) -> None:
    """Authlib's invalid_grant is signed-out, the file stays, and a new sign-in makes all well."""
    home, browser = tmp_path / "home", Browser(prompt_provider)
    async with editing(home, browser) as client:
        await sign_in(client)
        expire(home, refresh_token=llama.api_keys[-1])
        with pytest.raises(RpcError) as failed:
            await chats(client)
        assert (failed.value.kind, "invalid_grant" in failed.value.message) == ("signed-out", True)
        assert cached(home)["refresh_token"] == llama.api_keys[-1]
        await sign_in(client)
        (answer,) = await chats(client)
        assert answer["text"]
    assert [entry["error"] for entry in prompt_provider.log("refresh_token")] == ["invalid_grant"]
    assert (len(browser.opened), device_requests(prompt_provider)) == (2, 2)
