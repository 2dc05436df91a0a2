"""Forget a credential, and say what still applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_ls.actions.resolve import stand
from qwen_ls.actions.switch import remember
from qwen_ls.core.credentials import API_KEY, METHODS, QWEN_OAUTH
from qwen_ls.core.errors import Kind, Problem

if TYPE_CHECKING:
    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.actions.tokens import Tokens


async def logout(
    ports: Ports, tokens: Tokens, place: Place, method: str | None, target: str | None
) -> tuple[bool, str]:
    """Forget `method`'s credential (None: the one in force) and the choice of it.

    Returns whether there was one, and a line that says what still applies. Raises Problem.
    """
    method = method or (await stand(ports, place)).resolution.method or QWEN_OAUTH
    if method not in METHODS:
        remedy = f"Choose one of {', '.join(METHODS)}"
        raise Problem(Kind.NOT_SUPPORTED, f"There is no method {method!r}", remedy=remedy)
    removed = False
    said = ["No API key is stored by qwen-ls; the environment and .env files are yours to change"]
    if method == QWEN_OAUTH:
        removed = await forget(tokens)
        said = ["Signed out of Qwen; Qwen Code shares this sign-in and is signed out too"]
        if not removed:
            said = ["There was no Qwen sign-in to forget"]
    await forget_choice(ports, place, method, target)
    after = (await stand(ports, place)).resolution
    if after.credential is not None:
        said.append(f"still in force: {after.method}, {after.credential.claim.source}")
    elif method == API_KEY:
        said.append("nothing is in force here")
    return removed, "; ".join(said)


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


async def forget_choice(ports: Ports, place: Place, method: str, target: str | None) -> None:
    """Forget the choice of `method`, where it was chosen."""
    folder = None if target == "user" else place.folder
    if await ports.state.choice(folder) == method:
        await remember(ports, place, None, target)
