"""The stage of a test in VS Code: a home, workspace folders, a provider, windows on demand."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from editors.vscode.code_server import NEWEST, running_code_server
from editors.vscode.workbench import Workbench, browser
from wire import SOURCES

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Mapping

    from provider import Entry, RunningProvider

LOGS = ("code-server.log", "user-data/logs")


@attrs.define(eq=False)
class Stage:
    """What a test has at hand. `env` are variables that VS Code is started with, and so the server."""

    root: Path
    artefacts: Path
    provider: RunningProvider
    installed: Mapping[str, Path]
    stack: contextlib.AsyncExitStack
    env: dict[str, str] = attrs.field(factory=dict)

    @property
    def home(self) -> Path:
        """HOME."""
        return self.root / "home"

    def folder(self, name: str = "ws", **files: str) -> Path:
        """A workspace folder, outside HOME, with these files."""
        folder = self.root / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        return folder

    def workspace(self, *folders: Path) -> Path:
        """A workspace of several folders."""
        file = self.root / "many.code-workspace"
        file.write_text(json.dumps({"folders": [{"path": str(folder)} for folder in folders]}))
        return file

    async def open(
        self, place: Path, *, version: str = NEWEST, settings: Mapping[str, Any] | None = None
    ) -> Workbench:
        """A window on a folder or workspace; it and its VS Code end with the test."""
        env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # qwen-ls is there
            "PYTHONPATH": str(SOURCES),
            "QWEN_LS_OAUTH_BASE_URL": self.provider.base_url,
            "QWEN_LS_PROBE": str(self.root),
            **self.env,
        }
        self.stack.callback(self._keep_logs)
        server = await self.stack.enter_async_context(
            running_code_server(
                self.root, self.installed[version], version=version, env=env, settings=settings
            )
        )
        context = await self.stack.enter_async_context(browser(self.root / "browser"))
        workbench = Workbench(context, context.pages[0], self.artefacts)
        self.stack.push_async_callback(workbench.screenshot, "last")
        await workbench.visit(server.url, place)
        return workbench

    def _keep_logs(self) -> None:
        for name in LOGS:
            log = self.root / name
            if log.is_dir():
                shutil.copytree(log, self.artefacts / log.name, dirs_exist_ok=True)
            elif log.exists():
                shutil.copy(log, self.artefacts)

    async def close(self) -> None:
        """End VS Code and the browser, so that all they keep is on the disk."""
        await self.stack.aclose()

    def probed(self, name: str) -> Any:
        """What a command of the other extension saw."""
        return json.loads((self.root / f"{name}.json").read_bytes())

    async def chats(self) -> list[Entry]:
        """The chat requests that stream: those of a person, not the check of a credential."""
        return [entry for entry in await self.provider.log("chat") if (entry["json"] or {}).get("stream")]
