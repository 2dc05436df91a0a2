"""The contract: what is generated from it is fresh, it agrees with the core, and it carries no secret."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from qwen_ls import contract
from qwen_ls.core import chat, context, credentials, errors, ladder, origin, provenance, stored

if TYPE_CHECKING:
    from enum import Enum

TOOL = Path(__file__).parents[1] / "server" / "tools" / "generate_contract.py"
OUTPUTS = (
    "docs/reference/protocol.md",
    "server/qwen_ls/editors/neovim/lua/qwen_ls/contract.gen.lua",
    "vscode-extension/src/contract.gen.ts",
)

MIRRORED: dict[str, type[Enum]] = {
    "StopReason": chat.StopReason,
    "Role": chat.Role,
    "SourceKind": provenance.SourceKind,
    "RungOutcome": credentials.Outcome,
    "ChosenBy": ladder.ChosenBy,
    "Trust": origin.WorkspaceTrust,
    "DecisionName": origin.Decision,
    "Severity": context.Severity,
}
OF_THE_WIRE_ALONE = {"Target", "StatusKind"}
ALSO_LITERALS = {"KeptIn": stored.Keeper}  # the core has the same Literal

SECRET_WORDS = {"key", "secret", "token", "password", "passphrase", "authorization"}
PROGRESS_TOKENS = {"work_done_token", "partial_result_token"}
NAMES_OF_PLACES = {"key_file", "secret_store"}  # where a key is handed over, and that a client has a store


def load_tool() -> Any:
    """Return the generator as a module; it is a script and lies outside the package."""
    spec = importlib.util.spec_from_file_location("generate_contract", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tool() -> Any:
    """The generator."""
    return load_tool()


PAYLOADS = {
    name: cls
    for name, cls in vars(contract).items()
    if isinstance(cls, type) and attrs.has(cls) and cls not in (contract.Command, contract.Notification)
}
LITERALS = {
    name: alias for name, alias in vars(contract).items() if typing.get_origin(alias) is typing.Literal
}
EVERY_PAYLOAD = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
EVERY_COMMAND = pytest.mark.parametrize("command", contract.COMMANDS, ids=lambda command: command.name)


# --- what is generated ---------------------------------------------------------------------------


def test_the_generated_page_is_fresh() -> None:
    """What stands in the tree is what the contract says now."""
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def made_under(root: Path, tool: Any) -> None:
    """Write every output under `root`."""
    for name in OUTPUTS:
        (root / name).parent.mkdir(parents=True)
    assert tool.main([], root) == 0


def test_it_is_known_what_is_generated(tool: Any) -> None:
    """The tests below cover every output."""
    assert tuple(tool.OUTPUTS) == OUTPUTS


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("change", ["missing", "edited"])
def test_a_stale_output_is_named_with_what_to_run(
    tool: Any, name: str, change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing or edited output makes --check fail with one line; writing it makes --check pass."""
    made_under(tmp_path, tool)
    output = tmp_path / name
    if change == "missing":
        output.unlink()
    else:
        output.write_text(output.read_text(encoding="utf-8").replace("string", "text", 1), encoding="utf-8")
    assert tool.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == f"{name} is stale: run `make contract`\n"
    assert tool.main([], tmp_path) == 0
    assert tool.main(["--check"], tmp_path) == 0


def test_an_unknown_argument_is_refused(tool: Any, tmp_path: Path) -> None:
    """A misspelt --check neither passes nor writes."""
    assert tool.main(["--chek"], tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_page_names_everything(tool: Any) -> None:
    """Every command, twin, notification, payload, field, kind and cause stands on the page."""
    page = tool.render_markdown(tool.read_model())
    fields = {tool.camel(field.name) for cls in PAYLOADS.values() for field in attrs.fields(cls)}
    words = {
        *(command.name for command in contract.COMMANDS),
        *(command.request for command in contract.COMMANDS if command.request),
        *(notification.method for notification in contract.NOTIFICATIONS),
        *fields,
        *contract.ERROR_KINDS,
        *contract.ERROR_CAUSES,
    }
    assert {word for word in words if f"| `{word}` |" not in page} == set()
    assert {name for name in PAYLOADS if f"\n### {name}\n" not in page} == set()


def test_the_page_is_sound_markdown(tool: Any) -> None:
    """Each row has its header's columns, each link leads to a heading, and no line ends in white space."""
    lines = tool.render_markdown(tool.read_model()).splitlines()
    headings = {line.lstrip("# ").lower() for line in lines if line.startswith("#")}
    links = {anchor for line in lines for anchor in re.findall(r"\]\(#([^)]+)\)", line)}
    assert links <= headings
    assert [line for line in lines if line != line.rstrip()] == []
    columns = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    uneven = [
        line
        for line, before, count, above in zip(lines[1:], lines, columns[1:], columns, strict=False)
        if line.startswith("|") and before.startswith("|") and count != above
    ]
    assert uneven == []


def test_the_types_name_everything(tool: Any) -> None:
    """Every command, twin, notification, payload, field, kind and cause has its TypeScript."""
    text = tool.render_typescript(tool.read_model())
    calls = [*(c.name for c in contract.COMMANDS), *(c.request for c in contract.COMMANDS if c.request)]
    said = [n.method for n in contract.NOTIFICATIONS]
    assert [name for name in (*calls, *said) if f'\n  "{name}": ' not in text] == []
    assert [name for name in PAYLOADS if f"\nexport interface {name} {{\n" not in text] == []
    fields = {tool.camel(field.name) for cls in PAYLOADS.values() for field in attrs.fields(cls)}
    assert {name for name in fields if not re.search(rf"\n  {name}\??: ", text)} == set()
    words = (*contract.ERROR_KINDS, *contract.ERROR_CAUSES)
    assert [word for word in words if f'\n  | "{word}"' not in text] == []


def test_a_type_is_spelt_in_typescript(tool: Any) -> None:
    """Unions lose null, lists of unions are put in brackets, and a number is a number."""
    hints = [str | None, list[str], list[int | str], dict[str, Any], contract.Status, float | None]
    assert [tool.typescript(hint) for hint in hints] == [
        "string",
        "string[]",
        "(number | string)[]",
        "Record<string, unknown>",
        "Status",
        "number",
    ]


def test_a_kind_without_a_meaning_is_an_error(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can add an error kind and leave the page silent about it."""
    monkeypatch.delitem(tool.KINDS, errors.Kind.NETWORK)
    with pytest.raises(KeyError):
        tool.read_model()


# --- its own form --------------------------------------------------------------------------------


def test_everything_is_documented(tool: Any) -> None:
    """Every payload has a docstring, and every field has one beneath it."""
    payloads = tool.read_model().payloads
    assert {payload.name for payload in payloads} == set(PAYLOADS)
    assert [payload.name for payload in payloads if not payload.meaning] == []
    assert [f"{p.name}.{field.name}" for p in payloads for field in p.fields if not field.meaning] == []


@EVERY_PAYLOAD
def test_names_on_the_wire_are_unique_and_lead_back(tool: Any, payload: type) -> None:
    """No two fields share a camelCase name, and each one gives its field's name back."""
    fields = [field.name for field in attrs.fields(payload)]
    wire = [tool.camel(name) for name in fields]
    assert len(set(wire)) == len(wire)
    assert [re.sub(r"([A-Z])", r"_\1", name).lower() for name in wire] == fields


@EVERY_COMMAND
def test_a_command_is_named_by_noun_and_verb(command: contract.Command) -> None:
    """`qwen.<noun>.<verb>`, `qwen.doctor` apart; a twin is spelt as a request of the same name."""
    assert re.fullmatch(r"qwen\.(doctor|[a-z]+\.[a-z]+([A-Z][a-z]+)*)", command.name)
    assert command.request in (None, command.name.replace(".", "/"))


def test_a_notification_is_named_as_ours() -> None:
    """`qwen/...`, so that it cannot collide with the protocol's own."""
    names = [notification.method for notification in contract.NOTIFICATIONS]
    assert [name for name in names if not re.fullmatch(r"qwen(/[a-z]+([A-Z][a-z]+)*)+", name)] == []


def test_names_of_commands_and_notifications_are_unique() -> None:
    """Nothing answers to two names, and no name means two things."""
    requests = [command.request for command in contract.COMMANDS if command.request]
    methods = [notification.method for notification in contract.NOTIFICATIONS]
    names = [*(command.name for command in contract.COMMANDS), *requests, *methods]
    assert sorted(set(names)) == sorted(names)


@EVERY_COMMAND
def test_a_command_can_be_called_with_an_empty_object(command: contract.Command) -> None:
    """A palette entry or a code action without arguments sends `{}`, so every field has a default."""
    required = [a.name for a in attrs.fields(command.params) if a.default is attrs.NOTHING]
    assert required == []


# --- the core's words ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIRRORED)
def test_a_literal_has_the_values_of_its_enum(name: str) -> None:
    """What the core can say, the wire can carry, and nothing else."""
    assert list(typing.get_args(LITERALS[name])) == [member.value for member in MIRRORED[name]]


def test_every_literal_says_whether_the_core_knows_it() -> None:
    """A new Literal is added to MIRRORED with its enum, or declared to be of the wire alone."""
    assert set(LITERALS) == MIRRORED.keys() | OF_THE_WIRE_ALONE | ALSO_LITERALS.keys()
    for name, literal in ALSO_LITERALS.items():
        assert typing.get_args(LITERALS[name]) == typing.get_args(literal)


def test_kinds_and_causes_are_those_of_the_core() -> None:
    """Clients switch on exactly the kinds and causes that a Problem can have."""
    assert list(contract.ERROR_KINDS) == [kind.value for kind in errors.Kind]
    assert list(contract.ERROR_CAUSES) == [cause.value for cause in errors.Cause]


# --- secrets -------------------------------------------------------------------------------------


def secret_fields(payload: type) -> list[str]:
    """Return the fields whose name is that of a secret; counts (`total_tokens`) are none."""
    names = [field.name for field in attrs.fields(payload)]
    return [name for name in names if SECRET_WORDS & set(name.split("_"))]


@EVERY_PAYLOAD
def test_no_payload_has_a_field_for_a_secret(payload: type) -> None:
    """Neither a command's object nor an answer has a place for a key; LSP's two tokens name progress."""
    is_params = payload in {command.params for command in contract.COMMANDS}
    allowed = PROGRESS_TOKENS if is_params else set()
    assert set(secret_fields(payload)) <= allowed | NAMES_OF_PLACES


@pytest.mark.parametrize("name", ["api_key", "access_token", "client_secret", "token"])
def test_a_field_for_a_secret_would_be_seen(name: str) -> None:
    """The search above finds what it is for."""
    assert secret_fields(attrs.make_class("Leaky", [name, "total_tokens"])) == [name]
