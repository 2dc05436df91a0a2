"""`.env` files over LSP: each change counts at once, each folder has its own, and only known names count."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from raw_http import answer_of, raw_server
from scene import QWEN, chat
from wire import METHOD_NOT_FOUND, RpcError

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene
    from wire import Client

ONE, TWO = canary("test_env: one"), canary("test_env: two")
WATCHES = {"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}, "workspaceFolders": True}}
REGISTER = "client/registerCapability"


def models(scene: Scene) -> list[str]:
    """The models that chat was asked for, in order."""
    return [entry["json"]["model"] for entry in scene.requests("chat")]


def asked(client: Client, method: str) -> list[Any]:
    """The params of the server's requests of a method."""
    return [message["params"] for message in client.asked if message["method"] == method]


# --- changes ----------------------------------------------------------------------------------------------


async def test_every_change_counts_from_the_next_message_on(scene: Scene) -> None:
    """A file written, rewritten in the same size, replaced, hidden by a nearer one, removed, untold."""
    scene.provider.configure(keys=[ONE])
    folder = scene.folder("up/ws", scene.pair(ONE, "model-a"))
    client = await scene.start(folder)
    file = folder / ".env"
    await chat(client)
    file.write_text(scene.pair(ONE, "model-b"))
    await chat(client)
    new = folder / "new"
    new.write_text(scene.pair(ONE, "model-c"))
    times = file.stat()
    os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
    new.replace(file)  # the same size and time, and another file
    await chat(client)
    (folder / ".qwen").mkdir()
    (folder / ".qwen" / ".env").write_text(scene.pair(ONE, "model-d"))
    await chat(client)
    (folder / ".qwen" / ".env").unlink()
    file.unlink()
    scene.folder("up", scene.pair(ONE, "model-e"))
    await chat(client)
    assert models(scene) == ["model-a", "model-b", "model-c", "model-d", "model-e"]
    (scene.root / "up" / ".env").unlink()
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "signed-out"


async def test_watching_is_asked_of_clients_that_can(scene: Scene) -> None:
    """With dynamic registration every `.env` is watched, and a change is told at once as a new status."""
    scene.provider.configure(keys=[ONE])
    folder = scene.folder()
    client = await scene.start(folder, capabilities=WATCHES)
    client.on(REGISTER, lambda _: None)
    await client.until(lambda: asked(client, REGISTER))
    ((registration,),) = [params["registrations"] for params in asked(client, REGISTER)]
    assert registration["method"] == "workspace/didChangeWatchedFiles"
    assert registration["registerOptions"] == {"watchers": [{"globPattern": "**/.env"}]}
    await client.notified("qwen/didChangeStatus", lambda status: not status["signedIn"])
    file = folder / ".env"
    file.write_text(scene.pair(ONE, "watched"))
    client.notify("workspace/didChangeWatchedFiles", {"changes": [{"uri": file.as_uri(), "type": 1}]})
    status = await client.notified("qwen/didChangeStatus", lambda status: status["signedIn"])
    assert (status["uri"], status["model"], status["kind"]) == (folder.as_uri(), "watched", "Normal")
    assert status["source"] == {"kind": "dotenv", "variable": "OPENAI_API_KEY", "file": str(file), "line": 1}


async def test_clients_that_cannot_watch_are_not_asked(scene: Scene) -> None:
    """Nothing is registered; a client that refuses the registration is served as well."""
    scene.provider.configure(keys=[ONE])
    folder = scene.folder("ws", scene.pair(ONE))
    plain = await scene.start(folder)
    await plain.notified("qwen/didChangeStatus")
    assert asked(plain, REGISTER) == []

    def refuse(_: Any) -> Any:
        raise RpcError({"code": METHOD_NOT_FOUND, "message": "no"})

    refusing = await scene.start(folder, capabilities=WATCHES)
    refusing.on(REGISTER, refuse)
    await refusing.until(lambda: asked(refusing, REGISTER))
    assert (await chat(refusing))["stopReason"] == "end_turn"


# --- places -----------------------------------------------------------------------------------------------


async def test_two_folders_answer_at_the_same_time_each_with_its_own_key(scene: Scene) -> None:
    """Both answers stream side by side; the provider sees two keys."""
    scene.provider.configure(keys=[ONE, TWO], tokens=40, token_interval=0.01)
    one, two = scene.folder("one", scene.pair(ONE, "first")), scene.folder("two", scene.pair(TWO, "second"))
    client = await scene.start(one, two)
    answers = await asyncio.gather(
        *(chat(client, uri=(folder / "a.py").as_uri()) for folder in (one, two, one, two))
    )
    assert [answer["requestedModel"] for answer in answers] == ["first", "second", "first", "second"]
    entries = scene.requests("chat")
    assert max(entry["time"] for entry in entries) < min(entry["completed_at"] for entry in entries)
    assert sorted((entry["authorization"], entry["json"]["model"]) for entry in entries) == sorted(
        [(f"Bearer {ONE}", "first"), (f"Bearer {TWO}", "second")] * 2
    )


async def test_the_deepest_folder_counts_and_outside_only_the_home_files(scene: Scene) -> None:
    """Nested roots, a document outside all of them, an unsaved one, a folder that is added later."""
    outer, inner = scene.folder("outer", scene.pair(ONE, "outer")), scene.folder("outer/inner")
    (inner / ".env").write_text(scene.pair(ONE, "inner"))
    later = scene.folder("later", scene.pair(ONE, "later"))
    (scene.home / ".qwen").mkdir(parents=True)
    (scene.home / ".qwen" / ".env").write_text(scene.pair(ONE, "home"))
    client = await scene.start(outer, inner)

    async def model_of(uri: str | None) -> str:
        argument = {} if uri is None else {"uri": uri}
        model: str = (await client.command("qwen.auth.status", **argument))["model"]
        return model

    uris = [(outer / "a.py").as_uri(), (inner / "deep" / "a.py").as_uri(), outer.as_uri(), inner.as_uri()]
    assert [await model_of(uri) for uri in uris] == ["outer", "inner", "outer", "inner"]
    outside = [(later / "a.py").as_uri(), "untitled:Untitled-1", "vscode-remote://host/x", "nonsense", None]
    assert {await model_of(uri) for uri in outside} == {"home"}
    assert await model_of((scene.root / "outermost" / "a.py").as_uri()) == "home"  # no mere text prefix
    added = {"added": [{"uri": later.as_uri(), "name": "later"}], "removed": []}
    client.notify("workspace/didChangeWorkspaceFolders", {"event": added})
    assert await model_of((later / "a.py").as_uri()) == "later"


async def test_a_folder_that_is_removed_does_not_come_back(scene: Scene) -> None:
    """The root that `initialize` names is a folder like any other, and none beside a list of folders."""
    one, two = scene.folder("%41 one", scene.pair(ONE, "one")), scene.folder("two", scene.pair(ONE, "two"))

    async def models_after(client: Client, *removed: Path) -> list[str | None]:
        gone = [{"uri": folder.as_uri(), "name": folder.name} for folder in removed]
        event = {"event": {"added": [], "removed": gone}}
        client.notify("workspace/didChangeWorkspaceFolders", event)
        statuses = [await client.command("qwen.auth.status", uri=(f / "a.py").as_uri()) for f in (one, two)]
        return [status.get("model") for status in statuses]

    listed = await scene.start(one, two)
    assert await models_after(listed) == ["one", "two"]
    assert await models_after(listed, one) == [None, "two"]
    assert await models_after(listed, two) == [None, None]
    assert not (await listed.command("qwen.auth.status"))["signedIn"]
    empty = await scene.start(rootUri=one.as_uri(), workspaceFolders=[])
    assert await models_after(empty) == [None, None]
    rooted = await scene.start(rootUri=one.as_uri())
    assert await models_after(rooted) == ["one", None]
    added = {"added": [{"uri": two.as_uri(), "name": "two"}], "removed": []}
    rooted.notify("workspace/didChangeWorkspaceFolders", {"event": added})
    assert await models_after(rooted) == ["one", "two"]
    assert await models_after(rooted, two, one) == [None, None]


async def test_without_a_folder_the_home_files_count(scene: Scene) -> None:
    """`~/.qwen/.env` before `~/.env`; `$QWEN_HOME` stands in for `~/.qwen`, its cache included."""
    qwen_home = scene.root / "elsewhere"
    for path, model in (
        (scene.home / ".qwen" / ".env", "home-qwen"),
        (scene.home / ".env", "home"),
        (qwen_home / ".env", "qwen-home"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(scene.pair(ONE, model))
    client = await scene.start()
    assert (await client.command("qwen.auth.status"))["model"] == "home-qwen"
    (scene.home / ".qwen" / ".env").unlink()
    assert (await client.command("qwen.auth.status"))["model"] == "home"

    moved = await scene.start(env={"QWEN_HOME": str(qwen_home)})
    assert (await moved.command("qwen.auth.status"))["model"] == "qwen-home"
    await scene.sign_in(moved)
    assert (qwen_home / "oauth_creds.json").exists()
    assert not scene.cache.exists()


async def test_a_symbolic_link_to_a_folder(scene: Scene) -> None:
    """The search goes up from the real path, whichever name the editor has for it."""
    real = scene.folder("real/parent/ws")
    scene.folder("real/parent", scene.pair(ONE, "by-the-real-path"))
    link = scene.folder("links") / "link"
    scene.folder("links", scene.pair(TWO, "by-the-link"))
    link.symlink_to(real)
    client = await scene.start(link)
    for uri in (link.as_uri(), (real / "a.py").as_uri()):
        status = await client.command("qwen.auth.status", uri=uri)
        assert (status["model"], status["uri"]) == ("by-the-real-path", link.as_uri())


def told_of(uri: str, status: Any) -> bool:
    """Whether a status is a folder's."""
    return bool(status["uri"] == uri)


async def test_a_folder_and_a_link_to_it(scene: Scene) -> None:
    """Each has a status of its own, told and asked for."""
    folder, link = scene.folder("ws", scene.pair(ONE)), scene.root / "link"
    link.symlink_to(folder)
    uris = [folder.as_uri(), link.as_uri()]
    client = await scene.start(folder, link)
    for each in uris:
        await client.notified("qwen/didChangeStatus", partial(told_of, each))
    statuses = [await client.command("qwen.auth.status", uri=uri) for uri in uris]
    assert [status["uri"] for status in statuses] == uris


async def test_a_link_to_a_folder_is_turned(scene: Scene) -> None:
    """The next message is signed by what it leads to now, as one after a new start would be."""
    scene.provider.configure(keys=[ONE, TWO])
    old, new = scene.folder("old", scene.pair(ONE, "old")), scene.folder("new", scene.pair(TWO, "new"))
    link = scene.root / "current"
    link.symlink_to(old)
    client = await scene.start(link)
    await chat(client)
    (scene.root / "next").symlink_to(new)
    (scene.root / "next").replace(link)
    await chat(client)
    assert models(scene) == ["old", "new"]
    status = await client.command("qwen.auth.status", uri=(link / "a.py").as_uri())
    assert (status["model"], status["uri"]) == ("new", link.as_uri())


async def test_the_deepest_folder_is_so_on_the_disk(scene: Scene) -> None:
    """However long the name of another one; a document that lies in none by name is followed.

    A folder that lies below another one as a link alone is deeper there, wherever it is on the disk.
    """
    real = scene.folder("real", scene.pair(ONE, "outer"))
    inner = scene.folder("real/inner", scene.pair(ONE, "inner"))
    long, third = scene.folder("a/much/longer/name") / "link", scene.root / "third"
    long.symlink_to(real)
    third.symlink_to(real)
    below = inner / "link"
    below.symlink_to(scene.folder("flat", scene.pair(ONE, "flat")))
    client = await scene.start(long, inner, below)
    for document, model in (
        (below, "flat"),
        (below / "a.py", "flat"),
        (inner / "a.py", "inner"),
        (real / "a.py", "outer"),
        (third / "a.py", "outer"),
        (third / "inner" / "a.py", "inner"),
    ):
        assert (await client.command("qwen.auth.status", uri=document.as_uri()))["model"] == model


async def test_a_workspace_inside_home_reads_the_users_own_file(scene: Scene) -> None:
    """A home file that is met on the way up is the user's by its real path: no key of it needs a question."""
    folder = scene.home / "src" / "ws"
    folder.mkdir(parents=True)
    (scene.home / ".env").write_text(
        f"OPENAI_BASE_URL={scene.provider.base_url}/v1\nOPENAI_MODEL=m\nDEBUG=1\n"
    )
    scene.provider.configure(keys=[ONE])
    client = await scene.start(folder, env={"OPENAI_API_KEY": ONE})
    assert (await chat(client))["stopReason"] == "end_turn"
    assert asked(client, "window/showMessageRequest") == []


async def test_status_and_explain_name_file_and_line(scene: Scene) -> None:
    """Each value has its own line; the whole ladder says what won and why the others did not."""
    folder = scene.folder("ws", f"# a comment\n\nOPENAI_MODEL=m\n{scene.pair(ONE)}DASHSCOPE_API_KEY={TWO}\n")
    file = str(folder / ".env")
    client = await scene.start(folder)
    status = await client.command("qwen.auth.status")
    assert [status[name]["line"] for name in ("source", "baseUrlSource", "modelSource")] == [4, 5, 6]
    assert {status[name]["file"] for name in ("source", "baseUrlSource", "modelSource")} == {file}
    explained = await client.command("qwen.auth.explain")
    assert explained["envFile"] == file
    assert explained["envCandidates"][:2] == [str(folder / ".qwen" / ".env"), file]
    rungs = {
        (rung["source"]["variable"], rung["source"]["line"]): rung["outcome"]
        for rung in explained["rungs"]
        if rung.get("source", {}).get("file") == file
    }
    assert rungs == {("OPENAI_API_KEY", 4): "active", ("DASHSCOPE_API_KEY", 7): "outranked"}
    assert f"{file} ← the one file that is read" in explained["markdown"]
    assert ONE not in str(explained)
    assert ONE[-4:] in status["fingerprint"]


# --- which names count ------------------------------------------------------------------------------------


async def has_debug_log(scene: Scene, **files: str) -> bool:
    """Whether a server in a folder with these files logs at DEBUG."""
    folder = scene.folder(f"ws{len(list(scene.root.iterdir()))}")
    (folder / ".qwen").mkdir()
    for name, text in files.items():
        (folder / {"env": ".env", "qwen": ".qwen/.env"}[name]).write_text(text)
    client = await scene.start(folder)
    await client.notified("qwen/didChangeStatus")
    await client.command("qwen.auth.status")
    await client.end()
    await client.until(lambda: client.process.returncode is not None)
    return b"qwen-ls DEBUG qwen" in client.stderr or b"qwen-ls DEBUG workspace" in client.stderr


async def test_debug_of_a_project_counts_only_in_its_qwen_folder(scene: Scene) -> None:
    """The list of names that a project's `.env` does not set is the user's to replace."""
    assert not await has_debug_log(scene, env="DEBUG=1\n")
    assert await has_debug_log(scene, qwen="DEBUG=1\n")
    scene.settings(excludedEnvVars=["OPENAI_MODEL"])
    assert await has_debug_log(scene, env="DEBUG=1\n")
    scene.provider.configure(keys=[ONE])
    client = await scene.start(scene.folder("ws", scene.pair(ONE, "excluded")))
    await chat(client)
    assert models(scene) == [scene.provider.settings.models[0]]


STEERING = {
    "HTTP_PROXY": "{proxy}",
    "HTTPS_PROXY": "{proxy}",
    "ALL_PROXY": "{proxy}",
    "https_proxy": "{proxy}",
    "NO_PROXY": "*",
    "SSL_CERT_FILE": "/nowhere.pem",
    "REQUESTS_CA_BUNDLE": "/nowhere.pem",
    "SSLKEYLOGFILE": "{root}/planted",
    "QWEN_HOME": "{root}/planted",
    "HOME": "{root}/planted",
    "XDG_STATE_HOME": "{root}/planted",
    "XDG_CONFIG_HOME": "{root}/planted",
    "TMPDIR": "{root}/planted",
    "QWEN_LS_OAUTH_BASE_URL": "{proxy}",
    "QWEN_LS_TRUST_PROJECT": "1",
    "PYTHONPATH": "{root}/planted",
    "PYTHON_KEYRING_BACKEND": "planted.Backend",
    "BROWSER": "touch {root}/planted",
    "LD_PRELOAD": "{root}/planted.so",
    "PATH": "{root}/planted",
}


async def test_a_project_steers_no_connection_folder_or_program(scene: Scene) -> None:
    """Proxies, CAs, homes, Python's and our own variables in a `.env` change nothing at all."""
    folder = scene.folder()
    async with (
        raw_server(lambda _: answer_of({}, 403)) as planted,
        raw_server(lambda _: answer_of({}, 403)) as proxy,
    ):
        lines = [
            f"{name}={value.format(proxy=planted.url, root=scene.root)}" for name, value in STEERING.items()
        ]
        text = "\n".join([*lines, scene.pair(ONE, base_url="https://llm.example/v1")])
        for name in (".env", ".qwen/.env"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        trusts = {"experimental": {"qwen": {"workspaceTrust": True}}}
        client = await scene.start(
            folder,
            env={"HTTPS_PROXY": proxy.url},
            capabilities=trusts,
            options={"workspaceTrust": "trusted"},
        )
        with pytest.raises(RpcError) as failed:
            await chat(client)
        assert failed.value.data["cause"] == "proxy"
        assert {got.target for got in proxy.got} == {"llm.example:443"}
        await scene.sign_in(client)
        assert (await chat(client))["model"] == "coder-model"
        assert planted.connections == 0
    assert scene.cache.exists()
    assert scene.state.exists()
    assert not list(scene.root.glob("planted*"))


async def test_what_the_process_was_started_with_does_count(scene: Scene) -> None:
    """The same variables in the environment are obeyed: a CA file that is not there is named."""
    client = await scene.start(
        env={"SSL_CERT_FILE": "/nowhere.pem", "OPENAI_API_KEY": ONE, "HTTPS_PROXY": "http://127.0.0.1:1"}
    )
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert (failed.value.kind, failed.value.data["cause"]) == ("network", "tls")
    assert "/nowhere.pem" in failed.value.message


SPELLINGS = [
    "${AWS_SECRET}",
    "$AWS_SECRET",
    "${AWS_SECRET:-x}",
    "%AWS_SECRET%",
    "$(AWS_SECRET)",
    "`AWS_SECRET`",
]


async def test_nothing_is_interpolated(scene: Scene) -> None:
    """Another secret of the environment cannot be drawn into what a file sends anywhere."""
    other = canary("test_env: a secret of something else")
    scene.provider.configure(keys=[ONE])
    folder = scene.folder()
    client = await scene.start(folder, env={"AWS_SECRET": other})
    for spelling in SPELLINGS:
        scene.folder("ws", scene.pair(ONE) + f'OPENAI_MODEL="x{spelling}"\n')
        await chat(client)
    assert models(scene) == [f"x{spelling}" for spelling in SPELLINGS]
    assert other not in str(scene.provider.log)
    assert other.encode() not in client.stdout + client.stderr


async def test_an_environment_variable_beats_the_file_name_by_name(scene: Scene) -> None:
    """Set and not empty it wins, and says so in its source; empty counts as unset."""
    scene.provider.configure(keys=[ONE, TWO])
    folder = scene.folder("ws", scene.pair(ONE, "of-the-file"))
    client = await scene.start(folder, env={"OPENAI_MODEL": "of-the-process", "OPENAI_API_KEY": ""})
    await chat(client)
    (entry,) = scene.requests("chat")
    assert (entry["authorization"], entry["json"]["model"]) == (f"Bearer {ONE}", "of-the-process")
    status = await client.command("qwen.auth.status")
    assert status["modelSource"] == {"kind": "environment", "variable": "OPENAI_MODEL"}
    assert status["method"] != QWEN


async def test_a_file_that_is_empty_still_ends_the_search(scene: Scene) -> None:
    """Nothing is merged from a second file: the nearest hides the others even when it holds nothing."""
    folder = scene.folder("up/ws", "")
    scene.folder("up", scene.pair(ONE))
    client = await scene.start(folder)
    with pytest.raises(RpcError) as failed:
        await chat(client)
    assert failed.value.kind == "signed-out"
    assert f"{folder}/.env, the first file found and so the only one read" in failed.value.message
