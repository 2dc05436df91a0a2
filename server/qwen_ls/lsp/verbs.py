"""What each command does: from its payload to its action, and from what that finds to the answer."""

from __future__ import annotations

import asyncio
import platform
from typing import TYPE_CHECKING, Any

import attrs
from lsprotocol import types

from qwen_ls import __version__, contract, payloads
from qwen_ls.actions import doctor as doctor_action
from qwen_ls.actions.browser_login import OPENROUTER
from qwen_ls.actions.logout import logout
from qwen_ls.actions.resolve import stand
from qwen_ls.actions.switch import switch
from qwen_ls.core.credentials import API_KEY
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.lsp import chat, chat_language, documents, env_commands, keys, models
from qwen_ls.lsp.decode import invalid
from qwen_ls.lsp.editor import ANSWER_WITHIN, within
from qwen_ls.lsp.methods import LABELS, pick
from qwen_ls.lsp.signing import accompany, end_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qwen_ls.actions.login import Login
    from qwen_ls.actions.ports import Place
    from qwen_ls.core.oauth.device import DeviceAuthorization
    from qwen_ls.lsp.session import Session


# --- sign-in -------------------------------------------------------------------------------------


async def auth_login(session: Session, params: contract.LoginParams, twin: bool) -> contract.LoginResult:  # noqa: FBT001 - one shape for all
    """Sign in; answered when the code is known, or with `wait` and as a request when it has ended."""
    world, place = await session.world(), await session.place(params.uri)
    method, waits = params.method, twin or params.wait
    if method is None:
        asking = session.task(
            pick(session, "Sign in with", place, (*world.ports.sign_ins, OPENROUTER, API_KEY))
        )
        if not waits and not await within(asking, ANSWER_WITHIN):
            session.spawn(login_when_picked(session, params, asking))
            return contract.LoginResult(message="Choose a way in")
        method = await asking
    if method == API_KEY:
        return await keys.login_by_key(session, params, waits=waits)
    redirect_uri = params.redirect_uri if session.editor.ours.redirect_uri else None
    login = world.logins.start(method, place, params.target, session.editor, redirect_uri)
    session.spawn(accompany(session, login, params.work_done_token, tell=not waits))
    if waits:
        return await wait_for(session, login, place)
    code = asyncio.ensure_future(login.code())
    await within(code, ANSWER_WITHIN)
    if login.end.done():
        return await wait_for(session, login, place)
    return begun(login, code.result() if code.done() else None)


def begun(login: Login, shown: DeviceAuthorization | str | None) -> contract.LoginResult:
    """A sign-in under way, with what is to be shown; a code that is late follows as a notification."""
    result = contract.LoginResult(login.flight.id, login.flight.method)
    if shown is None:
        return result
    if isinstance(shown, str):
        return attrs.evolve(result, verification_uri=shown)
    return attrs.evolve(
        result,
        user_code=shown.user_code,
        verification_uri=shown.verification_uri,
        verification_uri_complete=shown.verification_uri_complete,
        expires_in=shown.expires_in,
        interval=shown.interval,
    )


async def login_when_picked(
    session: Session, params: contract.LoginParams, asking: asyncio.Task[str]
) -> None:
    """Go on with the sign-in once the user has chosen a way in; its end is told as a message."""
    try:
        ended = await auth_login(session, attrs.evolve(params, method=await asking, wait=True), False)  # noqa: FBT003
    except Problem as problem:
        session.editor.say(problem.message, types.MessageType.Error)
    else:
        session.editor.say(ended.message or "")


async def wait_for(session: Session, login: Login, place: Place) -> contract.LoginResult:
    """The end of a sign-in."""
    signed_in = await end_of(login)
    return contract.LoginResult(
        login.flight.id,
        signed_in.method,
        done=True,
        checked=signed_in.checked,
        message=signed_in.message,
        status=await session.status(place),
    )


async def auth_logout(session: Session, params: contract.LogoutParams, _: bool) -> contract.LogoutResult:  # noqa: FBT001
    """Forget a credential."""
    world, place = await session.world(), await session.place(params.uri)
    removed, message = await logout(world.ports, world.accounts, place, params.method, params.target)
    session.changed()
    return contract.LogoutResult(removed, message, await session.status(place))


async def auth_switch(session: Session, params: contract.SwitchParams, _: bool) -> contract.SwitchResult:  # noqa: FBT001
    """Choose the method; without one the user is asked, and the answer does not wait for long."""
    place = await session.place(params.uri)
    if params.method is not None:
        return await switched(session, params, place, params.method)
    world = await session.world()
    asking = session.task(pick(session, "Sign requests with", place, (*world.ports.sign_ins, API_KEY)))
    if await within(asking, ANSWER_WITHIN):
        return await switched(session, params, place, await asking)
    session.spawn(switch_when_picked(session, params, place, asking))
    status = await session.status(place)
    return contract.SwitchResult(None, "Choose a method", status)


async def switched(
    session: Session, params: contract.SwitchParams, place: Place, method: str
) -> contract.SwitchResult:
    """Switch, and say what that means."""
    world = await session.world()
    message = await switch(world.ports, place, method, params.target)
    session.changed()
    session.editor.tell(message)
    return contract.SwitchResult(method, message, await session.status(place))


async def switch_when_picked(
    session: Session, params: contract.SwitchParams, place: Place, asking: asyncio.Task[str]
) -> None:
    """Switch once the user has chosen, and say so; a dismissed question changes nothing."""
    try:
        result = await switched(session, params, place, await asking)
    except Problem as problem:
        if problem.kind is not Kind.LOGIN_CANCELLED:
            session.editor.say(problem.message, types.MessageType.Error)
        return
    if not session.editor.is_plain:  # else it has been told
        session.editor.say(result.message)


async def auth_methods(session: Session, params: contract.FolderParams, _: bool) -> contract.MethodsResult:  # noqa: FBT001
    """The ways in."""
    world, place = await session.world(), await session.place(params.uri)
    now = (await stand(world.ports, place)).resolution.method
    return contract.MethodsResult(
        [
            contract.AuthMethod(method, LABELS.get(method, method), method == now, method != OPENROUTER)
            for method in (*world.ports.sign_ins, OPENROUTER, API_KEY)
        ]
    )


async def auth_status(session: Session, params: contract.FolderParams, _: bool) -> contract.Status:  # noqa: FBT001
    """Who signs requests."""
    folder = await session.folders.of(params.uri, session.folder_uris())
    return await session.status(session.place_of(folder), folder=folder)


async def auth_explain(session: Session, params: contract.FolderParams, _: bool) -> contract.Explanation:  # noqa: FBT001
    """Why this credential."""
    world, place = await session.world(), await session.place(params.uri)
    return payloads.explanation(await stand(world.ports, place), await session.uri_of(place))


async def auth_cancel(session: Session, params: contract.LoginCancelParams, _: bool) -> contract.CancelResult:  # noqa: FBT001
    """End a sign-in."""
    world = await session.world()
    return contract.CancelResult(world.logins.cancel(params.login_id))


# --- chat ------------------------------------------------------------------------------------------


async def chat_send(session: Session, params: contract.ChatSendParams, twin: bool) -> contract.ChatResult:  # noqa: FBT001
    """Send a message, or a document's last one."""
    if [params.text, params.messages, params.document].count(None) != 2:  # noqa: PLR2004 - one is given
        raise invalid([("$.text", "expected one of text, messages and document")])
    if params.messages == []:
        raise invalid([("$.messages", "expected at least one message")])
    send = chat.send if params.document is None else documents.send
    return await send(session, params, twin=twin)


async def chat_cancel(session: Session, params: contract.ChatCancelParams, _: bool) -> contract.CancelResult:  # noqa: FBT001
    """Stop an answer."""
    if params.document is not None:
        return contract.CancelResult(session.documents.stop(params.document))
    world = await session.world()
    return contract.CancelResult(world.chats.stop(params.turn_id, params.conversation_id))


async def chat_new(session: Session, params: contract.ChatNewParams, _: bool) -> contract.ChatNewResult:  # noqa: FBT001
    """Begin a conversation."""
    if params.document:
        return await chat_language.new(session, params)
    return contract.ChatNewResult((await session.world()).chats.new())


async def chat_insert(
    session: Session,
    params: contract.ChatInsertParams,
    _: bool,  # noqa: FBT001
) -> contract.ChatInsertResult:
    """Put in an answer that was held back."""
    return contract.ChatInsertResult(await session.documents.insert(params.document))


async def doctor(session: Session, params: contract.FolderParams, _: bool) -> contract.DoctorReport:  # noqa: FBT001
    """A report."""
    world, place = await session.world(), await session.place(params.uri)
    client = session.editor.protocol.initialize_params.get("clientInfo") or {}
    door = {
        "qwen-ls": __version__,
        "Python": platform.python_version(),
        "system": platform.platform(),
        "client": f"{client.get('name', 'unknown')} {client.get('version', '')}".strip(),
        "workspace folders": session.folder_uris(),
    }
    return payloads.doctor(await doctor_action.doctor(world.ports, place, door))


ACTIONS: dict[str, Callable[[Session, Any, bool], Awaitable[Any]]] = {
    "qwen.auth.login": auth_login,
    "qwen.auth.logout": auth_logout,
    "qwen.auth.switch": auth_switch,
    "qwen.auth.methods": auth_methods,
    "qwen.auth.status": auth_status,
    "qwen.auth.explain": auth_explain,
    "qwen.auth.cancel": auth_cancel,
    "qwen.keys.set": keys.keys_set,
    "qwen.keys.remove": keys.keys_remove,
    "qwen.keys.list": keys.keys_list,
    "qwen.env.open": env_commands.env_open,
    "qwen.env.check": env_commands.env_check,
    "qwen.env.moveToKeyring": env_commands.env_move_to_keyring,
    "qwen.env.move": env_commands.env_move,
    "qwen.env.ignore": env_commands.env_ignore,
    "qwen.trust.allow": keys.trust_allow,
    "qwen.trust.deny": keys.trust_deny,
    "qwen.trust.forget": keys.trust_forget,
    "qwen.trust.list": keys.trust_list,
    "qwen.models.list": models.models_list,
    "qwen.models.select": models.models_select,
    "qwen.chat.send": chat_send,
    "qwen.chat.cancel": chat_cancel,
    "qwen.chat.new": chat_new,
    "qwen.chat.insert": chat_insert,
    "qwen.doctor": doctor,
}
