"""The language server: what pygls is told of, start and end."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from typing import TYPE_CHECKING, Any

import attrs
from lsprotocol import types
from pygls.lsp.server import LanguageServer

from qwen_ls import __version__, contract
from qwen_ls.lsp import commands, languages
from qwen_ls.lsp.decode import decode
from qwen_ls.lsp.editor import Editor
from qwen_ls.lsp.rpc import NoAnswer, Protocol, make_converter
from qwen_ls.lsp.session import Session
from qwen_ls.lsp.transport import Stdio
from qwen_ls.wire import to_wire

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from pygls.exceptions import JsonRpcException, PyglsError

    from qwen_ls.actions.ports import Ports
    from qwen_ls.adapters.handover import Handover

log = logging.getLogger("qwen_ls")
WATCHED = "**/.env"
USUAL = (700, 10, 10)  # gc's own thresholds


class Server(LanguageServer):
    """qwen-ls, for one editor."""

    protocol: Protocol

    def __init__(
        self, stdio: Stdio, compose: Callable[[Mapping[str, Any] | None], Ports], handover: Handover
    ) -> None:
        super().__init__(
            "qwen-ls",
            __version__,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
            converter_factory=make_converter,
        )
        self.stdio = stdio
        self.protocol.set_writer(stdio.writer)
        self._compose = compose
        self._handover = handover
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        """What is going on; made at `initialize`."""
        assert self._session is not None  # noqa: S101 - no request is taken in before
        return self._session

    def experimental(self) -> dict[str, Any]:
        """What the answer to `initialize` says beside the standard."""
        ours = contract.ServerCapabilities(
            contract.VERSION,
            [c.request for c in contract.COMMANDS if c.request],
            [n.method for n in contract.NOTIFICATIONS],
            str(self._handover.folder) if self._handover.folder else None,
        )
        return {"qwen": to_wire(ours)}

    def report_server_error(self, error: Exception, source: type[PyglsError | JsonRpcException]) -> None:
        """To the log, by type alone; never to the client, and never with text."""
        log.error("pygls: %s (%s)", type(error).__name__, source.__name__)

    def begin(self, params: types.InitializeParams) -> None:
        """Make the session from what the client says of itself."""
        self.stdio.watch(params.process_id)
        workspace, raw = self.protocol.workspace, self.protocol.initialize_params
        if params.workspace_folders is None and workspace.root_uri:  # all that some clients name
            workspace.add_folder(types.WorkspaceFolder(workspace.root_uri, ""))
        ours = lenient(experimental_of(raw), contract.ClientCapabilities)
        options = lenient(raw.get("initializationOptions"), contract.InitializationOptions)
        name = params.client_info.name if params.client_info else ""
        editor = Editor(self.protocol, params.capabilities, ours, name=name)
        with contextlib.suppress(OSError):  # without the folder no key can be handed over, and that is said
            self._handover.create()
        self._session = Session(editor, options, self.folder_uris, self._compose, self._handover)
        self._session.texts.encoding = workspace.position_encoding or self._session.texts.encoding
        self.trust(options.workspace_trust)

    def trust(self, said: contract.Trust) -> None:
        """Take the client's word on the workspace; "trusted" only from one that really knows."""
        knows = self.session.editor.ours.workspace_trust
        self.session.trust = "unknown" if said == "trusted" and not knows else said

    def folder_uris(self) -> list[str]:
        """The workspace folders, as the client names them."""
        return [folder.uri for folder in self.protocol.workspace.folders.values()]

    async def watch_env_files(self) -> None:
        """Ask to be told of `.env` files that change, where the client can; else stat tells."""
        capabilities = self.session.editor.capabilities.workspace
        watched = capabilities.did_change_watched_files if capabilities else None
        if watched is None or not watched.dynamic_registration:
            return
        options = types.DidChangeWatchedFilesRegistrationOptions(
            watchers=[types.FileSystemWatcher(glob_pattern=WATCHED)]
        )
        registration = types.Registration(
            id="qwen-ls/.env", method=types.WORKSPACE_DID_CHANGE_WATCHED_FILES, register_options=options
        )
        try:
            params = types.RegistrationParams(registrations=[registration])
            await self.protocol.ask(types.CLIENT_REGISTER_CAPABILITY, params)
        except NoAnswer:
            log.debug("the client does not watch files")

    async def aclose(self) -> None:
        """End what runs: the connection is over."""
        self.protocol.give_up()
        self._handover.remove()
        if self._session is not None:
            await self._session.aclose()


def experimental_of(raw: Mapping[str, Any]) -> Any:
    """`capabilities.experimental.qwen` of the raw params."""
    found: Any = raw
    for name in ("capabilities", "experimental", "qwen"):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def lenient(raw: Any, cls: type[Any]) -> Any:
    """A payload of what a client says of itself: field by field, the default for what makes no sense."""
    fields = raw if isinstance(raw, dict) else {}
    result = cls()
    for name, value in fields.items():
        try:
            one = decode({name: value}, cls)
        except Exception:  # noqa: BLE001, S112 - a client's oddity must not keep it from connecting
            continue
        changed = {a.name: getattr(one, a.name) for a in attrs.fields(cls)}
        defaults = {a.name: getattr(cls(), a.name) for a in attrs.fields(cls)}
        result = attrs.evolve(result, **{n: v for n, v in changed.items() if v != defaults[n]})
    return result


def add_features(server: Server) -> None:
    """Tell pygls what is handled."""
    commands.register(server)
    languages.register(server)

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.begin(params)

    @server.feature(types.INITIALIZED)
    def initialized(_: types.InitializedParams) -> None:
        server.session.spawn(server.session.warm())
        server.session.spawn(server.watch_env_files())
        server.session.changed()

    @server.feature(types.SHUTDOWN)
    async def shutdown(_: Any = None) -> None:
        await server.aclose()

    @server.feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    async def cancel_progress(params: types.WorkDoneProgressCancelParams) -> None:
        # As a task: a request that was read before it has begun by then.
        server.session.editor.cancel(params.token)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(_: types.DidChangeWorkspaceFoldersParams) -> None:
        server.session.changed()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def files_changed(_: types.DidChangeWatchedFilesParams) -> None:
        server.session.changed()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def configuration_changed(_: types.DidChangeConfigurationParams) -> None:
        server.session.changed()

    @server.feature("qwen/auth/didRedirect")
    async def redirected(params: Any) -> None:
        world = await server.session.world()
        world.logins.redirects.came_back(decode(params, contract.RedirectParams).uri)

    @server.feature("qwen/didChangeTrust")
    def trust_changed(params: Any) -> None:
        server.trust(decode(params, contract.WorkspaceTrustParams).workspace_trust)
        server.session.changed()


def quiet_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the loop complains about by type alone: its own text would print arguments."""
    log.error("event loop: %s", type(context.get("exception")).__name__)


def run_server(compose: Callable[[Mapping[str, Any] | None], Ports], handover: Handover) -> None:
    """Serve one editor over stdio, then leave the process."""
    logging.basicConfig(stream=sys.stderr, format="qwen-ls %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)  # it logs every message's body
    try:
        stdio = Stdio()
    except OSError:
        sys.exit("qwen-ls: standard input and output must be open: an editor talks through them")
    loop = stdio.new_loop()
    loop.set_exception_handler(quiet_loop)
    server = Server(stdio, compose, handover)
    add_features(server)
    gc.freeze()
    gc.set_threshold(*USUAL)
    try:
        loop.run_until_complete(stdio.run(server.protocol.receive, server.aclose))
    finally:
        stdio.leave()
