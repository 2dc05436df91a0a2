"""The stage of a test over stdio: a home, workspace folders outside it, a provider, servers on demand."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import attrs

from demo.signing_in import DEVICE_FORM, VERIFIER
from qwen_ls.demo.oauth import DEVICE_GRANT
from wire import Client, environment, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from qwen_ls.demo.provider import Provider
    from qwen_ls.demo.requests import Entry

QWEN = "qwen-oauth"
SHOWS_DOCUMENTS = {"success": True}
Json = dict[str, Any]


@attrs.define(eq=False)
class Scene:
    """What a test has at hand. `env` are variables that every server of the test is started with."""

    root: Path
    provider: Provider
    stack: contextlib.AsyncExitStack
    env: dict[str, str] = attrs.field(factory=dict)

    @property
    def home(self) -> Path:
        """HOME."""
        return self.root / "home"

    @property
    def cache(self) -> Path:
        """The file that is shared with Qwen Code."""
        return self.home / ".qwen" / "oauth_creds.json"

    @property
    def lock(self) -> Path:
        """Qwen Code's lock."""
        return self.cache.with_name("oauth_creds.lock")

    @property
    def state(self) -> Path:
        """What the server remembers across restarts."""
        return self.home / ".local" / "state" / "qwen-ls" / "state.json"

    # --- files ------------------------------------------------------------------------------------

    def folder(self, name: str = "ws", env_file: str | None = None) -> Path:
        """A workspace folder, outside HOME; with a `.env` file of this text."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        if env_file is not None:
            (folder / ".env").write_text(env_file, encoding="utf-8")
        return folder

    def pair(self, key: str, model: str = "model-of-the-file", base_url: str | None = None) -> str:
        """The text of a `.env` file with a key, a base URL and a model."""
        where = base_url or f"{self.provider.base_url}/v1"
        return f"OPENAI_API_KEY={key}\nOPENAI_BASE_URL={where}\nOPENAI_MODEL={model}\n"

    def settings(self, **fields: Any) -> None:
        """Write the user's settings."""
        path = self.home / ".config" / "qwen-ls" / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(fields), encoding="utf-8")

    def write_cache(self, *, expires_in: float = 3600.0, **changes: Any) -> Json:
        """Sign in behind the server's back, as Qwen Code would, and write the cache; its fields."""
        oauth, settings, base_url = self.provider.oauth, self.provider.settings, self.provider.base_url
        grant = oauth.start_grant(DEVICE_FORM, settings, base_url)
        oauth.decide(grant["user_code"], "approve")
        form = {
            "grant_type": DEVICE_GRANT,
            "client_id": DEVICE_FORM["client_id"],
            "device_code": grant["device_code"],
            "code_verifier": VERIFIER,
        }
        issued = oauth.issue(form, settings, base_url)
        names = ("access_token", "refresh_token", "token_type", "resource_url")
        fields = {name: issued[name] for name in names if name in issued}
        fields |= {"expiry_date": round((time.time() + expires_in) * 1000), **changes}
        self.cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.cache.write_text(json.dumps(fields), encoding="utf-8")
        return fields

    def edit_cache(self, **changes: Any) -> Json:
        """Change fields of the cache by hand."""
        fields: Json = {**json.loads(self.cache.read_bytes()), **changes}
        self.cache.write_text(json.dumps(fields), encoding="utf-8")
        return fields

    # --- servers ----------------------------------------------------------------------------------

    async def start(self, *folders: Path, env: dict[str, str] | None = None, **initialize: Any) -> Client:
        """A server that has been initialized; it ends with the test at the latest."""
        variables = {"QWEN_LS_OAUTH_BASE_URL": self.provider.base_url, **self.env, **(env or {})}
        client = await self.stack.enter_async_context(server(environment(self.home, **variables), self.root))
        client.on("window/showDocument", lambda _: SHOWS_DOCUMENTS)
        client.on("window/workDoneProgress/create", lambda _: None)
        await client.initialize(*folders, **initialize)
        return client

    async def sign_in(self, client: Client, **argument: Any) -> Any:
        """A whole sign-in over LSP; the result of its end. Raises RpcError."""
        self.provider.configure(auto_approve=True)
        return await client.request("qwen/auth/login", {"method": QWEN, **argument})

    # --- the provider -----------------------------------------------------------------------------

    def requests(self, route: str) -> list[Entry]:
        """The provider's log of one route."""
        return [entry for entry in self.provider.log if entry["route"] == route]

    def statuses(self, route: str) -> list[int]:
        """How the provider answered the requests of one route."""
        return [entry["status"] for entry in self.requests(route)]


@contextlib.asynccontextmanager
async def set_scene(root: Path, provider: Provider) -> AsyncIterator[Scene]:
    """A scene; every server of it is gone at the end."""
    async with contextlib.AsyncExitStack() as stack:
        yield Scene(root, provider, stack)


async def chat(client: Client, text: str = "hello", **more: Any) -> Any:
    """Send a message and wait for the end of the answer. Raises RpcError."""
    return await client.command("qwen.chat.send", text=text, wait=True, **more)
