"""The models a place's provider lists."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.provider import list_models, with_consent, with_token
from qwen_ls.actions.resolve import stand

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Human, Place, Ports
    from qwen_ls.actions.tokens import Accounts


@attrs.frozen
class Listing:
    """A provider's models, in its order; `active` is the one that requests ask for."""

    provider: str
    base_url: str
    models: tuple[str, ...]
    active: str | None


async def models(ports: Ports, accounts: Accounts, place: Place, human: Human) -> Listing:
    """Ask the provider in force. Raises Problem."""

    async def attempt() -> Listing:
        standing = await stand(ports, place)
        signed, found = await with_token(ports, accounts, standing, partial(list_models, ports))
        credential = signed.credential
        active = credential.model.text if credential.model else next(iter(found), None)
        return Listing(credential.provider.label, credential.base_url, tuple(found), active)

    return await with_consent(ports, place, human.consent, attempt)
