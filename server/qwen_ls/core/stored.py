"""Keys that the user stored: what is known of one without opening the keyring, and its value inside.

The keyring has no listing, so an index without secrets stands beside it. The value carries its own
provider, base URL and scope, and only those count: an index that was tampered with sends no key elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

import attrs

from qwen_ls.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.core.origin import ConsentKey, Decision

Target = Literal["workspaceFolder", "user"]
Keeper = Literal["keyring", "file", "client", "session"]
FOLDER: Target = "workspaceFolder"
USER: Target = "user"
KEEPERS = ("keyring", "file")  # those that outlive the process, and so stand in the index
VERSION = 1


@attrs.frozen
class StoredKey:
    """One stored key. `folder` is a real path, for target `workspaceFolder`; `stored_at` epoch seconds."""

    target: Target
    folder: str | None
    provider: str
    base_url: str
    model: str | None
    fingerprint: str
    stored_at: float
    kept_in: Keeper = "keyring"

    @property
    def name(self) -> str:
        """Its name in the keyring: one per folder, one per provider for the user."""
        return entry_name(self.target, self.folder, self.provider)

    def __str__(self) -> str:
        whose = f"for {self.folder}" if self.target == FOLDER else "for the user"
        return f"key stored {whose} ({self.kept_in})"


@attrs.frozen
class Remembered:
    """What earlier runs have left: answers to consent questions, stored keys by name, choices of the user.

    A choice is a method; models are by base URL. Those of the folder are empty where there is none.
    """

    decisions: Mapping[ConsentKey, Decision] = attrs.field(factory=dict)
    keys: Mapping[str, StoredKey] = attrs.field(factory=dict)
    folder_choice: str | None = None
    user_choice: str | None = None
    folder_models: Mapping[str, str] = attrs.field(factory=dict)
    user_models: Mapping[str, str] = attrs.field(factory=dict)


def entry_name(target: Target, folder: str | None, provider: str) -> str:
    """A name that no other (target, folder) or (target, provider) shares.

    A digest of the one part that varies, so that no store's folding of case or of Unicode forms joins
    two of them.
    """
    varying = (folder or "") if target == FOLDER else provider
    return f"{target}:{hashlib.sha256(varying.encode('utf-8', 'surrogatepass')).hexdigest()}"


def encode_value(entry: StoredKey, secret: Secret) -> str:
    """The keyring entry's value."""
    return json.dumps({"v": VERSION, "key": secret.reveal(), **scope(entry)})


def scope(entry: StoredKey) -> dict[str, Any]:
    """What is stored along with a key."""
    kept = ("target", "folder", "provider", "base_url", "model")
    return {name: getattr(entry, name) for name in kept}


def parse_value(text: str, entry: StoredKey) -> tuple[StoredKey, Secret] | str:
    """The entry as its own value describes it, and the key; or one clause that says what is wrong."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return "the keyring entry was not written by qwen-ls"
    if not isinstance(fields, dict) or fields.get("v") != VERSION:
        return "the keyring entry was not written by this version of qwen-ls"
    key, base_url, provider = fields.get("key"), fields.get("base_url"), fields.get("provider")
    model = fields.get("model")
    if not (isinstance(key, str) and key and isinstance(base_url, str) and isinstance(provider, str)):
        return "the keyring entry lacks its key, provider or base URL"
    if (fields.get("target"), fields.get("folder")) != (entry.target, entry.folder):
        return "the keyring entry belongs to another folder"
    found = attrs.evolve(
        entry,
        base_url=base_url,
        provider=provider,
        model=model if isinstance(model, str) else None,
        fingerprint=Secret(key).fingerprint,
    )
    return found, Secret(key)


def encode_index(entry: StoredKey) -> dict[str, Any]:
    """The entry for the index: no secret in it."""
    return attrs.asdict(entry)


def parse_index(fields: Mapping[str, Any]) -> StoredKey | None:
    """An entry of the index; None for one that makes no sense."""
    try:
        entry = StoredKey(**{a.name: fields[a.name] for a in attrs.fields(StoredKey)})
    except (KeyError, TypeError):
        return None
    texts = (entry.provider, entry.base_url, entry.fingerprint, entry.model or "")
    is_placed = isinstance(entry.folder, str) if entry.target == FOLDER else entry.folder is None
    is_known = entry.target in (FOLDER, USER) and entry.kept_in in KEEPERS
    whole = all(isinstance(t, str) for t in texts) and type(entry.stored_at) in {int, float}
    return entry if whole and is_placed and is_known else None
