"""The answers into chat documents: one a document, and those that wait for their document's user."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from qwen_ls import contract, payloads
from qwen_ls.core.chat import Role
from qwen_ls.core.chatdoc import LANGUAGE_ID, SUFFIX, find_messages, parse_document
from qwen_ls.core.context import given_of
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.slash import is_cleared
from qwen_ls.lsp.chat import NOTHING, Conversation, given_by
from qwen_ls.lsp.writing import Stage, Writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from qwen_ls.core.chatdoc import ChatDocument
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

MOST_CLOSED = 16  # answers that wait for their document to be opened again


def is_chat(text: Text) -> bool:
    """Whether a document is a chat document."""
    return text.language_id == LANGUAGE_ID or text.uri.lower().endswith(SUFFIX)


@attrs.define(eq=False)
class Documents:
    """The answers under way into chat documents, and those that are held back, by URI."""

    session: Session
    writings: dict[str, Writing] = attrs.field(factory=dict)
    drops_edits: bool = False  # the client did not take the last one that was tried

    def writing(self, uri: str) -> Writing | None:
        """The answer that is on its way into a document, or held back."""
        writing, text = self.writings.get(uri), self.session.texts.get(uri)
        if writing is not None and text is not None and writing.text is not text:
            writing.reopened(text)
        return writing

    def begin(self, text: Text, asked: str, stop: Callable[[], object]) -> Writing:
        """Make the way for the answer to a message. Raises Problem where another one is on it.

        One that waits goes where the client has not taken it: the document is not refused for ever.
        """
        held = self.writing(text.uri)
        if held is not None and held.is_ready and held.has_failed:
            held.drop()
        elif held is not None and held.stage is not Stage.OVER:
            what, remedy = "An answer is being written into this document", "Wait for it, or stop it"
            if held.is_ready:
                what, remedy = "An answer waits for this document", "Run the action Insert answer first"
            raise Problem(Kind.NOT_SUPPORTED, what, where=text.path or text.uri, remedy=remedy)
        stage = Stage.WRITING if self.session.editor.takes_edits else Stage.HELD
        number = max(1, len(find_messages(text.text, asked)))
        writing = self.writings[text.uri] = Writing(self.session, text, asked, stop, number, stage)
        self.session.spawn(writing.run())
        self.changed(writing)
        return writing

    def changed(self, writing: Writing) -> None:
        """How an answer stands is another: the document's actions are too."""
        if writing.stage is Stage.OVER and self.writings.get(writing.text.uri) is writing:
            del self.writings[writing.text.uri]
        if writing.is_ready:
            first = "" if writing.is_open else f"open {writing.text.name} again and "
            self.session.editor.say(f"The answer is ready: {first}run the code action Qwen: Insert answer")
        self.session.refresh_lenses()

    def keep(self, writing: Writing) -> None:
        """The document that an answer waits for was closed: the answer stays, among the latest ones."""
        del self.writings[writing.text.uri]
        self.writings[writing.text.uri] = writing
        closed = [w for w in self.writings.values() if w.stage is Stage.HELD and not w.is_open]
        for dropped in closed[:-MOST_CLOSED]:
            dropped.drop()
        self.changed(writing)

    def stop(self, uri: str) -> bool:
        """Stop the answer into a document; whether there was one."""
        writing = self.writings.get(uri)
        return writing is not None and bool(writing.stop())

    async def insert(self, uri: str | None) -> bool:
        """Put in the answers that were held back and have all come; whether there was any. Raises Problem."""
        wanted = [self.writing(known) for known in list(self.writings) if uri in {None, known}]
        held = [w for w in wanted if w is not None and w.is_ready and w.is_open]
        inserting = [writing.insert_held() for writing in held]
        for failed in await asyncio.gather(*inserting, return_exceptions=True):
            if failed is not None:
                raise failed
        return bool(held)

    def open(self, uri: str) -> Text:
        """An open chat document. Raises Problem."""
        text = self.session.texts.get(uri)
        if text is not None and is_chat(text):
            return text
        what = "No such chat document is open" if text is None else "That is no chat document"
        remedy = f"Open a file whose name ends in {SUFFIX}"
        raise Problem(Kind.NOT_SUPPORTED, what, where=uri, remedy=remedy)


def message_of(document: ChatDocument, text: Text) -> str:
    """The message that is to be sent. Raises Problem where there is none."""
    last = document.last
    if last is None or last.role is not Role.USER or not last.content:
        remedy = "Write one below a line `### user` at the end"
        raise Problem(Kind.NOT_SUPPORTED, NOTHING, where=text.path or text.uri, remedy=remedy)
    return last.content


async def send(session: Session, params: contract.ChatSendParams, *, twin: bool) -> contract.ChatResult:
    """Send a chat document's last message and write the answer into it."""
    assert params.document is not None  # noqa: S101 - else it is not sent here
    world, place = await session.world(), await session.place(params.document)
    text = session.documents.open(params.document)  # only now: it may have been closed meanwhile
    document = parse_document(text.text)
    asked, given = message_of(document, text), given_by(params.context, session.texts)
    turn = world.chats.begin(place, None, document.messages, None, keep=False)
    turn.asked_model = params.model or document.front.get("model") or None
    turn.given, turn.lasting = given, given_of(document.front)
    turn.is_cleared, turn.thread = is_cleared(document.messages), text.uri
    try:
        writing = session.documents.begin(text, asked, turn.stop)
    except Problem:
        world.chats.turns.pop(turn.id, None)
        raise
    waits = twin or params.wait
    conversation = Conversation(session, world, turn, writing)
    task = conversation.begin(params.work_done_token, tell=not waits)
    if waits:
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            turn.stop()
            raise
        finally:
            if turn.over:
                await writing.ended.wait()
    return payloads.chat_result(turn, with_text=False)
