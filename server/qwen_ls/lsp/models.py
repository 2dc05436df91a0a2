"""The provider's models in an editor: listed, and chosen by name or by a question."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types

from qwen_ls import contract, payloads
from qwen_ls.actions import models as models_action
from qwen_ls.core.errors import Cause, Kind, Problem, one_line
from qwen_ls.lsp.editor import ANSWER_WITHIN, CANCEL, within

if TYPE_CHECKING:
    from qwen_ls.actions.models import Listing
    from qwen_ls.actions.ports import Place
    from qwen_ls.lsp.session import Session

MOST_TITLES = 6  # buttons that every client shows
LONGEST_TITLE = 60  # characters
DEFAULT = "Default"
WAYS = "`/model NAME` in a chat document, `model: NAME` in its front matter, or OPENAI_MODEL"


async def models_list(session: Session, params: contract.FolderParams, twin: bool) -> contract.ModelsResult:  # noqa: FBT001 - one shape for all
    """The provider's models; the command does not wait for long. Raises Problem."""
    world, place = await session.world(), await session.place(params.uri)
    asking = session.task(models_action.models(world.ports, world.accounts, place, session.editor))
    try:
        is_late = not twin and not await within(asking, ANSWER_WITHIN)
    except asyncio.CancelledError:
        asking.cancel()
        raise
    if is_late:  # it goes on: a question may be open
        raise Problem(
            Kind.NETWORK,
            "There is no list of models yet",
            remedy="Answer the question if there is one and ask again, or send qwen/models/list, which waits",
            cause=Cause.TIMEOUT,
            retryable=True,
        )
    return payloads.models(await asking)


async def models_select(
    session: Session,
    params: contract.ModelSelectParams,
    _: bool,  # noqa: FBT001 - as above
) -> contract.ModelSelectResult:
    """Choose the model; without one the user is asked, and the answer does not wait for long."""
    place = await session.place(params.uri)
    if params.model is not None:
        return await selected(session, place, params.model, params.target)
    asking = session.task(pick(session, place))
    if await within(asking, ANSWER_WITHIN):
        chosen, ways = await asking
        if chosen is None:
            session.editor.tell(ways)
            return contract.ModelSelectResult(None, ways, await session.status(place))
        return await selected(session, place, chosen, params.target)
    session.spawn(select_when_picked(session, place, params.target, asking))
    return contract.ModelSelectResult(None, "Choose a model", await session.status(place))


async def selected(
    session: Session, place: Place, model: str, target: str | None
) -> contract.ModelSelectResult:
    """Choose, and say what that means."""
    world = await session.world()
    message = await models_action.select(world.ports, place, model, target)
    session.changed()
    session.editor.tell(message)
    status = await session.status(place)
    return contract.ModelSelectResult(status.model, message, status)


async def select_when_picked(
    session: Session, place: Place, target: str | None, asking: asyncio.Task[tuple[str | None, str]]
) -> None:
    """Go on once the user has chosen, and say so, or how else a model is named."""
    try:
        chosen, message = await asking
        if chosen is not None:
            message = (await selected(session, place, chosen, target)).message
    except Problem as problem:
        session.editor.say(problem.message, types.MessageType.Error)
        return
    if chosen is None or not session.editor.is_plain:  # else it has been told
        session.editor.say(message)


async def pick(session: Session, place: Place) -> tuple[str | None, str]:
    """Let the user choose: a name, or "" for none. Nothing chosen: None, and the ways to name one.

    Raises Problem when the provider tells no models.
    """
    world = await session.world()
    listing = await models_action.models(world.ports, world.accounts, place, session.editor)
    titles = titles_of(listing)
    more = len(listing.models) - sum(bool(name) for name in titles.values())
    question = f"Which model of {listing.base_url}?"
    if more > 0:
        question += f" {more} more can be named: {WAYS}"
    chosen = await session.editor.choose(question, [*titles, CANCEL])
    if chosen in titles:
        return titles[chosen], ""
    named = ", ".join([*listing.models[:MOST_TITLES], *(["…"] if listing.models[MOST_TITLES:] else [])])
    return None, f"No model was chosen. {listing.base_url} has {named}. To name one: {WAYS}"


def titles_of(listing: Listing) -> dict[str, str]:
    """Title -> name: the first few models with the active one among them, and a way to forget a choice."""
    default = {DEFAULT: ""} if listing.is_chosen else {}
    first = list(listing.models)
    room = MOST_TITLES - len(default) - 1  # the last one cancels
    if listing.active is not None and listing.active not in first[:room]:
        first = [listing.active, *(name for name in first if name != listing.active)]
    names = {title_of(name, is_active=name == listing.active): name for name in first[:room]}
    return {**names, **default}


def title_of(name: str, *, is_active: bool) -> str:
    """A model's button."""
    return one_line(name, LONGEST_TITLE) + (" (now)" if is_active else "")
