"""What is left behind: KiB more after thousands of commands, changes of a document, and chats."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from bench.report import Row
from bench.rig import first_delta, up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.child import Server
    from bench.rig import Rig

COMMANDS, CHANGES, CHATS = 10_000, 10_000, 1_000
IN_FLIGHT = 100
WHOLE_EVERY = 200  # changes of which one replaces the whole text
NAME = "notes.qwen.md"
TEXT = "# Notes\n\n" + "A line of a document that somebody writes.\n" * 200
OURS, STOCK = "qwen.chat.cancel", "bench.later"


def growth(rig: Rig) -> Iterator[Row]:
    """The three of them, of our server and of pygls as it comes; the latter for comparison alone."""
    works: tuple[tuple[str, Callable[[Server, str], Callable[[int], None]], int, float], ...] = (
        ("10,000 commands", lambda server, name: lambda n: commands(server, name, n), COMMANDS, 200),
        ("10,000 didChange", lambda server, name: changes(server, name, rig), CHANGES, 2048),
    )
    for what, work, rounds, limit in works:
        with up(rig.ours(), rig) as ours, up(rig.stock(), rig) as stock:
            mine = grown(ours, work(ours, OURS), rounds)
            theirs = grown(stock, work(stock, STOCK), rounds)
        against = f"stock pygls: {theirs:,.0f} KiB"
        yield Row(f"memory growth over {what}", against, mine, limit, 0, "KiB")
    with up(rig.ours(), rig) as ours:
        mine = grown(ours, lambda n: chats(ours, rig, n), CHATS)
    yield Row("memory growth over 1,000 chats", "", mine, 1024, 0, "KiB")


def grown(server: Server, work: Callable[[int], None], rounds: int) -> float:
    """KiB more after so many rounds; the lesser of two tries: what is allocated once is not kept of each."""
    work(rounds // 2)
    held = [server.settled()]
    for _ in range(2):
        work(rounds)
        held.append(server.settled())
    return min(held[1] - held[0], held[2] - held[1])


def commands(server: Server, name: str, rounds: int) -> None:
    """Commands, a hundred at a time."""
    for _ in range(rounds // IN_FLIGHT):
        params = {"command": name, "arguments": [{"turnId": "none"}]}
        left = {server.begin("workspace/executeCommand", params) for _ in range(IN_FLIGHT)}
        while left:
            left -= {message["id"] for message in server.messages() if "id" in message}


def changes(server: Server, name: str, rig: Rig) -> Callable[[int], None]:
    """Changes of one document that is open, a hundred at a time."""
    uri, versions = (rig.workspace / NAME).as_uri(), count(1)
    document = {"uri": uri, "languageId": "markdown", "version": 0, "text": TEXT}
    server.send("textDocument/didOpen", {"textDocument": document})

    def work(rounds: int) -> None:
        for number in range(rounds):
            at = {"line": 3, "character": number % 10}
            typed = {"range": {"start": at, "end": at}, "text": "x" if number % 10 else "\n"}
            change = typed if number % WHOLE_EVERY else {"text": TEXT}
            params = {"textDocument": {"uri": uri, "version": next(versions)}, "contentChanges": [change]}
            server.send("textDocument/didChange", params)
            if number % IN_FLIGHT == 0:
                server.command(name, {"turnId": "none"})  # answered when all of that has been taken in
        server.notifications.clear()

    return work


def chats(server: Server, rig: Rig, rounds: int) -> None:
    """Messages, each answered before the next."""
    for _ in range(rounds):
        first_delta(server, rig)
    server.notifications.clear()
