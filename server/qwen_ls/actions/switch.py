"""Choose the method in force, for a folder or for the user; running answers keep their credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_ls.actions.resolve import stand, state_unwritable
from qwen_ls.core.credentials import API_KEY
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.stored import FOLDER

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Place, Ports

USER_TARGET = "user"


async def switch(ports: Ports, place: Place, method: str, target: str | None) -> str:
    """Make `method` the one in force and say what that means. Raises Problem for an unknown method.

    A method without a credential is chosen all the same: the message says that it is signed out.
    """
    check_method(ports, method)
    check_target(place, target)
    await remember(ports, place, method, target)
    if (stays := await overruled(ports, place, method)) is not None:
        return stays
    resolution = (await stand(ports, place)).resolution
    if resolution.problem is not None:
        return f"Switched to {method}. {resolution.problem.message}"
    credential = resolution.require()
    return f"Switched to {method}: {credential.provider.label}, {credential.claim.source}"


async def overruled(ports: Ports, place: Place, method: str) -> str | None:
    """That `method` has been remembered and another one is in force at `place` all the same, if so."""
    resolution = (await stand(ports, place)).resolution
    if resolution.method == method:
        return None
    return (
        f"{method} is remembered, but {resolution.method} stays in force here "
        f"({resolution.chosen_by.value} comes first)"
    )


def check_method(ports: Ports, method: str) -> None:
    """Raise Problem(not-supported) for a method that there is not."""
    if method != API_KEY and method not in ports.sign_ins:
        remedy = f"Choose one of {', '.join((*ports.sign_ins, API_KEY))}"
        # What was given is not said again: somebody may have taken this for the place to enter a key.
        raise Problem(Kind.NOT_SUPPORTED, "There is no such method", remedy=remedy)


def check_target(place: Place, target: str | None) -> None:
    """Raise Problem(not-supported) for the target of a folder where none is meant."""
    if target == FOLDER and place.folder is None:
        remedy = "Open a folder, name one by its uri where there are several, or use the target user"
        raise Problem(Kind.NOT_SUPPORTED, "There is no workspace folder to keep this for", remedy=remedy)


async def remember(ports: Ports, place: Place, method: str | None, target: str | None) -> None:
    """Write the choice for the folder, or for the user: by `target`, or where there is no folder.

    Raises Problem when it cannot be written.
    """
    folder = None if target == USER_TARGET else place.folder
    try:
        await ports.state.choose(folder, method)
    except OSError as error:
        raise state_unwritable(error) from None
