"""No secret leaves in a frame, a log, an error or a file: sessions with every secret, and a sweep."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from canary import canary
from raw_http import Got, answer_of, raw_server
from scene import QWEN, chat
from sweep import files_below, sweep
from wire import RpcError, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scene import Scene
    from wire import Client

OWN_FILES = ("oauth_creds.json", ".env")  # where secrets belong
ASK = "window/showMessageRequest"
COMMANDS = ("qwen.auth.status", "qwen.auth.explain", "qwen.doctor", "qwen.models.list")


def places_of(scene: Scene, *clients: Client) -> dict[str, bytes]:
    """Everything that was written: what the servers sent and logged, and every file but those of secrets."""
    places = dict(files_below(scene.root, but=OWN_FILES))
    for number, client in enumerate(clients):
        places[f"stdout of server {number}"] = bytes(client.stdout)
        places[f"stderr of server {number}"] = bytes(client.stderr)
        places[f"argv of server {number}"] = Path(f"/proc/{client.process.pid}/cmdline").read_bytes()
    return places


def issued_by(scene: Scene) -> dict[str, str]:
    """Every secret of a sign-in that the provider has given out or been sent."""
    authority = scene.provider.oauth
    found = dict.fromkeys(authority._access, "an access token")
    found |= dict.fromkeys(authority._refresh, "a refresh token")
    found |= dict.fromkeys(authority._grants, "a device code")
    verifiers = (entry["form"].get("code_verifier") for entry in scene.requests("token"))
    return found | {verifier: "a code verifier" for verifier in verifiers if verifier}


async def run_all(client: Client, **argument: Any) -> None:
    """Every command that reports or sends, whatever comes of it."""
    for command in COMMANDS:
        with contextlib.suppress(RpcError):
            await client.command(command, **argument)
    with contextlib.suppress(RpcError):
        await chat(client, partialResultToken="deltas", **argument)


def variables_of(scene: Scene, **more: str) -> dict[str, str]:
    """DEBUG, and a folder of its own for temporary files."""
    (scene.root / "tmp").mkdir(exist_ok=True)
    return {"DEBUG": "1", "TMPDIR": str(scene.root / "tmp"), **more}


# --- the sessions ----------------------------------------------------------------------------------------


async def test_keys_of_the_environment_and_of_files(scene: Scene) -> None:
    """Keys, passwords in URLs, broken lines and mistyped arguments: none of them is said again anywhere."""
    names = ("process", "dashscope", "project", "unterminated", "not ASCII", "in a base URL", "argument")
    secret = {name: canary(f"test_secrets: {name}") for name in names}
    scene.provider.configure(keys=[secret["process"], secret["project"]])
    folders = {
        "own pair": scene.folder("pair", scene.pair(secret["project"])),
        "broken line": scene.folder("broken", f'OPENAI_API_KEY="{secret["unterminated"]}\nOPENAI_MODEL=m\n'),
        "unsendable": scene.folder("unsendable", f"OPENAI_API_KEY=ключ-{secret['not ASCII']}\n"),
        "url": scene.folder(
            "url", f"OPENAI_BASE_URL=https://me:{secret['in a base URL']}@example.invalid/v1\n"
        ),
        "none": scene.folder("none"),
    }
    keyed = await scene.start(
        *folders.values(),
        env=variables_of(
            scene,
            OPENAI_API_KEY=secret["process"],
            OPENAI_BASE_URL=f"{scene.provider.base_url}/v1",
            DASHSCOPE_API_KEY=secret["dashscope"],
        ),
        options={"user": {"key": secret["argument"]}, "workspaceTrust": secret["argument"]},
    )
    bare = await scene.start(*folders.values(), env=variables_of(scene))
    for client in (keyed, bare):
        for folder in folders.values():
            await run_all(client, uri=folder.as_uri())
        scene.provider.fault("chat", times=1, bad_json=1)
        await run_all(client, uri=folders["own pair"].as_uri())
        await mistype(client, secret["argument"])
    used = {entry["authorization"] for entry in scene.requests("chat")}
    assert used == {f"Bearer {secret['process']}", f"Bearer {secret['project']}"}
    assert sweep(places_of(scene, keyed, bare), {value: name for name, value in secret.items()}) == []
    assert b"qwen-ls DEBUG" in keyed.stderr  # it did log


async def mistype(client: Client, secret: str) -> None:
    """Arguments of the wrong type with a secret in them, and frames that are none."""
    for command in ("qwen.chat.send", "qwen.auth.login", "qwen.auth.switch"):
        for argument in (secret, [secret], {"text": [secret], "method": {"key": secret}, "uri": [secret]}):
            with pytest.raises(RpcError):
                await client.request(
                    "workspace/executeCommand", {"command": command, "arguments": [argument]}
                )
    with pytest.raises(RpcError):
        await client.request("qwen/unknown", {"key": secret})
    with pytest.raises(RpcError):
        await client.request("textDocument/hover", {"textDocument": secret})
    body = b'{"jsonrpc": "2.0", "method": ' + secret.encode()
    client.send_raw(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    client.send_raw(b"Content-Length: %s\r\n\r\n" % secret.encode())
    await client.command("qwen.auth.status")


async def test_everything_of_a_sign_in(scene: Scene) -> None:
    """Device codes, verifiers, tokens old and new, through sign-in, chat, refresh, refusal and logout."""
    scene.provider.configure(reply="fine")
    client = await scene.start(scene.folder(), env=variables_of(scene))
    await scene.sign_in(client)
    await run_all(client)
    scene.edit_cache(expiry_date=1)
    await run_all(client)
    scene.provider.oauth.expire_tokens()
    await run_all(client)
    for fault in ({"status": 401}, {"html": True}, {"bad_json": 1}, {"cut": 1}):
        scene.provider.fault("chat", **fault)
        await run_all(client)
        scene.provider.faults.clear()
    scene.provider.oauth.revoke_tokens()
    with pytest.raises(RpcError):
        await chat(client)
    secrets = issued_by(scene)
    places = places_of(scene, client)
    assert len(secrets) >= 8
    assert any(token in scene.cache.read_text() for token in secrets)
    await client.command("qwen.auth.logout", method=QWEN)
    assert sweep({**places, **places_of(scene, client)}, secrets) == []


def echoing(how: Callable[[str], bytes]) -> Callable[[Got], bytes]:
    """A server that repeats what it was sent, in the way that `how` says."""

    def answer(got: Got) -> bytes:
        form = got.body.decode("latin-1").replace("+", " ")
        return how(f"bad request: {got.header('authorization')} {form}")

    return answer


def error_of(status: int, said: str) -> bytes:
    """An error object of OpenAI's form that holds `said` wherever a text can stand."""
    body = {"error": {"message": said, "type": said, "code": said}, "message": said}
    return answer_of(body, status, "Retry-After: 0")


def in_the_stream(said: str) -> bytes:
    """A stream whose one event is an error."""
    event = json.dumps({"error": {"message": said, "code": 401}})
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {event}\n\n".encode()


ECHOES: dict[str, Callable[[str], bytes]] = {
    **{str(status): partial(error_of, status) for status in (400, 401, 402, 403, 404, 413, 429)},
    "a text": lambda said: answer_of({"error": said}, 400),
    "a page": lambda said: answer_of(f"<h1>{said}</h1>", 401),
    "a redirect": lambda said: answer_of("", 302, f"Location: http://127.0.0.1/{quote(said)}?{quote(said)}"),
    "the reason": lambda said: f"HTTP/1.1 401 {said}\r\n\r\n".encode(),
    "the headers": lambda said: answer_of({}, 401, f"Retry-After: {said}", f"X-Echo: {said}"),
    "no HTTP": lambda said: f"{said}\r\n\r\n".encode(),
    "the stream": in_the_stream,
}


@pytest.mark.parametrize("tier", ["key", QWEN])
async def test_a_provider_that_says_the_secret_again(scene: Scene, tier: str) -> None:
    """Whatever form the echo has, the key or token in it is blotted out before anybody reads it."""
    key = canary("test_secrets: echoed")
    how: list[Callable[[str], bytes]] = []

    def answer(got: Got) -> bytes:
        return echoing(how[-1])(got)

    async with raw_server(answer) as echo:
        where = f"{echo.url}/v1"
        if tier == QWEN:
            scene.provider.configure(resource_url=where)
            scene.write_cache()
            variables = variables_of(scene)
        else:
            variables = variables_of(scene, OPENAI_API_KEY=key, OPENAI_BASE_URL=where, OPENAI_MODEL="m")
        scene.settings(timeouts={"retryAfter": 0.01})
        client = await scene.start(scene.folder(), env=variables)
        for way in ECHOES.values():
            how.append(way)
            before = len(echo.got)
            await run_all(client)
            assert len(echo.got) > before + 1
    secrets = issued_by(scene) | {key: "the key"}
    assert sum(secret.encode() in echo.everything for secret in secrets) >= 1  # it was sent, and said again
    assert sweep(places_of(scene, client), secrets) == []


async def test_a_sign_in_server_that_says_secrets_again(scene: Scene) -> None:
    """An error that repeats the device code, the verifier or the refresh token is told without them."""
    device_code = canary("test_secrets: device code")
    device = {
        "device_code": device_code,
        "user_code": "ABCD",
        "verification_uri": "",
        "expires_in": 60,
        "interval": 1,
    }

    def answer(got: Got) -> bytes:
        if got.target.endswith("/device/code"):
            return answer_of({**device, "verification_uri": f"{sign_in.url}/authorize"})
        said = got.body.decode()
        return answer_of({"error": said, "error_description": f"no: {said} {said}"}, 400)

    async with raw_server(answer) as sign_in:
        scene.env["QWEN_LS_OAUTH_BASE_URL"] = sign_in.url
        client = await scene.start(scene.folder(), env=variables_of(scene))
        with pytest.raises(RpcError) as failed:
            await client.request("qwen/auth/login", {"method": QWEN})
        assert failed.value.kind == "login-failed"
        token = scene.write_cache(expires_in=-60)["refresh_token"]
        await client.command("qwen.auth.switch", method=QWEN)
        with pytest.raises(RpcError):
            await chat(client)
    forms = sign_in.everything
    verifier = forms.rpartition(b"code_verifier=")[2][:43].decode()
    secrets = {device_code: "device code", verifier: "code verifier", token: "refresh token"}
    assert all(secret.encode() in forms for secret in secrets)
    assert sweep(places_of(scene, client), secrets) == []


@pytest.mark.parametrize(
    ("proxy", "is_url"),
    [
        ("http://me:{}@127.0.0.1:{}", True),
        ("http://me:{}[@127.0.0.1:{}", True),
        ("http://me:{}/x@127.0.0.1:{}", False),
        ("me:{}@127.0.0.1:{}", False),
    ],
)
async def test_a_proxy_with_a_password(scene: Scene, proxy: str, is_url: bool) -> None:  # noqa: FBT001 - a column
    """A proxy that refuses and repeats its password, or whose address is no URL: it is shown without one."""
    password, key = canary("test_secrets: proxy"), canary("test_secrets: key behind the proxy")

    def answer(got: Got) -> bytes:
        sent = (got.header("proxy-authorization") or "").rpartition(" ")[2]
        return answer_of(f"no: {sent} {base64.b64decode(sent)!r}", 407, f"Proxy-Authenticate: Basic {sent}")

    async with raw_server(answer) as server:
        address = proxy.format(password, server.port)
        variables = variables_of(scene, HTTPS_PROXY=address, OPENAI_API_KEY=key)
        client = await scene.start(scene.folder(), env=variables)
        await run_all(client)
        report = (await client.command("qwen.doctor"))["markdown"]
    assert f"127.0.0.1:{server.port}" in report
    assert {got.target for got in server.got} == ({"api.openai.com:443"} if is_url else set())
    assert (password.encode() in base64.b64decode(b"".join(tokens_of(server.got)))) == is_url
    assert sweep(places_of(scene, client), {password: "password", key: "key"}) == []


def tokens_of(requests: list[Got]) -> list[bytes]:
    """What the first request said to the proxy of who it comes from."""
    return [(got.header("proxy-authorization") or "").rpartition(" ")[2].encode() for got in requests[:1]]


async def test_the_terminal_says_none_either(scene: Scene) -> None:
    """Reports and failures of the shell commands, to stdout, stderr and files."""
    names = ("process", "project", "password")
    secret = {name: canary(f"test_secrets: terminal {name}") for name in names}
    folder = scene.folder(
        "ws", f'OPENAI_API_KEY="{secret["project"]}\nOPENAI_BASE_URL=http://127.0.0.1:1/v1\n'
    )
    async with raw_server(echoing(ECHOES["401"])) as echo:
        variables = variables_of(
            scene,
            OPENAI_API_KEY=secret["process"],
            OPENAI_BASE_URL=f"{echo.url}/v1",
            HTTPS_PROXY=f"me:{secret['password']}@127.0.0.1:1",
        )
        written = await asyncio.gather(
            *(
                shell(scene.home, folder, variables, *words)
                for words in (["explain"], ["doctor"], ["chat", "hi", "--json"])
            )
        )
    assert secret["process"].encode() in echo.everything
    places = {f"terminal {number}": data for number, data in enumerate(written)} | places_of(scene)
    assert sweep(places, {value: name for name, value in secret.items()}) == []


async def shell(home: Path, folder: Path, variables: Mapping[str, str], *words: str) -> bytes:
    """Run `qwen-ls WORDS` and return what it wrote to stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "qwen_ls",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(home, **variables),
        cwd=folder,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    return out


# --- the sweep itself ------------------------------------------------------------------------------------

PLANTED = canary("test_secrets: planted")
LEAKS: dict[str, bytes] = {
    "plain": PLANTED.encode(),
    "in JSON": json.dumps({"x": PLANTED}).encode(),
    "JSON-escaped": "".join(f"\\u{ord(c):04x}" for c in PLANTED).encode(),
    "JSON-escaped in part": (PLANTED[:9] + f"\\u{ord(PLANTED[9]):04X}" + PLANTED[10:]).encode(),
    "in a repr": "".join(f"\\x{ord(c):02x}" for c in PLANTED).encode(),
    "URL-encoded": "".join(f"%{ord(c):02x}" for c in PLANTED).encode(),
    "URL-encoded in part": (PLANTED[:20] + f"%{ord(PLANTED[20]):02X}" + PLANTED[21:]).encode(),
    "hexadecimal": PLANTED.encode().hex().upper().encode(),
    **{f"base64 after {n} bytes": base64.b64encode(b"?" * n + PLANTED.encode() + b">>") for n in range(7)},
    **{f"url-safe base64 after {n}": base64.urlsafe_b64encode(b"?" * n + PLANTED.encode()) for n in range(3)},
    "folded base64": base64.encodebytes(b"x" * 50 + PLANTED.encode() + b"x" * 50),
    "Basic authorization": base64.b64encode(f"me:{PLANTED}".encode()),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_planted_leak_is_found(leak: bytes) -> None:
    """In the midst of other bytes, in each encoding; and nothing is found where nothing is."""
    noise = os.urandom(4096)
    assert sweep({"a log": noise + leak + noise}, {PLANTED: "planted"})
    assert sweep({"a log": noise + leak[::-1] + noise}, {PLANTED: "planted"}) == []


@pytest.mark.parametrize("where", ["home/.local/state/qwen-ls/x.log", "tmp/x", "ws/x", f"home/{PLANTED}"])
def test_every_file_is_swept(tmp_path: Path, where: str) -> None:
    """A leak into any file below the test's root, or into a file's name, turns the sweep red."""
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PLANTED)
    assert sweep(dict(files_below(tmp_path, but=OWN_FILES)), {PLANTED: "planted"})


async def test_frames_and_stderr_are_swept(scene: Scene) -> None:
    """What the server sends is among the places: its answers are found there."""
    client = await scene.start(scene.folder())
    await client.command("qwen.auth.status")
    assert sweep(places_of(scene, client), {"Signed out": "a word of the answer"}) == [
        f"a word of the answer, {encoding}: stdout of server 0" for encoding in ("plain", "JSON", "URL")
    ]
