"""Backends of the `keyring` library: which will do, what is done with them, what their failures mean.

They block, so all but the names of things runs on the worker thread of adapters/keyring.py. Nothing that a
backend says is quoted, for it may hold the secret.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE = "qwen-ls"  # the service that entries stand under
WINDOWS_VAULT, WINDOWS_BYTES = "WinVaultKeyring", 2560  # CRED_MAX_CREDENTIAL_BLOB_SIZE, in UTF-16
ATTEMPTS = 2  # at a write: another server may write the same entry between ours and reading it back
LOCKED = {"KeyringLocked", "LockedException", "PromptDismissedException"}  # keyring's and SecretStorage's
GONE = "SecretServiceNotAvailableException"
ELSEWHERE = "or put the key into .qwen/.env"
CONFIGURED = f"Check PYTHON_KEYRING_BACKEND and keyringrc.cfg (`keyring diagnose` tells where), {ELSEWHERE}"


class Backend(Protocol):
    """A backend of the `keyring` library."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """The value; None if there is no such entry."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Create or replace an entry."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Delete an entry."""


# --- which backend -------------------------------------------------------------------------------


def load(loader: Callable[[], Any]) -> Any:
    """The chosen backend. Raises Problem."""
    try:
        return loader()
    except BaseException as error:  # noqa: BLE001 - it imports whatever the user's configuration names
        failure = type(error).__name__
    raise unavailable(
        f"The keyring's backend could not be loaded ({failure})",
        remedy=CONFIGURED,
    )


def usable(chosen: Any, *, allow_plaintext: bool) -> tuple[Backend, ...]:
    """The backends to ask, in order: the chosen one, or those that it chains. Raises Problem if none will do.

    Of a chain, what writes plain text or nothing is left out, so that no key can end up there.
    """
    is_chain = any(name.startswith("keyring.backends.chainer.") for name in lineage(chosen))
    backends = tuple(chosen.backends) if is_chain else (chosen,)
    refusals = [refusal(backend, allow_plaintext=allow_plaintext) for backend in backends]
    found = tuple(backend for backend, refused in zip(backends, refusals, strict=True) if refused is None)
    if not found:
        raise next(filter(None, refusals), None) or no_keyring()
    return found


def refusal(backend: Any, *, allow_plaintext: bool) -> Problem | None:
    """Why a backend is not to hold a key; None if it may. Goes by the names of its class and its bases."""
    names = lineage(backend)
    if any(name.startswith("keyring.backends.fail.") for name in names):
        return no_keyring()
    if any(name.startswith("keyring.backends.null.") for name in names):
        return unavailable(
            "The keyring is switched off: the null backend is configured, which drops what it is given",
            remedy=f"Take it out of PYTHON_KEYRING_BACKEND or keyringrc.cfg, {ELSEWHERE}",
        )
    if not allow_plaintext and any("plaintext" in name.lower() for name in names):
        return unavailable(
            f"The only keyring here is {name_of(backend)}, which writes keys into a plain file",
            remedy="Install a real one (on Linux: gnome-keyring, KWallet or KeePassXC), "
            "or set allowPlaintextKeys in the user settings",
        )
    return None


def lineage(backend: Any) -> list[str]:
    """The full names of a backend's class and its bases."""
    return [f"{base.__module__}.{base.__qualname__}" for base in type(backend).__mro__]


def name_of(backend: Any) -> str:
    """What a backend is called: `SecretService`, `macOS`, else its class's name."""
    module, kind = type(backend).__module__, type(backend).__qualname__
    return module.rpartition(".")[2] if module.startswith("keyring.backends.") else kind


# --- what is done, on the worker -----------------------------------------------------------------


def find(backends: tuple[Backend, ...], name: str) -> str | None:
    """The first value there is."""
    for backend in backends:
        value: object = backend.get_password(SERVICE, name)
        if isinstance(value, str):
            return value
        if value is not None:
            raise not_text()
    return None


def replace(backends: tuple[Backend, ...], name: str, value: str, given_up: Callable[[], bool]) -> None:
    """Write, and compare with what is read back. Reading comes first: there a locked keyring waits."""
    before = find(backends, name)
    if given_up():
        return
    for _ in range(ATTEMPTS):
        store(backends, name, value)
        if find(backends, name) == value:
            return
    with contextlib.suppress(Exception):  # the refusal below is what matters
        if before is None:
            delete(backends, name, lambda: False)
        else:
            store(backends, name, before)
    raise unavailable(
        f"The keyring ({name_of(backends[0])}) took the key but did not give it back unchanged",
        remedy=CONFIGURED,
    )


def store(backends: tuple[Backend, ...], name: str, value: str) -> None:
    """Write to the first backend that takes it; some can only be read."""
    for backend in backends:
        if type(backend).__name__ == WINDOWS_VAULT and len(value.encode("utf-16-le")) > WINDOWS_BYTES:
            raise unavailable(
                f"The key is too long for Windows Credential Manager, which holds {WINDOWS_BYTES // 2:,} "
                "characters with its base URL and model",
                remedy="Use a shorter one, or put it into .qwen/.env",
            )
        try:
            backend.set_password(SERVICE, name, value)
        except NotImplementedError:
            continue
        return
    raise unavailable(
        f"The keyring ({name_of(backends[0])}) can only be read",
        remedy=CONFIGURED,
    )


def delete(backends: tuple[Backend, ...], name: str, given_up: Callable[[], bool]) -> bool:
    """Delete an entry wherever it stands, readable or not; whether there was one."""
    from keyring.errors import PasswordDeleteError  # noqa: PLC0415 - on the worker, where it is loaded already

    found = False
    for backend in backends:
        if not has_entry(backend, name) or given_up():
            continue
        with contextlib.suppress(PasswordDeleteError, NotImplementedError):  # looked at just below
            backend.delete_password(SERVICE, name)
        if has_entry(backend, name):
            raise unavailable(
                f"The keyring ({name_of(backend)}) still holds the key after it was told to delete it",
                remedy="Delete the entry of the service qwen-ls with the keyring's own program",
            )
        found = True
    return found


def has_entry(backend: Backend, name: str) -> bool:
    """Whether there is an entry, even one that is no text."""
    try:
        return backend.get_password(SERVICE, name) is not None
    except UnicodeDecodeError:
        return True


# --- what can go wrong ---------------------------------------------------------------------------


def explain(error: BaseException) -> Problem:
    """What a backend's failure means to the user, told by the names of its type alone."""
    if isinstance(error, Problem):
        return error
    names = {base.__name__ for base in type(error).__mro__}
    if names & LOCKED:
        return Problem(
            Kind.KEYRING_LOCKED,
            "The keyring is locked, and was not unlocked",
            remedy=f"Unlock it (its prompt, or signing in to the desktop, does) and try again, {ELSEWHERE}",
            retryable=True,
        )
    if "NoKeyringError" in names or type(error.__cause__).__name__ == GONE:
        return no_keyring()
    if "InitError" in names:
        return unavailable(
            "The keyring has no default collection to keep a key in, and none was created",
            remedy="Create one with the keyring's own program (Passwords and Keys, KWallet) and make it the "
            f"default, {ELSEWHERE}",
        )
    if isinstance(error, UnicodeDecodeError):
        return not_text()
    return unavailable(
        f"The keyring failed ({type(error).__name__})",
        remedy=f"Try again, {ELSEWHERE}; `keyring diagnose` shows which backend is in use",
        retryable=True,
    )


def no_keyring() -> Problem:
    """Nothing here keeps secrets."""
    if sys.platform.startswith("linux") and not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return unavailable(
            "There is no keyring: this session has no D-Bus (DBUS_SESSION_BUS_ADDRESS is not set)",
            remedy=f"Start the editor from a desktop session or under dbus-run-session, {ELSEWHERE}",
        )
    return unavailable(
        "There is no keyring: nothing on this system offers one",
        remedy=f"Start one (on Linux: gnome-keyring, KWallet or KeePassXC) and the editor again, {ELSEWHERE}",
    )


def not_text() -> Problem:
    """An entry of ours that we have not written."""
    return unavailable(
        "The keyring's entry is no text, so it is not ours; it was left as it is",
        remedy="Remove it (`qwen-ls keys remove`) and store the key again",
    )


def unavailable(what: str, *, remedy: str, retryable: bool = False) -> Problem:
    """A problem of the kind `keyring-unavailable`."""
    return Problem(Kind.KEYRING_UNAVAILABLE, what, remedy=remedy, retryable=retryable)
