"""What can go wrong on request: a fault belongs to a route, applies a number of times, and composes."""

from __future__ import annotations

from typing import Any

import attrs

ROUTES = ("device", "token", "models", "chat", "keys", "key")
BEFORE_HEADERS = -1
LINE_ENDINGS = {"lf": "\n", "cr": "\r", "crlf": "\r\n"}


@attrs.frozen(kw_only=True)
class Fault:
    """Everything that shall go wrong with one request.

    `status`, `html`, `redirect` and a cut before the headers stand in place of the route's work: no token
    is issued or rotated. All others happen to its answer. Places K are counted in tokens of a stream, and
    in bytes of any other body; 0 is right after the headers.
    """

    status: int | None = None
    body: Any = None  # with `status`: an object is sent as JSON, text as HTML
    headers: dict[str, str] = attrs.field(factory=dict)
    delay: float = 0.0  # seconds before the headers
    stall: int | None = None  # nothing after K, for ever
    keep_alive: float | None = None  # seconds between the comments of a stalled stream
    cut: int | None = None  # the connection ends after K, or before the headers (-1)
    cut_cleanly: bool = False  # by FIN inside the body in place of RST
    html: bool = False  # 200 and a web page
    bad_json: int | None = None  # after K a data line that is no JSON; any other body is halved
    error_event: int | None = None  # after K `error`, and the end; any other body becomes `error`
    error: Any = attrs.field(factory=lambda: {"message": "The model is overloaded.", "code": "server_error"})
    huge_line: int = 0  # a first delta of so many characters
    split_utf8: bool = False  # each byte is a write of its own
    no_done: bool = False
    line_ending: str = attrs.field(default="lf", validator=attrs.validators.in_(LINE_ENDINGS))
    gzip: bool = False
    redirect: str | None = None

    @property
    def replaces_answer(self) -> bool:
        """Whether the route does nothing at all."""
        return bool(self.status or self.html or self.redirect) or self.cut == BEFORE_HEADERS


@attrs.define
class _Standing:
    route: str
    credential: str | None
    model: str | None
    times: int | None
    fields: dict[str, Any]


class Faults:
    """The faults that are set."""

    def __init__(self) -> None:
        self._standing: list[_Standing] = []

    def add(
        self,
        route: str,
        *,
        times: int | None = None,
        credential: str | None = None,
        model: str | None = None,
        **fields: Any,
    ) -> None:
        """Let the next `times` requests of a route go wrong (None: all).

        Or only those of one kind of credential, or for one model. Raises TypeError or ValueError for a
        field or route that there is not.
        """
        if route not in ROUTES:
            raise ValueError(f"no such route: {route}")
        Fault(**fields)
        self._standing.append(_Standing(route, credential, model, times, fields))

    def clear(self, route: str | None = None) -> None:
        """Forget the faults of one route, or all."""
        self._standing = [fault for fault in self._standing if route not in (None, fault.route)]

    def take(self, route: str, credential: str | None, model: str | None) -> Fault:
        """What goes wrong with this request; where two faults say the same thing, the later one counts."""
        fields: dict[str, Any] = {}
        for fault in self._standing:
            wanted = (fault.credential in (None, credential), fault.model in (None, model))
            if fault.route == route and all(wanted):
                fields |= fault.fields
                if fault.times is not None:
                    fault.times -= 1
        self._standing = [fault for fault in self._standing if fault.times is None or fault.times > 0]
        return Fault(**fields)
