"""OpenRouter's sign-in over stdio: the editor opens the page, the browser comes back, a key is kept."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from lsp.handing_over import KEEPS_SECRETS
from provider import running_provider
from wire import RpcError, environment, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from provider import RunningProvider
    from wire import Client

METHOD = {"method": "openrouter"}


class Browser:
    """What stands at the editor's side: it sees the page that is opened, and visits what it is told to."""

    def __init__(self, client: Client) -> None:
        self.opened: asyncio.Queue[str] = asyncio.Queue()
        client.on("window/showDocument", self.open)

    def open(self, params: Any) -> dict[str, bool]:
        """`window/showDocument`."""
        assert params["external"] is True
        self.opened.put_nowait(params["uri"])
        return {"success": True}

    async def page(self) -> str:
        """The address of the page that was opened."""
        return await asyncio.wait_for(self.opened.get(), 10)

    @staticmethod
    async def visit(url: str) -> int:
        """GET an address, redirects and all; the status, 0 where nothing listens."""

        def get() -> int:
            try:
                with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 - loopback
                    return int(reply.status)
            except urllib.error.HTTPError as error:
                error.close()
                return error.code
            except OSError:
                return 0

        return await asyncio.to_thread(get)


def callback_of(page: str) -> str:
    """Where the browser is to come back to."""
    return urllib.parse.parse_qs(urllib.parse.urlsplit(page).query)["callback_url"][0]


@pytest.fixture
async def provider() -> AsyncIterator[RunningProvider]:
    """A stand-in for OpenRouter that approves at once."""
    async with running_provider(auto_approve=True) as found:
        yield found


@pytest.fixture
async def client(tmp_path: Path, provider: RunningProvider) -> AsyncIterator[Client]:
    """An editor with one folder open."""
    folder = tmp_path / "ws"
    folder.mkdir()
    env = environment(tmp_path / "home", QWEN_LS_OPENROUTER_BASE_URL=provider.base_url)
    async with server(env) as found:
        await found.initialize(folder)
        yield found


async def test_the_browser_brings_a_key(client: Client, provider: RunningProvider) -> None:
    """The key is checked, kept for the folder, and signs the next message; nobody is shown it."""
    browser = Browser(client)
    _, login = client.begin("qwen/auth/login", METHOD)
    assert await browser.visit(await browser.page()) == 200
    result = (await login)["result"]

    assert (result["done"], result["method"], result["checked"]) == (True, "api-key", True)
    assert result["status"]["provider"] == "OpenRouter"
    assert result["status"]["baseUrl"] == f"{provider.base_url}/api/v1"
    answer = await client.command("qwen.chat.send", text="hello", model="qwen3-coder-plus", wait=True)
    assert answer["stopReason"] == "end_turn"
    (chat,) = await provider.log("chat")
    key = chat["authorization"].removeprefix("Bearer ")
    assert key.startswith("sk-or-")
    assert key.encode() not in client.stdout + client.stderr


async def test_the_command_answers_with_the_page(client: Client) -> None:
    """A client that stands still until it is answered has the page first."""
    browser = Browser(client)
    result = await client.command("qwen.auth.login", **METHOD)
    page = await browser.page()

    assert (result["done"], result["verificationUri"]) == (False, page)
    await browser.visit(page)
    news = await client.notified("window/showMessage")
    assert "Signed in to OpenRouter" in news["message"]


async def test_each_who_joins_has_the_key(client: Client, provider: RunningProvider) -> None:
    """One page, one key, which is kept for the folder of the one and for the user of the other."""
    browser = Browser(client)
    ways: list[dict[str, str]] = [{}, {"target": "user", "workDoneToken": "join"}]
    asked = [client.begin("qwen/auth/login", {**METHOD, **more})[1] for more in ways]
    await client.until(lambda: client.progress("join"))
    await browser.visit(await browser.page())
    assert [(await login)["result"]["done"] for login in asked] == [True, True]
    keys = (await client.command("qwen.keys.list"))["keys"]
    assert sorted(key["target"] for key in keys) == ["user", "workspaceFolder"]
    assert len({key["fingerprint"] for key in keys}) == 1
    assert browser.opened.empty()
    assert len(await provider.log("keys")) == 1


async def test_whoever_leaves_while_the_key_is_checked_has_none(
    client: Client, provider: RunningProvider
) -> None:
    """Nothing is stored or chosen for a request that was cancelled; the other one goes on."""
    browser = Browser(client)
    await client.command("qwen.auth.switch", method="qwen-oauth")
    await provider.fault("key", delay=60, times=1)
    id_, leaving = client.begin("qwen/auth/login", METHOD)
    page = await browser.page()
    _, staying = client.begin("qwen/auth/login", {**METHOD, "target": "user", "workDoneToken": "join"})
    await client.until(lambda: client.progress("join"))
    await browser.visit(page)
    await provider.wait_for(lambda entry: entry["route"] == "key")
    client.cancel(id_)
    assert (await leaving)["error"]["code"] == -32800
    assert (await staying)["result"]["done"] is True
    assert [key["target"] for key in (await client.command("qwen.keys.list"))["keys"]] == ["user"]
    assert (await client.command("qwen.auth.status"))["method"] == "qwen-oauth"


async def test_below_the_choice_of_the_folder(client: Client) -> None:
    """The key is the user's; that the folder's own choice stays in force is said."""
    await client.command("qwen.auth.switch", method="qwen-oauth")
    browser = Browser(client)
    _, login = client.begin("qwen/auth/login", {**METHOD, "target": "user"})
    await browser.visit(await browser.page())
    result = (await login)["result"]
    assert result["status"]["method"] == "qwen-oauth"
    assert "qwen-oauth stays in force here (folder comes first)" in result["message"]


async def test_junk_at_the_redirect_changes_nothing(client: Client) -> None:
    """Wrong addresses, a wrong state and a missing code are 404; the real answer still arrives."""
    browser = Browser(client)
    _, login = client.begin("qwen/auth/login", METHOD)
    page = await browser.page()
    callback = callback_of(page)
    root, _, state = callback.rpartition("/")
    for junk in (
        f"{root}/",
        f"{root}/{state[::-1]}?code=stolen",
        f"{callback}?nothing=1",
        f"{root}/favicon.ico",
    ):
        assert await browser.visit(junk) == 404
    assert await browser.visit(f"{callback}?code=stolen&state={state[::-1]}") == 404
    assert not login.done()
    assert await browser.visit(page) == 200
    assert (await login)["result"]["done"] is True
    assert await browser.visit(f"{callback}?code=again") in {0, 410}


@pytest.mark.parametrize("way", ["command", "request"])
async def test_a_cancel_closes_the_listener(client: Client, way: str) -> None:
    """Within a second nothing listens any more, and no key is stored."""
    browser = Browser(client)
    id_, login = client.begin("qwen/auth/login", METHOD)
    callback = callback_of(await browser.page())
    if way == "command":
        assert (await client.command("qwen.auth.cancel", 1.0))["cancelled"] is True
    else:
        client.cancel(id_)
    error = (await asyncio.wait_for(login, 1.0))["error"]
    assert error["data"]["kind"] in {"login-cancelled", "cancelled"}
    await client.command("qwen.auth.status")  # the listener closes before the next command is answered
    assert await browser.visit(f"{callback}?code=late") == 0
    assert (await client.command("qwen.keys.list"))["keys"] == []


async def test_a_refusal_on_the_page(client: Client) -> None:
    """`error=access_denied` is login-denied, at once."""
    browser = Browser(client)
    _, login = client.begin("qwen/auth/login", METHOD)
    callback = callback_of(await browser.page())
    state = callback.rpartition("/")[2]
    assert await browser.visit(f"{callback}?error=access_denied&state={state}") == 200
    assert (await login)["error"]["data"]["kind"] == "login-denied"


async def test_a_key_that_is_rejected_is_not_stored(client: Client, provider: RunningProvider) -> None:
    """Success is claimed only when the provider knows the key."""
    await provider.fault("key", status=401)
    browser = Browser(client)
    _, login = client.begin("qwen/auth/login", METHOD)
    await browser.visit(await browser.page())
    assert (await login)["error"]["data"]["kind"] == "key-rejected"
    assert (await client.command("qwen.keys.list"))["keys"] == []


async def test_the_clients_own_redirect(tmp_path: Path, provider: RunningProvider) -> None:
    """Over a remote shell the browser comes back to the client, which passes it on; junk is ignored."""
    env = environment(tmp_path / "home", QWEN_LS_OPENROUTER_BASE_URL=provider.base_url)
    declared = {"experimental": {"qwen": {"redirectUri": True}}}
    async with server(env) as client:
        await client.initialize(tmp_path, capabilities=declared)
        browser = Browser(client)
        base = "http://127.0.0.1:9/came-back"
        _, login = client.begin("qwen/auth/login", {**METHOD, "redirectUri": base})
        page = await browser.page()
        callback = callback_of(page)
        assert callback.startswith(f"{base}/")
        client.notify("qwen/auth/didRedirect", {"uri": f"{base}/junk?code=1"})
        client.notify("qwen/auth/didRedirect", {"uri": "not a uri"})
        code = await code_from(page)
        client.notify("qwen/auth/didRedirect", {"uri": f"{callback}?code={code}"})
        assert (await login)["result"]["done"] is True


async def code_from(page: str) -> str:
    """The code that the approved page redirects with; the redirect itself is not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    def get() -> str:
        try:
            urllib.request.build_opener(Stay).open(page, timeout=10).close()
        except urllib.error.HTTPError as error:
            with error:
                return str(error.headers["location"])
        raise AssertionError("the page did not redirect")

    location = await asyncio.to_thread(get)
    return urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["code"][0]


async def test_a_redirect_of_an_undeclared_client_is_not_used(client: Client) -> None:
    """Only a client that declares `redirectUri` can take the browser's answer."""
    browser = Browser(client)
    login = client.begin("qwen/auth/login", {**METHOD, "redirectUri": "https://elsewhere.example/"})[1]
    callback = callback_of(await browser.page())
    assert callback.startswith("http://localhost:")
    await client.command("qwen.auth.cancel")
    with pytest.raises(RpcError, match="cancelled"):
        raise RpcError((await login)["error"])


async def test_a_client_that_keeps_keys_never_has_this_one(tmp_path: Path, provider: RunningProvider) -> None:
    """The key comes to the server alone, so without a keyring it is kept for the session, and so said."""
    env = environment(tmp_path / "home", QWEN_LS_OPENROUTER_BASE_URL=provider.base_url)
    async with server(env) as client:
        await client.initialize(tmp_path, capabilities=KEEPS_SECRETS)
        browser = Browser(client)
        _, login = client.begin("qwen/auth/login", METHOD)
        await browser.visit(await browser.page())
        message = (await login)["result"]["message"]
        (stored,) = (await client.command("qwen.keys.list"))["keys"]
    assert stored["keptIn"] == "session"
    assert "until this session ends" in message
