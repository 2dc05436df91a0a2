"""The user's `settings.json`, with what a client sends at user level laid over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.adapters.files import read_regular
from qwen_ls.core.settings import Settings, merge_settings, parse_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES = 256 * 1024


def load_settings(path: Path, over: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings file, once, at start; what is of use in `over` wins name by name."""
    problem: str | None = None
    fields: Mapping[str, Any] = {}
    try:
        data = read_regular(path, MAX_BYTES)
    except OSError as error:
        data, problem = None, f"{path} cannot be read: {error.strerror}"
    if data is not None:
        fields, problem = parse_settings(data.decode("utf-8-sig", "replace"), str(path))
    settings = merge_settings(fields, over or {})
    return settings if problem is None else attrs.evolve(settings, problems=(problem, *settings.problems))
