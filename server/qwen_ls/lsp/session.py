"""What one editor has going on: its folders, its sign-ins and answers, and the status it was told."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from lsprotocol import types

from qwen_ls import contract
from qwen_ls.lsp.decode import decode
from qwen_ls.lsp.folders import Folders
from qwen_ls.lsp.languages import Diagnostics
from qwen_ls.lsp.texts import RealTexts, Texts

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from qwen_ls.actions.ports import Place, Ports
    from qwen_ls.actions.resolve import Standing
    from qwen_ls.adapters.handover import Handover
    from qwen_ls.lsp.documents import Documents
    from qwen_ls.lsp.editor import Editor
    from qwen_ls.lsp.folders import Folder
    from qwen_ls.lsp.world import World

Result = TypeVar("Result")
PUBLISH_AFTER = 0.05  # seconds; what changes together is told together
WARM_AFTER = 0.05  # seconds; whatever the client asks first has the interpreter for itself
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
    trust: contract.Trust = "unknown"
    folders: Folders = attrs.field(factory=Folders)
    texts: Texts = attrs.field(factory=Texts)
    diagnostics: Diagnostics = attrs.field(init=False)
    is_loaded: bool = False
    is_begun: bool = False  # whether anything was needed that has to be loaded
    _documents: Documents | None = None
    _world: World | None = None
    _running: dict[Callable[[], object], asyncio.Future[Any]] = attrs.field(factory=dict)
    _tasks: set[asyncio.Task[Any]] = attrs.field(factory=set)
    _told: dict[str | None, Any] = attrs.field(factory=dict)
    _due: asyncio.TimerHandle | None = None
    _publishing: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    _wanted: object = None

    def __attrs_post_init__(self) -> None:
        self.diagnostics = Diagnostics(self)

    # --- what is loaded when ----------------------------------------------------------------------

    async def loaded(self) -> None:
        """Wait for everything of ours that `initialize` is answered without."""
        if not self.is_loaded:
            await self._once(self._load)

    async def world(self) -> World:
        """The ports and what runs over them."""
        if self._world is None:
            await self.loaded()
            await self._once(self._build)
        assert self._world is not None  # noqa: S101 - _build sets it
        return self._world

    async def warm(self) -> None:
        """Load what the first message needs, before there is one."""
        await asyncio.sleep(WARM_AFTER)
        await self._once(self._hold)
        world = await self.world()
        await self._once(world.ports.http.warm)

    async def _once(self, work: Callable[[], object]) -> None:
        """Do it on a worker; whoever needs it meanwhile waits for the same run. Raises what it raises."""
        self.is_begun = True
        running = self._running.get(work)
        if running is None:
            running = self._running[work] = asyncio.get_running_loop().run_in_executor(None, work)
            running.add_done_callback(lambda _: self._running.pop(work))
            running.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(running)

    def _hold(self) -> None:
        self.handover.hold()  # first of all: another server sweeps a folder that nobody holds
        self.handover.sweep()

    def _load(self) -> None:
        from qwen_ls.adapters import files  # noqa: F401, PLC0415 - here, and nowhere sooner
        from qwen_ls.lsp import documents, kinds, verbs  # noqa: F401, PLC0415 - as well

        decode({}, contract.ChatSendParams)  # what reads a message is made when it reads its first
        self.is_loaded = True

    def _build(self) -> None:
        from qwen_ls.lsp.world import World  # noqa: PLC0415 - not needed on the way to `initialize`

        if self._world is None:
            user = self.options.user if self.editor.ours.user_settings else None
            ports = attrs.evolve(self.compose(user), open_texts=RealTexts(self.texts))
            self._world = World.over(ports)

    @property
    def documents(self) -> Documents:
        """The answers on their way into chat documents."""
        if self._documents is None:
            from qwen_ls.lsp.documents import Documents  # noqa: PLC0415 - loaded by now

            self._documents = Documents(self)
        return self._documents

    # --- places -----------------------------------------------------------------------------------

    async def place(self, uri: str | None) -> Place:
        """Where a request about `uri` comes from."""
        folder = await self.folders.of(uri, self.folder_uris())
        return self.place_of(folder)

    def place_of(self, folder: Folder | None) -> Place:
        """The same for a folder."""
        from qwen_ls.actions.ports import Place  # noqa: PLC0415 - loaded by now
        from qwen_ls.core.origin import WorkspaceTrust  # noqa: PLC0415 - with it

        return Place(folder.real if folder else None, WorkspaceTrust(self.trust))

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

    async def status(
        self, place: Place, model: str | None = None, folder: Folder | None = None
    ) -> contract.Status:
        """The status of a place now, for requests that name their model or do not."""
        world = await self.world()
        from qwen_ls.actions.resolve import stand  # noqa: PLC0415 - loaded by now

        return await self.status_of(await stand(world.ports, place), model, folder)

    async def status_of(
        self, standing: Standing, model: str | None = None, folder: Folder | None = None
    ) -> contract.Status:
        """The status of a standing; with `model` as what is asked for in place of its own.

        `folder` is the one asked about, since two may be one on the disk.
        """
        world = await self.world()
        from qwen_ls import payloads  # noqa: PLC0415 - loaded by now
        from qwen_ls.actions.provider import quota  # noqa: PLC0415 - as well

        uri = folder.uri if folder else await self.uri_of(standing.place)
        busy = self.is_busy(world, standing.place)
        used = quota(world.ports, standing)
        return payloads.status(standing, busy=busy, uri=uri, used=used, asked_model=model)

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
        from qwen_ls.actions.resolve import stand  # noqa: PLC0415 - loaded by now
        from qwen_ls.core.errors import Problem  # noqa: PLC0415 - as well

        folders: list[Folder | None] = [*await self.folders.open(self.folder_uris())]
        verbose = False
        for folder in folders or [None]:
            try:
                standing = await stand(world.ports, self.place_of(folder))
            except Problem as problem:  # the other folders are told of all the same
                log.debug("no status: %s", problem.kind.value)
                continue
            env = standing.facts.environment
            verbose = verbose or bool(env.get("DEBUG") or env.get("DEBUG_MODE"))
            status = await self.status_of(standing, folder=folder)
            uri = folder.uri if folder else None
            if self._told.get(uri) != status:
                self._told[uri] = status
                self.editor.notify("qwen/didChangeStatus", status)
                self.refresh_lenses()
        log.setLevel(logging.DEBUG if verbose else logging.WARNING)
