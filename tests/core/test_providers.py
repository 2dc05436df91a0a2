"""qwen_ls.core.providers: the catalogue."""

from __future__ import annotations

import pytest

from qwen_ls.core.providers import (
    CATALOGUE,
    CUSTOM,
    KEY_VARIABLES,
    KNOWN_NAMES,
    LOCAL_SERVERS,
    OPENAI,
    provider_of_key,
    provider_of_url,
)


def test_the_order_of_key_variables() -> None:
    """OPENAI_API_KEY is looked for first, then the providers' own in catalogue order."""
    assert KEY_VARIABLES == (
        "OPENAI_API_KEY",
        "DASHSCOPE_API_KEY",
        "BAILIAN_CODING_PLAN_API_KEY",
        "MODELSCOPE_API_KEY",
        "OPENROUTER_API_KEY",
        "FIREWORKS_API_KEY",
        "DEEPSEEK_API_KEY",
    )


def test_the_names_that_are_ever_read() -> None:
    """The OPENAI_ names, QWEN_MODEL, the key variables and the debug switches; nothing else."""
    others = {"OPENAI_BASE_URL", "OPENAI_MODEL", "QWEN_MODEL", "DEBUG", "DEBUG_MODE"}
    assert set(KNOWN_NAMES) == set(KEY_VARIABLES) | others


def test_ids_and_addresses_are_unique() -> None:
    """No two providers share an id or a base URL, and none ends in a slash."""
    everyone = (*CATALOGUE, *LOCAL_SERVERS)
    urls = [url for provider in everyone for url in provider.base_urls]
    assert len({p.id for p in everyone}) == len(everyone)
    assert len(set(urls)) == len(urls)
    assert not [url for url in urls if url.endswith("/")]


@pytest.mark.parametrize(
    ("key", "provider"),
    [("sk-sp-x", "coding-plan"), ("sk-x", "openai"), ("", "openai"), ("x-sk-sp-", "openai")],
)
def test_whose_key_it_is(key: str, provider: str) -> None:
    """A key starting `sk-sp-` belongs to the Coding Plan; any other OPENAI_API_KEY to OpenAI."""
    assert provider_of_key(key).id == provider


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.openai.com/v1//", "openai"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://coding-intl.dashscope.aliyuncs.com/v1", "coding-plan"),
        ("http://127.0.0.1:11434/v1", "ollama"),
        ("https://api.openai.com.evil/v1", "custom"),
        ("https://example.com/v1", "custom"),
        ("", "custom"),
    ],
)
def test_whose_address_it_is(url: str, provider: str) -> None:
    """A base URL of the catalogue names its provider; any other is custom, with no default model."""
    assert provider_of_url(url).id == provider
    assert (CUSTOM.default_model, CUSTOM.key_variable) == (None, None)


def test_the_default_region_comes_first() -> None:
    """DashScope's key goes to Beijing, the Coding Plan's to China, unless a base URL says otherwise."""
    first = {p.id: p.base_urls[0] for p in CATALOGUE}
    assert first["dashscope"] == "https://dashscope.aliyuncs.com/compatible-mode/v1"
    assert first["coding-plan"] == "https://coding.dashscope.aliyuncs.com/v1"
    assert OPENAI.base_urls == ("https://api.openai.com/v1",)
