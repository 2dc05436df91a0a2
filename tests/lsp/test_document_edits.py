"""While answers are written into documents, their user edits them: nothing of theirs is ever lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import attrs
import pytest
import pytest_asyncio

from lsp.buffers import Editor
from lsp.talk import USUAL, Talk, set_out, unique
from lsp.test_documents import EGLOT, MANNERS, VERSIONED, ask, folder
from provider import running_provider
from qwen_ls.core.chat import Role
from qwen_ls.core.chatdoc import parse_document
from wire import environment, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lsp.buffers import Buffer, Manners

pytestmark = pytest.mark.asyncio(loop_scope="module")
EDITS = 200  # in all
TAIL = 3  # lines at the end that half of them go to
REPLY = "word and\nanother " * 5000
TYPED = ["", " ", "\n", "é😀", "### user", "word "]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Talk]]:
    """A provider that says words without end, and two servers: the second one's client is Emacs' by name."""
    async with contextlib.AsyncExitStack() as stack:
        provider = await stack.enter_async_context(running_provider())
        found = []
        for info in ({"name": "tests"}, EGLOT):
            root = tmp_path_factory.mktemp("edits")
            env = environment(root / "home", QWEN_LS_OAUTH_BASE_URL=provider.issuer)
            client = await stack.enter_async_context(server(env, cwd=root))
            found.append(await set_out(root, client, provider, capabilities=VERSIONED, clientInfo=info))
        await provider.configure(**{**USUAL, "reply": REPLY, "token_interval": 0.005})
        yield found


@attrs.define(eq=False)
class Typist:
    """Edits documents at random while answers are written into them."""

    talk: Talk
    editor: Editor
    chance: random.Random
    typed: dict[str, list[str]] = attrs.field(factory=dict)  # by document
    during: int = 0  # edits made while an answer came in
    in_tail: int = 0
    taken_back: int = 0

    async def streaming(self, buffer: Buffer | None) -> Buffer:
        """A document that an answer is being written into: this one, or a new one."""
        if buffer is not None and "Qwen: Stop" in await self.editor.actions(buffer):
            return buffer
        question = unique("edit me")
        new = self.editor.write(folder(self.talk) / f"{question}.qwen.md", ask(question))
        await self.editor.run(new, "Qwen: Send")
        await self.editor.until(new, lambda text: text.count("word") > 2)
        self.typed[new.uri] = []
        return new

    def edit(self, buffer: Buffer, number: int) -> None:
        """Type something, not into what was typed before."""
        text = buffer.text
        start = sum(len(line) + 1 for line in text.split("\n")[:-TAIL])
        is_in_tail = number % 2 == 0
        places = range(start, len(text) + 1) if is_in_tail else range(start)
        free = [at for at in places if text.rfind("⟦", 0, at) <= text.rfind("⟧", 0, at)]
        at, piece = self.chance.choice(free), f"⟦{number}{self.chance.choice(TYPED)}⟧"
        self.editor.edit(buffer, at, at, piece)
        self.typed[buffer.uri].append(piece)
        self.in_tail += is_in_tail

    def take_back(self, buffer: Buffer) -> None:
        """Delete something that was typed before."""
        typed = self.typed[buffer.uri]
        if typed:
            piece = typed.pop(self.chance.randrange(len(typed)))
            at = buffer.text.index(piece)
            self.editor.edit(buffer, at, at + len(piece), "")
            self.taken_back += 1

    async def work(self, edits: int) -> None:
        """Make so many edits, each during a stream, which goes on between them or is stopped by one."""
        buffer = None
        for number in range(edits):
            buffer = await self.streaming(buffer)
            seen = len(self.editor.edits)
            self.edit(buffer, number)
            if number % 4 == 3:
                self.take_back(buffer)
            while len(self.editor.edits) == seen and "Qwen: Stop" in await self.editor.actions(buffer):
                pass
            self.during += 1
        for uri in self.typed:
            await self.talk.client.command("qwen.chat.cancel", document=uri)


def check_rest(text: str, typed: list[str]) -> None:
    """What is in a document beside what its user typed: the question, and one answer as far as it came."""
    for piece in typed:
        text = text.replace(piece, "", 1)
    assert "⟦" not in text
    question, answer, *rest = parse_document(text).blocks
    assert (question.role, question.content.partition(" ")[0]) == (Role.USER, "edit")
    assert answer.role is Role.ASSISTANT
    assert REPLY.startswith(answer.content)
    assert [(b.role, b.content) for b in rest] in ([], [(Role.USER, "")])


async def test_no_character_of_the_users_is_lost(talks: list[Talk]) -> None:
    """200 random edits during streams, some taken back, in the manners of four editors: all stands there."""

    def route(params: object) -> object:
        uri = params["edit"]["documentChanges"][0]["textDocument"]["uri"]  # type: ignore[index]
        return next(t.editor for t in typists if uri in t.editor.buffers)._apply(params)

    def typist(seed: int, manners: Manners) -> Typist:
        talk = talks[manners.counts_late]
        return Typist(talk, Editor(talk.client, manners), random.Random(seed))  # noqa: S311 - the same each time

    typists = [typist(seed, manners) for seed, manners in enumerate(MANNERS.values())]
    for talk in talks:
        talk.client.on("workspace/applyEdit", route)
    await asyncio.gather(*(t.work(EDITS // len(typists)) for t in typists))
    for found in typists:
        assert found.during == EDITS // len(typists)
        assert found.in_tail * 2 == found.during
        assert found.taken_back > 3
        assert not any(found.editor.replaced)  # edits of ours are pure insertions
        for uri, typed in found.typed.items():
            text = found.editor.buffers[uri].text
            assert [piece for piece in typed if piece not in text] == []
            check_rest(text, typed)
