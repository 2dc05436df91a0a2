"""What is remembered across restarts, by several servers at once."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from qwen_ls.adapters import state
from qwen_ls.adapters.state import StateFile
from qwen_ls.core.origin import ConsentKey, Decision

if TYPE_CHECKING:
    from pathlib import Path

KEY = ConsentKey("/ws", "/ws/.env", "0123456789abcdef", "https://llm.example/v1")
OTHER = ConsentKey("/ws", "/ws/.env", "0123456789abcdef", "https://other.example/v1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "state" / "state.json"


def write(path: Path, state: object) -> None:
    """What a server has left."""
    path.parent.mkdir()
    path.write_text(json.dumps(state))


def stored_in(path: Path) -> Any:
    """What the file holds."""
    return json.loads(path.read_bytes())


async def models_of(file: StateFile, folder: str = "/ws") -> tuple[object, object]:
    """The models chosen for the user and for a folder."""
    found = await file.recall(folder)
    return found.user_models, found.folder_models


async def test_choices_and_decisions_come_back(path: Path) -> None:
    """In another server too; None forgets; a later answer replaces an earlier one."""
    file = StateFile(path)
    assert (await file.choice(None), await file.decisions()) == (None, {})
    await file.choose(None, "api-key")
    await file.choose("/ws", "qwen-oauth")
    await file.decide({KEY: Decision.SEND, OTHER: Decision.FILE})
    await file.decide({KEY: Decision.DENY})
    other = StateFile(path)
    assert [await other.choice(where) for where in (None, "/ws", "/elsewhere")] == [
        "api-key",
        "qwen-oauth",
        None,
    ]
    assert await other.decisions() == {KEY: Decision.DENY, OTHER: Decision.FILE}
    found = await other.recall("/ws")
    assert (found.user_choice, found.folder_choice) == ("api-key", "qwen-oauth")
    assert found.decisions == await other.decisions()
    assert (await other.recall(None)).folder_choice is None
    await other.choose("/ws", None)
    assert await file.choice("/ws") is None


async def test_chosen_models_come_back(path: Path) -> None:
    """By place and base URL, in another server too; None forgets one and leaves the others."""
    file, here, there = StateFile(path), "https://llm.example/v1", "https://other.example/v1"
    assert await models_of(file) == ({}, {})
    await file.choose_model(None, here, "a")
    await file.choose_model("/ws", here, "b")
    await file.choose_model("/ws", there, "c")
    await file.choose_model("/ws", here, "d")
    other = StateFile(path)
    assert await models_of(other) == ({here: "a"}, {here: "d", there: "c"})
    assert await models_of(other, "/elsewhere") == ({here: "a"}, {})
    await other.choose_model("/ws", here, None)
    await other.choose_model("/elsewhere", here, None)
    assert await models_of(file) == ({here: "a"}, {there: "c"})
    assert stored_in(path)["version"] == 1


@pytest.mark.parametrize(
    "models",
    [5, [], {"user": "m"}, {"user": {"https://x/v1": 5}}, {"folders": []}, {"folders": {"/ws": {"u": None}}}],
)
async def test_chosen_models_that_make_no_sense(path: Path, models: object) -> None:
    """The file counts as none of ours: nothing is chosen, and the next choice keeps it beside the new one."""
    write(path, {"models": models})
    file = StateFile(path)
    assert await models_of(file) == ({}, {})
    await file.choose_model("/ws", "https://x/v1", "m")
    assert await models_of(file) == ({}, {"https://x/v1": "m"})
    assert stored_in(path.with_suffix(".bad")) == {"models": models}


def test_a_file_that_cannot_be_read_is_not_replaced(path: Path) -> None:
    """A choice is refused then, and nothing that was chosen before is lost."""
    path.mkdir(parents=True)
    with pytest.raises(OSError, match="not a regular file"):
        asyncio.run(StateFile(path).choose(None, "api-key"))
    assert path.is_dir()


async def test_servers_that_write_at_once_lose_nothing(path: Path) -> None:
    """Each change is made on what is there then, under a lock; unknown fields of a later version stay."""
    write(path, {"version": 9, "future": {"x": 1}})
    servers = [StateFile(path) for _ in range(3)]
    await asyncio.gather(
        *(s.choose(f"/ws{n}", "api-key") for n in range(12) for s in servers[n % 3 : n % 3 + 1])
    )
    stored = stored_in(path)
    assert set(stored["choices"]["folders"]) == {f"/ws{n}" for n in range(12)}
    assert stored["future"] == {"x": 1}


async def test_rows_that_make_no_sense_are_passed_over(path: Path) -> None:
    """A decision of another type counts as none; good ones beside it count."""
    good = {"folder": "/ws", "file": "/ws/.env", "key_digest": KEY.key_digest, "base_url": KEY.base_url}
    rows = [5, {}, {**good, "decision": "perhaps"}, {**good, "base_url": OTHER.base_url, "decision": "send"}]
    write(path, {"decisions": rows})
    assert await StateFile(path).decisions() == {OTHER: Decision.SEND}


async def test_a_lock_that_is_not_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server that hangs while it writes: an OSError, and the file as it was."""
    await StateFile(path).choose(None, "api-key")
    monkeypatch.setattr(state, "LOCK_WAIT", 0.05)
    with FileLock(path.with_suffix(".lock")), pytest.raises(OSError, match="lock"):
        await StateFile(path).choose(None, "qwen-oauth")
    assert await StateFile(path).choice(None) == "api-key"
