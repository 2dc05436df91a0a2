"""Qwen Code's settings.json: comments, trailing commas, variables, which key it holds; never an exception."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_ls.core.credentials import provider_of_setting
from qwen_ls.core.qwen_settings import MAX_BYTES, QwenKey, expand, parse_jsonc, read_qwen_settings

ENTRY = {"id": "m", "envKey": "CORP_KEY", "baseUrl": "https://corp.example/v1"}
PLAIN = {"security": {"auth": {"apiKey": "k-plain", "baseUrl": "https://plain.example/v1"}}}
OF_PLAIN = QwenKey("k-plain", "https://plain.example/v1", None, "security.auth.apiKey")


def read(fields: Any, **process: str) -> QwenKey | str | None:
    """The key in settings that are written as plain JSON."""
    return read_qwen_settings(json.dumps(fields), process)


def with_entries(*entries: Any, model: Any = "m", **more: Any) -> dict[str, Any]:
    """Settings with entries of modelProviders and a chosen model."""
    name = model if isinstance(model, dict) else {"name": model}
    return {"modelProviders": {"openai": list(entries)}, "model": name, **more}


# --- JSON with comments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('// first\n{"a": 1} // last', {"a": 1}),
        ('{/* one\n two */"a": /**/ 1 /* ** / */}', {"a": 1}),
        ('{"a": "// no /* comment */"}', {"a": "// no /* comment */"}),
        ('{"a": "\\"// no\\\\"} // yes "', {"a": '"// no\\'}),
        ('{"a": [1, 2,], // why\n}', {"a": [1, 2]}),
        ('{"a": ",}", "b": [",]",],}', {"a": ",}", "b": [",]"]}),
        ("[1/* between */,2]", [1, 2]),
        ("// a comment alone ends\r\n[1]", [1]),
    ],
)
def test_comments_and_trailing_commas(text: str, value: Any) -> None:
    """Comments of both kinds and commas before a bracket are passed over; strings stay as they are."""
    assert parse_jsonc(text) == value


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": /* 1}', '{"a": "1}', "{,}x", "// {}", '{"a": 1 / 2}', "\x00"]
)
def test_what_is_no_json_stays_none(text: str) -> None:
    """Nothing else is made up for."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own, whose text is its own
        parse_jsonc(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_plain_json_is_read_as_json(value: Any) -> None:
    """Whatever JSON holds, in strings above all, comes out as json.loads would give it."""
    assert parse_jsonc(json.dumps(value, ensure_ascii=False)) == value


@given(st.text(alphabet='{}[]",:/*\\ \n$a1'))
def test_no_text_raises(text: str) -> None:
    """Any text gives a key, nothing, or a clause."""
    assert isinstance(read_qwen_settings(text, {}), QwenKey | str | None)


@pytest.mark.parametrize(
    "piece",
    [
        "/* ",
        "/*",
        '\\"',
        '"\\"',
        "//",
        "// \n",
        ", ",
        ",",
        "[",
        '{"a":',
        "${a",
        "$",
        " ",
        "\\",
        '"',
        "*",
        "/",
    ],
)
@pytest.mark.parametrize("before", ["", '"', "/*", '{"a":1,'])
def test_the_largest_file_is_read_in_no_time(piece: str, before: str) -> None:
    """1 MiB of whatever never closes takes less than a second of this process's time."""
    text = before + piece * (MAX_BYTES // len(piece))
    start = time.process_time()
    assert isinstance(read_qwen_settings(text, {}), str)
    assert time.process_time() - start < 1


# --- variables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A", "one"),
        ("${A}", "one"),
        ("x${A}y$A-$A", "xoneyone-one"),
        ("$AB ${AB}", "$AB ${AB}"),
        ("${A", "${A"),
        ("$", "$"),
        ("$$A", "$one"),
        ("$EMPTY", None),
        ("${B}", "$A"),
        ("", None),
        (" \t", None),
        (" padded ", "padded"),
        (7, None),
        (None, None),
        (["$A"], None),
    ],
)
def test_variables_come_from_the_process(text: Any, value: str | None) -> None:
    """Both spellings; unknown names stay as they are, and what is put in is not looked at again."""
    assert expand(text, {"A": "one", "EMPTY": "", "B": "$A"}) == value


# --- the key ----------------------------------------------------------------------------------------------


def test_a_plain_key() -> None:
    """`security.auth` holds key and base URL, `model.name` the model; each may name a variable."""
    fields = {
        "security": {"auth": {"apiKey": "${K}", "baseUrl": "https://$HOST/v1"}},
        "model": {"name": "$MODEL"},
    }
    found = read(fields, K="k-1", HOST="h.example", MODEL="m-1")
    assert found == QwenKey("k-1", "https://h.example/v1", "m-1", "security.auth.apiKey")


def test_a_byte_order_mark_is_allowed() -> None:
    """Some editors write one."""
    assert read_qwen_settings("\ufeff" + json.dumps(PLAIN), {}) == OF_PLAIN


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"security": None},
        {"security": {"auth": []}},
        {"security": {"auth": {"apiKey": ""}}},
        {"security": {"auth": {"apiKey": 7}}},
        {"security": {"auth": {"baseUrl": "https://x.example/v1"}}},
        {"modelProviders": [], "model": {"name": "m"}},
        {"modelProviders": {"openai": {"id": "m"}}, "model": {"name": "m"}},
        with_entries(None, 7, "m", [], {"id": ["m"]}),
        with_entries(ENTRY),
        with_entries(ENTRY, env={"CORP_KEY": 7}),
        with_entries(ENTRY, env=["CORP_KEY"]),
        with_entries(ENTRY, model=7, env={"CORP_KEY": "k"}),
        with_entries(ENTRY, model="another", env={"CORP_KEY": "k"}),
    ],
)
def test_no_key(fields: Any) -> None:
    """Settings without a key, or of another shape than ours, offer none; that is no problem."""
    assert read(fields) is None


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "no JSON object"),
        ('"x"', "no JSON object"),
    ],
)
def test_a_broken_file_says_so(text: str, clause: str) -> None:
    """One clause, and no exception."""
    found = read_qwen_settings(text, {})
    assert isinstance(found, str)
    assert clause in found


def test_the_chosen_models_entry() -> None:
    """The entry with the model's id gives base URL and, by `envKey`, the key; a plain one comes after it."""
    other = {"id": "other", "envKey": "OTHER_KEY", "baseUrl": "https://other.example/v1"}
    fields = with_entries(other, ENTRY, **PLAIN, env={"CORP_KEY": "k-corp", "OTHER_KEY": "k-other"})
    assert read(fields) == QwenKey(
        "k-corp", "https://corp.example/v1", "m", "modelProviders.openai, CORP_KEY", "CORP_KEY"
    )


def test_an_entry_without_its_key_is_passed_over() -> None:
    """The plain key is next, with the model that was chosen."""
    found = read(with_entries(ENTRY, **PLAIN))
    assert found == QwenKey("k-plain", "https://plain.example/v1", "m", "security.auth.apiKey")


def test_where_an_entrys_key_is_looked_for() -> None:
    """The process comes before the file's own `env`; an empty variable counts as unset."""
    fields = with_entries(ENTRY, env={"CORP_KEY": "$ELSEWHERE"})

    def key(**process: str) -> str | None:
        found = read(fields, **process)
        return found.key if isinstance(found, QwenKey) else None

    assert key(CORP_KEY="k-process", ELSEWHERE="k-env") == "k-process"
    assert key(CORP_KEY="", ELSEWHERE="k-env") == "k-env"
    assert key() == "$ELSEWHERE"


def test_two_entries_of_one_model() -> None:
    """`model.baseUrl` tells them apart."""
    second = {**ENTRY, "baseUrl": "https://second.example/v1", "envKey": "SECOND_KEY"}
    env = {"CORP_KEY": "k-1", "SECOND_KEY": "k-2"}
    model = {"name": "m", "baseUrl": "https://second.example/v1"}
    found = read(with_entries(ENTRY, second, model=model, env=env))
    assert isinstance(found, QwenKey)
    assert (found.key, found.base_url) == ("k-2", "https://second.example/v1")


def test_an_entry_without_env_key() -> None:
    """OPENAI_API_KEY is Qwen Code's default."""
    found = read(with_entries({"id": "m"}), OPENAI_API_KEY="k-openai")
    assert found == QwenKey("k-openai", None, "m", "modelProviders.openai, OPENAI_API_KEY", "OPENAI_API_KEY")


def test_the_key_is_not_shown() -> None:
    """What is logged or put into a message by mistake holds no key."""
    assert "k-plain" not in repr(read(PLAIN))


@pytest.mark.parametrize(
    ("variable", "key", "base_url"),
    [
        ("DEEPSEEK_API_KEY", "k", "https://api.deepseek.com"),
        ("BAILIAN_CODING_PLAN_API_KEY", "k", "https://coding.dashscope.aliyuncs.com/v1"),
        ("OPENAI_API_KEY", "k", "https://api.openai.com/v1"),
        ("OPENAI_API_KEY", "sk-sp-k", "https://coding.dashscope.aliyuncs.com/v1"),
        ("CORP_KEY", "k", "https://api.openai.com/v1"),
        (None, "k", "https://api.openai.com/v1"),
    ],
)
def test_where_a_key_without_a_base_url_goes(variable: str | None, key: str, base_url: str) -> None:
    """A key under a provider's own variable goes to that provider, as it would in the environment."""
    assert provider_of_setting(QwenKey(key, None, "m", "", variable)).base_url == base_url
