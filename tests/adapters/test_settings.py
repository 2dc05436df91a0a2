"""The user's settings file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest

from qwen_ls.adapters.settings import load_settings
from qwen_ls.core.settings import Settings, Timeouts

if TYPE_CHECKING:
    from pathlib import Path


def test_no_file_is_the_defaults(tmp_path: Path) -> None:
    """And no problem."""
    assert load_settings(tmp_path / "settings.json") == Settings()


def test_a_clients_settings_win_name_by_name(tmp_path: Path) -> None:
    """A byte order mark is no harm."""
    path = tmp_path / "settings.json"
    path.write_bytes(b'\xef\xbb\xbf{"insecureOrigins": ["http://a"], "timeouts": {"idle": 7}}')
    settings = load_settings(path, {"insecureOrigins": ["http://b"]})
    assert (settings.insecure_origins, settings.timeouts.idle, settings.problems) == (("http://b",), 7.0, ())


@pytest.mark.parametrize(
    "over",
    [
        {"proxy": None, "allowPlaintextKeys": None, "timeouts": None},
        {"proxy": "", "allowPlaintextKeys": "no"},
        {"timeouts": {"idle": 0}, "insecureOrigins": ["http://b/v1"], "oauthServers": {"corp": {}}},
    ],
)
def test_what_is_of_no_use_hides_nothing(tmp_path: Path, over: dict[str, object]) -> None:
    """The file's value of that name stays; null is no problem, and each of the others is one."""
    path = tmp_path / "settings.json"
    server = dict.fromkeys(
        ("deviceEndpoint", "tokenEndpoint", "clientId", "chatBaseUrl"), "https://a.example/v1"
    )
    fields = {
        "proxy": "http://p:1",
        "allowPlaintextKeys": True,
        "timeouts": {"idle": 7},
        "insecureOrigins": ["http://a"],
        "oauthServers": {"corp": server},
    }
    path.write_text(json.dumps(fields))
    alone, both = load_settings(path), load_settings(path, over)
    assert alone.problems == ()
    assert attrs.evolve(both, problems=()) == alone
    assert len(both.problems) == sum(value is not None for value in over.values())


def test_what_is_partly_of_use_wins(tmp_path: Path) -> None:
    """As it would without a file: what is good of it counts, and the rest is named."""
    path = tmp_path / "settings.json"
    path.write_text('{"timeouts": {"idle": 7}, "proxy": 5}')
    settings = load_settings(path, {"timeouts": {"idle": 0, "connect": 3}, "proxy": 6})
    assert (settings.timeouts, settings.proxy) == (Timeouts(connect=3.0), None)
    assert [problem.partition(" is ")[0] for problem in settings.problems] == ["timeouts.idle", "proxy"]


@pytest.mark.parametrize("data", [b"{", b"[1]", b"\xff\xfe", b"[" * 9999, None], ids=str)
def test_a_file_that_is_none_is_a_problem_and_the_defaults(tmp_path: Path, data: bytes | None) -> None:
    """Truncated, another type, binary, nested, a folder: it is named, once."""
    path = tmp_path / "settings.json"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    settings = load_settings(path)
    assert settings.timeouts == Settings().timeouts
    assert [str(path) in problem for problem in settings.problems] == [True]
