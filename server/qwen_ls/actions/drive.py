"""Carry out a flow's intents against the ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from qwen_ls.core.intents import AwaitRedirect, Flow, Now, OpenPage, PostForm, PostJson, ShowCode, Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from qwen_ls.actions.ports import Ports
    from qwen_ls.core.oauth.device import DeviceAuthorization

Result = TypeVar("Result")


async def drive(
    flow: Flow[Result],
    ports: Ports,
    show_code: Callable[[DeviceAuthorization], None] | None = None,
    *,
    open_page: Callable[[str], None] | None = None,
    await_redirect: Callable[[float], Awaitable[Mapping[str, str] | None]] | None = None,
) -> Result:
    """Run `flow` to its end and return its result; what it raises comes through.

    `show_code` and `open_page` must return at once: the flow goes on while people type.
    `await_redirect` is told for how many seconds to wait; without one, no redirect comes.
    """
    answer: Any = None
    try:
        while True:
            match intent := flow.send(answer):
                case ShowCode(authorization):
                    answer = show_code(authorization) if show_code is not None else None
                case OpenPage(url):
                    answer = open_page(url) if open_page is not None else None
                case AwaitRedirect(seconds):
                    answer = await await_redirect(seconds) if await_redirect is not None else None
                case _:
                    answer = await perform(intent, ports)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        flow.close()


async def perform(intent: PostForm | PostJson | Wait | Now, ports: Ports) -> Any:
    """Carry out an intent that needs nobody at the other side of a door; return its result."""
    match intent:
        case PostForm():
            return await ports.http.post_form(intent)
        case PostJson():
            return await ports.http.post_json(intent)
        case Wait(seconds):
            return await ports.clock.sleep(seconds)
        case Now():
            return ports.clock.now()
