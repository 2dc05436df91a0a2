"""The documentation names what there is, and what there is stands in the documentation."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from qwen_ls import contract
from qwen_ls.adapters import system
from qwen_ls.core import secret_files, slash
from qwen_ls.core.envfix import TITLES
from qwen_ls.core.envlint import SEVERITIES
from qwen_ls.core.errors import Cause, Kind
from qwen_ls.core.providers import CATALOGUE, KNOWN_NAMES, LOCAL_SERVERS
from qwen_ls.core.settings import TIMEOUTS, Settings, Timeouts
from qwen_ls.terminal import arguments
from qwen_ls.terminal.app import TRUST_VARIABLE
from qwen_ls.wire import camel

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "server" / "qwen_ls"
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
}
EVERY_PAGE = pytest.mark.parametrize("page", PAGES)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHELL_ENDS = {"|", "||", "&&", ";", ">", "<", "#", "2>", "&"}
WIDE = 200  # lines; an overview that is longer is none

# Read by a library of ours and not by name in our own code: by pathlib and by platformdirs.
OF_LIBRARIES = {"HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"}


# --- links ---------------------------------------------------------------------------------------


def prose(text: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for link in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


@EVERY_PAGE
def test_every_link_leads_somewhere(page: str) -> None:
    """A relative link names a file in the tree, and its anchor a heading in it."""
    assert broken_links(ROOT / page, PAGES[page]) == []


@pytest.mark.parametrize("link", ["gone.md", "index.md#gone", "#gone", "../gone/"])
def test_a_broken_link_would_be_seen(link: str) -> None:
    """The search above finds a missing file and a missing heading."""
    assert broken_links(DOCS / "index.md", f"[text]({link})") == [link]


def test_every_page_is_linked() -> None:
    """The front page of the documentation leads to each page."""
    linked = {(DOCS / link).resolve() for link in LINK.findall(PAGES["docs/index.md"])}
    assert set(DOCS.rglob("*.md")) - linked == {DOCS / "index.md"}


# --- names of the product ------------------------------------------------------------------------


def named_commands(text: str) -> set[str]:
    """The server's commands, requests and notifications that a page names."""
    return set(re.findall(r"\bqwen(?:\.doctor\b|\.[a-z]+\.[a-zA-Z]+|/[a-zA-Z]+(?:/[a-zA-Z]+)?)", wired(text)))


def wired(text: str) -> str:
    """The code of a page: blocks and spans, without paths and model names."""
    code = "\n".join([block for _, block in FENCE.findall(text)] + SPAN.findall(prose(text)))
    return re.sub(r"qwen/qwen3-coder|\S*\.qwen\S*|\S*/qwen-ls\S*", "", code)


@EVERY_PAGE
def test_every_command_named_is_one(page: str) -> None:
    """What a page calls a command, request or notification stands in the contract."""
    known = {
        *(c.name for c in contract.COMMANDS),
        *(c.request for c in contract.COMMANDS if c.request),
        *(n.method for n in contract.NOTIFICATIONS),
    }
    assert named_commands(PAGES[page]) - known == set()


def test_a_command_that_there_is_not_would_be_seen() -> None:
    """The search above finds commands, requests and notifications, in blocks and spans."""
    text = '`qwen.auth.gone`\n```json\n{"command": "qwen.gone.now"}\n```\n`qwen/gone` `qwen/gone/now`'
    assert named_commands(text) == {"qwen.auth.gone", "qwen.gone.now", "qwen/gone", "qwen/gone/now"}


def test_messages_name_only_commands_there_are() -> None:
    """A remedy in the code never sends anybody to a command that is not in the contract."""
    known = {c.name for c in contract.COMMANDS}
    named = {
        (path.name, name)
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"\bqwen\.[a-z]+\.[a-zA-Z]+", path.read_text(encoding="utf-8"))
    }
    assert {n for n in named if n[1] not in known} == set()


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of each `qwen-ls …` that a page shows, up to a pipe, a redirection or a comment."""
    lines = [
        line[2:] for kind, block in FENCE.findall(text) for line in block.splitlines() if kind == "console"
        and line.startswith("$ ")
    ]  # fmt: skip
    spans = [span for span in SPAN.findall(prose(text)) if re.match(r"qwen-ls [a-z-]", span)]
    for line in (*lines, *spans):
        words = shlex.split(line, posix=True)
        for start, word in enumerate(words):
            before = words[start - 1] if start else "|"
            is_command = before in SHELL_ENDS or re.match(r"\w+=", before)
            if is_command and word.rpartition("/")[2] == "qwen-ls":
                rest = words[start + 1 :]
                end = next((i for i, w in enumerate(rest) if w in SHELL_ENDS), len(rest))
                yield rest[:end]


def complaint(words: list[str]) -> str | None:
    """What the terminal's own parser says of these arguments; None if it takes them."""
    if words[:1] == ["demo"] or words in ([], ["serve"], ["serve", "--stdio"]):
        return None
    try:
        arguments.parse(words)
    except arguments.WrongUsage as wrong:
        return f"{shlex.join(words)}: {wrong}"
    except SystemExit as answered:  # --help and --version
        return None if answered.code == 0 else shlex.join(words)
    return None


@EVERY_PAGE
def test_every_command_line_is_taken(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal's parser takes each `qwen-ls` command that a page shows, with its options."""
    assert [c for words in command_lines(PAGES[page]) if (c := complaint(words)) is not None] == []
    capsys.readouterr()


@pytest.mark.parametrize("line", ["qwen-ls gone", "A=b qwen-ls chat --gone hi | cat", "~/bin/qwen-ls switch"])
def test_a_wrong_command_line_would_be_seen(line: str) -> None:
    """The search above finds unknown commands and options, and arguments that are missing."""
    lines = list(command_lines(f"```console\n$ {line}\n```"))
    assert len(lines) == 1
    assert complaint(lines[0])


@EVERY_PAGE
def test_json_is_json(page: str) -> None:
    """A block that is marked as JSON can be copied."""
    for kind, block in FENCE.findall(PAGES[page]):
        if kind == "json":
            json.loads(block)


# --- what has to be documented -------------------------------------------------------------------


def rows(page: str) -> dict[str, list[str]]:
    """The table rows of a page by the code in their first cell; the further cells."""
    found: dict[str, list[str]] = {}
    for line in PAGES[page].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            found.setdefault(SPAN.findall(cells[0])[0], cells[1:])
    return found


def test_every_setting_is_documented_with_its_default() -> None:
    """Settings, their time-outs and nothing else stand in the reference, with the defaults of the code."""
    defaults: dict[str, Any] = {
        camel(field.name): getattr(Settings(), field.name)
        for field in attrs.fields(Settings)
        if field.name not in {"timeouts", "problems"}
    }
    defaults |= {f"timeouts.{name}": getattr(Timeouts(), field) for name, field in TIMEOUTS.items()}
    documented = {name: cells[1] for name, cells in rows("docs/reference/settings.md").items()}
    assert documented == {name: shown(default) for name, default in defaults.items()}


def shown(default: Any) -> str:
    """A default as the reference writes it."""
    if default is None:
        return "none"
    if isinstance(default, float):
        default = int(default)
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


def read_variables() -> set[str]:
    """The names that our code looks up in an environment, and those that it keeps as constants."""
    looked_up = {
        node.args[0].value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"get", "getenv"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
        and re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", node.args[0].value)
    }
    constants = {
        *KNOWN_NAMES,
        *system.NETWORK_VARIABLES,
        system.ISSUER_VARIABLE,
        system.OPENROUTER_VARIABLE,
        TRUST_VARIABLE,
    }
    return looked_up | constants


def test_every_variable_is_documented() -> None:
    """The reference has each variable that is read, and none that is not."""
    assert set(rows("docs/reference/environment.md")) == read_variables() | OF_LIBRARIES


ENV_PAGE = "docs/reference/env-diagnostics.md"


def test_every_env_finding_is_documented_with_its_severity_and_test() -> None:
    """A row for each code of the `.env` language, and none for what there is not; each test named exists."""
    found = {name: cells for name, cells in rows(ENV_PAGE).items() if name.startswith("env.")}
    assert {name: cells[0] for name, cells in found.items()} == {
        code: severity.name.lower() for code, severity in SEVERITIES.items()
    }
    tests = (ROOT / "tests" / "lsp" / "test_env_language.py").read_text(encoding="utf-8")
    assert {n: c[-1] for n, c in found.items() if f"def {c[-1].strip('`')}(" not in tests} == {}


def test_every_env_action_is_documented_with_its_test() -> None:
    """A row for each title and its command; each test named exists."""
    found = {name: cells for name, cells in rows(ENV_PAGE).items() if name.startswith("Qwen: ")}
    assert {name: cells[0].strip("`") for name, cells in found.items()} == TITLES
    tests = (ROOT / "tests" / "lsp" / "test_env_actions.py").read_text(encoding="utf-8")
    assert {n: c[-1] for n, c in found.items() if f"def {c[-1].strip('`')}(" not in tests} == {}


def test_every_provider_is_documented() -> None:
    """The how-to has each provider's variable, base URLs and default model in one row or its regions'."""
    page = PAGES["docs/how-to/keys-in-env.md"]
    table = [line for line in page.splitlines() if line.startswith("| ")]
    for provider in (*CATALOGUE, *LOCAL_SERVERS):
        (row,) = [line for line in table if line.startswith(f"| {provider.label} |")]
        for text in (provider.base_url, provider.key_variable, provider.default_model):
            assert text is None or f"`{text}`" in row, (provider.id, text)
        for url in provider.others:
            assert [line for line in table if f"`{url}`" in line and f"`{provider.default_model}`" in line]


def test_every_kind_and_cause_has_a_remedy() -> None:
    """The how-to has a row for each kind and cause of failure, and none for what there is not."""
    assert set(rows("docs/how-to/troubleshoot.md")) == {k.value for k in Kind} | {c.value for c in Cause}


def test_every_refused_name_is_documented() -> None:
    """The reference has each pattern of a file with secrets, and none that is not refused."""
    page = PAGES["docs/reference/context.md"]
    section = page[page.index("## Files that are refused") : page.index("\nA file that begins")]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    table = {span for cell in cells for span in SPAN.findall(cell)}
    assert table == {*secret_files.NAMES, *secret_files.IN_FOLDERS}
    assert all(f"but for `{name}`" in section for name in secret_files.EXCEPTIONS)


def test_every_slash_command_is_documented() -> None:
    """The reference has each slash command as it is written, with what it does."""
    documented = {
        name: cells[0] for name, cells in rows("docs/reference/context.md").items() if name[0] == "/"
    }
    assert documented == {command.usage: command.summary for command in slash.COMMANDS}


def test_every_terminal_command_and_option_is_documented() -> None:
    """The reference names every command of the parser and each of its options."""
    page = PAGES["docs/reference/terminal.md"]
    (commands,) = [a for a in arguments.build()._actions if isinstance(a.choices, dict)]
    assert isinstance(commands.choices, dict)
    for name, parser in commands.choices.items():
        assert f"`qwen-ls {name}" in page
        for action in parser._actions:
            for option in action.option_strings:
                assert option in {"-h", "--help"} or f"`{option}" in page, (name, option)


# --- what the explanations rest on ---------------------------------------------------------------


@EVERY_PAGE
def test_every_file_named_is_there(page: str) -> None:
    """A module or test file that a page names is in the tree."""
    named = {s for s in SPAN.findall(prose(PAGES[page])) if re.fullmatch(r"[\w./-]+/[\w./-]+\.(py|sh)", s)}
    assert {n for n in named if not ((PACKAGE / n).exists() or (ROOT / n).exists())} == set()


def test_every_test_named_is_there() -> None:
    """Each invariant and rule names tests that exist."""
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))
    tests = set(re.findall(r"^ *(?:async )?def (test_\w+)", sources, re.MULTILINE))
    for page in ("architecture", "performance", "security"):
        named = set(re.findall(r"`(test_\w+)`", PAGES[f"docs/explanation/{page}.md"]))
        assert named
        assert named - tests == set()


def test_the_overview_is_short() -> None:
    """Whoever wants to change something can read all of it first."""
    assert len(PAGES["docs/explanation/architecture.md"].splitlines()) <= WIDE


def uses(source: str) -> set[str]:
    """Every module imported and name called, the latter as `b` and as `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found |= {node.func.attr, ast.unparse(node.func)}
    return found


STARTS = {
    *("webbrowser", "subprocess", "multiprocessing", "socketserver", "http.server"),
    *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
    *("os.system", "os.popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.startfile", "os.spawnv"),
    *("os.execv", "os.execve", "os.execvp", "create_server", "start_server", "start_unix_server"),
}


MAY_START = {("adapters/git.py", "subprocess")}


def test_no_ring_starts_a_process_or_listens() -> None:
    """The editor opens pages; the server starts no browser and no child but git; no port of it is open."""
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "demo")
        for name in uses(path.read_text(encoding="utf-8")) & STARTS
    }
    assert found == MAY_START


@pytest.mark.parametrize(
    "source", ["import webbrowser", "from subprocess import run", "asyncio.start_server(f)", "os.system(a)"]
)
def test_a_process_or_a_listener_would_be_seen(source: str) -> None:
    """The search above finds imports and calls."""
    assert uses(source) & STARTS
