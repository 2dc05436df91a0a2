"""What the actions need of the world. Adapters and doors fit these shapes; nobody inherits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from qwen_ls.core.origin import WorkspaceTrust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path, PurePath

    from qwen_ls.actions.keys import Keys
    from qwen_ls.actions.resolve import Seen, Standing
    from qwen_ls.core.chat import Delta
    from qwen_ls.core.context import Listed, Located
    from qwen_ls.core.envchain import EnvChain
    from qwen_ls.core.envview import GitState, OnDisk
    from qwen_ls.core.intents import HttpRequest, NoReply, PostForm, PostJson, Reply
    from qwen_ls.core.limits import Ledger
    from qwen_ls.core.oauth.code import CodeServer
    from qwen_ls.core.oauth.device import DeviceAuthorization
    from qwen_ls.core.oauth.token import CachedToken, Issuer, Token
    from qwen_ls.core.origin import ConsentKey, ConsentNeeded, Decision
    from qwen_ls.core.outgoing import SecretInMessage
    from qwen_ls.core.qwen_settings import QwenKey
    from qwen_ls.core.settings import Settings, Timeouts
    from qwen_ls.core.stored import Remembered, StoredKey


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

    def find(self, folder: str | None, excluded: Sequence[str]) -> Awaitable[tuple[EnvChain, EnvChain]]:
        """The chain from `folder` upward, and the chain of the home files alone. Begins with the call."""

    async def prepare(self, folder: str | None) -> tuple[str, bool, bool]:
        """Make `.qwen/.env`: its path, whether it is new, whether git ignores it. Raises OSError."""


class ChatFiles(Protocol):
    """Where new chat documents are put."""

    async def create(self, folder: str | None, name: str, text: str) -> str:
        """Make a document for a workspace folder, or for none, under a name like `name`; its path.

        Raises OSError.
        """


class EnvDisk(Protocol):
    """`.env` files named one by one, as an editor has them open. All but `inspect` raise OSError."""

    async def inspect(self, file: str, searches: Sequence[Sequence[PurePath]]) -> OnDisk:
        """A file's permission bits, and its place in each list of candidates."""

    async def read(self, file: str) -> str | None:
        """The text of a file that may be changed; None: there is none."""

    async def replace(self, file: str, before: str | None, after: str) -> None:
        """Replace a file that still reads `before`, in one step."""

    async def ignore(self, file: str) -> str | None:
        """Add a file to its folder's `.gitignore`; the latter's path, None if it cannot be."""


class Git(Protocol):
    """Version control."""

    async def state(self, file: str) -> GitState:
        """Whether a file is tracked, and whether it is ignored."""


class Keyring(Protocol):
    """The operating system's keyring. All raise Problem (keyring-unavailable, keyring-locked).

    `patient` means that a human waits for it, and may have to unlock it first.
    """

    async def read(self, name: str, patient: bool) -> str | None:  # noqa: FBT001 - named by every caller
        """A value; None if there is none."""

    async def write(self, name: str, value: str, patient: bool) -> None:  # noqa: FBT001 - as above
        """Put a value in, and see that it is there."""

    async def remove(self, name: str, patient: bool) -> bool:  # noqa: FBT001 - as above
        """Take a value out; whether there was one."""

    async def backend(self) -> str:
        """Which keyring it is, in a few words."""


class KeyFile(Protocol):
    """A plain file for keys, where the user allows that. Writing raises OSError."""

    async def read(self, name: str) -> str | None:
        """A value."""

    async def write(self, name: str, value: str) -> None:
        """Put a value in."""

    async def remove(self, name: str) -> None:
        """Take a value out."""


class QwenCodeSettings(Protocol):
    """Qwen Code's own settings."""

    @property
    def path(self) -> str:
        """The file."""

    def read(self) -> Awaitable[QwenKey | str | None]:
        """The key it offers, None, or why it cannot be used."""


class ContextFiles(Protocol):
    """Files of the workspace folder that go along with a message."""

    async def locate(self, folder: str | None, path: str, *, inside: bool = True) -> Located:
        """Where a path really leads. Raises Problem for one outside the folder or with secrets."""

    async def read(self, located: Located, *, whole: bool) -> str:
        """Its text; `whole` refuses one too large to go along as such. Raises Problem."""

    async def names(self, folder: str | None, path: str, begun: str = "") -> list[Listed]:
        """The first names in a folder that may be mentioned, of those that begin so."""


class OpenTexts(Protocol):
    """The documents that are open in the editor; their text wins over the disk."""

    async def text_of(self, real: str) -> str | None:
        """The text of the open document with this real path; None if it is not open."""


class OAuthCache(Protocol):
    """`oauth_creds.json`, shared with Qwen Code."""

    @property
    def path(self) -> Path:
        """The file."""

    def read(self) -> Awaitable[CachedToken]:
        """What the file holds now."""

    async def write(self, token: Token) -> None:
        """Replace the file in one step. Raises OSError."""

    async def remove(self) -> bool:
        """Delete the file; whether there was one."""

    def lock(self, unless: Callable[[], Awaitable[bool]] | None = None) -> AbstractAsyncContextManager[bool]:
        """Hold our own lock and Qwen Code's. Raises TimeoutError.

        False, and neither is held, if `unless` came true while they were waited for.
        """


class State(Protocol):
    """What is remembered across restarts: choices of a method and a model, answers to consent questions."""

    async def choice(self, folder: str | None) -> str | None:
        """The method chosen for a folder; for the user if None."""

    async def choose(self, folder: str | None, method: str | None) -> None:
        """Remember a method; None forgets it. Raises OSError."""

    def recall(self, folder: str | None) -> Awaitable[Remembered]:
        """Everything that counts for a folder, and for the user, in one look."""

    async def choose_model(self, folder: str | None, base_url: str, model: str | None) -> None:
        """Remember a model for a base URL; None forgets it. Raises OSError."""

    async def decisions(self) -> Mapping[ConsentKey, Decision]:
        """Every remembered answer."""

    async def decide(self, answers: Mapping[ConsentKey, Decision]) -> None:
        """Remember answers. Raises OSError."""

    async def undecide(self, answers: Collection[ConsentKey]) -> None:
        """Forget answers. Raises OSError."""

    async def keys(self) -> Mapping[str, StoredKey]:
        """The index of the stored keys, by name."""

    async def keep_key(self, entry: StoredKey) -> None:
        """Put a key into the index. Raises OSError."""

    async def drop_key(self, name: str) -> None:
        """Take a key out of it. Raises OSError."""


class Human(Protocol):
    """Whoever sits at the other side of a door."""

    async def show_code(self, login_id: str, method: str, authorization: DeviceAuthorization) -> bool:
        """Show a device code and open the page; False when the user wants to stop."""

    async def show_page(self, login_id: str, url: str) -> bool:
        """Open a sign-in page; False when the user wants to stop."""

    async def consent(self, need: ConsentNeeded) -> Decision | None:
        """Put a consent question; None when nobody answers."""

    async def may_send(self, found: SecretInMessage) -> bool:
        """Ask whether a message may be sent although it holds secrets; False when nobody answers."""


class Sink(Protocol):
    """Where an answer goes while it arrives."""

    def delta(self, delta: Delta) -> None:
        """A piece of it."""

    def note(self, text: str) -> None:
        """What is going on meanwhile, in a few words."""


@attrs.frozen
class SignInServer:
    """Where one OAuth method signs in, and where its token is cached."""

    issuer: Issuer
    cache: OAuthCache


@attrs.frozen
class Ports:
    """The world, for one process.

    `process` holds the variables a credential may come from, `network` those that steer connections,
    both as they were at start. `sign_ins` are the OAuth methods' servers, Qwen's among them, and
    `code_server` is OpenRouter. `open_texts` is there where an editor is. `standings` is what was last
    resolved for each place, and from what: actions/resolve.py alone knows it.
    """

    clock: Clock
    entropy: Entropy
    http: Http
    env_files: EnvFiles
    chat_files: ChatFiles
    env_disk: EnvDisk
    git: Git
    sign_ins: Mapping[str, SignInServer]
    code_server: CodeServer
    redirects: Redirects
    state: State
    keys: Keys
    keyring: Keyring
    qwen_settings: QwenCodeSettings
    settings: Settings
    ledger: Ledger
    context_files: ContextFiles
    process: Mapping[str, str] = attrs.field(repr=False)
    network: Mapping[str, str] = attrs.field(repr=False)
    open_texts: OpenTexts | None = None
    standings: dict[Place, tuple[Seen, Standing]] = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def steering(self) -> dict[str, str]:
        """All that steers connections, by where it comes from: the user's settings, then `network`."""
        own = {"the setting proxy": self.settings.proxy, "the setting caFile": self.settings.ca_file}
        return {**{name: value for name, value in own.items() if value}, **self.network}


@attrs.frozen
class Place:
    """Where a request comes from: the workspace folder (real path), and what its door knows of it."""

    folder: str | None = None
    trust: WorkspaceTrust = WorkspaceTrust.UNKNOWN
    headless: bool = False
    terminal: bool = False
    may_mix: bool = False
