from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from lsp.talk import COMMAND, TWIN, Talk, in_one_piece, reply_to, talking, unique
from provider import running_provider
from qwen_ls import contract
from qwen_ls.lsp.frames import encode
from qwen_ls.lsp.rpc import MOST_IN_FLIGHT
from qwen_ls.lsp.server import lenient
from wire import RpcError, environment, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from wire import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
NOT_INITIALIZED, FAILED, CANCELLED = -32002, -32803, -32800
EXECUTE = "workspace/executeCommand"
COMMANDS = [command.name for command in contract.COMMANDS]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Talk]:
    """One server for the whole file, which must survive all of it."""
    async with running_provider() as provider, talking(tmp_path_factory.mktemp("protocol"), provider) as talk:
        yield talk


@pytest_asyncio.fixture(loop_scope="module")
async def client(talk: Talk) -> AsyncIterator[Client]:
    """Its client; after each test the server still works, and nothing took it by surprise."""
    yield talk.client
    assert (await talk.client.command("qwen.auth.status", uri=talk.keyed))["signedIn"] is True
    for surprise in (b"not handled", b"internal error", b"event loop", b"Traceback"):
        assert surprise not in talk.client.stderr


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(tmp_path: Path) -> AsyncIterator[Client]:
    """A server of its own, which has not been initialized."""
    async with server(environment(tmp_path / "home"), cwd=tmp_path) as fresh:
        yield fresh


async def refusal(client: Client, method: str, params: Any = None) -> RpcError:
    """The error that a request is answered with."""
    with pytest.raises(RpcError) as refused:
        await client.request(method, params)
    return refused.value


# --- begin and end ------------------------------------------------------------------------------------------


async def test_life_of_a_connection(fresh: Client) -> None:
    """Nothing is served before `initialize`, which comes once, nor after `shutdown`; then exit gives 0."""
    fresh.notify("initialized", {})
    fresh.notify("$/cancelRequest", {"id": 1})
    for method in (EXECUTE, TWIN, "shutdown", "textDocument/definition", "no/such"):
        assert (await refusal(fresh, method, {})).code == NOT_INITIALIZED
    await fresh.initialize()
    assert (
        await refusal(fresh, "initialize", {"processId": None, "capabilities": {}})
    ).code == INVALID_REQUEST
    assert (await fresh.command("qwen.chat.new"))["conversationId"]
    assert await fresh.request("shutdown") is None
    for method in (EXECUTE, TWIN, "shutdown", "initialize", "no/such"):
        assert (await refusal(fresh, method, {})).code == INVALID_REQUEST
    fresh.notify("exit")
    assert await asyncio.wait_for(fresh.process.wait(), 2) == 0
    assert fresh.stderr == b""


async def test_initialize_again_after_a_bad_one(fresh: Client) -> None:
    """A refused `initialize` leaves the server as it was: the next one counts."""
    bad: list[Any] = [
        {},
        {"processId": "x", "capabilities": {}},
        {"processId": None, "capabilities": 5},
        [],
        None,
    ]
    for params in bad:
        assert (await refusal(fresh, "initialize", params)).code == INVALID_PARAMS
        assert (await refusal(fresh, EXECUTE, {})).code == NOT_INITIALIZED
    result = await fresh.initialize()
    assert result["serverInfo"]["name"] == "qwen-ls"


async def test_announcement(fresh: Client) -> None:
    """All commands of the contract stand in the answer to `initialize`, and what is ours beside them."""
    result = await fresh.initialize()
    assert result["capabilities"]["executeCommandProvider"]["commands"] == COMMANDS
    ours = result["capabilities"]["experimental"]["qwen"]
    assert ours["version"] == contract.VERSION
    assert ours["requests"] == ["qwen/auth/login", "qwen/keys/set", "qwen/models/list", "qwen/chat/send"]
    assert ours["notifications"] == [n.method for n in contract.NOTIFICATIONS]
    assert not [a for a in fresh.asked if a["method"] == "client/registerCapability"]


ODD = [42, "text", [], [1], True, {"workspaceTrust": 5, "user": 7}, {"user": [1], "workspaceTrust": None}]


async def test_odd_options(tmp_path: Path) -> None:
    """Options and capabilities of ours that make no sense keep nobody from connecting."""

    async def connect(number: int, odd: Any) -> str:
        home = tmp_path / str(number)
        async with server(environment(home), cwd=home) as client:
            capabilities = {"experimental": {"qwen": odd} if number % 2 else odd}
            await client.initialize(options=odd, capabilities=capabilities)
            kind: str = (await client.command("qwen.auth.status"))["kind"]
            return kind

    kinds = await asyncio.gather(*(connect(number, odd) for number, odd in enumerate(ODD[:1] + ODD[3:6:2])))
    assert kinds == ["Inactive"] * 3


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_options_field_by_field(odd: Any) -> None:
    """What makes no sense has its default, and what stands beside it counts."""
    assert lenient(odd, contract.InitializationOptions) == contract.InitializationOptions()
    assert lenient(odd, contract.ClientCapabilities) == contract.ClientCapabilities()
    if isinstance(odd, dict):
        mixed = lenient({**odd, "workspaceTrust": "untrusted", "unknown": 1}, contract.InitializationOptions)
        assert mixed == contract.InitializationOptions("untrusted")


# --- requests that cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["no/such", "qwen/chat/sent", "textDocument/definition", ""], ids=repr)
async def test_unknown_method(client: Client, method: str) -> None:
    """A method that is not served is told so."""
    params = {"textDocument": {"uri": "file:///a"}, "position": {"line": 0, "character": 0}}
    assert (await refusal(client, method, params)).code == METHOD_NOT_FOUND


async def test_unknown_command(client: Client) -> None:
    """A command that there is not is refused, and those there are are named."""
    refused = await refusal(client, EXECUTE, {"command": "qwen.chat.sent"})
    assert refused.code == INVALID_PARAMS
    assert refused.data["problems"][0]["path"] == "$.command"
    assert COMMAND in refused.message


@pytest.mark.parametrize(
    ("params", "path"),
    [
        (None, "$"),
        ([], "$"),
        ({}, "$.command"),
        ({"command": 5}, "$.command"),
        ({"command": COMMAND, "arguments": {}}, "$.arguments"),
        ({"command": COMMAND, "arguments": "text"}, "$.arguments"),
        ({"command": COMMAND, "arguments": [{}, {}]}, "$.arguments"),
        ({"command": COMMAND, "arguments": ["hello"]}, "$.arguments[0]"),
        ({"command": COMMAND, "arguments": [[{"text": "hello"}]]}, "$.arguments[0]"),
        ({"command": COMMAND, "arguments": [{"text": "a"}], "workDoneToken": {}}, "$.workDoneToken"),
    ],
    ids=str,
)  # fmt: skip
async def test_wrong_types(client: Client, params: Any, path: str) -> None:
    """An argument of another type is refused by the path of its field."""
    refused = await refusal(client, EXECUTE, params)
    assert refused.code == INVALID_PARAMS
    assert [problem["path"] for problem in refused.data["problems"]] == [path]


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ({"text": 5}, "text"),
        ({"text": "a", "wait": 1}, "wait"),
        ({"messages": {}}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"text": "a", "workDoneToken": True}, "workDoneToken"),
        ({"text": "a", "partialResultToken": 1.5}, "partialResultToken"),
    ],
    ids=str,
)
async def test_wrong_types_in_the_argument(client: Client, argument: Any, path: str) -> None:
    """So are those within the argument, of the command and of the request twin."""
    refused = await refusal(client, EXECUTE, {"command": COMMAND, "arguments": [argument]})
    assert refused.code == INVALID_PARAMS
    assert [problem["path"] for problem in refused.data["problems"]] == [f"$.arguments[0].{path}"]
    refused = await refusal(client, TWIN, argument)
    assert refused.code == INVALID_PARAMS
    assert [problem["path"] for problem in refused.data["problems"]] == [f"$.{path}"]


@pytest.mark.parametrize("params", [[], "text", 5, [{"text": "a"}]], ids=repr)
async def test_params_of_a_twin(client: Client, params: Any) -> None:
    """A request twin takes one object."""
    refused = await refusal(client, TWIN, params)
    assert (refused.code, refused.data["problems"][0]["path"]) == (INVALID_PARAMS, "$")


@pytest.mark.parametrize("arguments", [None, [], [None], [{}]], ids=repr)
async def test_no_argument(client: Client, arguments: Any) -> None:
    """A command whose fields are all optional needs no argument."""
    result = await client.request(EXECUTE, {"command": "qwen.chat.new", "arguments": arguments})
    assert result["conversationId"]


async def test_unknown_fields(client: Client) -> None:
    """Fields of a later protocol are passed over."""
    assert await client.command("qwen.chat.cancel", turnId="t-unknown", later=[1]) == {"cancelled": False}


@pytest.mark.parametrize("id_", [None, 1.5, True, [], {}], ids=repr)
async def test_unusable_id(client: Client, id_: Any) -> None:
    """A request whose id is no string or integer is refused under no id."""
    message = {"jsonrpc": "2.0", "id": id_, "method": EXECUTE, "params": {"command": "qwen.chat.new"}}
    assert (await reply_to(client, encode(message)))["error"]["code"] == INVALID_REQUEST


@pytest.mark.parametrize("id_", ["text", "", "1", 0, -7, 2**53 + 1, "é\n"], ids=repr)
async def test_usable_id(client: Client, id_: Any) -> None:
    """Any string or integer comes back as it was."""
    message = {"jsonrpc": "2.0", "id": id_, "method": EXECUTE, "params": {"command": "qwen.chat.new"}}
    assert (await reply_to(client, encode(message), id_))["result"]["conversationId"]


@pytest.mark.parametrize("method", ["initialized", "textDocument/didSave", "exit"])
async def test_a_notification_with_an_id(client: Client, method: str) -> None:
    """Whoever waits for an answer gets one, and nothing is done: the server is still there."""
    params = {"textDocument": {"uri": "file:///a"}} if method.startswith("textDocument") else {}
    message = {"jsonrpc": "2.0", "id": 907, "method": method, "params": params}
    assert (await reply_to(client, encode(message), 907))["error"]["code"] == INVALID_REQUEST
    assert "conversationId" in await client.command("qwen.chat.new")


async def test_id_in_use(talk: Talk, client: Client) -> None:
    """An id that is in use is refused under no id; the first request goes on. Then it is free again."""
    await talk.provider.fault("chat", stall=1, times=1)
    token = unique("stream")
    id_, reply = client.begin(TWIN, talk.params(unique("hello"), partialResultToken=token))
    await talk.until_text(token, bool)
    again = encode({"jsonrpc": "2.0", "id": id_, "method": "no/such"})
    refused = await reply_to(client, again)
    assert (refused["error"]["code"], refused["error"]["message"]) == (INVALID_REQUEST, "id is in use")
    assert not reply.done()
    client.cancel(id_)
    assert (await reply)["error"]["code"] == CANCELLED
    assert (await reply_to(client, again, id_))["error"]["code"] == METHOD_NOT_FOUND


@pytest.mark.parametrize(
    ("message", "id_"),
    [
        ([], None),
        ([{"jsonrpc": "2.0", "id": 901, "method": EXECUTE}], None),
        (5, None),
        ("text", None),
        (None, None),
        ({}, None),
        ({"id": 902, "method": EXECUTE}, 902),
        ({"jsonrpc": "1.0", "id": 903, "method": EXECUTE}, 903),
        ({"jsonrpc": 2.0, "id": "904", "method": EXECUTE}, "904"),
        ({"jsonrpc": "2.0", "id": 905}, 905),
        ({"jsonrpc": "2.0", "id": 906, "method": 5}, 906),
        ({"jsonrpc": "2.0", "method": ["a"]}, None),
    ],
    ids=str,
)
async def test_no_request(client: Client, message: Any, id_: Any) -> None:
    """JSON that is no JSON-RPC 2.0 message, a batch among it, is refused under its id if it has one."""
    assert (await reply_to(client, encode(message), id_))["error"]["code"] == INVALID_REQUEST


# --- frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        b"Content-Length: 3\r\n\r\n{a}",
        b"Content-Length: 2\r\n\r\n\xff\xfe",
        b"Content-Length: 0\r\n\r\n",
        b"Content-Length: 9\r\n\r\n[NaN, 1]]",
        b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000,
        b"Content-Length: x\r\n\r\n",
        b"Content-Length: 99999999999\r\n\r\n",
        b"No-Length: 2\r\n\r\n{}",
        b"nonsense\r\n\r\n",
    ],
    ids=lambda frame: repr(frame[:40]),
)
async def test_bad_frame(client: Client, frame: bytes) -> None:
    """A bad frame is answered once, under no id, and ends nothing; the text says nothing of its content."""
    before = client.replies.get(None, 0)
    reply = await reply_to(client, frame)
    assert reply["error"]["code"] == PARSE_ERROR
    assert (await client.command("qwen.chat.new"))["conversationId"]
    assert client.replies[None] == before + 1


async def test_frame_of_20_mib(client: Client) -> None:
    """A frame far above the limit is refused and survived, though all of it comes."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"%s"}' % (b"x" * (20 * 1024 * 1024))
    reply = await reply_to(client, b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    assert (reply["error"]["code"], "16 MiB" in reply["error"]["message"]) == (PARSE_ERROR, True)
    assert (await client.command("qwen.chat.new"))["conversationId"]


async def test_header_in_any_case(client: Client) -> None:
    """Header names are read in any case, with others beside them, and bytes one by one."""
    body = json.dumps(
        {"jsonrpc": "2.0", "id": "case", "method": EXECUTE, "params": {"command": "qwen.chat.new"}}
    ).encode()
    header = b"content-TYPE: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:%d\r\nX: y\r\n\r\n"
    for byte in (frame := header % len(body) + body)[:-1]:
        client.send_raw(bytes([byte]))
    assert (await reply_to(client, frame[-1:], "case"))["result"]["conversationId"]


# --- messages with hidden edges -----------------------------------------------------------------------------


async def test_message_inside_a_message(talk: Talk, client: Client) -> None:
    """An argument that looks like a message itself is an argument."""
    inner = {"jsonrpc": "2.0", "id": 1, "method": "shutdown", "params": {}}
    assert await client.command("qwen.chat.cancel", turnId="t-unknown", inner=inner) == {"cancelled": False}
    text = json.dumps(inner)
    result = await talk.send(text)
    assert result["stopReason"] == "end_turn"
    assert await talk.times_asked(text) == 1


async def test_oddly_named_params(client: Client) -> None:
    """Names that mean something in Python are names like any other."""
    odd = {"type_name": "Evil", "class": 1, "__class__": "x", "_fields": [], "1": 2, "": 3, "self": 4}
    assert await client.command("qwen.chat.cancel", **{**odd, "turnId": "t-unknown"}) == {"cancelled": False}
    for method in ("no/such", "qwen/no/such", "$/no/such"):
        assert (await refusal(client, method, odd)).code == METHOD_NOT_FOUND
        client.notify(method, odd)
    client.notify("qwen/didChangeTrust", odd)
    client.notify("workspace/didChangeConfiguration", odd)


@pytest.mark.parametrize(
    "params", [None, [], 5, {"event": 5}, {"event": {"added": [{}], "removed": 1}}], ids=repr
)
async def test_bad_notification(client: Client, params: Any) -> None:
    """A notification with params that make no sense is passed over, whichever it is."""
    before = len(client.stdout)
    for method in (
        "workspace/didChangeWorkspaceFolders",
        "workspace/didChangeWatchedFiles",
        "textDocument/didOpen",
        "textDocument/didChange",
        "window/workDoneProgress/cancel",
        "qwen/didChangeTrust",
        "$/setTrace",
        "$/progress",
    ):
        client.notify(method, params)
    assert (await client.command("qwen.chat.new"))["conversationId"]
    assert b'"error"' not in client.stdout[before:]


async def test_replies_to_nothing(client: Client) -> None:
    """Replies that are late, unknown or oddly shaped are passed over, and are not answered."""
    before = len(client.stdout)
    late = [request["id"] for request in client.asked[-3:]]
    for id_ in ("qwen-ls:1", *late, "qwen-ls:999999", "x", 1, 1.5, None, [], {}, True):
        client.send({"jsonrpc": "2.0", "id": id_, "result": {"success": True}})
        client.send({"jsonrpc": "2.0", "id": id_, "error": "text"})
    client.send({"jsonrpc": "2.0", "result": 1})
    client.send({"jsonrpc": "2.0", "error": None})
    assert (await client.command("qwen.chat.new"))["conversationId"]
    assert client.stdout[before:].count(b"Content-Length") == 1


ODD_REPLIES: list[dict[str, Any]] = [
    {"result": None},
    {"result": []},
    {"result": 5},
    {"error": "text"},
    {"error": {"code": "x"}},
    {"error": []},
    {"result": None, "error": {"code": 1, "message": "both"}},
]


@pytest.mark.parametrize("odd", ODD_REPLIES, ids=str)
async def test_odd_reply_to_a_question(talk: Talk, client: Client, odd: dict[str, Any]) -> None:
    """A question that is answered in no shape of LSP's counts as dismissed."""
    answered = len(client.asked)
    _, reply = client.begin(TWIN, {"text": "hello", "uri": talk.empty})
    client.on("window/showMessageRequest", lambda _: asyncio.get_running_loop().create_future())

    def question() -> Any:
        asked = client.asked[answered:]
        return next((a["id"] for a in asked if a["method"] == "window/showMessageRequest"), None)

    client.send({"jsonrpc": "2.0", "id": await client.until(question), **odd})
    error = (await asyncio.wait_for(reply, 5))["error"]
    assert (error["code"], error["data"]["kind"]) == (FAILED, "signed-out")


# --- too many -----------------------------------------------------------------------------------------------


async def test_requests_in_flight(talk: Talk, client: Client) -> None:
    """512 requests are under way at the provider at once; more are refused at once; all are answered."""
    await talk.provider.fault("chat", delay=60)
    sent = [client.begin(TWIN, talk.params(f"flight {number}")) for number in range(MOST_IN_FLIGHT + 50)]
    refused = await asyncio.wait_for(asyncio.gather(*(reply for _, reply in sent[MOST_IN_FLIGHT:])), 20)
    assert {reply["error"]["code"] for reply in refused} == {FAILED}
    assert {reply["error"]["data"]["kind"] for reply in refused} == {"rate-limited"}
    for number in range(MOST_IN_FLIGHT):
        await talk.asked(f"flight {number}")
    with in_one_piece(client):
        for id_, _ in sent:
            client.cancel(id_)
    replies = await asyncio.wait_for(asyncio.gather(*(reply for _, reply in sent[:MOST_IN_FLIGHT])), 20)
    assert {reply["error"]["code"] for reply in replies} == {CANCELLED}
    assert {client.replies[id_] for id_, _ in sent} == {1}
    await talk.usual()
    assert (await talk.send(unique("next")))["stopReason"] == "end_turn"
