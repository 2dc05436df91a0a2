"""Documents of ours as languages: what an editor asks about one goes to the module that knows its kind.

Everything here is the protocol alone: code actions, code lenses, hover, completion and diagnostics, so
that a client needs no code of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
from lsprotocol import types

if TYPE_CHECKING:
    from qwen_ls.lsp.kinds import Completions, Language
    from qwen_ls.lsp.server import Server
    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

DIAGNOSE_AFTER = 0.2  # seconds without a further change
TRIGGERS = ["/", "@", ":", "="]


@attrs.define(eq=False)
class Diagnostics:
    """Findings in open documents, sent when they are other ones; of two looks at a time the later counts."""

    session: Session
    _due: dict[str, asyncio.TimerHandle] = attrs.field(factory=dict)
    _looks: dict[str, object] = attrs.field(factory=dict)  # the latest of each document
    _told: dict[str, list[types.Diagnostic]] = attrs.field(factory=dict)

    def touch(self, text: Text) -> None:
        """A document, or what its findings rest on, has changed: look again soon."""
        if self.session.is_loaded and not is_diagnosed(text):
            return
        if (due := self._due.pop(text.uri, None)) is not None:
            due.cancel()
        loop = asyncio.get_running_loop()
        self._due[text.uri] = loop.call_later(DIAGNOSE_AFTER, self._look, text)

    def touch_all(self) -> None:
        """The same for every open document."""
        for text in self.session.texts:
            self.touch(text)

    def forget(self, uri: str) -> None:
        """A document was closed: what was found in it goes."""
        if (due := self._due.pop(uri, None)) is not None:
            due.cancel()
        self._looks.pop(uri, None)
        if self._told.pop(uri, None):
            self._send(uri, None, [])

    def _look(self, text: Text) -> None:
        self._due.pop(text.uri, None)
        look = self._looks[text.uri] = object()
        self.session.spawn(self._find(text, look))

    async def _find(self, text: Text, look: object) -> None:
        version = text.version
        await self.session.loaded()
        language = language_of(text)
        if language is None or language.diagnose is None:
            return
        found = await language.diagnose(self.session, text) or []
        if self._looks.get(text.uri) is not look or text.version != version:
            return  # closed, or changed meanwhile, which has asked for another look
        if self._told.get(text.uri) != found:
            self._told[text.uri] = found
            self._send(text.uri, version, found)

    def _send(self, uri: str, version: int | None, found: list[types.Diagnostic]) -> None:
        params = types.PublishDiagnosticsParams(uri=uri, version=version, diagnostics=found)
        self.session.editor.protocol.notify(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, params)


def language_of(text: Text) -> Language | None:
    """Who answers for a document; asked once everything is loaded."""
    from qwen_ls.lsp import kinds  # noqa: PLC0415 - loaded by now, off the loop

    return next((language for language in kinds.LANGUAGES if language.claims(text)), None)


def is_diagnosed(text: Text) -> bool:
    """Whether anything can be found in a document."""
    language = language_of(text)
    return language is not None and language.diagnose is not None


def wanted(actions: list[types.CodeAction], context: types.CodeActionContext) -> list[types.CodeAction]:
    """The actions of the kinds that a client asks for; those without a kind only if it asks for none."""
    if not context.only:
        return actions
    kinds = [str(getattr(kind, "value", kind)) for kind in context.only]
    return [
        a for a in actions if a.kind is not None and is_of_kind(str(getattr(a.kind, "value", a.kind)), kinds)
    ]


def is_of_kind(kind: str, wanted: list[str]) -> bool:
    """Whether a kind is one of some, or below one of them."""
    return any(kind == w or kind.startswith(f"{w}.") for w in wanted)


def register(server: Server) -> None:
    """Take in documents, and answer for those of ours."""
    add_sync(server)
    add_answers(server)


def add_sync(server: Server) -> None:
    """Keep open documents in step."""

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        server.session.diagnostics.touch(server.session.texts.open(params.text_document))

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        text = server.session.texts.change(params)
        if text is not None:
            server.session.diagnostics.touch(text)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(_: types.DidSaveTextDocumentParams) -> None:
        server.session.changed()  # a `.env` file, perhaps, where the client watches no files

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.session.texts.close(params.text_document.uri)
        server.session.diagnostics.forget(params.text_document.uri)


def add_answers(server: Server) -> None:
    """Answer what is asked about a document."""

    async def known(document: types.TextDocumentIdentifier) -> tuple[Text, Language] | None:
        await server.session.loaded()
        text = server.session.texts.get(document.uri)
        language = language_of(text) if text is not None else None
        return (text, language) if text is not None and language is not None else None

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION)
    async def code_action(params: types.CodeActionParams) -> list[types.CodeAction] | None:
        if (found := await known(params.text_document)) is None:
            return None
        text, language = found
        return wanted(await language.code_actions(server.session, text, params), params.context) or None

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS)
    async def code_lens(params: types.CodeLensParams) -> list[types.CodeLens] | None:
        found = await known(params.text_document)
        return None if found is None else await found[1].code_lenses(server.session, found[0])

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def hover(params: types.HoverParams) -> types.Hover | None:
        found = await known(params.text_document)
        return None if found is None else await found[1].hover(server.session, found[0], params.position)

    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=list(TRIGGERS))
    )
    async def completion(params: types.CompletionParams) -> Completions:
        found = await known(params.text_document)
        return None if found is None else await found[1].complete(server.session, found[0], params.position)
