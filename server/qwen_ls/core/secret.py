"""A secret that does not speak unless asked: API keys and OAuth tokens travel as `Secret`."""

from __future__ import annotations

import hashlib
import re
from functools import reduce
from typing import NoReturn
from urllib.parse import quote

MUTE = "Secret(***)"
FINGERPRINT_TAIL = 4  # characters shown at the end, as providers' own consoles do
SHORTEST_SHOWN = 12  # below this, a tail would tell too much


class Secret:
    """A string that is mute in repr, str, format, pickle and logs.

    `reveal()` is the only way out; it is called where a request is signed and where a cache is
    written, and nowhere else, so that `grep reveal` lists every place a secret can leave by.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """What people may see of it: `sk-…a1b2`; `…` alone for a short one."""
        if len(self._value) < SHORTEST_SHOWN:
            return "…"
        prefix = re.match(r"(?:sk-sp-|sk-or-|sk-)?", self._value)
        head = prefix[0] if prefix else ""
        tail = re.sub(r"[^\x21-\x7e]", "?", self._value[-FINGERPRINT_TAIL:])
        return f"{head}…{tail}"

    def blot(self, text: str) -> str:
        """Return `text` from outside with this secret, plain or URL-encoded, replaced by its fingerprint."""
        shown = self.fingerprint
        spellings = {self._value, quote(self._value, safe="", errors="replace")} - {""}
        return reduce(lambda said, spelling: said.replace(spelling, shown), spellings, text)

    def stands_in(self, text: str) -> bool:
        """Whether `text` holds this secret, plain or URL-encoded.

        One of fewer than 12 characters is not looked for: it may be any word.
        """
        if len(self._value) < SHORTEST_SHOWN:
            return False
        return self._value in text or quote(self._value, safe="", errors="replace") in text

    @property
    def digest(self) -> str:
        """A name for remembered decisions: the first 16 hex digits of SHA-256, not reversible."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def __repr__(self) -> str:
        return MUTE

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MUTE

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(("Secret", self._value))
