"""The commands around keys: storing, and consent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from lsprotocol import types

from qwen_ls import contract, payloads
from qwen_ls.actions import trust
from qwen_ls.actions.keys import NewKey, remove_key, restore_key, set_key
from qwen_ls.actions.resolve import stand
from qwen_ls.actions.switch import switch
from qwen_ls.adapters.handover import HandoverRefused
from qwen_ls.core.credentials import API_KEY
from qwen_ls.core.errors import Action, Kind, Problem
from qwen_ls.core.origin import Decision
from qwen_ls.core.secret import Secret
from qwen_ls.lsp.decode import invalid
from qwen_ls.lsp.editor import ANSWER_WITHIN, within

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from qwen_ls.actions.keys import KeySet
    from qwen_ls.actions.ports import Place
    from qwen_ls.lsp.session import Session

Result = TypeVar("Result", contract.LoginResult, contract.KeyResult)
OPEN_ENV = Action("Open .qwen/.env", "qwen.env.open")
UNDER_WAY = "The key is being checked; the outcome follows as a message"


def new_key(session: Session, params: contract.KeySetParams | contract.LoginParams) -> NewKey:
    """The key of a hand-over file, taken out of it. Raises InvalidParams for a file that is not as agreed."""
    if params.key_file is None:
        raise no_key_file()
    try:
        text = session.handover.take(params.key_file)
    except HandoverRefused as refused:
        raise invalid([("$.keyFile", str(refused))]) from None
    return NewKey(Secret(text), params.target, params.provider, params.base_url, params.model)


def no_key_file() -> Problem:
    """This client has no masked input of ours: a file is its way to give a key."""
    return Problem(
        Kind.NOT_SUPPORTED,
        "This editor cannot hand over a key by itself",
        remedy="Put it into .qwen/.env (qwen.env.open), or run `qwen-ls keys set` in a terminal",
        actions=[OPEN_ENV],
    )


async def login_by_key(
    session: Session, params: contract.LoginParams, *, waits: bool
) -> contract.LoginResult:
    """Check a key, store it, and make `api-key` the method in force; only `waits` may take long."""
    world, place = await session.world(), await session.place(params.uri)
    key = new_key(session, params)

    async def work() -> contract.LoginResult:
        # What comes of a sign-in does not say who keeps the key, so no client does.
        stored = await set_key(world.ports, place, key, client_keeps=False)
        chosen = await switch(world.ports, place, API_KEY, params.target)
        session.changed()
        status = await session.status(place)
        message = stored.message if status.method == API_KEY else f"{stored.message}. {chosen}"
        return contract.LoginResult(
            method=API_KEY, done=True, checked=stored.checked, message=message, status=status
        )

    if waits:
        return await work()
    return await in_time(session, work()) or contract.LoginResult(method=API_KEY, message=UNDER_WAY)


async def in_time(session: Session, work: Coroutine[Any, Any, Result]) -> Result | None:
    """What a command comes to; None where it takes long: the outcome is told as a message then."""
    task = session.task(work)
    try:
        if await within(task, ANSWER_WITHIN):
            return task.result()
    except asyncio.CancelledError:
        task.cancel()
        raise
    session.spawn(told(session, task))
    return None


async def told(session: Session, task: asyncio.Task[Result]) -> None:
    """Tell the outcome of a command that was answered before its end."""
    try:
        session.editor.say((await task).message or "")
    except Problem as problem:
        session.editor.say(problem.message, types.MessageType.Error)


async def keys_set(session: Session, params: contract.KeySetParams, twin: bool) -> contract.KeyResult:  # noqa: FBT001 - one shape for all
    """Check a key and store it; the command takes long only where the client has to keep the key."""
    world, place = await session.world(), await session.place(params.uri)
    key, client_keeps = new_key(session, params), session.editor.ours.secret_store
    if params.restore:
        if not client_keeps:
            raise invalid([("$.restore", "only for clients that declare secretStore")])
        return await shown(session, place, restore_key(world.ports, place, key))

    async def work() -> contract.KeyResult:
        return await shown(session, place, await set_key(world.ports, place, key, client_keeps=client_keeps))

    if twin or client_keeps:
        return await work()
    result = await in_time(session, work())
    return result or contract.KeyResult(None, None, UNDER_WAY, await session.status(place), done=False)


async def shown(session: Session, place: Place, stored: KeySet) -> contract.KeyResult:
    """A key that was stored, as far as it may be shown."""
    session.changed()
    entry = payloads.stored_key(stored.entry, active=False)
    return contract.KeyResult(entry, stored.checked, stored.message, await session.status(place))


async def keys_remove(
    session: Session,
    params: contract.KeyRemoveParams,
    _: bool,  # noqa: FBT001
) -> contract.KeyRemoveResult:
    """Forget a stored key, and say what still applies."""
    world, place = await session.world(), await session.place(params.uri)
    entry = await remove_key(world.ports, place, params.target, params.provider)
    session.changed()
    status = await session.status(place)
    message = f"Forgot the {entry}" if entry is not None else "There was no such key"
    return contract.KeyRemoveResult(entry is not None, f"{message}; now: {status.message}", status)


async def keys_list(session: Session, params: contract.FolderParams, _: bool) -> contract.KeysResult:  # noqa: FBT001
    """The stored keys."""
    world, place = await session.world(), await session.place(params.uri)
    entries = await world.ports.keys.entries()
    return payloads.stored_keys(entries.values(), await stand(world.ports, place))


async def trust_allow(session: Session, params: contract.TrustParams, _: bool) -> contract.TrustResult:  # noqa: FBT001
    """Let the key go where the file says."""
    return await decided(session, params, Decision.SEND)


async def trust_deny(session: Session, params: contract.TrustParams, _: bool) -> contract.TrustResult:  # noqa: FBT001
    """Never let it."""
    return await decided(session, params, Decision.DENY)


async def decided(session: Session, params: contract.TrustParams, decision: Decision) -> contract.TrustResult:
    """Answer the question that is open at a place."""
    world, place = await session.world(), await session.place(params.uri)
    message = await trust.decide(world.ports, place, decision)
    session.changed()
    return payloads.consents(await trust.answers(world.ports), message)


async def trust_forget(session: Session, params: contract.TrustParams, _: bool) -> contract.TrustResult:  # noqa: FBT001
    """Forget answers."""
    world, place = await session.world(), await session.place(params.uri)
    count = await trust.forget(world.ports, place, params.file)
    session.changed()
    return payloads.consents(await trust.answers(world.ports), f"Answers forgotten: {count}")


async def trust_list(session: Session, _params: contract.FolderParams, _: bool) -> contract.TrustResult:  # noqa: FBT001
    """The answers in force."""
    world = await session.world()
    found = await trust.answers(world.ports)
    return payloads.consents(found, f"{len(found)} answers are remembered")
