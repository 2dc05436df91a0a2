"""What is remembered across restarts: `state.json` in platformdirs' state folder, 0600.

{"version": 1, "choices": {"user": METHOD, "folders": {PATH: METHOD}}, "decisions": [{…}],
 "models": {"user": {BASE_URL: MODEL}, "folders": {PATH: {BASE_URL: MODEL}}}, "keys": {NAME: {…}}}: no
secret is in it.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs

from qwen_ls.adapters.files import (
    file_lock,
    glance,
    in_thread,
    make_private_folder,
    read_object,
    replace_private,
    set_aside,
    sweep,
)
from qwen_ls.core.origin import ConsentKey, Decision
from qwen_ls.core.stored import Remembered, StoredKey, encode_index, parse_index

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024
LOCK_WAIT = 5.0  # seconds
NOTHING: dict[str, Any] = {}  # one object, so that what was made of it is known again


@attrs.define
class StateFile:
    """The state file of one user; several servers share it."""

    path: Path
    _cache: tuple[tuple[int, int, int], dict[str, Any]] | None = None
    _recalled: tuple[dict[str, Any], dict[str | None, Remembered]] = attrs.field(factory=lambda: ({}, {}))

    async def choice(self, folder: str | None) -> str | None:
        """The method chosen for a folder, or for the user."""
        return choice_in(await glance(self._load), folder)

    async def choose(self, folder: str | None, method: str | None) -> None:
        """Remember a method; None forgets it. Raises OSError."""

        def change(state: dict[str, Any]) -> None:
            choices = state.setdefault("choices", {})
            place, name = (choices, "user") if folder is None else (choices.setdefault("folders", {}), folder)
            place.pop(name, None) if method is None else place.update({name: method})

        await in_thread(partial(self._change, change))

    def recall(self, folder: str | None) -> Awaitable[Remembered]:
        """Everything that counts for a folder, and for the user."""
        return glance(partial(self._recall, folder))

    def _recall(self, folder: str | None) -> Remembered:
        state = self._load()
        made_of, known = self._recalled
        if made_of is not state:
            known = {}
            self._recalled = state, known
        if folder not in known:
            known[folder] = self._remembered(state, folder)
        return known[folder]

    def _remembered(self, state: dict[str, Any], folder: str | None) -> Remembered:
        models = section(state, "models")
        return Remembered(
            decisions=decisions_in(state),
            keys=keys_in(state),
            folder_choice=choice_in(state, folder) if folder is not None else None,
            user_choice=choice_in(state, None),
            folder_models=section(section(models, "folders"), folder) if folder is not None else {},
            user_models=section(models, "user"),
        )

    async def choose_model(self, folder: str | None, base_url: str, model: str | None) -> None:
        """Remember a model for a base URL; None forgets it. Raises OSError."""

        def change(state: dict[str, Any]) -> None:
            models = state.setdefault("models", {})
            place, name = (models, "user") if folder is None else (models.setdefault("folders", {}), folder)
            by_url = place.setdefault(name, {})
            by_url.pop(base_url, None) if model is None else by_url.update({base_url: model})

        await in_thread(partial(self._change, change))

    async def decisions(self) -> Mapping[ConsentKey, Decision]:
        """Every remembered answer to a consent question."""
        return decisions_in(await glance(self._load))

    async def decide(self, answers: Mapping[ConsentKey, Decision]) -> None:
        """Remember answers. Raises OSError."""

        def change(state: dict[str, Any]) -> None:
            rows = [r for r in state.get("decisions", []) if decision_of(r)[0] not in answers]
            rows += [{**attrs.asdict(key), "decision": decision.value} for key, decision in answers.items()]
            state["decisions"] = rows

        await in_thread(partial(self._change, change))

    async def undecide(self, answers: Collection[ConsentKey]) -> None:
        """Forget answers. Raises OSError."""

        def change(state: dict[str, Any]) -> None:
            state["decisions"] = [r for r in state.get("decisions", []) if decision_of(r)[0] not in answers]

        await in_thread(partial(self._change, change))

    async def keys(self) -> Mapping[str, StoredKey]:
        """The index of the stored keys, by name."""
        return keys_in(await glance(self._load))

    async def keep_key(self, entry: StoredKey) -> None:
        """Put a key into the index. Raises OSError."""

        def change(state: dict[str, Any]) -> None:
            state.setdefault("keys", {})[entry.name] = encode_index(entry)

        await in_thread(partial(self._change, change))

    async def drop_key(self, name: str) -> None:
        """Take a key out of the index. Raises OSError."""
        if name in await self.keys():
            await in_thread(partial(self._change, lambda state: state.get("keys", {}).pop(name, None)))

    def _load(self) -> dict[str, Any]:
        """The file's object; one that cannot be read, or is none of ours, counts as empty."""
        if self._cache is None:
            sweep(self.path)
        try:
            status = self.path.stat()
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._cache is not None and self._cache[0] == signature:
                return self._cache[1]
            found = read_object(self.path, MAX_BYTES)
        except OSError:
            return NOTHING
        state = found if is_state(found) else {}
        self._cache = signature, state
        return state

    def _change(self, change: Callable[[dict[str, Any]], None]) -> None:
        make_private_folder(self.path.parent)
        with file_lock(self.path.with_suffix(".lock"), timeout=LOCK_WAIT):
            state = read_object(self.path, MAX_BYTES)  # what cannot be read is not replaced
            if not is_state(state):
                set_aside(self.path)
                state = {}
            change(state)
            state["version"] = 1
            replace_private(self.path, json.dumps(state, indent=2, sort_keys=True).encode() + b"\n")


def is_state(found: Any) -> TypeGuard[dict[str, Any]]:
    """Whether JSON has the shape that this module writes; fields of a later version may stand beside it."""
    if not isinstance(found, dict) or not isinstance(found.get("decisions", []), list):
        return False
    choices = found.get("choices", {})
    if not isinstance(choices, dict) or not isinstance(choices.get("folders", {}), dict):
        return False
    methods = (*choices.get("folders", {}).values(), choices.get("user", ""))
    return all(isinstance(method, str) for method in methods) and are_models(found.get("models", {}))


def are_models(found: Any) -> bool:
    """Whether the chosen models have the shape that this module writes."""
    if not isinstance(found, dict) or not isinstance(found.get("folders", {}), dict):
        return False
    places = (*found.get("folders", {}).values(), found.get("user", {}))
    return all(
        isinstance(place, dict) and all(isinstance(model, str) for model in place.values())
        for place in places
    )


def section(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A nested object; empty where there is none."""
    found = state.get(name)
    return found if isinstance(found, dict) else {}


def choice_in(state: Mapping[str, Any], folder: str | None) -> str | None:
    """The method chosen for a folder, or for the user."""
    choices = section(state, "choices")
    found = choices.get("user") if folder is None else section(choices, "folders").get(folder)
    return found if isinstance(found, str) else None


def keys_in(state: Mapping[str, Any]) -> dict[str, StoredKey]:
    """The index of the stored keys, without rows that make no sense."""
    rows = section(state, "keys")
    parsed = {name: parse_index(row) for name, row in rows.items() if isinstance(row, dict)}
    return {name: entry for name, entry in parsed.items() if entry is not None and entry.name == name}


def decisions_in(state: Mapping[str, Any]) -> dict[ConsentKey, Decision]:
    """The same of the answers to consent questions."""
    found = state.get("decisions")
    rows = found if isinstance(found, list) else []
    return {key: decision for key, decision in map(decision_of, rows) if key is not None}


def decision_of(row: Any) -> tuple[ConsentKey | None, Decision]:
    """One remembered answer; (None, …) for a row that makes no sense."""
    try:
        fields = {name: row[name] for name in ("folder", "file", "key_digest", "base_url")}
        return ConsentKey(**fields), Decision(row["decision"])
    except (KeyError, TypeError, ValueError):
        return None, Decision.DENY
