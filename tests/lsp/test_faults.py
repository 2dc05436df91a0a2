"""What can go wrong between the server and a provider, over real stdio, in one table (fault_rows.py).

After each row the next message of the same conversation is answered, and has the text that was kept in
its history. The user's settings make every time-out one second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_asyncio

from lsp.fault_rows import OK, ROWS, TOLD_THREE, Row, bomb, chunked
from lsp.talk import KEY, MODEL, TWIN, Talk, now, said, unique, write_env
from provider import running_provider
from raw_http import answer_of, raw_server
from sweep import sweep
from wire import CAPABILITIES, RpcError, environment, server, uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from provider import RunningProvider
    from raw_http import RawServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
FAILED = -32803
SECOND = {"connect": 1, "firstByte": 1, "idle": 1, "retryAfter": 1}
COUNT = {"tokens": 9, "token_interval": 0.003}  # what the provider says: 1 2 3 4 5 6 7 8 9
RETRYABLE = {"rate-limited", "provider-down", "stream-truncated", "network"}
MOST_MEMORY = 32 * 1024  # KiB that an answer may cost at its worst
FINAL = {"network: redirect"}  # an address that is not followed now is not followed later


# --- the stage --------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Stage:
    """A server, the demo provider, a server that says what a row tells it to, and folders for each."""

    talk: Talk
    provider: RunningProvider
    raw: RawServer
    elsewhere: RawServer
    folders: dict[str, str]
    cache: Path

    async def play(self, row: Row, text: str, **more: Any) -> Any:
        """Send a message while a row is in force. Raises RpcError."""
        await self.talk.usual()
        await self.provider.configure(**COUNT)
        if row.fault is not None:
            await self.provider.fault("chat", **row.fault)
        if row.raw is not None:
            self.raw.answer = lambda _: row.raw if isinstance(row.raw, bytes) else row.raw()  # type: ignore[misc]
        params = {"text": text, "uri": self.folders[row.place], **more}
        return await self.talk.client.request(TWIN, params, row.within)

    async def asked(self, text: str) -> int:
        """How often a message was sent to the providers."""
        raw = sum(f'"{text}"'.encode() in got.body for got in self.raw.got)
        return raw + await self.talk.times_asked(text)

    def memory(self, name: str) -> int:
        """A line of the server's own account of its memory, in KiB."""
        status = Path(f"/proc/{self.talk.client.process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition(f"{name}:")[2].split()[0])

    def open_files(self) -> int:
        """How many the server has open, sockets among them."""
        return len(list(Path(f"/proc/{self.talk.client.process.pid}/fd").iterdir()))

    def forget_peak(self) -> None:
        """Let VmHWM begin anew (proc_pid_clear_refs(5))."""
        Path(f"/proc/{self.talk.client.process.pid}/clear_refs").write_text("5", encoding="utf-8")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One of all for the whole file; at its end no key stands in anything that the server said."""
    root = tmp_path_factory.mktemp("faults")
    config = root / "config" / "qwen-ls" / "settings.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"timeouts": SECOND}), encoding="utf-8")
    async with contextlib.AsyncExitStack() as stack:
        provider = await stack.enter_async_context(running_provider())
        six = await stack.enter_async_context(running_provider(host="::1", keys=[KEY], tokens=9))
        raw = await stack.enter_async_context(raw_server(lambda _: None))
        elsewhere = await stack.enter_async_context(raw_server(lambda _: answer_of({})))
        proxy = await stack.enter_async_context(raw_server(lambda _: answer_of({}, 407)))
        folders = {
            "keyed": write_env(root / "keyed", provider),
            "raw": leading_to(root / "raw", f"{raw.url}/v1"),
            "six": leading_to(root / "six", six.v1),
            "tls": leading_to(root / "tls", provider.v1.replace("http://", "https://")),
            "refused": leading_to(root / "refused", "http://127.0.0.1:1/v1"),
            "nameless": leading_to(root / "nameless", "https://nameless.invalid/v1"),
            "proxied": leading_to(root / "proxied", "https://proxied.invalid/v1"),
        }
        (root / "account").mkdir()
        folders["account"] = uri(root / "account")
        env = environment(
            root / "home",
            QWEN_LS_OAUTH_BASE_URL=provider.issuer,
            XDG_CONFIG_HOME=str(root / "config"),
            HTTPS_PROXY=proxy.url,
            NO_PROXY="nameless.invalid",
        )
        client = await stack.enter_async_context(server(env, cwd=root))
        await client.initialize(
            *(root / name for name in folders),
            capabilities={**CAPABILITIES, "experimental": {"qwen": {"workspaceTrust": True}}},
            options={"workspaceTrust": "trusted"},
        )
        talk = Talk(client, provider, folders["keyed"], folders["keyed"], folders["account"])
        await talk.usual()
        await provider.configure(auto_approve=True)
        client.on("window/showDocument", lambda _: {"success": True})
        await client.request("qwen/auth/login", {"method": "qwen-oauth", "uri": folders["account"]})
        cache = root / "home" / ".qwen" / "oauth_creds.json"
        yield Stage(talk, provider, raw, elsewhere, folders, cache)
        said_by_it = {"stdout": bytes(client.stdout), "stderr": bytes(client.stderr)}
        sent = {e["authorization"].partition(" ")[2] for e in await provider.log("chat")}
        assert sweep(said_by_it, dict.fromkeys({KEY, *sent}, "a secret")) == []


def leading_to(folder: Path, base_url: str) -> str:
    """Make a folder whose `.env` leads to a base URL; its URI."""
    folder.mkdir()
    text = f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL={base_url}\nOPENAI_MODEL={MODEL}\n"
    (folder / ".env").write_text(text, encoding="utf-8")
    return uri(folder)


def told(failed: RpcError) -> str:
    """A failure as the table writes it; the rest of it is as every failure's."""
    data = failed.data
    assert failed.code == FAILED
    assert "\n" not in failed.message
    assert data["remedy"]
    assert failed.message.endswith(data["remedy"])
    ends = f"{failed.kind}: {data['cause']}" if "cause" in data else str(failed.kind)
    assert data["retryable"] == (failed.kind in RETRYABLE and ends not in FINAL)
    return ends


# --- the tests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_fault(stage: Stage, row: Row) -> None:
    """It ends as the row says, in time, with what came kept; the next message is answered."""
    talk, text, token, progress = stage.talk, unique("hello"), unique("stream"), unique("progress")
    conversation_id, memory = await talk.new(), stage.memory("VmRSS")
    stage.forget_peak()
    failure: RpcError | None = None
    try:
        result = await stage.play(
            row, text, conversationId=conversation_id, partialResultToken=token, workDoneToken=progress
        )
    except RpcError as failed:
        failure, ends = failed, told(failed)
    else:
        ends = result["stopReason"]
    assert stage.memory("VmHWM") - memory <= MOST_MEMORY
    assert ends == row.ends
    streamed = talk.streamed(token)
    assert streamed.text == row.text
    assert streamed.end.get("error", {}).get("kind") == (failure.kind if failure else None)
    assert row.says in (failure.message if failure else "")
    assert await stage.asked(text) == row.asked
    reports = tuple(v["message"] for v in talk.client.progress(progress) if v["kind"] == "report")
    assert reports[: len(row.notes)] == row.notes
    await talk.usual()
    expected = [("user", text), ("assistant", row.text)] if row.text else []
    assert await talk.history(conversation_id) == expected


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_p9_redirect(stage: Stage, status: int) -> None:
    """To another port, host or scheme: not followed, so the key goes nowhere; the origin is named."""
    port = stage.elsewhere.port
    for target in (f"http://127.0.0.1:{port}", f"http://127.0.0.2:{port}", f"https://127.0.0.1:{port}"):
        fault = {"status": status, "redirect": f"{target}/v1/chat?key=secret", "times": 1}
        with pytest.raises(RpcError) as failed:
            await stage.play(Row("P9", "redirect", "network: redirect", fault=fault), unique("hello"))
        assert told(failed.value) == "network: redirect"
        assert f"redirects to {target}, " in failed.value.message
    assert stage.elsewhere.connections == 0


async def test_p12_a_refused_key_is_named_but_not_told(stage: Stage) -> None:
    """Its file and line, and whom it was sent to; of the key itself no more than a fingerprint."""
    row = Row(
        "P12", "401", "key-rejected", fault={"status": 401, "body": {"error": {"message": f"bad key {KEY}"}}}
    )
    with pytest.raises(RpcError) as failed:
        await stage.play(row, unique("hello"))
    assert stage.provider.base_url in failed.value.message
    assert "/keyed/.env:1" in failed.value.message
    assert KEY not in failed.value.message


async def test_p12_a_sign_in_is_renewed_once(stage: Stage) -> None:
    """The token that was refused is not sent again: one refresh, one more request with the new one."""
    refreshes = len(await stage.provider.log("token"))
    text = unique("hello")
    row = Row("P12", "401 once", OK, fault={"status": 401, "times": 1}, place="account")
    await stage.play(row, text)
    first, second = [
        e["authorization"] for e in await stage.provider.log("chat") if e["json"] and said(e)[-1][1] == text
    ]
    assert first != second
    assert second == f"Bearer {json.loads(stage.cache.read_bytes())['access_token']}"
    assert len(await stage.provider.log("token")) == refreshes + 1


async def test_nothing_is_left_behind(stage: Stage) -> None:
    """Thirty failures later the server has no more files open and no more threads than before."""
    rows = [
        Row("", "reset", "", fault={"cut": 3, "times": 1}),
        Row("", "error", "", fault={"error_event": 1, "times": 1}),
        Row("", "refused", "", fault={"status": 401, "times": 1}),
        Row("", "cut short", "", raw=chunked([TOLD_THREE], b"ff\r\nhalf"), place="raw"),
        Row("", "bomb", "", raw=bomb("gzip"), place="raw"),
        Row("", "nobody", "", place="refused"),
    ]

    async def all_of_them() -> tuple[int, int]:
        for row in rows:
            with pytest.raises(RpcError):
                await stage.play(row, unique("hello"))
        return stage.open_files(), stage.memory("Threads")

    first, *later = [await all_of_them() for _ in range(6)]
    assert later[-1][0] <= first[0] + 1
    assert later[-1][1] <= first[1]


async def test_a_stop_while_it_waits(stage: Stage) -> None:
    """A pause before a retry, and a silent provider, are ended by a stop at once."""
    for fault in ({"status": 429, "headers": {"Retry-After": "1"}}, {"delay": 60}):
        text = unique("hello")
        reply = asyncio.ensure_future(stage.play(Row("", "", "", fault=fault), text, workDoneToken=text))
        await stage.talk.asked(text)
        began = now()
        stage.talk.client.notify("window/workDoneProgress/cancel", {"token": text})
        assert (await reply)["stopReason"] == "cancelled"
        assert now() - began < 0.5
