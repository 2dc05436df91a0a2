from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_asyncio

from canary import canary
from lsp.talk import TWIN, Talk, closes_in_time, now, set_out, unique
from provider import running_provider
from wire import Client, environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from provider import Entry, RunningProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")
LEAVES_WITHIN = 2.0  # seconds
CANCELLED = -32800
# An editor: starts the server on its own pipes, writes the server's id to a file, and exits as it does.
EDITOR = """sh -c 'echo $$ > "$0"; exec "$@"' "$@"; exit $?"""


@attrs.frozen
class Stage:
    """A server below an editor that is another process than this one."""

    talk: Talk
    home: Path
    pidfd: int
    first: int  # the id of its first request to the provider

    @property
    def lock(self) -> Path:
        """Qwen Code's lock file."""
        return self.home / ".qwen" / "oauth_creds.lock"

    async def leaves(self) -> None:
        """See the server gone within two seconds."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.pidfd, gone.set)
        try:
            await asyncio.wait_for(gone.wait(), LEAVES_WITHIN)
        finally:
            loop.remove_reader(self.pidfd)

    async def asked_for_a_token(self) -> Entry:
        """The first request to the token endpoint by this server."""
        return await self.talk.provider.wait_for(lambda e: e["route"] == "token" and e["id"] >= self.first)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[RunningProvider]:
    """One provider for all servers."""
    async with running_provider() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path: Path, provider: RunningProvider) -> AsyncIterator[Stage]:
    """A server that has been initialized, with the token of an expired sign-in in its home."""
    home, pid_file = tmp_path / "home", tmp_path / "pid"
    (home / ".qwen").mkdir(parents=True)
    expired = {
        "access_token": canary("an expired access token"),
        "refresh_token": canary("a refresh token of nobody"),
        "token_type": "Bearer",
        "expiry_date": 1000,
    }
    (home / ".qwen" / "oauth_creds.json").write_text(json.dumps(expired), encoding="utf-8")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", EDITOR, "sh", str(pid_file), sys.executable, "-m", "qwen_ls", "serve",
        stdin=pipe, stdout=pipe, stderr=pipe, cwd=tmp_path,
        env=environment(home, QWEN_LS_OAUTH_BASE_URL=provider.issuer),
    )  # fmt: skip
    client = Client(process)
    try:
        talk = await set_out(tmp_path, client, provider, processId=process.pid)
        pidfd = os.pidfd_open(int(pid_file.read_text(encoding="ascii")))
        try:
            yield Stage(talk, home, pidfd, len(await provider.log()))
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    finally:
        await client.close()


# --- what runs ----------------------------------------------------------------------------------------------


async def idle(_: Stage) -> None:
    """Nothing."""


async def streaming(stage: Stage) -> None:
    """An answer."""
    await stage.talk.provider.configure(tokens=100_000, token_interval=0.01)
    token = unique("stream")
    stage.talk.client.begin(TWIN, stage.talk.params(unique("count"), partialResultToken=token))
    await stage.talk.until_text(token, bool)


async def signing_in(stage: Stage) -> None:
    """A poll of the token endpoint."""
    await stage.talk.provider.fault("token", delay=60)
    await stage.talk.client.command("qwen.auth.login", method="qwen-oauth")
    await stage.asked_for_a_token()


async def unanswered(stage: Stage) -> None:
    """A message by a command that has been answered, at a provider that has said nothing yet."""
    await stage.talk.provider.fault("chat", delay=60, times=1)
    await stage.talk.start(text := unique("unanswered"))
    await stage.talk.provider.wait_for(lambda e: e["json"] and e["json"]["messages"][-1]["content"] == text)


async def waiting_for_the_lock(stage: Stage) -> None:
    """A wait for Qwen Code's lock, which somebody else holds."""
    stage.lock.write_text(str(uuid.uuid4()), encoding="ascii")
    ours = stage.home / ".local" / "state" / "qwen-ls" / "oauth.lock"
    stage.talk.client.begin(TWIN, {"text": "hello", "uri": stage.talk.empty})
    deadline = now() + 10
    while not ours.exists():
        assert now() < deadline
        await stage.talk.new()


async def holding_the_lock(stage: Stage) -> None:
    """A refresh under both locks, at a token endpoint that does not answer."""
    await stage.talk.provider.fault("token", delay=60)
    stage.talk.client.begin(TWIN, {"text": "hello", "uri": stage.talk.empty})
    assert (await stage.asked_for_a_token())["form"]["grant_type"] == "refresh_token"
    assert stage.lock.exists()


RUNNING: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "idle": idle,
    "streaming": streaming,
    "unanswered": unanswered,
    "signing in": signing_in,
    "waiting for the lock": waiting_for_the_lock,
    "holding the lock": holding_the_lock,
}


# --- how it ends --------------------------------------------------------------------------------------------


def pipe_of(client: Client, number: int) -> Any:
    """The transport of one of the pipes."""
    transport: Any = client.process
    return transport._transport.get_pipe_transport(number)


ENDS: dict[str, Callable[[Client], None]] = {
    "end of stdin": lambda client: pipe_of(client, 0).close(),
    "closed stdout": lambda client: pipe_of(client, 1).close(),
    "killed editor": lambda client: client.process.kill(),
}


@pytest.mark.parametrize("running", RUNNING)
@pytest.mark.parametrize("end", ENDS)
async def test_leave(stage: Stage, end: str, running: str) -> None:
    """The server leaves within two seconds of its client's end, whatever runs; no lock of its own stays."""
    await RUNNING[running](stage)
    was_locked_by_others = running == "waiting for the lock"
    ENDS[end](stage.talk.client)
    await stage.leaves()
    assert stage.lock.exists() == was_locked_by_others
    assert b"Traceback" not in stage.talk.client.stderr


@pytest.mark.parametrize("running", RUNNING)
async def test_shutdown(stage: Stage, running: str) -> None:
    """`shutdown` is answered whatever runs; what ran gets one reply, and leaves no lock of its own."""
    await RUNNING[running](stage)
    client = stage.talk.client
    waiting = dict(client._waiting)
    assert await client.request("shutdown", deadline=LEAVES_WITHIN) is None
    replies = await asyncio.wait_for(asyncio.gather(*waiting.values()), LEAVES_WITHIN)
    assert {reply["error"]["code"] for reply in replies} <= {CANCELLED}
    client.notify("exit")
    await stage.leaves()
    assert await client.process.wait() == 0
    assert {client.replies[id_] for id_ in waiting} <= {1}
    assert stage.lock.exists() == (running == "waiting for the lock")
    assert client.stderr == b""
    told = [m["params"]["message"] for m in client.notifications if m["method"] == "window/showMessage"]
    assert all(told)


async def test_shutdown_closes_the_stream(stage: Stage) -> None:
    """After `shutdown` the provider's socket is closed, and the client is told the end of the stream."""
    await stage.talk.provider.configure(tokens=100_000, token_interval=0.01)
    text, token = unique("count"), unique("stream")
    _, reply = stage.talk.client.begin(TWIN, stage.talk.params(text, partialResultToken=token))
    await stage.talk.until_text(token, bool)
    ended_at = now()
    await stage.talk.client.request("shutdown")
    await closes_in_time(stage.talk, text, ended_at)
    assert (await reply)["error"]["code"] == CANCELLED
    assert stage.talk.streamed(token).end


@pytest.mark.parametrize("running", ["idle", "streaming", "holding the lock"])
async def test_exit_without_shutdown(stage: Stage, running: str) -> None:
    """`exit` alone ends the process as well, with 1."""
    await RUNNING[running](stage)
    stage.talk.client.notify("exit")
    await stage.leaves()
    assert await stage.talk.client.process.wait() == 1
    assert not stage.lock.exists()
