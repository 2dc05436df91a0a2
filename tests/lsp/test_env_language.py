"""`.env` files as a language, on real file trees over real stdio: findings, hover, completion.

docs/reference/env-diagnostics.md names, for each finding, the test here that shows it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from canary import canary
from lsp.env_editor import PUBLISHED, TAKES_EDITS, OpenFile, open_file
from qwen_ls.core.envfix import TITLES
from scene import QWEN
from sweep import files_below, sweep
from wire import uri

if TYPE_CHECKING:
    from pathlib import Path

    from scene import Scene

KEY, OWN = f"sk-{canary('test_env_language: file')}", canary("test_env_language: process")
LINE = f"OPENAI_API_KEY={KEY}\n"
URL = "https://llm.example/v1"


async def opened(
    scene: Scene, file: Path, text: str, *folders: Path, env: dict[str, str] | None = None, mode: int = 0o600
) -> OpenFile:
    """A server with these folders, and a file of this text that is open in it."""
    put(file, text, mode)
    client = await scene.start(*folders, env=env, capabilities=TAKES_EDITS)
    return open_file(client, file)


def put(file: Path, text: str, mode: int = 0o600) -> None:
    """A file on the disk."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)


def git(folder: Path, *arguments: str) -> None:
    """Run git for a test, with nothing of this machine's configuration."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=folder, env=env, check=True, capture_output=True)


# --- one test for each finding ----------------------------------------------------------------------


async def test_shadowed(scene: Scene) -> None:
    """A file that another one comes before says which; its lines are faded."""
    folder = scene.folder()
    winner = folder / ".qwen" / ".env"
    winner.parent.mkdir()
    winner.write_text("OPENAI_MODEL=m\n")
    file = await opened(scene, folder / ".env", f"# mine\n{LINE}  OPENAI_MODEL=n  \n", folder)
    first, second = await file.codes(["env.shadowed", "env.shadowed"])
    assert f"{winner} comes first" in first["message"]
    assert (first["severity"], first["source"], first["tags"]) == (2, "qwen-ls", [1])
    assert second["range"] == {"start": {"line": 2, "character": 2}, "end": {"line": 2, "character": 16}}


async def test_elsewhere(scene: Scene) -> None:
    """A file that no open folder's search comes by is only hinted at."""
    folder = scene.folder()
    file = await opened(scene, folder / "sub" / ".env", LINE, folder)
    (found,) = await file.codes(["env.elsewhere"])
    assert found["severity"] == 4
    assert str(folder) in found["message"]


async def test_unreadable(scene: Scene) -> None:
    """A file that ends the search says why."""
    folder = scene.folder()
    (folder / ".env").write_bytes("OPENAI_MODEL=m\n".encode("utf-16"))
    client = await scene.start(folder)
    file = open_file(client, folder / ".env", "OPENAI_MODEL=m\n")
    (found,) = await file.codes(["env.unreadable"])
    assert "not UTF-8" in found["message"]
    file.change("A" * 70_000)
    (found,) = await file.findings(lambda d: d and "64 KiB" in d[0]["message"])
    assert found["severity"] == 1


async def test_foreign(scene: Scene) -> None:
    """A project file that belongs to another user is passed over."""
    folder, site = scene.folder(), scene.folder("site")
    patch = f"""
import os
real = os.lstat
def lstat(path, **more):
    found = list(real(path, **more))
    if os.fspath(path) == {str(folder / ".env")!r}:
        found[4] = 7  # a file system on which the file is another's
    return os.stat_result(found) if found[4] == 7 else real(path, **more)
os.lstat = lstat
"""
    (site / "sitecustomize.py").write_text(patch)
    path = f"{site}:{next(p for p in sys.path if p.endswith('server'))}"
    file = await opened(scene, folder / ".env", LINE, folder, env={"PYTHONPATH": path})
    (found,) = await file.codes(["env.foreign"])
    assert "uid 7" in found["message"]


async def test_excluded(scene: Scene) -> None:
    """DEBUG in a project's plain file, with the place where it would count; the user's own list counts."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", "DEBUG=1\n", folder)
    (found,) = await file.codes(["env.excluded"])
    assert "put it into .qwen/.env" in found["message"]
    scene.settings(excludedEnvVars=["OPENAI_MODEL"])
    other = await opened(scene, folder / ".env", "DEBUG=1\nOPENAI_MODEL=m\n", folder)
    (found,) = await other.codes(["env.excluded"])
    assert found["range"]["start"]["line"] == 1


async def test_process_wins(scene: Scene) -> None:
    """A variable of the process is named, never shown."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", LINE, folder, env={"OPENAI_API_KEY": OWN})
    (found,) = await file.codes(["env.process-wins"])
    assert "the environment variable of that name is set" in found["message"]


async def test_outranked(scene: Scene) -> None:
    """A key that is not used because another method was chosen: it comes and goes with the choice."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", LINE, folder)
    await file.client.command("qwen.auth.switch", method=QWEN)
    (found,) = await file.codes(["env.outranked"])
    assert "qwen-oauth is the method in force" in found["message"]
    await file.client.command("qwen.auth.switch", method="api-key")
    assert await file.codes([]) == []


async def test_unpaired(scene: Scene) -> None:
    """A base URL and a model beside a provider's own key have no part in it."""
    folder = scene.folder()
    text = f"DASHSCOPE_API_KEY={KEY}\nOPENAI_BASE_URL={URL}\nOPENAI_MODEL=m\n"
    file = await opened(scene, folder / ".env", text, folder)
    first, _ = await file.codes(["env.unpaired", "env.unpaired"])
    assert "the key in force is DASHSCOPE_API_KEY" in first["message"]


@pytest.mark.parametrize(
    "url", ["llm.example/v1", "ftp://llm.example/v1", "http://llm.example/v1", "https://"]
)
async def test_base_url(scene: Scene, url: str) -> None:
    """A base URL of an unknown scheme, or none, or http, is refused on its line."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", f"{LINE}OPENAI_BASE_URL={url}\n", folder)
    (found,) = await file.codes(["env.base-url"])
    assert (found["range"]["start"]["line"], found["severity"]) == (1, 1)


async def test_mixed_tiers(scene: Scene) -> None:
    """The user's own key and a project's URL: asked before, refused after a No, silent after a Yes."""
    folder = scene.folder()
    text = f"OPENAI_BASE_URL={URL}\n"
    file = await opened(scene, folder / ".env", text, folder, env={"OPENAI_API_KEY": OWN})
    (found,) = await file.codes(["env.mixed-tiers"])
    assert "you are asked" in found["message"]
    await file.client.command("qwen.trust.deny")
    (found,) = await file.findings(lambda d: d and "as you decided" in d[0]["message"])
    assert found["code"] == "env.mixed-tiers"
    await file.client.command("qwen.trust.allow")
    assert await file.codes([]) == []


async def test_untrusted(scene: Scene) -> None:
    """While the workspace is not trusted, its key is not used."""
    folder = scene.folder("ws", LINE)
    (folder / ".env").chmod(0o600)
    client = await scene.start(folder, options={"workspaceTrust": "untrusted"})
    file = open_file(client, folder / ".env")
    (found,) = await file.codes(["env.untrusted"])
    assert "not trusted" in found["message"]


async def test_wrong_endpoint(scene: Scene) -> None:
    """A key whose form tells another provider than the one it would go to."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", "OPENAI_API_KEY=sk-or-0123456789\n", folder)
    (found,) = await file.codes(["env.wrong-endpoint"])
    assert "a key of OpenRouter, but goes to OpenAI; set OPENAI_BASE_URL" in found["message"]


async def test_unsaved(scene: Scene) -> None:
    """A key that is gone in the editor but not on the disk, until the file is saved."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", LINE, folder)
    file.change("# gone\n")
    (found,) = await file.codes(["env.unsaved"])
    assert "OPENAI_API_KEY" in found["message"]
    file.save()
    assert await file.codes([]) == []


async def test_tracked(scene: Scene) -> None:
    """A committed file with a key in it; without one there is nothing to say."""
    folder = scene.folder("ws", LINE)
    git(folder, "init", "-q")
    git(folder, "add", "-f", ".env")
    file = await opened(scene, folder / ".env", LINE, folder)
    (found,) = await file.codes(["env.tracked"])
    assert (found["severity"], found["message"].count("git rm --cached")) == (1, 1)
    file.change("OTHER=1\n")
    file.save()
    assert await file.codes([]) == []


async def test_not_ignored(scene: Scene) -> None:
    """A work tree that would take the key along, until a rule covers it."""
    folder = scene.folder("ws", LINE)
    git(folder, "init", "-q")
    file = await opened(scene, folder / ".env", LINE, folder)
    await file.codes(["env.not-ignored"])
    (folder / ".gitignore").write_text("*.env\n")
    file.save()
    assert await file.codes([]) == []


async def test_permissions(scene: Scene) -> None:
    """A key that other users may read."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", LINE, folder, mode=0o644)
    (found,) = await file.codes(["env.permissions"])
    assert "mode 0644" in found["message"]
    (folder / ".env").chmod(0o600)
    file.client.notify("textDocument/didSave", file.document)
    assert await file.codes([]) == []


async def test_duplicate(scene: Scene) -> None:
    """The line that does not count says which one does."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", f"OPENAI_MODEL=m\n{LINE}OPENAI_MODEL=n\n", folder)
    (found,) = await file.codes(["env.duplicate"])
    assert found["message"] == "OPENAI_MODEL is set again on line 3, which counts instead"


async def test_bad_line(scene: Scene) -> None:
    """A line that is no assignment, and a quote that is not closed."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", f"what is this\n{LINE}OPENAI_MODEL='m\n", folder)
    found = await file.codes(["env.bad-line", "env.bad-line"])
    assert [d["range"]["start"]["line"] for d in found] == [0, 2]


async def test_reads_differently(scene: Scene) -> None:
    """A line of which Qwen Code would make something else."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", f"{LINE}OPENAI_MODEL=m#1\n", folder)
    (found,) = await file.codes(["env.reads-differently"])
    assert "Qwen Code reads the value of OPENAI_MODEL differently" in found["message"]


async def test_what_another_program_reads_is_left_to_it(scene: Scene) -> None:
    """Names that nobody here reads are not judged, and a file that nobody here reads gets the hint alone."""
    folder = scene.folder()
    others = "DB_PASS=abc#def\nFOO: bar\nFOO:bar\nA=1\nA=2\n"
    file = await opened(scene, folder / ".env", f"{others}OPENAI_MODEL=m#1\n{LINE}", folder)
    (found,) = await file.codes(["env.reads-differently"])
    assert found["range"]["start"]["line"] == 5
    assert (await file.client.command("qwen.auth.status"))["kind"] == "Warning"
    text = f"{others}what is this\nOPENAI_MODEL=m#1\nOPENAI_MODEL=n\n"
    put(folder / "sub" / ".env", text)
    (found,) = await open_file(file.client, folder / "sub" / ".env").codes(["env.elsewhere"])
    assert found["range"]["start"]["line"] == 7
    put(folder / ".env", f"{others}{LINE}")
    assert (await file.client.command("qwen.auth.status"))["kind"] == "Normal"


# --- how they come and go ---------------------------------------------------------------------------


async def test_findings_are_of_a_version_and_follow_the_typing(scene: Scene) -> None:
    """Each set says which text it is about; a closed document has none."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", "bad line\n", folder)
    await file.codes(["env.bad-line"])
    file.change(LINE)
    await file.codes([])
    file.change("DEBUG=1\n")
    await file.codes(["env.excluded"])
    told = [n["params"] for n in file.client.notifications if n["method"] == PUBLISHED]
    assert [p["version"] for p in told] == [1, 2, 3]
    file.close()
    assert (await file.findings(lambda found: not found)) == []


async def test_another_file_that_comes_or_goes_is_seen(scene: Scene) -> None:
    """Told by a watching client, or by the next file that is saved."""
    folder = scene.folder()
    file = await opened(scene, folder / ".env", LINE, folder)
    winner = folder / ".qwen" / ".env"
    winner.parent.mkdir()
    winner.write_text("")
    event = {"uri": uri(winner), "type": 1}
    file.client.notify("workspace/didChangeWatchedFiles", {"changes": [event]})
    await file.codes(["env.shadowed"])
    winner.unlink()
    file.client.notify("textDocument/didSave", file.document)
    assert await file.codes([]) == []


async def test_a_file_above_the_folder_and_one_at_home(scene: Scene) -> None:
    """Files that no folder holds are looked at from the folder that reads them."""
    folder = scene.folder("above/ws")
    file = await opened(scene, folder.parent / ".env", f"DEBUG=1\n{LINE}", folder)
    await file.codes(["env.excluded"])
    hover = await file.hover(1)
    assert hover is not None
    assert f"in force for `{folder}`" in hover
    home = open_file(file.client, folder.parent / ".env", "")
    home.close()
    at_home = scene.home / ".qwen" / ".env"
    at_home.parent.mkdir(parents=True, exist_ok=True)
    at_home.write_text(LINE)
    at_home.chmod(0o600)
    (found,) = await open_file(file.client, at_home).codes(["env.shadowed"])
    assert str(folder.parent / ".env") in found["message"]


async def test_only_files_named_env_are_ours(scene: Scene) -> None:
    """Other names, other schemes and other languages are left to others."""
    folder = scene.folder()
    (folder / ".env.local").write_text("bad line\n")
    client = await scene.start(folder)
    other = open_file(client, folder / ".env.local")
    item = {"uri": "untitled:.env", "languageId": "dotenv", "version": 1, "text": "bad line"}
    client.notify("textDocument/didOpen", {"textDocument": item})
    assert await other.hover(0) is None
    assert set(await other.actions(0)) & set(TITLES) == set()
    ours = folder / ".env"
    ours.write_text("bad line\n")
    await open_file(client, ours).codes(["env.bad-line"])
    assert {n["params"]["uri"] for n in client.notifications if n["method"] == PUBLISHED} == {uri(ours)}


# --- hover and completion -----------------------------------------------------------------------------


async def test_hover(scene: Scene) -> None:
    """Effective value with its provenance, the key by fingerprint; nothing on other lines."""
    folder = scene.folder()
    text = f"# mine\n{LINE}OPENAI_BASE_URL={URL}\nOTHER=1\n"
    file = await opened(scene, folder / ".env", text, folder)
    said = await file.hover(1, 3)
    assert said is not None
    shown = f"sk-…{KEY[-4:]}"
    assert f"- in force for `{folder}`: `{shown}`, from `OPENAI_API_KEY at {folder / '.env'}:2`" in said
    assert f"at `{URL}`, signed with `{shown}`" in said
    assert (await file.hover(0), await file.hover(3), await file.hover(99)) == (None, None, None)


async def test_hover_without_markdown(scene: Scene) -> None:
    """A client that shows plain text only is sent that."""
    folder = scene.folder("ws", LINE)
    capabilities = {"textDocument": {"hover": {"contentFormat": ["plaintext"]}}}
    client = await scene.start(folder, capabilities=capabilities)
    file = open_file(client, folder / ".env")
    params = {**file.document, "position": {"line": 0, "character": 0}}
    assert (await client.request("textDocument/hover", params))["contents"]["kind"] == "plaintext"


async def test_completion(scene: Scene) -> None:
    """Names with what they are for, base URLs and models of the catalogue; ranges in the client's units."""
    folder = scene.folder()
    text = 'OPEN\nOPENAI_BASE_URL="😀htt\n# OPEN\nOPENAI_API_KEY=\n'
    file = await opened(scene, folder / ".env", text, folder)
    names = await file.complete(0, 4)
    assert names[0]["label"] == "OPENAI_API_KEY"
    assert names[0]["textEdit"]["newText"] == "OPENAI_API_KEY="
    assert names[0]["documentation"].startswith("A key for OPENAI_BASE_URL")
    urls = await file.complete(1, 22)
    assert "https://dashscope-intl.aliyuncs.com/compatible-mode/v1" in [item["label"] for item in urls]
    start, end = urls[0]["textEdit"]["range"]["start"], urls[0]["textEdit"]["range"]["end"]
    assert (start["character"], end["character"]) == (17, 22)
    assert await file.complete(2, 6) == []
    assert await file.complete(3, 15) == []
    file.change("OPENAI_MODEL=\n")
    assert "qwen3-coder-plus" in [item["label"] for item in await file.complete(0, 13)]


async def test_completion_in_a_file_that_is_too_large(scene: Scene) -> None:
    """Names are offered, but nothing is said of what stands in it: as for hover, it is not read."""
    folder = scene.folder()
    for size, said in ((60, True), (70, False)):
        text = "OPENAI_MODEL=m\n\n" + f"# {'x' * 1022}\n" * size
        file = await opened(scene, folder / ".env", text, folder)
        (model,) = [item for item in await file.complete(1, 0) if item["label"] == "OPENAI_MODEL"]
        assert ("detail" in model) is said


async def test_a_long_file_is_looked_at_beside_the_rest(scene: Scene) -> None:
    """While a large file is read, the server answers."""
    folder = scene.folder()
    text = "".join(f"NAME_{n}='value {n}'\n" for n in range(2500)) + "bad line\n"
    file = await opened(scene, folder / ".env", text, folder)
    (found,) = await file.codes(["env.bad-line"])
    assert found["range"]["start"]["line"] == 2500


async def test_no_key_comes_out(scene: Scene) -> None:
    """A key in an opened file is in nothing that the server says or writes."""
    folder = scene.folder()
    text = (
        f"DEBUG=1\n{LINE}OPENAI_BASE_URL=http://llm.example/v1\n{KEY}\nDEEPSEEK_API_KEY='{KEY}\n"
        f"OPENAI_API_KEY: {KEY}\nexport MODELSCOPE_API_KEY={KEY}#x\nDASHSCOPE_API_KEY=other\n"
    )
    file = await opened(
        scene, folder / ".qwen" / ".env", text, folder, env={"DASHSCOPE_API_KEY": OWN}, mode=0o644
    )
    await file.findings(bool)
    for line in range(len(text.splitlines())):
        await file.hover(line, 2)
        await file.actions(line)
        for character in (0, 4, 16):
            await file.complete(line, character)
    await file.client.end()
    secrets = {KEY: "the file's key", OWN: "the process's key"}
    places = {"stdout": bytes(file.client.stdout), "stderr": bytes(file.client.stderr)}
    places |= dict(files_below(scene.home))
    assert sweep(places, secrets) == []
