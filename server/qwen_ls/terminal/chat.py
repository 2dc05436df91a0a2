"""`qwen-ls chat`: ask once and stream the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from qwen_ls.actions.chat import Chats, Turn
from qwen_ls.actions.resolve import stand
from qwen_ls.core.chat import StopReason
from qwen_ls.core.errors import Problem
from qwen_ls.terminal.output import Quiet
from qwen_ls.terminal.verbs import DONE, name_host

if TYPE_CHECKING:
    from qwen_ls.terminal.verbs import Run


async def send(run: Run) -> int:
    """Ask once. What came before a failure or an interruption is kept: it stands on standard output."""
    name_host(run, await stand(run.ports, run.place))
    chats = Chats(run.ports, run.accounts)
    turn = chats.begin(run.place, run.options.prompt, None, None)
    turn.asked_model = run.options.model
    if not run.options.is_typed:
        turn.raw_from = len(turn.messages)  # what is piped in mentions nothing: it may be a stranger's
    try:
        await chats.run(turn, run.person, Quiet(run.output) if run.options.as_json else run.output)
    except Problem as problem:
        return run.fail(problem, whole(turn) if turn.text and run.options.as_json else None)
    except asyncio.CancelledError:
        turn.stop_reason = StopReason.CANCELLED
        end(run, turn)
        raise
    end(run, turn)
    return DONE


def end(run: Run, turn: Turn) -> None:
    """The answer's last line, or all of it as JSON; then what is worth knowing about it."""
    run.output.end_line()
    if run.options.as_json:
        run.output.json(whole(turn))
    for remark in turn.remarks:
        run.output.note(remark)


def whole(turn: Turn) -> dict[str, Any]:
    """A turn as ChatResult on the wire, with its text, ended or not."""
    from qwen_ls import payloads  # noqa: PLC0415 - for --json alone
    from qwen_ls.wire import to_wire  # noqa: PLC0415 - as well

    wire: dict[str, Any] = to_wire(payloads.chat_result(turn, with_text=True))
    return wire
