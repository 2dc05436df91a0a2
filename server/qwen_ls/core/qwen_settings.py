"""Qwen Code's own `settings.json`: JSON with comments -> the API key it would use, read only.

Its strings may hold `$NAME` and `${NAME}`, which Qwen Code takes from the environment; unknown names
stay as they are.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1024 * 1024
# Every alternative ends at the end of the text at the latest, so that none is begun again at each character.
STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"?'
TOKEN = re.compile(rf"{STRING}|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
TRAILING_COMMA = re.compile(rf"({STRING})|,(?=\s*[}}\]])", re.DOTALL)


@attrs.frozen
class QwenKey:
    """What the file offers; `path` names the setting that held the key, `variable` its `envKey`."""

    key: str = attrs.field(repr=False)
    base_url: str | None
    model: str | None
    path: str
    variable: str | None = None


def parse_jsonc(text: str) -> Any:
    """JSON with comments and trailing commas. Raises ValueError."""
    plain = TOKEN.sub(lambda m: m[0] if m[0].startswith('"') else " ", text)
    try:
        return json.loads(plain)
    except ValueError:
        return json.loads(TRAILING_COMMA.sub(lambda m: m[1] or "", plain))


def read_qwen_settings(text: str, process: Mapping[str, str]) -> QwenKey | str | None:
    """The key in the file's text: None if there is none, or one clause that says why not.

    First the entry of `modelProviders` for the chosen model, with its `envKey` looked up in the process
    and in the file's `env`; then `security.auth.apiKey`.
    """
    try:
        fields = parse_jsonc(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return "the file is not JSON"
    if not isinstance(fields, dict):
        return "the file holds no JSON object"
    model = expand(dig(fields, "model", "name"), process)
    return provider_entry(fields, model, process) or plain_key(fields, model, process)


def plain_key(fields: Any, model: str | None, process: Mapping[str, str]) -> QwenKey | None:
    """`security.auth.apiKey` with `baseUrl`."""
    key = expand(dig(fields, "security", "auth", "apiKey"), process)
    if key is None:
        return None
    return QwenKey(
        key, expand(dig(fields, "security", "auth", "baseUrl"), process), model, "security.auth.apiKey"
    )


def provider_entry(fields: Any, model: str | None, process: Mapping[str, str]) -> QwenKey | None:
    """The entry of `modelProviders.openai` whose id is the chosen model."""
    entries = dig(fields, "modelProviders", "openai")
    if model is None or not isinstance(entries, list):
        return None
    wanted_url = expand(dig(fields, "model", "baseUrl"), process)
    for entry in entries:
        base_url = expand(dig(entry, "baseUrl"), process)
        if dig(entry, "id") != model or (wanted_url is not None and base_url not in {None, wanted_url}):
            continue
        variable = dig(entry, "envKey")
        name = variable if isinstance(variable, str) and variable else "OPENAI_API_KEY"
        key = process.get(name) or expand(dig(fields, "env", name), process)
        if key:
            return QwenKey(key, base_url, model, f"modelProviders.openai, {name}", name)
    return None


def dig(fields: Any, *names: str) -> Any:
    """A nested value; None where the way ends."""
    for name in names:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields


def expand(value: Any, process: Mapping[str, str]) -> str | None:
    """A string with its variables put in; None for anything else and for an empty one."""
    if not isinstance(value, str):
        return None
    text = VARIABLE.sub(lambda m: process.get(m[1] or m[2], m[0]), value).strip()
    return text or None
