"""`qwen.env.open`: a private `.qwen/.env` from a template, kept out of git, opened in the editor."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from scene import chat
from wire import NEVER, RpcError, environment, uri

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene
    from wire import Client

OPEN, SHOW = "qwen.env.open", "window/showDocument"
KEY = canary("test_env_open: key")


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def shown(client: Client) -> list[Any]:
    """The documents that the client was asked to open."""
    return [message["params"] for message in client.asked if message["method"] == SHOW]


def work_tree(scene: Scene) -> Path:
    """A folder that is a git work tree."""
    folder = scene.folder()
    (folder / ".git").mkdir()
    return folder


async def test_a_file_is_made_and_opened(scene: Scene) -> None:
    """Private, with nothing set in it, and shown inside the editor."""
    folder = scene.folder()
    client = await scene.start(folder)
    result = await client.command(OPEN)
    file = folder / ".qwen" / ".env"
    message = f"{file} is new"
    assert result == {"file": str(file), "created": True, "ignored": True, "opened": True, "message": message}
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert shown(client) == [{"uri": uri(file), "external": False, "takeFocus": True}]
    lines = file.read_text().splitlines()
    assert "# OPENAI_API_KEY=" in lines
    assert [line for line in lines if line and not line.startswith("#")] == []
    assert [p.name for p in folder.iterdir()] == [".qwen"]  # no work tree, no .gitignore


async def test_what_is_filled_in_counts_at_once(scene: Scene) -> None:
    """The template's own lines, without their mark, are a key that signs the next message."""
    scene.provider.configure(keys=[KEY])
    client = await scene.start(scene.folder())
    with pytest.raises(RpcError) as signed_out:
        await chat(client)
    assert signed_out.value.kind == "signed-out"
    await client.command(OPEN)
    file = scene.root / "ws" / ".qwen" / ".env"
    text = file.read_text()
    for name, value in (("OPENAI_API_KEY=", KEY), ("OPENAI_MODEL=", "the-model")):
        assert f"# {name}" in text
        text = text.replace(f"# {name}", f"{name}{value}")
    default = "# OPENAI_BASE_URL=https://api.openai.com/v1"
    assert default in text
    text = text.replace(default, f"OPENAI_BASE_URL={scene.provider.base_url}/v1")
    file.write_text(text)
    await chat(client)
    (entry,) = scene.requests("chat")
    assert (entry["authorization"], entry["json"]["model"]) == (f"Bearer {KEY}", "the-model")
    status = await client.command("qwen.auth.status")
    assert status["problems"] == []


async def test_an_existing_file_stays_as_it_is(scene: Scene) -> None:
    """It is opened, and neither its bytes nor its mode change."""
    folder = scene.folder()
    file = folder / ".qwen" / ".env"
    file.parent.mkdir()
    file.write_bytes(b"OPENAI_API_KEY=x\r\n")
    file.chmod(0o640)
    client = await scene.start(folder)
    result = await client.command(OPEN)
    assert (result["created"], result["opened"]) == (False, True)
    assert result["message"] == f"{file} was there already"
    assert (file.read_bytes(), mode(file)) == (b"OPENAI_API_KEY=x\r\n", 0o640)


async def test_git_is_told_once(scene: Scene) -> None:
    """In a work tree one line is added to `.gitignore`, however often the file is opened."""
    folder = work_tree(scene)
    (folder / ".gitignore").write_bytes(b"*.pyc\n/build")
    client = await scene.start(folder)
    for _ in range(3):
        assert (await client.command(OPEN))["ignored"] is True
    assert (folder / ".gitignore").read_bytes() == b"*.pyc\n/build\n/.qwen/.env\n"


@pytest.mark.parametrize("rule", [".env", "/.qwen/", ".qwen", "**/.env", "  /.qwen/.env  "])
async def test_a_rule_that_covers_it_is_enough(scene: Scene, rule: str) -> None:
    """`.gitignore` stays as it is where it names the file already."""
    folder = work_tree(scene)
    (folder / ".gitignore").write_text(f"*.pyc\n{rule}\n")
    client = await scene.start(folder)
    assert (await client.command(OPEN))["ignored"] is True
    assert (folder / ".gitignore").read_text() == f"*.pyc\n{rule}\n"


async def test_a_folder_inside_a_work_tree(scene: Scene) -> None:
    """The rule stands beside the folder's own file, whatever lies above."""
    root = work_tree(scene)
    folder = root / "packages" / "one"
    folder.mkdir(parents=True)
    client = await scene.start(folder)
    assert (await client.command(OPEN))["ignored"] is True
    assert (folder / ".gitignore").read_text() == "/.qwen/.env\n"
    assert not (root / ".gitignore").exists()


async def test_git_itself_agrees(scene: Scene) -> None:
    """In a real repository the file does not show up as untracked, and `git check-ignore` names our rule."""
    folder = scene.folder()
    environment = {"HOME": str(scene.home), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        return done.stdout.decode()

    git("init", "--quiet")
    client = await scene.start(folder)
    await client.command(OPEN)
    assert git("status", "--porcelain", "--untracked-files=all") == "?? .gitignore\n"
    assert git("check-ignore", "-v", ".qwen/.env") == ".gitignore:1:/.qwen/.env\t.qwen/.env\n"


async def test_without_a_folder_it_is_the_homes(scene: Scene) -> None:
    """The file that the home would be searched for; git is none of its business."""
    (scene.home / ".git").mkdir(parents=True)  # people do keep their home in git
    client = await scene.start()
    result = await client.command(OPEN)
    file = scene.home / ".qwen" / ".env"
    assert (result["file"], result["created"], result["ignored"]) == (str(file), True, True)
    assert mode(file) == 0o600
    assert [p.name for p in file.parent.iterdir()] == [".env"]
    assert not (scene.home / ".gitignore").exists()


async def test_qwen_home_is_the_home(scene: Scene) -> None:
    """`$QWEN_HOME` holds the file itself, with no `.qwen` below it."""
    elsewhere = scene.root / "elsewhere"
    client = await scene.start(env={"QWEN_HOME": str(elsewhere)})
    assert (await client.command(OPEN))["file"] == str(elsewhere / ".env")
    assert mode(elsewhere / ".env") == 0o600


async def test_each_folder_has_its_own(scene: Scene) -> None:
    """`uri` says which."""
    first, second = scene.folder("first"), scene.folder("second")
    client = await scene.start(first, second)
    assert (await client.command(OPEN, uri=uri(second)))["file"] == str(second / ".qwen" / ".env")
    assert not (first / ".qwen").exists()


async def test_a_client_that_opens_no_documents(scene: Scene) -> None:
    """The file is made all the same, and the message says to open it."""
    client = await scene.start(scene.folder())
    client.on(SHOW, lambda _: {"success": False})
    result = await client.command(OPEN)
    assert (result["created"], result["opened"]) == (True, False)
    assert result["message"].endswith("open it in the editor yourself")


async def test_a_place_that_takes_no_file(scene: Scene) -> None:
    """A `.qwen` that is a file: one line that names it, and nothing is changed."""
    folder = scene.folder()
    (folder / ".qwen").write_text("mine")
    client = await scene.start(folder)
    with pytest.raises(RpcError) as refused:
        await client.command(OPEN)
    assert refused.value.kind == "env-unreadable"
    assert str(folder / ".qwen") in refused.value.message
    assert (folder / ".qwen").read_text() == "mine"


async def test_a_link_leads_nowhere_else(scene: Scene) -> None:
    """A dangling link in place of the file is not followed: nothing is made where it points to."""
    folder = scene.folder()
    target = scene.root / "elsewhere"
    (folder / ".qwen").mkdir()
    (folder / ".qwen" / ".env").symlink_to(target)
    client = await scene.start(folder)
    assert (await client.command(OPEN))["created"] is False
    assert not target.exists()


async def test_a_linked_folder_is_refused(scene: Scene) -> None:
    """A repository's `.qwen` that is a link: nothing is made in the folder it leads to."""
    folder = scene.folder()
    target = scene.root / "somebody"
    target.mkdir()
    (folder / ".qwen").symlink_to(target)
    client = await scene.start(folder)
    with pytest.raises(RpcError) as refused:
        await client.command(OPEN)
    assert refused.value.kind == "env-unreadable"
    assert "it is a link" in refused.value.message
    assert list(target.iterdir()) == []


async def test_the_file_that_it_comes_before_is_named(scene: Scene) -> None:
    """A new `.qwen/.env` beside a `.env` ends the search earlier, and that is said."""
    folder = scene.folder("ws", "OPENAI_API_KEY=x\n")
    client = await scene.start(folder)
    message = (await client.command(OPEN))["message"]
    assert f"it now comes before {folder}/.env, which is no longer read" in message
    assert "comes before" not in (await client.command(OPEN))["message"]


async def test_a_linked_gitignore_is_left_alone(scene: Scene) -> None:
    """A repository's `.gitignore` that is a link to a file of the user's: nothing is written there."""
    folder = work_tree(scene)
    target = scene.root / "mine"
    target.write_text("precious\n")
    (folder / ".gitignore").symlink_to(target)
    client = await scene.start(folder)
    result = await client.command(OPEN)
    assert (result["created"], result["ignored"]) == (True, False)
    assert "add it to .gitignore" in result["message"]
    assert target.read_text() == "precious\n"


async def test_a_key_set_in_a_terminal_counts_in_a_running_server(scene: Scene) -> None:
    """The other way for clients that hand over no key: the next message is signed with it."""
    scene.provider.configure(keys=[KEY])
    scene.settings(allowPlaintextKeys=True)
    folder = scene.folder()
    client = await scene.start(folder)
    assert (await client.command("qwen.auth.status"))["signedIn"] is False
    command = ["keys", "set", "--folder", ".", "--base-url", f"{scene.provider.base_url}/v1", "--model", "m"]
    terminal = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "qwen_ls", *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(scene.home),
        cwd=folder,
    )
    out, _ = await terminal.communicate(KEY.encode())
    assert b"is stored for this workspace folder" in out
    await chat(client)
    assert scene.requests("chat")[-1]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(("command", "more"), [(OPEN, {}), ("qwen.chat.new", {"document": True})])
async def test_a_client_that_never_says_it_has_opened_a_file(
    scene: Scene, command: str, more: dict[str, Any]
) -> None:
    """As Kate: the command is answered within 2 s, and the user is told where the file is."""
    client = await scene.start(scene.folder())
    await client.command("qwen.auth.status")  # the server is warm
    client.on(SHOW, lambda _: NEVER)
    result = await asyncio.wait_for(client.command(command, **more), 2.0)
    assert result["opened"] is False
    said = await client.notified("window/showMessage", lambda p: p["message"] == result["message"])
    assert result["file"] in said["message"]
