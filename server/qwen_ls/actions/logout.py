"""Forget a credential, and say what still applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from qwen_ls.actions.keys import remove_key
from qwen_ls.actions.resolve import from_home, stand
from qwen_ls.actions.switch import check_method, check_target, remember
from qwen_ls.core.credentials import API_KEY, QWEN_OAUTH
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.ladder import resolve
from qwen_ls.core.stored import FOLDER, USER

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.actions.tokens import Accounts, Tokens
    from qwen_ls.core.stored import Target


async def logout(
    ports: Ports, accounts: Accounts, place: Place, method: str | None, target: str | None
) -> tuple[bool, str]:
    """Forget `method`'s credential (None: the one in force) and the choice of it.

    Of the stored keys it is `target`'s; without a target the one that signs at this place, and none if none
    does. A sign-in is the user's: its choice goes for the folder and the user, whatever `target` says.
    Returns whether there was one, and a line that says what still applies. Raises Problem.
    """
    method = method or (await stand(ports, place)).resolution.method or QWEN_OAUTH
    check_method(ports, method)
    check_target(place, target)
    chosen_for = [FOLDER, USER]  # a sign-in is the user's, wherever it was chosen
    if method == API_KEY:
        whose = as_target(target) or await signing_target(ports, place)
        entry = await remove_key(ports, place, whose, None) if whose is not None else None
        if whose is not None and (target is not None or whose == FOLDER):
            chosen_for = [whose]
        removed = entry is not None
        said = ["There was no stored key to forget; the environment and .env files are yours to change"]
        said = [f"Forgot the {entry}"] if removed else said
    else:
        removed = await forget(accounts.of(method))
        said = [f"There was no sign-in of {method} to forget"]
        if removed:
            shared = "; Qwen Code shares this sign-in and is signed out too" if method == QWEN_OAUTH else ""
            said = [f"Signed out of {'Qwen' if method == QWEN_OAUTH else method}{shared}"]
    for chooser in chosen_for:
        await forget_choice(ports, place, method, chooser)
    after = (await stand(ports, place)).resolution
    if after.credential is not None:
        said.append(f"still in force: {after.method}, {after.credential.claim.source}")
    else:
        said.append("nothing is in force here")
    return removed, "; ".join(said)


def as_target(target: str | None) -> Target | None:
    """The word of the wire as the word of the core."""
    return {"user": USER, "workspaceFolder": FOLDER}.get(target or "")


async def signing_target(ports: Ports, place: Place) -> Target | None:
    """Whose stored key signs here by `api-key`, or would if it could be read; None: nobody's."""
    facts = (await stand(ports, place)).facts
    stored = [found.entry for found in (facts.folder_key, facts.user_key) if found is not None]
    credential = resolve(attrs.evolve(facts, folder_choice=API_KEY)).credential
    if credential is not None:
        stored = [entry for entry in stored if str(entry) == credential.claim.source.file]
    return stored[0].target if stored else None


async def forget(tokens: Tokens) -> bool:
    """Remove the shared cache. Raises Problem when it cannot be removed."""
    try:
        return await tokens.forget()
    except OSError as error:
        raise Problem(
            Kind.INTERNAL,
            f"The cached sign-in could not be removed: {error.strerror}",
            where=str(error.filename or "oauth_creds.json"),
            remedy="Remove the file yourself",
        ) from None


async def forget_choice(ports: Ports, place: Place, method: str, target: Target) -> None:
    """Forget the choice of `method`, if that is what was chosen for the folder or the user."""
    folder = None if target == USER else place.folder
    if await from_home(ports.state.choice(folder)) == method:
        await remember(ports, place, None, target)
