"""qwen_ls.core.envhelp: what hover says, and what completion offers where."""

from __future__ import annotations

from typing import Any

import pytest

from core.env_views import KEY, OWN_KEY, view
from qwen_ls.core.envfile import parse_env
from qwen_ls.core.envhelp import MEANINGS, binding_at, explain, propose
from qwen_ls.core.providers import CATALOGUE, DASHSCOPE, KNOWN_NAMES, LOCAL_SERVERS

URL = "https://llm.example/v1"
TEXT = f"# mine\nexport OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL={URL}\nOPENAI_MODEL='m\nn'\nOTHER=1\n"


def hover(line: int, text: str = TEXT, **more: Any) -> str:
    """What stands in the hover of a line."""
    shown = view(text, **more)
    binding = binding_at(shown, line)
    return "" if binding is None else "\n".join(explain(shown, binding))


def test_a_key_is_a_fingerprint_with_its_provenance() -> None:
    """What stands here, what is in force, and where requests go."""
    assert hover(2).splitlines() == [
        f"**OPENAI_API_KEY**: {MEANINGS['OPENAI_API_KEY']}",
        "",
        "- here: `sk-…6789`, line 2 of `/p/.env`",
        "- in force for `/p`: `sk-…6789`, from `OPENAI_API_KEY at /p/.env:2`",
        f"- requests: `m n` at `{URL}`, signed with `sk-…6789`",
    ]


def test_what_hides_a_value_is_said() -> None:
    """The process's own value, by fingerprint, and the finding."""
    said = hover(2, process={"OPENAI_API_KEY": OWN_KEY})
    assert "in force for `/p`: `sk-…6789`, from `environment variable OPENAI_API_KEY`" in said
    assert "is not used: the environment variable of that name is set" in said
    assert "from `OPENAI_API_KEY at /p/.qwen/.env:1`" in hover(
        2, disk={"/p/.qwen/.env": f"OPENAI_API_KEY={OWN_KEY}\n"}
    )


def test_a_value_over_lines_has_one_hover() -> None:
    """Each of its lines is about the same name."""
    assert hover(4) == hover(5) != ""


@pytest.mark.parametrize("line", [1, 6, 7, 99])
def test_no_hover_where_nothing_is_ours(line: int) -> None:
    """Comments, other names, blank lines."""
    assert hover(line) == ""


def test_what_is_empty_and_what_is_refused() -> None:
    """An empty value is unset; a URL with a password is not shown."""
    assert "here: empty, which counts as unset" in hover(1, "OPENAI_API_KEY=\n")
    said = hover(1, "OPENAI_BASE_URL=https://ada:pass@llm.example/v1\n")
    assert "a URL that is refused" in said
    assert "pass@" not in said


def test_a_strangers_file_writes_no_markdown() -> None:
    """Links, images, HTML and code in a value or a folder's name are read literally."""
    evil = "[x](command:y) ![z](http://127.0.0.1/q) <b> `c`"
    said = hover(1, f'OPENAI_MODEL="{evil}"\n')
    assert "`[x](command:y) ![z](http://127.0.0.1/q) <b> 'c'`" in said
    assert "\\[x\\]" in hover(
        1, "OPENAI_MODEL=m\n", at="/[x](y)/sub/.env", folder="/[x](y)", disk={"/[x](y)/sub/.env": ""}
    ).replace("`/[x](y)`", "")


def labels(before: str, after: str = "", text: str = "") -> list[str]:
    """What is offered between two parts of a line."""
    return [p.label for p in propose(parse_env(text), before + after, len(before))]


@pytest.mark.parametrize("before", ["", "  ", "OPE", "export ", "export OPEN", "XYZ", "\ufeffOPE"])
def test_names_are_offered_where_a_name_stands(before: str) -> None:
    """Every known name, whatever has been typed of it: the editor filters."""
    assert labels(before) == list(KNOWN_NAMES)


@pytest.mark.parametrize(
    "before", ["# OPEN", "OPENAI_API_KEY=", "OTHER=", "OPENAI_MODEL=a b", "a b", "OPENAI_API_KEY=sk"]
)
def test_nothing_is_offered_elsewhere(before: str) -> None:
    """Comments, keys, other names, behind a value."""
    assert labels(before) == []


def test_base_urls_are_the_catalogues() -> None:
    """Every provider's and local server's, with a quote or without."""
    every = [u for p in (*CATALOGUE, *LOCAL_SERVERS) for u in p.base_urls]
    for before in (
        "OPENAI_BASE_URL=",
        "OPENAI_BASE_URL = ",
        'export OPENAI_BASE_URL="',
        "OPENAI_BASE_URL=ht",
    ):
        assert labels(before) == every


def test_models_begin_with_the_chosen_providers() -> None:
    """Each default model once; the one of the file's base URL first."""
    chosen = f"OPENAI_BASE_URL={DASHSCOPE.base_url}\n"
    offered = labels("OPENAI_MODEL=", text=chosen)
    assert offered[0] == DASHSCOPE.default_model
    assert sorted(offered) == sorted({p.default_model for p in CATALOGUE if p.default_model})
    assert labels("QWEN_MODEL=") != []
    assert labels("DEBUG=") == ["1"]


@pytest.mark.parametrize(
    ("before", "after", "replaced"),
    [
        ("OPE", "", "OPE"),
        ("OPE", "NAI_API_KEY=x", "OPENAI_API_KEY="),
        ("export OPE", " = x", "OPE ="),
        ("\ufeffOPE", "N=", "OPEN="),
        ("OPENAI_BASE_URL=", "", ""),
        ("\ufeffOPENAI_BASE_URL=htt", "p://x", "http://x"),
        ("OPENAI_BASE_URL=htt", "p://x # c", "http://x"),
        ('OPENAI_BASE_URL="htt', 'p://x"', "http://x"),
    ],
)
def test_what_is_replaced(before: str, after: str, replaced: str) -> None:
    """The name with its sign, or the value without its quotes and comment."""
    line = before + after
    found = propose(parse_env(line), line, len(before))
    assert {line[p.start : p.end] for p in found} == {replaced}


def test_a_name_says_where_it_is_set_and_what_it_is_for() -> None:
    """Beside each name, for whoever cannot remember."""
    offered = {p.label: p for p in propose(parse_env(TEXT), "", 0)}
    assert offered["OPENAI_API_KEY"].detail == "set on line 2"
    assert offered["QWEN_MODEL"].detail == ""
    assert {p.documentation for p in offered.values()} == {MEANINGS[name] for name in KNOWN_NAMES}
