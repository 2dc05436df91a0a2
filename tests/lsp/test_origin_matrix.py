"""Every place of a key x every place of a base URL x every state of trust, over stdio and at a shell.

`pytest -s tests/lsp/test_origin_matrix.py` prints the whole table. What is expected stands in
`origin_matrix.txt`, written from the rules; it is read here and never written. H1 is the user's server; H2
is called `other.example` and so not on loopback: it is reached as the proxy of plain http, which the user's
settings allow for this origin, so that each byte for it can be read. The gate is the proxy of https; it
lets nobody through, and knows where they wanted to go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from canary import canary
from raw_http import Got, RawServer, answer_of, raw_server
from scene import chat
from sweep import sweep
from wire import METHOD_NOT_FOUND, SOURCES, Client, RpcError, environment, server, uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MATRIX = Path(__file__).with_name("origin_matrix.txt")
ENVIRONMENT, HOME, PROJECT = "environment", "home .env", "project .env"
KEYRING_FOLDER, KEYRING_USER, SETTINGS = "keyring workspace", "keyring user", "settings.json"
PLACES = (ENVIRONMENT, HOME, PROJECT, KEYRING_FOLDER, KEYRING_USER, SETTINGS)
SAME, PARENT, CONFIGURATION = "same source", "parent's .env", "workspace configuration"
RESOURCE, REDIRECT = "resource_url", "redirect"
URLS = (SAME, PROJECT, PARENT, CONFIGURATION, RESOURCE, REDIRECT)
TRUSTED, UNKNOWN, DENIED, UNTRUSTED, HEADLESS = "trusted", "unknown", "denied", "untrusted", "headless"
STATES = (TRUSTED, UNKNOWN, DENIED, UNTRUSTED, HEADLESS)
UNTRUSTED_ORIGIN = "refused untrusted-origin"
REDIRECTS = (301, 302, 303, 307, 308)
OTHER = "http://other.example"
MODEL = "a-model"
AT_ONCE = 4  # servers and shells; more would only wait for each other
WIDTHS = (17, 23, *[24] * len(STATES))
ALLOW = """
import qwen_ls.core.origin as origin
origin.require_consent = origin.require_trust = lambda *_, **__: None
"""
Cell = tuple[str, str, str]  # the key's place, the base URL's place, the state of trust


# --- the table ------------------------------------------------------------------------------------------


def read_matrix() -> dict[Cell, str]:
    """The expectation."""
    lines = [
        line for line in MATRIX.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    head, _, *rows = ([field.strip() for field in line.split("|")] for line in lines)
    assert head == ["key", "base URL", *STATES]
    return {(row[0], row[1], state): row[2 + i] for row in rows for i, state in enumerate(STATES)}


def table(found: Mapping[Cell, str], expected: Mapping[Cell, str]) -> str:
    """Outcomes as text; one that differs is followed by what was expected."""
    lines: list[tuple[str, ...]] = [("key", "base URL", *STATES)]
    for place, url in product(PLACES, URLS):
        cells = [(place, url, state) for state in STATES]
        shown = [found[c] + ("" if found[c] == expected[c] else f" (not {expected[c]})") for c in cells]
        lines.append((place, url, *shown))
    return "\n".join(
        " | ".join(f"{text:<{width}}" for text, width in zip(line, WIDTHS, strict=True)).rstrip()
        for line in lines
    )


# --- one place of the key in one state of trust -----------------------------------------------------------


@attrs.define(eq=False)
class Lane:
    """A home, folders, servers and doors of its own; `key` and `token` occur nowhere else."""

    root: Path
    place: str
    state: str
    path: str
    gate: RawServer
    other: RawServer
    mine: RawServer
    stack: contextlib.AsyncExitStack
    redirect: int = 0
    key: str = attrs.field(factory=lambda: canary("the key of a cell"))
    token: str = attrs.field(factory=lambda: canary("the token of a cached sign-in"))
    clients: dict[bool, Client] = attrs.field(factory=dict)

    @property
    def home(self) -> Path:
        """HOME."""
        return self.root / "home"

    def folder(self, url: str) -> Path:
        """The workspace folder of a cell; its parent is its own, too."""
        return self.root / "work" / str(URLS.index(url)) / "ws"

    def env(self, url: str) -> dict[str, str]:
        """The variables of a process."""
        variables = {
            "HTTP_PROXY": self.other.url,
            "HTTPS_PROXY": self.gate.url,
            "QWEN_LS_OAUTH_BASE_URL": self.mine.url,
            "PYTHONPATH": self.path,
        }
        if self.place == ENVIRONMENT:
            variables |= {"OPENAI_API_KEY": self.key}
            variables |= {"OPENAI_BASE_URL": f"{self.mine.url}/v1"} if url in {SAME, REDIRECT} else {}
        return environment(self.home, **variables)

    # --- what lies on the disk --------------------------------------------------------------------

    def lay(self, url: str) -> None:
        """Put the key and the other base URL where this cell has them."""
        own = f"{self.mine.url}/v1" if url in {SAME, REDIRECT} else None
        pair = f"OPENAI_API_KEY={self.key}\n" + (f"OPENAI_BASE_URL={own}\n" if own else "")
        foreign = f"OPENAI_BASE_URL={OTHER}/v1\n"
        folder = self.folder(url)
        if self.place == HOME:
            put(self.home / ".env", pair)
        elif self.place == SETTINGS:
            auth = {"apiKey": self.key, **({"baseUrl": own} if own else {})}
            put(self.home / ".qwen" / "settings.json", {"security": {"auth": auth}})
        if self.place == PROJECT:
            put(folder / ".env", pair + (foreign if url == PROJECT else ""))
        elif url == PROJECT:
            put(folder / ".env", foreign)
        if url == PARENT:
            put(folder.parent / ".env", foreign)
        elif url == CONFIGURATION:
            put(folder / ".vscode" / "settings.json", {"qwenLs.baseUrl": f"{OTHER}/v1"})
            auth = {"apiKey": "of-the-project", "baseUrl": f"{OTHER}/v1"}
            put(folder / ".qwen" / "settings.json", {"security": {"auth": auth}, **configuration()})
        elif url == RESOURCE:
            put(self.home / ".qwen" / "oauth_creds.json", self.sign_in())
        self.redirect = 0

    def sign_in(self) -> dict[str, Any]:
        """A cached sign-in that names the other server for chat."""
        return {
            "access_token": self.token,
            "refresh_token": self.token,
            "token_type": "Bearer",
            "resource_url": f"{OTHER}/v1",
            "expiry_date": round((time.time() + 3600) * 1000),
        }

    def answer(self, got: Got) -> bytes:
        """What H1 answers."""
        if self.redirect:
            location = f"Location: {self.other.url}/v1/chat/completions"
            return answer_of({}, self.redirect, location)
        return completion(got)

    # --- a message --------------------------------------------------------------------------------

    async def cell(self, url: str) -> str:
        """What becomes of a message in one cell."""
        self.lay(url)
        send = self.at_a_shell if self.state == HEADLESS else self.in_an_editor
        found = {await send(url, status) for status in self.statuses(url)}
        return " or ".join(sorted(found))

    def statuses(self, url: str) -> Iterable[int]:
        """How H1 redirects: in an editor in every way, at a shell in one that differs by the key's place."""
        if url != REDIRECT:
            return (0,)
        return REDIRECTS if self.state != HEADLESS else (REDIRECTS[PLACES.index(self.place) % 5],)

    async def in_an_editor(self, url: str, status: int) -> str:
        """A message over LSP."""
        client = await self.client(url)
        if url == CONFIGURATION:
            client.notify("workspace/didChangeConfiguration", {"settings": configuration()})
        if self.place in {KEYRING_FOLDER, KEYRING_USER}:
            await self.store(client, url)
        if self.state == DENIED:
            client.on("window/showMessageRequest", press_no)
            await refused_as(self.message(client, url))
            client.on("window/showMessageRequest", nobody_there)
        self.forget(status)
        return self.outcome(url, await refused_as(self.message(client, url)))

    async def message(self, client: Client, url: str) -> None:
        """Send one."""
        await chat(client, uri=uri(self.folder(url)), model=MODEL)

    async def client(self, url: str) -> Client:
        """A client of this lane, with the variables of this cell."""
        has_url = self.place == ENVIRONMENT and url in {SAME, REDIRECT}
        if has_url not in self.clients:
            client = await self.stack.enter_async_context(server(self.env(url), self.root))
            client.on("workspace/configuration", lambda asked: [configuration() for _ in asked["items"]])
            knows = {"experimental": {"qwen": {"workspaceTrust": True}}} if self.state == TRUSTED else {}
            says = {"workspaceTrust": self.state} if self.state in {TRUSTED, UNTRUSTED} else {}
            await client.initialize(
                *map(self.folder, URLS),
                capabilities={"workspace": {"workspaceFolders": True, "configuration": True}, **knows},
                options={**says, "user": configuration(), **configuration()},
            )
            self.clients[has_url] = client
        return self.clients[has_url]

    async def store(self, client: Client, url: str) -> None:
        """Hand the key over, with H1 as its base URL."""
        (folder,) = self.home.glob(".local/state/qwen-ls/qwen-ls-*")
        name = secrets.token_hex(16)
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.key)
        target = "user" if self.place == KEYRING_USER else "workspaceFolder"
        where = {"uri": uri(self.folder(url)), "target": target, "baseUrl": f"{self.mine.url}/v1"}
        self.forget(0)
        stored = await client.request("qwen/keys/set", {"keyFile": name, "model": MODEL, **where})
        assert stored["checked"]

    async def at_a_shell(self, url: str, status: int) -> str:
        """A message from `qwen-ls chat`, whose standard input is no terminal."""
        folder = str(self.folder(url))
        stored = (self.home / ".local" / "state" / "qwen-ls" / "keys.json").exists()
        if self.place == KEYRING_FOLDER or (self.place == KEYRING_USER and not stored):
            target = "user" if self.place == KEYRING_USER else "workspaceFolder"
            where = ("--target", target, "--base-url", f"{self.mine.url}/v1", "--model", MODEL)
            code, _ = await self.run(url, "keys", "set", "--folder", folder, *where)
            assert code == 0
        self.forget(status)
        arguments = ("chat", "hello", "--json", "--model", MODEL, "--folder", folder)
        code, out = await self.run(url, *arguments)
        kind = json.loads(out).get("error", {}).get("kind")
        assert code == (0 if kind is None else 1)
        return self.outcome(url, kind)

    async def run(self, url: str, *arguments: str) -> tuple[int, bytes]:
        """`qwen-ls` with the key on standard input; its exit code and its output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "qwen_ls", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.env(url),
            cwd=self.root,
        )
        out, _ = await asyncio.wait_for(process.communicate(self.key.encode()), 20)
        assert process.returncode is not None
        return process.returncode, out

    # --- what came of it --------------------------------------------------------------------------

    def forget(self, status: int) -> None:
        """Begin a cell's own message: from now on H1 redirects, or does not."""
        for raw in (self.mine, self.other, self.gate):
            raw.got.clear()
        self.redirect = status

    def outcome(self, url: str, kind: str | None) -> str:
        """Who saw the key. Where it is not H2's to see, H2 saw nothing at all, and nothing of it."""
        bearer = f"Bearer {self.key}"
        seen = [name for name, raw in (("H1", self.mine), ("H2", self.other)) if bearers(raw) == {bearer}]
        secrets_ = {self.key: "key", self.token: "token"}
        if seen != ["H2"]:
            assert self.other.got == []
            assert sweep({"H2": self.other.everything}, secrets_) == []
        assert sweep({"gate": self.gate.everything}, secrets_) == []
        if kind is None:
            return " and ".join(seen) or "nobody"
        if {got.target for got in self.gate.got} == {"api.openai.com:443"}:
            assert (kind, seen) == ("network", [])
            return "default"
        assert self.gate.got == []
        assert bool(seen) == (url == REDIRECT and kind == "network"), seen
        return f"refused {kind}"


def bearers(raw: RawServer) -> set[str | None]:
    """The Authorization headers that a server saw."""
    return {got.header("authorization") for got in raw.got}


def completion(_: Got) -> bytes:
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    return answer_of({"id": "a", "object": "chat.completion", "model": MODEL, "choices": [choice]})


def configuration() -> dict[str, Any]:
    """A repository's settings, which name the other server in every way that might be read."""
    url = f"{OTHER}/v1"
    named = {"baseUrl": url, "base_url": url, "OPENAI_BASE_URL": url, "env": {"OPENAI_BASE_URL": url}}
    return {**named, "qwenLs": named, "qwen-ls": named, "proxy": OTHER}


def put(path: Path, content: str | Mapping[str, Any]) -> None:
    """Write a file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def press_no(params: Any) -> Any:
    """The user's No; a question that has none (which way in?) is closed."""
    return next((action for action in params["actions"] if action["title"] == "No"), None)


def nobody_there(_: Any) -> Any:
    """What a client without questions answers."""
    raise RpcError({"code": METHOD_NOT_FOUND, "message": "method not found"})


async def refused_as(sending: Any) -> str | None:
    """The kind of a refusal; None for an answer."""
    try:
        await sending
    except RpcError as error:
        return error.kind or str(error)
    return None


# --- all of them ------------------------------------------------------------------------------------------


async def observe(root: Path, lanes: Iterable[tuple[str, str]], path: str) -> dict[Cell, str]:
    """The outcome of every cell of some lanes (place, state); `path` is where Python finds its modules."""
    turnstile = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, place: str, state: str) -> dict[Cell, str]:
        async with turnstile, contextlib.AsyncExitStack() as stack:
            gate = await stack.enter_async_context(raw_server(lambda _: answer_of({}, 403)))
            other = await stack.enter_async_context(raw_server(completion))
            mine = await stack.enter_async_context(raw_server(completion))
            lane = Lane(root / str(number), place, state, path, gate, other, mine, stack)
            mine.answer = lane.answer
            allowed = {"insecureOrigins": [OTHER], "allowPlaintextKeys": state == HEADLESS}
            put(lane.home / ".config" / "qwen-ls" / "settings.json", allowed)
            for url in URLS:
                lane.folder(url).mkdir(parents=True)
            return {(place, url, state): await lane.cell(url) for url in URLS}

    found = await asyncio.gather(*(one(number, *lane) for number, lane in enumerate(lanes)))
    return {cell: outcome for outcomes in found for cell, outcome in outcomes.items()}


async def test_each_key_goes_where_its_own_tier_says(tmp_path: Path) -> None:
    """The whole table is as expected; wherever H2 is not due the key, no byte of it came there."""
    expected = read_matrix()
    assert set(expected) == set(product(PLACES, URLS, STATES))
    found = await observe(tmp_path, product(PLACES, STATES), str(SOURCES))
    shown = table(found, expected)
    print(f"\n{shown}\n{len(found)} cells")  # noqa: T201 - it is asked for by -s
    assert found == expected, shown


async def test_the_deciding_functions_decide(tmp_path: Path) -> None:
    """With both of them patched to allow, every cell refused for trust changes, and no other does."""
    expected = read_matrix()
    for_trust = {cell for cell, outcome in expected.items() if outcome == UNTRUSTED_ORIGIN}
    lanes = sorted({(place, state) for place, _, state in for_trust})
    put(tmp_path / "patch" / "sitecustomize.py", ALLOW)
    found = await observe(tmp_path, lanes, f"{tmp_path / 'patch'}{os.pathsep}{SOURCES}")
    assert [cell for cell in for_trust if found[cell] == expected[cell]] == []
    others = found.keys() - for_trust
    assert {cell: found[cell] for cell in others} == {cell: expected[cell] for cell in others}
    named = {cell for cell in for_trust if cell[1] == PROJECT or cell[:2] == (ENVIRONMENT, PARENT)}
    assert {found[cell] for cell in named} == {"H2"}
