"""Stored API keys: set, find, list, remove. Whoever keeps them, a key never comes back out to a client."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.provider import Signed, check
from qwen_ls.actions.resolve import from_home, stand, state_unwritable
from qwen_ls.actions.switch import check_target
from qwen_ls.core.credentials import FoundKey, credential_of_stored
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.origin import parse_base_url
from qwen_ls.core.providers import (
    CATALOGUE,
    CUSTOM,
    OPENAI,
    Provider,
    provider_named,
    provider_of_url,
)
from qwen_ls.core.stored import (
    FOLDER,
    KEEPERS,
    USER,
    Keeper,
    StoredKey,
    Target,
    encode_value,
    entry_name,
    parse_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qwen_ls.actions.ports import Clock, KeyFile, Keyring, Place, Ports, State
    from qwen_ls.core.secret import Secret

TRY_AGAIN_AFTER = 30.0  # seconds that a keyring's refusal is believed, so that it does not delay each request
LONGEST_KEY = 1024  # characters


@attrs.frozen
class Kept:
    """Who keeps a key now, and why it is not the keyring."""

    keeper: Keeper
    why: str = ""


@attrs.define(eq=False)
class Keys:
    """The stored keys of this process. `key_file` is None unless the user allows plain text.

    Secrets are read from their keeper once and kept in memory; the index tells when one has changed.
    """

    keyring: Keyring
    state: State
    clock: Clock
    key_file: KeyFile | None = None
    _memory: dict[str, tuple[StoredKey, Secret]] = attrs.field(factory=dict, repr=False)
    _read: dict[str, tuple[float, float, FoundKey]] = attrs.field(factory=dict, repr=False)
    _reading: dict[str, asyncio.Lock] = attrs.field(factory=dict, repr=False)  # name -> one reader at a time

    async def entries(self) -> dict[str, StoredKey]:
        """Every stored key by name, without opening the keyring."""
        return self._with_memory(await from_home(self.state.keys()))

    def _with_memory(self, index: Mapping[str, StoredKey]) -> dict[str, StoredKey]:
        return {**index, **{name: entry for name, (entry, _) in self._memory.items()}}

    async def find(
        self, folder: str | None, index: Mapping[str, StoredKey]
    ) -> tuple[FoundKey | None, FoundKey | None]:
        """The folder's key of an index and the user's, stored last of all; with secrets, or why not."""
        entries = self._with_memory(index)
        of_folder = entries.get(entry_name(FOLDER, folder, "")) if folder is not None else None
        of_user = max((e for e in entries.values() if e.target == USER), key=stored_at, default=None)
        return (
            await self._open(of_folder) if of_folder is not None else None,
            await self._open(of_user) if of_user is not None else None,
        )

    async def store(
        self, entry: StoredKey, secret: Secret, *, client_keeps: bool, for_good: bool = False
    ) -> Kept:
        """Give a key to the keyring; without one, to the client, to a file the user allows, or to memory.

        A key for this session alone leaves what was stored under its name as it is; `for_good` raises the
        keyring's Problem instead. Raises Problem when the index or the file cannot be written.
        """
        name = entry.name
        before = (await self.entries()).get(name)
        try:
            kept = await self._place(entry, secret, client_keeps=client_keeps, for_good=for_good)
        except OSError as error:
            raise state_unwritable(error) from None
        entry = attrs.evolve(entry, kept_in=kept.keeper)
        self._read.pop(name, None)
        self._memory.pop(name, None)
        try:
            if kept.keeper in KEEPERS:
                await self.state.keep_key(entry)
            else:
                self._memory[name] = (entry, secret)
                if kept.keeper == "client":  # it outlives the process, so what it replaces does not come back
                    await self.state.drop_key(name)
        except OSError as error:
            raise state_unwritable(error) from None
        if before is not None and kept.keeper not in {before.kept_in, "session"}:
            await self._drop_copy(before)
        return kept

    async def check_keeper(self, name: str) -> None:
        """See that somebody can keep a key for good before it is made. Raises the keyring's Problem."""
        if self.key_file is None:
            await self.keyring.read(name, patient=True)

    async def _drop_copy(self, before: StoredKey) -> None:
        """A key that has got a new keeper leaves no copy with the old one, as far as that can be reached."""
        with contextlib.suppress(Problem, OSError):
            if before.kept_in == "keyring":
                await self.keyring.remove(before.name, patient=False)
            elif before.kept_in == "file" and self.key_file is not None:
                await self.key_file.remove(before.name)

    async def _place(self, entry: StoredKey, secret: Secret, *, client_keeps: bool, for_good: bool) -> Kept:
        value = encode_value(entry, secret)
        try:
            await self.keyring.write(entry.name, value, patient=True)
        except Problem as problem:
            if client_keeps:
                return Kept("client", problem.message)
            if self.key_file is None and for_good:
                raise
            if self.key_file is None:
                return Kept("session", problem.message)
            await self.key_file.write(entry.name, value)
            return Kept("file", problem.message)
        return Kept("keyring")

    def held(self) -> list[FoundKey]:
        """The keys that are in memory, whoever keeps them."""
        return [FoundKey(*pair) for pair in self._memory.values()] + [key for *_, key in self._read.values()]

    def remember(self, entry: StoredKey, secret: Secret) -> None:
        """Take back a key that the client has kept."""
        self._memory[entry.name] = (attrs.evolve(entry, kept_in="client"), secret)

    async def remove(self, entry: StoredKey) -> None:
        """Forget a key wherever it is kept. Raises Problem."""
        name = entry.name
        self._memory.pop(name, None)
        self._read.pop(name, None)
        if entry.kept_in == "keyring":
            await self.keyring.remove(name, patient=True)
        if entry.kept_in == "file" and self.key_file is None:
            raise file_not_allowed()
        try:
            if entry.kept_in == "file" and self.key_file is not None:
                await self.key_file.remove(name)
            await self.state.drop_key(name)
        except OSError as error:
            raise state_unwritable(error) from None

    async def _open(self, entry: StoredKey) -> FoundKey:
        """An entry with its secret, from memory where it has been read before."""
        if (known := self._known(entry)) is not None:
            return known
        reading = self._reading.setdefault(entry.name, asyncio.Lock())
        async with reading:  # whoever comes meanwhile waits for what comes of it
            if (known := self._known(entry)) is not None:
                return known
            now = self.clock.now()
            found = await self._fetch(entry)
            self._read[entry.name] = (entry.stored_at, now, found)
            return found

    def _known(self, entry: StoredKey) -> FoundKey | None:
        """What is known of an entry without asking its keeper."""
        if entry.name in self._memory:
            return FoundKey(*self._memory[entry.name])
        stored_at, read_at, found = self._read.get(entry.name, (None, 0.0, None))
        if found is None or stored_at != entry.stored_at:
            return None
        is_believed = self.clock.now() - read_at < TRY_AGAIN_AFTER
        return found if found.secret is not None or is_believed else None

    async def _fetch(self, entry: StoredKey) -> FoundKey:
        try:
            value = await self._value(entry)
        except Problem as problem:
            return FoundKey(entry, problem=problem.message, kept_away=problem)
        if value is None:
            return FoundKey(entry, problem="its keeper no longer has it; set it again")
        parsed = parse_value(value, entry)
        return FoundKey(entry, problem=parsed) if isinstance(parsed, str) else FoundKey(*parsed)

    async def _value(self, entry: StoredKey) -> str | None:
        if entry.kept_in == "keyring":
            return await self.keyring.read(entry.name, patient=False)
        if entry.kept_in == "file" and self.key_file is None:
            raise file_not_allowed()
        return await self.key_file.read(entry.name) if self.key_file is not None else None


def file_not_allowed() -> Problem:
    """The key lies in the plain file, which the settings no longer let us touch."""
    return Problem(
        Kind.KEYRING_UNAVAILABLE,
        "The key lies in keys.json, a plain file that your settings no longer allow",
        remedy="Set allowPlaintextKeys to use or remove it, or delete the file in the state folder",
    )


def stored_at(entry: StoredKey) -> float:
    """When a key was stored."""
    return entry.stored_at


@attrs.frozen
class KeySet:
    """A key that was stored: its entry, whether the provider accepted it, and the line that says so."""

    entry: StoredKey
    checked: bool
    message: str


@attrs.frozen
class NewKey:
    """What the user has entered. `target` None means the folder, or the user where there is none."""

    secret: Secret
    target: Target | None = None
    provider: str | None = None
    base_url: str | None = None
    model: str | None = None


async def set_key(
    ports: Ports, place: Place, new: NewKey, *, client_keeps: bool, for_good: bool = False
) -> KeySet:
    """Check a key with a request and store it. Raises Problem when it is rejected; then nothing is stored."""
    entry = entry_of(ports, place, new)
    credential, _ = credential_of_stored(FoundKey(entry, new.secret), "new key")
    assert credential is not None  # noqa: S101 - it has its secret
    checked = await check(ports, Signed(credential, await stand(ports, place)))
    return await keep_key(
        ports, entry, new.secret, client_keeps=client_keeps, checked=checked, for_good=for_good
    )


async def keep_key(
    ports: Ports,
    entry: StoredKey,
    secret: Secret,
    *,
    client_keeps: bool,
    checked: bool,
    for_good: bool = False,
) -> KeySet:
    """Store a key that has been checked, as far as it could be. Raises Problem."""
    kept = await ports.keys.store(entry, secret, client_keeps=client_keeps, for_good=for_good)
    entry = attrs.evolve(entry, kept_in=kept.keeper)
    return KeySet(entry, checked, describe(entry, kept, checked=checked))


def restore_key(ports: Ports, place: Place, new: NewKey) -> KeySet:
    """Take a key that the client has kept since an earlier run; it was checked then."""
    entry = attrs.evolve(entry_of(ports, place, new), kept_in="client")
    ports.keys.remember(entry, new.secret)
    return KeySet(entry, False, f"The {entry} is in use again")  # noqa: FBT003 - not checked now


def entry_of(ports: Ports, place: Place, new: NewKey) -> StoredKey:
    """The entry for a new key, with its provider and base URL worked out. Raises Problem."""
    check_text(new.secret)
    target: Target = new.target or (FOLDER if place.folder is not None else USER)
    check_target(place, target)
    provider = provider_of(new)
    base_url = new.base_url or provider.base_url
    if not base_url or "{" in base_url:
        raise Problem(
            Kind.NOT_SUPPORTED,
            f"{provider.label} has no base URL of its own",
            remedy="Give the base URL along",
        )
    url = parse_base_url(base_url, "the base URL given with the key", ports.settings.insecure_origins)
    folder = place.folder if target == FOLDER else None
    return StoredKey(
        target, folder, provider.id, str(url), new.model, new.secret.fingerprint, ports.clock.now()
    )


def check_text(secret: Secret) -> None:
    """Refuse what cannot be a key before it goes anywhere."""
    text = secret.reveal()
    if not text or len(text) > LONGEST_KEY or not text.isascii() or not text.isprintable() or " " in text:
        remedy = "Copy the key again: letters, digits and signs on one line, at most 1,024 of them"
        raise Problem(Kind.KEY_REJECTED, "That is not the form of an API key", remedy=remedy)


def provider_of(new: NewKey) -> Provider:
    """Whose key it is: as named, else by its base URL, else by its own prefix."""
    if new.provider is not None:
        named = provider_named(new.provider)
        if named is None:
            known = ", ".join(p.id for p in (*CATALOGUE, CUSTOM))
            # What was given is not said again: it may be the key, given in the wrong place.
            raise Problem(Kind.NOT_SUPPORTED, "There is no such provider", remedy=f"Choose one of {known}")
        return named
    if new.base_url:
        return provider_of_url(new.base_url)
    key = new.secret.reveal()
    return next((p for p in CATALOGUE if p.key_prefix and key.startswith(p.key_prefix)), OPENAI)


def describe(entry: StoredKey, kept: Kept, *, checked: bool) -> str:
    """What became of a key, in one line."""
    whose = "this workspace folder" if entry.target == FOLDER else "you, in every folder"
    first = f"The key {entry.fingerprint} is stored for {whose}"
    where = {
        "keyring": " in the keyring",
        "client": " by the editor",
        "file": " in a plain file, as you allowed",
        "session": " until this session ends",
    }[kept.keeper]
    unchecked = "" if checked else f"; {entry.base_url} did not answer, so it could not be checked"
    return first + where + unchecked + (f". {kept.why}" if kept.why else "")


async def remove_key(
    ports: Ports, place: Place, target: Target | None, provider: str | None
) -> StoredKey | None:
    """Forget the folder's key or the user's, if it is of this provider (None: the one stored last, of any).

    Raises Problem.
    """
    entry = await named_entry(await ports.keys.entries(), place, target, provider)
    if entry is not None:
        await ports.keys.remove(entry)
    return entry


async def named_entry(
    entries: Mapping[str, StoredKey], place: Place, target: Target | None, provider: str | None
) -> StoredKey | None:
    """The entry that (target, provider) means at a place."""
    of_provider = {n: e for n, e in entries.items() if provider in {None, e.provider}}
    if (target or (FOLDER if place.folder is not None else USER)) == FOLDER:
        return of_provider.get(entry_name(FOLDER, place.folder, ""))
    return max((e for e in of_provider.values() if e.target == USER), key=stored_at, default=None)
