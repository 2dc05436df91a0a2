"""The figures: each compares programs that take turns, and gives ratios of medians."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import attrs

from bench.growth import growth
from bench.report import Row
from bench.rig import (
    CAPABILITIES,
    PROGRESS,
    NotInstalled,
    Rig,
    asking,
    chat,
    first_delta,
    kind_of,
    new_token,
    up,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.child import Server

STARTS, PEER_STARTS = 15, 5
ROUND_TRIPS, BATCHES = 400, 6
FIRST_TOKENS, FIRST_CHATS = 120, 7
BURST, BURSTS = 20_000, 15
PACE = 0.02  # seconds between two tokens of a stream: 50 a second
SECONDS = 6  # that streams last
NOOP_EVERY = 0.02  # seconds between two commands beside the streams
NOOP, NOOP_ARGUMENT = "qwen.chat.cancel", {"turnId": "none"}
ENV_LINES, ENV_DEPTH, ENV_CHECKS = 100, 31, 300
WHOLE_RUNS, PEER_RUNS = 21, 5


def in_turn(rounds: int, **programs: Callable[[], float]) -> dict[str, float]:
    """The median of each, measured one after the other, round by round; without those not installed."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, program in programs.items():
            with contextlib.suppress(NotInstalled):
                found[name].append(program())
    return {name: statistics.median(values) for name, values in found.items() if values}


def ratio(found: Mapping[str, float], one: str, other: str) -> float | None:
    """One as so many times the other."""
    return found[one] / found[other] if one in found and other in found else None


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# --- start and memory -----------------------------------------------------------------------------


def start(rig: Rig) -> Iterator[Row]:
    """Spawn to the answer of `initialize`, to the first command, and what is held after that."""
    initialized: dict[str, list[float]] = defaultdict(list)
    held: dict[str, list[float]] = defaultdict(list)

    def life(name: str, begin: Callable[[], Server], command: str | None, *, weigh: bool) -> float:
        with begin() as server:
            server.initialize(rig.workspace, CAPABILITIES)
            initialized[name].append(server.elapsed())
            server.send("initialized", {})
            if command:
                server.command(command, NOOP_ARGUMENT)
            took = server.elapsed()
            if weigh:
                held[name].append(server.settled())
        return took

    def lives(*, weigh: bool) -> dict[str, Callable[[], float]]:
        return {
            "ours": lambda: life("ours", rig.ours, NOOP, weigh=weigh),
            "bare": lambda: life("bare", rig.stock, "bench.noop", weigh=weigh),
            "hand": lambda: life("hand", rig.hand, "bench.noop", weigh=weigh),
        }

    peers = {"copilot": lambda: life("copilot", rig.copilot, None, weigh=True), "acp": rig.qwen_acp}
    answered = in_turn(STARTS, **lives(weigh=False))
    yield Row(
        "spawn to first command answered",
        "bare pygls",
        ratio(answered, "ours", "bare"),
        0.70,
        ratio(answered, "hand", "bare"),
    )
    initialized.clear()
    acp = in_turn(PEER_STARTS, **lives(weigh=True), **peers).get("acp")
    medians = {name: statistics.median(values) for name, values in initialized.items()}
    if acp is not None:
        medians["acp"] = acp
    memory = {name: statistics.median(values) for name, values in held.items()}
    for figure, found, other, against, limit in (
        ("spawn to `initialize` answered", medians, "copilot", "copilot-language-server on node", 0.30),
        ("spawn to `initialize` answered", medians, "acp", "`qwen --acp`", 0.15),
        ("memory after warm-up", memory, "bare", "bare pygls", 1.40),
        ("memory after warm-up", memory, "copilot", "copilot-language-server on node", 0.24),
    ):
        yield Row(figure, against, ratio(found, "ours", other), limit, ratio(found, "hand", other))


# --- commands and answers -------------------------------------------------------------------------


def round_trip(rig: Rig) -> Iterator[Row]:
    """A command that does nothing, in a coroutine as any that does something."""
    with rig.ours() as ours, rig.stock() as stock, rig.hand() as hand:
        took: dict[str, list[float]] = defaultdict(list)
        commands = {"ours": (ours, NOOP), "stock": (stock, "bench.later"), "hand": (hand, "bench.noop")}
        for server, _ in commands.values():
            up(server, rig)
        for _ in range(BATCHES):
            for name, (server, command) in commands.items():
                for _ in range(ROUND_TRIPS):
                    began = time.monotonic()
                    server.command(command, NOOP_ARGUMENT)
                    took[name].append(time.monotonic() - began)
        found = {name: statistics.median(values) for name, values in took.items()}
    yield Row(
        "no-op command round trip",
        "stock pygls",
        ratio(found, "ours", "stock"),
        0.35,
        ratio(found, "hand", "stock"),
    )


def first_token(rig: Rig) -> Iterator[Row]:
    """Send to first token, in a server that is warm and in one that is new."""
    with up(rig.ours(), rig) as ours, rig.direct() as direct:

        def by_httpx() -> float:
            return float(told(direct, [asking(tokens=1)])["first"])

        for _ in range(10):
            first_delta(ours, rig)
            by_httpx()
        found = in_turn(FIRST_TOKENS, ours=lambda: first_delta(ours, rig), httpx=by_httpx, raw=by_socket(rig))
        yield Row(
            "first token, warm",
            "resident httpx",
            ratio(found, "ours", "httpx"),
            1.25,
            ratio(found, "raw", "httpx"),
        )

        def new() -> float:
            with up(rig.ours(), rig) as server:
                return first_delta(server, rig)

        chats = in_turn(FIRST_CHATS, new=new, warm=lambda: first_delta(ours, rig))
        yield Row("first token of the first chat", "warm", ratio(chats, "new", "warm"), 2.0, 1.0)


def by_socket(rig: Rig) -> Callable[[], float]:
    """The floor of a first token: one socket, kept open, read until the first event is there."""
    import http.client
    import json

    host, _, path = rig.base_url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)
    body = json.dumps({"messages": [{"role": "user", "content": asking(tokens=1)}]})

    def ask() -> float:
        began = time.monotonic()
        connection.request("POST", f"/{path}/chat/completions", body)
        response = connection.getresponse()
        response.readline()
        took = time.monotonic() - began
        response.read()
        return took

    return ask


def told(direct: Any, texts: list[str]) -> dict[str, Any]:
    """What the httpx client says of its answers."""
    import json

    direct.write(json.dumps(texts).encode() + b"\n")
    answer: dict[str, Any] = json.loads(direct.line())
    return answer


# --- streams --------------------------------------------------------------------------------------


def burst(rig: Rig) -> Iterator[Row]:
    """CPU for an answer that comes all at once."""

    def cost(server: Server) -> float:
        token, before = new_token(), server.cpu()
        chat(server, rig, asking(tokens=BURST), token)
        while not any(kind_of(m, {token}) == "end" for m in server.messages()):
            pass
        server.notifications.clear()
        return server.cpu() - before

    with up(rig.ours(), rig) as ours, up(rig.null_sink(), rig) as null:
        cost(ours)
        cost(null)
        found = in_turn(BURSTS, ours=lambda: cost(ours), null=lambda: cost(null))
    yield Row("CPU per token in a burst", "a null sink", ratio(found, "ours", "null"), 1.05, 1.0)


@attrs.frozen
class Streamed:
    """What was seen while answers streamed."""

    cpu: float  # seconds
    late: list[float]  # seconds that a token took from the provider's stamp to the client
    noop: list[float]  # seconds that a command took meanwhile


def stream(
    server: Server, begin: Callable[[str, str], None], noop: str, streams: int, read: Callable[[Any], str]
) -> Streamed:
    """Let so many answers stream at 50 tokens a second, and run a command every 20 ms beside them."""
    tokens = {new_token() for _ in range(streams)}
    text = asking(tokens=int(SECONDS / PACE), interval=PACE, stamped=True)
    before, late, took = server.cpu(), [], []
    for token in tokens:
        begin(text, token)
    asked: tuple[int, float] | None = None
    due = time.monotonic() + 1  # all are under way by then
    end = due + SECONDS - 2
    while (now := time.monotonic()) < end or (asked and now < end + 20):
        if asked is None and due <= now < end:
            asked = server.begin("workspace/executeCommand", {"command": noop, "arguments": [{}]}), now
            due = now + NOOP_EVERY
        for message in server.messages(max(0.001, (due if asked is None else end) - now)):
            if asked and message.get("id") == asked[0] and "method" not in message:
                took.append(time.monotonic() - asked[1])
                asked = None
            elif message.get("method") == PROGRESS and message["params"]["token"] in tokens:
                arrived = time.monotonic()
                late += [arrived - float(stamp) for stamp in read(message["params"]["value"]).split()]
        server.notifications.clear()
    return Streamed(server.cpu() - before, late, took or [end - due])


def fifty_streams(rig: Rig) -> Iterator[Row]:
    """Fifty answers at 50 tokens a second each."""
    texts = [asking(tokens=int(SECONDS / PACE), interval=PACE, stamped=True)] * 50
    ours: list[Streamed] = []
    null: list[Streamed] = []
    direct: list[float] = []
    for _ in range(2):
        for found, program in ((ours, rig.ours), (null, rig.null_sink)):
            with up(program(), rig) as server:
                found.append(streamed(server, rig, 50))
        with rig.direct() as client:
            told(client, [asking(tokens=1)])
            direct.append(quantile(told(client, texts)["late"], 0.99))
    cpu = statistics.median(s.cpu for s in ours) / statistics.median(s.cpu for s in null)
    yield Row("50 streams of 50 tokens/s: CPU", "a null sink at the same pace", cpu, 1.6, 1.0)
    late = statistics.median(quantile(s.late, 0.99) for s in ours) - statistics.median(direct)
    yield Row("50 streams of 50 tokens/s: token p99", "direct client, plus", late * 1000, 16.0, 0.0, "ms")


def streamed(server: Server, rig: Rig, streams: int) -> Streamed:
    """The same of our server."""

    def read(value: Any) -> str:
        return str(value["text"]) if value.get("kind") == "delta" else ""

    return stream(
        server, lambda text, token: chat(server, rig, text, token), "qwen.chat.cancel", streams, read
    )


def two_hundred_streams(rig: Rig) -> Iterator[Row]:
    """A command beside two hundred answers."""
    p99: dict[str, list[float]] = defaultdict(list)
    for _ in range(2):
        with up(rig.ours(), rig) as ours:
            p99["ours"].append(quantile(streamed(ours, rig, 200).noop, 0.99))
        with up(rig.stock("stream"), rig) as stock:

            def begin(text: str, token: str, server: Server = stock) -> None:
                argument = {"text": text, "token": token}
                params = {"command": "bench.stream", "arguments": [argument]}
                server.begin("workspace/executeCommand", params)

            seen = stream(stock, begin, "bench.noop", 200, lambda value: str(value["text"]))
            p99["stock"].append(quantile(seen.noop, 0.99))
    with up(rig.ours(), rig) as idle:
        took = []
        for _ in range(200):
            began = time.monotonic()
            idle.command(NOOP, NOOP_ARGUMENT)
            took.append(time.monotonic() - began)
    found = {name: statistics.median(values) for name, values in p99.items()}
    found["idle"] = quantile(took, 0.99)
    yield Row(
        "200 streams: no-op p99 meanwhile",
        "stock pygls",
        ratio(found, "ours", "stock"),
        0.02,
        ratio(found, "idle", "stock"),
    )


# --- files and the terminal -----------------------------------------------------------------------


def env_check(rig: Rig) -> Iterator[Row]:
    """Whether any `.env` file on the way up has changed: 31 folders, one file of 100 lines at the top."""
    from qwen_ls.adapters.env_files import EnvFileSystem

    top = rig.folder / "deep"
    folder = top.joinpath(*(str(n) for n in range(ENV_DEPTH - len(top.parts))))
    folder.mkdir(parents=True)
    lines = "".join(f"NAME_{n}=value {n}\n" for n in range(ENV_LINES))
    (top / ".env").write_text(lines, encoding="utf-8")
    home = rig.folder / "home"
    files = EnvFileSystem(home, None)
    above = [folder, *folder.parents]
    names = [str(each / name) for each in above for name in (".qwen/.env", ".env")]
    names += [str(home / ".qwen/.env"), str(home / ".env")]
    wanted = [*names[: names.index(str(top / ".env")) + 1], *names[-2:]]

    def stats() -> None:
        for name in wanted:
            try:  # noqa: SIM105 - as bare as can be
                os.stat(name)  # noqa: PTH116 - as bare as can be
            except OSError:  # noqa: PERF203
                pass

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        def once() -> float:
            began = time.perf_counter()
            for _ in range(10):
                work()
            return time.perf_counter() - began

        return once

    excluded = ("DEBUG", "DEBUG_MODE")
    found = in_turn(ENV_CHECKS, ours=timed(lambda: files.search(str(folder), excluded)), stats=timed(stats))
    yield Row(
        "`.env` of 100 lines, 31 directories deep, check",
        "a loop of stat",
        ratio(found, "ours", "stats"),
        1.2,
        1.0,
    )


def terminal(rig: Rig) -> Iterator[Row]:
    """`qwen-ls chat hi`, from spawn to exit."""
    found = in_turn(
        WHOLE_RUNS,
        ours=rig.terminal,
        script=lambda: rig.script("script.py"),
        floor=lambda: rig.script("socket_script.py"),
    )
    yield Row(
        "`qwen-ls chat hi`, whole process",
        "a bare httpx script",
        ratio(found, "ours", "script"),
        1.5,
        ratio(found, "floor", "script"),
    )
    found = in_turn(PEER_RUNS, ours=rig.terminal, qwen=rig.qwen, floor=lambda: rig.script("socket_script.py"))
    yield Row(
        "`qwen-ls chat hi`, whole process",
        "`qwen -p hi`",
        ratio(found, "ours", "qwen"),
        0.15,
        ratio(found, "floor", "qwen"),
    )


FIGURES: tuple[Callable[[Rig], Iterator[Row]], ...] = (
    start,
    round_trip,
    first_token,
    burst,
    fifty_streams,
    two_hundred_streams,
    env_check,
    terminal,
    growth,
)
