"""qwen_ls.lsp.session: the status that a client is told, over a session without a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from actions.fakes import FakeCache, ports_of
from lsp.alone import alone
from qwen_ls import contract
from qwen_ls.lsp import decode
from qwen_ls.lsp.session import Session

if TYPE_CHECKING:
    import pytest


async def test_an_older_status_does_not_come_after_a_newer_one() -> None:
    """However long one takes to work out: they are told in the order in which they were asked for."""
    first, asked = asyncio.Event(), asyncio.Event()
    numbers = iter(range(3))

    class Slow(Session):
        """The first status takes until `first` is set."""

        async def status_of(self, standing: Any) -> contract.Status:  # noqa: ARG002 - as in Session
            """A status with its number in it."""
            number = next(numbers)
            asked.set()
            if number == 0:
                await first.wait()
            return contract.Status(False, "Normal", str(number))  # noqa: FBT003 - not busy

    session, listener = alone(ports_of(oauth_cache=FakeCache()), Slow)
    publishing = [asyncio.create_task(session._publish())]
    await asyncio.wait_for(asked.wait(), 5)
    publishing += [asyncio.create_task(session._publish()) for _ in range(2)]
    for _ in range(100):
        await asyncio.sleep(0)  # they have their turn
    first.set()
    await asyncio.wait(publishing)
    assert [told["message"] for told in listener.params("qwen/didChangeStatus")] == ["0", "1"]


async def test_what_decodes_a_message_is_made_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all is loaded, the first message is decoded without any code being generated for it."""
    monkeypatch.setattr(decode, "CONVERTER", decode.make_converter())
    session, _ = alone(ports_of(), Session)
    await session.loaded()
    monkeypatch.delattr(decode, "make_dict_structure_fn")
    assert decode.decode({"text": "hi"}, contract.ChatSendParams).text == "hi"
