from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from demo.signing_in import KEY
from provider import RunningProvider, running_provider
from qwen_ls.demo.provider import Provider

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = 0.25  # seconds within which a closed socket must be seen
MESSAGES = [{"role": "user", "content": "hi"}]


async def open_chat(provider: RunningProvider) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a stream over a socket of the test's own."""
    host, _, port = provider.base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"messages": MESSAGES, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def close_and_measure(provider: RunningProvider, writer: asyncio.StreamWriter) -> dict[str, Any]:
    """Close the socket; the request, once the provider has seen that, which must be soon."""
    closed = time.monotonic()
    writer.close()
    entry = await provider.wait_for(lambda entry: entry["closed_at"] is not None)
    assert 0 <= entry["closed_at"] - closed <= PROMPT
    return entry


async def test_a_close_before_the_headers_is_seen() -> None:
    """A client that leaves while it waits for the status is noticed at once."""
    async with running_provider(keys=[KEY]) as provider:
        await provider.fault("chat", delay=60)
        _, writer = await open_chat(provider)
        await provider.wait_for("chat")
        entry = await close_and_measure(provider, writer)
        assert entry["status"] is None


@pytest.mark.parametrize("pace", [0.0, 0.005])
async def test_a_close_in_mid_stream_is_seen(pace: float) -> None:
    """A client that leaves an endless stream is noticed at once, at any pace."""
    async with running_provider(keys=[KEY], tokens=10**9, token_interval=pace) as provider:
        reader, writer = await open_chat(provider)
        await reader.readuntil(b'"10 "')
        entry = await close_and_measure(provider, writer)
        assert entry["tokens"] >= 10
        assert entry["completed_at"] is None


@pytest.mark.parametrize("place", [0, 3])
async def test_a_close_while_stalled_is_seen(place: int) -> None:
    """A client that leaves a silent stream is noticed at once."""
    async with running_provider(keys=[KEY], tokens=9) as provider:
        await provider.fault("chat", stall=place)
        reader, writer = await open_chat(provider)
        await reader.readuntil(b'"3 "' if place else b"\r\n\r\n")
        entry = await close_and_measure(provider, writer)
        assert (entry["status"], entry["tokens"]) == (200, place)


async def test_an_answer_that_came_whole_was_not_closed() -> None:
    """closed_at stays empty when the client goes after the end."""
    async with running_provider(keys=[KEY]) as provider:
        reader, writer = await open_chat(provider)
        await reader.readuntil(b"[DONE]\n\n\r\n0\r\n\r\n")
        writer.close()
        async with httpx.AsyncClient(base_url=provider.base_url, trust_env=False) as client:
            await client.get("/nothing")
        await provider.wait_for("unknown")
        (entry,) = await provider.log("chat")
        assert entry["closed_at"] is None
        assert entry["completed_at"] >= entry["time"]


async def test_a_test_steers_it_from_outside() -> None:
    """Settings, faults and decisions go over the control plane, which refuses what it does not know."""
    async with running_provider(keys=["another"]) as provider:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=provider.base_url, trust_env=False, headers=headers) as client:
            await provider.configure(keys=[KEY])
            await provider.fault("models", status=500)
            assert (await client.get("/v1/models")).status_code == 500
            await provider.clear_faults()
            assert (await client.get("/v1/models")).status_code == 200
        assert [entry["status"] for entry in await provider.log("models")] == [500, 200]
        for complaint in (provider.configure(kees=[]), provider.approve("NONE"), provider.control("no")):
            with pytest.raises(AssertionError, match="error"):
                await complaint
        with pytest.raises(TimeoutError):
            await provider.wait_for("chat", timeout=0.05)


async def spawn(*options: str) -> tuple[asyncio.subprocess.Process, int]:
    """Start the module as a program; its process and port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "qwen_ls.demo.provider", *options,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    return process, json.loads(await process.stdout.readline())["port"]


async def test_sigterm_ends_it_while_it_streams() -> None:
    """SIGTERM ends the process cleanly within two seconds, though an answer stalls."""
    process, port = await spawn("--settings", json.dumps({"keys": [KEY], "tokens": 10**9}))
    assert process.stdin is not None
    running = RunningProvider(f"http://127.0.0.1:{port}", process, httpx.AsyncClient())
    reader, writer = await open_chat(running)
    await reader.readuntil(b'"5 "')
    process.terminate()
    _, stderr = await asyncio.wait_for(process.communicate(), 2)
    assert (process.returncode, stderr) == (0, b"")
    writer.close()
    await running._client.aclose()


async def test_eof_on_stdin_ends_it_if_asked() -> None:
    """With --until-eof the process ends with its parent's pipe."""
    process, _ = await spawn("--until-eof")
    _, stderr = await asyncio.wait_for(process.communicate(b""), 2)  # closes stdin
    assert (process.returncode, stderr) == (0, b"")


async def test_the_log_file_holds_no_credential(tmp_path: Path) -> None:
    """A line of JSON for each request; of a credential only its kind and end, unless told otherwise."""
    for secrets in (False, True):
        file = tmp_path / f"log-{secrets}"
        async with Provider(keys=[KEY], log=str(file), log_secrets=secrets) as provider:
            headers = {"authorization": f"Bearer {KEY}"}
            async with httpx.AsyncClient(
                base_url=provider.base_url, trust_env=False, headers=headers
            ) as client:
                await client.get("/v1/models")
                form = {"grant_type": "refresh_token", "client_id": "x", "refresh_token": "r" * 40 + "last"}
                await client.post("/api/v1/oauth2/token", data=form)
                provider.fault("chat", cut=-1)
                with pytest.raises(httpx.ReadError):
                    await client.post("/v1/chat/completions", json={"messages": MESSAGES})
            assert provider.log[0]["authorization"] == f"Bearer {KEY}"
        text = file.read_text(encoding="utf-8")
        models, token, cut = map(json.loads, text.splitlines())
        assert (cut["route"], cut["status"]) == ("chat", None)
        assert (models["route"], models["status"], token["route"], token["status"]) == (
            "models",
            200,
            "token",
            400,
        )
        assert (KEY in text, "r" * 40 in text) == (secrets, secrets)
        if not secrets:
            assert models["authorization"] == "key …0001"
            assert token["form"]["refresh_token"] == "…last"


async def test_a_test_can_wait_in_the_same_loop() -> None:
    """wait_for returns the request that comes, and says what came instead when it does not."""
    async with Provider() as provider, httpx.AsyncClient(trust_env=False) as client:
        waiting = asyncio.ensure_future(provider.wait_for(lambda entry: entry["status"] == 401, 2))
        await client.get(f"{provider.base_url}/v1/models")
        assert (await waiting)["route"] == "models"
        with pytest.raises(TimeoutError, match="models"):
            await provider.wait_for(lambda entry: entry["route"] == "chat", 0.01)


async def test_it_listens_on_loopback_only() -> None:
    """Any other address is refused, and a taken port is an error, not a wait."""
    for host in ("0.0.0.0", "192.0.2.1"):  # noqa: S104 - refused
        with pytest.raises(ValueError, match="loopback"):
            Provider(host=host)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await Provider(port=taken.getsockname()[1]).start()


async def test_stopping_waits_for_nobody() -> None:
    """An answer that stalls and a long poll of the log end at once when the provider stops."""
    async with Provider(keys=[KEY], control=True) as provider, httpx.AsyncClient(trust_env=False) as client:
        provider.fault("chat", delay=60)
        headers = {"authorization": f"Bearer {KEY}"}
        chat = client.post(f"{provider.base_url}/v1/chat/completions", json={}, headers=headers)
        asking = asyncio.ensure_future(chat)
        _, poll = await asyncio.open_connection("127.0.0.1", provider.port)
        poll.write(b"GET /control/log?since=99&timeout=30 HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.get(f"{provider.base_url}/nothing")  # answered later than the poll was read
        assert provider.log[0]["route"] == "chat"
        await asyncio.wait_for(provider.stop(), 0.5)
        with pytest.raises(httpx.RemoteProtocolError):
            await asking
        poll.close()
