"""Keys in a real gnome-keyring, through the language server and at a shell."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from canary import canary
from e2e.keyring_session import State, keyring_environment, lock, unlock
from lsp.handing_over import KEEPS_SECRETS, listed, set_key
from scene import chat
from sweep import files_below, sweep
from terminal.shell import Shell
from wire import RpcError, uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qwen_ls.demo.requests import Entry
    from scene import Scene

BACKGROUND = 3.0  # seconds that a request waits for a keyring nobody unlocks
LATENESS = 1.5  # seconds, on a busy machine
MODEL = "model-of-the-key"


@pytest.fixture
def keys(scene: Scene) -> list[str]:
    """Two keys that the provider takes."""
    made = [canary("in gnome-keyring: one"), canary("in gnome-keyring: two")]
    scene.provider.configure(keys=made)
    return made


@pytest.fixture
def unlocked(scene: Scene) -> Iterator[dict[str, str]]:
    """An unlocked keyring, which every server of the scene sees."""
    with keyring_environment("unlocked") as variables:
        scene.env |= variables
        yield variables


def own(scene: Scene) -> dict[str, str]:
    """The base URL and model that are stored along."""
    return {"baseUrl": f"{scene.provider.base_url}/v1", "model": MODEL}


def bearer(scene: Scene) -> str:
    """The key of the latest chat request."""
    sent: str = scene.requests("chat")[-1]["authorization"]
    return sent.removeprefix("Bearer ")


def says(text: str) -> Callable[[Entry], bool]:
    """Whether a request is a chat that ends with this text."""
    return lambda entry: entry["route"] == "chat" and entry["json"]["messages"][-1]["content"] == text


@pytest.mark.usefixtures("unlocked")
async def test_a_key_lives_in_the_keyring(scene: Scene, keys: list[str]) -> None:
    """Set, used, listed; used again by the next server; removed for good. No file and no frame holds it."""
    key, folder = keys[0], scene.folder()
    client = await scene.start(folder, capabilities=KEEPS_SECRETS)
    stored = (await set_key(client, key, **own(scene)))["stored"]
    assert stored["keptIn"] == "keyring"
    await chat(client)
    assert bearer(scene) == key
    assert await listed(client) == [{**stored, "active": True}]
    await client.end()
    again = await scene.start(folder)
    assert await listed(again) == [{**stored, "active": True}]
    await chat(again)
    assert bearer(scene) == key
    assert (await again.command("qwen.keys.remove"))["removed"] is True
    await again.end()
    last = await scene.start(folder)
    assert await listed(last) == []
    with pytest.raises(RpcError) as failed:
        await chat(last)
    assert failed.value.kind == "signed-out"
    places = {"received": bytes(client.stdout + again.stdout), "log": bytes(client.stderr + again.stderr)}
    places |= {"sent": bytes(client.sent + again.sent), **dict(files_below(scene.root))}
    assert sweep(places, {key: "the key"}) == []


@pytest.mark.usefixtures("unlocked")
async def test_two_folders_with_keys_of_their_own(scene: Scene, keys: list[str]) -> None:
    """A server that has just started reads both and uses both at the same time, each for its folder."""
    folders = [scene.folder("one"), scene.folder("two")]
    first = await scene.start(*folders)
    for key, folder in zip(keys, folders, strict=True):
        await set_key(first, key, uri=uri(folder), **own(scene))
    await first.end()
    client = await scene.start(*folders)
    scene.provider.faults.add("chat", stall=1)
    for folder in folders:
        await client.command("qwen.chat.send", text=f"I am {folder.name}", uri=uri(folder))
    for key, folder in zip(keys, folders, strict=True):
        entry = await scene.provider.wait_for(says(f"I am {folder.name}"), 10)
        assert entry["authorization"] == f"Bearer {key}"
        assert (entry["completed_at"], entry["closed_at"]) == (None, None)


async def test_a_locked_keyring(scene: Scene, unlocked: dict[str, str], keys: list[str]) -> None:
    """Status and chat name it with its remedy, in the folder whose key it holds; unlocked, all is well."""
    one, two = scene.folder("one"), scene.folder("two", scene.pair(keys[1]))
    first = await scene.start(one)
    await set_key(first, keys[0], **own(scene))
    await first.end()
    lock(unlocked)
    client = await scene.start(one, two)
    error = (await client.command("qwen.auth.status", uri=uri(one)))["error"]
    assert error["kind"] == "keyring-locked"
    assert error["remedy"].startswith("Unlock it")
    with pytest.raises(RpcError) as failed:
        await chat(client, uri=uri(one))
    assert (failed.value.kind, failed.value.data["retryable"]) == ("keyring-locked", True)
    assert [k["active"] for k in await listed(client, uri=uri(one))] == [False]
    assert (await client.command("qwen.auth.status", uri=uri(two)))["signedIn"] is True
    await client.end()
    unlock(unlocked)
    await chat(await scene.start(one))
    assert bearer(scene) == keys[0]


async def test_a_prompt_that_nobody_answers(scene: Scene, keys: list[str]) -> None:
    """The status comes within the background deadline, and another folder's does not wait for it."""
    one, two = scene.folder("one"), scene.folder("two", scene.pair(keys[1]))
    with keyring_environment("prompting") as variables:
        scene.env |= variables
        unlock(variables)
        first = await scene.start(one)
        await set_key(first, keys[0], **own(scene))
        await first.end()
        lock(variables)
        client = await scene.start(one, two)
        began = time.monotonic()
        asked = client.begin(
            "workspace/executeCommand", {"command": "qwen.auth.status", "arguments": [{"uri": uri(one)}]}
        )[1]
        other = await client.command("qwen.auth.status", uri=uri(two))
        assert other["signedIn"] is True
        assert not asked.done()
        error = (await asyncio.wait_for(asked, 20))["result"]["error"]
        assert time.monotonic() - began < BACKGROUND + LATENESS
        assert (error["kind"], "prompt" in error["remedy"]) == ("keyring-locked", True)
        began = time.monotonic()
        await client.command("qwen.auth.status", uri=uri(one))
        assert time.monotonic() - began < BACKGROUND  # it is not asked again at once
        assert await client.end() == 0


@pytest.mark.parametrize(
    ("state", "words"), [("none", "no D-Bus"), ("null", "null backend"), ("empty", "no default collection")]
)
async def test_without_a_keyring(scene: Scene, keys: list[str], state: State, words: str) -> None:
    """The key is for this run alone, and the reason and what to do stand in the answer."""
    with keyring_environment(state) as variables:
        scene.env |= variables
        client = await scene.start(scene.folder())
        result = await set_key(client, keys[0], **own(scene))
        assert result["stored"]["keptIn"] == "session"
        assert "until this session ends" in result["message"]
        assert words in result["message"]
        await chat(client)
        assert bearer(scene) == keys[0]
        await client.end()
        assert await listed(await scene.start(scene.folder())) == []


async def test_the_shell_and_the_editor_share_keys(
    scene: Scene, unlocked: dict[str, str], keys: list[str], tmp_path: Path
) -> None:
    """`qwen-ls keys` and the server see each other's; a key that one removes is gone for the other."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shell = Shell(scene.home, folder)
    client = await scene.start(scene.folder())
    where = ("--base-url", own(scene)["baseUrl"], "--model", MODEL)
    done = await shell.run("keys", "set", *where, stdin=keys[0].encode(), env=unlocked)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"The key …{keys[0][-4:]} is stored for you, in every folder in the keyring\n"
    await chat(client)
    assert bearer(scene) == keys[0]
    await set_key(client, keys[1], target="user", **own(scene))
    chatted = await shell.run("chat", "hi", env=unlocked)
    assert (chatted.code, bearer(scene)) == (0, keys[1])
    (entry,) = (await shell.run("keys", "list", "--json", env=unlocked)).json["keys"]
    assert (entry["fingerprint"], entry["keptIn"], entry["active"]) == (f"…{keys[1][-4:]}", "keyring", True)
    gone = await shell.run("keys", "remove", env=unlocked)
    assert (gone.code, gone.out) == (0, "Forgot the key stored for the user (keyring)\n")
    assert await listed(client) == []
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "signed-out"
    await shell.close()


@pytest.mark.parametrize("state", ["locked", "null", "none"])
async def test_the_shell_stores_nothing_without_a_keyring(
    scene: Scene, keys: list[str], state: State, tmp_path: Path
) -> None:
    """One line says why and what to do; exit 1; nothing is left of the key."""
    shell = Shell(scene.home, tmp_path)
    where = ("--base-url", own(scene)["baseUrl"], "--model", MODEL)
    scene.home.mkdir(exist_ok=True)
    with keyring_environment(state) as variables:
        done = await shell.run("keys", "set", *where, stdin=keys[0].encode(), env=variables)
        assert (done.code, done.out) == (1, "")
        assert done.complaint.startswith("qwen-ls: The key was not stored: ")
        assert (await shell.run("keys", "list", env=variables)).out == "No key is stored\n"
    await shell.close()
    assert sweep(dict(files_below(scene.root)), {keys[0]: "the key"}) == []
