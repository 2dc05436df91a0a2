"""Our keyring adapter, in a process of its own, on a real gnome-keyring."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from canary import canary
from e2e import keyring_calls
from e2e.keyring_session import State, keyring_environment, lock, unlock
from wire import DEADLINE, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BACKGROUND = 3.0  # seconds that nobody waits longer for what he did not ask for
AT_ONCE = 2.0  # seconds, with the imports and on a busy machine
EXIT_LIMIT = 2.0


@attrs.frozen
class Caller:
    """A process that uses the keyring."""

    process: subprocess.Popen[str]

    def __call__(self, verb: str, *arguments: str, **options: bool) -> dict[str, Any]:
        """What comes of a call."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([verb, arguments, options]) + "\n")
        self.process.stdin.flush()
        outcome: dict[str, Any] = json.loads(self.process.stdout.readline())
        return outcome

    def result(self, verb: str, *arguments: str, **options: bool) -> Any:
        """The result of a call that succeeds."""
        outcome = self(verb, *arguments, **options)
        assert outcome["kind"] is None, outcome
        return outcome["result"]


@contextmanager
def calling(variables: Mapping[str, str], home: Path) -> Iterator[Caller]:
    """A process with these variables; it ends by itself when it has nothing more to do."""
    with subprocess.Popen(
        [sys.executable, Path(keyring_calls.__file__)],
        env=environment(home, **variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            yield Caller(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


def each_of(call: Caller, value: str) -> Iterator[dict[str, Any]]:
    """What comes of every verb."""
    yield call("write", "name", value, patient=True)
    yield call("read", "name", patient=False)
    yield call("remove", "name", patient=True)


def test_a_key_is_kept_replaced_and_removed(tmp_path: Path) -> None:
    """What one process stores another one reads, until it is removed; other entries are not touched."""
    first, second = canary("stored in gnome-keyring"), canary("stored in its place")
    long = json.dumps({"key": "k" * 8192, "note": "ключ 钥匙"})
    with keyring_environment() as variables:
        with calling(variables, tmp_path) as call:
            assert call.result("backend") == "SecretService"
            assert call.result("read", "one", patient=False) is None
            assert call.result("remove", "one", patient=True) is False
            assert call.result("write", "one", first, patient=True) is None
            assert call.result("write", "other", long, patient=True) is None
        with calling(variables, tmp_path) as call:
            assert call.result("read", "one", patient=False) == first
            assert call.result("write", "one", second, patient=True) is None
            assert call.result("read", "one", patient=False) == second
            assert call.result("remove", "one", patient=True) is True
            assert call.result("read", "one", patient=False) is None
            assert call.result("read", "other", patient=False) == long


def test_a_locked_keyring_says_so_and_works_once_it_is_unlocked(tmp_path: Path) -> None:
    """Nothing is written meanwhile; the same process goes on without a restart, and sees it locked again."""
    with keyring_environment("locked") as variables, calling(variables, tmp_path) as call:
        for outcome in each_of(call, "refused"):
            assert outcome["kind"] == "keyring-locked"
            assert outcome["seconds"] < BACKGROUND
        assert call.result("backend") == "SecretService"
        unlock(variables)
        assert call.result("read", "name", patient=False) is None
        assert call.result("write", "name", "value", patient=True) is None
        lock(variables)
        assert call("read", "name", patient=False)["kind"] == "keyring-locked"
        unlock(variables)
        assert call.result("read", "name", patient=False) == "value"


def test_a_prompt_that_nobody_answers_is_not_waited_for(tmp_path: Path) -> None:
    """The background deadline holds, the next call gets a thread of its own, and the exit is not delayed."""
    with keyring_environment("prompting") as variables, calling(variables, tmp_path) as call:
        for outcome in (call("read", "name", patient=False), call("write", "name", "value", patient=False)):
            assert outcome["kind"] == "keyring-locked"
            assert BACKGROUND <= outcome["seconds"] < BACKGROUND + 0.5
            assert "prompt" in outcome["message"]
        unlock(variables)
        assert call.result("read", "name", patient=False) is None  # what was given up has not been written
        assert call.process.stdin is not None
        call.process.stdin.close()
        left = time.monotonic()
        assert call.process.wait(DEADLINE) == 0
        assert time.monotonic() - left < EXIT_LIMIT


@pytest.mark.parametrize(
    ("state", "words"),
    [("empty", "no default collection"), ("none", "no D-Bus"), ("null", "null backend")],
)
def test_without_a_keyring_the_reason_is_told_at_once(tmp_path: Path, state: State, words: str) -> None:
    """No collection, no D-Bus, a null backend: nothing is written, and no file takes its place."""
    secret = canary("refused by a missing keyring")
    with keyring_environment(state) as variables, calling(variables, tmp_path) as call:
        for outcome in each_of(call, secret):
            assert outcome["kind"] == "keyring-unavailable"
            assert words in outcome["message"]
            assert outcome["seconds"] < AT_ONCE
        here = [*tmp_path.rglob("*"), *Path(variables["XDG_RUNTIME_DIR"]).rglob("*")]
        assert not any(secret.encode() in path.read_bytes() for path in here if path.is_file())
