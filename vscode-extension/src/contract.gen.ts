// Generated from server/qwen_ls/contract.py by `make contract`. Do not edit.
// A field that may be left out is optional; one that the wire leaves out where it would be null is too.

export const VERSION = 1;

/** What a failure is. */
export type ErrorKind =
  | "signed-out"
  | "login-cancelled"
  | "login-denied"
  | "login-expired"
  | "login-failed"
  | "key-rejected"
  | "wrong-endpoint"
  | "free-tier-closed"
  | "quota-exceeded"
  | "rate-limited"
  | "untrusted-origin"
  | "env-unreadable"
  | "keyring-unavailable"
  | "keyring-locked"
  | "network"
  | "provider-down"
  | "bad-reply"
  | "stream-truncated"
  | "too-large"
  | "model-not-found"
  | "not-supported"
  | "internal";

/** Refines kind `network`. */
export type ErrorCause =
  | "dns"
  | "refused"
  | "tls"
  | "proxy"
  | "captive-portal"
  | "timeout"
  | "redirect"
  | "encoding";

/** Names the workspace folder a command is about. */
export interface FolderParams {
  /** A document or folder; its workspace folder counts, the deepest one. `null`: the only folder there is, else the home files alone. */
  uri?: string;
}

/** Sign in. */
export interface LoginParams {
  /** `qwen-oauth`, `oauth:NAME` of the user setting `oauthServers`, `openrouter`, or `api-key`. `null` asks the user. */
  method?: string;
  /** See FolderParams. */
  uri?: string;
  /** Where the choice of this method, or the key, is kept. `null`: the folder of `uri`, else the user. */
  target?: "workspaceFolder" | "user";
  /** For `api-key`: whose key it is, an id of the catalogue. `null`: told from the base URL or the key. */
  provider?: string;
  /** For `api-key`: the name of a file in the hand-over folder that holds the key; read once, deleted. */
  keyFile?: string;
  /** For `api-key`: where the key goes. `null`: the provider's default. */
  baseUrl?: string;
  /** For `api-key`: the model to ask for. `null`: the provider's default. */
  model?: string;
  /** For `openrouter`: the client's own redirect, from a client that declares `redirectUri`. */
  redirectUri?: string;
  /** Answer when the sign-in has ended, instead of when it has begun. */
  wait?: boolean;
  /** A token to report progress to; without one the server makes its own. */
  workDoneToken?: string | number;
}

/** Forget a credential. */
export interface LogoutParams {
  /** The method to sign out of. `null`: the one in force. */
  method?: string;
  /** See FolderParams. */
  uri?: string;
  /** Whose key to forget, and whose choice of the method along with it. `null`: of the stored keys the one that signs requests here; the choice of the folder of `uri`, and the user's unless that key was the folder's. A sign-in is the user's: the choice of it is forgotten for both. */
  target?: "workspaceFolder" | "user";
}

/** Choose the method in force. */
export interface SwitchParams {
  /** `qwen-oauth` or `api-key`. `null` asks the user. */
  method?: string;
  /** See FolderParams. */
  uri?: string;
  /** Where the choice is remembered. `null`: the folder of `uri`, else the user. */
  target?: "workspaceFolder" | "user";
}

/** Choose the model that requests ask for. */
export interface ModelSelectParams {
  /** Its name; an empty one forgets the choice. `null` asks the user. */
  model?: string;
  /** See FolderParams. */
  uri?: string;
  /** Where the choice is remembered. `null`: the folder of `uri`, else the user. */
  target?: "workspaceFolder" | "user";
}

/** End a sign-in that is under way. */
export interface LoginCancelParams {
  /** From LoginResult. `null`: whichever is under way. */
  loginId?: string;
}

/** `qwen/auth/didRedirect`, from the client: the browser came back to the client's own redirect. */
export interface RedirectParams {
  /** The whole URI it came back with. */
  uri: string;
}

/** Check an API key and store it. */
export interface KeySetParams {
  /** Needed: the name of a file in the hand-over folder (`experimental.qwen.handover` of the answer to `initialize`): 32 characters of `A-Za-z0-9_-`, mode 0600, holding the key alone; read once, deleted. */
  keyFile?: string;
  /** See FolderParams. */
  uri?: string;
  /** Whose key it is. `null`: the folder of `uri`, else the user. */
  target?: "workspaceFolder" | "user";
  /** An id of the catalogue. `null`: told from the base URL or the key. */
  provider?: string;
  /** Where the key goes. `null`: the provider's default. */
  baseUrl?: string;
  /** The model to ask for. `null`: the provider's default. */
  model?: string;
  /** The client has kept this key and hands it over again at start: it is not checked, nor shown. */
  restore?: boolean;
}

/** Open a `.env` file. */
export interface EnvOpenParams {
  /** See FolderParams. Its `.qwen/.env` is opened, and made if there is none. */
  uri?: string;
  /** Instead: the URI of a `.env` file that is there. */
  file?: string;
}

/** Names a `.env` file. */
export interface EnvFileParams {
  /** Needed: its URI. */
  file?: string;
}

/** Names a key in a `.env` file. */
export interface EnvKeyParams {
  /** Needed: the file's URI. */
  file?: string;
  /** Needed: the key's name in it. */
  variable?: string;
}

/** Moves a key from a `.env` file to the keyring. */
export interface EnvMoveKeyParams {
  /** Needed: the file's URI. A file that is open with unsaved changes is refused. */
  file?: string;
  /** Needed: the key's name in it. */
  variable?: string;
  /** Whose key it becomes. `null`: the folder that reads the file, else the user. */
  target?: "workspaceFolder" | "user";
}

/** Forget a stored API key. */
export interface KeyRemoveParams {
  /** See FolderParams. */
  uri?: string;
  /** Whose key. `null`: the folder of `uri`, else the user. */
  target?: "workspaceFolder" | "user";
  /** Of this provider alone. `null`: the folder's, whosever it is; of the user's the one stored last. */
  provider?: string;
}

/** A consent that stands or is to stand. */
export interface TrustParams {
  /** See FolderParams. */
  uri?: string;
  /** For `forget`: only answers about this file. `null`: every answer for the folder. */
  file?: string;
}

/** One message of a conversation that the client holds. */
export interface ChatMessage {
  /** Who speaks. */
  role: "system" | "user" | "assistant";
  /** What they say. */
  content: string;
}

/** Lines of a file that a message is about. */
export interface ChatSelection {
  /** The file. */
  uri: string;
  /** The first line, from 0. */
  startLine: number;
  /** The line after the last one; equal to `startLine` for that line alone. */
  endLine: number;
  /** What stands there. `null`: it is read, where there is a file; else as it stands in the open document. */
  text?: string;
  /** The file's language. */
  languageId?: string;
}

/** A finding of some other server that a message is about. */
export interface ChatDiagnostic {
  /** The file. */
  uri: string;
  /** Where, from 0. */
  line: number;
  /** What. */
  message: string;
  /** How bad. */
  severity?: "error" | "warning" | "information" | "hint";
  /** Whose finding it is. */
  source?: string;
  /** Its code. */
  code?: string | number;
}

/** What goes along with a message. All of it does, whether the text mentions it or not. */
export interface ChatContext {
  /** What `@selection` means. */
  selection?: ChatSelection;
  /** URIs, or paths relative to the workspace folder; as if each stood in the text as `@file:path`. */
  files?: string[];
  /** What `@diagnostics` means. */
  diagnostics?: ChatDiagnostic[];
}

/** Send a message and stream the answer. */
export interface ChatSendParams {
  /** The message. It joins the conversation `conversationId`, or a new one. `@file:path`, `@selection` and `@diagnostics` in it are followed by what they mean; a slash command is run and not sent. */
  text?: string;
  /** Instead of `text`: the whole conversation, held by the client; one message at least. */
  messages?: ChatMessage[];
  /** From an earlier answer or `qwen.chat.new`. */
  conversationId?: string;
  /** Instead of `text`: the URI of an open chat document, which is the conversation. Its last message is sent, and the answer is written into it. */
  document?: string;
  /** See FolderParams. For `document`, that is the URI that counts. */
  uri?: string;
  /** Instead of the configured one. */
  model?: string;
  /** What goes along with the message. */
  context?: ChatContext;
  /** Answer when the turn has ended, instead of when it has begun. */
  wait?: boolean;
  /** A token to report progress to; without one the server makes its own. */
  workDoneToken?: string | number;
  /** A token to stream ChatDelta values to; the result then carries no text. Passed over for `document`, which gets the answer by edits: its end is told by the progress. */
  partialResultToken?: string | number;
}

/** Stop an answer; what came so far is kept. */
export interface ChatCancelParams {
  /** From ChatResult. `null`: every turn of `conversationId`. */
  turnId?: string;
  /** From ChatResult. */
  conversationId?: string;
  /** Instead: the URI of the chat document that is being written into. */
  document?: string;
}

/** Put an answer that the client did not take by itself into its document. */
export interface ChatInsertParams {
  /** The URI of the open chat document. `null`: the only one for which an answer waits. */
  document?: string;
}

/** Begin a conversation. */
export interface ChatNewParams {
  /** See FolderParams; for a new document also what it is to be about. */
  uri?: string;
  /** Make a chat document for it, and open it. */
  document?: boolean;
  /** For `document`: what `@selection` means in it. */
  selection?: ChatSelection;
  /** For `document`: what `@diagnostics` means in it. */
  diagnostics?: ChatDiagnostic[];
}

/** Where a value came from. */
export interface Source {
  /** The kind of place. */
  kind: "keyring" | "dotenv" | "environment" | "settings" | "qwen-oauth" | "default" | "request" | "choice";
  /** The variable's name, for `environment` and `dotenv`. */
  variable?: string;
  /** The file's path; for `choice` the workspace folder's, or none for the user's choice. */
  file?: string;
  /** The line in it, from 1. */
  line?: number;
}

/** A next step to offer as a button: a server command with its argument. */
export interface ErrorAction {
  /** What the button says. */
  title: string;
  /** The server command. */
  command: string;
  /** Its one argument. */
  argument?: Record<string, string>;
}

/** `data` of every RequestFailed error (-32803); -32800 carries it too, with kind `cancelled`. */
export interface ErrorData {
  /** What clients switch on. */
  kind: string;
  /** What to do next, in one line. */
  remedy: string;
  /** Whether the same request may succeed later unchanged. */
  retryable?: boolean;
  /** The whole line, where this object stands alone. */
  message?: string;
  /** Refines kind `network`. */
  cause?: string;
  /** Next steps as server commands. */
  actions?: ErrorAction[];
  /** The answer as far as it came, where a message that was waited for failed in the middle of one; its text as in a result. `null` for a document, which has it. */
  turn?: ChatResult;
}

/** Something about a `.env` candidate, or a stored key, that its owner should know. */
export interface FileProblem {
  /** The file's path, or which key it is. */
  file: string;
  /** The line, from 1; 0 for the whole file. */
  line: number;
  /** What it is. */
  text: string;
}

/** What this run has used, and what the provider says of its limits. */
export interface Quota {
  /** Of this run, for methods with known limits. */
  requestsThisMinute?: number;
  /** The known limit. */
  minuteLimit?: number;
  /** Of this run, since midnight UTC. */
  requestsToday?: number;
  /** The known limit. */
  dayLimit?: number;
  /** The provider's own rate headers, from its last answer. */
  headers?: Record<string, string>;
}

/** Who signs this folder's requests, and where they go. Also the notification `qwen/didChangeStatus`. */
export interface Status {
  /** Whether an answer or a sign-in is under way. */
  busy: boolean;
  /** How it stands, in the words that status-line plug-ins know. */
  kind: "Normal" | "Error" | "Warning" | "Inactive";
  /** One line for people. */
  message: string;
  /** The workspace folder; `null` for the user's own status. */
  uri?: string;
  /** The server command that a click on the status may run. */
  command?: string;
  /** Whether there is a credential. */
  signedIn?: boolean;
  /** The method in force. */
  method?: string;
  /** Who chose it. */
  chosenBy?: "folder" | "user" | "inferred" | "headless";
  /** The provider's name. */
  provider?: string;
  /** Where requests go. */
  baseUrl?: string;
  /** Where that came from. */
  baseUrlSource?: Source;
  /** The model asked for; `null`: the first that the provider lists. */
  model?: string;
  /** Where that came from. */
  modelSource?: Source;
  /** Where the credential came from. */
  source?: Source;
  /** What may be shown of it. */
  fingerprint?: string;
  /** When the token runs out and is refreshed, epoch seconds UTC. */
  expiresAt?: number;
  /** What is used up, where limits are known. */
  quota?: Quota;
  /** Why there is no credential. */
  error?: ErrorData;
  /** About the `.env` files and the stored keys. */
  problems?: FileProblem[];
}

/** A sign-in that has begun (`done` is false) or ended well. */
export interface LoginResult {
  /** Names it for `qwen.auth.cancel`; absent for `api-key`, and while the user is still choosing a way in. */
  loginId?: string;
  /** How. */
  method?: string;
  /** Whether it has ended. */
  done?: boolean;
  /** What to enter on the page (RFC 8628). */
  userCode?: string;
  /** The page. */
  verificationUri?: string;
  /** The page with the code filled in. */
  verificationUriComplete?: string;
  /** Seconds until the code runs out. */
  expiresIn?: number;
  /** Seconds between the server's polls. */
  interval?: number;
  /** Whether a request has been accepted with the credential; false: it could not be checked. */
  checked?: boolean;
  /** The outcome, in one line. */
  message?: string;
  /** The status after it. */
  status?: Status;
}

/** What was forgotten, and what still applies. */
export interface LogoutResult {
  /** Whether there was anything to forget. */
  removed: boolean;
  /** Both, in one line. */
  message: string;
  /** The status after it. */
  status: Status;
}

/** The method now in force. */
export interface SwitchResult {
  /** It; absent while the user is still choosing. */
  method?: string;
  /** What it means, in one line: also when the chosen method has no credential yet. */
  message: string;
  /** The status after it. */
  status: Status;
}

/** A way to sign requests, or to get a key for it. */
export interface AuthMethod {
  /** What `qwen.auth.login` and `qwen.auth.switch` take. */
  method: string;
  /** What a list of ways says. */
  title: string;
  /** Whether it signs this folder's requests now. */
  active?: boolean;
  /** Whether one can switch to it; false for a sign-in that yields an API key. */
  switchable?: boolean;
}

/** The ways in, for a client that lets the user choose by itself. */
export interface MethodsResult {
  /** Them, in the order to show. */
  methods: AuthMethod[];
}

/** A stored key, as far as it may be shown. */
export interface StoredKey {
  /** Whose it is. */
  target: "workspaceFolder" | "user";
  /** The provider's id. */
  provider: string;
  /** Where it goes. */
  baseUrl: string;
  /** What may be shown of it. */
  fingerprint: string;
  /** Who keeps it: the keyring, a plain file, the client, or nobody beyond this session. */
  keptIn: "keyring" | "file" | "client" | "session";
  /** When, epoch seconds UTC. */
  storedAt: number;
  /** The workspace folder's real path, for target `workspaceFolder`. */
  folder?: string;
  /** The model stored along. */
  model?: string;
  /** Whether it signs this folder's requests now. */
  active?: boolean;
}

/** A key that was stored, or is still being checked (`done` is false). */
export interface KeyResult {
  /** It; absent while it is being checked. */
  stored?: StoredKey;
  /** Whether the provider has accepted it; false: it could not be asked. */
  checked?: boolean;
  /** Both, in one line: also why it is kept for this session only. */
  message: string;
  /** The status after it. */
  status: Status;
  /** False: the provider is slow; the outcome follows as a message. Never for a client that declares `secretStore`, since the outcome may be that it has to keep the key. */
  done?: boolean;
}

/** The keys that are stored. */
export interface KeysResult {
  /** Them. */
  keys: StoredKey[];
}

/** What became of a key. */
export interface KeyRemoveResult {
  /** Whether there was one. */
  removed: boolean;
  /** It, and what still applies, in one line. */
  message: string;
  /** The status after it. */
  status: Status;
}

/** A remembered answer to a consent question. */
export interface Consent {
  /** The workspace folder's real path; empty outside every folder. */
  folder: string;
  /** The file that named the base URL or the key. */
  file: string;
  /** Where the key would go. */
  baseUrl: string;
  /** `send` the key there, use the `file`'s own key and URL, or `deny`. */
  decision: "send" | "file" | "deny";
}

/** The answers in force. */
export interface TrustResult {
  /** Them. */
  consents: Consent[];
  /** What has changed, in one line. */
  message: string;
}

/** A `.env` file to put a key into. */
export interface EnvOpenResult {
  /** Its path. */
  file: string;
  /** Whether it is new, made from a template. */
  created: boolean;
  /** Whether git ignores it now; true outside a work tree. */
  ignored: boolean;
  /** Whether the client has opened it. */
  opened: boolean;
  /** All of it in one line. */
  message: string;
}

/** What was done with a `.env` file, or found out about a key in it. */
export interface EnvResult {
  /** It, in one line. It is shown to the user as a message too. */
  message: string;
  /** False: it takes long, since somebody is asked or waited for; the outcome follows as a message. */
  done?: boolean;
  /** The path of the file that was changed. */
  file?: string;
  /** The lines are gone in the editor's text; the file on the disk has them until it is saved. */
  unsaved?: boolean;
  /** Whether the provider has accepted the key; false: it could not be asked. */
  checked?: boolean;
  /** The key in its new place. */
  stored?: StoredKey;
  /** The status after it. */
  status?: Status;
}

/** One place of the ladder. */
export interface Rung {
  /** The method it belongs to. */
  method: string;
  /** The place. */
  place: string;
  /** What became of it. */
  outcome: "active" | "outranked" | "absent" | "unusable";
  /** Why. */
  why: string;
  /** The value's provenance, if there is a value. */
  source?: Source;
  /** What may be shown of the credential. */
  fingerprint?: string;
  /** Where it would go. */
  baseUrl?: string;
}

/** One place that may name the model. */
export interface ModelRung {
  /** The place. */
  place: string;
  /** What became of it. */
  outcome: "active" | "outranked" | "absent" | "unusable";
  /** Why. */
  why: string;
  /** The model it names. */
  model?: string;
  /** Where that stands. */
  source?: Source;
}

/** The whole ladder in order: what won, and why each other one did not. */
export interface Explanation {
  /** The outcome. */
  status: Status;
  /** The places, in order. */
  rungs: Rung[];
  /** Where a `.env` file is looked for, in order. */
  envCandidates: string[];
  /** The one that counts. */
  envFile?: string;
  /** All of it for people. */
  markdown: string;
  /** The places that may name the model, in order; none where nobody is signed in. */
  models?: ModelRung[];
}

/** Whether there was anything to cancel. */
export interface CancelResult {
  /** It. */
  cancelled: boolean;
}

/** A model the provider lists. */
export interface Model {
  /** Its name in requests. */
  id: string;
  /** Whether requests ask for it now. */
  active?: boolean;
}

/** The provider's models. */
export interface ModelsResult {
  /** Whose they are. */
  provider: string;
  /** Where the list came from. */
  baseUrl: string;
  /** Them. */
  models: Model[];
}

/** The model that requests ask for now. */
export interface ModelSelectResult {
  /** It; absent while the user is still choosing, or where the provider's first is asked for. */
  model?: string;
  /** What the choice means, in one line; how else to name one, where nothing was chosen. */
  message: string;
  /** The status after it. */
  status: Status;
}

/** Tokens as the provider counted them. */
export interface Usage {
  /** Of the conversation so far. */
  promptTokens: number;
  /** Of the answer. */
  completionTokens: number;
  /** Together. */
  totalTokens: number;
}

/** A turn that has begun (no `stopReason`) or ended. */
export interface ChatResult {
  /** Names the conversation for the next message. */
  conversationId: string;
  /** Names this turn for `qwen.chat.cancel`. */
  turnId: string;
  /** Why it ended. */
  stopReason?: "end_turn" | "max_tokens" | "refusal" | "cancelled";
  /** The answer; absent if it was streamed to `partialResultToken`. */
  text?: string;
  /** The reasoning before it; absent in the same way. */
  reasoning?: string;
  /** What it took. */
  usage?: Usage;
  /** The model that really served. */
  model?: string;
  /** The model that was asked for. */
  requestedModel?: string;
}

/** An empty conversation. */
export interface ChatNewResult {
  /** Its name; absent for a document, which is its own conversation. */
  conversationId?: string;
  /** The chat document's path. */
  file?: string;
  /** Whether the client says that it has opened the document. */
  opened?: boolean;
  /** What was made, in one line. */
  message?: string;
}

/** An answer that was put in. */
export interface ChatInsertResult {
  /** Whether there was one. */
  inserted: boolean;
}

/** A report without secrets, to paste into a question. */
export interface DoctorReport {
  /** It. */
  markdown: string;
  /** The same as data. */
  facts: Record<string, unknown>;
}

/** A value of `$/progress` to `partialResultToken`: a piece of the answer or of its reasoning. */
export interface ChatDelta {
  /** Which of the two. */
  kind: "delta" | "reasoning";
  /** The turn. */
  turnId: string;
  /** Counts the values of this turn from 0, without gaps. */
  seq: number;
  /** The piece. */
  text: string;
}

/** The last value to `partialResultToken`, and the fields added to the end of the progress. */
export interface ChatEnd {
  /** Always `end`. */
  kind: "end";
  /** The turn. */
  turnId: string;
  /** The count goes on. */
  seq: number;
  /** Why it ended; absent after an error. */
  stopReason?: "end_turn" | "max_tokens" | "refusal" | "cancelled";
  /** What it took. */
  usage?: Usage;
  /** The model that really served. */
  model?: string;
  /** The model that was asked for. */
  requestedModel?: string;
  /** What went wrong; the text so far is kept. */
  error?: ErrorData;
}

/** `qwen/auth/deviceCode`: show this to the user. */
export interface DeviceCode {
  /** Names the sign-in for `qwen.auth.cancel`. */
  loginId: string;
  /** How. */
  method: string;
  /** What to enter on the page. */
  userCode: string;
  /** The page. */
  verificationUri: string;
  /** The page with the code filled in. */
  verificationUriComplete: string;
  /** Seconds until the code runs out. */
  expiresIn: number;
}

/** `capabilities.experimental.qwen` of the client in `initialize`. */
export interface ClientCapabilities {
  /** The client shows `qwen/auth/deviceCode` itself, at once. */
  deviceCode?: boolean;
  /** The client knows whether the workspace is trusted and says so in `initializationOptions`. */
  workspaceTrust?: boolean;
  /** The client can keep a key where there is no keyring, and hands it over again at start. */
  secretStore?: boolean;
  /** The client can take the redirect of a browser sign-in and sends `qwen/auth/didRedirect`. */
  redirectUri?: boolean;
  /** `initializationOptions.user` holds only what was set at user level. */
  userSettings?: boolean;
}

/** `capabilities.experimental.qwen` of the server's answer to `initialize`. */
export interface ServerCapabilities {
  /** Of this protocol; raised when a change would break a client. */
  version: number;
  /** The request twins. */
  requests: string[];
  /** The notifications of our own, both ways. */
  notifications: string[];
  /** The folder to hand keys over in (see KeySetParams); absent where none could be made. */
  handover?: string;
}

/** `initializationOptions` of the client; all optional. */
export interface InitializationOptions {
  /** `trusted` counts only from a client that declares `workspaceTrust`. */
  workspaceTrust?: "trusted" | "untrusted" | "unknown";
  /** User settings; they count only from a client that declares `userSettings`. */
  user?: Record<string, unknown>;
}

/** `qwen/didChangeTrust`, from the client: the workspace's trust has changed. */
export interface WorkspaceTrustParams {
  /** As in InitializationOptions. */
  workspaceTrust: "trusted" | "untrusted" | "unknown";
}

/** The providers of the server's catalogue; the first base URL is the default. */
export const PROVIDERS: readonly { readonly id: string; readonly label: string; readonly baseUrls: readonly string[] }[] = [
  {"id": "openai", "label": "OpenAI", "baseUrls": ["https://api.openai.com/v1"]},
  {"id": "dashscope", "label": "Alibaba Cloud Model Studio", "baseUrls": ["https://dashscope.aliyuncs.com/compatible-mode/v1", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "https://dashscope-us.aliyuncs.com/compatible-mode/v1"]},
  {"id": "coding-plan", "label": "Alibaba Cloud Coding Plan", "baseUrls": ["https://coding.dashscope.aliyuncs.com/v1", "https://coding-intl.dashscope.aliyuncs.com/v1"]},
  {"id": "modelscope", "label": "ModelScope", "baseUrls": ["https://api-inference.modelscope.cn/v1"]},
  {"id": "openrouter", "label": "OpenRouter", "baseUrls": ["https://openrouter.ai/api/v1"]},
  {"id": "fireworks", "label": "Fireworks AI", "baseUrls": ["https://api.fireworks.ai/inference/v1"]},
  {"id": "deepseek", "label": "DeepSeek", "baseUrls": ["https://api.deepseek.com"]},
  {"id": "azure", "label": "Azure OpenAI", "baseUrls": ["https://{resource}.openai.azure.com/openai/v1"]},
];

/** The user settings. */
export const USER_SETTINGS = ["excludedEnvVars", "insecureOrigins", "timeouts", "proxy", "caFile", "allowPlaintextKeys", "oauthServers", "fallbackModels"] as const;

/** Commands of the server. */
export interface Commands {
  "qwen.auth.login": { params: LoginParams; result: LoginResult };
  "qwen.auth.logout": { params: LogoutParams; result: LogoutResult };
  "qwen.auth.switch": { params: SwitchParams; result: SwitchResult };
  "qwen.auth.methods": { params: FolderParams; result: MethodsResult };
  "qwen.auth.status": { params: FolderParams; result: Status };
  "qwen.auth.explain": { params: FolderParams; result: Explanation };
  "qwen.auth.cancel": { params: LoginCancelParams; result: CancelResult };
  "qwen.keys.set": { params: KeySetParams; result: KeyResult };
  "qwen.keys.remove": { params: KeyRemoveParams; result: KeyRemoveResult };
  "qwen.keys.list": { params: FolderParams; result: KeysResult };
  "qwen.env.open": { params: EnvOpenParams; result: EnvOpenResult };
  "qwen.env.check": { params: EnvKeyParams; result: EnvResult };
  "qwen.env.moveToKeyring": { params: EnvMoveKeyParams; result: EnvResult };
  "qwen.env.move": { params: EnvFileParams; result: EnvResult };
  "qwen.env.ignore": { params: EnvFileParams; result: EnvResult };
  "qwen.trust.allow": { params: TrustParams; result: TrustResult };
  "qwen.trust.deny": { params: TrustParams; result: TrustResult };
  "qwen.trust.forget": { params: TrustParams; result: TrustResult };
  "qwen.trust.list": { params: FolderParams; result: TrustResult };
  "qwen.models.list": { params: FolderParams; result: ModelsResult };
  "qwen.models.select": { params: ModelSelectParams; result: ModelSelectResult };
  "qwen.chat.send": { params: ChatSendParams; result: ChatResult };
  "qwen.chat.cancel": { params: ChatCancelParams; result: CancelResult };
  "qwen.chat.new": { params: ChatNewParams; result: ChatNewResult };
  "qwen.chat.insert": { params: ChatInsertParams; result: ChatInsertResult };
  "qwen.doctor": { params: FolderParams; result: DoctorReport };
}

/** Request twins: answered at the end. */
export interface Requests {
  "qwen/auth/login": { params: LoginParams; result: LoginResult };
  "qwen/keys/set": { params: KeySetParams; result: KeyResult };
  "qwen/models/list": { params: FolderParams; result: ModelsResult };
  "qwen/chat/send": { params: ChatSendParams; result: ChatResult };
}

/** What the server says unasked. */
export interface ServerNotifications {
  "qwen/didChangeStatus": Status;
  "qwen/auth/deviceCode": DeviceCode;
}

/** What the client says unasked. */
export interface ClientNotifications {
  "qwen/auth/didRedirect": RedirectParams;
  "qwen/didChangeTrust": WorkspaceTrustParams;
}
