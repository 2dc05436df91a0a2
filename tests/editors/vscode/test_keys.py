"""API keys typed into the masked input: into a real keyring, or SecretStorage where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary import canary
from e2e.keyring_session import keyring_environment
from editors.vscode.asking import streams
from sweep import files_below, sweep

if TYPE_CHECKING:
    from editors.vscode.windows import Windows
    from editors.vscode.workbench import Workbench
    from scene import Scene

TITLE = "API key for this workspace"
OTHER = "Another OpenAI-compatible server"
MODEL = "model-of-the-key"


async def set_key(window: Workbench, scene: Scene, key: str, *, folder: str | None = None) -> None:
    """Set a key for a folder from the palette, each question answered as it comes."""
    await window.command("Qwen: Set API Key for This Workspace…")
    if folder is not None:
        await window.pick(TITLE, folder)
    await window.pick(TITLE, OTHER)
    await window.type("Base URL", f"{scene.provider.base_url}/v1")
    await window.type("Model to ask for", MODEL)
    await window.type_secret("The key for", key)
    await window.notification(f"…{key[-4:]}").wait_for()


async def test_each_folder_sends_its_own_key(scene: Scene, windows: Windows) -> None:
    """Two keys in a real keyring, one for each folder; nothing that VS Code writes holds either of them.

    The same goes for the key of an `.env` file that is open, and for the proxy's password.
    """
    keys = [canary(f"VS Code: {name}") for name in ("the key of one", "of two", "of a file", "of a proxy")]
    scene.provider.configure(keys=keys, reply="Signed.")
    folders = [scene.folder("one"), scene.folder("two")]
    for folder in folders:
        (folder / f"{folder.name}.txt").write_text("text\n")
    proxy = f"http://somebody:{keys[3]}@127.0.0.1:9"  # loopback is never proxied
    settings = {"qwenLs.trace.server": "verbose", "qwenLs.proxy": proxy}
    with keyring_environment("unlocked") as variables:
        scene.env |= variables
        window = await windows.open(windows.workspace(*folders), settings=settings)
        await window.status_item("signed out").wait_for()
        await window.log_everything()
        await window.command("Qwen: Restart Server")  # so that its start is traced too
        for key, folder in zip(keys, folders, strict=False):
            await set_key(window, scene, key, folder=folder.name)
        (folders[0] / ".env").write_text(f"OPENAI_API_KEY={keys[2]}\n")
        await window.open_file(folders[0] / ".env")
        await window.open_chat()
        for folder in folders:
            await window.open_file(folder / f"{folder.name}.txt")
            await window.chat.send(f"I am in {folder.name}")
            await window.chat.answered("Signed.")
        await window.screenshot("two-folders")
        await windows.close()
    asked = [(e["json"]["messages"][-1]["content"], e["authorization"]) for e in streams(scene)]
    wanted = [(f"I am in {f.name}", f"Bearer {k}") for k, f in zip(keys, folders, strict=False)]
    assert asked == wanted
    found = files_below(scene.root, but=(".env", "settings.json"))
    places = {place: text for place, text in found if "User/History" not in place}  # copies of the settings
    assert any(b"didOpen" in text for place, text in places.items() if "logs" in place)
    assert any(b"qwen.keys.set" in text for place, text in places.items() if "logs" in place)  # it was traced
    assert sweep(places, dict.fromkeys(keys, "a key")) == []


async def test_without_a_keyring_the_editor_keeps_the_key(scene: Scene, windows: Windows) -> None:
    """With no D-Bus it lies in SecretStorage, and is there again when the window has been reloaded."""
    key = canary("VS Code: no keyring")
    scene.provider.configure(keys=[key], reply="Signed.")
    with keyring_environment("none") as variables:
        scene.env |= variables
        window = await windows.open(scene.folder())
        await set_key(window, scene, key)
        before = windows.language_servers()
        await window.reload()
        await window.status_item("API key").wait_for()
        assert set(windows.language_servers()).isdisjoint(before)
        await window.open_chat()
        await window.chat.send("Still me?")
        await window.chat.answered("Signed.")
        assert [e["authorization"] for e in streams(scene)] == [f"Bearer {key}"]
        await windows.close()
    assert sweep(dict(files_below(scene.home)), {key: "the key"}) == []


async def test_a_kept_key_is_there_before_the_first_message(scene: Scene, windows: Windows) -> None:
    """A message that waits for the server to start is signed by the key that VS Code keeps."""
    key = canary("VS Code: kept, and used at once")
    scene.provider.configure(keys=[key], reply="Signed.")
    wait = scene.root / "wait"
    windows.before_server(f"while [ -e {wait} ]; do sleep 0.1; done")
    with keyring_environment("none") as variables:
        scene.env |= variables
        window = await windows.open(scene.folder())
        await set_key(window, scene, key)
        wait.touch()
        await window.reload()
        await window.status_item("starting").wait_for()
        await window.open_chat()
        await window.chat.send("Who am I?")
        wait.unlink()
        await window.chat.answered("Signed.")
    assert [e["authorization"] for e in streams(scene)] == [f"Bearer {key}"]


async def test_signing_out_forgets_one_key(scene: Scene, windows: Windows) -> None:
    """Of the keys that the editor keeps, the chosen folder's alone: the other one signs after a reload."""
    keys = [canary(f"VS Code: signing out, {name}") for name in ("of one", "of two")]
    scene.provider.configure(keys=keys, reply="Signed.")
    folders = [scene.folder("one"), scene.folder("two")]
    for folder in folders:
        (folder / f"{folder.name}.txt").write_text("text\n")
    with keyring_environment("none") as variables:
        scene.env |= variables
        window = await windows.open(windows.workspace(*folders))
        for key, folder in zip(keys, folders, strict=True):
            await set_key(window, scene, key, folder=folder.name)
        await window.command("Qwen: Sign Out")
        await window.pick("Sign out", "one")
        forget = f"Forget the key …{keys[0][-4:]}"
        await window.pick("Sign out", forget)
        await window.notification("Forgot the").wait_for()
        await window.reload()
        await window.open_file(folders[0] / "one.txt")
        await window.status_item("signed out").wait_for()
        await window.open_file(folders[1] / "two.txt")
        await window.status_item("API key").wait_for()
        await window.open_chat()
        await window.chat.send("I am in two")
        await window.chat.answered("Signed.")
    assert [entry["authorization"] for entry in streams(scene)] == [f"Bearer {keys[1]}"]
