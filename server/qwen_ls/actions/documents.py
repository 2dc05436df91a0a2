"""A new chat document, with what it is about written into it: it is its own memory."""

from __future__ import annotations

import time
from pathlib import PurePath
from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.context import given_text
from qwen_ls.core.chat import Message, Role
from qwen_ls.core.chatdoc import write_document
from qwen_ls.core.context import Given, fenced, front_of, selection_block
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.mentions import write_mention

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.core.context import Selection

EXPLAIN = "Explain this diagnostic, and how to mend it: @diagnostics"


async def new_document(ports: Ports, place: Place, given: Given, file: str | None = None) -> str:
    """Make a chat document about what is given, or about a whole file; its path. Raises Problem.

    Paths below the workspace folder are written relative to it. What lies elsewhere cannot be mentioned,
    so that the text of a selection there is written into the message itself.
    """
    selection = given.selection
    diagnostics = tuple(attrs.evolve(d, path=relative(d.path, place)) for d in given.diagnostics)
    words = [EXPLAIN] if diagnostics else []
    if selection is not None and selection.text is not None and not is_below(selection.path, place):
        words.append(await quoted(ports, place, selection, selection.text))
        selection = None
    elif selection is not None:
        selection = attrs.evolve(selection, path=relative(selection.path, place))
        words.append("@selection")
    elif file is not None:
        words.append(write_mention(relative(file, place)))
    message = Message(Role.USER, "\n\n".join(words))
    text = write_document([message], front_of(Given(selection, diagnostics=diagnostics))) + "\n"
    name = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime(ports.clock.now()))
    try:
        return await ports.chat_files.create(place.folder, name, text)
    except OSError as error:
        raise Problem(
            Kind.NOT_SUPPORTED,
            f"The chat document could not be made: {error.strerror}",
            where=str(error.filename or ".qwen/chats"),
            remedy="Make the folder writable, or open any file whose name ends in .qwen.md",
        ) from None


async def quoted(ports: Ports, place: Place, selection: Selection, text: str) -> str:
    """A selection's text as Markdown. Raises Problem (not-supported, too-large) as if it were mentioned."""
    shown, text = await given_text(ports, place, selection.path, text)
    return fenced(selection_block(shown, selection, text))


def is_below(path: str, place: Place) -> bool:
    """Whether a path lies below the workspace folder."""
    return place.folder is not None and PurePath(path).is_relative_to(place.folder)


def relative(path: str, place: Place) -> str:
    """A path as it is mentioned: below the workspace folder where it is there."""
    file = PurePath(path)
    return (file.relative_to(place.folder) if place.folder and is_below(path, place) else file).as_posix()
