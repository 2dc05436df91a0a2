"""How does a shell ask? argv in, an exit code out: 0 done, 1 failed, 2 wrong usage, 128 + n by signal n."""

from __future__ import annotations

import gc
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.actions.ports import Place
from qwen_ls.actions.tokens import Accounts
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.terminal.arguments import Options, WrongUsage, parse, usage
from qwen_ls.terminal.output import Output, ReaderGone
from qwen_ls.terminal.person import Person
from qwen_ls.terminal.running import BY_SIGNAL, Stop, leave, run_until_stopped
from qwen_ls.terminal.verbs import DONE, FAILED, Run, verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qwen_ls.actions.ports import Ports

    Compose = Callable[[Mapping[str, Any] | None], Ports]

WRONG_USAGE = 2
BETWEEN_LOOKS = 50_000  # objects, instead of 700: a short command is over before there is garbage
SIGPIPE = 13  # signal.SIGPIPE, which Windows does not name
MAX_PROMPT = 8 * 1024**2  # bytes of standard input
EDITOR_CLIENTS = Path(__file__).parents[1] / "editors"  # each in a folder of its editor's name
TRUST_VARIABLE = "QWEN_LS_TRUST_PROJECT"
PATIENCE = 2.0  # seconds for a refresh of the sign-in under way to end


def run(argv: list[str], compose: Compose) -> int:
    """Do what `argv` asks and return the exit code; no exception comes out, and no traceback is shown."""
    logging.getLogger().addHandler(logging.NullHandler())  # libraries' last words are tracebacks
    stop, output = Stop(), Output.standard()
    stop.listen()
    try:
        return leave(run_command(argv, compose, stop, output))
    except KeyboardInterrupt:
        return leave(stop.exit_code)
    except ReaderGone:
        return leave(BY_SIGNAL + SIGPIPE)
    except Exception as error:  # noqa: BLE001 - nothing that was foreseen
        output.note(unexpected(error).message)
        return leave(FAILED)


def run_command(argv: list[str], compose: Compose, stop: Stop, output: Output) -> int:
    """The same, while signals and a closed pipe still come as exceptions."""
    if not argv:
        output.ask(usage())
        return WRONG_USAGE
    try:
        options = parse(argv)
        if options.editor is not None:
            output.line(str(EDITOR_CLIENTS / options.editor))
            return DONE
        folder = folder_of(options)
        if options.command == "chat":
            is_typed = options.prompt not in {None, "-"}
            options = attrs.evolve(options, prompt=prompt_of(options), is_typed=is_typed)
    except WrongUsage as wrong:
        output.note(str(wrong))
        return WRONG_USAGE
    except SystemExit:  # --help and --version have been answered
        return 0
    headless = is_headless()
    read_line = None if headless or not is_terminal(sys.stderr) else stop.read_line
    person = Person(output, read_line, stop.read_secret)
    may_mix = options.trust_project or os.environ.get(TRUST_VARIABLE) == "1"
    place = Place(folder, headless=headless, terminal=True, may_mix=may_mix)
    return run_until_stopped(perform(options, place, compose, output, person), stop)


async def perform(options: Options, place: Place, compose: Compose, output: Output, person: Person) -> int:
    """Run one command; every failure becomes a line."""
    ports = compose(None)
    act = verb(options.command)
    gc.freeze()  # what importing has made is no garbage
    gc.set_threshold(BETWEEN_LOOKS)  # the network's libraries are still to come
    gc.enable()
    run = Run(options, ports, place, Accounts(ports), output, person)
    try:
        if options.command != "doctor":  # which lists them
            for problem in ports.settings.problems:
                output.note(problem)
        return await act(run)
    except Problem as problem:
        return run.fail(problem)
    except ReaderGone:
        raise
    except Exception as error:  # noqa: BLE001 - a shell is shown no traceback
        return run.fail(unexpected(error))
    finally:
        await run.accounts.aclose(PATIENCE)  # a refresh cut short would cost the sign-in
        await ports.http.aclose()


def unexpected(error: Exception) -> Problem:
    """Our own mistake, without the exception's text, which may hold anything."""
    what = f"Something went wrong inside qwen-ls: {type(error).__name__}"
    return Problem(Kind.INTERNAL, what, remedy="Report it with the output of `qwen-ls doctor`")


def folder_of(options: Options) -> str:
    """The real path of the workspace folder. Raises WrongUsage."""
    given = options.folder
    try:
        folder = Path(os.path.realpath(given if given is not None else Path.cwd()))
        if given != "" and folder.is_dir():
            return str(folder)
    except OSError:  # the current directory has been removed
        pass
    raise WrongUsage("--folder names no directory" if given is not None else "the current directory is gone")


def prompt_of(options: Options) -> str:
    """The prompt, from standard input where it is not an argument. Raises WrongUsage."""
    prompt = options.prompt
    if prompt is None and is_terminal(sys.stdin):
        raise WrongUsage("chat needs a PROMPT, or one on standard input")
    if prompt is None or prompt == "-":
        data = sys.stdin.buffer.read(MAX_PROMPT + 1) if sys.stdin is not None else b""
        if len(data) > MAX_PROMPT:
            raise WrongUsage(f"standard input holds more than {MAX_PROMPT // 1024**2} MiB")
        prompt = data.decode("utf-8-sig", "replace")
    if not prompt.strip():
        raise WrongUsage("the prompt is empty")
    return prompt


def is_headless() -> bool:
    """Whether nobody can be asked: no terminal on standard input, or a CI system runs this."""
    return bool(os.environ.get("CI")) or not is_terminal(sys.stdin)


def is_terminal(stream: Any) -> bool:
    """Whether a standard stream is there, open, and a terminal."""
    try:
        return stream is not None and bool(stream.isatty())
    except ValueError:  # closed
        return False
