"""JSON-RPC on pygls: what comes in is checked, what fails is answered, once, in one place.

A subclass of pygls' protocol, no fork. It overrides private methods of pygls 2.1, which
tests/lsp/test_pygls_contract.py watches; facts about each are in docs/explanation/architecture.md.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import itertools
import logging
from typing import TYPE_CHECKING, Any

import attrs
import cattrs
from cattrs.errors import BaseValidationError
from lsprotocol import converters, types
from pygls.exceptions import JsonRpcException, JsonRpcInternalError
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, LanguageServerProtocol, lsp_method

from qwen_ls import contract
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.lsp.decode import decode, invalid, problems
from qwen_ls.lsp.frames import Bad, encode
from qwen_ls.wire import error_data, to_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from concurrent.futures import Future

    from cattrs import Converter

    from qwen_ls.lsp.server import Server

log = logging.getLogger("qwen_ls.rpc")

PARSE_ERROR, INVALID_REQUEST, NOT_INITIALIZED = -32700, -32600, -32002
REQUEST_CANCELLED, REQUEST_FAILED = -32800, -32803
PASSED_ON = frozenset({-32600, -32601, -32602})  # pygls' own replies that hold nothing of ours
MOST_IN_FLIGHT = 512
ANSWERED = object()  # a handler's result that has been sent
ASK_TIMEOUT = 3.0  # seconds for an answer that needs no human


@attrs.frozen
class ExecuteCommand:
    """`workspace/executeCommand`, with the token that pygls does not pass on."""

    command: str
    arguments: list[Any] | None = None
    work_done_token: str | int | None = None


class NoAnswer(Exception):  # noqa: N818 - a fact about the client
    """The client refused a request of ours (`is_refusal`), or did not answer in time."""

    def __init__(self, why: str, *, is_refusal: bool = False) -> None:
        super().__init__(why)
        self.is_refusal = is_refusal


class AnswerFailed(Exception):  # noqa: N818 - a problem, and what it left
    """An answer that somebody waits for failed when part of it had come."""

    def __init__(self, problem: Problem, turn: contract.ChatResult) -> None:
        super().__init__(problem.kind.value)
        self.problem = problem
        self.turn = turn


def make_converter() -> Converter:
    """Lsprotocol's converter, with raw params for methods it does not know.

    It keeps no account of where it is, which makes for shorter code to generate: `wrong` asks another one.
    """
    converter = converters.get_converter(cattrs.Converter(detailed_validation=False))
    for cls in (JsonRPCRequestMessage, JsonRPCNotification):
        names = tuple(attrs.fields_dict(cls))
        converter.register_structure_hook(cls, raw_message(cls, names))
    return converter


def raw_message(cls: type, names: tuple[str, ...]) -> Callable[[dict[str, Any], Any], Any]:
    """A hook that copies the named fields as they are."""
    return lambda message, _: cls(**{name: message.get(name) for name in names})


@functools.cache
def careful_converter() -> Converter:
    """One that tells what is wrong with each field of a message; made for the first that is wrong."""
    return converters.get_converter()


def wrong(message: dict[str, Any], kind: type[Any]) -> list[tuple[str, str]]:
    """What is wrong with a message that could not be structured, by path."""
    try:
        careful_converter().structure(message, kind)
    except BaseValidationError as error:
        return list(problems(error, "$"))
    except Exception:  # noqa: BLE001, S110 - of a field's own kind, with no path
        pass
    return [("$", "not acceptable")]


def to_reply_error(error: BaseException) -> types.ResponseError:
    """The one place that turns a failure into a reply. Nothing of an unknown exception is told."""
    if isinstance(error, asyncio.CancelledError):
        remedy = "Ask again when you like"
        data = to_wire(contract.ErrorData("cancelled", remedy))
        return types.ResponseError(REQUEST_CANCELLED, "Cancelled", data)
    if isinstance(error, Problem):
        return types.ResponseError(REQUEST_FAILED, error.message, to_wire(error_data(error)))
    if isinstance(error, AnswerFailed):
        data = to_wire(attrs.evolve(error_data(error.problem), turn=error.turn))
        return types.ResponseError(REQUEST_FAILED, error.problem.message, data)
    if isinstance(error, JsonRpcException) and error.code in PASSED_ON:
        known = isinstance(error.data, dict) and "kind" in error.data
        return types.ResponseError(error.code, error.message, error.data if known else None)
    problem = mistake(error)
    return types.ResponseError(REQUEST_FAILED, problem.message, to_wire(error_data(problem)))


def mistake(error: BaseException) -> Problem:
    """What is told of an exception that nobody has foreseen: its type and its place, no value."""
    log.error("internal error: %s at %s", type(error).__name__, place_of(error))
    return Problem(
        Kind.INTERNAL,
        f"qwen-ls made a mistake: {type(error).__name__} at {place_of(error)}",
        remedy="Please report it with the output of qwen.doctor",
    )


def place_of(error: BaseException) -> str:
    """File name and line of an exception, without values."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return "an unknown place"
    _, ours, file = frame.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/qwen_ls/")
    return f"{file}:{frame.tb_lineno}" if ours else "a library"


def usable_id(message: Any) -> str | int | None:
    """The id to answer to, if there is a usable one."""
    found = message.get("id") if isinstance(message, dict) else None
    return found if type(found) in {str, int} else None


class Protocol(LanguageServerProtocol):
    """pygls' protocol with strict input, one error path, real cancels and requests that end."""

    _server: Server

    def __init__(self, server: Server, converter: Converter) -> None:
        self.phase = "new"
        self.initialize_params: Mapping[str, Any] = {}
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        super().__init__(server, converter)

    # --- in ---------------------------------------------------------------------------------------

    def receive(self, message: Any) -> None:
        """Take one frame's content; called in the loop."""
        try:
            self._receive(message)
        except Exception as error:  # noqa: BLE001 - one message must not end the connection
            log.log(
                logging.ERROR, "a message was not handled: %s at %s", type(error).__name__, place_of(error)
            )

    def _receive(self, message: Any) -> None:
        if isinstance(message, Bad):
            self._refuse(None, PARSE_ERROR, f"Parse error: {message.why}")
            return
        id_ = usable_id(message)
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self._refuse(id_, INVALID_REQUEST, "Invalid request: not a JSON-RPC 2.0 object")
            return
        method = message.get("method")
        if method is None and ("result" in message or "error" in message):
            self._answered(message)
        elif not isinstance(method, str):
            self._refuse(id_, INVALID_REQUEST, "Invalid request: method is no string")
        elif "id" in message:
            if (refusal := self._refusal(id_, method)) is None:
                self._structure(message)
            else:
                self._refuse(None if refusal[1].startswith("id") else id_, *refusal)
        elif self.phase != "new" or method == types.EXIT:
            self._structure(message)

    def _refusal(self, id_: str | int | None, method: str) -> tuple[int, str] | None:  # noqa: PLR0911 - a list of reasons
        """Why a request is not taken in, if it is not."""
        if id_ is None:
            return INVALID_REQUEST, "id is neither string nor integer"
        if id_ in self._request_futures:
            return INVALID_REQUEST, "id is in use"
        if self._shutdown:
            return INVALID_REQUEST, "Invalid request: the server is shutting down"
        if self.phase == "new" and method != types.INITIALIZE:
            return NOT_INITIALIZED, "The server is not initialized"
        if self.phase != "new" and method == types.INITIALIZE:
            return INVALID_REQUEST, "Invalid request: initialized already"
        if len(self._request_futures) >= MOST_IN_FLIGHT and method != types.SHUTDOWN:
            return REQUEST_FAILED, f"{MOST_IN_FLIGHT} requests are under way; wait for one of them"
        return None

    def _structure(self, message: dict[str, Any]) -> None:
        if message["method"] == types.INITIALIZE and isinstance(message.get("params"), dict):
            self.initialize_params = message["params"]
        log.debug("%s", message["method"])
        try:
            structured: Any
            if "id" in message and self.get_message_type(message["method"]) is None:
                structured = JsonRPCRequestMessage(
                    message["id"], message["method"], message["jsonrpc"], message.get("params")
                )
            else:
                structured = self.structure_message(message)
        except Exception:  # noqa: BLE001 - pygls raises its own kinds around cattrs'
            if "id" in message:
                kind = self.get_message_type(message["method"])
                found = wrong(message, kind) if kind is not None else [("$", "not acceptable")]
                bad = invalid([(path.replace("$.params", "$", 1), what) for path, what in found])
                self._send_response(message["id"], error=to_reply_error(bad))
            return
        if "id" in message and not hasattr(structured, "id"):
            why = f"Invalid request: {message['method']} is a notification, and takes no id"
            self._refuse(message["id"], INVALID_REQUEST, why)
            return
        self.handle_message(structured)

    def handle_message(self, message: Any) -> None:
        """Hand a structured message to its handler.

        `_receive` has told requests from notifications; pygls asks `isinstance` of its runtime protocols
        instead, which costs a fifth of a short request.
        """
        if self._shutdown and message.method != types.EXIT:
            return
        context = contextvars.copy_context()  # each handler in one of its own
        if hasattr(message, "id"):
            context.run(self._handle_request, message.id, message.method, message.params)
        else:
            context.run(self._handle_notification, message.method, message.params)

    def _refuse(self, id_: str | int | None, code: int, text: str) -> None:
        error: dict[str, Any] = {"code": code, "message": text}
        if code == REQUEST_FAILED:
            busy = contract.ErrorData(
                "rate-limited", "Wait for earlier requests to be answered", retryable=True
            )
            error["data"] = to_wire(busy)
        self._send_data({"jsonrpc": "2.0", "id": id_, "error": error})

    def get_message_type(self, method: str) -> type[Any] | None:  # type: ignore[override] # pygls' is cached
        """Raw params for commands: contract payloads are decoded by us, strictly."""
        return None if method == types.WORKSPACE_EXECUTE_COMMAND else super().get_message_type(method)

    # --- requests of the client -------------------------------------------------------------------

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # type: ignore[override] # a coroutine can be cancelled
        self, params: Any
    ) -> Any:
        """Run a command: one object as argument."""
        call = decode(params, ExecuteCommand)
        handler = self.fm.commands.get(call.command)
        if handler is None:
            raise invalid([("$.command", f"expected one of {', '.join(self.fm.commands)}")])
        arguments = call.arguments or []
        if len(arguments) > 1:
            raise invalid([("$.arguments", "expected one object")])
        argument = arguments[0] if arguments and arguments[0] is not None else {}
        result = await handler(argument, call.work_done_token, "$.arguments[0]")
        self._send_result(self.msg_id, result)  # the callback of pygls would come a turn of the loop later
        return ANSWERED

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """Answer `initialize`; only then other requests are taken."""
        result = yield from super().lsp_initialize(params)
        result.capabilities.experimental = self._server.experimental()
        self.phase = "up"
        return result

    # Open documents are kept by lsp/texts.py: pygls' own store is passed by.

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Iterator[Any]:
        """A document was opened."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_OPEN], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Iterator[Any]:
        """A document was changed."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Iterator[Any]:
        """A document was closed."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CLOSE], (params,), None

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: Any) -> None:  # type: ignore[override] # the transport ends the process
        """Leave: 0 after `shutdown`, else 1."""
        self._server.stdio.lost("exit", 0 if self._shutdown else 1)

    def _execute_handler(
        self, msg_id: Any, handler: Any, callback: Any, args: Any = None, kwargs: Any = None
    ) -> None:
        super()._execute_handler(msg_id, handler, callback, args, kwargs)
        future = self._request_futures.get(msg_id)
        if future is not None:  # pygls keeps those of notifications and inner handlers for good
            future.add_done_callback(lambda _: self._request_futures.pop(msg_id, None))

    def _send_handler_result(self, future: Future[Any], *, msg_id: Any) -> None:
        self._request_futures.pop(msg_id, None)
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None:
            if (result := future.result()) is not ANSWERED:
                self._send_result(msg_id, result)
        else:
            self._send_response(msg_id, error=to_reply_error(error))

    def _send_result(self, msg_id: Any, result: Any) -> None:
        if isinstance(result, (dict, type(None))):  # plain already: cattrs need not look at it
            self._result_types.pop(msg_id, None)
            self._send_data({"jsonrpc": "2.0", "id": msg_id, "result": result})
        else:
            self._send_response(msg_id, result=result)

    def _handle_cancel_notification(self, msg_id: Any) -> None:
        future = self._request_futures.get(msg_id)  # it stays listed until it has really ended
        if future is not None:
            future.cancel()

    # --- out --------------------------------------------------------------------------------------

    def _send_data(self, data: Any) -> None:
        """Write a message in its frame, with the one header that is needed."""
        try:
            frame = encode(data, self._serialize_message)
        except Exception as error:  # noqa: BLE001 - what cannot be encoded is lost; the connection is not
            self._server.report_server_error(error, JsonRpcInternalError)
            if isinstance(data, dict) and "result" in data:  # but not the answer that somebody waits for
                self._send_response(data["id"], error=to_reply_error(error))
            return
        if self.writer is not None:
            self.writer.write(frame)

    # --- requests of ours -------------------------------------------------------------------------

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification whose params are plain JSON data."""
        self._send_data({"jsonrpc": "2.0", "method": method, "params": params})

    async def ask(self, method: str, params: Any, timeout: float = ASK_TIMEOUT) -> Any:
        """Send a request and return the client's raw result; its shape is the caller's to check.

        Raises NoAnswer when the client refuses or `timeout` seconds pass.
        """
        id_ = f"qwen-ls:{next(self._ids)}"
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[id_] = future
        self._send_data(
            {"jsonrpc": "2.0", "id": id_, "method": method, "params": self._converter.unstructure(params)}
        )
        future.add_done_callback(lambda answered: answered.cancelled() or answered.exception())
        try:
            # Not wait_for: before Python 3.12 it loses a cancel that comes together with the answer.
            done, _ = await asyncio.wait({future}, timeout=timeout)
            if not done:
                raise NoAnswer(f"{method}: no answer in {timeout:.0f} s")
            return future.result()
        finally:
            if self._asked.pop(id_, None) is not None:  # nobody waits for it any more
                self.notify(types.CANCEL_REQUEST, types.CancelParams(id=id_))

    def _answered(self, message: dict[str, Any]) -> None:
        """An answer to a request of ours; unknown, late and oddly named ones are passed over."""
        id_ = message.get("id")
        future = self._asked.pop(id_, None) if isinstance(id_, str) else None
        if future is None or future.done():
            return
        if message.get("error") is not None:
            future.set_exception(NoAnswer("the client refused", is_refusal=True))
        else:
            future.set_result(message.get("result"))

    def give_up(self) -> None:
        """End every request of ours that still waits: the connection is closing."""
        for future in list(self._asked.values()):
            if not future.done():
                future.set_exception(NoAnswer("the connection is closing"))
