"""Stored keys: names that nothing shares, values that speak for themselves, an index that is not believed."""

from __future__ import annotations

import json
import random
import unicodedata
from typing import Any

import attrs
import pytest

from canary import canary
from qwen_ls.core.secret import Secret
from qwen_ls.core.stored import (
    FOLDER,
    USER,
    StoredKey,
    encode_index,
    encode_value,
    entry_name,
    parse_index,
    parse_value,
)

KEY = canary("test_stored")
PAIRS = 10_000
ENTRY = StoredKey(FOLDER, "/projects/a", "custom", "http://127.0.0.1:1/v1", "m", Secret(KEY).fingerprint, 7.5)
OF_USER = attrs.evolve(ENTRY, target=USER, folder=None, provider="openai")
PIECES = (
    "a",
    "A",
    "b",
    "/",
    ":",
    "\\",
    " ",
    ".",
    "user",
    "workspaceFolder",
    "openai",
    "é",
    "e\u0301",
    "ß",
    "ss",
    "\0",
)


def name_of(pair: tuple[str, str]) -> str:
    """The name of (target, folder or provider)."""
    target, varying = pair
    return entry_name(FOLDER, varying, "") if target == FOLDER else entry_name(USER, None, varying)


def test_no_two_share_a_name() -> None:
    """Ten thousand random pairs, made of pieces that are easily confused, have as many names."""
    chance = random.Random(7)  # noqa: S311 - a test that repeats
    pairs: set[tuple[str, str]] = set()
    while len(pairs) < PAIRS:
        pairs.add((chance.choice((FOLDER, USER)), "".join(chance.choices(PIECES, k=chance.randrange(1, 12)))))
    assert len({name_of(pair) for pair in pairs}) == PAIRS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/projects/Project", "/projects/project"),
        ("/projects/é", unicodedata.normalize("NFD", "/projects/é")),
        ("/projects/a", "/projects/a/"),
        ("/projects/ß", "/projects/ss"),
        ("/projects/\udcc3\udca9", "/projects/é"),
    ],
    ids=["case", "Unicode form", "slash", "folding", "bytes that are no text"],
)
def test_variants_of_a_path_are_different_folders(one: str, other: str) -> None:
    """Names differ, also for a store that folds case and Unicode forms."""
    names = [entry_name(FOLDER, path, "") for path in (one, other)]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == 2


def test_a_folders_name_does_not_depend_on_the_provider_nor_the_users_on_a_folder() -> None:
    """One key per folder, one per provider for the user."""
    assert entry_name(FOLDER, "/a", "openai") == entry_name(FOLDER, "/a", "custom")
    assert entry_name(USER, "/a", "openai") == entry_name(USER, None, "openai")
    assert entry_name(FOLDER, "openai", "") != entry_name(USER, None, "openai")


def test_every_text_has_a_name() -> None:
    """Any string that JSON can hold, lone surrogates too."""
    assert entry_name(FOLDER, "/\ud800", "") != entry_name(FOLDER, "/\ud801", "")


@pytest.mark.parametrize("entry", [ENTRY, OF_USER, attrs.evolve(OF_USER, model=None)])
def test_what_was_stored_comes_back(entry: StoredKey) -> None:
    """Value and index, both ways; the index and the entry's own text hold no key."""
    assert parse_value(encode_value(entry, Secret(KEY)), entry) == (entry, Secret(KEY))
    index = json.loads(json.dumps(encode_index(entry)))
    assert parse_index(index) == entry
    assert KEY not in json.dumps(index) + repr(entry) + str(entry)


def test_the_values_own_word_counts() -> None:
    """An index that names another base URL, provider, model or fingerprint changes nothing."""
    lies: dict[str, Any] = {
        "base_url": "http://127.0.0.1:2/v1",
        "provider": "openai",
        "model": "x",
        "fingerprint": "…liar",
    }
    tampered = attrs.evolve(ENTRY, **lies)
    assert parse_value(encode_value(ENTRY, Secret(KEY)), tampered) == (ENTRY, Secret(KEY))


@pytest.mark.parametrize("other", [attrs.evolve(ENTRY, folder="/projects/b"), OF_USER])
def test_a_value_is_not_taken_for_another_folder_or_target(other: StoredKey) -> None:
    """An index that leads to another's entry opens nothing."""
    assert parse_value(encode_value(ENTRY, Secret(KEY)), other) == (
        "the keyring entry belongs to another folder"
    )


def changed(**fields: Any) -> str:
    """A value with some fields replaced; None takes one out."""
    value = {**json.loads(encode_value(ENTRY, Secret(KEY))), **fields}
    return json.dumps({name: field for name, field in value.items() if field is not None})


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY,
        "[]",
        "null",
        "[" * 100_000,
        json.dumps({"key": KEY}),
        changed(v=2),
        changed(v=None),
        changed(key=""),
        changed(key=7),
        changed(key=[KEY]),
        changed(base_url=None),
        changed(provider={}),
        changed(folder=["/projects/a"]),
    ],
    ids=range(14),
)
def test_garbage_is_refused_without_a_quotation(text: str) -> None:
    """What is wrong is said in one clause in which the value does not occur."""
    found = parse_value(text, ENTRY)
    assert isinstance(found, str)
    assert found.startswith("the keyring entry ")
    assert KEY not in found


def test_a_model_that_is_no_text_is_no_model() -> None:
    """The key can be used all the same."""
    assert parse_value(changed(model=3), ENTRY) == (attrs.evolve(ENTRY, model=None), Secret(KEY))


@pytest.mark.parametrize(
    "fields",
    [
        {"target": "everybody"},
        {"target": [], "folder": None},
        {"folder": None},
        {"folder": 3},
        {"target": USER},
        {"provider": None},
        {"base_url": 1},
        {"fingerprint": {}},
        {"stored_at": "yesterday"},
        {"stored_at": True},
        {"model": 5},
        {"kept_in": "the cloud"},
        {"kept_in": []},
    ],
    ids=str,
)
def test_an_index_entry_that_makes_no_sense_is_none(fields: dict[str, Any]) -> None:
    """It counts as not being there; nothing is raised."""
    assert parse_index({**encode_index(ENTRY), **fields}) is None


def test_an_index_entry_with_a_field_too_few_or_too_many() -> None:
    """One too few is none, one too many is not looked at."""
    whole = encode_index(ENTRY)
    assert parse_index({**whole, "later": 1}) == ENTRY
    for name in whole:
        assert parse_index({k: v for k, v in whole.items() if k != name}) is None
