"""The protocol: every command, request, notification and payload that crosses the wire.

This file is the only source. `docs/reference/protocol.md` is generated from it, and so will be each
client's types. Field names are camelCase on the wire; a field with a default may be left out.
Nothing here behaves.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from qwen_ls.core.errors import Cause, Kind

VERSION = 1  # raised when a change would break a client

Target = Literal["workspaceFolder", "user"]
StopReason = Literal["end_turn", "max_tokens", "refusal", "cancelled"]
Severity = Literal["error", "warning", "information", "hint"]
StatusKind = Literal["Normal", "Error", "Warning", "Inactive"]
SourceKind = Literal[
    "keyring", "dotenv", "environment", "settings", "qwen-oauth", "default", "request", "choice"
]
RungOutcome = Literal["active", "outranked", "absent", "unusable"]
ChosenBy = Literal["folder", "user", "inferred", "headless"]
Role = Literal["system", "user", "assistant"]
KeptIn = Literal["keyring", "file", "client", "session"]
DecisionName = Literal["send", "file", "deny"]
Trust = Literal["trusted", "untrusted", "unknown"]

ERROR_KINDS: tuple[str, ...] = tuple(k.value for k in Kind)
ERROR_CAUSES: tuple[str, ...] = tuple(c.value for c in Cause)


# --- what commands take --------------------------------------------------------------------------


@attrs.frozen
class FolderParams:
    """Names the workspace folder a command is about."""

    uri: str | None = None
    """A document or folder; its workspace folder counts, the deepest one. None: the only folder there
    is, else the home files alone."""


@attrs.frozen
class LoginParams:
    """Sign in."""

    method: str | None = None
    """`qwen-oauth`, `oauth:NAME` of the user setting `oauthServers`, `openrouter`, or `api-key`. None asks
    the user."""
    uri: str | None = None
    """See FolderParams."""
    target: Target | None = None
    """Where the choice of this method, or the key, is kept. None: the folder of `uri`, else the user."""
    provider: str | None = None
    """For `api-key`: whose key it is, an id of the catalogue. None: told from the base URL or the key."""
    key_file: str | None = None
    """For `api-key`: the name of a file in the hand-over folder that holds the key; read once, deleted."""
    base_url: str | None = None
    """For `api-key`: where the key goes. None: the provider's default."""
    model: str | None = None
    """For `api-key`: the model to ask for. None: the provider's default."""
    redirect_uri: str | None = None
    """For `openrouter`: the client's own redirect, from a client that declares `redirectUri`."""
    wait: bool = False
    """Answer when the sign-in has ended, instead of when it has begun."""
    work_done_token: str | int | None = None
    """A token to report progress to; without one the server makes its own."""


@attrs.frozen
class LogoutParams:
    """Forget a credential."""

    method: str | None = None
    """The method to sign out of. None: the one in force."""
    uri: str | None = None
    """See FolderParams."""
    target: Target | None = None
    """Whose key to forget, and whose choice of the method along with it. None: of the stored keys the one
    that signs requests here; the choice of the folder of `uri`, and the user's unless that key was the
    folder's. A sign-in is the user's: the choice of it is forgotten for both."""


@attrs.frozen
class SwitchParams:
    """Choose the method in force."""

    method: str | None = None
    """`qwen-oauth` or `api-key`. None asks the user."""
    uri: str | None = None
    """See FolderParams."""
    target: Target | None = None
    """Where the choice is remembered. None: the folder of `uri`, else the user."""


@attrs.frozen
class ModelSelectParams:
    """Choose the model that requests ask for."""

    model: str | None = None
    """Its name; an empty one forgets the choice. None asks the user."""
    uri: str | None = None
    """See FolderParams."""
    target: Target | None = None
    """Where the choice is remembered. None: the folder of `uri`, else the user."""


@attrs.frozen
class LoginCancelParams:
    """End a sign-in that is under way."""

    login_id: str | None = None
    """From LoginResult. None: whichever is under way."""


@attrs.frozen
class RedirectParams:
    """`qwen/auth/didRedirect`, from the client: the browser came back to the client's own redirect."""

    uri: str
    """The whole URI it came back with."""


@attrs.frozen
class KeySetParams:
    """Check an API key and store it."""

    key_file: str | None = None
    """Needed: the name of a file in the hand-over folder (`experimental.qwen.handover` of the answer to
    `initialize`): 32 characters of `A-Za-z0-9_-`, mode 0600, holding the key alone; read once, deleted."""
    uri: str | None = None
    """See FolderParams."""
    target: Target | None = None
    """Whose key it is. None: the folder of `uri`, else the user."""
    provider: str | None = None
    """An id of the catalogue. None: told from the base URL or the key."""
    base_url: str | None = None
    """Where the key goes. None: the provider's default."""
    model: str | None = None
    """The model to ask for. None: the provider's default."""
    restore: bool = False
    """The client has kept this key and hands it over again at start: it is not checked, nor shown."""


@attrs.frozen
class EnvOpenParams:
    """Open a `.env` file."""

    uri: str | None = None
    """See FolderParams. Its `.qwen/.env` is opened, and made if there is none."""
    file: str | None = None
    """Instead: the URI of a `.env` file that is there."""


@attrs.frozen
class EnvFileParams:
    """Names a `.env` file."""

    file: str | None = None
    """Needed: its URI."""


@attrs.frozen
class EnvKeyParams:
    """Names a key in a `.env` file."""

    file: str | None = None
    """Needed: the file's URI."""
    variable: str | None = None
    """Needed: the key's name in it."""


@attrs.frozen
class EnvMoveKeyParams:
    """Moves a key from a `.env` file to the keyring."""

    file: str | None = None
    """Needed: the file's URI. A file that is open with unsaved changes is refused."""
    variable: str | None = None
    """Needed: the key's name in it."""
    target: Target | None = None
    """Whose key it becomes. None: the folder that reads the file, else the user."""


@attrs.frozen
class KeyRemoveParams:
    """Forget a stored API key."""

    uri: str | None = None
    """See FolderParams."""
    target: Target | None = None
    """Whose key. None: the folder of `uri`, else the user."""
    provider: str | None = None
    """Of this provider alone. None: the folder's, whosever it is; of the user's the one stored last."""


@attrs.frozen
class TrustParams:
    """A consent that stands or is to stand."""

    uri: str | None = None
    """See FolderParams."""
    file: str | None = None
    """For `forget`: only answers about this file. None: every answer for the folder."""


@attrs.frozen
class ChatMessage:
    """One message of a conversation that the client holds."""

    role: Role
    """Who speaks."""
    content: str
    """What they say."""


@attrs.frozen
class ChatSelection:
    """Lines of a file that a message is about."""

    uri: str
    """The file."""
    start_line: int
    """The first line, from 0."""
    end_line: int
    """The line after the last one; equal to `startLine` for that line alone."""
    text: str | None = None
    """What stands there. None: it is read, where there is a file; else as it stands in the open document."""
    language_id: str | None = None
    """The file's language."""


@attrs.frozen
class ChatDiagnostic:
    """A finding of some other server that a message is about."""

    uri: str
    """The file."""
    line: int
    """Where, from 0."""
    message: str
    """What."""
    severity: Severity = "error"
    """How bad."""
    source: str | None = None
    """Whose finding it is."""
    code: str | int | None = None
    """Its code."""


@attrs.frozen
class ChatContext:
    """What goes along with a message. All of it does, whether the text mentions it or not."""

    selection: ChatSelection | None = None
    """What `@selection` means."""
    files: list[str] = attrs.field(factory=list)
    """URIs, or paths relative to the workspace folder; as if each stood in the text as `@file:path`."""
    diagnostics: list[ChatDiagnostic] = attrs.field(factory=list)
    """What `@diagnostics` means."""


@attrs.frozen
class ChatSendParams:
    """Send a message and stream the answer."""

    text: str | None = None
    """The message. It joins the conversation `conversationId`, or a new one. `@file:path`, `@selection` and
    `@diagnostics` in it are followed by what they mean; a slash command is run and not sent."""
    messages: list[ChatMessage] | None = None
    """Instead of `text`: the whole conversation, held by the client; one message at least."""
    conversation_id: str | None = None
    """From an earlier answer or `qwen.chat.new`."""
    document: str | None = None
    """Instead of `text`: the URI of an open chat document, which is the conversation. Its last message is
    sent, and the answer is written into it."""
    uri: str | None = None
    """See FolderParams. For `document`, that is the URI that counts."""
    model: str | None = None
    """Instead of the configured one."""
    context: ChatContext | None = None
    """What goes along with the message."""
    wait: bool = False
    """Answer when the turn has ended, instead of when it has begun."""
    work_done_token: str | int | None = None
    """A token to report progress to; without one the server makes its own."""
    partial_result_token: str | int | None = None
    """A token to stream ChatDelta values to; the result then carries no text. Passed over for `document`,
    which gets the answer by edits: its end is told by the progress."""


@attrs.frozen
class ChatCancelParams:
    """Stop an answer; what came so far is kept."""

    turn_id: str | None = None
    """From ChatResult. None: every turn of `conversationId`."""
    conversation_id: str | None = None
    """From ChatResult."""
    document: str | None = None
    """Instead: the URI of the chat document that is being written into."""


@attrs.frozen
class ChatInsertParams:
    """Put an answer that the client did not take by itself into its document."""

    document: str | None = None
    """The URI of the open chat document. None: the only one for which an answer waits."""


@attrs.frozen
class ChatNewParams:
    """Begin a conversation."""

    uri: str | None = None
    """See FolderParams; for a new document also what it is to be about."""
    document: bool = False
    """Make a chat document for it, and open it."""
    selection: ChatSelection | None = None
    """For `document`: what `@selection` means in it."""
    diagnostics: list[ChatDiagnostic] = attrs.field(factory=list)
    """For `document`: what `@diagnostics` means in it."""


# --- what commands answer ------------------------------------------------------------------------


@attrs.frozen
class Source:
    """Where a value came from."""

    kind: SourceKind
    """The kind of place."""
    variable: str | None = None
    """The variable's name, for `environment` and `dotenv`."""
    file: str | None = None
    """The file's path; for `choice` the workspace folder's, or none for the user's choice."""
    line: int | None = None
    """The line in it, from 1."""


@attrs.frozen
class ErrorAction:
    """A next step to offer as a button: a server command with its argument."""

    title: str
    """What the button says."""
    command: str
    """The server command."""
    argument: dict[str, str] = attrs.field(factory=dict)
    """Its one argument."""


@attrs.frozen
class ErrorData:
    """`data` of every RequestFailed error (-32803); -32800 carries it too, with kind `cancelled`."""

    kind: str
    """What clients switch on."""
    remedy: str
    """What to do next, in one line."""
    retryable: bool = False
    """Whether the same request may succeed later unchanged."""
    message: str | None = None
    """The whole line, where this object stands alone."""
    cause: str | None = None
    """Refines kind `network`."""
    actions: list[ErrorAction] = attrs.field(factory=list)
    """Next steps as server commands."""
    turn: ChatResult | None = None
    """The answer as far as it came, where a message that was waited for failed in the middle of one; its text
    as in a result. None for a document, which has it."""


@attrs.frozen
class FileProblem:
    """Something about a `.env` candidate, or a stored key, that its owner should know."""

    file: str
    """The file's path, or which key it is."""
    line: int
    """The line, from 1; 0 for the whole file."""
    text: str
    """What it is."""


@attrs.frozen
class Quota:
    """What this run has used, and what the provider says of its limits."""

    requests_this_minute: int | None = None
    """Of this run, for methods with known limits."""
    minute_limit: int | None = None
    """The known limit."""
    requests_today: int | None = None
    """Of this run, since midnight UTC."""
    day_limit: int | None = None
    """The known limit."""
    headers: dict[str, str] = attrs.field(factory=dict)
    """The provider's own rate headers, from its last answer."""


@attrs.frozen
class Status:
    """Who signs this folder's requests, and where they go. Also the notification `qwen/didChangeStatus`."""

    busy: bool
    """Whether an answer or a sign-in is under way."""
    kind: StatusKind
    """How it stands, in the words that status-line plug-ins know."""
    message: str
    """One line for people."""
    uri: str | None = None
    """The workspace folder; None for the user's own status."""
    command: str | None = None
    """The server command that a click on the status may run."""
    signed_in: bool = False
    """Whether there is a credential."""
    method: str | None = None
    """The method in force."""
    chosen_by: ChosenBy | None = None
    """Who chose it."""
    provider: str | None = None
    """The provider's name."""
    base_url: str | None = None
    """Where requests go."""
    base_url_source: Source | None = None
    """Where that came from."""
    model: str | None = None
    """The model asked for; None: the first that the provider lists."""
    model_source: Source | None = None
    """Where that came from."""
    source: Source | None = None
    """Where the credential came from."""
    fingerprint: str | None = None
    """What may be shown of it."""
    expires_at: float | None = None
    """When the token runs out and is refreshed, epoch seconds UTC."""
    quota: Quota | None = None
    """What is used up, where limits are known."""
    error: ErrorData | None = None
    """Why there is no credential."""
    problems: list[FileProblem] = attrs.field(factory=list)
    """About the `.env` files and the stored keys."""


@attrs.frozen
class LoginResult:
    """A sign-in that has begun (`done` is false) or ended well."""

    login_id: str | None = None
    """Names it for `qwen.auth.cancel`; absent for `api-key`, and while the user is still choosing a way
    in."""
    method: str | None = None
    """How."""
    done: bool = False
    """Whether it has ended."""
    user_code: str | None = None
    """What to enter on the page (RFC 8628)."""
    verification_uri: str | None = None
    """The page."""
    verification_uri_complete: str | None = None
    """The page with the code filled in."""
    expires_in: float | None = None
    """Seconds until the code runs out."""
    interval: float | None = None
    """Seconds between the server's polls."""
    checked: bool | None = None
    """Whether a request has been accepted with the credential; false: it could not be checked."""
    message: str | None = None
    """The outcome, in one line."""
    status: Status | None = None
    """The status after it."""


@attrs.frozen
class LogoutResult:
    """What was forgotten, and what still applies."""

    removed: bool
    """Whether there was anything to forget."""
    message: str
    """Both, in one line."""
    status: Status
    """The status after it."""


@attrs.frozen
class SwitchResult:
    """The method now in force."""

    method: str | None
    """It; absent while the user is still choosing."""
    message: str
    """What it means, in one line: also when the chosen method has no credential yet."""
    status: Status
    """The status after it."""


@attrs.frozen
class AuthMethod:
    """A way to sign requests, or to get a key for it."""

    method: str
    """What `qwen.auth.login` and `qwen.auth.switch` take."""
    title: str
    """What a list of ways says."""
    active: bool = False
    """Whether it signs this folder's requests now."""
    switchable: bool = True
    """Whether one can switch to it; false for a sign-in that yields an API key."""


@attrs.frozen
class MethodsResult:
    """The ways in, for a client that lets the user choose by itself."""

    methods: list[AuthMethod]
    """Them, in the order to show."""


@attrs.frozen
class StoredKey:
    """A stored key, as far as it may be shown."""

    target: Target
    """Whose it is."""
    provider: str
    """The provider's id."""
    base_url: str
    """Where it goes."""
    fingerprint: str
    """What may be shown of it."""
    kept_in: KeptIn
    """Who keeps it: the keyring, a plain file, the client, or nobody beyond this session."""
    stored_at: float
    """When, epoch seconds UTC."""
    folder: str | None = None
    """The workspace folder's real path, for target `workspaceFolder`."""
    model: str | None = None
    """The model stored along."""
    active: bool = False
    """Whether it signs this folder's requests now."""


@attrs.frozen
class KeyResult:
    """A key that was stored, or is still being checked (`done` is false)."""

    stored: StoredKey | None
    """It; absent while it is being checked."""
    checked: bool | None
    """Whether the provider has accepted it; false: it could not be asked."""
    message: str
    """Both, in one line: also why it is kept for this session only."""
    status: Status
    """The status after it."""
    done: bool = True
    """False: the provider is slow; the outcome follows as a message. Never for a client that declares
    `secretStore`, since the outcome may be that it has to keep the key."""


@attrs.frozen
class KeysResult:
    """The keys that are stored."""

    keys: list[StoredKey]
    """Them."""


@attrs.frozen
class KeyRemoveResult:
    """What became of a key."""

    removed: bool
    """Whether there was one."""
    message: str
    """It, and what still applies, in one line."""
    status: Status
    """The status after it."""


@attrs.frozen
class Consent:
    """A remembered answer to a consent question."""

    folder: str
    """The workspace folder's real path; empty outside every folder."""
    file: str
    """The file that named the base URL or the key."""
    base_url: str
    """Where the key would go."""
    decision: DecisionName
    """`send` the key there, use the `file`'s own key and URL, or `deny`."""


@attrs.frozen
class TrustResult:
    """The answers in force."""

    consents: list[Consent]
    """Them."""
    message: str
    """What has changed, in one line."""


@attrs.frozen
class EnvOpenResult:
    """A `.env` file to put a key into."""

    file: str
    """Its path."""
    created: bool
    """Whether it is new, made from a template."""
    ignored: bool
    """Whether git ignores it now; true outside a work tree."""
    opened: bool
    """Whether the client has opened it."""
    message: str
    """All of it in one line."""


@attrs.frozen
class EnvResult:
    """What was done with a `.env` file, or found out about a key in it."""

    message: str
    """It, in one line. It is shown to the user as a message too."""
    done: bool = True
    """False: it takes long, since somebody is asked or waited for; the outcome follows as a message."""
    file: str | None = None
    """The path of the file that was changed."""
    unsaved: bool = False
    """The lines are gone in the editor's text; the file on the disk has them until it is saved."""
    checked: bool | None = None
    """Whether the provider has accepted the key; false: it could not be asked."""
    stored: StoredKey | None = None
    """The key in its new place."""
    status: Status | None = None
    """The status after it."""


@attrs.frozen
class Rung:
    """One place of the ladder."""

    method: str
    """The method it belongs to."""
    place: str
    """The place."""
    outcome: RungOutcome
    """What became of it."""
    why: str
    """Why."""
    source: Source | None = None
    """The value's provenance, if there is a value."""
    fingerprint: str | None = None
    """What may be shown of the credential."""
    base_url: str | None = None
    """Where it would go."""


@attrs.frozen
class ModelRung:
    """One place that may name the model."""

    place: str
    """The place."""
    outcome: RungOutcome
    """What became of it."""
    why: str
    """Why."""
    model: str | None = None
    """The model it names."""
    source: Source | None = None
    """Where that stands."""


@attrs.frozen
class Explanation:
    """The whole ladder in order: what won, and why each other one did not."""

    status: Status
    """The outcome."""
    rungs: list[Rung]
    """The places, in order."""
    env_candidates: list[str]
    """Where a `.env` file is looked for, in order."""
    env_file: str | None
    """The one that counts."""
    markdown: str
    """All of it for people."""
    models: list[ModelRung] = attrs.field(factory=list)
    """The places that may name the model, in order; none where nobody is signed in."""


@attrs.frozen
class CancelResult:
    """Whether there was anything to cancel."""

    cancelled: bool
    """It."""


@attrs.frozen
class Model:
    """A model the provider lists."""

    id: str
    """Its name in requests."""
    active: bool = False
    """Whether requests ask for it now."""


@attrs.frozen
class ModelsResult:
    """The provider's models."""

    provider: str
    """Whose they are."""
    base_url: str
    """Where the list came from."""
    models: list[Model]
    """Them."""


@attrs.frozen
class ModelSelectResult:
    """The model that requests ask for now."""

    model: str | None
    """It; absent while the user is still choosing, or where the provider's first is asked for."""
    message: str
    """What the choice means, in one line; how else to name one, where nothing was chosen."""
    status: Status
    """The status after it."""


@attrs.frozen
class Usage:
    """Tokens as the provider counted them."""

    prompt_tokens: int
    """Of the conversation so far."""
    completion_tokens: int
    """Of the answer."""
    total_tokens: int
    """Together."""


@attrs.frozen
class ChatResult:
    """A turn that has begun (no `stopReason`) or ended."""

    conversation_id: str
    """Names the conversation for the next message."""
    turn_id: str
    """Names this turn for `qwen.chat.cancel`."""
    stop_reason: StopReason | None = None
    """Why it ended."""
    text: str | None = None
    """The answer; absent if it was streamed to `partialResultToken`."""
    reasoning: str | None = None
    """The reasoning before it; absent in the same way."""
    usage: Usage | None = None
    """What it took."""
    model: str | None = None
    """The model that really served."""
    requested_model: str | None = None
    """The model that was asked for."""


@attrs.frozen
class ChatNewResult:
    """An empty conversation."""

    conversation_id: str | None = None
    """Its name; absent for a document, which is its own conversation."""
    file: str | None = None
    """The chat document's path."""
    opened: bool | None = None
    """Whether the client says that it has opened the document."""
    message: str | None = None
    """What was made, in one line."""


@attrs.frozen
class ChatInsertResult:
    """An answer that was put in."""

    inserted: bool
    """Whether there was one."""


@attrs.frozen
class DoctorReport:
    """A report without secrets, to paste into a question."""

    markdown: str
    """It."""
    facts: dict[str, Any]
    """The same as data."""


# --- what the server sends by itself -------------------------------------------------------------


@attrs.frozen
class ChatDelta:
    """A value of `$/progress` to `partialResultToken`: a piece of the answer or of its reasoning."""

    kind: Literal["delta", "reasoning"]
    """Which of the two."""
    turn_id: str
    """The turn."""
    seq: int
    """Counts the values of this turn from 0, without gaps."""
    text: str
    """The piece."""


@attrs.frozen
class ChatEnd:
    """The last value to `partialResultToken`, and the fields added to the end of the progress."""

    kind: Literal["end"]
    """Always `end`."""
    turn_id: str
    """The turn."""
    seq: int
    """The count goes on."""
    stop_reason: StopReason | None = None
    """Why it ended; absent after an error."""
    usage: Usage | None = None
    """What it took."""
    model: str | None = None
    """The model that really served."""
    requested_model: str | None = None
    """The model that was asked for."""
    error: ErrorData | None = None
    """What went wrong; the text so far is kept."""


@attrs.frozen
class DeviceCode:
    """`qwen/auth/deviceCode`: show this to the user."""

    login_id: str
    """Names the sign-in for `qwen.auth.cancel`."""
    method: str
    """How."""
    user_code: str
    """What to enter on the page."""
    verification_uri: str
    """The page."""
    verification_uri_complete: str
    """The page with the code filled in."""
    expires_in: float
    """Seconds until the code runs out."""


# --- capabilities and options --------------------------------------------------------------------


@attrs.frozen
class ClientCapabilities:
    """`capabilities.experimental.qwen` of the client in `initialize`."""

    device_code: bool = False
    """The client shows `qwen/auth/deviceCode` itself, at once."""
    workspace_trust: bool = False
    """The client knows whether the workspace is trusted and says so in `initializationOptions`."""
    secret_store: bool = False
    """The client can keep a key where there is no keyring, and hands it over again at start."""
    redirect_uri: bool = False
    """The client can take the redirect of a browser sign-in and sends `qwen/auth/didRedirect`."""
    user_settings: bool = False
    """`initializationOptions.user` holds only what was set at user level."""


@attrs.frozen
class ServerCapabilities:
    """`capabilities.experimental.qwen` of the server's answer to `initialize`."""

    version: int
    """Of this protocol; raised when a change would break a client."""
    requests: list[str]
    """The request twins."""
    notifications: list[str]
    """The notifications of our own, both ways."""
    handover: str | None = None
    """The folder to hand keys over in (see KeySetParams); absent where none could be made."""


@attrs.frozen
class InitializationOptions:
    """`initializationOptions` of the client; all optional."""

    workspace_trust: Trust = "unknown"
    """`trusted` counts only from a client that declares `workspaceTrust`."""
    user: dict[str, Any] = attrs.field(factory=dict)
    """User settings; they count only from a client that declares `userSettings`."""


@attrs.frozen
class WorkspaceTrustParams:
    """`qwen/didChangeTrust`, from the client: the workspace's trust has changed."""

    workspace_trust: Trust
    """As in InitializationOptions."""


# --- the tables ----------------------------------------------------------------------------------


@attrs.frozen
class Command:
    """A command of `workspace/executeCommand` (one object as argument), and its request twin."""

    name: str
    params: type
    result: type
    summary: str
    request: str | None = None


@attrs.frozen
class Notification:
    """A notification of our own."""

    method: str
    params: type
    summary: str
    from_client: bool = False


COMMANDS: tuple[Command, ...] = (
    Command("qwen.auth.login", LoginParams, LoginResult, "Sign in", "qwen/auth/login"),
    Command("qwen.auth.logout", LogoutParams, LogoutResult, "Forget a credential"),
    Command("qwen.auth.switch", SwitchParams, SwitchResult, "Choose the method in force"),
    Command("qwen.auth.methods", FolderParams, MethodsResult, "The ways to sign in"),
    Command("qwen.auth.status", FolderParams, Status, "Who signs requests, and where they go"),
    Command("qwen.auth.explain", FolderParams, Explanation, "Why this credential and no other"),
    Command("qwen.auth.cancel", LoginCancelParams, CancelResult, "End a sign-in that is under way"),
    Command("qwen.keys.set", KeySetParams, KeyResult, "Check an API key and store it", "qwen/keys/set"),
    Command("qwen.keys.remove", KeyRemoveParams, KeyRemoveResult, "Forget a stored API key"),
    Command("qwen.keys.list", FolderParams, KeysResult, "The stored API keys, by fingerprint"),
    Command("qwen.env.open", EnvOpenParams, EnvOpenResult, "Create and open `.qwen/.env`, or open a file"),
    Command("qwen.env.check", EnvKeyParams, EnvResult, "Try a key of a `.env` file"),
    Command("qwen.env.moveToKeyring", EnvMoveKeyParams, EnvResult, "Move a key to the keyring"),
    Command("qwen.env.move", EnvFileParams, EnvResult, "Move a `.env` to `.qwen/.env` beside it"),
    Command("qwen.env.ignore", EnvFileParams, EnvResult, "Add a `.env` file to `.gitignore`"),
    Command("qwen.trust.allow", TrustParams, TrustResult, "Let the key go where the file says"),
    Command("qwen.trust.deny", TrustParams, TrustResult, "Never let the key go there"),
    Command("qwen.trust.forget", TrustParams, TrustResult, "Forget answers, so that they are asked again"),
    Command("qwen.trust.list", FolderParams, TrustResult, "The answers in force"),
    Command("qwen.models.list", FolderParams, ModelsResult, "The provider's models", "qwen/models/list"),
    Command("qwen.models.select", ModelSelectParams, ModelSelectResult, "Choose the model to ask for"),
    Command(
        "qwen.chat.send", ChatSendParams, ChatResult, "Send a message, stream the answer", "qwen/chat/send"
    ),
    Command("qwen.chat.cancel", ChatCancelParams, CancelResult, "Stop an answer and keep what came"),
    Command("qwen.chat.new", ChatNewParams, ChatNewResult, "Begin a conversation, in a document or without"),
    Command("qwen.chat.insert", ChatInsertParams, ChatInsertResult, "Put in an answer that was held back"),
    Command("qwen.doctor", FolderParams, DoctorReport, "A report without secrets"),
)

NOTIFICATIONS: tuple[Notification, ...] = (
    Notification("qwen/didChangeStatus", Status, "A folder's status is another one"),
    Notification("qwen/auth/deviceCode", DeviceCode, "A sign-in waits for this code"),
    Notification(
        "qwen/auth/didRedirect", RedirectParams, "The browser came back to the client", from_client=True
    ),
    Notification(
        "qwen/didChangeTrust", WorkspaceTrustParams, "The workspace's trust has changed", from_client=True
    ),
)
