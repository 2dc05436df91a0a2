"""qwen_ls.adapters.git with the real git: tracked, ignored, neither; repositories that want things run."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from qwen_ls.adapters.git import Git, find_git
from qwen_ls.core.envview import GitState

if TYPE_CHECKING:
    from pathlib import Path

PATH = os.environ["PATH"]
UNKNOWN = GitState()


def run(folder: Path, *arguments: str, check: bool = True) -> None:
    """Run git for a test, with nothing of this machine's configuration."""
    env = {"PATH": PATH, "HOME": str(folder.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=folder, env=env, check=check, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with a `.env` file in it."""
    folder = tmp_path / "work tree"
    folder.mkdir()
    run(folder, "init", "-q")
    (folder / ".env").write_text("A=1\n")
    return folder


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Git as the server has it, with a home of its own."""
    return Git({"PATH": PATH, "HOME": str(tmp_path)})


async def test_tracked_ignored_or_neither(tree: Path, git: Git) -> None:
    """As git itself would say; a tracked file is never ignored."""
    file = str(tree / ".env")
    assert await git.state(file) == GitState(tracked=False, ignored=False)
    (tree / ".gitignore").write_text(".env\n")
    assert await git.state(file) == GitState(tracked=False, ignored=True)
    run(tree, "add", "-f", ".env")
    assert await git.state(file) == GitState(tracked=True, ignored=False)


async def test_names_are_no_patterns(tree: Path, git: Git) -> None:
    """A name that would be one to git is about that file alone."""
    run(tree, "add", ".env")
    assert (await git.state(str(tree / "*"))).tracked is False
    assert (await git.state(str(tree / ":(top).env"))).tracked is False


async def test_the_users_own_rules_count(tree: Path, git: Git, tmp_path: Path) -> None:
    """What the user ignores everywhere is ignored."""
    (tmp_path / ".config" / "git").mkdir(parents=True)
    (tmp_path / ".config" / "git" / "ignore").write_text(".env\n")
    assert (await git.state(str(tree / ".env"))).ignored is True


async def test_nothing_is_said_without_a_work_tree(tmp_path: Path, git: Git) -> None:
    """No repository, no folder, a bare repository, a broken one."""
    assert await git.state(str(tmp_path / ".env")) == UNKNOWN
    assert await git.state(str(tmp_path / "gone" / ".env")) == UNKNOWN
    (tmp_path / "bare").mkdir()
    run(tmp_path / "bare", "init", "-q", "--bare")
    assert await git.state(str(tmp_path / "bare" / ".env")) == UNKNOWN
    (tmp_path / "broken" / ".git").mkdir(parents=True)
    assert await git.state(str(tmp_path / "broken" / ".env")) == UNKNOWN


async def test_nothing_is_said_without_git(tree: Path, tmp_path: Path) -> None:
    """No git on the PATH, or none that starts."""
    assert await Git({"PATH": str(tmp_path)}).state(str(tree / ".env")) == UNKNOWN
    assert await Git({}).state(str(tree / ".env")) == UNKNOWN
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_bytes(b"\x7fELF no program")
    fake.chmod(0o755)
    assert await Git({"PATH": str(fake.parent)}).state(str(tree / ".env")) == UNKNOWN


async def test_a_git_that_hangs_is_ended(tree: Path, tmp_path: Path) -> None:
    """It is given up after the deadline, and nothing is said."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nread line < '{fifo}'\n")
    fake.chmod(0o755)
    assert await Git({"PATH": str(fake.parent)}, deadline=0.2).state(str(tree / ".env")) == UNKNOWN


def test_git_is_never_one_of_the_folder_we_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative entries of PATH are passed over."""
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert find_git(f".{os.pathsep}{os.pathsep}bin") is None
    assert find_git(str(tmp_path)) == str(fake)


def spring(tree: Path, marker: Path) -> None:
    """Let a repository's configuration name a program for everything that git would run."""
    trap = marker.with_name("trap.sh")
    trap.write_text(f"#!/bin/sh\necho run >> '{marker}'\n")
    trap.chmod(0o755)
    for name in (
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.sshCommand",
        "core.askPass",
        "core.alternateRefsCommand",
        "diff.external",
        "filter.x.clean",
        "filter.x.smudge",
        "filter.x.process",
        "credential.helper",
        "remote.origin.uploadpack",
        "alias.ls-files",
        "alias.check-ignore",
    ):
        run(tree, "config", name, f"!{trap}" if name.startswith("alias") else str(trap))
    for name, value in (
        ("remote.origin.url", f"ext::{trap}"),
        ("remote.origin.promisor", "true"),
        ("extensions.partialClone", "origin"),
        ("protocol.ext.allow", "always"),
        ("core.hooksPath", str(tree / "hooks")),
    ):
        run(tree, "config", name, value)
    (tree / "hooks").mkdir()
    for name in ("post-index-change", "pre-commit", "post-checkout", "fsmonitor-watchman"):
        (tree / "hooks" / name).write_text(trap.read_text())
        (tree / "hooks" / name).chmod(0o755)
    (tree / ".gitattributes").write_text("* filter=x diff=x\n")


async def test_a_strangers_repository_runs_nothing(tree: Path, git: Git, tmp_path: Path) -> None:
    """Monitor, hooks, filters, pager, transports: none of what its configuration names is started."""
    run(tree, "add", ".env")
    marker = tmp_path / "marker"
    spring(tree, marker)
    run(tree, "status", check=False)
    assert marker.exists()  # the trap is a trap
    marker.unlink()
    (tree / ".gitignore").write_text("other\n")
    assert (await git.state(str(tree / ".env"))).tracked is True
    assert (await git.state(str(tree / "other"))).ignored is True
    assert not marker.exists()


async def test_a_rule_that_is_not_there_is_not_fetched(tree: Path, git: Git, tmp_path: Path) -> None:
    """A sparse, partial clone whose rules lie at a server: git may not ask that server."""
    (tree / ".gitignore").write_text(".env\n")
    run(tree, "add", ".gitignore")
    run(tree, "update-index", "--skip-worktree", ".gitignore")
    (tree / ".gitignore").unlink()
    for path in (tree / ".git" / "objects").glob("??/*"):
        path.unlink()
    marker = tmp_path / "marker"
    spring(tree, marker)
    assert (await git.state(str(tree / ".env"))).ignored is not True
    assert not marker.exists()
    run(tree, "check-ignore", ".env", check=False)
    assert marker.exists()  # the trap is a trap


async def test_variables_of_the_server_do_not_lead_elsewhere(tree: Path, tmp_path: Path) -> None:
    """GIT_DIR and the like, from an editor that a hook started, are not passed on."""
    git = Git({"PATH": PATH, "HOME": str(tmp_path), "GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/"})
    assert await git.state(str(tree / ".env")) == GitState(tracked=False, ignored=False)
