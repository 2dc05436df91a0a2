from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from demo.signing_in import refresh, sign_in

if TYPE_CHECKING:
    from qwen_ls.demo.provider import Provider

CHAT = "/v1/chat/completions"
STREAM = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


@pytest.fixture(autouse=True)
def numbers(provider: Provider) -> None:
    """Let the model count to five."""
    provider.configure(tokens=5)


async def lines(client: httpx.AsyncClient) -> list[str]:
    """Read a stream to its end; its lines without the empty ones."""
    answer = await client.post(CHAT, json=STREAM)
    assert answer.status_code == 200
    return [line for line in answer.text.split("\n") if line]


async def read_until_it_breaks(client: httpx.AsyncClient) -> tuple[str, type[Exception]]:
    """Read a stream that must break; what came, and the error."""
    text = ""
    try:
        async with client.stream("POST", CHAT, json=STREAM) as answer:
            async for part in answer.aiter_text():
                text += part
    except httpx.HTTPError as error:
        return text, type(error)
    pytest.fail(f"the stream ended well: {text}")


def tokens(text: str) -> list[str]:
    """Return the model's tokens in the text of a stream."""
    contents = []
    for line in text.split("\n"):
        if line.startswith("data: {"):
            (choice,) = json.loads(line.removeprefix("data: "))["choices"]
            contents.append(choice["delta"].get("content", ""))
    return [content.strip() for content in contents if content]


async def test_a_status_with_headers_so_many_times(provider: Provider, client: httpx.AsyncClient) -> None:
    """A status carries its body and headers for the asked number of requests, then all is well."""
    provider.fault("chat", status=429, headers={"Retry-After": "7"}, body={"error": "slow"}, times=2)
    for _ in range(2):
        answer = await client.post(CHAT, json=STREAM)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert answer.json() == {"error": "slow"}
    assert (await client.post(CHAT, json=STREAM)).status_code == 200


async def test_a_status_can_come_as_a_web_page(provider: Provider, client: httpx.AsyncClient) -> None:
    """A body of text is sent as HTML; without a body there is an error in OpenAI's form."""
    provider.fault("models", status=502, body="<h1>Bad gateway</h1>", times=1)
    answer = await client.get("/v1/models")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    provider.fault("models", status=500)
    assert (await client.get("/v1/models")).json()["error"]["message"] == "Told to answer 500."


async def test_a_fault_for_one_model(provider: Provider, client: httpx.AsyncClient) -> None:
    """One model can be down while the others answer; a request without a model is for none."""
    provider.fault("chat", status=503, model="a")
    asked = [{**STREAM, "model": "a"}, {**STREAM, "model": "b"}, STREAM]
    assert [(await client.post(CHAT, json=body)).status_code for body in asked] == [503, 200, 200]


async def test_a_fault_for_one_kind_of_credential(provider: Provider, client: httpx.AsyncClient) -> None:
    """Chat can be closed to tokens of a sign-in while keys go on."""
    access_token = (await sign_in(provider, client))["access_token"]
    provider.fault("chat", status=401, credential="oauth")
    headers = {"authorization": f"Bearer {access_token}"}
    assert (await client.post(CHAT, json=STREAM, headers=headers)).status_code == 401
    assert (await client.post(CHAT, json=STREAM)).status_code == 200


async def test_faults_compose_and_are_cleared(provider: Provider, client: httpx.AsyncClient) -> None:
    """Two faults on a route both apply; clearing one route leaves the other."""
    provider.fault("chat", delay=0.05)
    provider.fault("chat", status=503)
    provider.fault("models", status=503)
    before = time.monotonic()
    assert (await client.post(CHAT, json=STREAM)).status_code == 503
    assert time.monotonic() - before >= 0.05
    provider.faults.clear("chat")
    assert (await client.post(CHAT, json=STREAM)).status_code == 200
    assert (await client.get("/v1/models")).status_code == 503
    provider.faults.clear()
    assert (await client.get("/v1/models")).status_code == 200


@pytest.mark.parametrize("place", [0, 2, 5])
async def test_a_stall_is_silent(provider: Provider, client: httpx.AsyncClient, place: int) -> None:
    """After the headers and K tokens nothing comes any more."""
    provider.fault("chat", stall=place)
    text = ""
    with pytest.raises(httpx.ReadTimeout):  # noqa: PT012 - the stream breaks while it is read
        async with client.stream("POST", CHAT, json=STREAM, timeout=0.2) as answer:
            assert answer.status_code == 200
            async for part in answer.aiter_text():
                text += part
    assert tokens(text) == ["1", "2", "3", "4", "5"][:place]


async def test_a_stall_with_keep_alives(provider: Provider, client: httpx.AsyncClient) -> None:
    """A stalled stream can go on sending comments."""
    provider.fault("chat", stall=0, keep_alive=0.01)
    async with client.stream("POST", CHAT, json=STREAM) as answer:
        text = ""
        async for part in answer.aiter_text():
            text += part
            if text.count(": keep-alive\n\n") >= 3:
                break
    assert tokens(text) == []


@pytest.mark.parametrize(("clean", "error"), [(False, httpx.ReadError), (True, httpx.RemoteProtocolError)])
async def test_a_cut(
    provider: Provider,
    client: httpx.AsyncClient,
    clean: bool,  # noqa: FBT001 - a parameter of the test
    error: type[Exception],
) -> None:
    """After K tokens the connection is reset, or ended inside the body."""
    provider.fault("chat", cut=2, cut_cleanly=clean)
    text, broken_by = await read_until_it_breaks(client)
    assert tokens(text) == ["1", "2"]
    assert broken_by is error
    assert provider.log[-1]["cut_at"] is not None
    assert provider.log[-1]["closed_at"] is None


async def test_a_cut_before_the_headers_does_nothing(provider: Provider, client: httpx.AsyncClient) -> None:
    """A refresh that is cut before its headers has rotated nothing; one cut in its body has."""
    refresh_token = (await sign_in(provider, client))["refresh_token"]
    for cut, error in ((-1, httpx.ReadError), (0, httpx.ReadError)):
        provider.fault("token", cut=cut, times=1)
        with pytest.raises(error):
            await refresh(client, refresh_token)
    assert (await refresh(client, refresh_token))["error"] == "invalid_grant"


async def test_a_failed_refresh_rotates_nothing(provider: Provider, client: httpx.AsyncClient) -> None:
    """After a 500 the same refresh token is still good."""
    refresh_token = (await sign_in(provider, client))["refresh_token"]
    provider.fault("token", status=500, times=1)
    assert (await refresh(client, refresh_token))["http"] == 500
    assert (await refresh(client, refresh_token))["http"] == 200


@pytest.mark.parametrize("route", ["device", "token", "models", "chat"])
async def test_html_and_redirect_on_every_route(
    provider: Provider, client: httpx.AsyncClient, route: str
) -> None:
    """Every route can answer with a captive portal's page, or send elsewhere."""
    path = {"device": "/api/v1/oauth2/device/code", "token": "/api/v1/oauth2/token"}.get(
        route, f"/v1/{route}"
    )
    method, path = ("GET", path) if route == "models" else ("POST", path.replace("/v1/chat", CHAT))
    provider.fault(route, html=True, times=1)
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    provider.fault(route, redirect="http://127.0.0.2:1/elsewhere")
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.2:1/elsewhere")


async def test_bad_json(provider: Provider, client: httpx.AsyncClient) -> None:
    """A stream has a broken line after K tokens and goes on; any other body is halved."""
    provider.fault("chat", bad_json=1)
    provider.fault("models", bad_json=0)
    received = await lines(client)
    bad = received.index('data: {"choices": [{"delta": {"content": "bro')
    assert tokens(received[bad - 1]) == ["1"]
    assert tokens(received[bad + 1]) == ["2"]
    with pytest.raises(json.JSONDecodeError):
        (await client.get("/v1/models")).json()


async def test_error_event(provider: Provider, client: httpx.AsyncClient) -> None:
    """A stream of status 200 ends with an error object after K tokens; any other body becomes one."""
    error = {"message": "overloaded", "code": 529}
    provider.fault("chat", error_event=1, error=error)
    provider.fault("models", error_event=0, error=error)
    received = await lines(client)
    assert tokens("\n".join(received[:-1])) == ["1"]
    assert json.loads(received[-1].removeprefix("data: ")) == {"error": error}
    assert (await client.get("/v1/models")).json() == {"error": error}


async def test_split_utf8(provider: Provider, client: httpx.AsyncClient) -> None:
    """Each byte is a write of its own, so that characters come in pieces, and nothing is lost."""
    provider.configure(reply="Grüße", tokens=None)
    provider.fault("chat", split_utf8=True)
    async with client.stream("POST", CHAT, json=STREAM) as answer:
        chunks = [chunk async for chunk in answer.aiter_raw()]
    assert max(len(chunk) for chunk in chunks) == 1
    assert tokens(b"".join(chunks).decode().replace("\ndata: [DONE]\n", "")) == ["Grüße"]


async def test_no_done(provider: Provider, client: httpx.AsyncClient) -> None:
    """The stream can end without its last line."""
    provider.fault("chat", no_done=True)
    received = await lines(client)
    assert "data: [DONE]" not in received
    assert tokens("\n".join(received)) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("name", "ending"), [("cr", "\r"), ("crlf", "\r\n"), ("lf", "\n")])
async def test_line_ending(provider: Provider, client: httpx.AsyncClient, name: str, ending: str) -> None:
    """Every line of the stream ends as asked."""
    provider.fault("chat", line_ending=name)
    text = (await client.post(CHAT, json=STREAM)).text
    assert text.endswith(f"data: [DONE]{ending}{ending}")
    assert set("\r\n") & set(text) == set(ending)


@pytest.mark.parametrize("split", [False, True])
async def test_gzip(provider: Provider, client: httpx.AsyncClient, split: bool) -> None:  # noqa: FBT001
    """Streams and other bodies can come compressed."""
    for route in ("chat", "models"):
        provider.fault(route, gzip=True, split_utf8=split)
    answer = await client.post(CHAT, json=STREAM)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.endswith("data: [DONE]\n\n")
    assert (await client.get("/v1/models")).json()["object"] == "list"


async def test_huge_line(provider: Provider, client: httpx.AsyncClient) -> None:
    """A stream can begin with one line of the asked length."""
    provider.fault("chat", huge_line=1_000_000)
    received = await lines(client)
    assert tokens(received[0]) == ["x" * 1_000_000]
    assert tokens("\n".join(received[1:-1])) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    "fields", [{"route": "nowhere"}, {"route": "chat", "line_ending": "x"}, {"route": "chat", "statos": 1}]
)
def test_a_fault_there_is_not(provider: Provider, fields: dict[str, Any]) -> None:
    """A misspelt fault is refused when it is set, not ignored."""
    with pytest.raises((TypeError, ValueError)):
        provider.fault(**fields)


async def test_a_stalled_body_of_another_route(provider: Provider, client: httpx.AsyncClient) -> None:
    """A route that does not stream stalls after K bytes."""
    provider.fault("models", stall=3)
    with pytest.raises(httpx.ReadTimeout):
        await client.get("/v1/models", timeout=0.2)
    await asyncio.wait_for(provider.wait_for(lambda entry: entry["closed_at"], 2), 3)
