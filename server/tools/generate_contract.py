"""contract.py -> what is generated from it: `generate_contract.py [--check]`.

The contract is read once into a `Model`; every output of OUTPUTS is a renderer of that model. With
`--check` nothing is written: exit code 1, and one line for each file that is not what would be.
"""  # noqa: INP001 - a script that is run by its path

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

import attrs

from qwen_ls import contract
from qwen_ls.core.errors import Cause, Kind
from qwen_ls.core.providers import CATALOGUE
from qwen_ls.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
HEADING = re.compile(r"^# --- (.+?) -+$", re.MULTILINE)  # of a group of payloads, in contract.py

KINDS: dict[Kind, str] = {
    Kind.SIGNED_OUT: "There is no usable credential.",
    Kind.LOGIN_CANCELLED: "The user ended the sign-in.",
    Kind.LOGIN_DENIED: "The user said no on the provider's page.",
    Kind.LOGIN_EXPIRED: "The code ran out before it was entered.",
    Kind.LOGIN_FAILED: "The server refused the sign-in in another way.",
    Kind.KEY_REJECTED: "The provider answered 401 or 403 to the key or token.",
    Kind.WRONG_ENDPOINT: "The key belongs to another region or plan.",
    Kind.FREE_TIER_CLOSED: "Qwen OAuth's free tier, which closed on 2026-04-15.",
    Kind.QUOTA_EXCEEDED: "The provider answered 402, or 429 with `insufficient_quota`.",
    Kind.RATE_LIMITED: "The provider answered 429: too many requests for now.",
    Kind.UNTRUSTED_ORIGIN: "A key would go to a base URL that its own trust tier does not name, or to a "
    "provider inside a message.",
    Kind.ENV_UNREADABLE: "The one `.env` file that counts cannot be read.",
    Kind.KEYRING_UNAVAILABLE: "There is no OS keyring that can keep a key.",
    Kind.KEYRING_LOCKED: "The OS keyring is locked.",
    Kind.NETWORK: "The provider could not be reached; `cause` says which way.",
    Kind.PROVIDER_DOWN: "The provider answered 5xx.",
    Kind.BAD_REPLY: "The provider's answer is not what the protocol promises.",
    Kind.STREAM_TRUNCATED: "The answer was cut short; what came is kept.",
    Kind.TOO_LARGE: "Something is over a size limit.",
    Kind.MODEL_NOT_FOUND: "The provider does not have the model.",
    Kind.NOT_SUPPORTED: "This client, method or provider cannot do it.",
    Kind.INTERNAL: "A mistake in the server itself.",
}
CAUSES: dict[Cause, str] = {
    Cause.DNS: "The host's name could not be resolved.",
    Cause.REFUSED: "Nothing accepts connections there.",
    Cause.TLS: "The certificate or the TLS handshake failed.",
    Cause.PROXY: "The proxy refused or failed.",
    Cause.CAPTIVE_PORTAL: "A network's sign-in page answered in the provider's place.",
    Cause.TIMEOUT: "No answer in time.",
    Cause.REDIRECT: "The provider redirected the request; redirects are not followed.",
    Cause.ENCODING: "The answer's content encoding cannot be read.",
}
CODES: dict[int, str] = {
    -32803: "RequestFailed: the command failed; `data` is an [`ErrorData`](#errordata).",
    -32800: "RequestCancelled: `$/cancelRequest` ended the request; `data` as above, with kind `cancelled`.",
    -32602: "InvalidParams: bad arguments; `data.problems[]` names each field by its path.",
    -32601: "MethodNotFound: there is no such request (an unknown command is InvalidParams).",
    -32600: "InvalidRequest: JSON, but no request that may be made now.",
    -32700: "ParseError: a bad frame; `id` is null, and the connection goes on.",
    -32002: "ServerNotInitialized: a request came before `initialize`.",
}


@attrs.frozen
class Field:
    """A field of a payload: `type` is a resolved type hint, `default` is JSON, or None where required."""

    name: str
    type: Any
    default: str | None
    meaning: str


@attrs.frozen
class Payload:
    """A payload, and the contract's own heading over it, e.g. `what commands take`."""

    name: str
    group: str
    meaning: str
    fields: tuple[Field, ...]


@attrs.frozen
class Model:
    """All that a renderer needs to know of the contract."""

    payloads: tuple[Payload, ...]
    kinds: dict[str, str]
    causes: dict[str, str]
    version: int = contract.VERSION
    commands: tuple[contract.Command, ...] = contract.COMMANDS
    notifications: tuple[contract.Notification, ...] = contract.NOTIFICATIONS


def read_model() -> Model:
    """The contract as data. Raises KeyError for a kind or cause whose meaning nobody wrote down."""
    source = inspect.getsource(contract)
    headings = [(source.count("\n", 0, m.start()), m[1]) for m in HEADING.finditer(source)]
    payloads = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef) or node.name in ("Command", "Notification"):
            continue  # those two are rows of the contract's tables and cross no wire
        group = [heading for line, heading in headings if line < node.lineno][-1]
        fields = read_fields(getattr(contract, node.name), node)
        payloads.append(Payload(node.name, group, flat(ast.get_docstring(node)), fields))
    kinds = {kind: KINDS[Kind(kind)] for kind in contract.ERROR_KINDS}
    causes = {cause: CAUSES[Cause(cause)] for cause in contract.ERROR_CAUSES}
    return Model(tuple(payloads), kinds, causes)


def read_fields(cls: type, node: ast.ClassDef) -> tuple[Field, ...]:
    """A payload's fields, with the docstring that stands under each."""
    hints = typing.get_type_hints(cls)
    docs = {
        field.target.id: flat(below.value.value)
        for field, below in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }
    return tuple(
        Field(camel(a.name), hints[a.name], default_of(a.default), docs.get(a.name, ""))
        for a in attrs.fields(cls)
    )


def default_of(default: Any) -> str | None:
    """A default as JSON; None if there is none."""
    factory = getattr(default, "factory", None)
    return None if default is attrs.NOTHING else json.dumps(factory() if factory else default)


def camel(name: str) -> str:
    """A field's name on the wire."""
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def flat(docstring: object) -> str:
    """A docstring on one line, in the words of the wire: None is null there."""
    return re.sub(r"`?\bNone\b`?", "`null`", " ".join(str(docstring or "").split()))


INTRO = """\
# Protocol

<!-- Generated from server/qwen_ls/contract.py by `make contract`. Do not edit. -->

Version {version}. `qwen-ls` speaks JSON-RPC 2.0 in LSP frames over stdin and stdout. Besides the standard messages it has the commands, requests and notifications on this page.

- **Commands** are called by `workspace/executeCommand` with exactly one object in `arguments`; `{{}}` will do where every field has a default. All are advertised in the answer to `initialize`.
- **Request twins**: a command that would take long gives its answer when the work has begun, since some clients block on a command. Its twin is a request of our own with the same object as `params`; it answers at the end, and `$/cancelRequest` ends it. `wait: true` makes the command itself answer at the end.
- **Partial results**: with a `partialResultToken` in its object, `qwen.chat.send` streams [`ChatDelta`](#chatdelta) values by `$/progress` to that token and closes with one [`ChatEnd`](#chatend); the result then carries no text. `seq` counts from 0 without gaps. Not with `document`: its answer comes as edits.
- **Capabilities**: a client declares what it can do as [`ClientCapabilities`](#clientcapabilities) in `capabilities.experimental.qwen` of `initialize`, and may send [`InitializationOptions`](#initializationoptions).
- **Errors**: every failure a user can meet is a RequestFailed whose `data` is an [`ErrorData`](#errordata). Switch on its `kind`, never on the text.
- **Fields** are camelCase on the wire. One with a default may be left out; fields you do not know are to be ignored.
"""  # noqa: E501 - one line per paragraph, as it comes out


def render_markdown(model: Model) -> str:
    """docs/reference/protocol.md."""
    commands = [
        [code(c.name), code(c.request), *spell(c.params), *spell(c.result), f"{c.summary}."]
        for c in model.commands
    ]
    notifications = [
        [code(n.method), "client" if n.from_client else "server", *spell(n.params), f"{n.summary}."]
        for n in model.notifications
    ]
    parts = [
        INTRO.format(version=model.version),
        table("## Commands", ["Command", "Request twin", "Params", "Result", "Summary"], commands),
        table("## Notifications", ["Method", "Sent by", "Params", "Summary"], notifications),
    ]
    for group, payloads in itertools.groupby(model.payloads, key=lambda payload: payload.group):
        parts.append(f"## {group[0].upper()}{group[1:]}\n")
        for payload in payloads:
            rows = [
                [code(f.name), " | ".join(spell(f.type)), code(f.default, "required"), f.meaning]
                for f in payload.fields
            ]
            title = f"### {payload.name}\n\n{payload.meaning}"
            parts.append(table(title, ["Field", "Type", "Default", "Meaning"], rows))
    for what, meanings in (("code", CODES), ("kind", model.kinds), ("cause", model.causes)):
        rows = [[code(str(name)), meaning] for name, meaning in meanings.items()]
        parts.append(table(f"## Error {what}s", [what.capitalize(), "Meaning"], rows))
    return "\n".join(parts)


def table(title: str, header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table under its title; bars inside a cell are escaped."""
    cells = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return f"{title}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in cells)


def spell(hint: Any) -> list[str]:
    """A type as a reader of JSON would write it: one word for each member of a union."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return [word for member in arguments for word in spell(member)]
    if origin is typing.Literal:
        return [code(json.dumps(value)) for value in arguments]
    if origin is list:
        return [f"list of {' | '.join(spell(arguments[0]))}"]
    if origin is dict:
        values = spell(arguments[1])
        return [code("object") if values == [code("any")] else f"{code('object')} of {' | '.join(values)}"]
    if attrs.has(hint):
        return [f"[`{hint.__name__}`](#{hint.__name__.lower()})"]
    return [code(SCALARS[hint])]


SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", Any: "any"}


def code(text: str | None, missing: str = "-") -> str:
    """Text as code, or `missing` where there is none."""
    return f"`{text}`" if text else missing


TYPESCRIPT = """\
// Generated from server/qwen_ls/contract.py by `make contract`. Do not edit.
// A field that may be left out is optional; one that the wire leaves out where it would be null is too.

export const VERSION = {version};
"""


def render_typescript(model: Model) -> str:
    """The extension's contract.gen.ts: an interface for each payload, and what may be called with what."""
    requests = [(c.request, c.params, c.result) for c in model.commands if c.request]
    parts = [
        TYPESCRIPT.format(version=model.version),
        *(
            f"/** {meaning} */\nexport type {name} =\n{bars(values)};\n"
            for name, meaning, values in (
                ("ErrorKind", "What a failure is.", model.kinds),
                ("ErrorCause", "Refines kind `network`.", model.causes),
            )
        ),
        *map(interface, model.payloads),
        catalogue(),
        calls("Commands", "Commands of the server.", [(c.name, c.params, c.result) for c in model.commands]),
        calls("Requests", "Request twins: answered at the end.", requests),
    ]
    for name, from_client in (("ServerNotifications", False), ("ClientNotifications", True)):
        rows = [(n.method, n.params) for n in model.notifications if n.from_client == from_client]
        lines = "".join(f'  "{method}": {params.__name__};\n' for method, params in rows)
        sender = "client" if from_client else "server"
        parts.append(f"/** What the {sender} says unasked. */\nexport interface {name} {{\n{lines}}}\n")
    return "\n".join(parts)


def interface(payload: Payload) -> str:
    """One payload as an interface."""
    lines = [
        f"  /** {f.meaning} */\n  {f.name}{'' if f.default is None and not may_be_none(f.type) else '?'}: "
        f"{typescript(f.type)};\n"
        for f in payload.fields
    ]
    return f"/** {payload.meaning} */\nexport interface {payload.name} {{\n{''.join(lines)}}}\n"


def calls(name: str, meaning: str, rows: list[tuple[str, type, type]]) -> str:
    """A table of what may be called: name -> params and result."""
    lines = [f'  "{n}": {{ params: {p.__name__}; result: {r.__name__} }};\n' for n, p, r in rows]
    return f"/** {meaning} */\nexport interface {name} {{\n{''.join(lines)}}}\n"


def catalogue() -> str:
    """Whose keys the server knows, for a list to choose from, and which settings are the user's."""
    rows = [{"id": p.id, "label": p.label, "baseUrls": p.base_urls} for p in CATALOGUE]
    lines = "".join(f"  {json.dumps(row)},\n" for row in rows)
    head = "/** The providers of the server's catalogue; the first base URL is the default. */\n"
    shape = "readonly { readonly id: string; readonly label: string; readonly baseUrls: readonly string[] }[]"
    names = [camel(field.name) for field in attrs.fields(Settings) if field.name != "problems"]
    settings = f"/** The user settings. */\nexport const USER_SETTINGS = {json.dumps(names)} as const;\n"
    return f"{head}export const PROVIDERS: {shape} = [\n{lines}];\n\n{settings}"


def bars(values: typing.Iterable[str]) -> str:
    """A union of texts, one on each line."""
    return "\n".join(f"  | {json.dumps(value)}" for value in values)


def may_be_none(hint: Any) -> bool:
    """Whether null is among a type's values; the wire leaves such a field out."""
    return type(None) in typing.get_args(hint)


def typescript(hint: Any) -> str:
    """A type in TypeScript; null is not spelt, the field is optional instead."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(typescript(member) for member in arguments if member is not type(None))
    if origin is typing.Literal:
        return " | ".join(json.dumps(value) for value in arguments)
    if origin is list:
        item = typescript(arguments[0])
        return f"({item})[]" if " " in item else f"{item}[]"
    if origin is dict:
        return f"Record<string, {typescript(arguments[1])}>"
    return (
        hint.__name__
        if attrs.has(hint)
        else {"integer": "number", "any": "unknown"}.get(SCALARS[hint], SCALARS[hint])
    )


LUA = """\
-- Generated from server/qwen_ls/contract.py by `make contract`. Do not edit.
-- A field with a question mark may be left out, or is left out where it would be null.

"""


def render_lua(model: Model) -> str:
    """The Neovim client's contract.gen.lua: LuaCATS types, and a table of what is needed when it runs."""
    aliases = {
        "Kind": ("What a failure is.", model.kinds),
        "Cause": ("Refines kind `network`.", model.causes),
        "Command": ("A command of the server.", {c.name: f"{c.summary}." for c in model.commands}),
    }
    parts = [
        f"--- {meaning}\n---@alias qwen.{name}\n"
        + "".join(f"---| '{value}' # {what}\n" for value, what in values.items())
        for name, (meaning, values) in aliases.items()
    ]
    parts += [lua_class(payload) for payload in model.payloads]
    rows = [(p.id, p.label, ", ".join(map(repr, p.base_urls))) for p in CATALOGUE]
    providers = "".join(f"    {{ id = {i!r}, label = {n!r}, baseUrls = {{ {u} }} }},\n" for i, n, u in rows)
    table = f"return {{\n  version = {model.version},\n  providers = {{\n{providers}  }},\n}}\n"
    return LUA + "\n".join([*parts, table])


def lua_class(payload: Payload) -> str:
    """One payload as a class."""
    lines = [
        f"---@field {f.name}{'' if f.default is None and not may_be_none(f.type) else '?'} "
        f"{luacats(f.type)} {f.meaning}\n"
        for f in payload.fields
    ]
    return f"--- {payload.meaning}\n---@class (exact) qwen.{payload.name}\n{''.join(lines)}"


def luacats(hint: Any) -> str:
    """A type in LuaCATS; null is not spelt, the field is optional instead."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return "|".join(luacats(member) for member in arguments if member is not type(None))
    if origin is typing.Literal:
        return "|".join(f"'{value}'" for value in arguments)
    if origin is list:
        item = luacats(arguments[0])
        return f"({item})[]" if "|" in item else f"{item}[]"
    if origin is dict:
        return f"table<string, {luacats(arguments[1])}>"
    return f"qwen.{hint.__name__}" if attrs.has(hint) else SCALARS[hint]


OUTPUTS = {
    "docs/reference/protocol.md": render_markdown,
    "server/qwen_ls/editors/neovim/lua/qwen_ls/contract.gen.lua": render_lua,
    "vscode-extension/src/contract.gen.ts": render_typescript,
}


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write or check every output under `root`; the exit code."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: generate_contract.py [--check]\n")
        return 2
    model, stale = read_model(), []
    for name, render in OUTPUTS.items():
        path, text = root / name, render(model)
        if not arguments:
            path.write_text(text, encoding="utf-8", newline="\n")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    sys.stderr.write("".join(f"{name} is stale: run `make contract`\n" for name in stale))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
