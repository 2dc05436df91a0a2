"""The user's settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qwen_ls.adapters.settings import load_settings
from qwen_ls.core.settings import Settings

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
