"""What a flow may ask of the world. A flow is a generator that yields intents and is sent results.

`actions/drive.py` carries them out; a test sends the results itself, without clock or network.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union

import attrs

if TYPE_CHECKING:
    from qwen_ls.core.errors import Cause


@attrs.frozen
class PostForm:
    """POST `form` as application/x-www-form-urlencoded. Result: Reply or NoReply."""

    url: str
    form: Mapping[str, str] = attrs.field(repr=False)
    timeout: float  # seconds, for the whole exchange


@attrs.frozen
class PostJson:
    """POST `body` as application/json. Result: Reply or NoReply."""

    url: str
    body: Mapping[str, str] = attrs.field(repr=False)
    timeout: float  # seconds, for the whole exchange


@attrs.frozen
class Wait:
    """Let `seconds` pass. Result: None."""

    seconds: float


@attrs.frozen
class Now:
    """Ask the wall clock. Result: float, epoch seconds UTC."""


@attrs.frozen
class ShowCode:
    """Show the user where to go and what to enter, and open the browser. Result: None, at once."""

    authorization: Any


@attrs.frozen
class OpenPage:
    """Open a page of the authorization server in the user's browser. Result: None, at once."""

    url: str = attrs.field(repr=False)  # it holds the sign-in's state


@attrs.frozen
class AwaitRedirect:
    """Wait until the browser comes back. Result: the redirect's query parameters, or None if it did not.

    Whoever waits ignores what is no answer to this sign-in (`core.oauth.code.is_answer`).
    """

    seconds: float


@attrs.frozen
class Reply:
    """An HTTP answer. `json` is None when the body is not JSON; headers have lower-case names."""

    status: int
    json: Any = attrs.field(default=None, repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return self.status // 100 == 2  # noqa: PLR2004 - RFC 9110 section 15.3


@attrs.frozen
class NoReply:
    """No HTTP answer at all, and why."""

    cause: Cause
    detail: str


@attrs.frozen
class HttpRequest:
    """A request to a provider. `headers` hold the secret, so they are mute."""

    method: str
    url: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes | None = attrs.field(default=None, repr=False)


class Unreachable(Exception):  # noqa: N818 - a fact of the network, explained by whoever asked
    """No answer, or half of one: `reply` says why."""

    def __init__(self, reply: NoReply) -> None:
        super().__init__(reply.detail)
        self.reply = reply


class Cut(Unreachable):
    """The connection was closed in the middle of the body."""


Intent: TypeAlias = Union[  # noqa: UP007 - evaluated, and 3.10 is the floor
    PostForm, PostJson, Wait, Now, ShowCode, OpenPage, AwaitRedirect
]
Result = TypeVar("Result")
Flow = Generator[Intent, Any, Result]
