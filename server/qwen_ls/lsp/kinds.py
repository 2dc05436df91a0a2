"""The kinds of documents that are answered for, and the modules that know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from qwen_ls.lsp import chat_language, env_document
from qwen_ls.lsp.chat_completion import complete
from qwen_ls.lsp.documents import is_chat

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lsprotocol import types

    from qwen_ls.lsp.session import Session
    from qwen_ls.lsp.texts import Text

    Completions = list[types.CompletionItem] | types.CompletionList | None


async def nothing(*_: Any) -> Any:
    """What a language answers where it has nothing to say."""
    return None


@attrs.frozen
class Language:
    """One kind of document, and who answers for it."""

    claims: Callable[[Text], bool]
    code_actions: Callable[[Session, Text, types.CodeActionParams], Awaitable[list[types.CodeAction]]]
    code_lenses: Callable[[Session, Text], Awaitable[list[types.CodeLens] | None]] = nothing
    hover: Callable[[Session, Text, types.Position], Awaitable[types.Hover | None]] = nothing
    complete: Callable[[Session, Text, types.Position], Awaitable[Completions]] = nothing
    diagnose: Callable[[Session, Text], Awaitable[list[types.Diagnostic] | None]] | None = None


LANGUAGES: tuple[Language, ...] = (
    Language(is_chat, chat_language.code_actions, chat_language.code_lenses, chat_language.hover, complete),
    Language(
        claims=env_document.claims,
        code_actions=env_document.code_actions,
        hover=env_document.hover,
        complete=env_document.complete,
        diagnose=env_document.diagnose,
    ),
    Language(lambda _: True, chat_language.ask_actions),
)
"""The first that claims a document answers for it."""
