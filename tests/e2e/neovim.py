"""Real Neovims, driven over their own msgpack-RPC, with this project's client as a user installs it.

    async with running_neovim("0.10", scene, folder) as nvim:
        await nvim.command("Qwen login qwen-oauth")
        await nvim.until("return require('qwen_ls').status() ~= ''")

Home and folders are the scene's. In PATH there stand a `qwen-ls` that runs the sources under test, and an
`xdg-open` that approves the sign-in page it is given, as a person would in the browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs
import msgpack

from wire import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from scene import Scene

STORE = Path(__file__).resolve().parents[2] / ".e2e"
CLIENT = Path(__file__).resolve().parents[2] / "server" / "qwen_ls" / "editors" / "neovim"
BROWSER = Path(__file__).with_name("browser.py")
DEADLINE = 20.0  # seconds
POLL_MS, WHILE_MS = 5, 20
Version = Literal["0.10", "0.12"]
VERSIONS: tuple[Version, ...] = ("0.10", "0.12")  # the gate, and the latest of Debian

ENABLE: dict[Version, str] = {
    "0.10": "require('qwen_ls').setup()",
    "0.12": "vim.lsp.enable('qwen_ls')",
}


class NeovimError(Exception):
    """What Neovim answers to a call that fails."""


@attrs.define(eq=False)
class Neovim:
    """One running Neovim."""

    process: asyncio.subprocess.Process
    root: Path
    _replies: dict[int, asyncio.Future[Any]] = attrs.field(factory=dict)
    _ids: itertools.count[int] = attrs.field(factory=itertools.count)
    _reader: asyncio.Task[None] | None = None

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a function of Neovim's API. Raises NeovimError."""
        assert self.process.stdin is not None
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        id_, reply = next(self._ids), asyncio.get_running_loop().create_future()
        self._replies[id_] = reply
        self.process.stdin.write(msgpack.packb([0, id_, method, arguments]))
        return await asyncio.wait_for(reply, DEADLINE)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, ext_hook=lambda _, data: data)
        while data := await self.process.stdout.read(65536):
            unpacker.feed(data)
            for message in unpacker:
                if message[0] == 1 and (reply := self._replies.pop(message[1], None)) and not reply.done():
                    _, _, error, result = message
                    if error is None:
                        reply.set_result(result)
                    else:
                        reply.set_exception(NeovimError(str(error[1])))
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(NeovimError("Neovim has ended"))

    async def lua(self, code: str, *arguments: Any) -> Any:
        """The value of a chunk of Lua; its arguments stand in `...`."""
        return await self.call("nvim_exec_lua", code, arguments)

    async def command(self, line: str) -> None:
        """Run an Ex command."""
        await self.call("nvim_command", line)

    async def type(self, keys: str) -> None:
        """Type keys in Neovim's notation; they are taken also while it asks for something."""
        await self.call("nvim_input", keys)

    async def until(self, code: str, *arguments: Any, deadline: float = DEADLINE) -> Any:
        """Wait until a chunk of Lua gives something; that value.

        Neovim itself waits, a short while at a time: it takes keys between two of them only.
        """
        waiting = """
            local code, milliseconds, interval, arguments = ...
            local check = assert(loadstring(code))
            local found
            vim.wait(milliseconds, function()
                found = check(unpack(arguments))
                return found and true or false
            end, interval)
            return found
        """
        end = time.monotonic() + deadline
        while not (found := await self.lua(waiting, code, WHILE_MS, POLL_MS, arguments)):
            assert time.monotonic() < end, f"not within {deadline} s: {code}\n{await self.messages()}"
        return found

    async def messages(self) -> list[str]:
        """What the user was told, oldest first."""
        said: list[str] = await self.lua("return Said")
        return said

    async def said(self, words: str) -> None:
        """Wait until the user has been told something with these words in it."""
        code = "for _, m in ipairs(Said) do if m:find(..., 1, true) then return m end end"
        await self.until(code, words)

    async def until_asked(self, prompt: str, deadline: float = DEADLINE) -> None:
        """Wait until Neovim stands still for an answer; what it is asked cannot be read without a screen."""
        end = time.monotonic() + deadline
        while True:
            mode = await self.call("nvim_get_mode")
            if mode["blocking"] or mode["mode"].startswith("c"):
                return
            assert time.monotonic() < end, f"no question within {deadline} s: {prompt}"

    async def lines(self, buffer: int = 0) -> list[str]:
        """A buffer's lines."""
        found: list[str] = await self.call("nvim_buf_get_lines", buffer, 0, -1, True)  # noqa: FBT003 - the API's order
        return found

    async def server_pid(self) -> int:
        """The process id of the language server that runs."""
        pid: int = await self.lua(
            "for _, p in ipairs(vim.api.nvim_get_proc_children(vim.fn.getpid())) do"
            "  local name = vim.api.nvim_get_proc(p).name"
            "  if name:find('python') or name:find('qwen') then return p end end"
        )
        return pid


def runtime(version: Version) -> Path:
    """Where a Neovim lies: its `/usr`. Raises RuntimeError where it does not."""
    found = STORE / f"neovim-{version}" / "tree" / "usr"
    if not (found / "bin" / "nvim").is_file():
        raise RuntimeError(f"no Neovim {version} in {STORE}: run tests/e2e/install.sh (`make e2e` does)")
    return found


def write_programs(folder: Path, **commands: Sequence[str]) -> Path:
    """A folder for PATH, with programs that run these commands; `qwen-ls` runs the sources under test."""
    folder.mkdir(exist_ok=True)
    for name, command in {"qwen_ls": [sys.executable, "-m", "qwen_ls"], **commands}.items():
        script = folder / name.replace("_", "-")
        script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        script.chmod(0o755)
    return folder


def surroundings(scene: Scene) -> dict[str, str]:
    """The environment of an editor: the scene's home, and our programs before the machine's."""
    browser = [sys.executable, str(BROWSER), str(scene.root / "opened")]
    programs = write_programs(scene.root / "programs", xdg_open=browser)
    base = environment(scene.home, QWEN_LS_OAUTH_BASE_URL=scene.provider.base_url, **scene.env)
    own = {
        "PATH": f"{programs}{os.pathsep}{base['PATH']}",
        "XDG_CONFIG_HOME": str(scene.home / ".config"),
        "TERM": "xterm-256color",
    }
    return {**base, **own}


def variables(version: Version, scene: Scene) -> dict[str, str]:
    """The environment of a Neovim."""
    return {**surroundings(scene), "VIMRUNTIME": str(runtime(version) / "share" / "nvim" / "runtime")}


def init_lua(version: Version, more: str = "") -> str:
    """A user's init.lua: our two lines, and what the rig wants to hear."""
    parsers = runtime(version) / "lib" / "nvim"
    return f"""
        vim.opt.runtimepath:append({str(parsers)!r})
        Said = {{}}
        local notify, echo = vim.notify, vim.api.nvim_echo
        vim.notify = function(text, ...) Said[#Said + 1] = text; return notify(text, ...) end
        vim.api.nvim_echo = function(chunks, ...)
            for _, chunk in ipairs(chunks) do Said[#Said + 1] = chunk[1] end
            return echo(chunks, ...)
        end
        {more}
        vim.opt.runtimepath:append({str(CLIENT)!r})
        {ENABLE[version]}
    """


def program(version: Version) -> str:
    """What starts a Neovim."""
    return str(runtime(version) / "bin" / "nvim")


@contextlib.asynccontextmanager
async def running_neovim(
    version: Version, scene: Scene, folder: Path, *, more: str = "", options: Sequence[str] = ()
) -> AsyncIterator[Neovim]:
    """A Neovim without a screen, in a folder; `more` stands in its init.lua before our lines."""
    init = scene.root / "init.lua"
    init.write_text(init_lua(version, more))
    async with embedded(version, init, folder, variables(version, scene), options) as nvim:
        yield nvim


@contextlib.asynccontextmanager
async def embedded(
    version: Version, init: Path, folder: Path, env: Mapping[str, str], options: Sequence[str] = ()
) -> AsyncIterator[Neovim]:
    """A Neovim without a screen, with an init.lua and variables of one's own."""
    process = await asyncio.create_subprocess_exec(
        program(version), "--embed", "--headless",
        "-n", "-i", "NONE", "-u", str(init), *options,
        cwd=folder,
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    nvim = Neovim(process, init.parent)
    try:
        yield nvim
    finally:
        with contextlib.suppress(NeovimError, ConnectionError):
            await nvim.command("qall!")
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), DEADLINE)
        if process.returncode is None:
            process.kill()
            await process.wait()
        if nvim._reader is not None:
            await nvim._reader
