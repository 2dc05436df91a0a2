"""Whoever sits at the editor: questions, pages to open, progress. Each has a ladder, none waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import attrs
from lsprotocol import types
from pygls.uris import from_fs_path

from qwen_ls import contract
from qwen_ls.core.errors import one_line, unlinked
from qwen_ls.lsp.rpc import ASK_TIMEOUT, NoAnswer
from qwen_ls.wire import to_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qwen_ls.core.oauth.device import DeviceAuthorization
    from qwen_ls.core.origin import ConsentKey, ConsentNeeded, Decision
    from qwen_ls.core.outgoing import SecretInMessage
    from qwen_ls.lsp.rpc import Protocol

ANSWER_WITHIN = 1.5  # seconds; some clients stand still until a command is answered
QUESTION_TIMEOUT = 120.0  # seconds for a human to answer
SHOW_TIMEOUT = 3.0  # seconds for a client to open a page
SHOW_FILE_TIMEOUT = 1.0  # seconds for a client to open a document in itself; some never say that they did
SHOW_TIMEOUT_SLOW = 60.0  # where the client shows the code itself and asks before it opens the page
PAGE_TIMEOUT = 300.0  # seconds that a browser sign-in without a code waits
MOST_REOPENS = 5
OPEN_AGAIN, CANCEL = "Open again", "Cancel"
USE_FILE, NO = "Use the file's key and URL", "No"
SEND_ANYWAY, DO_NOT_SEND = "Send anyway", "Do not send"


@attrs.define(eq=False)
class Progress:
    """One work-done progress: begun once, ended once; silent where there is no token."""

    _protocol: Protocol
    token: str | int | None
    _over: bool = False

    def begin(self, title: str, message: str | None = None) -> None:
        """Show it."""
        told = message and shown(message)
        self._send(types.WorkDoneProgressBegin(title=title, cancellable=True, message=told))

    def report(self, message: str) -> None:
        """Say what is going on."""
        self._send(types.WorkDoneProgressReport(cancellable=True, message=shown(message)))

    def end(self, message: str | None = None, extra: dict[str, Any] | None = None) -> None:
        """Take it away; `extra` fields are added, for clients that look."""
        value = {"kind": "end", **({"message": shown(message)} if message else {})}
        self._send({**(extra or {}), **value})
        self._over = True

    def _send(self, value: Any) -> None:
        if self.token is not None and not self._over:
            self._protocol.notify(types.PROGRESS, types.ProgressParams(token=self.token, value=value))


@attrs.define(eq=False)
class Early:
    """Stands for what a cancel will end, until there is something: one that comes is kept for that."""

    came: bool = False

    def __call__(self) -> None:
        """The cancel has come."""
        self.came = True


@attrs.define(eq=False)
class Question:
    """An open consent question, and how many requests wait for its answer; taken back with the last."""

    task: asyncio.Task[Decision | None]
    waiting: int = 0


@attrs.define(eq=False)
class Editor:
    """The client, as far as it can be asked. Fits the Human port of the actions."""

    protocol: Protocol
    capabilities: types.ClientCapabilities
    ours: contract.ClientCapabilities
    cancels: dict[str | int, Callable[[], object]] = attrs.field(factory=dict)
    logins: dict[Progress, str] = attrs.field(factory=dict)  # progress -> the sign-in it shows
    is_mute: bool = False  # the client has refused to put a question
    name: str = ""  # as the client calls itself
    _questions: dict[ConsentKey, Question] = attrs.field(factory=dict)

    @property
    def takes_edits(self) -> bool:
        """Whether the client says that it takes edits; one that does not may still, as part of a command."""
        workspace = self.capabilities.workspace
        return workspace is not None and bool(workspace.apply_edit)

    @property
    def takes_versions(self) -> bool:
        """Whether an edit can name the version of the document that it is meant for."""
        workspace = self.capabilities.workspace
        edits = workspace.workspace_edit if workspace else None
        # Neovim declares what can be done to files alone, which only `documentChanges` can say.
        return edits is not None and bool(edits.document_changes or edits.resource_operations)

    # --- questions --------------------------------------------------------------------------------

    async def choose(
        self, message: str, titles: Sequence[str], timeout: float = QUESTION_TIMEOUT
    ) -> str | None:
        """Put a question with buttons; None when it is dismissed, refused or not answered in time."""
        params = types.ShowMessageRequestParams(
            type=types.MessageType.Info,
            message=shown(message),
            actions=[types.MessageActionItem(title=title) for title in titles],
        )
        try:
            answer = await self.protocol.ask(types.WINDOW_SHOW_MESSAGE_REQUEST, params, timeout)
        except NoAnswer as failed:
            self.is_mute = self.is_mute or failed.is_refusal
            return None
        title = answer.get("title") if isinstance(answer, dict) else None
        return title if title in titles else None

    async def consent(self, need: ConsentNeeded) -> Decision | None:
        """Ask whether a key may go where a file says; requests that need the same answer share it."""
        question = self._questions.get(need.key)
        if question is None:
            question = self._questions[need.key] = Question(asyncio.create_task(self._consent(need)))
        question.waiting += 1
        try:
            return await asyncio.shield(question.task)  # a message that is stopped leaves it to the others
        finally:
            question.waiting -= 1
            if not question.waiting:
                del self._questions[need.key]
                question.task.cancel()

    async def _consent(self, need: ConsentNeeded) -> Decision | None:
        from qwen_ls.core.origin import Decision  # noqa: PLC0415 - not needed on the way to `initialize`

        host = need.key.base_url.partition("://")[2].partition("/")[0]
        send = f"Send my key to {host}" if need.mixed else f"Send to {host}"
        answers = {USE_FILE: Decision.FILE} if need.file_has_pair else {}
        answers |= {send: Decision.SEND, NO: Decision.DENY}
        chosen = await self.choose(need.question, list(answers))
        return answers[chosen] if chosen is not None else None

    async def may_send(self, found: SecretInMessage) -> bool:
        """Ask whether a message may be sent although it holds secrets."""
        return await self.choose(found.question, [SEND_ANYWAY, DO_NOT_SEND]) == SEND_ANYWAY

    # --- sign-in ----------------------------------------------------------------------------------

    async def show_code(self, login_id: str, method: str, authorization: DeviceAuthorization) -> bool:
        """Show the code and open the page: by the client, else as a question; False to stop."""
        code, page = authorization.user_code, authorization.verification_uri
        complete = authorization.verification_uri_complete
        shown = contract.DeviceCode(login_id, method, code, page, complete, authorization.expires_in)
        self.notify("qwen/auth/deviceCode", shown)
        self.report(login_id, f"Open {page} and enter {code}")
        question = f"To sign in, open {complete} and enter the code {code}"
        return await self.offer(complete, question, authorization.expires_in)

    async def show_page(self, login_id: str, url: str) -> bool:
        """Open a sign-in page: by the client, else as a question; False to stop."""
        self.report(login_id, f"Open {url}")
        return await self.offer(url, f"To sign in, open {url}", PAGE_TIMEOUT)

    def report(self, login_id: str, step: str) -> None:
        """Say the next step of a sign-in wherever it is shown."""
        for progress, shown in self.logins.items():
            if shown == login_id:
                progress.report(step)

    async def offer(self, url: str, question: str, stands: float) -> bool:
        """Open a page; where the client does not, put it as a question that stands for some seconds."""
        patience = SHOW_TIMEOUT_SLOW if self.ours.device_code else SHOW_TIMEOUT
        if await self.open_page(url, patience):
            return True
        for _ in range(MOST_REOPENS):
            chosen = await self.choose(question, [OPEN_AGAIN, CANCEL], stands)
            if chosen == CANCEL:
                return False
            if chosen is None or await self.open_page(url, patience):
                return True
        return True

    async def open_page(self, uri: str, timeout: float) -> bool:
        """Let the client open a page outside; whether it says that it did."""
        params = types.ShowDocumentParams(uri=uri, external=True, take_focus=True)
        return await self.says_yes(types.WINDOW_SHOW_DOCUMENT, params, "success", timeout) is True

    async def show_file(self, path: str) -> bool:
        """The same as `show_document`, for a path."""
        return await self.show_document(from_fs_path(path) or "")

    async def show_document(self, uri: str) -> bool:
        """Let the client open a document in itself; whether it says that it did."""
        params = types.ShowDocumentParams(uri=uri, external=False, take_focus=True)
        return await self.says_yes(types.WINDOW_SHOW_DOCUMENT, params, "success", SHOW_FILE_TIMEOUT) is True

    async def apply(self, edit: types.WorkspaceEdit, timeout: float = ASK_TIMEOUT) -> bool | None:
        """Ask for an edit; whether the client says that it was applied, None if it says nothing.

        Its word is not enough: what counts is the `didChange` that follows.
        """
        params = types.ApplyWorkspaceEditParams(edit)  # without a label: Neovim shouts out each
        return await self.says_yes(types.WORKSPACE_APPLY_EDIT, params, "applied", timeout)

    async def says_yes(self, method: str, params: Any, word: str, timeout: float) -> bool | None:
        """Whether a client answers a request with `word` true; None if it does not answer in time."""
        try:
            answer = await self.protocol.ask(method, params, timeout)
        except NoAnswer as failed:
            return False if failed.is_refusal else None
        return isinstance(answer, dict) and answer.get(word) is True

    async def ask_quietly(self, method: str) -> None:
        """Send a request whose answer does not matter."""
        with contextlib.suppress(NoAnswer):
            await self.protocol.ask(method, None)

    # --- progress and messages --------------------------------------------------------------------

    async def progress(self, token: str | int | None, on_cancel: Callable[[], object]) -> Progress:
        """A progress on the client's own token, else on one of ours if the client shows such."""
        if token is None and (window := self.capabilities.window) is not None and window.work_done_progress:
            token = f"qwen/{uuid.uuid4()}"
            try:
                params = types.WorkDoneProgressCreateParams(token=token)
                await self.protocol.ask(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
            except NoAnswer:
                token = None
        self.ends(token, on_cancel)
        return Progress(self.protocol, token)

    @contextlib.contextmanager
    def expecting(self, token: str | int | None) -> Iterator[None]:
        """While a command runs that was given a token, keep a cancel of it for what is yet to begin."""
        early = Early()
        if token is not None:
            self.cancels.setdefault(token, early)
        try:
            yield
        finally:
            if token is not None and self.cancels.get(token) is early:
                del self.cancels[token]

    def ends(self, token: str | int | None, on_cancel: Callable[[], object]) -> None:
        """From now on a cancel of a token ends this, and one that has come before ends it at once."""
        if token is None:
            return
        before = self.cancels.get(token)
        self.cancels[token] = on_cancel
        if isinstance(before, Early) and before.came:
            on_cancel()

    def forget(self, token: str | int | None) -> None:
        """There is nothing any more that a cancel of a token could end."""
        if token is not None:
            self.cancels.pop(token, None)

    def close(
        self, progress: Progress, message: str | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        """End a progress and forget its token."""
        progress.end(message, extra)
        self.forget(progress.token)

    def cancel(self, token: str | int) -> None:
        """The user has cancelled a progress."""
        on_cancel = self.cancels.get(token)
        if on_cancel is not None:
            on_cancel()

    @property
    def is_plain(self) -> bool:
        """Whether the client has no code of ours: it shows nothing of what a command answers."""
        return self.ours == contract.ClientCapabilities()

    def tell(self, message: str) -> None:
        """What a command answers, for the user of a client that does not show it."""
        if self.is_plain:
            self.say(message)

    def say(self, message: str, kind: types.MessageType = types.MessageType.Info) -> None:
        """A line for the user."""
        self.protocol.notify(
            types.WINDOW_SHOW_MESSAGE, types.ShowMessageParams(type=kind, message=shown(message))
        )

    def notify(self, method: str, payload: Any) -> None:
        """A notification of our own."""
        self.protocol.tell(method, to_wire(payload))


def shown(message: str) -> str:
    """A message as a user is shown it, whatever came into it from outside."""
    return unlinked(one_line(message, 2000))


async def within(task: asyncio.Task[Any], seconds: float) -> bool:
    """Whether a task ends within some seconds; it goes on in any case."""
    done, _ = await asyncio.wait({task}, timeout=seconds)
    return bool(done)
