"""A real llama.cpp server on loopback, from the packages that install.sh unpacked.

It is started through the unpacked root's own dynamic loader: that needs no chroot, no mount and no
privilege, and takes nothing from the machine's own libraries.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STORE = Path(__file__).resolve().parents[2] / ".e2e"
START_DEADLINE, STOP_DEADLINE = 60.0, 10.0  # seconds; it starts in 0.2 on an idle machine
IDLE_DEADLINE = 2.0  # seconds; an unending answer takes about 8
POLL = 0.02
SEED = 42  # so that the same messages get the same answer


@attrs.frozen
class Llama:
    """A running server: OpenAI-compatible below `base_url`, for any of `api_keys`."""

    origin: str
    api_keys: tuple[str, ...]
    alias: str
    longest: int  # tokens of an answer; -1: no limit

    @property
    def base_url(self) -> str:
        """What a user writes into OPENAI_BASE_URL."""
        return f"{self.origin}/v1"

    def answer(self, *messages: dict[str, str]) -> str:
        """What it says to these messages; its seed makes it say the same each time."""
        reply = httpx.post(
            f"{self.base_url}/chat/completions",
            headers={"Authorization": f"Bearer {self.api_keys[0]}"},
            json={"model": self.alias, "messages": messages},
        )
        text: str = reply.raise_for_status().json()["choices"][0]["message"]["content"]
        return text

    def busy_slots(self) -> int:
        """How many answers it is generating now."""
        reply = httpx.get(f"{self.origin}/slots", headers={"Authorization": f"Bearer {self.api_keys[0]}"})
        return sum(bool(slot["is_processing"]) for slot in reply.raise_for_status().json())

    async def falls_idle(self) -> None:
        """See it give every slot up, long before an unending answer could have ended."""
        deadline = time.monotonic() + IDLE_DEADLINE
        while await asyncio.to_thread(self.busy_slots):  # the loop stays free: the relay runs on it
            assert time.monotonic() < deadline, "llama.cpp went on generating"


@contextmanager
def running_llama(
    api_keys: str | Sequence[str],
    *,
    alias: str = "qwen3-coder-plus",
    context: int = 4096,
    slots: int = 2,
    longest: int = -1,
) -> Iterator[Llama]:
    """Run a server that accepts these keys and answers as the model `alias`.

    An answer goes on until the client's `max_tokens`, the server's own limit `longest` (-1: none), or
    until its slot's `context` tokens are full: about 250 bytes of stream and half a millisecond for each.
    Raises RuntimeError with the end of the
    server's own log if it does not come up; a missing installation is one such error.
    """
    keys = (api_keys,) if isinstance(api_keys, str) else tuple(api_keys)
    port = free_port()
    llama = Llama(origin=f"http://127.0.0.1:{port}", api_keys=keys, alias=alias, longest=longest)
    options = {
        "--model": STORE / "tiny.gguf",
        "--host": "127.0.0.1",
        "--port": port,
        "--alias": alias,
        "--ctx-size": context * slots,  # shared out evenly
        "--parallel": slots,
        "--predict": longest,
        "--seed": SEED,
        "--threads": 1,  # two would wait for each other at every layer, 50 times as long on a busy machine
    }
    arguments = [str(word) for option in options.items() for word in option]
    loader, directories = runtime()
    with (
        tempfile.TemporaryFile() as log,
        _terminated(
            subprocess.Popen(
                [*loader, *arguments, "--slots", "--no-webui"],
                cwd=directories.backends,
                env={"PATH": os.defpath, "LLAMA_API_KEY": ",".join(keys)},  # never argv: `ps` shows that
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        ) as process,
    ):
        if not _is_healthy(llama.origin, process):
            log.seek(0)
            tail = log.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"llama-server did not come up (exit {process.poll()}):\n{tail}")
        yield llama


@attrs.frozen
class Directories:
    """Where an unpacked root keeps its libraries and the compute backends ggml loads by name."""

    libraries: tuple[Path, ...]
    backends: Path


def runtime() -> tuple[list[str], Directories]:
    """Return the command that starts llama-server and the directories it needs, or raise RuntimeError."""
    root = STORE / "llama" / "tree"
    loaders = sorted((root / "usr/lib").glob("*/ld-linux*.so.*"))
    backends = sorted((root / "usr/lib").glob("*/ggml/*/libggml-cpu*.so"))
    if not (loaders and backends and (STORE / "tiny.gguf").is_file()):
        raise RuntimeError(f"llama.cpp is not in {STORE}: run tests/e2e/install.sh (`make e2e` does)")
    triplet = loaders[0].parent
    # The second holds the server's own code, which its binary would look for below the real /usr/lib.
    directories = Directories(libraries=(triplet, triplet / "llama"), backends=backends[0].parent)
    library_path = ":".join(str(path) for path in directories.libraries)
    command = [loaders[0], "--inhibit-cache", "--library-path", library_path, root / "usr/bin/llama-server"]
    return [str(word) for word in command], directories


def free_port() -> int:
    """Return a loopback port that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def _terminated(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End the process with the block, by force if it does not go."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_healthy(origin: str, process: subprocess.Popen[bytes]) -> bool:
    """Ask /health until it says yes; no if the process ends or the deadline passes first."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{origin}/health", timeout=1).is_success:
                return True
        except httpx.TransportError:
            pass  # nothing listens yet
        try:
            process.wait(POLL)
        except subprocess.TimeoutExpired:
            continue
        return False
    return False
