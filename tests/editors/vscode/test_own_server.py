"""Where there is no qwen-ls, the extension makes an environment from the server that is packed in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from canary import canary
from editors.vscode.asking import streams
from editors.vscode.code_server import STORE
from editors.vscode.windows import arguments_of

if TYPE_CHECKING:
    from editors.vscode.windows import Windows
    from scene import Scene

WHEELHOUSE = STORE / "wheelhouse"  # `make e2e` has fetched it: pip asks no index here
MAKING = 180_000  # milliseconds; on an idle machine it takes 10 s


def only(scene: Scene, *pythons: str) -> None:
    """Give VS Code's shell a PATH on which nothing stands but a few of the system's tools and this Python."""
    folder, home = scene.root / "bin", scene.root / "bare"
    folder.mkdir()
    home.mkdir()
    for python in pythons:
        (folder / "python3").symlink_to(Path(python).resolve())  # that of no virtual environment
    for name in ("sh", "bash", "env", "uname", "cat", "sed", "printf", "ldd", "find"):
        tools = [place / name for place in (Path("/usr/bin"), Path("/bin")) if (place / name).exists()]
        for tool in tools[:1]:
            (folder / name).symlink_to(tool)
    (home / ".profile").write_text(f"PATH={folder}\n")
    scene.env |= {"HOME": str(home), "PATH": str(folder)}


async def test_the_packed_server_is_set_up(scene: Scene, windows: Windows) -> None:
    """The progress is shown, the server answers, the next window finds it; without Python it is made anew."""
    key = canary("VS Code: the packed server")
    scene.provider.configure(keys=[key], reply="Signed.")
    only(scene, sys.executable)
    scene.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELHOUSE), "PYTHONPATH": ""}
    window = await windows.open(scene.folder("ws", scene.pair(key)))
    await window.page.get_by_text("setting up the server").first.wait_for()
    await window.screenshot("setting-up")
    await window.status_item("API key").wait_for(timeout=MAKING)
    (pid,) = windows.language_servers()
    program = arguments_of(pid)[1]
    assert "globalStorage/qwen-ls.qwen-ls/server-" in program
    await window.command("Qwen: Open Chat")
    await window.chat.send("Who answers?")
    await window.chat.answered("Signed.")
    assert [entry["authorization"] for entry in streams(scene)] == [f"Bearer {key}"]
    await window.reload()
    await window.status_item("API key").wait_for()
    (again,) = windows.language_servers()
    assert arguments_of(again)[1] == program
    for python in Path(program).parent.glob("python*"):
        python.unlink()
    await window.reload()
    await window.page.get_by_text("setting up the server").first.wait_for()
    await window.status_item("API key").wait_for(timeout=MAKING)
    (other,) = windows.language_servers()
    assert arguments_of(other)[1] != program


async def test_without_python_the_user_reads_what_to_install(scene: Scene, windows: Windows) -> None:
    """One line with the cause and the remedy; the status bar offers to try again."""
    only(scene)
    window = await windows.open(scene.folder())
    await window.page.get_by_text("There is no Python on PATH. Install Python 3.10 or later").first.wait_for()
    await window.status_item("no server").wait_for()
    await window.screenshot("no-python")


async def test_a_server_that_hangs_is_started_anew(scene: Scene, windows: Windows) -> None:
    """One that answers nothing at its start does not keep Restart Server waiting, and is ended."""
    key = canary("VS Code: a server that hangs")
    scene.provider.configure(keys=[key], reply="Signed.")
    hang = scene.root / "hang"
    hang.touch()
    windows.before_server(f"[ -e {hang} ] && exec sleep 987")
    window = await windows.open(scene.folder("ws", scene.pair(key)))
    while not windows.hanging("987"):
        await window.status_item("starting").wait_for()
    hang.unlink()
    await window.command("Qwen: Restart Server")
    await window.status_item("API key").wait_for()
    assert windows.hanging("987") == []


async def test_a_set_up_that_is_cancelled(scene: Scene, windows: Windows) -> None:
    """Every command says so from then on, and how to go on."""
    only(scene, sys.executable)
    scene.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELHOUSE), "PYTHONPATH": ""}
    window = await windows.open(scene.folder())
    await window.answer("setting up the server", "Cancel")
    await window.status_item("no server").wait_for()
    await window.clear_notifications()
    await window.command("Qwen: Sign In")
    await window.notification("was cancelled. Run “Qwen: Restart Server” to go on").wait_for()
