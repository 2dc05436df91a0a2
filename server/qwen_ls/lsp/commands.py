"""The commands: each is decoded to a contract payload, done by lsp/verbs.py, and its answer encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from pygls.exceptions import JsonRpcInvalidParams

from qwen_ls import contract
from qwen_ls.lsp.decode import below, decode
from qwen_ls.wire import to_wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qwen_ls.lsp.server import Server

CANCELS = {"qwen.auth.cancel", "qwen.chat.cancel"}
"""What these stop begins with something that has to be loaded first."""


def register(server: Server) -> None:
    """Register every command of the contract, and the request twins."""
    for entry in contract.COMMANDS:
        run = runner(server, entry)
        server.command(entry.name)(run)
        if entry.request is not None:
            server.feature(entry.request)(twin_of(run))


def runner(server: Server, entry: contract.Command) -> Callable[..., Awaitable[Any]]:
    """What runs for one command: decode, act, encode."""
    fields = attrs.fields_dict(entry.params)
    takes_token, takes_file = "work_done_token" in fields, "key_file" in fields

    async def run(argument: Any, token: str | int | None, path: str, *, twin: bool = False) -> Any:
        try:
            params: Any = decode(argument, entry.params, path)
        except JsonRpcInvalidParams:
            if takes_file and isinstance(argument, dict):
                server.session.handover.discard(argument.get("keyFile"))  # no key stays behind
            raise
        if takes_token and params.work_done_token is None and token is not None:
            params = attrs.evolve(params, work_done_token=token)
        session = server.session
        if entry.name in CANCELS and not session.is_begun:
            return to_wire(contract.CancelResult(cancelled=False))
        with session.editor.expecting(params.work_done_token if takes_token else None):
            await session.loaded()
            from qwen_ls.lsp.verbs import ACTIONS  # noqa: PLC0415 - loaded by now, off the loop

            try:
                return to_wire(await ACTIONS[entry.name](session, params, twin))
            except JsonRpcInvalidParams as error:
                raise below(path, error) from None

    return run


def twin_of(run: Callable[..., Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    """The request that does what a command does, and answers with its end."""

    async def twin(params: Any) -> Any:
        return await run({} if params is None else params, None, "$", twin=True)

    return twin
