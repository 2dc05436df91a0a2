"""What holds for every command: an end that nothing can hold up, and no word of an exception but its type."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from io import StringIO
from typing import TYPE_CHECKING, Any, cast

import pytest

from canary import canary
from qwen_ls.actions.chat import Turn
from qwen_ls.actions.ports import Place
from qwen_ls.core.chat import StopReason
from qwen_ls.terminal.arguments import Options
from qwen_ls.terminal.chat import end
from qwen_ls.terminal.output import Output
from qwen_ls.terminal.person import Person
from qwen_ls.terminal.running import wait_for_line
from qwen_ls.terminal.verbs import Run
from terminal.shell import Shell, finish

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Ports
    from qwen_ls.actions.tokens import Accounts

# The real program, with one adapter that misbehaves as the real one may.
PROGRAM = """
import sys, threading
import attrs
from qwen_ls import __main__
from qwen_ls.adapters.env_files import EnvFileSystem
from qwen_ls.terminal.app import run

class Misbehaving(EnvFileSystem):
    def search(self, folder, excluded):
        {deed}

def compose(user_settings):
    ports = __main__.compose(user_settings)
    return attrs.evolve(ports, env_files=Misbehaving(None, None))

sys.exit(run(sys.argv[1:], compose))
"""


async def run_program(shell: Shell, deed: str, *arguments: str) -> Any:
    """Run a command while the search for `.env` files does that."""
    program = PROGRAM.format(deed=deed)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, cwd=shell.folder, env=shell.environment({}),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    return await finish(process)


async def test_a_hung_disk_holds_nothing_up(shell: Shell) -> None:
    """A thread that never comes back delays neither the answer nor the end of the process."""
    before = time.monotonic()
    done = await run_program(shell, "threading.Event().wait()", "chat", "hi", "--json")
    assert time.monotonic() - before < 10
    assert (done.code, done.json["error"]["kind"]) == (1, "env-unreadable")
    assert "did not answer within 2 s" in done.complaint


@pytest.mark.parametrize("command", [["status", "--json"], ["chat", "hi", "--json"]])
async def test_an_unforeseen_error_shows_its_type_alone(shell: Shell, command: list[str]) -> None:
    """Its text may hold anything, so it is not shown; the kind is internal."""
    secret = canary("text of an exception")
    done = await run_program(shell, f"raise LookupError({secret!r})", *command)
    assert (done.code, done.json["error"]["kind"]) == (1, "internal")
    assert "LookupError" in done.complaint
    assert secret not in done.out + done.err


async def test_an_error_while_all_is_put_together_is_one_line(shell: Shell) -> None:
    """Not even then is there a traceback."""
    text = "import sys; from qwen_ls.terminal.app import run; sys.exit(run(['status'], lambda _: 1 / 0))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, env=shell.environment({}),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    done = await finish(process)
    assert (done.code, done.out) == (1, "")
    assert "ZeroDivisionError" in done.complaint


@pytest.mark.parametrize(
    ("stop_reason", "word"),
    [(StopReason.MAX_TOKENS, "max_tokens"), (StopReason.REFUSAL, "refusal"), (StopReason.END_TURN, "")],
)
def test_an_answer_that_ends_early_says_so(stop_reason: StopReason, word: str) -> None:
    """An answer that was cut by the provider is followed by a note; a whole one by nothing."""
    out, err = StringIO(), StringIO()
    output = Output(out, err)
    nothing = cast("Ports", None), Place(), cast("Accounts", None)  # printing needs none of them
    run = Run(Options("chat"), *nothing, output, Person(output, None))
    turn = Turn("t-1", "c-1", (), Place(), requested_model="m", model="m", stop_reason=stop_reason)
    turn.text.append("Half a sent")
    output.text("Half a sent")
    end(run, turn)
    assert out.getvalue() == "Half a sent\n"
    assert (word in err.getvalue()) if word else err.getvalue() == ""
    assert err.getvalue().count("\n") == (1 if word else 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there a terminal cannot be waited for")
def test_a_signal_that_no_read_sees_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that another thread has taken would leave a read(2) of the main thread where it is."""
    ours, theirs = os.openpty()

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    def take_one() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    soon, late = threading.Timer(0.1, take_one), threading.Timer(5, os.write, (ours, b"too late\n"))
    try:
        with os.fdopen(theirs, encoding="utf-8") as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            soon.start()
            late.start()
            with pytest.raises(KeyboardInterrupt):
                wait_for_line()
            assert late.is_alive()
    finally:
        for timer in (soon, late):
            timer.cancel()
            timer.join()
        signal.signal(signal.SIGUSR1, before)
        os.close(ours)
