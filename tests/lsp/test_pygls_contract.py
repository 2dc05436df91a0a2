"""What `lsp/` knows of pygls' inside: an upgrade that moves any of it is noticed here first."""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import inspect
from pathlib import Path
from typing import Any

import pytest
from cattrs.errors import BaseValidationError
from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCProtocol,
    JsonRPCRequestMessage,
    LanguageServerProtocol,
    default_converter,
)

from qwen_ls.lsp import rpc, server
from qwen_ls.lsp.rpc import Protocol, make_converter

# pygls' methods that are overridden or called, with the names of their parameters; * before keyword-only ones
SIGNATURES = {
    "_execute_handler": "self, msg_id, handler, callback, args, kwargs",
    "_handle_cancel_notification": "self, msg_id",
    "_handle_notification": "self, method_name, params",
    "_handle_request": "self, msg_id, method_name, params",
    "_send_data": "self, data",
    "_send_handler_result": "self, future, *msg_id",
    "_send_response": "self, msg_id, result, error",
    "_serialize_message": "self, data",
    "get_message_type": "self, method",
    "handle_message": "self, message",
    "lsp_exit": "self, *args",
    "lsp_initialize": "self, params",
    "lsp_text_document__did_change": "self, params",
    "lsp_text_document__did_close": "self, params",
    "lsp_text_document__did_open": "self, params",
    "lsp_workspace__execute_command": "self, params",
    "notify": "self, method, params",
    "set_writer": "self, writer, include_headers",
    "structure_message": "self, data",
}
ATTRIBUTES = {
    "_request_futures": dict,
    "_result_types": dict,
    "_shutdown": bool,
    "_converter": object,
    "_server": object,
    "fm": object,
}


@pytest.fixture
def protocol() -> LanguageServerProtocol:
    """Pygls' own protocol, as a server makes it."""
    return LanguageServer("test", "1", converter_factory=default_converter).protocol


def names_of(function: Any) -> str:
    """Parameter names; `*` before those that are keyword-only or variable."""
    marked = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL}
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(f"{'*' if p.kind in marked else ''}{p.name}" for p in parameters)


def test_the_version_that_was_read() -> None:
    """Private methods are overridden, so another minor version needs another look."""
    assert importlib.metadata.version("pygls").startswith("2.1.")


@pytest.mark.parametrize(("name", "parameters"), SIGNATURES.items())
def test_signatures(name: str, parameters: str) -> None:
    """Each method is there and takes what it took."""
    assert names_of(getattr(LanguageServerProtocol, name)) == parameters


@pytest.mark.parametrize(("name", "kind"), ATTRIBUTES.items())
def test_attributes(protocol: LanguageServerProtocol, name: str, kind: type) -> None:
    """Each attribute is there, of its type."""
    assert isinstance(getattr(protocol, name), kind)


def test_every_override_is_watched() -> None:
    """What Protocol overrides of pygls stands in the table above."""
    overridden = {n for n in vars(Protocol) if hasattr(LanguageServerProtocol, n) and not n.startswith("__")}
    assert overridden - {"_server"} <= SIGNATURES.keys()


def test_every_private_name_is_watched() -> None:
    """What `lsp/` touches of pygls' private names stands in one of the tables above."""
    ours = {n for cls in (Protocol, server.Server) for n in (*vars(cls), *assigned_in(cls))}
    used = {
        node.attr
        for module in (rpc, server)
        for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }
    assert {"_request_futures", "_send_response"} <= used
    assert used - ours <= SIGNATURES.keys() | ATTRIBUTES.keys()


def assigned_in(cls: type) -> set[str]:
    """The attributes that a class's own code sets on itself."""
    tree = ast.parse(inspect.getsource(cls))
    return {
        target.attr
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    }


def test_initialize_is_a_generator_that_can_be_delegated_to() -> None:
    """`lsp_initialize` yields the user's handler and returns the result: `yield from` gives us both."""
    assert inspect.isgeneratorfunction(LanguageServerProtocol.lsp_initialize)
    assert inspect.isgeneratorfunction(Protocol.lsp_initialize)


def test_commands_are_a_coroutine_and_so_a_task_that_can_be_cancelled() -> None:
    """Pygls' own is a generator, whose future no cancel reaches."""
    assert inspect.iscoroutinefunction(Protocol.lsp_workspace__execute_command)
    assert not inspect.iscoroutinefunction(LanguageServerProtocol.lsp_workspace__execute_command)


async def test_a_running_request_is_a_task_under_its_id(protocol: LanguageServerProtocol) -> None:
    """`_execute_handler` makes a task of a coroutine and keeps it under the request's id."""
    begun = asyncio.Event()

    async def handler(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    ended: list[Any] = []
    protocol._execute_handler("id", handler, ended.append)
    future: Any = protocol._request_futures["id"]
    assert isinstance(future, asyncio.Task)
    await begun.wait()
    protocol._handle_cancel_notification("id")
    await asyncio.wait({future})
    assert future.cancelled()
    assert ended == [future]
    assert "id" not in protocol._request_futures  # pygls pops at the cancel; ours waits for the end


def test_bad_params_come_with_their_cause(protocol: LanguageServerProtocol) -> None:
    """`structure_message` raises JsonRpcInvalidParams from cattrs' tree, which names each field."""
    message = {"jsonrpc": "2.0", "id": 1, "method": types.TEXT_DOCUMENT_HOVER, "params": {"position": 5}}
    with pytest.raises(JsonRpcInvalidParams) as raised:
        protocol.structure_message(message)
    assert isinstance(raised.value.__cause__, BaseValidationError)


@pytest.mark.parametrize("cls", [JsonRPCRequestMessage, JsonRPCNotification])
def test_unknown_methods_keep_their_params_as_they_came(cls: type) -> None:
    """Our converter copies the fields; pygls' own would make named tuples of what a client sends."""
    params = {"type_name": "Evil", "class": 1, "jsonrpc": "9", "nested": [{"a": None}]}
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": "qwen/x", "params": params}
    message |= {"id": 7} if cls is JsonRPCRequestMessage else {}
    theirs: Any = default_converter()  # type: ignore[no-untyped-call] # pygls has no types there
    assert make_converter().structure(message, cls).params == params
    assert theirs.structure(message, cls).params != params


def test_a_method_without_a_type_is_a_plain_message(protocol: LanguageServerProtocol) -> None:
    """None from `get_message_type` leads to JsonRPCRequestMessage, whose hook is ours."""
    assert protocol.get_message_type("qwen/x") is None
    message = {"jsonrpc": "2.0", "id": 7, "method": "qwen/x", "params": {"a": 1}}
    assert isinstance(protocol.structure_message(message), JsonRPCRequestMessage)


def test_outgoing_messages_all_pass_send_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses and notifications alike go through `_send_data`, to the writer that was set."""
    sent: list[Any] = []
    monkeypatch.setattr(JsonRPCProtocol, "_send_data", lambda _, data: sent.append(data))
    protocol = LanguageServer("test", "1", converter_factory=default_converter).protocol
    protocol._send_response("id", result=1)
    protocol.notify("qwen/x", {})
    assert [type(message).__name__ for message in sent] == ["JsonRPCResponseMessage", "JsonRPCNotification"]
