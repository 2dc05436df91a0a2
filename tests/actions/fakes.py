"""A world in memory: a clock that jumps, a network that answers from a list, a cache in a variable."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.actions.keys import Keys
from qwen_ls.actions.ports import Ports, SignInServer
from qwen_ls.core.credentials import QWEN_OAUTH
from qwen_ls.core.envchain import ABSENT, EnvChain, find
from qwen_ls.core.errors import Cause
from qwen_ls.core.intents import NoReply, Reply, Unreachable
from qwen_ls.core.limits import Ledger
from qwen_ls.core.oauth.code import CodeServer
from qwen_ls.core.oauth.token import CachedToken, Issuer, Token
from qwen_ls.core.secret import Secret
from qwen_ls.core.settings import Settings
from qwen_ls.core.stored import Remembered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from qwen_ls.core.chat import Delta
    from qwen_ls.core.intents import HttpRequest, PostForm
    from qwen_ls.core.origin import ConsentKey, ConsentNeeded, Decision
    from qwen_ls.core.outgoing import SecretInMessage
    from qwen_ls.core.settings import Timeouts
    from qwen_ls.core.stored import StoredKey

START = 1_900_000_000.0  # epoch seconds
ISSUER = "http://127.0.0.1:1"


@attrs.define
class FakeClock:
    """Sleeping costs no time but that of the clock; `on_sleep` may change the world meanwhile."""

    time: float = START
    slept: list[float] = attrs.field(factory=list)
    on_sleep: Callable[[float], object] = lambda _: None

    def now(self) -> float:
        """The time."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let it pass at once; others have their turn."""
        self.slept.append(seconds)
        self.time += seconds
        self.on_sleep(seconds)
        await asyncio.sleep(0)


@attrs.define
class FakeEntropy:
    """As random as told."""

    jittered: float = 0.0

    def token_bytes(self, count: int) -> bytes:
        """Always the same."""
        return b"\x07" * count

    def jitter(self) -> float:
        """What was told."""
        return self.jittered


@attrs.define
class FakeExchange:
    """An answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    is_closed: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, at once."""
        yield self.body

    async def read_json(self, limit: int) -> Any:
        """The body as JSON."""
        with contextlib.suppress(ValueError):
            return json.loads(self.body[:limit])
        return None

    async def aclose(self) -> None:
        """Closed."""
        self.is_closed = True


@attrs.define
class FakeHttp:
    """Gives out `replies` to forms and `exchanges` to requests, in order, and keeps what it was asked."""

    replies: Sequence[Reply | NoReply] = ()
    exchanges: Sequence[FakeExchange] = ()
    forms: list[Mapping[str, str]] = attrs.field(factory=list)
    requests: list[HttpRequest] = attrs.field(factory=list)
    asked: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def open(self, request: HttpRequest, timeouts: Timeouts) -> FakeExchange:
        """The next exchange."""
        assert timeouts is not None
        self.requests.append(request)
        await asyncio.sleep(0)
        if len(self.requests) > len(self.exchanges):
            raise Unreachable(NoReply(Cause.REFUSED, "nothing more is said"))
        return self.exchanges[len(self.requests) - 1]

    async def post_form(self, intent: PostForm) -> Reply | NoReply:
        """The next reply."""
        self.forms.append(intent.form)
        reply = self.replies[len(self.forms) - 1]
        self.asked.set()
        await asyncio.sleep(0)
        return reply


@attrs.define
class FakeCache:
    """One token; `is_full` disks take none, a `held` lock is never given."""

    token: Token | None = None
    written_at: float = START
    writes: int = 0
    is_full: bool = False
    held: bool = False
    inside: int = 0
    overtaken: list[Token] = attrs.field(factory=list)

    path: Path = Path("oauth_creds.json")

    async def read(self) -> CachedToken:
        """What is there."""
        await asyncio.sleep(0)
        return CachedToken("oauth_creds.json", self.token, written_at=self.written_at)

    async def write(self, token: Token) -> None:
        """Keep it, under the lock."""
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.token, self.writes = token, self.writes + 1

    @contextlib.asynccontextmanager
    async def lock(self, unless: Callable[[], Awaitable[bool]] | None = None) -> AsyncIterator[bool]:
        """One at a time; each of `overtaken` is written while it is waited for, which then ends."""
        if self.overtaken:
            self.token = self.overtaken.pop(0)
            assert unless is not None
            await unless()
            yield False
            return
        if self.held:
            raise TimeoutError
        assert self.inside == 0
        self.inside += 1
        try:
            yield True
        finally:
            self.inside -= 1


@attrs.define
class FakeState:
    """Remembers while it lives."""

    choices: dict[str | None, str | None] = attrs.field(factory=dict)
    chosen_models: dict[str | None, dict[str, str]] = attrs.field(factory=dict)

    async def choice(self, folder: str | None) -> str | None:
        """The choice."""
        return self.choices.get(folder)

    async def choose(self, folder: str | None, method: str | None) -> None:
        """Choose."""
        self.choices[folder] = method

    async def recall(self, folder: str | None) -> Remembered:
        """All of it."""
        return Remembered(
            folder_choice=self.choices.get(folder) if folder is not None else None,
            user_choice=self.choices.get(None),
            folder_models=self.chosen_models.get(folder, {}) if folder is not None else {},
            user_models=self.chosen_models.get(None, {}),
            keys=await self.keys(),
        )

    async def decisions(self) -> Mapping[ConsentKey, Decision]:
        """None."""
        return {}

    async def keys(self) -> Mapping[str, StoredKey]:
        """None."""
        return {}


class NoEnvFiles:
    """No `.env` anywhere."""

    async def find(self, folder: str | None, excluded: Sequence[str]) -> tuple[EnvChain, EnvChain]:
        """Nothing."""
        assert folder is None or excluded
        empty = find((), lambda _: ABSENT)
        return empty, empty


@attrs.define
class Somebody:
    """A user who agrees to everything, and a place for what is streamed."""

    shown: list[str] = attrs.field(factory=list)
    text: str = ""
    notes: list[str] = attrs.field(factory=list)

    async def show_page(self, login_id: str, url: str) -> bool:
        """See the page."""
        self.shown.append(f"{login_id} {url}")
        return True

    async def show_code(self, login_id: str, method: str, authorization: Any) -> bool:
        """See the code."""
        self.shown.append(f"{login_id} {method} {authorization.user_code}")
        return True

    async def consent(self, need: ConsentNeeded) -> Decision | None:
        """Nobody should ask here."""
        raise AssertionError(need.question)

    async def may_send(self, found: SecretInMessage) -> bool:
        """Nobody should ask here either."""
        raise AssertionError(found.question)

    def delta(self, delta: Delta) -> None:
        """A piece."""
        self.text += delta.text

    def note(self, text: str) -> None:
        """What is going on."""
        self.notes.append(text)


@attrs.frozen
class Unused:
    """A port that a test does not need: whoever touches it fails."""

    name: str

    def __getattr__(self, attribute: str) -> Any:
        raise AssertionError(f"ports.{self.name}.{attribute} was not expected to be used")


class NoQwenSettings:
    """Qwen Code is not there."""

    path = "~/.qwen/settings.json"

    async def read(self) -> None:
        """Nothing."""


def ports_of(**given: Any) -> Ports:
    """Ports of fakes; the ones that are not given, and have no fake above, must not be used."""
    cache = given.pop("oauth_cache", Unused("oauth_cache"))
    state = given.get("state", FakeState())
    clock = given.get("clock", FakeClock())
    usual = {
        "clock": clock,
        "entropy": FakeEntropy(),
        "env_files": NoEnvFiles(),
        "state": state,
        "keys": Keys(Unused("keyring"), state, clock),
        "qwen_settings": NoQwenSettings(),
        "ledger": Ledger(),
        "settings": Settings(),
        "process": {},
        "network": {},
        "code_server": CodeServer(ISSUER),
        "redirects": Unused("redirects"),
        "sign_ins": {QWEN_OAUTH: SignInServer(Issuer(ISSUER), cache)},
    }
    names = [
        field.name for field in attrs.fields(Ports) if field.default is attrs.NOTHING or field.name in given
    ]
    return Ports(**{name: {**usual, **given}.get(name, Unused(name)) for name in names})


def token(number: int = 1, expires_in: float = 3600.0, **more: Any) -> Token:
    """A token that runs out so many seconds after START."""
    fields = {"resource_url": f"{ISSUER}/v1", **more}
    return Token(
        Secret(f"access-{number}"),
        Secret(f"refresh-{number}"),
        "Bearer",
        expires_at=START + expires_in,
        **fields,
    )


def granted(number: int, expires_in: float = 3600.0) -> Reply:
    """What the token endpoint answers."""
    return Reply(
        200,
        {"access_token": f"access-{number}", "refresh_token": f"refresh-{number}", "expires_in": expires_in},
    )
