"""qwen_ls.core.envchain: candidates in order -> the one file -> values with tier and source."""

from __future__ import annotations

from itertools import product
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from qwen_ls.core.envchain import (
    ABSENT,
    Candidate,
    EnvChain,
    Environment,
    Look,
    Presence,
    find,
    home_candidates,
    project_candidates,
)
from qwen_ls.core.envfile import parse_env
from qwen_ls.core.provenance import USER, SourceKind, Tier
from qwen_ls.core.providers import KNOWN_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOME = PurePosixPath("/home/ada")
FOLDER = PurePosixPath("/a/b/c")
CANDIDATES = (*project_candidates(FOLDER), *home_candidates(HOME, None))


def paths(candidates: tuple[Candidate, ...]) -> list[str]:
    """The paths, as text."""
    return [str(c.path) for c in candidates]


def looking(found: Mapping[str, Look]) -> Callable[[Candidate], Look]:
    """A look at a disk that holds `found` alone."""
    return lambda candidate: found.get(str(candidate.path), ABSENT)


def file(text: str, *, is_home: bool = False) -> Look:
    """A readable file."""
    return Look(Presence.FILE, parse_env(text), is_home=is_home)


def chain_of(found: Mapping[str, Look], excluded: tuple[str, ...] = ("DEBUG", "DEBUG_MODE")) -> EnvChain:
    """What the search finds on a disk that holds `found` alone."""
    return find(CANDIDATES, looking(found), excluded)


def test_candidates_go_upward_then_home() -> None:
    """`.qwen/.env` comes before `.env` in each directory up to the root; the home files come last."""
    assert paths(CANDIDATES) == [
        "/a/b/c/.qwen/.env",
        "/a/b/c/.env",
        "/a/b/.qwen/.env",
        "/a/b/.env",
        "/a/.qwen/.env",
        "/a/.env",
        "/.qwen/.env",
        "/.env",
        "/home/ada/.qwen/.env",
        "/home/ada/.env",
    ]
    assert [c.home for c in CANDIDATES] == [False] * 8 + [True] * 2


def test_no_folder_leaves_the_home_files() -> None:
    """Without an open folder there is no project file."""
    assert project_candidates(None) == ()
    assert home_candidates(None, None) == ()


def test_qwen_home_replaces_the_folder_in_home() -> None:
    """`$QWEN_HOME/.env` stands where `~/.qwen/.env` did; `~/.env` stays."""
    assert paths(home_candidates(HOME, PurePosixPath("/q"))) == ["/q/.env", "/home/ada/.env"]
    assert paths(home_candidates(None, PurePosixPath("/q"))) == ["/q/.env"]


def first_of(present: tuple[bool, ...]) -> str | None:
    """The oracle: nearest directory first, `.qwen/.env` before `.env`, home last."""
    order = []
    for directory in ("/a/b/c", "/a/b", "/a", ""):
        order += [f"{directory}/.qwen/.env", f"{directory}/.env"]
    order += ["/home/ada/.qwen/.env", "/home/ada/.env"]
    there = [path for path, is_there in zip(order, present, strict=True) if is_there]
    return there[0] if there else None


def test_the_first_file_of_all_presences() -> None:
    """For each of the 2^10 presences the nearest file is read, alone, and no later one is looked at."""
    everything = paths(CANDIDATES)
    for present in product((False, True), repeat=10):
        disk = {p: file(f"OPENAI_API_KEY={p}") for p, there in zip(everything, present, strict=True) if there}
        looked: list[str] = []

        def look(candidate: Candidate, disk: dict[str, Look] = disk, looked: list[str] = looked) -> Look:
            looked.append(str(candidate.path))
            return disk.get(str(candidate.path), ABSENT)

        chain = find(CANDIDATES, look)
        expected = first_of(present)
        assert chain.file == expected
        assert {name: b.value for name, b in chain.bindings.items()} == (
            {} if expected is None else {"OPENAI_API_KEY": expected}
        )
        assert looked == everything[: everything.index(expected) + 1 if expected else len(everything)]
        assert chain.tier == (USER if expected is None or "/home" in expected else Tier(expected))


def test_an_empty_file_hides_the_others() -> None:
    """Nothing is merged from a second file, not even if the first is empty."""
    chain = chain_of({"/a/b/c/.env": file(""), "/a/.env": file("OPENAI_API_KEY=k")})
    assert (chain.file, chain.bindings) == ("/a/b/c/.env", {})


def test_an_unreadable_file_ends_the_search() -> None:
    """It is the one file, with its path and reason as the problem, and no bindings."""
    unreadable = Look(Presence.UNREADABLE, reason="it is a directory")
    chain = chain_of({"/a/b/.env": unreadable, "/home/ada/.env": file("OPENAI_API_KEY=k")})
    assert chain.file == "/a/b/.env"
    assert chain.bindings == {}
    assert chain.tier == Tier("/a/b/.env")
    problem = chain.unreadable
    assert problem is not None
    assert (problem.file, problem.line, problem.text, problem.fatal) == (
        "/a/b/.env",
        0,
        "it is a directory",
        True,
    )


def test_a_foreign_file_is_passed_over() -> None:
    """Somebody else's file is not there: a problem says so, and the search goes on."""
    foreign = Look(Presence.FOREIGN, parse_env("OPENAI_API_KEY=theirs"), reason="it belongs to user 1001")
    chain = chain_of({"/a/b/c/.env": foreign, "/a/.env": file("OPENAI_API_KEY=k")})
    assert chain.file == "/a/.env"
    assert chain.bindings["OPENAI_API_KEY"].value == "k"
    assert [(p.file, p.text, p.fatal) for p in chain.problems] == [
        ("/a/b/c/.env", "it belongs to user 1001", False)
    ]
    assert chain.unreadable is None


def test_nothing_found() -> None:
    """No file: no bindings, the user's tier, and the candidates for the message."""
    chain = chain_of({})
    assert (chain.file, chain.tier, chain.bindings, chain.problems) == (None, USER, {}, ())
    assert chain.candidates == CANDIDATES


def test_problems_of_lines_come_with_their_file() -> None:
    """A bad line and a warning of the one file are problems of the chain, told apart."""
    chain = chain_of({"/a/.env": file("OPENAI_API_KEY: k\nOPENAI_MODEL=a#b\n")})
    assert [(p.file, p.line, p.fatal, p.warning) for p in chain.problems] == [
        ("/a/.env", 1, False, False),
        ("/a/.env", 2, False, True),
    ]


DEBUGGING = "DEBUG=1\nDEBUG_MODE=2\nOPENAI_MODEL=m\n"


@pytest.mark.parametrize(
    ("path", "is_home", "excluded", "names"),
    [
        ("/a/b/.env", False, ("DEBUG", "DEBUG_MODE"), {"OPENAI_MODEL"}),
        ("/a/b/.qwen/.env", False, ("DEBUG", "DEBUG_MODE"), {"DEBUG", "DEBUG_MODE", "OPENAI_MODEL"}),
        ("/home/ada/.env", True, ("DEBUG", "DEBUG_MODE"), {"DEBUG", "DEBUG_MODE", "OPENAI_MODEL"}),
        ("/home/ada/.qwen/.env", True, ("DEBUG", "DEBUG_MODE"), {"DEBUG", "DEBUG_MODE", "OPENAI_MODEL"}),
        ("/a/b/.env", True, ("DEBUG", "DEBUG_MODE"), {"DEBUG", "DEBUG_MODE", "OPENAI_MODEL"}),
        ("/a/b/.env", False, (), {"DEBUG", "DEBUG_MODE", "OPENAI_MODEL"}),
        ("/a/b/.env", False, ("OPENAI_MODEL",), {"DEBUG", "DEBUG_MODE"}),
        ("/a/b/.env", False, ("debug",), {"DEBUG", "DEBUG_MODE", "OPENAI_MODEL"}),
    ],
)
def test_excluded_names(path: str, is_home: bool, excluded: tuple[str, ...], names: set[str]) -> None:  # noqa: FBT001 - a table's column
    """Excluded names are ignored in a project's `.env` alone; the setting replaces the default list."""
    assert set(chain_of({path: file(DEBUGGING, is_home=is_home)}, excluded).bindings) == names


def test_only_the_folder_named_qwen_is_scoped() -> None:
    """A directory whose name merely holds `.qwen` is a project like any other."""
    candidates = project_candidates(PurePosixPath("/x/my.qwen-app"))
    chain = find(candidates, looking({"/x/my.qwen-app/.env": file(DEBUGGING)}))
    assert set(chain.bindings) == {"OPENAI_MODEL"}


def test_a_home_file_reached_as_an_ancestor_is_the_users() -> None:
    """By real path, however reached: the tier is the user's."""
    inside = project_candidates(PurePosixPath("/home/ada/src"))
    chain = find(inside, looking({"/home/ada/.env": file("OPENAI_API_KEY=k", is_home=True)}))
    assert chain.file == "/home/ada/.env"
    assert chain.tier == USER
    unreadable = Look(Presence.UNREADABLE, reason="no permission", is_home=True)
    assert find(inside, looking({"/home/ada/.env": unreadable})).tier == USER


def test_only_known_names_are_read() -> None:
    """Whatever else a file sets is not even kept."""
    text = "PATH=/evil\nHTTPS_PROXY=http://evil\nQWEN_HOME=/evil\nPYTHONPATH=x\nopenai_api_key=x\nDEBUG=1\n"
    text += "\n".join(f"{name}=v" for name in KNOWN_NAMES)
    assert set(chain_of({"/a/.qwen/.env": file(text)}).bindings) == set(KNOWN_NAMES)


def test_process_beats_file_name_by_name() -> None:
    """Each name is taken from the process if it is set there, else from the file, with its source."""
    chain = chain_of({"/a/.env": file("\nOPENAI_API_KEY=f\nOPENAI_MODEL=m\n")})
    env = Environment({"OPENAI_API_KEY": "p", "OPENAI_BASE_URL": "u"}, chain)
    key, url, model = env.get("OPENAI_API_KEY"), env.get("OPENAI_BASE_URL"), env.get("OPENAI_MODEL")
    assert key is not None
    assert url is not None
    assert model is not None
    assert (key.text, key.source.kind, key.tier) == ("p", SourceKind.ENVIRONMENT, USER)
    assert str(key.source) == "environment variable OPENAI_API_KEY"
    assert url.text == "u"
    assert (model.text, model.tier) == ("m", Tier("/a/.env"))
    assert str(model.source) == "OPENAI_MODEL at /a/.env:3"
    from_file = env.from_file("OPENAI_API_KEY")
    assert from_file is not None
    assert (from_file.text, from_file.source.line) == ("f", 2)
    assert env.get("QWEN_MODEL") is None


def test_empty_counts_as_unset_in_both() -> None:
    """An empty process variable lets the file's through; an empty one in the file is none."""
    chain = chain_of(
        {"/a/.env": file("OPENAI_API_KEY=f\nOPENAI_MODEL=\nOPENAI_BASE_URL=u\nOPENAI_BASE_URL=''\n")}
    )
    env = Environment({"OPENAI_API_KEY": "", "OPENAI_MODEL": ""}, chain)
    value = env.get("OPENAI_API_KEY")
    assert value is not None
    assert value.text == "f"
    assert env.get("OPENAI_MODEL") is None
    assert env.get("OPENAI_BASE_URL") is None
    bare = Environment({}, chain_of({"/a/.env": file("OPENAI_API_KEY\n")}))
    assert bare.get("OPENAI_API_KEY") is None


def test_a_later_binding_of_a_name_wins() -> None:
    """As in a shell; its line is the source."""
    env = Environment({}, chain_of({"/a/.env": file("OPENAI_MODEL=a\nOPENAI_MODEL=b\n")}))
    value = env.get("OPENAI_MODEL")
    assert value is not None
    assert (value.text, value.source.line) == ("b", 2)
