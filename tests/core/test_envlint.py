"""qwen_ls.core.envlint and envfix: what is found in an open `.env` file, and what can be done there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.env_views import KEY, OWN_KEY, stored, view
from qwen_ls.core.envchain import Look, Presence
from qwen_ls.core.envfix import fixes
from qwen_ls.core.envhelp import binding_at, explain, propose
from qwen_ls.core.envlint import SEVERITIES, Finding, lint
from qwen_ls.core.envview import GitState, Role
from qwen_ls.core.origin import Policy, WorkspaceTrust
from qwen_ls.core.providers import KEY_VARIABLES

LINE = f"OPENAI_API_KEY={KEY}\n"
URL = "https://llm.example/v1"
PAIR = f"{LINE}OPENAI_BASE_URL={URL}\n"


def found(text: str, **more: Any) -> list[tuple[str, int]]:
    """Code and line of each finding."""
    return [(f.code, f.line) for f in lint(view(text, **more))]


def only(text: str, **more: Any) -> Finding:
    """The one finding there is."""
    (one,) = lint(view(text, **more))
    return one


CASES: dict[str, tuple[str, dict[str, Any], list[tuple[str, int]]]] = {
    "nothing wrong": (PAIR, {}, []),
    "another's names": ("DATABASE_URL=x\nexport OTHER='y'\n", {}, []),
    "a template": ("# OPENAI_API_KEY=\n", {}, []),
    "shadowed beside": (PAIR, {"disk": {"/p/.qwen/.env": ""}}, [("env.shadowed", 1), ("env.shadowed", 2)]),
    "shadowed from below": (
        LINE,
        {"at": "/.env", "disk": {"/p/.env": "A=1"}},
        [("env.shadowed", 1)],
    ),
    "shadowed home": (LINE, {"at": "/home/ada/.env", "disk": {"/p/.env": ""}}, [("env.shadowed", 1)]),
    "before the one on the disk": (LINE, {"at": "/p/.qwen/.env", "disk": {"/p/.env": ""}}, []),
    "too deep": (LINE, {"at": "/p/sub/.env"}, [("env.elsewhere", 1)]),
    "no folder": (LINE, {"folder": None}, [("env.elsewhere", 1)]),
    "home, no folder": (LINE, {"folder": None, "at": "/home/ada/.qwen/.env"}, []),
    "unreadable": (
        LINE,
        {"disk": {"/p/.env": Look(Presence.UNREADABLE, reason="it is not UTF-8")}},
        [("env.unreadable", 1)],
    ),
    "too large": (f"# {'x' * 70}\n" * 1000, {}, [("env.unreadable", 1)]),
    "foreign": (
        LINE,
        {"disk": {"/p/.env": Look(Presence.FOREIGN, reason="not used: it belongs to another user (uid 7)")}},
        [("env.foreign", 1)],
    ),
    "excluded": ("DEBUG=1\nDEBUG_MODE=1\n", {}, [("env.excluded", 1), ("env.excluded", 2)]),
    "not excluded there": ("DEBUG=1\n", {"at": "/p/.qwen/.env"}, []),
    "not excluded at home": ("DEBUG=1\n", {"at": "/home/ada/.env"}, []),
    "excluded by the user": (
        "QWEN_MODEL=m\nDEBUG=1\n",
        {"excluded": ("QWEN_MODEL",)},
        [("env.excluded", 1)],
    ),
    "the process wins": (
        f"{LINE}OPENAI_MODEL=m\n",
        {"process": {"OPENAI_MODEL": "n"}},
        [("env.process-wins", 2)],
    ),
    "an empty variable does not": (f"{LINE}OPENAI_MODEL=m\n", {"process": {"OPENAI_MODEL": ""}}, []),
    "a stored key wins": (LINE, {"folder_key": stored()}, [("env.outranked", 1)]),
    "a stored key and a project's URL": (
        PAIR,
        {"folder_key": stored()},
        [("env.outranked", 1), ("env.outranked", 2)],
    ),
    "another method": (LINE, {"folder_choice": "qwen-oauth"}, [("env.outranked", 1)]),
    "a chosen model": (
        f"{PAIR}OPENAI_MODEL=m\n",
        {"user_models": {URL: "another"}},
        [("env.outranked", 3)],
    ),
    "a later variable": (f"{LINE}DEEPSEEK_API_KEY={KEY}\n", {}, [("env.outranked", 2)]),
    "a URL of another's key": (
        f"DASHSCOPE_API_KEY={KEY}\nOPENAI_BASE_URL={URL}\nOPENAI_MODEL=m\n",
        {},
        [("env.unpaired", 2), ("env.unpaired", 3)],
    ),
    "a URL without a key": (f"OPENAI_BASE_URL={URL}\n", {}, [("env.unpaired", 1)]),
    "a URL of this machine": ("OPENAI_BASE_URL=http://127.0.0.1:8080/v1\nOPENAI_MODEL=m\n", {}, []),
    "two models": (f"{LINE}OPENAI_MODEL=m\nQWEN_MODEL=n\n", {}, [("env.unpaired", 3)]),
    "no scheme": (f"{LINE}OPENAI_BASE_URL=llm.example/v1\n", {}, [("env.base-url", 2)]),
    "another scheme": (f"{LINE}OPENAI_BASE_URL=ftp://llm.example/v1\n", {}, [("env.base-url", 2)]),
    "http": (f"{LINE}OPENAI_BASE_URL=http://llm.example/v1\n", {}, [("env.base-url", 2)]),
    "http, allowed": (
        f"{LINE}OPENAI_BASE_URL=http://llm.example/v1\n",
        {"policy": Policy("/p", insecure_origins=("http://llm.example",))},
        [],
    ),
    "the user's key, a project's URL": (
        f"OPENAI_BASE_URL={URL}\n",
        {"process": {"OPENAI_API_KEY": OWN_KEY}},
        [("env.mixed-tiers", 1)],
    ),
    "a project's key, the user's URL": (
        LINE,
        {"process": {"OPENAI_BASE_URL": URL}},
        [("env.mixed-tiers", 1)],
    ),
    "a project that hides the user's URL": (
        "# nothing\n",
        {
            "process": {"OPENAI_API_KEY": OWN_KEY},
            "disk": {"/home/ada/.qwen/.env": f"OPENAI_BASE_URL={URL}\n"},
        },
        [("env.mixed-tiers", 1)],
    ),
    "one tier": (PAIR, {"at": "/home/ada/.qwen/.env"}, []),
    "an untrusted workspace": (
        LINE,
        {"policy": Policy("/p", WorkspaceTrust.UNTRUSTED)},
        [("env.untrusted", 1)],
    ),
    "a key of another plan": (
        "OPENAI_API_KEY=sk-sp-0123456789abc\nOPENAI_BASE_URL=https://api.openai.com/v1\n",
        {},
        [("env.wrong-endpoint", 1)],
    ),
    "a key of another provider": ("OPENAI_API_KEY=sk-or-0123456789\n", {}, [("env.wrong-endpoint", 1)]),
    "a key of that provider": (
        "OPENAI_API_KEY=sk-or-0123456789\nOPENAI_BASE_URL=https://openrouter.ai/api/v1\n",
        {},
        [],
    ),
    "tracked": (LINE, {"git": GitState(tracked=True, ignored=False)}, [("env.tracked", 1)]),
    "tracked without a key": (
        f"OPENAI_MODEL=m\n{LINE[:15]}\n",
        {"git": GitState(tracked=True)},
        [("env.unpaired", 1)],
    ),
    "not ignored": (LINE, {"git": GitState(tracked=False, ignored=False)}, [("env.not-ignored", 1)]),
    "ignored": (LINE, {"git": GitState(tracked=False, ignored=True)}, []),
    "readable by others": (LINE, {"mode": 0o644}, [("env.permissions", 1)]),
    "writable by others": (LINE, {"mode": 0o620}, [("env.permissions", 1)]),
    "private": (LINE, {"mode": 0o600}, []),
    "nothing to read": ("OTHER=1\n", {"mode": 0o666}, []),
    "a key that only the disk has": ("A=1\n", {"disk": {"/p/.env": LINE}}, [("env.unsaved", 1)]),
    "a key that was renamed": (PAIR, {"disk": {"/p/.env": LINE}}, []),
    "duplicate": (f"OPENAI_API_KEY=x\n{LINE}A=1\nA=2\n", {}, [("env.duplicate", 1)]),
    "bad line": (f"{LINE}what is this\n", {}, [("env.bad-line", 2)]),
    "a quote that is not closed": (f'{LINE}OPENAI_MODEL="m\n', {}, [("env.bad-line", 2)]),
    "read differently": (f"{LINE}OPENAI_MODEL=m#1\n", {}, [("env.reads-differently", 2)]),
    "read by Qwen Code alone": ("OPENAI_MODEL: m\n", {}, [("env.bad-line", 1)]),
    "bad lines with a name": (
        "OPENAI_MODEL : m\nexport DEBUG : 1\n",
        {},
        [("env.bad-line", 1), ("env.bad-line", 2)],
    ),
    "bad lines with another's name": (
        f"FOO: bar\nFOO : bar\nexport BAR='open\n{LINE}X={'x' * 9000}\n",
        {},
        [("env.bad-line", 5)],
    ),
    "another's name read differently": (f"DB_PASS=abc#def\n{LINE}B=`x`\n", {}, []),
    "too deep, and only its key is of interest": (
        f"what is this\n{LINE}OPENAI_MODEL=m#1\nOPENAI_MODEL=n\n",
        {"at": "/p/sub/.env", "mode": 0o644, "git": GitState(tracked=True, ignored=False)},
        [("env.tracked", 2), ("env.permissions", 2), ("env.elsewhere", 2), ("env.elsewhere", 4)],
    ),
    "too deep and too large": (f"# {'x' * 70}\n" * 1000, {"at": "/p/sub/.env"}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_findings(name: str) -> None:
    """Each situation has just the findings that it should have, on their lines."""
    text, circumstances, expected = CASES[name]
    assert found(text, **circumstances) == expected


def test_every_code_is_found() -> None:
    """The situations above show every code there is."""
    assert {code for _, _, expected in CASES.values() for code, _ in expected} == set(SEVERITIES)


def test_a_finding_names_what_wins() -> None:
    """The file, the folder, the place to go to, the variable that hides another."""
    assert "/p/.qwen/.env comes first" in only(LINE, disk={"/p/.qwen/.env": ""}).message
    assert "the search for /p " in only(LINE, at="/p/sub/.env").message
    assert ".qwen/.env beside it" in only("DEBUG=1\n").message
    assert "line 2" in only(f"OPENAI_API_KEY=x\n{LINE}").message
    assert "environment variable" in only(LINE, process={"OPENAI_API_KEY": OWN_KEY}).message
    assert "mode 0644" in only(LINE, mode=0o644).message
    assert "qwen-oauth is the method in force" in only(LINE, folder_choice="qwen-oauth").message


def test_the_open_text_counts_and_not_the_disk() -> None:
    """What is typed decides, though the disk still has something else."""
    shown = view(f"OPENAI_BASE_URL=http://127.0.0.1:1/v1\n{LINE}", disk={"/p/.env": "OPENAI_MODEL=old\n"})
    assert shown.role is Role.READ
    assert shown.resolution.credential is not None
    assert shown.resolution.credential.base_url == "http://127.0.0.1:1/v1"
    assert shown.facts.environment.get("OPENAI_MODEL") is None


PLAIN_KEY = "nothing-in-it-tells-a-key-9876"
VALUES = st.sampled_from([KEY, f'"{KEY}"', f"'{KEY}'", f"{KEY} # c", f'"{KEY}', f"{KEY}#x", f"$({KEY})"])
LINES = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        [*KEY_VARIABLES, "OPENAI_BASE_URL", "OPENAI_MODEL", "DEBUG", "A", "export OPENAI_MODEL", ""]
    ),
    st.sampled_from(["=", " = ", ": ", "", "=http://", "=https://a.example/"]),
    VALUES,
)


@settings(deadline=None)
@given(lines=st.lists(LINES, max_size=6), mode=st.sampled_from([None, 0o644]), process=st.booleans())
def test_no_key_is_ever_said(lines: list[str], mode: int | None, process: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever stands where, no finding, hover, completion or action has the key in it."""
    text = "\n".join(lines)
    variables = dict.fromkeys(KEY_VARIABLES, PLAIN_KEY) if process else {}
    shown = view(text, mode=mode, process=variables, git=GitState(tracked=False, ignored=False))
    said = [f.message for f in lint(shown)]
    for number, line in enumerate(lines, 1):
        if (binding := binding_at(shown, number)) is not None:
            said += explain(shown, binding)
        said += [repr(p) for column in range(len(line) + 1) for p in propose(shown.content, line, column)]
        said += [repr(fix) for fix in fixes(shown, number, number)]
    everything = "\n".join(said).lower()
    assert KEY not in everything
    assert PLAIN_KEY not in everything
    assert repr(shown.file).count(KEY) == 0


# --- what can be done --------------------------------------------------------------------------------


def titles(text: str, line: int = 1, **more: Any) -> list[str]:
    """The titles of what can be done on a line, without their common beginning."""
    return [fix.title.removeprefix("Qwen: ") for fix in fixes(view(text, **more), line, line)]


CHECK, MOVE = "Check this key", "Move to .qwen/.env"
TO_KEYRING = ["Move this key to the keyring (this folder)", "Move this key to the keyring (for you)"]
IGNORE, OPEN = "Add this file to .gitignore", "Open the .env file that is read"


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        (LINE, {}, [CHECK, *TO_KEYRING, MOVE]),
        (LINE, {"at": "/p/.qwen/.env"}, [CHECK, *TO_KEYRING]),
        (LINE, {"at": "/home/ada/.env", "folder": None}, [CHECK, TO_KEYRING[1], MOVE]),
        (LINE, {"git": GitState(tracked=False, ignored=False)}, [CHECK, *TO_KEYRING, MOVE, IGNORE]),
        (LINE, {"git": GitState(tracked=True, ignored=False)}, [CHECK, *TO_KEYRING, MOVE]),
        (LINE, {"disk": {"/p/.qwen/.env": ""}}, [CHECK, *TO_KEYRING, MOVE, OPEN]),
        ("DEBUG=1\n", {}, [MOVE]),
        ("OPENAI_API_KEY=\n", {}, []),
        ("OTHER=1\n", {}, []),
        ("DEBUG=1\n", {"at": "/p/sub/.env"}, []),
    ],
)
def test_what_can_be_done(text: str, more: dict[str, Any], expected: list[str]) -> None:
    """The actions of a line are those that change something there."""
    assert titles(text, **more) == expected


def test_actions_are_for_the_line_alone() -> None:
    """A line without a known name has none, and a lower key none above it."""
    text = f"OTHER=1\n{LINE}"
    assert titles(text, 1) == []
    assert titles(text, 2) == [CHECK, *TO_KEYRING, MOVE]


def test_an_action_says_which_finding_it_answers() -> None:
    """Each by its code, and the winner's path where that is to be opened."""
    shown = view(LINE, disk={"/p/.qwen/.env": ""}, git=GitState(tracked=False, ignored=False))
    answers = {fix.title: fix for fix in fixes(shown, 1, 1)}
    assert answers[f"Qwen: {IGNORE}"].codes == {"env.not-ignored"}
    assert answers[f"Qwen: {OPEN}"].file == "/p/.qwen/.env"
    assert all(fix.codes <= set(SEVERITIES) for fix in answers.values())
    assert answers[f"Qwen: {TO_KEYRING[0]}"].target == "workspaceFolder"
