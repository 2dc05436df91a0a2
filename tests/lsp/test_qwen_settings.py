"""The settings of Qwen Code as the last place a key may come from: over stdio, read and never written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from canary import canary
from scene import QWEN, chat
from wire import RpcError, uri

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene
    from wire import Client

KEY, OTHER = canary("test_qwen_settings: key"), canary("test_qwen_settings: another key")


def write(folder: Path, text: str) -> Path:
    """Write the settings into Qwen Code's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "settings.json"
    file.write_text(text, encoding="utf-8")
    return file


def settings(scene: Scene, key: str = KEY, model: str = "model-of-settings", **more: Any) -> str:
    """Settings with a plain key that leads to the provider."""
    auth = {"apiKey": key, "baseUrl": f"{scene.provider.base_url}/v1"}
    return json.dumps({"security": {"auth": auth}, "model": {"name": model}, **more})


def signed_by(scene: Scene) -> list[tuple[str, str]]:
    """Key and model of each chat request."""
    return [(e["authorization"].removeprefix("Bearer "), e["json"]["model"]) for e in scene.requests("chat")]


async def rung_of(client: Client, place: str) -> Any:
    """The rung of a place in `explain`."""
    explained = await client.command("qwen.auth.explain")
    (rung,) = (r for r in explained["rungs"] if r["place"] == place)
    assert place in explained["markdown"]
    return rung


async def test_a_key_of_qwen_codes_settings_signs(scene: Scene) -> None:
    """With comments, a trailing comma and variables; the file stays as it was, to the byte and the time."""
    scene.provider.configure(keys=[KEY])
    text = """{
      // what Qwen Code's own dialog wrote
      "security": {"auth": {"apiKey": "${CORP_KEY}", "baseUrl": "$CORP_URL/v1"}}, /* and
      more */ "model": {"name": "model-$UNKNOWN"},
    }"""
    file = write(scene.home / ".qwen", text)
    before = file.stat().st_mtime_ns
    client = await scene.start(scene.folder(), env={"CORP_KEY": KEY, "CORP_URL": scene.provider.base_url})
    await chat(client)
    assert signed_by(scene) == [(KEY, "model-$UNKNOWN")]
    status = await client.command("qwen.auth.status")
    assert status["source"] == {"kind": "settings", "file": str(file), "variable": "security.auth.apiKey"}
    assert (file.read_text(), file.stat().st_mtime_ns) == (text, before)
    assert [p.name for p in file.parent.iterdir()] == ["settings.json"]


async def test_a_provider_entry_signs(scene: Scene) -> None:
    """The entry of the chosen model, with its key in the file's `env`, comes before the plain key."""
    scene.provider.configure(keys=[KEY])
    entry = {"id": "model-of-entry", "envKey": "CORP_KEY", "baseUrl": f"{scene.provider.base_url}/v1"}
    more = {"modelProviders": {"openai": [entry]}, "env": {"CORP_KEY": KEY}}
    write(scene.home / ".qwen", settings(scene, OTHER, "model-of-entry", **more))
    client = await scene.start(scene.folder())
    await chat(client)
    assert signed_by(scene) == [(KEY, "model-of-entry")]
    status = await client.command("qwen.auth.status")
    assert status["source"]["variable"] == "modelProviders.openai, CORP_KEY"


async def test_it_is_the_last_place_for_a_key(scene: Scene) -> None:
    """A `.env` file and a choice of another method come before it; `explain` says to whom it lost."""
    scene.provider.configure(keys=[KEY, OTHER])
    file = write(scene.home / ".qwen", settings(scene))
    folder = scene.folder(env_file=scene.pair(OTHER))
    client = await scene.start(folder)
    await chat(client)
    assert signed_by(scene) == [(OTHER, "model-of-the-file")]
    rung = await rung_of(client, str(file))
    assert (rung["outcome"], rung["why"]) == (
        "outranked",
        f"OPENAI_API_KEY at {folder / '.env'}:1 comes first",
    )
    assert KEY not in json.dumps(rung)
    (folder / ".env").unlink()
    await chat(client)
    assert signed_by(scene)[-1] == (KEY, "model-of-settings")
    await client.command("qwen.auth.switch", method=QWEN)
    with pytest.raises(RpcError) as refused:
        await chat(client)
    assert refused.value.kind == "signed-out"
    assert (await rung_of(client, str(file)))["outcome"] == "outranked"


async def test_a_sign_in_is_only_inferred_without_it(scene: Scene) -> None:
    """A key there, like any API key, comes before a cached sign-in that nobody has chosen."""
    scene.provider.configure(keys=[KEY])
    scene.write_cache()
    write(scene.home / ".qwen", settings(scene))
    client = await scene.start(scene.folder())
    status = await client.command("qwen.auth.status")
    assert (status["method"], status["chosenBy"]) == ("api-key", "inferred")


async def test_a_change_counts_with_the_next_message(scene: Scene) -> None:
    """Written, rewritten, broken, mended and removed while the server runs."""
    scene.provider.configure(keys=[KEY, OTHER])
    client = await scene.start(scene.folder())
    file = write(scene.home / ".qwen", settings(scene))
    await chat(client)
    write(file.parent, settings(scene, OTHER, "another-model"))
    await chat(client)
    assert signed_by(scene) == [(KEY, "model-of-settings"), (OTHER, "another-model")]
    file.unlink()
    assert (await client.command("qwen.auth.status"))["signedIn"] is False


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ('{"security": {"auth": {"apiKey": "x"', "the file is not JSON"),
        ("[]", "the file holds no JSON object"),
        ("{" + " " * 1024 * 1024 + "}", "the file is larger than 1 MiB"),
        (None, "the file cannot be read: it is not a regular file"),
    ],
)
async def test_a_broken_file_is_told_and_harms_nothing(scene: Scene, text: str | None, clause: str) -> None:
    """Named in `explain` with its reason; a key elsewhere signs; without one the error names it."""
    scene.provider.configure(keys=[KEY])
    file = scene.home / ".qwen" / "settings.json"
    if text is None:
        file.mkdir(parents=True)
    else:
        write(file.parent, text)
    keyed, empty = scene.folder("keyed", scene.pair(KEY)), scene.folder("empty")
    client = await scene.start(keyed, empty)
    await chat(client, uri=uri(keyed))
    explained = await client.command("qwen.auth.explain", uri=uri(keyed))
    (rung,) = (r for r in explained["rungs"] if r["place"] == str(file))
    assert (rung["outcome"], rung["why"]) == ("unusable", clause)
    with pytest.raises(RpcError) as refused:
        await chat(client, uri=uri(empty))
    assert refused.value.kind == "signed-out"
    assert f"{file} cannot be used: {clause}" in refused.value.message


async def test_qwen_home_names_the_folder(scene: Scene) -> None:
    """The file in `$QWEN_HOME` counts, and the one in `~/.qwen` does not."""
    scene.provider.configure(keys=[KEY, OTHER])
    write(scene.home / ".qwen", settings(scene, OTHER, "of-home"))
    file = write(scene.root / "elsewhere", settings(scene))
    client = await scene.start(scene.folder(), env={"QWEN_HOME": str(file.parent)})
    await chat(client)
    assert signed_by(scene) == [(KEY, "model-of-settings")]


async def test_a_projects_settings_are_not_read(scene: Scene) -> None:
    """A `.qwen/settings.json` in a workspace is a stranger's word."""
    folder = scene.folder()
    write(folder / ".qwen", settings(scene))
    client = await scene.start(folder)
    assert (await client.command("qwen.auth.status"))["signedIn"] is False


async def test_a_project_moves_no_key_of_the_settings(scene: Scene) -> None:
    """A base URL in a project's `.env` does not apply to a key from there."""
    scene.provider.configure(keys=[KEY])
    write(scene.home / ".qwen", settings(scene))
    folder = scene.folder(env_file="OPENAI_BASE_URL=https://thief.example/v1\nOPENAI_MODEL=theirs\n")
    client = await scene.start(folder)
    await chat(client)
    assert signed_by(scene) == [(KEY, "model-of-settings")]


@pytest.mark.parametrize(
    "base_url",
    ["http://models.example/v1", "https://u:p@models.example/v1", "http://169.254.169.254/v1", "nonsense"],
)
async def test_a_bad_base_url_is_refused(scene: Scene, base_url: str) -> None:
    """The rules for base URLs hold for Qwen Code's settings too; a password in one is not shown."""
    write(scene.home / ".qwen", json.dumps({"security": {"auth": {"apiKey": KEY, "baseUrl": base_url}}}))
    client = await scene.start(scene.folder())
    with pytest.raises(RpcError) as refused:
        await chat(client)
    assert refused.value.kind == "untrusted-origin"
    assert "u:p" not in client.stdout.decode()
