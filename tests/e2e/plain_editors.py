"""Editors as they come, with the server's command in their settings and not a line of ours for it.

    async with EDITORS["emacs"](root, {}) as editor:
        await editor.open(file)
        await editor.act("Qwen: Send")

Keys are typed as a user types them. What a test adds to an editor chooses in its questions what the test
says that the user chooses, counts changes of the text, and lets the test look.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import struct
import termios
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from e2e.neovim import STORE, Neovim, Version, embedded, runtime, write_programs
from e2e.pages import settings_of
from wire import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

DEADLINE = 60.0  # seconds; the machine may be busy with other things
POLL = 0.02
BEGIN_OF_LINE = "\x01"
SIZE = struct.pack("HHHH", 50, 120, 0, 0)  # rows and columns of a terminal


class Editor(Protocol):
    """What a test does in an editor, and sees there."""

    async def open(self, file: Path) -> None:
        """Open a file, and wait until the server answers for it."""

    async def text(self) -> str:
        """What stands in the document, as it would be saved."""

    async def changes(self) -> int:
        """How often the text has changed since it was opened."""

    async def act(self, title: str, *then: str) -> None:
        """Run the code action of a title; `then` is what is chosen in the questions after it."""

    async def asked(self) -> list[str]:
        """The questions that were put so far."""

    async def messages(self) -> str:
        """What the user was told so far."""

    async def type(self, line: int, text: str) -> None:
        """Type text at the end of a line, counted from 0; -1 is the last one."""

    async def undo(self) -> None:
        """Undo once."""


T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], is_there: Callable[[T], bool], what: str) -> T:
    """Look until it is as wanted; what was seen."""
    end = time.monotonic() + DEADLINE
    while not is_there(seen := await look()):
        assert time.monotonic() < end, f"{what}: not within {DEADLINE} s, but {seen!r}"
        await asyncio.sleep(POLL)
    return seen


def variables(root: Path, **more: str) -> dict[str, str]:
    """The environment of an editor: a home of its own, and `qwen-ls` in PATH runs the sources under test."""
    base = environment(root / "home")
    return {**base, "PATH": f"{write_programs(root / 'programs')}{os.pathsep}{base['PATH']}", **more}


# --- Neovim ---------------------------------------------------------------------------------------

INIT_LUA = """
    vim.filetype.add({ filename = { ['.env'] = 'env' } })
    vim.api.nvim_create_autocmd('FileType', {
        pattern = { 'markdown', 'env' },
        callback = function()
            vim.lsp.start({ name = 'qwen-ls', cmd = { 'qwen-ls' }, root_dir = vim.fn.getcwd() })
        end,
    })

    Choices, Asked, Changes = {}, {}, 0
    vim.ui.select = function(items, opts, done)
        table.insert(Asked, opts.prompt or '')
        local wanted = table.remove(Choices, 1)
        for i, item in ipairs(items) do
            if (opts.format_item or tostring)(item) == wanted then return done(item, i) end
        end
        error('nothing to choose: ' .. wanted)
    end
    vim.api.nvim_create_autocmd('BufReadPost', {
        callback = function(args)
            vim.api.nvim_buf_attach(args.buf, false, { on_lines = function() Changes = Changes + 1 end })
        end,
    })
"""


@attrs.frozen
class PlainNeovim:
    """A Neovim without a screen."""

    nvim: Neovim

    async def open(self, file: Path) -> None:
        """Open a file, and wait until the server answers for it."""
        await self.nvim.lua("vim.cmd.edit(vim.fn.fnameescape(...))", str(file))
        attached = "local c = vim.lsp.get_clients({ bufnr = 0 })[1]; return c and c.initialized or false"
        await until(lambda: self.nvim.lua(attached), bool, "a server")

    async def text(self) -> str:
        """What stands in the document, as it would be saved."""
        return "".join(f"{line}\n" for line in await self.nvim.lines())

    async def changes(self) -> int:
        """How often the text has changed since it was opened."""
        count: int = await self.nvim.lua("return Changes")
        return count

    async def act(self, title: str, *then: str) -> None:
        """Run the code action of a title; `then` is what is chosen in the questions after it."""
        asked = len(await self.asked())
        await self.nvim.lua("Choices = ...; vim.lsp.buf.code_action()", [title, *then])
        await until(self.asked, lambda a: len(a) > asked + len(then), title)
        assert await self.nvim.lua("return #Choices") == 0

    async def asked(self) -> list[str]:
        """The questions that were put so far."""
        found: list[str] = await self.nvim.lua("return Asked")
        return found

    async def messages(self) -> str:
        """What the user was told so far."""
        text: str = await self.nvim.lua("return vim.fn.execute('messages')")
        return text

    async def type(self, line: int, text: str) -> None:
        """Type text at the end of a line, counted from 0; -1 is the last one."""
        keys = text.replace("<", "<lt>").replace("\n", "<CR>")
        await self.nvim.type(f"<Esc>{'G' if line < 0 else f'{line + 1}G'}A{keys}<Esc>")

    async def undo(self) -> None:
        """Undo once."""
        await self.nvim.type("u")


@contextlib.asynccontextmanager
async def running_neovim(version: Version, root: Path, env: Mapping[str, str]) -> AsyncIterator[PlainNeovim]:
    """A Neovim in the folder `root / "project"`."""
    usr = runtime(version)
    init = root / "init.lua"
    init.write_text(f"vim.opt.runtimepath:append({str(usr / 'lib' / 'nvim')!r})\n{INIT_LUA}")
    more = {"VIMRUNTIME": str(usr / "share" / "nvim" / "runtime"), "TERM": "xterm-256color", **env}
    async with embedded(version, init, root / "project", variables(root, **more)) as nvim:
        yield PlainNeovim(nvim)


# --- Emacs ----------------------------------------------------------------------------------------

INIT_EL = r"""
(setq inhibit-startup-screen t initial-scratch-message nil make-backup-files nil auto-save-default nil
      create-lockfiles nil native-comp-jit-compilation nil)
(global-set-key (kbd "C-c a") #'eglot-code-actions)

(defvar choices nil)
(defvar asked nil)
(defvar changes 0)
(setq completing-read-function
      (lambda (prompt collection &rest _)
        (setq asked (append asked (list (substring-no-properties prompt))))
        (let ((wanted (pop choices)))
          (or (car (member wanted (mapcar (lambda (c) (if (consp c) (car c) c)) collection)))
              (signal 'quit nil)))))
(add-hook 'find-file-hook
          (lambda () (add-hook 'after-change-functions (lambda (&rest _) (setq changes (1+ changes))) nil t)))

(defun answer (process line)
  (let* ((buffer (window-buffer (selected-window)))
         (result (condition-case problem
                     (with-current-buffer buffer (list :ok (eval (read line) t)))
                   (error (list :error (format "%S" problem))))))
    (process-send-string process (concat (json-serialize result) "\n"))))
(make-network-process
 :name "rig" :server t :family 'local :service (getenv "RIG_SOCKET") :coding 'utf-8-unix :noquery t
 :filter (lambda (process text)
           (let ((line (concat (process-get process 'begun) text)))
             (if (string-suffix-p "\n" line)
                 (progn (process-put process 'begun nil) (answer process line))
               (process-put process 'begun line)))))
"""


@attrs.define
class PlainEmacs:
    """An Emacs in a terminal."""

    terminal: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def eval(self, form: str) -> Any:
        """The value of a form of one line, evaluated in the buffer that the user sees."""
        self.writer.write(form.encode() + b"\n")
        answer = json.loads(await asyncio.wait_for(self.reader.readline(), DEADLINE))
        assert "ok" in answer, f"{form}: {answer}"
        return answer["ok"]

    def keys(self, text: str) -> None:
        """Press keys."""
        os.write(self.terminal, text.encode())

    async def open(self, file: Path) -> None:
        """Open a file, and wait until the server answers for it."""
        await self.eval(f"(progn (find-file {json.dumps(str(file))}) t)")
        self.keys(BEGIN_OF_LINE)  # eglot-ensure connects after a command
        attached = "(if (and (fboundp 'eglot-managed-p) (eglot-managed-p)) t :false)"
        await until(lambda: self.eval(attached), lambda yes: yes is True, "a server")

    async def text(self) -> str:
        """What stands in the document, as it would be saved."""
        found: str = await self.eval("(buffer-substring-no-properties (point-min) (point-max))")
        return found

    async def changes(self) -> int:
        """How often the text has changed since it was opened."""
        count: int = await self.eval("changes")
        return count

    async def act(self, title: str, *then: str) -> None:
        """Run the code action of a title; `then` is what is chosen in the questions after it."""
        asked = len(await self.asked())
        words = " ".join(map(json.dumps, [title, *then]))
        await self.eval(f"(progn (setq choices (list {words})) t)")
        self.keys("\x03a")
        await until(self.asked, lambda a: len(a) > asked + len(then), title)
        assert await self.eval("(length choices)") == 0

    async def asked(self) -> list[str]:
        """The questions that were put so far."""
        found: list[str] = await self.eval("(vconcat asked)")
        return found

    async def messages(self) -> str:
        """What the user was told so far."""
        text: str = await self.eval('(with-current-buffer "*Messages*" (buffer-string))')
        return text

    async def type(self, line: int, text: str) -> None:
        """Type text at the end of a line, counted from 0; -1 is the last one."""
        go = "\x1b>" if line < 0 else f"\x1b<\x1b{line}\x0e\x05" if line else "\x1b<\x05"
        self.keys(go + text.replace("\n", "\r"))

    async def undo(self) -> None:
        """Undo once."""
        self.keys("\x1f")


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def reached(rig: Path) -> Connection:
    """A connection to an Emacs that is starting: its socket has a name before it listens."""

    async def attempt() -> list[Connection]:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return [await asyncio.open_unix_connection(str(rig))]
        return []

    (connection,) = await until(attempt, bool, "Emacs")
    return connection


@contextlib.asynccontextmanager
async def running_emacs(root: Path, env: Mapping[str, str]) -> AsyncIterator[PlainEmacs]:
    """An Emacs in the folder `root / "project"`."""
    usr = STORE / "emacs" / "tree" / "usr"
    (dump,) = usr.glob("libexec/emacs/*/*/emacs-*.pdmp")
    share = usr / "share" / "emacs" / dump.parents[1].name
    init, rig = root / "init.el", root / "rig"
    init.write_text(settings_of("emacs.md", "elisp") + INIT_EL)
    places = {
        "EMACSLOADPATH": str(share / "lisp"),
        "EMACSDATA": str(share / "etc"),
        "EMACSDOC": str(share / "etc"),
        "EMACSPATH": str(dump.parent),
        "TERM": "linux",
        "RIG_SOCKET": str(rig),
    }
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, SIZE)
    loop = asyncio.get_running_loop()
    screen = bytearray()
    loop.add_reader(terminal, lambda: screen.extend(os.read(terminal, 65536)))
    try:
        process = await asyncio.create_subprocess_exec(
            str(usr / "bin" / "emacs-nox"), f"--dump-file={dump}", "-nw", "-Q", "-l", str(init),
            cwd=root / "project",
            env=variables(root, **places, **env),
            stdin=inner, stdout=inner, stderr=inner,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        reader, writer = await reached(rig)
        try:
            yield PlainEmacs(terminal, reader, writer)
        finally:
            writer.write(b"(kill-emacs)\n")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), DEADLINE)
            if process.returncode is None:
                process.kill()
                await process.wait()
            writer.close()
    finally:
        loop.remove_reader(terminal)
        os.close(inner)
        os.close(terminal)


EDITORS: dict[str, Callable[[Path, Mapping[str, str]], AbstractAsyncContextManager[Editor]]] = {
    "neovim-0.10": partial(running_neovim, "0.10"),
    "emacs": running_emacs,
}
"""How each is started, in the folder `project` below a root of its own, with these variables."""
