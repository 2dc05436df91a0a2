"""The commands for `.env` files: each names a file, and never a value in it."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from qwen_ls import contract, payloads
from qwen_ls.actions import env_edit
from qwen_ls.actions.env import prepare_env
from qwen_ls.actions.resolve import stand
from qwen_ls.core.errors import Kind, Problem
from qwen_ls.core.provenance import SourceKind
from qwen_ls.lsp.buffers import OpenBuffers
from qwen_ls.lsp.decode import invalid
from qwen_ls.lsp.editor import ANSWER_WITHIN, within
from qwen_ls.lsp.env_document import off_the_loop, seat_of
from qwen_ls.lsp.folders import path_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.lsp.session import Session


def named(uri: str | None) -> tuple[str, str]:
    """The URI and the path of a `.env` file. Raises InvalidParams for anything else."""
    path = path_of(uri or "")
    if uri is None or path is None or PurePath(path).name != ".env":
        raise invalid([("$.file", "expected the file: URI of a .env file")])
    return uri, path


def variable_of(params: contract.EnvKeyParams | contract.EnvMoveKeyParams) -> str:
    """The name of a key in it. Raises InvalidParams."""
    if params.variable is None:
        raise invalid([("$.variable", "required")])
    return params.variable


async def ports_and_place(session: Session, uri: str, path: str) -> tuple[Ports, Place]:
    """The ports, and the place that a `.env` file belongs to."""
    world = await session.world()
    return world.ports, (await seat_of(session, uri, path, "")).place


# --- opening ---------------------------------------------------------------------------------------


async def env_open(session: Session, params: contract.EnvOpenParams, _: bool) -> contract.EnvOpenResult:  # noqa: FBT001 - one shape for all
    """Let the client open a `.env` file; without one, make `.qwen/.env` and open that."""
    if params.file is not None:
        return await open_existing(session, named(params.file)[1])
    world, place = await session.world(), await session.place(params.uri)
    in_force = (await stand(world.ports, place)).facts.environment.chain.file
    made = await prepare_env(world.ports, place)
    opened = await session.editor.show_file(made.file)
    words = [f"{made.file} {'is new' if made.created else 'was there already'}"]
    if made.created and in_force is not None:
        words.append(f"it now comes before {in_force}, which is no longer read")
    words += [] if made.ignored else ["git does not ignore it: add it to .gitignore"]
    words += [] if opened else ["open it in the editor yourself"]
    message = "; ".join(words)
    if not opened:
        session.editor.say(message)
    session.changed()
    return contract.EnvOpenResult(made.file, made.created, made.ignored, opened, message)


async def open_existing(session: Session, path: str) -> contract.EnvOpenResult:
    """Let the client open a file that is there. Raises Problem."""
    if not await off_the_loop(Path(path).is_file):
        raise Problem(
            Kind.ENV_UNREADABLE,
            "There is no such file",
            where=path,
            remedy="Make it with qwen.env.open without a file",
        )
    git = await (await session.world()).ports.git.state(path)
    opened = await session.editor.show_file(path)
    message = f"{path} is open" if opened else f"Open {path} in the editor yourself"
    if not opened:
        session.editor.say(message)
    return contract.EnvOpenResult(path, False, git.ignored is not False, opened, message)  # noqa: FBT003 - not made


# --- changing --------------------------------------------------------------------------------------


async def env_check(session: Session, params: contract.EnvKeyParams, _: bool) -> contract.EnvResult:  # noqa: FBT001
    """Try a key of a file."""
    uri, path = named(params.file)
    variable = variable_of(params)

    async def work() -> contract.EnvResult:
        ports, place = await ports_and_place(session, uri, path)
        accepted, message = await env_edit.check_key(
            ports, place, path, variable, buffers=OpenBuffers(session), ask=session.editor.consent
        )
        return contract.EnvResult(message, checked=accepted)

    return await in_time(session, work())


async def env_move_to_keyring(
    session: Session,
    params: contract.EnvMoveKeyParams,
    _: bool,  # noqa: FBT001
) -> contract.EnvResult:
    """Move a key to the keyring."""
    uri, path = named(params.file)
    variable = variable_of(params)

    async def work() -> contract.EnvResult:
        ports, place = await ports_and_place(session, uri, path)
        change = await env_edit.move_to_keyring(
            ports,
            place,
            path,
            variable,
            params.target,
            buffers=OpenBuffers(session),
            ask=session.editor.consent,
        )
        stored = change.stored
        return contract.EnvResult(
            change.message + await unless_in_force(session, uri, path, place),
            file=change.file,
            unsaved=change.unsaved,
            checked=stored.checked if stored else None,
            stored=payloads.stored_key(stored.entry, active=False) if stored else None,
            status=await session.status(place),
        )

    return await in_time(session, work())


async def unless_in_force(session: Session, uri: str, path: str, place: Place) -> str:
    """What comes before a stored key, once an open file is saved as it stands; empty if nothing does."""
    opened = session.texts.at(path)
    if opened is None:
        resolution = (await stand((await session.world()).ports, place)).resolution
    else:
        resolution = (await seat_of(session, uri, path, opened.text)).view.resolution
    source = resolution.credential.claim.source if resolution.credential is not None else None
    if source is not None and source.kind is SourceKind.KEYRING:
        return ""
    return f"; it is not in force: {source or resolution.method} comes first"


async def env_move(session: Session, params: contract.EnvFileParams, _: bool) -> contract.EnvResult:  # noqa: FBT001
    """Move a file to `.qwen/.env`, and open that."""
    uri, path = named(params.file)

    async def work() -> contract.EnvResult:
        ports, place = await ports_and_place(session, uri, path)
        change = await env_edit.move_file(ports, path, buffers=OpenBuffers(session))
        await session.editor.show_file(change.file)
        status = await session.status(place)
        return contract.EnvResult(change.message, file=change.file, unsaved=change.unsaved, status=status)

    return await in_time(session, work())


async def env_ignore(session: Session, params: contract.EnvFileParams, _: bool) -> contract.EnvResult:  # noqa: FBT001
    """Add a file to `.gitignore`."""
    _uri, path = named(params.file)

    async def work() -> contract.EnvResult:
        change = await env_edit.ignore_file((await session.world()).ports, path)
        return contract.EnvResult(change.message, file=change.file)

    return await in_time(session, work())


async def in_time(session: Session, work: Coroutine[Any, Any, contract.EnvResult]) -> contract.EnvResult:
    """A command's result, said as a message too: many editors show none. Answered soon in any case."""
    task = session.task(told(session, work))
    if await within(task, ANSWER_WITHIN):
        return task.result()
    session.spawn(late(session, task))
    return contract.EnvResult("Under way; the outcome follows as a message", done=False)


async def told(session: Session, work: Coroutine[Any, Any, contract.EnvResult]) -> contract.EnvResult:
    """Do it and say so; a failure too where the client has no code of ours, since some pass over it."""
    try:
        result = await work
    except Problem as problem:
        if session.editor.is_plain:
            session.editor.say(problem.message, types.MessageType.Error)
        raise
    finally:
        session.changed()
    session.editor.say(result.message)
    return result


async def late(session: Session, task: asyncio.Task[contract.EnvResult]) -> None:
    """The failure of a command that was answered before its end."""
    try:
        await task
    except Problem as problem:
        if not session.editor.is_plain:
            session.editor.say(problem.message, types.MessageType.Error)
