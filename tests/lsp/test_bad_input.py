"""Bad input from disk, client and provider: one line of the right kind in time, and the next request served.

One server for the whole module goes through all of it.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_asyncio

from canary import canary
from qwen_ls.demo.provider import Provider
from scene import QWEN, Scene, chat, set_scene
from wire import RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from wire import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = canary("the key of test_bad_input")
MEBIBYTE = 1024**2
SOON = 2.5  # seconds
SHORT = {"connect": 0.5, "firstByte": 0.5, "idle": 1, "retryAfter": 2}
COMMAND = "workspace/executeCommand"


@attrs.frozen
class Stage:
    """A server that signs with KEY of `~/.qwen/.env`; its one folder has no `.env` of its own."""

    scene: Scene
    client: Client
    folder: Path

    @property
    def provider(self) -> Provider:
        """The provider."""
        return self.scene.provider

    async def reset(self) -> None:
        """Everything as it was at the start."""
        for path in (self.scene.cache, self.folder / ".env"):
            remove(path)
        (self.scene.home / ".qwen" / ".env").write_text(self.scene.pair(KEY, "coder-model"))
        self.provider.faults.clear()
        self.provider.configure(strict=False, auto_approve=False, reply=None)
        await self.client.command("qwen.auth.switch", method="api-key")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The stage, set once."""
    root = tmp_path_factory.mktemp("bad-input")
    async with Provider(keys=[KEY], interval=1) as provider, set_scene(root, provider) as scene:
        scene.settings(timeouts=SHORT)
        (scene.home / ".qwen").mkdir(parents=True)
        folder = scene.folder()
        yield Stage(scene, await scene.start(folder), folder)


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> AsyncIterator[Stage]:
    """The stage as it is at the start. After the test the next message is answered as ever."""
    await shared.reset()
    yield shared
    await shared.reset()
    assert (await asyncio.wait_for(chat(shared.client), SOON))["stopReason"] == "end_turn"


async def failure_of(work: Awaitable[Any], within: float = SOON) -> RpcError:
    """The error reply: in time, one line, with the next step, and without the key."""
    with pytest.raises(RpcError) as failed:
        await asyncio.wait_for(work, within)
    error = failed.value
    assert len(error.message.splitlines()) == 1
    assert KEY not in f"{error.message}{error.data}"
    if error.code == -32803:
        assert error.data["remedy"] in error.message
        assert isinstance(error.data["retryable"], bool)
    return error


# --- files: the cache of the sign-in ---------------------------------------------------------------------


def directory(path: Path) -> None:
    """A directory in a file's place."""
    path.mkdir()


def fifo(path: Path) -> None:
    """A FIFO that nobody writes to: open(2) on it blocks."""
    os.mkfifo(path)


def holding(data: bytes) -> Callable[[Path], None]:
    """A file of these bytes."""

    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def remove(path: Path) -> None:
    """Take away whatever a test has put there."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def open_files(process: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


TOKEN = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expiry_date": 2e12}
BAD_CACHES: dict[str, Callable[[Path], None]] = {
    "empty": holding(b""),
    "truncated": holding(json.dumps(TOKEN).encode()[:60]),
    "binary": holding(bytes(range(256)) * 16),
    "another type": holding(b"[1, 2]"),
    "a field of another type": holding(json.dumps({**TOKEN, "access_token": 5}).encode()),
    "no date": holding(json.dumps({**TOKEN, "expiry_date": "soon"}).encode()),
    "deeply nested": holding(b"[" * 60_000),
    "10 MB": holding(json.dumps({**TOKEN, "more": "x" * 10 * MEBIBYTE}).encode()),
    "a directory": directory,
    "a FIFO": fifo,
}


@pytest.mark.parametrize("make", BAD_CACHES.values(), ids=BAD_CACHES)
async def test_a_cache_that_cannot_be_used(stage: Stage, make: Callable[[Path], None]) -> None:
    """Chosen, it is signed-out and says what is wrong with which file; the file stays as it is."""
    cache = stage.scene.cache
    make(cache)
    before = cache.read_bytes() if cache.is_file() else b""
    await stage.client.command("qwen.auth.switch", method=QWEN)
    error = await failure_of(chat(stage.client))
    assert error.kind == "signed-out"
    assert str(cache) in error.message
    assert "no sign-in is cached" not in error.message
    assert (cache.read_bytes() if cache.is_file() else b"") == before


async def test_looking_at_a_directory_keeps_no_descriptor(stage: Stage) -> None:
    """A directory named oauth_creds.json is looked at with each request, and closed again."""
    stage.scene.cache.mkdir()
    await stage.client.command("qwen.auth.status")
    before = open_files(stage.client.process.pid)
    for _ in range(30):
        await stage.client.command("qwen.auth.status")
    assert open_files(stage.client.process.pid) < before + 15


async def test_a_broken_cache_that_nobody_chose_is_named_too(stage: Stage) -> None:
    """With no key either, the line says what is wrong with the cached sign-in, not that there is none."""
    (stage.scene.home / ".qwen" / ".env").unlink()
    stage.scene.cache.write_bytes(b'{"access_token": "tr')
    await stage.client.command("qwen.auth.logout", method="api-key")
    error = await failure_of(chat(stage.client))
    assert (error.kind, str(stage.scene.cache) in error.message) == ("signed-out", True)
    assert "not JSON" in error.message


# --- files: .env ------------------------------------------------------------------------------------------

BAD_ENV_FILES: dict[str, Callable[[Path], None]] = {
    "a directory": directory,
    "10 MB": holding(b"OPENAI_API_KEY=x\n" * (10 * MEBIBYTE // 17)),
    "a FIFO": fifo,
    "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "binary": holding(bytes(range(256)) * 16),
    "UTF-16": holding("OPENAI_API_KEY=x\n".encode("utf-16")),
}


@pytest.mark.parametrize("make", BAD_ENV_FILES.values(), ids=BAD_ENV_FILES)
async def test_an_env_file_that_cannot_be_read(stage: Stage, make: Callable[[Path], None]) -> None:
    """It ends the search: env-unreadable with its path, and no other file is read in its place."""
    path = stage.folder / ".env"
    make(path)
    error = await failure_of(chat(stage.client))
    assert (error.kind, str(path) in error.message) == ("env-unreadable", True)
    status = await stage.client.command("qwen.auth.status")
    assert [problem["file"] for problem in status["problems"]] == [str(path)]


async def test_one_bad_line_does_not_spoil_the_others(stage: Stage) -> None:
    """A line over 8 KiB and a line that is none are reported by number; the rest of the file counts."""
    path = stage.folder / ".env"
    path.write_text("X=" + "x" * 9000 + "\n" + stage.scene.pair(KEY) + "this is no binding at all ='\n")
    assert (await chat(stage.client))["requestedModel"] == "model-of-the-file"
    status = await stage.client.command("qwen.auth.status")
    assert {1, 5} <= {problem["line"] for problem in status["problems"]}


# --- the client ------------------------------------------------------------------------------------------


async def test_an_unknown_method_and_an_unknown_command(stage: Stage) -> None:
    """-32601 for a method; a command that there is not is a bad argument, and all there are are named."""
    assert (await failure_of(stage.client.request("qwen/no/such", {}))).code == -32601
    error = await failure_of(stage.client.command("qwen.no.such"))
    assert error.code == -32602
    assert [problem["path"] for problem in error.data["problems"]] == ["$.command"]
    assert "qwen.chat.send" in error.message


BAD_ARGUMENTS: list[tuple[str, Any, list[str]]] = [
    ("qwen.chat.send", [{"text": 5}], ["$.arguments[0].text"]),
    ("qwen.chat.send", [{"text": "a", "wait": "yes"}], ["$.arguments[0].wait"]),
    ("qwen.chat.send", [{"text": "a", "partialResultToken": [1]}], ["$.arguments[0].partialResultToken"]),
    ("qwen.chat.send", [{"text": "a", "workDoneToken": True}], ["$.arguments[0].workDoneToken"]),
    (
        "qwen.chat.send",
        [{"messages": [{"role": "user", "content": "a"}, {"role": "god", "content": 1}]}],
        ["$.arguments[0].messages[1].content", "$.arguments[0].messages[1].role"],
    ),
    (
        "qwen.chat.send",
        [{"messages": [{}]}],
        ["$.arguments[0].messages[0].content", "$.arguments[0].messages[0].role"],
    ),
    ("qwen.chat.send", [{"messages": {"role": "user"}}], ["$.arguments[0].messages"]),
    ("qwen.chat.send", [{}], ["$.arguments[0].text"]),
    ("qwen.chat.send", [{"text": "a", "messages": []}], ["$.arguments[0].text"]),
    ("qwen.chat.send", [{"messages": []}], ["$.arguments[0].messages"]),
    ("qwen.auth.switch", [{"method": True, "uri": 7}], ["$.arguments[0].method", "$.arguments[0].uri"]),
    ("qwen.auth.switch", [{"target": "everybody"}], ["$.arguments[0].target"]),
    ("qwen.auth.status", ["a text"], ["$.arguments[0]"]),
    ("qwen.auth.status", [[1]], ["$.arguments[0]"]),
    ("qwen.auth.status", [{}, {}], ["$.arguments"]),
    ("qwen.auth.status", {"uri": "x"}, ["$.arguments"]),
    ("qwen.auth.status", "a text", ["$.arguments"]),
]


@pytest.mark.parametrize(("command", "arguments", "paths"), BAD_ARGUMENTS)
async def test_arguments_of_another_type_are_named_by_path(
    stage: Stage, command: str, arguments: Any, paths: list[str]
) -> None:
    """InvalidParams; `data.problems` holds the path of each bad field, and no value is repeated."""
    error = await failure_of(stage.client.request(COMMAND, {"command": command, "arguments": arguments}))
    assert (error.code, error.kind) == (-32602, "invalid-params")
    assert sorted(problem["path"] for problem in error.data["problems"]) == sorted(paths)
    assert "god" not in error.message
    assert all(path in error.message for path in paths)


async def test_params_that_are_no_object(stage: Stage) -> None:
    """The request twin and the standard request alike refuse a list, a text and nothing at all."""
    bad: list[Any] = [[], "text", 5]
    for params in bad:
        assert (await failure_of(stage.client.request("qwen/chat/send", params))).code == -32602
        assert (await failure_of(stage.client.request(COMMAND, params))).code == -32602
    assert (await failure_of(stage.client.request(COMMAND))).code == -32602


async def test_a_conversation_that_there_is_not(stage: Stage) -> None:
    """An unknown conversation is refused before anything is sent."""
    before = len(stage.provider.log)
    assert (await failure_of(chat(stage.client, conversationId="c-0"))).kind == "not-supported"
    assert len(stage.provider.log) == before


# --- the provider ----------------------------------------------------------------------------------------

# fault of the chat route, kind, cause, retryable, requests made
REFUSALS: dict[str, tuple[dict[str, Any], str, str | None, bool, int]] = {
    "a web page": ({"html": True}, "network", "captive-portal", True, 1),
    "gzip": ({"gzip": True}, "network", "encoding", True, 1),
    "redirect": ({"redirect": "http://127.0.0.1:1/elsewhere?q=1"}, "network", "redirect", False, 1),
    "cut before the headers": ({"cut": -1}, "network", "refused", True, 1),
    "cut": ({"cut": 2}, "stream-truncated", None, True, 1),
    "cut cleanly": ({"cut": 2, "cut_cleanly": True}, "stream-truncated", None, True, 1),
    "no end": ({"no_done": True, "cut": 5}, "stream-truncated", None, True, 1),
    "silent before the headers": ({"delay": 30}, "network", "timeout", True, 1),
    "silent after them": ({"stall": 0}, "network", "timeout", True, 1),
    "stalled": ({"stall": 2}, "network", "timeout", True, 1),
    "bad JSON": ({"bad_json": 2}, "bad-reply", None, False, 1),
    "a huge line": ({"huge_line": 2 * MEBIBYTE}, "too-large", None, False, 1),
    "an error in the stream": ({"error_event": 2}, "provider-down", None, True, 1),
    "a text as error in the stream": ({"error_event": 2, "error": "oops"}, "provider-down", None, True, 1),
    "no money": ({"status": 402}, "quota-exceeded", None, False, 1),
    "401": ({"status": 401}, "key-rejected", None, False, 1),
    "404": ({"status": 404}, "bad-reply", None, False, 1),
    "413": ({"status": 413}, "too-large", None, False, 1),
    "a 400 that is a page": ({"status": 400, "body": "<h1>no</h1>"}, "bad-reply", None, False, 1),
    "a pause of 100 s": ({"status": 429, "headers": {"Retry-After": "100"}}, "rate-limited", None, True, 1),
    "down": ({"status": 503}, "provider-down", None, True, 3),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
async def test_an_answer_that_is_none(
    stage: Stage, case: tuple[dict[str, Any], str, str | None, bool, int]
) -> None:
    """Each has its kind and cause, comes in time, and is asked for no more often than it may be."""
    fault, kind, cause, retryable, requests = case
    before = len(stage.scene.requests("chat"))
    stage.provider.fault("chat", **fault)
    error = await failure_of(chat(stage.client))
    assert (error.kind, error.data.get("cause"), error.data["retryable"]) == (kind, cause, retryable)
    assert len(stage.scene.requests("chat")) == before + requests


async def test_what_came_before_a_cut_is_kept(stage: Stage) -> None:
    """The deltas reach the editor, their end carries the error, and the next message builds on them."""
    conversation = (await stage.client.command("qwen.chat.new"))["conversationId"]
    stage.provider.configure(reply="one two three four")
    stage.provider.fault("chat", times=1, cut=2)
    with pytest.raises(RpcError):
        await chat(stage.client, conversationId=conversation, partialResultToken="cut")
    *deltas, end = stage.client.progress("cut")
    assert "".join(delta["text"] for delta in deltas) == "one two"
    assert [value["seq"] for value in (*deltas, end)] == list(range(len(deltas) + 1))
    assert (end["kind"], end["error"]["kind"]) == ("end", "stream-truncated")
    await chat(stage.client, "go on", conversationId=conversation)
    sent = stage.scene.requests("chat")[-1]["json"]["messages"]
    assert [(m["role"], m["content"]) for m in sent] == [
        ("user", "hello"),
        ("assistant", "one two"),
        ("user", "go on"),
    ]


async def test_a_pause_that_the_provider_asks_for_is_kept(stage: Stage) -> None:
    """429 with Retry-After: it is waited for, then the message is sent once more."""
    stage.provider.fault("chat", status=429, times=1, headers={"Retry-After": "1"})
    await chat(stage.client)
    refused, answered = stage.scene.requests("chat")[-2:]
    assert (refused["status"], answered["status"]) == (429, 200)
    assert 1 <= answered["time"] - refused["time"] < 2


async def test_a_model_that_there_is_not(stage: Stage) -> None:
    """It is named, with where to find those there are."""
    stage.provider.configure(strict=True)
    error = await failure_of(chat(stage.client, model="qwen-of-tomorrow"))
    assert error.kind == "model-not-found"
    assert "qwen-of-tomorrow" in error.message
    assert "qwen.models.list" in error.data["remedy"]


@pytest.mark.parametrize(
    ("fault", "kind", "cause"),
    [
        ({"html": True}, "network", "captive-portal"),
        ({"status": 200, "body": {"data": "no list"}}, "bad-reply", None),
        ({"bad_json": 0}, "bad-reply", None),
        ({"status": 200, "body": [1]}, "bad-reply", None),
        ({"cut": 10}, "network", "refused"),
        ({"stall": 10}, "network", "timeout"),
        ({"status": 401}, "key-rejected", None),
    ],
    ids=["a web page", "no list", "half of it", "a list", "cut", "stalled", "401"],
)
async def test_a_list_of_models_that_is_none(
    stage: Stage, fault: dict[str, Any], kind: str, cause: str | None
) -> None:
    """`qwen/models/list` says which of these it was."""
    stage.provider.fault("models", **fault)
    error = await failure_of(stage.client.request("qwen/models/list", {}))
    assert (error.kind, error.data.get("cause")) == (kind, cause)


@pytest.mark.parametrize(
    ("fault", "kind", "cause"),
    [
        ({"html": True}, "network", "captive-portal"),
        ({"status": 511, "body": "<html>"}, "network", "captive-portal"),
        ({"redirect": "https://portal.example/"}, "network", "redirect"),
        ({"status": 407}, "network", "proxy"),
        ({"status": 429}, "rate-limited", None),
        ({"status": 503}, "provider-down", None),
        ({"status": 403, "body": {"error": "unauthorized_client"}}, "login-failed", None),
        ({"status": 404, "body": "<html>"}, "login-failed", None),
    ],
)
async def test_a_sign_in_server_that_gives_no_code(
    stage: Stage, fault: dict[str, Any], kind: str, cause: str | None
) -> None:
    """One line says what came in its place, and whether it may pass; the next sign-in begins anew."""
    stage.provider.configure(auto_approve=True)
    stage.provider.fault("device", **fault, times=1)
    error = await failure_of(stage.client.request("qwen/auth/login", {"method": QWEN}))
    assert (error.kind, error.data.get("cause")) == (kind, cause)
    assert error.data["retryable"] is (kind != "login-failed")
    assert not stage.scene.cache.exists()


async def test_a_web_page_while_a_sign_in_is_pending(stage: Stage) -> None:
    """The network wants a sign-in of its own meanwhile: the polls go on."""
    stage.provider.configure(auto_approve=True)
    stage.provider.fault("token", html=True, times=1)
    before = len(stage.scene.requests("token"))
    assert (await stage.client.request("qwen/auth/login", {"method": QWEN}))["done"]
    assert stage.scene.statuses("token")[before:] == [200, 200]


async def test_a_sign_in_server_that_is_not_there(stage: Stage) -> None:
    """A connection that breaks before the answer is `network`, and says so of the sign-in server."""
    stage.provider.fault("device", cut=-1)
    error = await failure_of(stage.client.request("qwen/auth/login", {"method": QWEN}))
    assert (error.kind, error.data["cause"]) == ("network", "refused")
    assert "sign-in server" in error.message


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"html": True}, "network"),
        ({"status": 200, "body": {"access_token": 5}}, "bad-reply"),
        ({"status": 503}, "provider-down"),
        ({"status": 429}, "rate-limited"),
        ({"status": 403, "body": "<html>"}, "provider-down"),
        ({"cut": -1}, "network"),
    ],
    ids=["a web page", "no token", "503", "429", "403", "cut"],
)
async def test_a_refresh_that_fails(stage: Stage, fault: dict[str, Any], kind: str) -> None:
    """The expired sign-in stays in its file, whatever came in place of a token; then it is renewed."""
    stage.scene.write_cache(expires_in=-60)
    before = stage.scene.cache.read_bytes()
    await stage.client.command("qwen.auth.switch", method=QWEN)
    stage.provider.fault("token", **fault)
    error = await failure_of(chat(stage.client))
    assert error.kind == kind
    assert stage.scene.cache.read_bytes() == before
    stage.provider.faults.clear()
    assert (await chat(stage.client))["stopReason"] == "end_turn"
