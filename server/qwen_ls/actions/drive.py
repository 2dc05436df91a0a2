"""Carry out a flow's intents against the ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from qwen_ls.core.intents import Flow, Now, PostForm, ShowCode, Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwen_ls.actions.ports import Ports
    from qwen_ls.core.intents import Intent
    from qwen_ls.core.oauth.device import DeviceAuthorization

Result = TypeVar("Result")


async def drive(
    flow: Flow[Result], ports: Ports, show_code: Callable[[DeviceAuthorization], None] | None = None
) -> Result:
    """Run `flow` to its end and return its result; what it raises comes through.

    `show_code` must return at once: the flow polls while people type.
    """
    answer: Any = None
    try:
        while True:
            answer = await perform(flow.send(answer), ports, show_code)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        flow.close()


async def perform(
    intent: Intent, ports: Ports, show_code: Callable[[DeviceAuthorization], None] | None
) -> Any:
    """Carry out one intent and return its result."""
    match intent:
        case PostForm():
            return await ports.http.post_form(intent)
        case Wait(seconds):
            return await ports.clock.sleep(seconds)
        case Now():
            return ports.clock.now()
        case ShowCode(authorization):
            return show_code(authorization) if show_code is not None else None
