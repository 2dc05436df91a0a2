"""Keys over LSP: handed over in a file, checked, kept by whoever can, used with their own base URL."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from lsp.handing_over import KEEPS_SECRETS, folder_of, hand_over, listed, set_key
from scene import QWEN, chat
from sweep import files_below, sweep
from wire import RpcError, uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwen_ls.demo.requests import Entry
    from scene import Scene
    from wire import Client

KEY, OTHER = canary("lsp/test_keys: a key"), canary("lsp/test_keys: another key")
INVALID_PARAMS = -32602
MODEL = "model-of-the-key"


def own(scene: Scene) -> dict[str, str]:
    """The base URL and model that are stored along with a key."""
    return {"baseUrl": f"{scene.provider.base_url}/v1", "model": MODEL}


def bearers(scene: Scene) -> list[str]:
    """The keys that chat requests came with."""
    return [entry["authorization"].removeprefix("Bearer ") for entry in scene.requests("chat")]


def plain_keys(scene: Scene) -> Path:
    """The file for keys where there is no keyring and the user allows it."""
    return scene.state.with_name("keys.json")


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def refused(client: Client, **argument: Any) -> RpcError:
    """The refusal of `qwen.keys.set`."""
    with pytest.raises(RpcError) as failed:
        await client.request("qwen/keys/set", argument)
    assert KEY not in json.dumps([failed.value.message, failed.value.data])
    return failed.value


def says(text: str) -> Callable[[Entry], bool]:
    """Whether a request is a chat that ends with this text."""
    return lambda entry: entry["route"] == "chat" and entry["json"]["messages"][-1]["content"] == text


# --- the way of a key -----------------------------------------------------------------------------------


async def test_a_key_is_checked_kept_used_listed_and_removed(scene: Scene) -> None:
    """Handed over once; then only its fingerprint is ever seen; without a keyring that is said."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    result = await set_key(client, KEY, **own(scene))
    assert list(folder_of(client).glob("[!.]*")) == []
    assert result["checked"] is True
    assert "keyring" in result["message"]
    shown = result["stored"]
    assert (shown["keptIn"], shown["fingerprint"]) == ("session", f"…{KEY[-4:]}")
    assert (result["status"]["method"], result["status"]["source"]["kind"]) == ("api-key", "keyring")
    (entry,) = await listed(client)
    assert entry == {**shown, "active": True}
    assert (entry["target"], entry["folder"]) == ("workspaceFolder", str(scene.folder()))
    assert (entry["provider"], entry["baseUrl"], entry["model"]) == ("custom", *own(scene).values())
    before = len(bearers(scene))
    await chat(client)
    assert bearers(scene)[before:] == [KEY]
    assert scene.requests("chat")[-1]["json"]["model"] == MODEL
    removed = await client.command("qwen.keys.remove")
    assert (removed["removed"], removed["status"]["signedIn"]) == (True, False)
    assert await listed(client) == []
    assert (await client.command("qwen.keys.remove"))["removed"] is False
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "signed-out"


@pytest.mark.parametrize("twin", [True, False], ids=["request", "command"])
async def test_login_by_key(scene: Scene, twin: bool) -> None:  # noqa: FBT001 - a parameter
    """The key is checked and stored, and its method chosen for the folder."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    argument = {"method": "api-key", "keyFile": hand_over(client, KEY), **own(scene)}
    if twin:
        result = await client.request("qwen/auth/login", argument)
    else:
        result = await client.command("qwen.auth.login", **argument, wait=True)
    assert (result["done"], result["checked"], result["method"]) == (True, True, "api-key")
    assert result["status"]["chosenBy"] == "folder"
    await chat(client)
    assert bearers(scene)[-1] == KEY


async def test_login_by_key_for_the_user(scene: Scene) -> None:
    """Key and choice are the user's: another folder has them too."""
    scene.provider.configure(keys=[KEY])
    one, two = scene.folder("one"), scene.folder("two")
    client = await scene.start(one, two)
    argument = {"method": "api-key", "keyFile": hand_over(client, KEY), "target": "user", **own(scene)}
    await client.command("qwen.auth.login", uri=uri(one), **argument, wait=True)
    assert (await client.command("qwen.auth.status", uri=uri(two)))["chosenBy"] == "user"
    await chat(client, uri=uri(two))
    assert bearers(scene)[-1] == KEY


async def test_login_by_key_below_the_choice_of_the_folder(scene: Scene) -> None:
    """The user's key is stored and chosen; that the folder's own choice stays in force is said."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    await client.command("qwen.auth.switch", method=QWEN)
    argument = {"method": "api-key", "keyFile": hand_over(client, KEY), "target": "user", **own(scene)}
    result = await client.command("qwen.auth.login", **argument, wait=True)
    assert (result["done"], result["status"]["method"]) == (True, QWEN)
    assert f"{QWEN} stays in force here (folder comes first)" in result["message"]


async def test_login_by_key_without_a_file(scene: Scene) -> None:
    """A client without our glue reads what it can do instead."""
    client = await scene.start(scene.folder())
    with pytest.raises(RpcError) as failed:
        await client.command("qwen.auth.login", method="api-key")
    assert failed.value.kind == "not-supported"
    assert "qwen-ls keys set" in failed.value.data["remedy"]
    assert [a["command"] for a in failed.value.data["actions"]] == ["qwen.env.open"]


async def test_a_rejected_key_is_not_kept(scene: Scene) -> None:
    """The provider's 401 is `key-rejected`; the key that was there before stays in force."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    error = await refused(client, keyFile=hand_over(client, OTHER), **own(scene))
    assert error.kind == "key-rejected"
    assert await listed(client) == []
    assert not scene.state.exists()
    await set_key(client, KEY, **own(scene))
    await refused(client, keyFile=hand_over(client, OTHER), **own(scene))
    (entry,) = await listed(client)
    assert entry["fingerprint"] == f"…{KEY[-4:]}"


async def test_a_rejected_login_chooses_nothing(scene: Scene) -> None:
    """Neither key nor method is kept."""
    client = await scene.start(scene.folder())
    with pytest.raises(RpcError) as failed:
        await client.request(
            "qwen/auth/login", {"method": "api-key", "keyFile": hand_over(client, KEY), **own(scene)}
        )
    assert failed.value.kind == "key-rejected"
    assert (await client.command("qwen.auth.status")).get("method") is None


async def test_a_provider_that_is_not_there(scene: Scene) -> None:
    """The key is stored, and it is said that it could not be checked."""
    client = await scene.start(scene.folder())
    result = await set_key(client, KEY, baseUrl=f"http://127.0.0.1:{closed_port()}/v1", model=MODEL)
    assert result["checked"] is False
    assert "could not be checked" in result["message"]
    assert len(await listed(client)) == 1


async def test_a_provider_that_is_silent(scene: Scene) -> None:
    """So it is when nothing comes within the time for a first byte."""
    scene.settings(timeouts={"firstByte": 0.2})
    scene.provider.configure(keys=[KEY])
    scene.provider.faults.add("chat", delay=3600.0)
    client = await scene.start(scene.folder())
    result = await set_key(client, KEY, **own(scene))
    assert (result["checked"], result["stored"]["fingerprint"]) == (False, f"…{KEY[-4:]}")


@pytest.mark.parametrize("command", ["qwen.auth.login", "qwen.keys.set"])
async def test_a_slow_provider_does_not_hold_the_command(scene: Scene, command: str) -> None:
    """It is answered before the key has been checked; the end is told as a message, bad or good."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())

    async def told(outcome: str) -> None:
        await client.notified("window/showMessage", lambda shown: outcome in shown["message"])

    for key, outcome in ((OTHER, "rejected"), (KEY, "is stored")):
        scene.provider.fault("chat", delay=2.5, times=1)
        argument = {"keyFile": hand_over(client, key), **own(scene)}
        argument |= {"method": "api-key"} if command == "qwen.auth.login" else {}
        begun = await client.command(command, **argument)
        assert (begun["done"], "checked" in begun, "stored" in begun) == (False, False, False)
        assert "follows as a message" in begun["message"]
        await told(outcome)
    assert (await listed(client))[0]["active"] is True
    chosen = (await client.command("qwen.auth.status"))["chosenBy"]
    assert chosen == ("folder" if command == "qwen.auth.login" else "inferred")


async def test_a_client_that_keeps_keys_is_told_of_each(scene: Scene) -> None:
    """However slow the provider is: only the answer says that the client has to keep this one."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder(), capabilities=KEEPS_SECRETS)
    scene.provider.fault("chat", delay=2.5, times=1)
    result = await client.command("qwen.keys.set", keyFile=hand_over(client, KEY), **own(scene))
    assert (result["done"], result["checked"], result["stored"]["keptIn"]) == (True, True, "client")


async def test_a_sign_in_by_key_asks_no_client_to_keep_it(scene: Scene) -> None:
    """Its answer has no place to say so: without a keyring the key is for this session, and that is said."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder(), capabilities=KEEPS_SECRETS)
    way = {"method": "api-key", "wait": True, **own(scene)}
    result = await client.command("qwen.auth.login", keyFile=hand_over(client, KEY), **way)
    assert "until this session ends" in result["message"]
    assert [key["keptIn"] for key in (await client.command("qwen.keys.list"))["keys"]] == ["session"]


# --- the hand-over file ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 31,
        "a" * 33,
        "../" + "a" * 29,
        "a" * 31 + "/",
        "a" * 31 + ".",
        "a" * 31 + "é",
        "a" * 32 + "\n",
    ],
    ids=range(8),
)
async def test_a_name_of_another_form(scene: Scene, name: str) -> None:
    """It is InvalidParams with the field's path; nothing is opened."""
    client = await scene.start(scene.folder())
    error = await refused(client, keyFile=name)
    assert error.code == INVALID_PARAMS
    assert [p["path"] for p in error.data["problems"]] == ["$.keyFile"]


def write_symlink(path: Path) -> None:
    """A link to a key file."""
    path.symlink_to(path.with_name("target"))


def write_link(path: Path) -> None:
    """A second name of a key file."""
    os.link(path.with_name("target"), path)


def write_file(data: bytes, mode: int = 0o600) -> Callable[[Path], None]:
    """A file of this content and mode."""

    def write(path: Path) -> None:
        path.write_bytes(data)
        path.chmod(mode)

    return write


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "absent": lambda _: None,
    "symlink": write_symlink,
    "second name": write_link,
    "FIFO": lambda path: os.mkfifo(path, 0o600),
    "for the group": write_file(KEY.encode(), 0o640),
    "for everybody": write_file(KEY.encode(), 0o604),
    "too large": write_file(KEY.encode() * 257),
    "empty": write_file(b""),
    "two lines": write_file(f"{KEY}\n{KEY}".encode()),
    "no text": write_file(KEY.encode() + b"\xff"),
}


@pytest.mark.parametrize("write", BAD_FILES.values(), ids=BAD_FILES.keys())
async def test_a_file_that_is_not_as_agreed(scene: Scene, write: Callable[[Path], object]) -> None:
    """It is InvalidParams with the field's path, the file is gone, and nothing was sent anywhere."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    hand_over(client, KEY, name="target")
    path = folder_of(client) / ("b" * 32)
    write(path)
    error = await refused(client, keyFile=path.name, **own(scene))
    assert error.code == INVALID_PARAMS
    assert [p["path"] for p in error.data["problems"]] == ["$.keyFile"]
    assert path.name not in {found.name for found in folder_of(client).iterdir()}
    assert (folder_of(client) / "target").read_text() == KEY
    assert scene.provider.log == []


async def test_a_directory_is_no_key_file(scene: Scene) -> None:
    """It is refused in the same way."""
    client = await scene.start(scene.folder())
    path = folder_of(client) / ("b" * 32)
    path.mkdir(mode=0o700)
    error = await refused(client, keyFile=path.name)
    assert (error.code, error.data["problems"][0]["path"]) == (INVALID_PARAMS, "$.keyFile")


async def test_a_file_serves_once(scene: Scene) -> None:
    """Its second use is InvalidParams, also after a rejection."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    for key in (KEY, OTHER):
        name = hand_over(client, key)
        first = client.begin("qwen/keys/set", {"keyFile": name, **own(scene)})[1]
        assert ("error" in await first) is (key == OTHER)
        assert (await refused(client, keyFile=name, **own(scene))).code == INVALID_PARAMS


@pytest.mark.parametrize("command", ["qwen.keys.set", "qwen.auth.login"])
async def test_a_call_that_cannot_be_read(scene: Scene, command: str) -> None:
    """Its key does not stay on the disk."""
    client = await scene.start(scene.folder())
    name, other = hand_over(client, KEY), hand_over(client, KEY)
    for wrong in ({"keyFile": name, "target": "nobody"}, {"keyFile": f"../{other}", "target": "nobody"}):
        with pytest.raises(RpcError) as failed:
            await client.command(command, method="api-key", **wrong)
        assert failed.value.code == INVALID_PARAMS
    assert {path.name for path in folder_of(client).iterdir()} & {name, other} == {other}


async def test_a_line_feed_at_the_end_belongs_to_the_file(scene: Scene) -> None:
    """As editors and `echo` write it."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    assert (await set_key(client, KEY + "\n", **own(scene)))["checked"] is True


@pytest.mark.parametrize("runtime", ["private", "open to others", "absent", None])
async def test_the_hand_over_folder(scene: Scene, tmp_path: Path, runtime: str | None) -> None:
    """0700; in XDG_RUNTIME_DIR if that is private, else in the state folder; removed at exit."""
    place = tmp_path / "run"
    if runtime in {"private", "open to others"}:
        place.mkdir(mode=0o700)
        place.chmod(0o700 if runtime == "private" else 0o755)
    client = await scene.start(scene.folder(), env={"XDG_RUNTIME_DIR": str(place)} if runtime else {})
    folder = folder_of(client)
    assert folder.parent == (place if runtime == "private" else scene.state.parent)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    hand_over(client, KEY)  # never asked for
    assert await client.end() == 0
    assert not folder.exists()


async def test_the_hand_over_folder_is_gone_when_the_client_is(scene: Scene) -> None:
    """Also without `shutdown`: at the end of the input."""
    client = await scene.start(scene.folder())
    hand_over(client, KEY)
    assert client.process.stdin is not None
    client.process.stdin.close()
    await asyncio.wait_for(client.process.wait(), 20)
    assert not folder_of(client).exists()


# --- who keeps it ---------------------------------------------------------------------------------------


async def test_a_key_for_this_run_alone(scene: Scene) -> None:
    """Without a keyring the next start knows nothing of it, and no file does."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    await set_key(client, KEY, **own(scene))
    await client.end()
    again = await scene.start(scene.folder())
    assert await listed(again) == []
    assert sweep(dict(files_below(scene.root)), {KEY: "the key"}) == []


async def test_a_client_that_keeps_secrets(scene: Scene) -> None:
    """It is told to keep the key, and hands it over again at the next start, where it is not checked."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder(), capabilities=KEEPS_SECRETS)
    assert (await set_key(client, KEY, **own(scene)))["stored"]["keptIn"] == "client"
    await client.end()
    again = await scene.start(scene.folder(), capabilities=KEEPS_SECRETS)
    assert await listed(again) == []
    before = len(scene.provider.log)
    result = await set_key(again, KEY, **own(scene), restore=True)
    assert (result["checked"], result["stored"]["keptIn"]) == (False, "client")
    assert len(scene.provider.log) == before
    await chat(again)
    assert bearers(scene)[-1] == KEY


async def test_only_a_client_that_keeps_secrets_restores(scene: Scene) -> None:
    """For others `restore` is InvalidParams, and the file is gone."""
    client = await scene.start(scene.folder())
    name = hand_over(client, KEY)
    error = await refused(client, keyFile=name, restore=True, **own(scene))
    assert (error.code, error.data["problems"][0]["path"]) == (INVALID_PARAMS, "$.restore")
    assert not (folder_of(client) / name).exists()
    assert await listed(client) == []


async def test_a_plain_file_if_the_user_allows_it(scene: Scene) -> None:
    """`keys.json`, 0600, serves the next start; removing takes the key out of it."""
    scene.settings(allowPlaintextKeys=True)
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    assert (await set_key(client, KEY, **own(scene)))["stored"]["keptIn"] == "file"
    await client.end()
    assert stat.S_IMODE(plain_keys(scene).stat().st_mode) == 0o600
    again = await scene.start(scene.folder())
    await chat(again)
    assert bearers(scene)[-1] == KEY
    (entry,) = await listed(again)
    assert entry["keptIn"] == "file"
    assert (await again.command("qwen.keys.remove"))["removed"] is True
    assert sweep(dict(files_below(scene.root)), {KEY: "the key"}) == []


async def test_a_plain_file_that_is_no_longer_allowed(scene: Scene) -> None:
    """Another key signs in the place of the folder's own, and the status says which, and why."""
    scene.settings(allowPlaintextKeys=True)
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    await set_key(client, KEY, **own(scene))
    await client.end()
    scene.settings()
    variables = {"OPENAI_API_KEY": OTHER, "OPENAI_BASE_URL": own(scene)["baseUrl"]}
    status = await (await scene.start(scene.folder(), env=variables)).command("qwen.auth.status")
    assert (status["kind"], status["source"]["kind"]) == ("Warning", "environment")
    (problem,) = status["problems"]
    assert problem["file"] == f"key stored for {scene.folder()} (file)"
    assert "your settings no longer allow" in problem["text"]
    assert "OPENAI_API_KEY signs in its place" in problem["text"]
    without = await (await scene.start(scene.folder())).command("qwen.auth.status")
    assert without["error"]["kind"] == "keyring-unavailable"
    assert "Set allowPlaintextKeys" in without["message"]


async def test_a_tampered_index_sends_no_key_elsewhere(scene: Scene) -> None:
    """The base URL that was stored with the key counts, not the one that stands in `state.json`."""
    scene.settings(allowPlaintextKeys=True)
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    await set_key(client, KEY, **own(scene))
    await client.end()
    state = json.loads(scene.state.read_text())
    (row,) = state["keys"].values()
    row["base_url"] = f"http://127.0.0.1:{closed_port()}/v1"
    scene.state.write_text(json.dumps(state))
    await chat(await scene.start(scene.folder()))
    assert bearers(scene)[-1] == KEY


# --- whose it is ----------------------------------------------------------------------------------------


async def test_the_folders_key_and_the_users(scene: Scene) -> None:
    """The folder's is for it alone; every other folder has the user's; each is removed by itself."""
    scene.provider.configure(keys=[KEY, OTHER])
    one, two = scene.folder("one"), scene.folder("two")
    client = await scene.start(one, two)
    await set_key(client, KEY, uri=uri(one), **own(scene))
    result = await set_key(client, OTHER, uri=uri(one), target="user", **own(scene))
    assert result["stored"].get("folder") is None
    before = len(bearers(scene))
    for folder in (one, two):
        await chat(client, uri=uri(folder))
    assert bearers(scene)[before:] == [KEY, OTHER]
    assert [(k["target"], k["active"]) for k in await listed(client, uri=uri(two))] == [
        ("workspaceFolder", False),
        ("user", True),
    ]
    await client.command("qwen.keys.remove", uri=uri(one))
    await chat(client, uri=uri(one))
    assert bearers(scene)[-1] == OTHER
    await client.command("qwen.keys.remove", uri=uri(one), target="user")
    assert await listed(client) == []


async def test_logout_forgets_the_stored_key_in_force(scene: Scene) -> None:
    """The folder's, then the user's, each with the choice of it; with a target that one and no other."""
    scene.provider.configure(keys=[KEY, OTHER])
    client = await scene.start(scene.folder())

    async def log_in(key: str, target: str) -> None:
        argument = {"method": "api-key", "keyFile": hand_over(client, key), "target": target, **own(scene)}
        await client.command("qwen.auth.login", **argument, wait=True)

    await log_in(OTHER, "user")
    await log_in(KEY, "workspaceFolder")
    first = await client.command("qwen.auth.logout")
    assert (first["removed"], first["status"]["chosenBy"]) == (True, "user")
    assert "still in force: api-key, key stored for the user" in first["message"]
    second = await client.command("qwen.auth.logout", method="api-key")
    assert (second["removed"], second["status"]["signedIn"]) == (True, False)
    assert second["message"] == "Forgot the key stored for the user (session); nothing is in force here"
    assert second["status"]["chosenBy"] == "inferred"
    assert await listed(client) == []
    await log_in(OTHER, "user")
    await log_in(KEY, "workspaceFolder")
    await client.command("qwen.auth.logout", target="user")
    assert [entry["target"] for entry in await listed(client)] == ["workspaceFolder"]


async def test_logout_leaves_a_stored_key_that_does_not_sign(scene: Scene) -> None:
    """The user's is not touched where the environment's comes first; that is said."""
    scene.provider.configure(keys=[KEY, OTHER])
    client = await scene.start(scene.folder("ws", scene.pair(OTHER)))
    await set_key(client, KEY, target="user", **own(scene))
    result = await client.command("qwen.auth.logout")
    assert result["removed"] is False
    assert "still in force: api-key, OPENAI_API_KEY at" in result["message"]
    assert [entry["target"] for entry in await listed(client)] == ["user"]


async def test_without_a_folder_a_key_is_the_users(scene: Scene) -> None:
    """And one for a folder cannot be stored."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start()
    assert (await set_key(client, KEY, **own(scene)))["stored"]["target"] == "user"
    error = await refused(client, keyFile=hand_over(client, KEY), target="workspaceFolder", **own(scene))
    assert error.kind == "not-supported"


async def test_one_key_of_the_user_is_active(scene: Scene) -> None:
    """Of two providers' keys the one stored last signs, and it alone is marked."""
    client = await scene.start(scene.folder(), capabilities=KEEPS_SECRETS)
    await set_key(client, KEY, target="user", provider="openai", restore=True)
    await set_key(client, OTHER, target="user", provider="dashscope", restore=True)
    assert {k["provider"]: k["active"] for k in await listed(client)} == {"openai": False, "dashscope": True}
    await client.command("qwen.keys.remove", target="user", provider="dashscope")
    assert {k["provider"]: k["active"] for k in await listed(client)} == {"openai": True}


@pytest.mark.parametrize(
    ("key", "argument", "provider", "base_url"),
    [
        (canary("plain"), {}, "openai", "https://api.openai.com/v1"),
        ("sk-sp-" + canary("plan"), {}, "coding-plan", "https://coding.dashscope.aliyuncs.com/v1"),
        ("sk-or-" + canary("router"), {}, "openrouter", "https://openrouter.ai/api/v1"),
        (KEY, {"provider": "deepseek"}, "deepseek", "https://api.deepseek.com"),
        (
            KEY,
            {"baseUrl": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/"},
            "dashscope",
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        ),
        (KEY, {"baseUrl": "https://llm.example/v1"}, "custom", "https://llm.example/v1"),
        (
            KEY,
            {"provider": "azure", "baseUrl": "https://us.openai.azure.com/openai/v1"},
            "azure",
            "https://us.openai.azure.com/openai/v1",
        ),
    ],
    ids=["OpenAI", "prefix of the plan", "prefix of OpenRouter", "id", "region's URL", "own URL", "both"],
)
async def test_whose_key_it_is(
    scene: Scene, key: str, argument: dict[str, Any], provider: str, base_url: str
) -> None:
    """Told from the id, else the base URL, else the key's prefix."""
    client = await scene.start(scene.folder(), capabilities=KEEPS_SECRETS)
    stored = (await set_key(client, key, **argument, restore=True))["stored"]
    assert (stored["provider"], stored["baseUrl"]) == (provider, base_url)


@pytest.mark.parametrize(
    ("key", "argument", "kind", "says"),
    [
        (KEY, {"provider": OTHER}, "not-supported", "openai"),
        (KEY, {"provider": "custom"}, "not-supported", "base URL"),
        (KEY, {"provider": "azure"}, "not-supported", "base URL"),
        (KEY, {"baseUrl": "http://llm.example/v1"}, "untrusted-origin", "http"),
        (KEY, {"baseUrl": "https://u:p@llm.example/v1"}, "untrusted-origin", "URL"),
        (f"{KEY} {KEY}", {}, "key-rejected", "Copy"),
        (KEY + "ключ", {}, "key-rejected", "Copy"),
        (KEY * 40, {}, "key-rejected", "1,024"),
    ],
    ids=range(8),
)
async def test_what_cannot_be_stored(
    scene: Scene, key: str, argument: dict[str, Any], kind: str, says: str
) -> None:
    """It is refused before anything is sent, with what to do and without a key, and the file is gone."""
    client = await scene.start(scene.folder())
    name = hand_over(client, key)
    error = await refused(client, keyFile=name, **argument)
    assert error.kind == kind
    assert says in error.message + error.data["remedy"]
    assert not re.search(f"{KEY}|{OTHER}", str(error.data) + error.message)
    assert not (folder_of(client) / name).exists()
    assert await listed(client) == []


# --- beside the other sources ---------------------------------------------------------------------------


async def test_a_projects_base_url_beside_a_stored_key(scene: Scene) -> None:
    """It is ignored, with one warning that names file and line; the key goes to its own base URL."""
    folder = scene.folder("ws", f"# ours\nOPENAI_BASE_URL=http://127.0.0.1:{closed_port()}/v1\n")
    scene.provider.configure(keys=[KEY])
    client = await scene.start(folder)
    status = (await set_key(client, KEY, **own(scene)))["status"]
    (problem,) = status["problems"]
    assert (problem["file"], problem["line"]) == (str(folder / ".env"), 2)
    assert "OPENAI_BASE_URL" in problem["text"]
    assert status["baseUrl"] == own(scene)["baseUrl"]
    await chat(client)
    assert bearers(scene)[-1] == KEY
    assert len((await client.command("qwen.auth.status"))["problems"]) == 1


async def test_the_order_of_the_ladder(scene: Scene) -> None:
    """Folder key, environment, user key, Qwen Code's settings: taken away one by one."""
    keys = {name: canary(f"the ladder's {name}") for name in ("folder", "environment", "user", "settings")}
    scene.provider.configure(keys=list(keys.values()))
    qwen = scene.home / ".qwen" / "settings.json"
    qwen.parent.mkdir(parents=True)
    auth = {"apiKey": keys["settings"], "baseUrl": own(scene)["baseUrl"]}
    qwen.write_text(json.dumps({"security": {"auth": auth}, "model": {"name": MODEL}}))
    home_env = scene.home / ".env"
    home_env.write_text(scene.pair(keys["environment"]))
    client = await scene.start(scene.folder())
    await set_key(client, keys["folder"], **own(scene))
    await set_key(client, keys["user"], target="user", **own(scene))
    won = []
    for take_away in (
        lambda: client.command("qwen.keys.remove"),
        lambda: asyncio.to_thread(home_env.unlink),
        lambda: client.command("qwen.keys.remove", target="user"),
        lambda: asyncio.to_thread(qwen.unlink),
    ):
        await chat(client)
        active = [r for r in (await client.command("qwen.auth.explain"))["rungs"] if r["outcome"] == "active"]
        assert [r["fingerprint"] for r in active] == [f"…{bearers(scene)[-1][-4:]}"]
        won.append(bearers(scene)[-1])
        await take_away()
    assert won == list(keys.values())
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "signed-out"


async def test_two_folders_chat_at_the_same_time(scene: Scene) -> None:
    """Each with its own key: both requests are there before either is answered."""
    keys = {name: canary(f"the key of {name}") for name in ("one", "two")}
    folders = {name: scene.folder(name) for name in keys}
    scene.provider.configure(keys=list(keys.values()))
    client = await scene.start(*folders.values())
    for name, folder in folders.items():
        await set_key(client, keys[name], uri=uri(folder), **own(scene))
    scene.provider.faults.add("chat", stall=1)
    turns = {
        name: await client.command("qwen.chat.send", text=f"I am {name}", uri=uri(folder))
        for name, folder in folders.items()
    }
    for name, key in keys.items():
        entry = await scene.provider.wait_for(says(f"I am {name}"), 10)
        assert entry["authorization"] == f"Bearer {key}"
        assert (entry["completed_at"], entry["closed_at"]) == (None, None)
    for turn in turns.values():
        await client.command("qwen.chat.cancel", turnId=turn["turnId"])


# --- where it is not ------------------------------------------------------------------------------------


async def test_a_key_is_seen_nowhere(scene: Scene, tmp_path: Path) -> None:
    """In no frame, log line, process list or file: set, used, listed, rejected, explained, removed."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    scene.env |= {"TMPDIR": str(temporary), "DEBUG": "1"}
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    await set_key(client, KEY, **own(scene))
    await refused(client, keyFile=hand_over(client, OTHER), target="user", **own(scene))
    argument = {"method": "api-key", "keyFile": hand_over(client, KEY), **own(scene)}
    await client.request("qwen/auth/login", argument)
    await chat(client)
    for command in (
        "qwen.keys.list",
        "qwen.auth.status",
        "qwen.auth.explain",
        "qwen.doctor",
        "qwen.models.list",
    ):
        await client.command(command)
    process = Path("/proc") / str(client.process.pid)
    places = {name: (process / name).read_bytes() for name in ("cmdline", "environ")}
    places |= dict(files_below(scene.root))
    await client.command("qwen.keys.remove")
    await client.end()
    places |= {"sent": bytes(client.sent), "received": bytes(client.stdout), "stderr": bytes(client.stderr)}
    secrets = {KEY: "the key", OTHER: "the rejected key"}
    assert sweep({**places, **dict(files_below(scene.root))}, secrets) == []
    assert KEY in bearers(scene)
    assert sweep({"a file with it": f"OPENAI_API_KEY={KEY}".encode()}, secrets) != []
