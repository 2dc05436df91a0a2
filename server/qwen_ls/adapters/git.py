"""What git says of a file, asked of git itself; no git, no answer in time, no work tree: nothing is said.

A repository's configuration may be a stranger's, and git would run programs that it names: file system
monitors, hooks, transports of missing objects. Each is switched off; only two commands that read are run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from qwen_ls.adapters.files import in_time
from qwen_ls.core.envview import GitState

if TYPE_CHECKING:
    from collections.abc import Mapping

DEADLINE = 2.0  # seconds for each of the two commands
PASSED = ("PATH", "HOME", "USERPROFILE", "XDG_CONFIG_HOME", "SYSTEMROOT")  # the user's own ignore rules count
QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "none",  # where a git is too old for the line above
    "GIT_PAGER": "",
    "LC_ALL": "C",
}
OFF = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "core.untrackedCache=false",
    "core.pager=",
    "diff.external=",
    "protocol.allow=never",
    "safe.bareRepository=explicit",
)
NOT_IGNORED = 1  # the exit code of check-ignore


@attrs.define
class Git:
    """Git, found on the PATH of `environment`; None where it is not there."""

    environment: Mapping[str, str] = attrs.field(repr=False)
    deadline: float = DEADLINE

    async def state(self, file: str) -> GitState:
        """Whether a file is tracked, and whether it is ignored."""
        try:
            return await in_time(partial(self._state, file), 3 * self.deadline)
        except TimeoutError:
            return GitState()

    def _state(self, file: str) -> GitState:
        folder, name = os.path.split(file)
        program = find_git(self.environment.get("PATH", ""))
        if program is None or not Path(folder).is_dir():
            return GitState()
        listed = self._run(program, folder, "--literal-pathspecs", "ls-files", "-z", "--", name)
        if listed is None or listed.returncode:
            return GitState()
        if listed.stdout:
            return GitState(tracked=True, ignored=False)
        asked = self._run(program, folder, "check-ignore", "-q", "--", name)
        if asked is None or asked.returncode not in {0, NOT_IGNORED}:
            return GitState(tracked=False)
        return GitState(tracked=False, ignored=asked.returncode == 0)

    def _run(self, program: str, folder: str, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
        settings = [argument for setting in OFF for argument in ("-c", setting)]
        try:
            return subprocess.run(  # noqa: S603 - no shell; the file's name stands behind --
                [program, "--no-pager", *settings, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**{n: self.environment[n] for n in PASSED if n in self.environment}, **QUIET},
                cwd=folder,
                timeout=self.deadline,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None


def find_git(path: str) -> str | None:
    """The program; never one in a folder that is named relative to where we happen to be."""
    absolute = os.pathsep.join(entry for entry in path.split(os.pathsep) if Path(entry).is_absolute())
    found = shutil.which("git", path=absolute) if absolute else None
    return found if found is not None and Path(found).is_absolute() else None
