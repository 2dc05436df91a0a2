"""qwen_ls.core.provenance: where a value came from, and whose word it is."""

from __future__ import annotations

import pytest

from qwen_ls.core.provenance import USER, Source, SourceKind, Tier, Value


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (Source(SourceKind.DOTENV, "A", "/p/.env", 3), "A at /p/.env:3"),
        (Source(SourceKind.ENVIRONMENT, "A"), "environment variable A"),
        (
            Source(SourceKind.QWEN_OAUTH, file="/h/.qwen/oauth_creds.json"),
            "the sign-in cached in /h/.qwen/oauth_creds.json",
        ),
        (Source(SourceKind.KEYRING), "keyring"),
    ],
)
def test_a_source_names_its_place(source: Source, text: str) -> None:
    """Messages say the file and line, or the variable."""
    assert str(source) == text


def test_tiers() -> None:
    """The user is one tier; each project file is a tier of its own."""
    assert USER.is_user
    assert str(USER) == "user"
    one, other = Tier("/a/.env"), Tier("/b/.env")
    assert one != other
    assert not one.is_user
    assert str(one) == "project file /a/.env"


def test_a_value_does_not_show_its_text() -> None:
    """A value may be a key, so its repr shows where it is from and not what it is."""
    value = Value("canary-0123456789", Source(SourceKind.ENVIRONMENT, "OPENAI_API_KEY"), USER)
    assert "canary" not in repr(value)
    assert "OPENAI_API_KEY" in repr(value)
