"""The keyring, over backends that behave as the real ones do, or worse."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
import traceback
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from keyring.backends.chainer import ChainerBackend
from keyring.backends.fail import Keyring as FailBackend
from keyring.backends.null import Keyring as NullBackend
from keyring.errors import (
    InitError,
    KeyringError,
    KeyringLocked,
    NoKeyringError,
    PasswordDeleteError,
    PasswordSetError,
)

from canary import canary
from qwen_ls.adapters.keyring import MOST_STUCK, THREAD, OsKeyring
from qwen_ls.adapters.keyring_backends import SERVICE
from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(__file__).parents[2] / "server"
SOON = 0.1  # seconds, a background deadline that need not be the real one
DEADLINE = 20.0  # seconds; nothing here takes that long unless it hangs
NOTHING: Any = FailBackend  # their constructors have no types
NULL: Any = NullBackend


@attrs.define(eq=False)
class Memory:
    """A backend that keeps what it is given."""

    entries: dict[str, Any] = attrs.field(factory=dict)
    calls: list[str] = attrs.field(factory=list)

    def get_password(self, service: str, name: str) -> Any:
        """The entry, if there is one."""
        assert service == SERVICE
        self.calls.append(f"get {name}")
        return self.entries.get(name)

    def set_password(self, service: str, name: str, value: str) -> None:
        """Keep it."""
        assert service == SERVICE
        self.calls.append(f"set {name}")
        self.entries[name] = value

    def delete_password(self, service: str, name: str) -> None:
        """Drop it, or say that it was not there."""
        assert service == SERVICE
        self.calls.append(f"delete {name}")
        if name not in self.entries:
            raise PasswordDeleteError("no such entry")
        del self.entries[name]


class Waiting(Memory):
    """A backend whose calls for the entry `held` wait, as for an unlock prompt, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.waits = threading.Semaphore(0)

    def get_password(self, service: str, name: str) -> Any:
        """Wait, if it is the held one; then as usual."""
        if name.startswith("held"):
            self.waits.release()
            self.go.wait()
        return super().get_password(service, name)


class Failing(Memory):
    """A backend that raises the same whatever it is asked."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def get_password(self, *_: str) -> Any:
        """Raise."""
        raise self.error


def over(backend: Any, *, background: float = DEADLINE, patient: float = DEADLINE) -> OsKeyring:
    """A keyring on this backend."""
    return OsKeyring(lambda: backend, background_deadline=background, patient_deadline=patient)


async def refused(kind: Kind, call: Any) -> Problem:
    """The problem that a call ends in; it is of this kind, on one line, and says what to do."""
    with pytest.raises(Problem) as caught:
        await call
    problem = caught.value
    assert problem.kind is kind, problem.message
    assert "\n" not in problem.message
    assert problem.message.endswith(problem.remedy)
    return problem


async def has_ended(keyring: OsKeyring) -> None:
    """Wait until every thread that was left behind is through."""
    for thread in keyring._left:
        await asyncio.to_thread(thread.join, DEADLINE)
        assert not thread.is_alive()


# --- what it keeps -------------------------------------------------------------------------------


async def test_what_is_written_is_read_and_removed() -> None:
    """An entry is there from its writing to its removal, and others are not touched."""
    backend = Memory({"other": "kept"})
    keyring = over(backend)
    assert await keyring.read("name", patient=False) is None
    await keyring.write("name", "one", patient=True)
    await keyring.write("name", "two", patient=True)
    assert await keyring.read("name", patient=False) == "two"
    assert await keyring.remove("name", patient=True) is True
    assert await keyring.read("name", patient=False) is None
    assert backend.entries == {"other": "kept"}


async def test_removing_what_is_missing_is_no_failure() -> None:
    """It says that there was nothing, and does not ask the backend to delete it."""
    backend = Memory()
    assert await over(backend).remove("name", patient=True) is False
    assert backend.calls == ["get name"]


async def test_an_entry_that_another_server_removed_meanwhile_is_gone_all_the_same() -> None:
    """The backend's complaint that there is no such entry is no failure."""

    class Raced(Memory):
        def delete_password(self, service: str, name: str) -> None:
            super().delete_password(service, name)
            super().delete_password(service, name)

    assert await over(Raced({"name": "value"})).remove("name", patient=True) is True


async def test_a_removal_that_leaves_the_entry_is_reported() -> None:
    """What the backend still holds is not called removed."""

    class Keeping(Memory):
        def delete_password(self, service: str, name: str) -> None:
            raise NotImplementedError

    problem = await refused(Kind.KEYRING_UNAVAILABLE, over(Keeping({"a": "b"})).remove("a", patient=True))
    assert "still holds" in problem.message


async def test_a_value_that_comes_back_changed_is_refused_and_the_old_one_restored() -> None:
    """Read-back differs: the entry is again what it was."""

    class Cutting(Memory):
        def set_password(self, service: str, name: str, value: str) -> None:
            super().set_password(service, name, value[:20])

    secret = canary("cut by the backend")
    for before in ({}, {"name": "the old one"}):
        backend = Cutting(dict(before))
        problem = await refused(Kind.KEYRING_UNAVAILABLE, over(backend).write("name", secret, patient=True))
        assert "unchanged" in problem.message
        assert secret[:20] not in problem.message
        assert backend.entries == before


async def test_a_value_that_is_dropped_silently_is_refused() -> None:
    """A null backend by any name is found out by reading back."""

    class Forgetful(Memory):
        def set_password(self, service: str, name: str, value: str) -> None:
            assert (service, name, value) == (SERVICE, "name", "value")

    problem = await refused(Kind.KEYRING_UNAVAILABLE, over(Forgetful()).write("name", "value", patient=True))
    assert "Forgetful" in problem.message


async def test_two_servers_may_write_the_same_entry() -> None:
    """Another's value between writing and reading back is no failure: the last one wins."""

    class Contended(Memory):
        def set_password(self, service: str, name: str, value: str) -> None:
            others = "another server's" if "set name" not in self.calls else value
            super().set_password(service, name, others)

    backend = Contended()
    await over(backend).write("name", "ours", patient=True)
    assert backend.entries == {"name": "ours"}


@pytest.mark.parametrize("value", [b"bytes", 7, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")])
async def test_an_entry_that_is_no_text_is_left_alone_but_can_be_removed(value: Any) -> None:
    """Reading and writing refuse; only an explicit removal touches it."""

    class Foreign(Memory):
        def get_password(self, service: str, name: str) -> Any:
            found = super().get_password(service, name)
            if isinstance(found, Exception):
                raise found
            return found

    backend = Foreign({"name": value})
    keyring = over(backend)
    for call in (keyring.read("name", patient=False), keyring.write("name", "new", patient=True)):
        assert "no text" in (await refused(Kind.KEYRING_UNAVAILABLE, call)).message
    assert backend.entries == {"name": value}
    assert await keyring.remove("name", patient=True) is True
    assert backend.entries == {}


# --- which backend -------------------------------------------------------------------------------


def named(name: str, base: type = Memory, module: str = "keyrings.alt.file") -> Any:
    """A backend whose class has this name."""
    return type(name, (base,), {"__module__": module})()


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (NULL(), "null backend"),
        (named("PlaintextKeyring"), "plain file"),
        (named("Own", type(named("PlaintextKeyring"))), "plain file"),
        (NOTHING(), "no keyring"),
    ],
)
async def test_a_backend_that_keeps_no_secret_is_refused(backend: Any, words: str) -> None:
    """Null, plain text by its own or an inherited name, none: every call says so, and nothing is written."""
    keyring = over(backend)
    problems = [
        await refused(Kind.KEYRING_UNAVAILABLE, keyring.read("name", patient=False)),
        await refused(Kind.KEYRING_UNAVAILABLE, keyring.write("name", "value", patient=True)),
        await refused(Kind.KEYRING_UNAVAILABLE, keyring.remove("name", patient=True)),
    ]
    assert all(words in problem.message for problem in problems)
    assert getattr(backend, "calls", []) == []
    assert await keyring.backend() == f"none: {problems[0].message}"


async def test_plain_text_is_used_when_the_user_allows_it() -> None:
    """The setting opens that door, and no other."""
    plain = named("PlaintextKeyring")
    keyring = OsKeyring(lambda: plain, allow_plaintext=True)
    await keyring.write("name", "value", patient=True)
    assert plain.entries == {"name": "value"}
    assert await keyring.backend() == "PlaintextKeyring"
    await refused(Kind.KEYRING_UNAVAILABLE, OsKeyring(NULL, allow_plaintext=True).read("a", patient=True))


class Chain(ChainerBackend):
    """What the library puts together when several backends work."""

    backends: tuple[Any, ...] = ()


def chained(*backends: Any) -> Chain:
    """A chain of these."""
    chain: Any = Chain
    made: Chain = chain()
    made.backends = backends
    return made


async def test_a_chain_is_used_without_what_keeps_no_secret() -> None:
    """The first backend that can be written gets the key, even behind one that can only be read."""

    class ReadOnly(Memory):
        def set_password(self, service: str, name: str, value: str) -> None:
            raise NotImplementedError

    plain, first, last = named("PlaintextKeyring"), Memory(), Memory({"name": "old"})
    keyring = over(chained(plain, ReadOnly(), first, last))
    assert await keyring.read("name", patient=False) == "old"
    await keyring.write("name", "new", patient=True)
    assert first.entries == {"name": "new"}
    assert await keyring.read("name", patient=False) == "new"
    assert await keyring.remove("name", patient=True) is True
    assert (first.entries, last.entries, plain.calls) == ({}, {}, [])


async def test_a_chain_of_nothing_useful_is_refused() -> None:
    """Plain text does not become a keyring by being chained; neither do backends that only read."""

    class ReadOnly(Memory):
        def set_password(self, service: str, name: str, value: str) -> None:
            raise NotImplementedError

    for chain, words in (
        (chained(named("PlaintextKeyring"), named("PlaintextKeyring")), "plain file"),
        (chained(), "no keyring"),
        (chained(ReadOnly(), ReadOnly()), "only be read"),
    ):
        problem = await refused(Kind.KEYRING_UNAVAILABLE, over(chain).write("a", "b", patient=True))
        assert words in problem.message


async def test_the_backend_is_named_for_a_report() -> None:
    """A library's own by its module, others by their class."""
    assert await over(Memory()).backend() == "Memory"
    service = named("Keyring", module="keyring.backends.SecretService")
    assert await over(chained(service, Memory())).backend() == "SecretService + Memory"


@pytest.mark.parametrize("error", [ModuleNotFoundError("no module x"), ValueError("Empty"), SystemExit(2)])
async def test_a_backend_that_cannot_be_loaded_is_unavailable(error: BaseException) -> None:
    """The remedy names where the backend is configured; the next call tries again."""
    outcomes = [error]
    memory = Memory({"name": "value"})

    def load() -> Any:
        if outcomes:
            raise outcomes.pop()
        return memory

    keyring = OsKeyring(load)
    problem = await refused(Kind.KEYRING_UNAVAILABLE, keyring.read("name", patient=False))
    assert type(error).__name__ in problem.message
    assert "PYTHON_KEYRING_BACKEND" in problem.remedy
    assert await keyring.read("name", patient=False) == "value"


@pytest.mark.parametrize(("address", "words"), [(None, "D-Bus"), ("unix:path=/nowhere", "nothing on this")])
async def test_no_keyring_says_whether_it_is_for_want_of_dbus(
    monkeypatch: pytest.MonkeyPatch, address: str | None, words: str
) -> None:
    """The remedy of a session without D-Bus is another than that of a desktop without a keyring."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    lost = InitError("Failed to create the collection")
    lost.__cause__ = type("SecretServiceNotAvailableException", (Exception,), {})("gone")
    for backend in (NOTHING(), Failing(NoKeyringError("none")), Failing(lost)):
        problem = await refused(Kind.KEYRING_UNAVAILABLE, over(backend).read("name", patient=False))
        assert words in problem.message


# --- what backends raise -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (KeyringLocked("Failed to unlock the collection!"), Kind.KEYRING_LOCKED, "is locked"),
        (InitError("Failed to create the collection"), Kind.KEYRING_UNAVAILABLE, "no default collection"),
        (PasswordSetError("x"), Kind.KEYRING_UNAVAILABLE, "PasswordSetError"),
        (KeyringError("x"), Kind.KEYRING_UNAVAILABLE, "KeyringError"),
        (type("error", (Exception,), {})(1783, "CredWrite", "x"), Kind.KEYRING_UNAVAILABLE, "(error)"),
        (OSError(5, "x"), Kind.KEYRING_UNAVAILABLE, "OSError"),
        (SystemExit(3), Kind.KEYRING_UNAVAILABLE, "SystemExit"),
        (KeyboardInterrupt(), Kind.KEYRING_UNAVAILABLE, "KeyboardInterrupt"),
    ],
)
async def test_each_failure_has_its_own_words(error: BaseException, kind: Kind, words: str) -> None:
    """Locked is told apart from unavailable; an exit in a backend does not end the worker."""
    backend = Failing(error)
    keyring = over(backend)
    problem = await refused(kind, keyring.write("name", "value", patient=True))
    assert words in problem.message
    problem = await refused(kind, keyring.read("name", patient=False))
    assert words in problem.message


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit, KeyringLocked, InitError, PasswordSetError])
async def test_a_failure_never_carries_the_secret(raised: Callable[[str], BaseException]) -> None:
    """A backend that quotes the value in its exception cannot get it into ours, its context or traceback."""
    secret = canary("in a backend's exception")

    class Talkative(Memory):
        def set_password(self, *entry: str) -> None:
            raise raised(f"could not store {entry[-1]}")

    keyring = over(Talkative())
    problem = await refused(Kind(await kind_of(keyring, secret)), keyring.write("a", secret, patient=True))
    told = [problem.message, problem.remedy, repr(problem), repr(problem.args), repr(keyring)]
    told += traceback.format_exception(problem)
    told += [repr(problem.__context__), repr(problem.__cause__)]
    assert secret not in "".join(told)


async def kind_of(keyring: OsKeyring, secret: str) -> str:
    """The kind of problem that writing ends in."""
    with pytest.raises(Problem) as caught:
        await keyring.write("a", secret, patient=True)
    return caught.value.kind.value


async def test_no_repr_on_the_way_shows_a_value(caplog: pytest.LogCaptureFixture) -> None:
    """What asyncio's debug mode prints of futures and handles does not hold what was read."""
    secret = canary("read from the keyring")
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0  # so that every handle is printed
    value = None

    async def read() -> None:  # the task of whoever asks is theirs
        nonlocal value
        value = await over(Memory({"name": secret})).read("name", patient=False)

    await asyncio.create_task(read())
    assert value == secret
    assert "took" in caplog.text
    assert secret[:12] not in caplog.text  # asyncio shortens what it prints


@pytest.mark.parametrize(
    ("value", "fits"), [("x" * 1280, True), ("x" * 1281, False), ("\U0001f511" * 641, False)]
)
async def test_windows_keeps_1280_characters(value: str, fits: bool) -> None:  # noqa: FBT001 - a table
    """A longer value is refused before Windows cuts it or fails; a character beyond the BMP counts twice."""
    backend = named("WinVaultKeyring", module="keyring.backends.Windows")
    call = over(backend).write("name", value, patient=True)
    if fits:
        await call
    else:
        assert "1,280 characters" in (await refused(Kind.KEYRING_UNAVAILABLE, call)).message
    assert ("name" in backend.entries) is fits
    assert ("set name" in backend.calls) is fits


# --- deadlines -----------------------------------------------------------------------------------


async def test_a_call_that_hangs_ends_at_its_deadline_and_the_loop_stays_free() -> None:
    """3 s in the background, by default; meanwhile the event loop turns as ever."""
    backend = Waiting()
    keyring = OsKeyring(lambda: backend)
    loop = asyncio.get_running_loop()
    ticks = [loop.time()]

    def tick() -> None:
        ticks.append(loop.time())
        ticking[0] = loop.call_later(0.01, tick)

    ticking = [loop.call_soon(tick)]
    started = time.monotonic()
    problem = await refused(Kind.KEYRING_LOCKED, keyring.read("held", patient=False))
    took = time.monotonic() - started
    ticking[0].cancel()
    backend.go.set()
    assert 3.0 <= took < 3.5
    assert max(after - before for before, after in pairwise(ticks)) < 0.2
    assert "within 3 s" in problem.message
    assert "prompt" in problem.remedy
    assert problem.retryable


async def test_what_the_user_asked_for_is_waited_for_longer() -> None:
    """An unlock prompt answered after the background deadline still gives the key."""
    backend = Waiting()
    backend.entries["held"] = "value"
    keyring = over(backend, background=SOON)
    waiting = asyncio.create_task(keyring.read("held", patient=True))
    await asyncio.to_thread(backend.waits.acquire)
    problem = await refused(Kind.KEYRING_LOCKED, keyring.read("other", patient=False))
    assert "unlock" in problem.message
    assert not waiting.done()
    backend.go.set()
    assert await waiting == "value"
    assert await keyring.read("next", patient=False) is None
    assert "get other" not in backend.calls  # given up before its turn


async def test_a_backend_that_does_not_come_up_is_no_locked_one() -> None:
    """While D-Bus starts its service there is no prompt to look for."""
    go = threading.Event()

    def load() -> Any:
        go.wait()
        return Memory()

    keyring = OsKeyring(load, background_deadline=SOON)
    problem = await refused(Kind.KEYRING_UNAVAILABLE, keyring.read("name", patient=False))
    assert "not started" in problem.message
    go.set()
    await has_ended(keyring)
    assert await keyring.read("name", patient=True) is None


@pytest.mark.parametrize("verb", ["write", "remove"])
async def test_what_was_given_up_while_locked_is_not_done_later(verb: str) -> None:
    """The user was told that it failed, so unlocking afterwards must not make it so."""
    backend = Waiting()
    backend.entries["held"] = "old"
    keyring = over(backend, patient=SOON)
    calls: dict[str, Callable[..., Any]] = {
        "write": partial(keyring.write, "held", "new"),
        "remove": partial(keyring.remove, "held"),
    }
    await refused(Kind.KEYRING_LOCKED, calls[verb](patient=True))
    backend.go.set()
    await has_ended(keyring)
    assert backend.entries == {"held": "old"}
    assert not any(call.startswith(("set", "delete")) for call in backend.calls)


async def test_a_cancelled_call_holds_nobody_up() -> None:
    """Its thread is left behind, and what it was to do is not done."""
    backend = Waiting()
    keyring = over(backend)
    task = asyncio.create_task(keyring.write("held", "new", patient=True))
    await asyncio.to_thread(backend.waits.acquire)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keyring.read("other", patient=False) is None
    backend.go.set()
    await has_ended(keyring)
    assert backend.entries == {}


async def test_a_stuck_call_does_not_hold_up_those_behind_it() -> None:
    """Whoever waits behind it goes on, on a fresh thread, as soon as it is given up."""
    backend = Waiting()
    backend.entries["other"] = "value"
    keyring = over(backend, background=SOON)
    behind, stuck = await asyncio.gather(
        waits_for(backend, keyring.read("other", patient=True)),
        refused(Kind.KEYRING_LOCKED, keyring.read("held", patient=False)),
    )
    backend.go.set()
    assert behind == "value"
    assert stuck.kind is Kind.KEYRING_LOCKED


async def waits_for(backend: Waiting, call: Any) -> Any:
    """Make a call once another one hangs."""
    await asyncio.to_thread(backend.waits.acquire)
    return await call


async def test_only_so_many_threads_are_left_behind() -> None:
    """After three, a call fails at once; when one of them comes back, it works again."""
    backend = Waiting()
    keyring = over(backend, background=SOON)
    for _ in range(MOST_STUCK):
        await refused(Kind.KEYRING_LOCKED, keyring.read("held", patient=False))
    for patient in (False, True):  # patience does not help
        problem = await refused(Kind.KEYRING_UNAVAILABLE, keyring.read("other", patient=patient))
        assert "hang" in problem.message
    assert len(own_threads()) == MOST_STUCK
    backend.go.set()
    await has_ended(keyring)
    assert await keyring.read("other", patient=False) is None
    for thread in own_threads():  # none stays for what may come
        await asyncio.to_thread(thread.join, DEADLINE)
    assert own_threads() == []


def own_threads() -> list[threading.Thread]:
    """The keyring's threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


# --- a process of its own ------------------------------------------------------------------------


def run(code: str, **env: str) -> str:
    """What a fresh interpreter prints; it ends by itself, in time."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PATH": os.defpath, "PYTHONPATH": str(SOURCES), **env},
        capture_output=True,
        timeout=DEADLINE,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_backend_that_hangs_does_not_delay_the_exit() -> None:
    """The process is gone although its worker waits for ever."""
    told = run(
        "import asyncio, threading\n"
        "from qwen_ls.adapters.keyring import OsKeyring\n"
        "class Hangs:\n"
        "    def get_password(self, service, name): threading.Event().wait()\n"
        "try: asyncio.run(OsKeyring(Hangs, background_deadline=0.1).read('a', False))\n"
        "except Exception as problem: print(problem.kind.value)\n"
    )
    assert told == "keyring-locked\n"


def test_the_library_is_imported_at_the_first_call() -> None:
    """Neither importing the adapter nor making one does; the call does, on its own thread."""
    told = run(
        "import asyncio, sys\n"
        "from qwen_ls.adapters.keyring import OsKeyring\n"
        "keyring = OsKeyring()\n"
        "print('keyring' in sys.modules)\n"
        "print(asyncio.run(keyring.backend()))\n"
        "print('keyring' in sys.modules)\n",
        PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
    )
    before, backend, after = told.splitlines()
    assert (before, after) == ("False", "True")
    assert backend.startswith("none: The keyring is switched off")


def test_a_backend_named_in_the_environment_that_does_not_exist_is_reported() -> None:
    """The library's own failure to import it is a problem like any other."""
    told = run(
        "import asyncio\n"
        "from qwen_ls.adapters.keyring import OsKeyring\n"
        "print(asyncio.run(OsKeyring().backend()))\n",
        PYTHON_KEYRING_BACKEND="nowhere.at.all.Keyring",
    )
    assert told.startswith("none: The keyring's backend could not be loaded (ModuleNotFoundError)")
