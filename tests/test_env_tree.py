"""Every presence of ten `.env` candidates on a real tree: four folders with two names, two home files."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from canary import canary
from provider import running_provider
from qwen_ls.adapters.env_files import EnvFileSystem
from qwen_ls.core.envchain import EXCLUDED_BY_DEFAULT, Environment
from qwen_ls.core.provenance import Source, SourceKind
from terminal.shell import Done, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = (".qwen/.env", ".env")
PRESENCES = range(2**10)


def oracle(present: set[Path], start: Path, home: Path) -> Path | None:
    """The rule, said again: the nearest folder, `.qwen/.env` before `.env`, then the home files."""
    for folder in (start, *start.parents):
        for name in NAMES:
            if folder / name in present:
                return folder / name
    for name in NAMES:
        if home / name in present:
            return home / name
    return None


@attrs.frozen
class File:
    """A candidate, with a key, a base URL and a model of its own, each on a line of its own."""

    path: Path
    number: int
    key: str
    base_url: str

    @property
    def lines(self) -> dict[str, int]:
        """Where its three variables stand."""
        first = 2 + self.number
        return {"OPENAI_API_KEY": first, "OPENAI_BASE_URL": first + 2, "OPENAI_MODEL": first + 4}

    @property
    def values(self) -> dict[str, str]:
        """What they are."""
        return {
            "OPENAI_API_KEY": self.key,
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_MODEL": f"model-{self.number}",
        }

    def write(self) -> None:
        """Put it on the disk."""
        text = "# a comment\n" * (1 + self.number)
        text += "\n\n".join(f"{name}={value}" for name, value in self.values.items())
        self.path.write_text(text + "\n")


@attrs.frozen
class Tree:
    """The folders, and the ten files that may be in them."""

    home: Path
    start: Path
    files: tuple[File, ...]

    def chosen(self, presence: int) -> list[File]:
        """The files of a presence, whose bits stand for them."""
        return [f for f in self.files if presence >> f.number & 1]

    def put(self, presence: int) -> File | None:
        """Bring the disk to a presence and return the file that the oracle wants."""
        wanted = self.chosen(presence)
        for file in self.files:
            if file not in wanted:
                file.path.unlink(missing_ok=True)
            elif not file.path.exists():
                file.write()
        path = oracle({f.path for f in wanted}, self.start, self.home)
        return next((f for f in wanted if f.path == path), None)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty tree beside an empty home, below folders that hold no `.env` of the machine's own."""
    root = tmp_path.resolve()
    strays = [f / name for f in (root, *root.parents) for name in NAMES if (f / name).exists()]
    assert strays == [], "these files of this machine would be found"
    home, start = root / "home", root / "one" / "two" / "three" / "four"
    folders = [start, *start.parents[:3], home]
    for folder in folders:
        (folder / ".qwen").mkdir(parents=True)
    paths = [folder / name for folder in folders for name in NAMES]
    files = tuple(
        File(path, number, canary(f"tree {number}"), f"http://127.0.0.1:1/file-{number}/v1")
        for number, path in enumerate(paths)
    )
    return Tree(home, start, files)


def gray_codes() -> Iterator[int]:
    """Every presence once, each differing from the one before in a single file."""
    return (n ^ n >> 1 for n in PRESENCES)


def test_the_file_of_the_rule_is_read_for_every_presence(tree: Tree) -> None:
    """All 1024: file, line, variable, value and tier, by a search that remembers and by a fresh one."""
    lasting = EnvFileSystem(tree.home, None)
    seen = set()
    for presence in gray_codes():
        seen.add(presence)
        expected = tree.put(presence)
        for search in (lasting, EnvFileSystem(tree.home, None)):
            chain, _ = search.search(str(tree.start), EXCLUDED_BY_DEFAULT)
            assert chain.problems == ()
            check(Environment({}, chain), expected, tree)
    assert seen == set(PRESENCES)


def check(environment: Environment, expected: File | None, tree: Tree) -> None:
    """Compare an environment with what stands in the file that is expected."""
    chain = environment.chain
    assert chain.file == (str(expected.path) if expected else None)
    if expected is None:
        assert chain.bindings == {}
        return
    for name, line in expected.lines.items():
        value = environment.get(name)
        assert value is not None
        assert value.text == expected.values[name]
        assert value.source == Source(SourceKind.DOTENV, name, str(expected.path), line)
        assert value.tier.is_user == (tree.home in expected.path.parents)


def sample() -> list[int]:
    """None, all, each file alone, and a dozen by lot, always the same."""
    lot = random.Random(2**10)  # noqa: S311 - not for secrets
    return [0, PRESENCES[-1], *(1 << n for n in range(10)), *lot.sample(range(1, PRESENCES[-1]), 12)]


async def test_status_names_the_file_for_a_sample(tree: Tree) -> None:
    """The whole program, for two dozen presences: file and line of each value, or all that was looked for."""
    presences = sample()
    assert len(set(presences)) >= 22
    shell = Shell(tree.home, tree.start)
    for presence in presences:
        expected = tree.put(presence)
        compare(await shell.run("status", "--json"), expected, tree)


def compare(done: Done, expected: File | None, tree: Tree) -> None:
    """Compare the printed status with what stands in the file that is expected."""
    found: dict[str, Any] = done.json
    if expected is None:
        assert done.code == 1
        assert all(str(file.path) in found["message"] for file in tree.files)
        return
    assert (done.code, done.err) == (0, "")
    fields = {"OPENAI_API_KEY": "source", "OPENAI_BASE_URL": "baseUrlSource", "OPENAI_MODEL": "modelSource"}
    for name, line in expected.lines.items():
        source = {"kind": "dotenv", "variable": name, "file": str(expected.path), "line": line}
        assert found[fields[name]] == source
    assert found["baseUrl"] == expected.base_url
    assert found["model"] == expected.values["OPENAI_MODEL"]
    assert found["fingerprint"] == f"…{expected.key[-4:]}"


async def test_a_chat_sends_what_stands_in_the_file(tree: Tree) -> None:
    """The provider sees the key and the model of the file that wins, and no other's."""
    shell = Shell(tree.home, tree.start)
    async with running_provider(keys=[f.key for f in tree.files], reply="Here.") as provider:
        for presence in (0b1111111111, 0b1110110100, 0b1100100000, 0b1000000000):
            winner = tree.put(presence)
            assert winner is not None
            attrs.evolve(winner, base_url=provider.v1).write()
            done = await shell.run("chat", "hi")
            winner.path.unlink()
            assert (done.code, done.out) == (0, "Here.\n")
            sent = (await provider.log("chat"))[-1]
            assert sent["authorization"] == f"Bearer {winner.key}"
            assert sent["json"]["model"] == winner.values["OPENAI_MODEL"]
        assert len(await provider.log("chat")) == 4
