"""The rings of pyproject.toml hold, and the few things that nothing here may ever do are not done."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "server"
PACKAGE = SERVER / "qwen_ls"

# Whoever may take a secret out of its Secret: to sign a request, to write a cache, to blot an answer.
MAY_REVEAL = {
    "actions/keys.py",
    "core/oauth/token.py",
    "core/origin.py",
    "core/stored.py",
}
MAY_PRINT = ("terminal/", "demo/", "__main__.py")
OF_CORE = {"attrs", "dotenv.parser"}  # beside the standard library

ENVIRONMENTS = ("os.environ", "os.environb")
CHANGES = ("__setitem__", "__delitem__", "setdefault", "update", "pop", "popitem", "clear")


# --- the rings -----------------------------------------------------------------------------------


def lint_imports(folder: Path) -> tuple[int, str]:
    """Run pyproject.toml's import contracts on the package in `folder`; the exit code and the report."""
    run = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", run, "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "qwen_ls", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_rings_hold() -> None:
    """Every import goes inward, every folder has declared its place, and core is pure."""
    code, report = lint_imports(SERVER)
    assert code == 0, report


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("core/planted.py", "import asyncio", "qwen_ls.core.planted -> asyncio"),
        ("core/planted.py", "def f():\n    import socket", "qwen_ls.core.planted -> socket"),
        ("core/planted.py", "from qwen_ls import contract", "qwen_ls.core.planted -> qwen_ls.contract"),
        ("actions/planted.py", "import qwen_ls.adapters", "qwen_ls.actions.planted -> qwen_ls.adapters"),
        ("actions/planted.py", "import qwen_ls.contract", "qwen_ls.actions.planted -> qwen_ls.contract"),
        ("terminal/planted.py", "import qwen_ls.lsp", "qwen_ls.terminal.planted -> qwen_ls.lsp"),
        ("lsp/planted.py", "import qwen_ls.demo", "qwen_ls.lsp.planted -> qwen_ls.demo"),
        ("planted/__init__.py", "", "qwen_ls.planted"),
    ],
)
def test_a_breach_is_reported(copied: Path, path: str, text: str, complaint: str) -> None:
    """An import outward, across or of the world, and a folder without a place, each fail by name."""
    planted = copied / "qwen_ls" / path
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(text, encoding="utf-8")
    try:
        code, report = lint_imports(copied)
    finally:
        planted.unlink()
        if path.startswith("planted"):
            planted.parent.rmdir()
    assert code == 1
    assert re.search(rf"^- +{re.escape(complaint)}\b", report, re.MULTILINE), report


# --- what is written nowhere ---------------------------------------------------------------------


TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports_of(tree: ast.Module) -> set[str]:
    """Return every module imported; what `from a import b` names counts as `a`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def names_of(tree: ast.Module) -> dict[str, str]:
    """Return what the names bound by imports, and by plain assignments of those, stand for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute | ast.Name):
            value = dotted(node.value, names)
            names |= {
                target.id: value
                for target in node.targets
                if isinstance(target, ast.Name) and value in ENVIRONMENTS
            }
    return names


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """Return `a.b.c` for an expression of that form, its first name resolved; else the empty text."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([names.get(node.id, node.id), *reversed(parts)]) if isinstance(node, ast.Name) else ""


def uses_of(tree: ast.Module) -> set[str]:
    """Return every dotted name that the code refers to."""
    names = names_of(tree)
    return {dotted(node, names) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)}


def environment_changes(tree: ast.Module) -> list[int]:
    """Return the lines that change the process environment."""
    names = names_of(tree)
    calls = {"os.putenv", "os.unsetenv", *(f"{env}.{change}" for env in ENVIRONMENTS for change in CHANGES)}
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            changed = not isinstance(node.ctx, ast.Load) and dotted(node.value, names) in ENVIRONMENTS
        elif isinstance(node, ast.Attribute):
            changed = not isinstance(node.ctx, ast.Load) and dotted(node, names) in ENVIRONMENTS
        elif isinstance(node, ast.Call):
            changed = dotted(node.func, names) in calls
        else:
            continue
        if changed:
            lines.append(node.lineno)
    return lines


def test_the_contract_does_nothing() -> None:
    """contract.py declares; it has no function, method or lambda."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    assert [node.lineno for node in ast.walk(TREES["contract.py"]) if isinstance(node, kinds)] == []


def test_secrets_are_revealed_only_where_they_are_used() -> None:
    """`.reveal` stands in exactly the modules listed above: a new one is a decision, and so is its end."""
    found = {
        path
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "reveal"
    }
    assert found - {"core/secret.py"} == MAY_REVEAL


def test_core_imports_only_what_is_pure() -> None:
    """The standard library, attrs and dotenv's parser; what of the library is impure, the rings say."""
    foreign = {
        f"{path}: {module}"
        for path, tree in TREES.items()
        if path.startswith("core/")
        for module in imports_of(tree) - OF_CORE
        if module.split(".")[0] not in {*sys.stdlib_module_names, "qwen_ls"}
    }
    assert foreign == set()


def test_the_demo_imports_nothing_of_the_rings() -> None:
    """It is the other side of the wire, so it must not share the rings' mistakes."""
    ours = {
        f"{path}: {module}"
        for path, tree in TREES.items()
        if path.startswith("demo/")
        for module in imports_of(tree)
        if module.startswith(("qwen_ls", ".")) and not module.startswith("qwen_ls.demo")
    }
    assert ours == set()


def test_the_environment_is_never_written() -> None:
    """A value from a file never becomes a variable that a child process or a library would see."""
    assert {path: lines for path, tree in TREES.items() if (lines := environment_changes(tree))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['A'] = 'b'",
        "import os\ndel os.environ['A']",
        "import os\nos.environ['A'] += 'b'",
        "import os\nos.environ |= {'A': 'b'}",
        "import os\nos.environ = {}",
        "import os\nos.environ.update(A='b')",
        "import os as system\nsystem.environ.setdefault('A', 'b')",
        "import os.path\nos.putenv('A', 'b')",
        "from os import environ\nenviron['A'] = 'b'",
        "from os import environ as variables\nvariables.pop('A')",
        "import os\nvariables = os.environ\nvariables['A'] = 'b'",
    ],
)
def test_a_write_to_the_environment_would_be_seen(source: str) -> None:
    """The search above finds each way of writing it."""
    assert environment_changes(ast.parse(source)) == [source.count("\n") + 1]


def test_reading_the_environment_is_no_write() -> None:
    """Nor is writing to a copy."""
    source = "import os\na = os.environ['A']\nb = dict(os.environ)\nb['A'] = os.environ.get('B', '')"
    assert environment_changes(ast.parse(source)) == []


def test_no_process_is_asked_by_a_signal_whether_it_lives() -> None:
    """os.kill is never used: on Windows, signal 0 ends the process that it was to ask about."""
    assert [path for path, tree in TREES.items() if "os.kill" in uses_of(tree)] == []


@pytest.mark.parametrize("source", ["import os\nos.kill(1, 0)", "from os import kill\nkill(1, 0)"])
def test_a_kill_would_be_seen(source: str) -> None:
    """The search above finds both ways of naming it."""
    assert "os.kill" in uses_of(ast.parse(source))


def test_no_module_imports_openai() -> None:
    """The protocol is spoken by our own code; its client library is not needed."""
    assert [
        path for path, tree in TREES.items() if {m.split(".")[0] for m in imports_of(tree)} & {"openai"}
    ] == []


def test_only_the_terminal_prints() -> None:
    """The standard output is the protocol's wherever the server runs."""
    found = [path for path, tree in TREES.items() if "print" in uses_of(tree)]
    assert [path for path in found if not path.startswith(MAY_PRINT)] == []
