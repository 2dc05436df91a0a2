"""What one editor has going on: its folders, its sign-ins and answers, and the status it was told."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from lsprotocol import types

from qwen_ls import contract, payloads
from qwen_ls.actions.chat import Chats
from qwen_ls.actions.login import Logins
from qwen_ls.actions.ports import Place
from qwen_ls.actions.provider import quota
from qwen_ls.actions.resolve import stand
from qwen_ls.actions.tokens import Accounts
from qwen_ls.core.origin import WorkspaceTrust
from qwen_ls.lsp.documents import Documents
from qwen_ls.lsp.folders import Folder, Folders
from qwen_ls.lsp.languages import Diagnostics
from qwen_ls.lsp.texts import RealTexts, Texts

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from qwen_ls.actions.ports import Ports
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.adapters.handover import Handover
    from qwen_ls.lsp.editor import Editor

Result = TypeVar("Result")
PUBLISH_AFTER = 0.05  # seconds; what changes together is told together
PATIENCE = 0.25  # seconds for what runs to end, each time: an editor waits two for us in all
log = logging.getLogger("qwen_ls")


@attrs.define(eq=False)
class Session:
    """Everything between `initialize` and `exit`. The adapters are built on first use, off the loop."""

    editor: Editor
    options: contract.InitializationOptions
    folder_uris: Callable[[], list[str]]
    compose: Callable[[Mapping[str, Any] | None], Ports]
    handover: Handover
    trust: WorkspaceTrust = WorkspaceTrust.UNKNOWN
    folders: Folders = attrs.field(factory=Folders)
    texts: Texts = attrs.field(factory=Texts)
    diagnostics: Diagnostics = attrs.field(init=False)
    documents: Documents = attrs.field(init=False)
    _world: World | None = None
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _tasks: set[asyncio.Task[Any]] = attrs.field(factory=set)
    _told: dict[str | None, Any] = attrs.field(factory=dict)
    _due: asyncio.TimerHandle | None = None
    _publishing: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    _wanted: object = None

    def __attrs_post_init__(self) -> None:
        self.diagnostics = Diagnostics(self)
        self.documents = Documents(self)

    async def world(self) -> World:
        """The ports and what runs over them."""
        if self._world is None:
            await asyncio.get_running_loop().run_in_executor(None, self._build)
        assert self._world is not None  # noqa: S101 - _build sets it
        return self._world

    def warm(self) -> None:
        """Load what the first message needs; for a worker thread."""
        self.handover.hold()  # first of all: another server sweeps a folder that nobody holds
        self.handover.sweep()
        self._build().ports.http.warm()

    def _build(self) -> World:
        with self._lock:
            if self._world is None:
                user = self.options.user if self.editor.ours.user_settings else None
                ports = attrs.evolve(self.compose(user), open_texts=RealTexts(self.texts))
                self._world = World.over(ports)
            return self._world

    # --- places -----------------------------------------------------------------------------------

    async def place(self, uri: str | None) -> Place:
        """Where a request about `uri` comes from."""
        folder = await self.folders.of(uri, self.folder_uris())
        return self.place_of(folder)

    def place_of(self, folder: Folder | None) -> Place:
        """The same for a folder."""
        return Place(folder.real if folder else None, self.trust)

    async def uri_of(self, place: Place) -> str | None:
        """What the client calls a place's folder."""
        folders = await self.folders.open(self.folder_uris())
        return next((f.uri for f in folders if f.real == place.folder), None)

    # --- background work --------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run work that nobody waits for."""
        self.task(work).add_done_callback(lambda _: None)

    def task(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run work in the background; kept until it ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("background work ended: %s", type(error).__name__)

    async def aclose(self) -> None:
        """End what runs and close what is open."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE)
        if (world := self._world) is not None:
            await asyncio.gather(world.logins.aclose(PATIENCE), world.accounts.aclose(PATIENCE))
            await world.ports.http.aclose()

    # --- status -----------------------------------------------------------------------------------

    def is_busy(self, world: World, place: Place) -> bool:
        """Whether an answer of this place or a sign-in is under way."""
        return bool(world.logins) or any(t.place.folder == place.folder for t in world.chats.turns.values())

    async def status(self, place: Place) -> contract.Status:
        """The status of a place now."""
        world = await self.world()
        return await self.status_of(await stand(world.ports, place))

    async def status_of(self, standing: Standing) -> contract.Status:
        """The status of a standing."""
        world = await self.world()
        uri = await self.uri_of(standing.place)
        busy = self.is_busy(world, standing.place)
        return payloads.status(standing, busy=busy, uri=uri, used=quota(world.ports, standing))

    def changed(self) -> None:
        """Something may have changed the status of any folder: tell the client soon, once."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(PUBLISH_AFTER, self._publish_soon)

    def _publish_soon(self) -> None:
        self._due = None
        self.spawn(self._publish())
        self.diagnostics.touch_all()

    def refresh_lenses(self) -> None:
        """Let the client ask for code lenses again, where it can."""
        workspace = self.editor.capabilities.workspace
        if workspace is not None and workspace.code_lens is not None and workspace.code_lens.refresh_support:
            self.spawn(self.editor.ask_quietly(types.WORKSPACE_CODE_LENS_REFRESH))

    async def _publish(self) -> None:
        """One at a time, so that an older status never comes after a newer one."""
        self._wanted = wanted = object()
        async with self._publishing:
            if self._wanted is wanted:  # else a later one waits, and tells all of it
                await self._tell()

    async def _tell(self) -> None:
        world = await self.world()
        folders: list[Folder | None] = [*await self.folders.open(self.folder_uris())]
        verbose = False
        for folder in folders or [None]:
            standing = await stand(world.ports, self.place_of(folder))
            env = standing.facts.environment
            verbose = verbose or bool(env.get("DEBUG") or env.get("DEBUG_MODE"))
            status = await self.status_of(standing)
            uri = folder.uri if folder else None
            if self._told.get(uri) != status:
                self._told[uri] = status
                self.editor.notify("qwen/didChangeStatus", status)
                self.refresh_lenses()
        log.setLevel(logging.DEBUG if verbose else logging.WARNING)


@attrs.frozen(eq=False)
class World:
    """The ports, and what this process has going on over them."""

    ports: Ports
    accounts: Accounts
    logins: Logins
    chats: Chats

    @classmethod
    def over(cls, ports: Ports) -> World:
        """Everything over these ports."""
        accounts = Accounts(ports)
        return cls(ports, accounts, Logins(ports, accounts), Chats(ports, accounts))
