"""What can be done with an open `.env` file, by the code actions that an editor is offered.

Each action's command is run as it came. docs/reference/env-diagnostics.md names the test of each.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from lsp.env_editor import APPLY, TAKES_EDITS, OpenFile, edited, open_file, take_edits
from lsp.handing_over import KEEPS_SECRETS, listed
from lsp.test_env_language import git, put
from qwen_ls.core.envfix import CHECK, IGNORE, MOVE, OPEN, TO_FOLDER, TO_USER
from scene import chat
from sweep import files_below, sweep
from wire import NEVER, RpcError, uri

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene
    from wire import Client

KEY, OTHER = f"sk-{canary('test_env_actions: key')}", f"sk-{canary('test_env_actions: other')}"
INVALID_PARAMS = -32602
SAID = "window/showMessage"


async def opened(scene: Scene, file: Path, text: str, *, keeps: bool = True, **initialize: Any) -> OpenFile:
    """A server with the folder `ws`, and a file that is open; `keeps`: plain key files are allowed."""
    put(file, text)
    if keeps:
        scene.settings(allowPlaintextKeys=True)
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder(), **{"capabilities": TAKES_EDITS, **initialize})
    return open_file(client, file)


def pair(scene: Scene, key: str = KEY) -> str:
    """A file with comments, another's name, and a key with what belongs to it."""
    return f"# mine\nOTHER='x' # stays\n{scene.pair(key)}# end\n"


def without_key(text: str) -> str:
    """The same without the line of the key."""
    return "".join(line for line in text.splitlines(keepends=True) if "API_KEY" not in line)


async def failed(opened: OpenFile, title: str, line: int) -> RpcError:
    """The failure of an action."""
    with pytest.raises(RpcError) as error:
        await opened.run(title, line)
    assert KEY not in json.dumps([error.value.message, error.value.data])
    return error.value


def said(client: Client) -> list[str]:
    """The messages that the user was shown."""
    return [n["params"]["message"] for n in client.notifications if n["method"] == SAID]


def plain_keys(scene: Scene) -> Path:
    """Where keys are kept in plain text, if that is allowed."""
    return scene.state.with_name("keys.json")


# --- check this key -----------------------------------------------------------------------------------


async def test_check_this_key(scene: Scene) -> None:
    """One request with the file's own base URL and model; accepted, rejected, or no answer."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", pair(scene))
    result = await file.run(CHECK, 2)
    assert (result["done"], result["checked"]) == (True, True)
    assert f"accepts OPENAI_API_KEY (sk-…{KEY[-4:]})" in result["message"]
    assert result["message"] in said(file.client)
    (entry,) = scene.requests("chat")
    assert (entry["authorization"], entry["json"]["model"]) == (f"Bearer {KEY}", "model-of-the-file")
    scene.provider.configure(keys=[OTHER])
    error = await failed(file, CHECK, 2)
    assert error.kind == "key-rejected"
    assert error.message in said(file.client)


async def test_a_check_asks_before_a_projects_host_gets_anything(scene: Scene) -> None:
    """A project's own pair, to a host that is not this machine, is asked about; a No ends it."""
    folder = scene.folder()
    text = f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL=https://llm.example/v1\n"
    file = await opened(scene, folder / ".env", text)
    asked: list[str] = []

    def answer(params: Any) -> Any:
        asked.append(params["message"])
        return {"title": "No"}

    file.client.on("window/showMessageRequest", answer)
    error = await failed(file, CHECK, 0)
    assert error.kind == "untrusted-origin"
    assert "llm.example" in asked[0]
    assert KEY not in asked[0]


async def test_a_check_that_takes_long_is_answered_soon(scene: Scene) -> None:
    """While the user thinks, the command has been answered; the outcome follows as a message."""
    folder = scene.folder()
    text = f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL=https://llm.example/v1\n"
    file = await opened(scene, folder / ".env", text)
    file.client.on("window/showMessageRequest", lambda _: NEVER)
    result = await file.run(CHECK, 0)
    assert result["done"] is False
    (question,) = [m for m in file.client.asked if m["method"] == "window/showMessageRequest"]
    file.client.send({"jsonrpc": "2.0", "id": question["id"], "result": {"title": "No"}})
    await file.client.notified(SAID, lambda p: "as you decided" in p["message"])


# --- move this key to the keyring ---------------------------------------------------------------------


@pytest.mark.parametrize("is_open", [True, False])
async def test_move_to_the_keyring_of_the_folder(scene: Scene, is_open: bool) -> None:  # noqa: FBT001 - a case
    """Checked, kept with its base URL and model, and only then taken out; it signs from then on."""
    folder = scene.folder()
    text = pair(scene)
    file = await opened(scene, folder / ".env", text)
    edits = take_edits(file)
    argument = (await file.actions(2))[TO_FOLDER]["command"]["arguments"][0]
    if not is_open:
        file.close()
    result = await file.client.command("qwen.env.moveToKeyring", **argument)
    stored = result["stored"]
    assert (stored["target"], stored["folder"], stored["keptIn"]) == ("workspaceFolder", str(folder), "file")
    assert (stored["baseUrl"], stored["model"]) == (f"{scene.provider.base_url}/v1", "model-of-the-file")
    assert (result["checked"], result["unsaved"]) == (True, is_open)
    assert "not in force" not in result["message"]
    if is_open:
        assert file.text == without_key(text)
        assert (folder / ".env").read_text() == text  # until it is saved
        await file.codes(["env.outranked", "env.unsaved"])
        file.save()
        await file.codes(["env.outranked"])
    assert (folder / ".env").read_text() == without_key(text)
    assert [e["newText"] for edit in edits for c in edit["documentChanges"] for e in c["edits"]] == [
        ""
    ] * is_open
    await chat(file.client)
    assert scene.requests("chat")[-1]["authorization"] == f"Bearer {KEY}"
    status = await file.client.command("qwen.auth.status")
    assert (status["source"]["kind"], status["model"]) == ("keyring", "model-of-the-file")


async def test_move_to_the_keyring_of_the_user(scene: Scene) -> None:
    """It signs in another folder too, with the base URL and the model that stood beside it."""
    folder, other = scene.folder(), scene.folder("other")
    text = pair(scene).replace("OPENAI_MODEL", "QWEN_MODEL")
    file = await opened(scene, folder / ".env", text)
    take_edits(file)
    result = await file.run(TO_USER, 2)
    stored = result["stored"]
    assert (stored["target"], stored["model"]) == ("user", "model-of-the-file")
    assert "OPENAI_BASE_URL and QWEN_MODEL went along" in result["message"]
    # The file's URL is on this machine and needs no key, so in this folder it comes first.
    assert "it is not in force: OPENAI_BASE_URL at" in result["message"]
    client = await scene.start(other)
    await chat(client)
    assert scene.requests("chat")[-1]["authorization"] == f"Bearer {KEY}"
    assert scene.requests("chat")[-1]["json"]["model"] == "model-of-the-file"


async def test_a_key_that_is_rejected_stays(scene: Scene) -> None:
    """The provider's No changes nothing: neither the store nor the file."""
    folder = scene.folder()
    text = pair(scene, OTHER)
    file = await opened(scene, folder / ".env", text)
    edits = take_edits(file)
    assert (await failed(file, TO_FOLDER, 2)).kind == "key-rejected"
    assert (edits, file.text, (folder / ".env").read_text()) == ([], text, text)
    assert await listed(file.client) == []


@pytest.mark.parametrize(
    "capabilities", [TAKES_EDITS, KEEPS_SECRETS], ids=["alone", "a client that keeps keys"]
)
async def test_a_key_that_nobody_keeps_stays(scene: Scene, capabilities: dict[str, Any]) -> None:
    """Without a keyring nothing changes, whatever the client could keep: it would have to be sent the key."""
    folder = scene.folder()
    text = pair(scene)
    file = await opened(scene, folder / ".env", text, keeps=False, capabilities=capabilities)
    edits = take_edits(file)
    error = await failed(file, TO_FOLDER, 2)
    assert error.kind in {"keyring-unavailable", "keyring-locked"}
    assert (edits, file.text, (folder / ".env").read_text()) == ([], text, text)
    assert await listed(file.client) == []


async def test_unsaved_changes_are_refused(scene: Scene) -> None:
    """Nothing is checked, kept or changed while the editor's text is another than the disk's."""
    folder = scene.folder()
    text = pair(scene)
    file = await opened(scene, folder / ".env", text)
    file.change(text + "# more\n")
    for title in (TO_FOLDER, TO_USER, CHECK, MOVE):
        error = await failed(file, title, 2)
        assert "Save the file first" in error.message
    assert (folder / ".env").read_text() == text
    assert scene.requests("chat") == []
    file.save()
    assert (await file.run(CHECK, 2))["checked"] is True


async def test_two_different_keys_are_refused(scene: Scene) -> None:
    """One of them would be lost; two lines of the same go together."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", f"OPENAI_API_KEY={OTHER}\n{scene.pair(KEY)}")
    take_edits(file)
    assert "lines 1, 2" in (await failed(file, TO_FOLDER, 1)).message
    file.change(f"OPENAI_API_KEY={KEY}\nA=1\n{scene.pair(KEY)}")
    file.save()
    await file.run(TO_FOLDER, 2)
    assert "API_KEY" not in file.text
    assert file.text.startswith("A=1\n")


@pytest.mark.parametrize(
    "behaviour", ["no capability", "refuses", "says yes and does nothing", "never answers"]
)
async def test_a_client_that_takes_no_edits(scene: Scene, behaviour: str) -> None:
    """The file is changed on the disk instead, private, with everything else as it was."""
    folder = scene.folder()
    text = pair(scene).replace("\n", "\r\n")
    capabilities = {} if behaviour == "no capability" else TAKES_EDITS
    (folder / ".env").write_bytes(b"")
    file = await opened(scene, folder / ".env", "", capabilities=capabilities)
    (folder / ".env").write_bytes(("\ufeff" + text).encode())
    (folder / ".env").chmod(0o644)
    file.change(text.replace("\r\n", "\n"))
    answers = {"refuses": {"applied": False}, "says yes and does nothing": {"applied": True}}
    if behaviour in answers:
        file.client.on(APPLY, lambda _: answers[behaviour])
    elif behaviour == "never answers":
        file.client.on(APPLY, lambda _: NEVER)
    result = await file.run(TO_FOLDER, 2)
    if not result["done"]:
        result = await file.client.notified(SAID, lambda p: "it has left" in p["message"])
    assert "reload in the editor" in result["message"]
    assert (folder / ".env").read_bytes() == ("\ufeff" + without_key(text)).encode()
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [".env"]


async def test_a_user_who_types_meanwhile_loses_nothing(scene: Scene) -> None:
    """The edit is for another version: the key is kept, and its line stays where it is."""
    folder = scene.folder()
    text = pair(scene)
    file = await opened(scene, folder / ".env", text)

    def type_first(_: Any) -> Any:
        file.change(text + "# typed\n")
        return {"applied": False}

    file.client.on(APPLY, type_first)
    result = await file.run(TO_FOLDER, 2)
    if not result["done"]:
        result = await file.client.notified(SAID, lambda p: "stored for" in p["message"])
    assert "Its line is still in the file" in result["message"]
    assert (folder / ".env").read_text() == text
    assert file.text == text + "# typed\n"


@pytest.mark.parametrize("saves", [False, True])
@pytest.mark.parametrize("takes_edits", [True, False])
async def test_a_user_who_types_while_a_question_stands_loses_no_line(
    scene: Scene,
    takes_edits: bool,  # noqa: FBT001 - a case
    saves: bool,  # noqa: FBT001 - a case
) -> None:
    """The lines have moved: the key is kept, nothing is taken out of either text, and that is said."""
    folder = scene.folder()
    text = f"A=1\nOPENAI_API_KEY={KEY}\nOPENAI_BASE_URL=https://llm.example/v1\n"
    capabilities = TAKES_EDITS if takes_edits else {}
    file = await opened(scene, folder / ".env", text, capabilities=capabilities)
    edits = take_edits(file)

    def answer(_: Any) -> Any:
        file.change(f"# typed\n{text}")
        if saves:
            file.save()
        return {"title": "Send to llm.example"}

    file.client.on("window/showMessageRequest", answer)
    result = await file.run(TO_FOLDER, 1)
    if not result["done"]:
        result = await file.client.notified(SAID, lambda p: "stored for" in p["message"])
    assert (edits, file.text) == ([], f"# typed\n{text}")
    assert (folder / ".env").read_text() == (f"# typed\n{text}" if saves else text)
    assert "Its line is still in the file: The file has been changed" in result["message"]
    assert "Delete by hand" in result["message"]
    assert KEY in plain_keys(scene).read_text()


async def test_an_editor_that_makes_an_edit_of_another_text_is_not_believed(scene: Scene) -> None:
    """Emacs counts versions only when it tells: the lines are other ones then, and that is said."""
    folder = scene.folder()
    text = f"A=1\n{pair(scene)}"
    file = await opened(scene, folder / ".env", text)

    def apply(params: Any) -> Any:
        (change,) = params["edit"]["documentChanges"]
        file.change(edited(f"# typed\n{text}", change["edits"]))
        return {"applied": True}

    file.client.on(APPLY, apply)
    result = await file.run(TO_FOLDER, 3)
    if not result["done"]:
        result = await file.client.notified(SAID, lambda p: "stored for" in p["message"])
    assert KEY in file.text
    assert "OTHER" not in file.text
    assert "Its line is still in the file" in result["message"]
    assert "See that no other line is missing" in result["message"]
    assert (folder / ".env").read_text() == text


async def test_an_editor_that_tells_late(scene: Scene) -> None:
    """Emacs tells of a change when it is idle: after the command's answer, with what was typed since."""
    folder = scene.folder()
    text = pair(scene)
    file = await opened(scene, folder / ".env", text)
    file.client.on(APPLY, lambda _: {"applied": True})
    result = await file.run(TO_FOLDER, 2)
    assert result["done"] is False
    file.change(without_key(text) + "# typed\n")
    said_last = await file.client.notified(SAID, lambda p: "stored for" in p["message"])
    assert "once you save it" in said_last["message"]
    assert (folder / ".env").read_text() == text


async def test_a_link_and_a_name_that_is_no_key_are_refused(scene: Scene) -> None:
    """Nothing outside is changed by way of a link, and nothing that is no key is stored."""
    folder = scene.folder()
    put(scene.root / "elsewhere", pair(scene))
    file = await opened(scene, folder / ".qwen" / ".env", pair(scene))
    (folder / ".env").symlink_to(scene.root / "elsewhere")
    for path, variable, text in (
        (folder / ".env", "OPENAI_API_KEY", "it is a link"),
        (folder / ".qwen" / ".env", "OPENAI_MODEL", "no key under the name"),
        (folder / ".qwen" / ".env", "DEEPSEEK_API_KEY", "no key under the name"),
        (folder / "sub" / ".env", "OPENAI_API_KEY", "not on the disk"),
    ):
        with pytest.raises(RpcError, match=text):
            await file.client.command("qwen.env.moveToKeyring", file=uri(path), variable=variable)
    assert KEY in (scene.root / "elsewhere").read_text()


# --- move to .qwen/.env -------------------------------------------------------------------------------


async def test_move_to_qwen_env(scene: Scene) -> None:
    """Known names go, in order; the rest stays; the new file is private, out of git, and opened."""
    folder = scene.folder()
    git(folder, "init", "-q")
    file = await opened(scene, folder / ".env", f"# mine\nOTHER=1\nDEBUG=1\n{scene.pair(KEY)}")
    edits = take_edits(file)
    found = await file.codes(["env.excluded", "env.not-ignored"])
    action = (await file.actions(2, found))[MOVE]
    assert [d["code"] for d in action["diagnostics"]] == ["env.excluded"]
    result = await file.run(MOVE, 2)
    target = folder / ".qwen" / ".env"
    assert (result["file"], result["unsaved"]) == (str(target), True)
    assert target.read_text() == f"DEBUG=1\n{scene.pair(KEY)}"
    assert [stat.S_IMODE(p.stat().st_mode) for p in (target, target.parent)] == [0o600, 0o700]
    assert (folder / ".gitignore").read_text() == "/.qwen/.env\n"
    assert file.text == "# mine\nOTHER=1\n"
    assert KEY not in json.dumps(edits)
    shown = [m["params"]["uri"] for m in file.client.asked if m["method"] == "window/showDocument"]
    assert shown == [uri(target)]
    await chat(file.client)
    assert scene.requests("chat")[-1]["authorization"] == f"Bearer {KEY}"


async def test_moving_joins_what_is_there_but_overwrites_nothing(scene: Scene) -> None:
    """A name that both have is refused; others are added at the end."""
    folder = scene.folder()
    put(folder / ".qwen" / ".env", "OPENAI_MODEL=theirs")
    file = await opened(scene, folder / ".env", f"OPENAI_API_KEY={KEY}\nOPENAI_MODEL=mine\n")
    take_edits(file)
    assert "OPENAI_MODEL is set there as well" in (await failed(file, MOVE, 0)).message
    file.change(f"OPENAI_API_KEY={KEY}\n")
    file.save()
    await file.run(MOVE, 0)
    assert (folder / ".qwen" / ".env").read_text() == f"OPENAI_MODEL=theirs\nOPENAI_API_KEY={KEY}\n"
    assert file.text == ""


async def test_moving_while_the_user_types_loses_nothing(scene: Scene) -> None:
    """The lines stand in both files then, and that is said."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", "DEBUG=1\nOTHER=1\n")

    def type_first(_: Any) -> Any:
        file.change("DEBUG=1\nOTHER=1\n# typed\n")
        return {"applied": False}

    file.client.on(APPLY, type_first)
    result = await file.run(MOVE, 0)
    assert "and in " in result["message"]
    assert (folder / ".qwen" / ".env").read_text() == "DEBUG=1\n"
    assert (folder / ".env").read_text() == "DEBUG=1\nOTHER=1\n"


async def test_moving_while_a_user_types_on_top_takes_no_other_line(scene: Scene) -> None:
    """The lines move while git is asked, before the edit is made: nothing is taken out."""
    folder, program, waits = scene.folder(), scene.root / "bin" / "git", scene.root / "waits"
    git(folder, "init", "-q")
    os.mkfifo(waits)
    goes_on = f'exec {shutil.which("git")} "$@"'
    put(program, f"#!/bin/sh\n[ ! -e '{folder}/.qwen/.env' ] || read _ < '{waits}'\n{goes_on}\n")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    text = "A=1\nDEBUG=1\n"
    file = await opened(scene, folder / ".env", text, env={"PATH": path})
    edits = take_edits(file)
    moving = asyncio.create_task(file.run(MOVE, 1))
    with await asyncio.to_thread(waits.open, "w"):  # git is there
        waits.unlink()
        file.change(f"# typed\n{text}")
        await file.hover(0)
    result = await moving
    assert (edits, file.text) == ([], f"# typed\n{text}")
    assert (folder / ".env").read_text() == text
    assert (folder / ".qwen" / ".env").read_text() == "DEBUG=1\n"
    assert "and in " in result["message"]
    assert "Delete by hand" in result["message"]


async def test_moving_through_a_link_is_refused(scene: Scene) -> None:
    """A `.qwen` that leads elsewhere takes nothing along."""
    folder, elsewhere = scene.folder(), scene.folder("elsewhere")
    (folder / ".qwen").symlink_to(elsewhere)
    file = await opened(scene, folder / ".env", "DEBUG=1\n")
    with pytest.raises(RpcError, match="it is a link"):
        await file.client.command("qwen.env.move", file=file.uri)
    assert list(elsewhere.iterdir()) == []
    put(folder / "sub" / ".env", "OTHER=1\n")
    with pytest.raises(RpcError, match="no name that is read"):
        await file.client.command("qwen.env.move", file=uri(folder / "sub" / ".env"))


# --- add to .gitignore, open the winner -----------------------------------------------------------------


async def test_add_to_gitignore(scene: Scene) -> None:
    """One line in the folder's own rules, once; the finding goes."""
    folder = scene.folder()
    git(folder, "init", "-q")
    (folder / ".gitignore").write_bytes(b"*.pyc")
    file = await opened(scene, folder / ".env", f"OPENAI_API_KEY={KEY}\n")
    found = await file.codes(["env.not-ignored"])
    action = (await file.actions(0, found))[IGNORE]
    assert [d["code"] for d in action["diagnostics"]] == ["env.not-ignored"]
    result = await file.run(IGNORE, 0)
    assert result["file"] == str(folder / ".gitignore")
    assert (folder / ".gitignore").read_bytes() == b"*.pyc\n/.env\n"
    await file.codes([])
    again = await file.client.command("qwen.env.ignore", file=file.uri)
    assert "already" in again["message"]
    assert IGNORE not in await file.actions(0)


async def test_ignoring_what_cannot_be_ignored(scene: Scene) -> None:
    """A tracked file, and one in no work tree, are refused with what to do."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", f"OPENAI_API_KEY={KEY}\n")
    with pytest.raises(RpcError, match="no git work tree"):
        await file.client.command("qwen.env.ignore", file=file.uri)
    git(folder, "init", "-q")
    git(folder, "add", ".env")
    with pytest.raises(RpcError, match="git rm --cached"):
        await file.client.command("qwen.env.ignore", file=file.uri)
    assert not (folder / ".gitignore").exists()


async def test_open_the_file_that_wins(scene: Scene) -> None:
    """The client is asked to show it; one that is not there is not made."""
    folder = scene.folder()
    winner = folder / ".qwen" / ".env"
    put(winner, "DEBUG=1\n")
    file = await opened(scene, folder / ".env", "OPENAI_MODEL=m\n")
    result = await file.run(OPEN, 0)
    assert (result["file"], result["created"], result["opened"]) == (str(winner), False, True)
    (shown,) = [m["params"] for m in file.client.asked if m["method"] == "window/showDocument"]
    assert shown == {"uri": uri(winner), "external": False, "takeFocus": True}
    with pytest.raises(RpcError, match="no such file"):
        await file.client.command("qwen.env.open", file=uri(folder / "sub" / ".env"))


# --- all of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "moveToKeyring", "move", "ignore", "open"])
@pytest.mark.parametrize("file", ["file:///etc/passwd", "untitled:.env", "", "file:///x/.env.local"])
async def test_only_env_files_are_named(scene: Scene, command: str, file: str) -> None:
    """Any other file is no argument."""
    client = await scene.start()
    with pytest.raises(RpcError) as refused:
        await client.command(f"qwen.env.{command}", file=file, variable="OPENAI_API_KEY")
    assert refused.value.code == INVALID_PARAMS
    assert "$.arguments[0].file" in refused.value.message


@pytest.mark.parametrize("command", ["check", "moveToKeyring"])
async def test_a_key_is_named(scene: Scene, command: str) -> None:
    """A file alone does not say which key is meant."""
    client = await scene.start()
    with pytest.raises(RpcError, match="variable: required"):
        await client.command(f"qwen.env.{command}", file=uri(scene.root / ".env"))


async def test_kinds_that_a_client_asks_for(scene: Scene) -> None:
    """They are quick fixes, and no refactorings."""
    file = await opened(scene, scene.folder() / ".env", "DEBUG=1\n")
    assert await file.actions(0, only=["refactor"]) == {}
    assert set(await file.actions(0, only=["quickfix"])) == {MOVE}


async def test_no_key_comes_out_of_what_is_done(scene: Scene) -> None:
    """Everything is done once: no frame, log or file but the ones meant for it has the key."""
    folder = scene.folder()
    git(folder, "init", "-q")
    file = await opened(scene, folder / ".env", f"DEBUG=1\n{pair(scene)}")
    take_edits(file)
    for title in (CHECK, IGNORE, MOVE):
        await file.run(title, 3)
    file.save()
    moved = open_file(file.client, folder / ".qwen" / ".env")
    take_edits(moved)
    assert (await moved.run(TO_FOLDER, 1))["done"]
    moved.save()
    await file.client.end()
    places = {"stdout": bytes(file.client.stdout), "stderr": bytes(file.client.stderr)}
    places |= dict(files_below(scene.root, but=("keys.json",)))
    assert sweep(places, {KEY: "the key"}) == []
    assert KEY in plain_keys(scene).read_text()
