"""What the actions need of the world. Adapters and doors fit these shapes; nobody inherits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from qwen_ls.core.origin import WorkspaceTrust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from qwen_ls.core.chat import Delta
    from qwen_ls.core.envchain import EnvChain
    from qwen_ls.core.intents import HttpRequest, NoReply, PostForm, PostJson, Reply
    from qwen_ls.core.oauth.device import DeviceAuthorization
    from qwen_ls.core.oauth.token import CachedToken, Token
    from qwen_ls.core.origin import ConsentKey, ConsentNeeded, Decision
    from qwen_ls.core.settings import Settings, Timeouts


class Clock(Protocol):
    """Time."""

    def now(self) -> float:
        """Epoch seconds UTC, from the wall clock."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""


class Entropy(Protocol):
    """Randomness."""

    def token_bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""

    def jitter(self) -> float:
        """A number in -1..1, to spread processes apart."""


class Exchange(Protocol):
    """An HTTP answer whose head has arrived. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unreachable when it stops for too long or is cut."""

    async def read_json(self, limit: int) -> Any:
        """The whole body as JSON, None if it is no JSON or longer than `limit` bytes."""

    async def aclose(self) -> None:
        """Close the connection if anything is left on it; cannot be interrupted by a cancel."""


class Http(Protocol):
    """The network."""

    async def open(self, request: HttpRequest, timeouts: Timeouts) -> Exchange:
        """Send, and wait for the head of the answer. Raises Unreachable."""

    async def post_form(self, intent: PostForm) -> Reply | NoReply:
        """One form exchange with an authorization server."""

    async def post_json(self, intent: PostJson) -> Reply | NoReply:
        """The same with a body of JSON."""

    def warm(self) -> None:
        """Load what the first request needs; for a worker thread."""

    async def aclose(self) -> None:
        """Close what is kept open."""


class Redirect(Protocol):
    """A loopback redirect that is listening (RFC 8252 section 7.3)."""

    @property
    def redirect_uri(self) -> str:
        """Where the browser shall come back to; it ends in the sign-in's state."""

    async def wait(self, seconds: float) -> Mapping[str, str] | None:
        """The query parameters of the one answer, or None when time is up; listens no longer then."""


class Redirects(Protocol):
    """Where redirects come from."""

    def open(self, state: str) -> AbstractAsyncContextManager[Redirect]:
        """Listen for the answer to the sign-in with this state. Raises Problem(login-failed)."""


class EnvFiles(Protocol):
    """The `.env` files of this machine."""

    async def find(self, folder: str | None, excluded: Sequence[str]) -> tuple[EnvChain, EnvChain]:
        """The chain from `folder` upward, and the chain of the home files alone."""


class OAuthCache(Protocol):
    """`oauth_creds.json`, shared with Qwen Code."""

    async def read(self) -> CachedToken:
        """What the file holds now."""

    async def write(self, token: Token) -> None:
        """Replace the file in one step. Raises OSError."""

    async def remove(self) -> bool:
        """Delete the file; whether there was one."""

    def lock(self) -> AbstractAsyncContextManager[None]:
        """Hold our own lock and Qwen Code's. Raises TimeoutError."""


class State(Protocol):
    """What is remembered across restarts: choices of a method, answers to consent questions."""

    async def choice(self, folder: str | None) -> str | None:
        """The method chosen for a folder; for the user if None."""

    async def choose(self, folder: str | None, method: str | None) -> None:
        """Remember a method; None forgets it. Raises OSError."""

    async def decisions(self) -> Mapping[ConsentKey, Decision]:
        """Every remembered answer."""

    async def decide(self, answers: Mapping[ConsentKey, Decision]) -> None:
        """Remember answers. Raises OSError."""


class Human(Protocol):
    """Whoever sits at the other side of a door."""

    async def show_code(self, login_id: str, method: str, authorization: DeviceAuthorization) -> bool:
        """Show a device code and open the page; False when the user wants to stop."""

    async def consent(self, need: ConsentNeeded) -> Decision | None:
        """Put a consent question; None when nobody answers."""


class Sink(Protocol):
    """Where an answer goes while it arrives."""

    def delta(self, delta: Delta) -> None:
        """A piece of it."""

    def note(self, text: str) -> None:
        """What is going on meanwhile, in a few words."""


@attrs.frozen
class Ports:
    """The world, for one process.

    `process` holds the variables a credential may come from, `network` those that steer connections,
    both as they were at start. `issuer` is Qwen's authorization server.
    """

    clock: Clock
    entropy: Entropy
    http: Http
    env_files: EnvFiles
    oauth_cache: OAuthCache
    state: State
    settings: Settings
    process: Mapping[str, str] = attrs.field(repr=False)
    network: Mapping[str, str] = attrs.field(repr=False)
    issuer: str


@attrs.frozen
class Place:
    """Where a request comes from: the workspace folder (real path), and what its door knows of it."""

    folder: str | None = None
    trust: WorkspaceTrust = WorkspaceTrust.UNKNOWN
    headless: bool = False
    terminal: bool = False
    may_mix: bool = False
