"""A server that is nothing but the transport: it sends back what it gets, and misbehaves when told to.

A message is an object; its `do` names a method of Echo below, and everything else is echoed. The last line
on stderr says why the connection ended, if the main path came that far.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from typing import Any

from qwen_ls.lsp.frames import Bad, encode
from qwen_ls.lsp.transport import Stdio

FOREVER_S = 60.0  # compared with the two seconds that leaving may take


class Echo:
    """What it can be told to do; each method answers by what it returns, None is no answer."""

    def __init__(self, stdio: Stdio) -> None:
        self._stdio = stdio
        self._aclose: list[str] = []

    def receive(self, message: Any) -> None:
        """Do what `message` says, and answer."""
        if isinstance(message, Bad):
            answer: object = {"bad": message.why}
        elif "do" in message:
            answer = getattr(self, message["do"])(message)
        else:
            answer = message
        if isinstance(answer, dict):
            self._stdio.writer.write(encode(answer))

    async def aclose(self) -> None:
        """Close as `closing` said: at once, never, with an error, or taking every other task along."""
        os.write(2, b"closing\n")
        for how in self._aclose:
            if how == "fails":
                raise ValueError("a text that no log may show")
            if how == "cancels":
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
                await asyncio.sleep(0)
            while how == "never":
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
        os.write(2, b"closed\n")

    def closing(self, message: Any) -> dict[str, Any]:
        """Choose what `aclose` does."""
        self._aclose = message["how"]
        return {"closing": message["how"]}

    def block(self, _message: Any) -> None:
        """Block the event loop."""
        os.write(2, b"blocked\n")
        threading.Event().wait(FOREVER_S)

    def stick(self, _message: Any) -> dict[str, Any]:
        """Leave a thread that the interpreter would wait for, and a worker that asyncio would."""
        threading.Thread(target=threading.Event().wait, args=(FOREVER_S,), daemon=False).start()
        self._worker = asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, FOREVER_S)
        return {"stuck": threading.active_count()}

    def flood(self, message: Any) -> None:
        """Write `count` frames of about 1 KiB each."""
        for number in range(message["count"]):
            self._stdio.writer.write(encode({"number": number, "text": "x" * 1000}))
        os.write(2, b"flooded\n")

    def mark(self, message: Any) -> None:
        """Say on stderr that this message was received, whatever stdout is doing."""
        os.write(2, f"mark {message['name']}\n".encode())

    def stray(self, _message: Any) -> dict[str, Any]:
        """Print, and start a child that reads stdin and writes stdout."""
        print("stray print")  # noqa: T201 - the very thing that must do no harm
        reads_and_writes = "import sys; print('child read', repr(sys.stdin.read()))"
        child = subprocess.run([sys.executable, "-c", reads_and_writes], check=True, close_fds=False)
        return {"child": child.returncode}

    def clog(self, _message: Any) -> dict[str, Any]:
        """Fill stderr until a thread is stuck in writing to it, holding the lock of the stream."""
        os.set_blocking(2, False)
        try:
            while os.write(2, b"." * 65536):
                pass
        except BlockingIOError:
            os.set_blocking(2, True)
        inside = threading.Event()

        def write() -> None:
            inside.set()
            sys.stderr.write("and one more\n")

        threading.Thread(target=write, daemon=True).start()
        return {"clogged": inside.wait(FOREVER_S)}

    def watch(self, message: Any) -> dict[str, Any]:
        """Watch the process `pid`; `without` names a function that this system shall not have."""
        if "without" in message:
            delattr(os, message["without"])
        return {"watched": self._stdio.watch(message["pid"])}

    def exit(self, message: Any) -> None:
        """End the connection, twice."""
        self._stdio.lost("told to", message["code"])
        self._stdio.lost("a second reason", 99)


def main() -> None:
    """Run until the connection ends."""
    stdio = Stdio()
    echo = Echo(stdio)
    loop = stdio.new_loop()
    try:
        loop.run_until_complete(stdio.run(echo.receive, echo.aclose))
        os.write(2, f"why: {stdio.why}, code: {stdio.code}\n".encode())
    finally:
        stdio.leave()


if __name__ == "__main__":
    main()
