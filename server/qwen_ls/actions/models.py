"""The models a place's provider lists, and which of them requests ask for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.provider import list_models, with_consent, with_token
from qwen_ls.actions.resolve import stand, state_unwritable
from qwen_ls.actions.switch import USER_TARGET, check_target
from qwen_ls.core.errors import Kind, Problem, one_line
from qwen_ls.core.origin import parse_base_url
from qwen_ls.core.provenance import SourceKind

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Human, Place, Ports
    from qwen_ls.actions.tokens import Accounts
    from qwen_ls.core.credentials import Credential


@attrs.frozen
class Listing:
    """A provider's models, in its order; `active` is the one that requests ask for.

    `is_chosen`: it was chosen on purpose, and that choice can be forgotten.
    """

    provider: str
    base_url: str
    models: tuple[str, ...]
    active: str | None
    is_chosen: bool = False


async def models(ports: Ports, accounts: Accounts, place: Place, human: Human) -> Listing:
    """Ask the provider in force, and the user where that needs consent. Raises Problem."""
    return await with_consent(ports, place, human.consent, partial(listed, ports, accounts, place))


async def listed(ports: Ports, accounts: Accounts, place: Place) -> Listing:
    """Ask the provider in force; the user is not asked anything. Raises Problem."""
    standing = await stand(ports, place)
    signed, found = await with_token(ports, accounts, standing, partial(list_models, ports))
    credential = signed.credential
    active = credential.model.text if credential.model else next(iter(found), None)
    is_chosen = credential.model is not None and credential.model.source.kind is SourceKind.CHOICE
    return Listing(credential.provider.label, credential.base_url, tuple(found), active, is_chosen)


async def select(ports: Ports, place: Place, model: str, target: str | None) -> str:
    """Remember the model to ask for and say what that means; an empty name forgets it.

    It is remembered for the folder, or for the user: by `target`, or where there is no folder; and only
    for the base URL in force. The provider is not asked: a name it does not have is refused with the
    first message. Raises Problem: signed out, no name of a model, no such folder, nothing can be saved.
    """
    check_target(place, target)
    if model != one_line(model):
        remedy = "Name one of qwen.models.list (`qwen-ls models`)"
        raise Problem(Kind.NOT_SUPPORTED, f"{one_line(model)!r} is no model's name", remedy=remedy)
    credential = (await stand(ports, place)).resolution.require()
    base_url = credential.claim.base_url
    parse_base_url(base_url.text, str(base_url.source), ports.settings.insecure_origins)
    folder = None if target == USER_TARGET else place.folder
    try:
        await ports.state.choose_model(folder, credential.base_url, model or None)
    except OSError as error:
        raise state_unwritable(error) from None
    return what_now((await stand(ports, place)).resolution.require(), model)


def what_now(credential: Credential, model: str) -> str:
    """Which model is asked for after a choice, and why it may be another one."""
    asked = credential.model
    shown = f"{asked.text} ({asked.source})" if asked else "the first model that is listed"
    if not model:
        return f"The choice is forgotten: requests ask for {shown}"
    if asked is not None and asked.text == model:
        return f"Requests ask for {shown}"
    return f"{model} is remembered, but {shown} comes first here"
