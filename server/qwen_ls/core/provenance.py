"""Where a value came from, and whose word it is: every resolved value carries both."""

from __future__ import annotations

from enum import Enum

import attrs


class SourceKind(str, Enum):
    """Where a value was found."""

    KEYRING = "keyring"
    DOTENV = "dotenv"
    ENVIRONMENT = "environment"
    SETTINGS = "settings"
    QWEN_OAUTH = "qwen-oauth"
    DEFAULT = "default"
    REQUEST = "request"
    CHOICE = "choice"


@attrs.frozen
class Source:
    """The provenance of a value: its kind, and the file, line or variable that held it."""

    kind: SourceKind
    variable: str | None = None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        words = {
            SourceKind.DOTENV: f"{self.variable} at {self.file}:{self.line}",
            SourceKind.ENVIRONMENT: f"environment variable {self.variable}",
            SourceKind.QWEN_OAUTH: f"the sign-in cached in {self.file}",
            SourceKind.DEFAULT: f"the default of {self.file}",
            SourceKind.SETTINGS: f"{self.variable} in {self.file}",
            SourceKind.CHOICE: f"the choice for {f'the folder {self.file}' if self.file else 'the user'}",
        }
        return words.get(self.kind) or self.file or self.kind.value


@attrs.frozen
class Tier:
    """Who vouches for a value: the user (`file` is None), or one project `.env` file, each its own tier."""

    file: str | None = None

    @property
    def is_user(self) -> bool:
        """Whether the user alone can have put the value there."""
        return self.file is None

    def __str__(self) -> str:
        return "user" if self.file is None else f"project file {self.file}"


USER = Tier()


@attrs.frozen
class Value:
    """A resolved text with its source and trust tier."""

    text: str = attrs.field(repr=False)
    source: Source
    tier: Tier
