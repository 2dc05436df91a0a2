"""qwen_ls.lsp.session: the status that a client is told, over a session without a server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from actions.fakes import FakeCache, NoEnvFiles, ports_of
from lsp.alone import alone
from lsp.in_process import in_process
from qwen_ls import contract
from qwen_ls.lsp import decode
from qwen_ls.lsp.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from qwen_ls.core.envchain import EnvChain


async def test_an_older_status_does_not_come_after_a_newer_one() -> None:
    """However long one takes to work out: they are told in the order in which they were asked for."""
    first, asked = asyncio.Event(), asyncio.Event()
    numbers = iter(range(3))

    class Slow(Session):
        """The first status takes until `first` is set."""

        async def status_of(self, standing: Any, model: Any = None, folder: Any = None) -> contract.Status:  # noqa: ARG002 - as in Session
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


def make_folders(folders: list[Path]) -> None:
    """Each of them."""
    for folder in folders:
        folder.mkdir()


async def test_a_folder_without_a_status_does_not_hold_back_the_others(tmp_path: Path) -> None:
    """Its home does not answer just then; the next folder is told of all the same."""
    folders = [tmp_path / "one", tmp_path / "two"]
    make_folders(folders)

    class Silent(NoEnvFiles):
        """A disk that does not answer for the first folder."""

        async def find(self, folder: str | None, excluded: Sequence[str]) -> tuple[EnvChain, EnvChain]:
            """As everybody's, but for one."""
            if folder == str(folders[0]):
                raise TimeoutError(110, "the disk did not answer")
            return await super().find(folder, excluded)

    session, listener = alone(ports_of(oauth_cache=FakeCache(), env_files=Silent()), Session)
    session.folder_uris = lambda: [folder.as_uri() for folder in folders]
    await session._publish()
    assert [told["uri"] for told in listener.params("qwen/didChangeStatus")] == [folders[1].as_uri()]


async def test_an_answer_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as a failure of ours, and nobody waits for ever."""
    async with in_process(tmp_path, monkeypatch) as server:
        server.begin("qwen/no/such", {})
        await server.all_answered()
        server._sent += 1
        server.server.protocol._send_result(server._sent, {"number": float("nan")})
        (reply,) = (await server.all_answered()).values()
        assert reply["error"]["data"]["kind"] == "internal"


async def test_what_decodes_a_message_is_made_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all is loaded, the first message is decoded without any code being generated for it."""
    monkeypatch.setattr(decode, "CONVERTER", decode.make_converter())
    session, _ = alone(ports_of(), Session)
    await session.loaded()
    monkeypatch.delattr(decode, "make_dict_structure_fn")
    assert decode.decode({"text": "hi"}, contract.ChatSendParams).text == "hi"
