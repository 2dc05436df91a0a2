"""A real gnome-keyring on a D-Bus of its own, as a desktop session would have it, or as it should not be.

    with keyring_environment("unlocked") as variables:
        async with server({**environment(home), **variables}) as client:

`variables` are all that a process needs to reach it. Home, runtime folder, bus and daemon are made for the
block and gone after it; the machine's own session is neither used nor seen. What the rig runs inside
dbus-run-session is this file itself.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import secretstorage
from jeepney import MatchRule, message_bus  # type: ignore[import-untyped]
from jeepney.io.blocking import Proxy, open_dbus_connection  # type: ignore[import-untyped]
from secretstorage.util import DBusAddressWrapper, format_secret, open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

State = Literal["unlocked", "locked", "prompting", "empty", "null", "none"]
PROGRAMS = ("dbus-run-session", "gnome-keyring-daemon")
BUS = "DBUS_SESSION_BUS_ADDRESS"
SERVICE, SERVICE_PATH = "org.freedesktop.secrets", "/org/freedesktop/secrets"
MASTER_PASSWORDS = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"  # what seahorse uses, too
PROMPTER = "org.gnome.keyring.SystemPrompter"
# A bus that starts nothing of the machine's own: no other keyring, and no prompt on anybody's screen.
BUS_CONFIG = """<busconfig>
  <type>session</type>
  <listen>unix:path={folder}/bus</listen>
  <servicedir>{folder}</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""
PASSWORD = b"of the login keyring"
DEADLINE = 20.0  # seconds; it is up in 0.3 on an idle machine


@contextmanager
def keyring_environment(state: State = "unlocked") -> Iterator[dict[str, str]]:
    """Yield the variables with which a process is started so that it meets a keyring in this state.

    unlocked: the daemon with an unlocked login keyring. locked: it is locked, and whoever asks for it is
    refused at once, for no prompt can be shown. prompting: it is locked, and the prompt is never answered.
    empty: there is no login keyring, and none can be made. null: the library's null backend is configured.
    none: no D-Bus at all. Raises RuntimeError, with what the session wrote, if it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="keyring-") as made:  # a short name: sockets stand in it
        folder = Path(made)
        home, runtime = folder / "home", folder / "run"
        home.mkdir()
        runtime.mkdir(mode=0o700)
        variables = {"XDG_RUNTIME_DIR": str(runtime)}
        if state == "none":
            yield variables
        elif state == "null":
            yield {**variables, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
        else:
            prompts = unanswered_prompts(folder) if state == "prompting" else nullcontext()
            with prompts, running_session(folder, state) as address:
                yield {**variables, BUS: address}


@contextmanager
def running_session(folder: Path, state: State) -> Iterator[str]:
    """Run `main` below a bus of its own; yield the bus's address."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise RuntimeError(f"no {' and no '.join(missing)}: run tests/e2e/install.sh (`make e2e` does)")
    log, config = folder / "log", folder / "bus.conf"
    config.write_text(BUS_CONFIG.format(folder=folder))
    with (
        log.open("wb") as written,
        subprocess.Popen(
            ["dbus-run-session", f"--config-file={config}", "--", sys.executable, __file__, state],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder / "home"),
                "XDG_RUNTIME_DIR": str(folder / "run"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=written,
            start_new_session=True,
        ) as session,
    ):
        assert session.stdin is not None
        assert session.stdout is not None
        try:
            ready, _, _ = select.select([session.stdout], [], [], DEADLINE)
            line = session.stdout.readline() if ready else b""
            if not line:
                raise RuntimeError(f"no keyring came up:\n{log.read_text(errors='replace')[-2000:]}")
            yield json.loads(line)
        finally:
            session.stdin.close()
            try:
                session.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                os.killpg(session.pid, signal.SIGKILL)
                raise


@contextmanager
def unanswered_prompts(folder: Path) -> Iterator[None]:
    """Have prompts started by a program that never answers; it is let go at the end of the block."""
    fifo = folder / "prompt"
    os.mkfifo(fifo, 0o600)
    (folder / f"{PROMPTER}.service").write_text(
        f"[D-BUS Service]\nName={PROMPTER}\nExec=/bin/sh -c 'read answer < {fifo}'\n"
    )
    try:
        yield
    finally:
        with suppress(OSError):  # nobody has asked for a prompt
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


def unlock(variables: Mapping[str, str]) -> None:
    """Unlock a locked keyring, as signing in to the desktop does, while others use it."""
    with closing(open_dbus_connection(bus=variables[BUS])) as bus:
        collection = secretstorage.get_default_collection(bus)
        password = format_secret(open_session(bus), PASSWORD, "text/plain")
        daemon = DBusAddressWrapper(SERVICE_PATH, MASTER_PASSWORDS, bus)
        daemon.call("UnlockWithMasterPassword", "o(oayays)", collection.collection_path, password)
        assert not collection.is_locked()


def lock(variables: Mapping[str, str]) -> None:
    """Lock the keyring while others use it."""
    with closing(open_dbus_connection(bus=variables[BUS])) as bus:
        collection = secretstorage.get_default_collection(bus)
        collection.lock()
        assert collection.is_locked()


# --- inside the session --------------------------------------------------------------------------


def main(state: str) -> None:
    """Start the daemon, bring it into this state, tell the bus's address, stay until stdin is closed."""
    has_login = state != "empty"
    with subprocess.Popen(
        ["gnome-keyring-daemon", "--foreground", "--components=secrets", *["--unlock"] * has_login],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as daemon:
        try:
            assert daemon.stdin is not None
            daemon.stdin.write(PASSWORD if has_login else b"")
            daemon.stdin.close()
            wait_for_service()
            if state in {"locked", "prompting"}:
                lock(os.environ)
            sys.stdout.write(json.dumps(os.environ[BUS]) + "\n")
            sys.stdout.flush()
            sys.stdin.read()
        finally:
            daemon.terminate()
            daemon.wait(DEADLINE)


def wait_for_service() -> None:
    """Return once the daemon answers on the bus. Raises TimeoutError."""
    with closing(open_dbus_connection()) as connection:
        owned = MatchRule(
            type="signal",
            sender=message_bus.bus_name,
            interface=message_bus.interface,
            member="NameOwnerChanged",
            path=message_bus.object_path,
        )
        owned.add_arg_condition(0, SERVICE)
        bus = Proxy(message_bus, connection, timeout=DEADLINE)
        bus.AddMatch(owned)
        with connection.filter(owned) as signals:
            if not bus.NameHasOwner(SERVICE)[0]:
                connection.recv_until_filtered(signals, timeout=DEADLINE)


if __name__ == "__main__":
    assert sys.argv[1] in get_args(State)
    main(sys.argv[1])
