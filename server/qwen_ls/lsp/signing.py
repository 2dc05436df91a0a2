"""A sign-in under way, as an editor sees it: its progress, and its end for each who has asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lsprotocol import types

from qwen_ls.core.credentials import QWEN_OAUTH
from qwen_ls.core.errors import Problem
from qwen_ls.lsp.methods import LABELS

if TYPE_CHECKING:
    from qwen_ls.actions.login import Login, SignedIn
    from qwen_ls.core.oauth.device import DeviceAuthorization
    from qwen_ls.lsp.session import Session


async def end_of(login: Login) -> SignedIn:
    """The end of a sign-in. A cancelled wait ends it too, unless others have asked for it."""
    try:
        return await login.result()
    except asyncio.CancelledError:
        login.leave()
        raise


async def accompany(session: Session, login: Login, token: str | int | None, *, tell: bool) -> None:
    """Show a sign-in's progress and its end; `tell` says the end as a message too."""
    editor, flight = session.editor, login.flight
    progress = await editor.progress(token, flight.cancel)
    editor.logins[progress] = flight.id
    progress.begin(
        f"Sign in with {'Qwen' if flight.method == QWEN_OAUTH else LABELS.get(flight.method, flight.method)}"
    )
    if flight.authorization.done():
        progress.report(what_to_do(flight.authorization.result()))
    session.changed()
    message, kind = "", types.MessageType.Info
    try:
        message = (await login.result()).message
    except Problem as problem:
        message, kind = problem.message, types.MessageType.Error
    finally:
        del editor.logins[progress]
        editor.close(progress, message or None)
        session.changed()
    if tell and message not in flight.told:  # once, also where the same has asked again to see the code
        flight.told.add(message)
        editor.say(message, kind)


def what_to_do(shown: DeviceAuthorization | str) -> str:
    """The next step of a sign-in, for its progress."""
    return (
        f"Open {shown}"
        if isinstance(shown, str)
        else f"Open {shown.verification_uri} and enter {shown.user_code}"
    )
