"""Windows of VS Code on the scene of a test: its home, its folders, its provider."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from editors.vscode.code_server import NEWEST, CodeServer, running_code_server
from editors.vscode.workbench import Workbench, browser
from wire import SOURCES

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Mapping

    from scene import Scene

LOGS = ("code-server.log", "user-data/logs")


@attrs.define(eq=False)
class Windows:
    """Opens windows; `artefacts` is where their screenshots and logs are left."""

    scene: Scene
    artefacts: Path
    installed: Mapping[str, Path]
    stack: contextlib.AsyncExitStack
    server: CodeServer | None = None

    async def open(
        self,
        place: Path,
        *,
        version: str = NEWEST,
        settings: Mapping[str, Any] | None = None,
    ) -> Workbench:
        """A window on a folder or a workspace file; it and its VS Code end with the test."""
        env = {
            "PYTHONPATH": str(SOURCES),
            "QWEN_LS_OAUTH_BASE_URL": self.scene.provider.base_url,
            "QWEN_LS_PROBE": str(self.scene.root),
            **self.scene.env,
        }
        self.stack.callback(self._keep_logs)
        running = running_code_server(
            self.scene.root, self.installed[version], version=version, env=env, settings=settings
        )
        self.server = await self.stack.enter_async_context(running)
        context = await self.stack.enter_async_context(browser(self.scene.root / "browser"))
        window = Workbench(context, context.pages[0], self.artefacts)
        self.stack.push_async_callback(window.screenshot, "last")
        await window.visit(self.server.url, place)
        return window

    async def close(self) -> None:
        """End VS Code and the browser, so that all they keep is on the disk."""
        await self.stack.aclose()

    def workspace(self, *folders: Path) -> Path:
        """The file of a workspace of several folders."""
        file = self.scene.root / "many.code-workspace"
        file.write_text(json.dumps({"folders": [{"path": str(folder)} for folder in folders]}))
        return file

    def probed(self, name: str) -> Any:
        """What a command of the other extension saw."""
        return json.loads((self.scene.root / f"{name}.json").read_bytes())

    def language_servers(self) -> list[int]:
        """The process ids of qwen-ls below VS Code."""
        assert self.server is not None
        return [pid for pid in session_of(self.server.pid) if "qwen-ls" in " ".join(arguments_of(pid)[:2])]

    def before_server(self, script: str) -> None:
        """Have the shell do something before each server; the setting of its path is the machine's own."""
        program = self.scene.root / "served"
        program.write_text(f'#!/bin/sh\n{script}\nexec {Path(sys.executable).parent}/qwen-ls "$@"\n')
        program.chmod(0o755)
        settings = self.scene.root / "user-data" / "Machine" / "settings.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"qwenLs.server.path": str(program)}))

    def hanging(self, argument: str) -> list[int]:
        """The process ids below VS Code that were given this argument."""
        assert self.server is not None
        return [pid for pid in session_of(self.server.pid) if argument in arguments_of(pid)]

    def _keep_logs(self) -> None:
        for name in LOGS:
            log = self.scene.root / name
            if log.is_dir():
                shutil.copytree(log, self.artefacts / log.name, dirs_exist_ok=True)
            elif log.exists():
                shutil.copy(log, self.artefacts)


def session_of(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(session) == leader and state != "Z":
            found.append(int(folder.name))
    return found


def arguments_of(pid: int) -> list[str]:
    """A process's command line; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
