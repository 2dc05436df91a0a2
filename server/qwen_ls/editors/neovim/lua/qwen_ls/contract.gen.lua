-- Generated from server/qwen_ls/contract.py by `make contract`. Do not edit.
-- A field with a question mark may be left out, or is left out where it would be null.

--- What a failure is.
---@alias qwen.Kind
---| 'signed-out' # There is no usable credential.
---| 'login-cancelled' # The user ended the sign-in.
---| 'login-denied' # The user said no on the provider's page.
---| 'login-expired' # The code ran out before it was entered.
---| 'login-failed' # The server refused the sign-in in another way.
---| 'key-rejected' # The provider answered 401 or 403 to the key or token.
---| 'wrong-endpoint' # The key belongs to another region or plan.
---| 'free-tier-closed' # Qwen OAuth's free tier, which closed on 2026-04-15.
---| 'quota-exceeded' # The provider answered 402, or 429 with `insufficient_quota`.
---| 'rate-limited' # The provider answered 429: too many requests for now.
---| 'untrusted-origin' # A key would go to a base URL that its own trust tier does not name, or to a provider inside a message.
---| 'env-unreadable' # The one `.env` file that counts cannot be read.
---| 'keyring-unavailable' # There is no OS keyring that can keep a key.
---| 'keyring-locked' # The OS keyring is locked.
---| 'network' # The provider could not be reached; `cause` says which way.
---| 'provider-down' # The provider answered 5xx.
---| 'bad-reply' # The provider's answer is not what the protocol promises.
---| 'stream-truncated' # The answer was cut short; what came is kept.
---| 'too-large' # Something is over a size limit.
---| 'model-not-found' # The provider does not have the model.
---| 'not-supported' # This client, method or provider cannot do it.
---| 'internal' # A mistake in the server itself.

--- Refines kind `network`.
---@alias qwen.Cause
---| 'dns' # The host's name could not be resolved.
---| 'refused' # Nothing accepts connections there.
---| 'tls' # The certificate or the TLS handshake failed.
---| 'proxy' # The proxy refused or failed.
---| 'captive-portal' # A network's sign-in page answered in the provider's place.
---| 'timeout' # No answer in time.
---| 'redirect' # The provider redirected the request; redirects are not followed.
---| 'encoding' # The answer's content encoding cannot be read.

--- A command of the server.
---@alias qwen.Command
---| 'qwen.auth.login' # Sign in.
---| 'qwen.auth.logout' # Forget a credential.
---| 'qwen.auth.switch' # Choose the method in force.
---| 'qwen.auth.methods' # The ways to sign in.
---| 'qwen.auth.status' # Who signs requests, and where they go.
---| 'qwen.auth.explain' # Why this credential and no other.
---| 'qwen.auth.cancel' # End a sign-in that is under way.
---| 'qwen.keys.set' # Check an API key and store it.
---| 'qwen.keys.remove' # Forget a stored API key.
---| 'qwen.keys.list' # The stored API keys, by fingerprint.
---| 'qwen.env.open' # Create and open `.qwen/.env`, or open a file.
---| 'qwen.env.check' # Try a key of a `.env` file.
---| 'qwen.env.moveToKeyring' # Move a key to the keyring.
---| 'qwen.env.move' # Move a `.env` to `.qwen/.env` beside it.
---| 'qwen.env.ignore' # Add a `.env` file to `.gitignore`.
---| 'qwen.trust.allow' # Let the key go where the file says.
---| 'qwen.trust.deny' # Never let the key go there.
---| 'qwen.trust.forget' # Forget answers, so that they are asked again.
---| 'qwen.trust.list' # The answers in force.
---| 'qwen.models.list' # The provider's models.
---| 'qwen.models.select' # Choose the model to ask for.
---| 'qwen.chat.send' # Send a message, stream the answer.
---| 'qwen.chat.cancel' # Stop an answer and keep what came.
---| 'qwen.chat.new' # Begin a conversation, in a document or without.
---| 'qwen.chat.insert' # Put in an answer that was held back.
---| 'qwen.doctor' # A report without secrets.

--- Names the workspace folder a command is about.
---@class (exact) qwen.FolderParams
---@field uri? string A document or folder; its workspace folder counts, the deepest one. `null`: the only folder there is, else the home files alone.

--- Sign in.
---@class (exact) qwen.LoginParams
---@field method? string `qwen-oauth`, `oauth:NAME` of the user setting `oauthServers`, `openrouter`, or `api-key`. `null` asks the user.
---@field uri? string See FolderParams.
---@field target? 'workspaceFolder'|'user' Where the choice of this method, or the key, is kept. `null`: the folder of `uri`, else the user.
---@field provider? string For `api-key`: whose key it is, an id of the catalogue. `null`: told from the base URL or the key.
---@field keyFile? string For `api-key`: the name of a file in the hand-over folder that holds the key; read once, deleted.
---@field baseUrl? string For `api-key`: where the key goes. `null`: the provider's default.
---@field model? string For `api-key`: the model to ask for. `null`: the provider's default.
---@field redirectUri? string For `openrouter`: the client's own redirect, from a client that declares `redirectUri`.
---@field wait? boolean Answer when the sign-in has ended, instead of when it has begun.
---@field workDoneToken? string|integer A token to report progress to; without one the server makes its own.

--- Forget a credential.
---@class (exact) qwen.LogoutParams
---@field method? string The method to sign out of. `null`: the one in force.
---@field uri? string See FolderParams.
---@field target? 'workspaceFolder'|'user' Whose key to forget, and whose choice of the method along with it. `null`: of the stored keys the one that signs requests here; the choice of the folder of `uri`, and the user's unless that key was the folder's. A sign-in is the user's: the choice of it is forgotten for both.

--- Choose the method in force.
---@class (exact) qwen.SwitchParams
---@field method? string `qwen-oauth` or `api-key`. `null` asks the user.
---@field uri? string See FolderParams.
---@field target? 'workspaceFolder'|'user' Where the choice is remembered. `null`: the folder of `uri`, else the user.

--- Choose the model that requests ask for.
---@class (exact) qwen.ModelSelectParams
---@field model? string Its name; an empty one forgets the choice. `null` asks the user.
---@field uri? string See FolderParams.
---@field target? 'workspaceFolder'|'user' Where the choice is remembered. `null`: the folder of `uri`, else the user.

--- End a sign-in that is under way.
---@class (exact) qwen.LoginCancelParams
---@field loginId? string From LoginResult. `null`: whichever is under way.

--- `qwen/auth/didRedirect`, from the client: the browser came back to the client's own redirect.
---@class (exact) qwen.RedirectParams
---@field uri string The whole URI it came back with.

--- Check an API key and store it.
---@class (exact) qwen.KeySetParams
---@field keyFile? string Needed: the name of a file in the hand-over folder (`experimental.qwen.handover` of the answer to `initialize`): 32 characters of `A-Za-z0-9_-`, mode 0600, holding the key alone; read once, deleted.
---@field uri? string See FolderParams.
---@field target? 'workspaceFolder'|'user' Whose key it is. `null`: the folder of `uri`, else the user.
---@field provider? string An id of the catalogue. `null`: told from the base URL or the key.
---@field baseUrl? string Where the key goes. `null`: the provider's default.
---@field model? string The model to ask for. `null`: the provider's default.
---@field restore? boolean The client has kept this key and hands it over again at start: it is not checked, nor shown.

--- Open a `.env` file.
---@class (exact) qwen.EnvOpenParams
---@field uri? string See FolderParams. Its `.qwen/.env` is opened, and made if there is none.
---@field file? string Instead: the URI of a `.env` file that is there.

--- Names a `.env` file.
---@class (exact) qwen.EnvFileParams
---@field file? string Needed: its URI.

--- Names a key in a `.env` file.
---@class (exact) qwen.EnvKeyParams
---@field file? string Needed: the file's URI.
---@field variable? string Needed: the key's name in it.

--- Moves a key from a `.env` file to the keyring.
---@class (exact) qwen.EnvMoveKeyParams
---@field file? string Needed: the file's URI. A file that is open with unsaved changes is refused.
---@field variable? string Needed: the key's name in it.
---@field target? 'workspaceFolder'|'user' Whose key it becomes. `null`: the folder that reads the file, else the user.

--- Forget a stored API key.
---@class (exact) qwen.KeyRemoveParams
---@field uri? string See FolderParams.
---@field target? 'workspaceFolder'|'user' Whose key. `null`: the folder of `uri`, else the user.
---@field provider? string Of this provider alone. `null`: the folder's, whosever it is; of the user's the one stored last.

--- A consent that stands or is to stand.
---@class (exact) qwen.TrustParams
---@field uri? string See FolderParams.
---@field file? string For `forget`: only answers about this file. `null`: every answer for the folder.

--- One message of a conversation that the client holds.
---@class (exact) qwen.ChatMessage
---@field role 'system'|'user'|'assistant' Who speaks.
---@field content string What they say.

--- Lines of a file that a message is about.
---@class (exact) qwen.ChatSelection
---@field uri string The file.
---@field startLine integer The first line, from 0.
---@field endLine integer The line after the last one; equal to `startLine` for that line alone.
---@field text? string What stands there. `null`: it is read, where there is a file; else as it stands in the open document.
---@field languageId? string The file's language.

--- A finding of some other server that a message is about.
---@class (exact) qwen.ChatDiagnostic
---@field uri string The file.
---@field line integer Where, from 0.
---@field message string What.
---@field severity? 'error'|'warning'|'information'|'hint' How bad.
---@field source? string Whose finding it is.
---@field code? string|integer Its code.

--- What goes along with a message. All of it does, whether the text mentions it or not.
---@class (exact) qwen.ChatContext
---@field selection? qwen.ChatSelection What `@selection` means.
---@field files? string[] URIs, or paths relative to the workspace folder; as if each stood in the text as `@file:path`.
---@field diagnostics? qwen.ChatDiagnostic[] What `@diagnostics` means.

--- Send a message and stream the answer.
---@class (exact) qwen.ChatSendParams
---@field text? string The message. It joins the conversation `conversationId`, or a new one. `@file:path`, `@selection` and `@diagnostics` in it are followed by what they mean; a slash command is run and not sent.
---@field messages? qwen.ChatMessage[] Instead of `text`: the whole conversation, held by the client; one message at least.
---@field conversationId? string From an earlier answer or `qwen.chat.new`.
---@field document? string Instead of `text`: the URI of an open chat document, which is the conversation. Its last message is sent, and the answer is written into it.
---@field uri? string See FolderParams. For `document`, that is the URI that counts.
---@field model? string Instead of the configured one.
---@field context? qwen.ChatContext What goes along with the message.
---@field wait? boolean Answer when the turn has ended, instead of when it has begun.
---@field workDoneToken? string|integer A token to report progress to; without one the server makes its own.
---@field partialResultToken? string|integer A token to stream ChatDelta values to; the result then carries no text. Passed over for `document`, which gets the answer by edits: its end is told by the progress.

--- Stop an answer; what came so far is kept.
---@class (exact) qwen.ChatCancelParams
---@field turnId? string From ChatResult. `null`: every turn of `conversationId`.
---@field conversationId? string From ChatResult.
---@field document? string Instead: the URI of the chat document that is being written into.

--- Put an answer that the client did not take by itself into its document.
---@class (exact) qwen.ChatInsertParams
---@field document? string The URI of the open chat document. `null`: the only one for which an answer waits.

--- Begin a conversation.
---@class (exact) qwen.ChatNewParams
---@field uri? string See FolderParams; for a new document also what it is to be about.
---@field document? boolean Make a chat document for it, and open it.
---@field selection? qwen.ChatSelection For `document`: what `@selection` means in it.
---@field diagnostics? qwen.ChatDiagnostic[] For `document`: what `@diagnostics` means in it.

--- Where a value came from.
---@class (exact) qwen.Source
---@field kind 'keyring'|'dotenv'|'environment'|'settings'|'qwen-oauth'|'default'|'request'|'choice' The kind of place.
---@field variable? string The variable's name, for `environment` and `dotenv`.
---@field file? string The file's path; for `choice` the workspace folder's, or none for the user's choice.
---@field line? integer The line in it, from 1.

--- A next step to offer as a button: a server command with its argument.
---@class (exact) qwen.ErrorAction
---@field title string What the button says.
---@field command string The server command.
---@field argument? table<string, string> Its one argument.

--- `data` of every RequestFailed error (-32803); -32800 carries it too, with kind `cancelled`.
---@class (exact) qwen.ErrorData
---@field kind string What clients switch on.
---@field remedy string What to do next, in one line.
---@field retryable? boolean Whether the same request may succeed later unchanged.
---@field message? string The whole line, where this object stands alone.
---@field cause? string Refines kind `network`.
---@field actions? qwen.ErrorAction[] Next steps as server commands.
---@field turn? qwen.ChatResult The answer as far as it came, where a message that was waited for failed in the middle of one; its text as in a result. `null` for a document, which has it.

--- Something about a `.env` candidate, or a stored key, that its owner should know.
---@class (exact) qwen.FileProblem
---@field file string The file's path, or which key it is.
---@field line integer The line, from 1; 0 for the whole file.
---@field text string What it is.

--- What this run has used, and what the provider says of its limits.
---@class (exact) qwen.Quota
---@field requestsThisMinute? integer Of this run, for methods with known limits.
---@field minuteLimit? integer The known limit.
---@field requestsToday? integer Of this run, since midnight UTC.
---@field dayLimit? integer The known limit.
---@field headers? table<string, string> The provider's own rate headers, from its last answer.

--- Who signs this folder's requests, and where they go. Also the notification `qwen/didChangeStatus`.
---@class (exact) qwen.Status
---@field busy boolean Whether an answer or a sign-in is under way.
---@field kind 'Normal'|'Error'|'Warning'|'Inactive' How it stands, in the words that status-line plug-ins know.
---@field message string One line for people.
---@field uri? string The workspace folder; `null` for the user's own status.
---@field command? string The server command that a click on the status may run.
---@field signedIn? boolean Whether there is a credential.
---@field method? string The method in force.
---@field chosenBy? 'folder'|'user'|'inferred'|'headless' Who chose it.
---@field provider? string The provider's name.
---@field baseUrl? string Where requests go.
---@field baseUrlSource? qwen.Source Where that came from.
---@field model? string The model asked for; `null`: the first that the provider lists.
---@field modelSource? qwen.Source Where that came from.
---@field source? qwen.Source Where the credential came from.
---@field fingerprint? string What may be shown of it.
---@field expiresAt? number When the token runs out and is refreshed, epoch seconds UTC.
---@field quota? qwen.Quota What is used up, where limits are known.
---@field error? qwen.ErrorData Why there is no credential.
---@field problems? qwen.FileProblem[] About the `.env` files and the stored keys.

--- A sign-in that has begun (`done` is false) or ended well.
---@class (exact) qwen.LoginResult
---@field loginId? string Names it for `qwen.auth.cancel`; absent for `api-key`, and while the user is still choosing a way in.
---@field method? string How.
---@field done? boolean Whether it has ended.
---@field userCode? string What to enter on the page (RFC 8628).
---@field verificationUri? string The page.
---@field verificationUriComplete? string The page with the code filled in.
---@field expiresIn? number Seconds until the code runs out.
---@field interval? number Seconds between the server's polls.
---@field checked? boolean Whether a request has been accepted with the credential; false: it could not be checked.
---@field message? string The outcome, in one line.
---@field status? qwen.Status The status after it.

--- What was forgotten, and what still applies.
---@class (exact) qwen.LogoutResult
---@field removed boolean Whether there was anything to forget.
---@field message string Both, in one line.
---@field status qwen.Status The status after it.

--- The method now in force.
---@class (exact) qwen.SwitchResult
---@field method? string It; absent while the user is still choosing.
---@field message string What it means, in one line: also when the chosen method has no credential yet.
---@field status qwen.Status The status after it.

--- A way to sign requests, or to get a key for it.
---@class (exact) qwen.AuthMethod
---@field method string What `qwen.auth.login` and `qwen.auth.switch` take.
---@field title string What a list of ways says.
---@field active? boolean Whether it signs this folder's requests now.
---@field switchable? boolean Whether one can switch to it; false for a sign-in that yields an API key.

--- The ways in, for a client that lets the user choose by itself.
---@class (exact) qwen.MethodsResult
---@field methods qwen.AuthMethod[] Them, in the order to show.

--- A stored key, as far as it may be shown.
---@class (exact) qwen.StoredKey
---@field target 'workspaceFolder'|'user' Whose it is.
---@field provider string The provider's id.
---@field baseUrl string Where it goes.
---@field fingerprint string What may be shown of it.
---@field keptIn 'keyring'|'file'|'client'|'session' Who keeps it: the keyring, a plain file, the client, or nobody beyond this session.
---@field storedAt number When, epoch seconds UTC.
---@field folder? string The workspace folder's real path, for target `workspaceFolder`.
---@field model? string The model stored along.
---@field active? boolean Whether it signs this folder's requests now.

--- A key that was stored, or is still being checked (`done` is false).
---@class (exact) qwen.KeyResult
---@field stored? qwen.StoredKey It; absent while it is being checked.
---@field checked? boolean Whether the provider has accepted it; false: it could not be asked.
---@field message string Both, in one line: also why it is kept for this session only.
---@field status qwen.Status The status after it.
---@field done? boolean False: the provider is slow; the outcome follows as a message. Never for a client that declares `secretStore`, since the outcome may be that it has to keep the key.

--- The keys that are stored.
---@class (exact) qwen.KeysResult
---@field keys qwen.StoredKey[] Them.

--- What became of a key.
---@class (exact) qwen.KeyRemoveResult
---@field removed boolean Whether there was one.
---@field message string It, and what still applies, in one line.
---@field status qwen.Status The status after it.

--- A remembered answer to a consent question.
---@class (exact) qwen.Consent
---@field folder string The workspace folder's real path; empty outside every folder.
---@field file string The file that named the base URL or the key.
---@field baseUrl string Where the key would go.
---@field decision 'send'|'file'|'deny' `send` the key there, use the `file`'s own key and URL, or `deny`.

--- The answers in force.
---@class (exact) qwen.TrustResult
---@field consents qwen.Consent[] Them.
---@field message string What has changed, in one line.

--- A `.env` file to put a key into.
---@class (exact) qwen.EnvOpenResult
---@field file string Its path.
---@field created boolean Whether it is new, made from a template.
---@field ignored boolean Whether git ignores it now; true outside a work tree.
---@field opened boolean Whether the client has opened it.
---@field message string All of it in one line.

--- What was done with a `.env` file, or found out about a key in it.
---@class (exact) qwen.EnvResult
---@field message string It, in one line. It is shown to the user as a message too.
---@field done? boolean False: it takes long, since somebody is asked or waited for; the outcome follows as a message.
---@field file? string The path of the file that was changed.
---@field unsaved? boolean The lines are gone in the editor's text; the file on the disk has them until it is saved.
---@field checked? boolean Whether the provider has accepted the key; false: it could not be asked.
---@field stored? qwen.StoredKey The key in its new place.
---@field status? qwen.Status The status after it.

--- One place of the ladder.
---@class (exact) qwen.Rung
---@field method string The method it belongs to.
---@field place string The place.
---@field outcome 'active'|'outranked'|'absent'|'unusable' What became of it.
---@field why string Why.
---@field source? qwen.Source The value's provenance, if there is a value.
---@field fingerprint? string What may be shown of the credential.
---@field baseUrl? string Where it would go.

--- One place that may name the model.
---@class (exact) qwen.ModelRung
---@field place string The place.
---@field outcome 'active'|'outranked'|'absent'|'unusable' What became of it.
---@field why string Why.
---@field model? string The model it names.
---@field source? qwen.Source Where that stands.

--- The whole ladder in order: what won, and why each other one did not.
---@class (exact) qwen.Explanation
---@field status qwen.Status The outcome.
---@field rungs qwen.Rung[] The places, in order.
---@field envCandidates string[] Where a `.env` file is looked for, in order.
---@field envFile? string The one that counts.
---@field markdown string All of it for people.
---@field models? qwen.ModelRung[] The places that may name the model, in order; none where nobody is signed in.

--- Whether there was anything to cancel.
---@class (exact) qwen.CancelResult
---@field cancelled boolean It.

--- A model the provider lists.
---@class (exact) qwen.Model
---@field id string Its name in requests.
---@field active? boolean Whether requests ask for it now.

--- The provider's models.
---@class (exact) qwen.ModelsResult
---@field provider string Whose they are.
---@field baseUrl string Where the list came from.
---@field models qwen.Model[] Them.

--- The model that requests ask for now.
---@class (exact) qwen.ModelSelectResult
---@field model? string It; absent while the user is still choosing, or where the provider's first is asked for.
---@field message string What the choice means, in one line; how else to name one, where nothing was chosen.
---@field status qwen.Status The status after it.

--- Tokens as the provider counted them.
---@class (exact) qwen.Usage
---@field promptTokens integer Of the conversation so far.
---@field completionTokens integer Of the answer.
---@field totalTokens integer Together.

--- A turn that has begun (no `stopReason`) or ended.
---@class (exact) qwen.ChatResult
---@field conversationId string Names the conversation for the next message.
---@field turnId string Names this turn for `qwen.chat.cancel`.
---@field stopReason? 'end_turn'|'max_tokens'|'refusal'|'cancelled' Why it ended.
---@field text? string The answer; absent if it was streamed to `partialResultToken`.
---@field reasoning? string The reasoning before it; absent in the same way.
---@field usage? qwen.Usage What it took.
---@field model? string The model that really served.
---@field requestedModel? string The model that was asked for.

--- An empty conversation.
---@class (exact) qwen.ChatNewResult
---@field conversationId? string Its name; absent for a document, which is its own conversation.
---@field file? string The chat document's path.
---@field opened? boolean Whether the client says that it has opened the document.
---@field message? string What was made, in one line.

--- An answer that was put in.
---@class (exact) qwen.ChatInsertResult
---@field inserted boolean Whether there was one.

--- A report without secrets, to paste into a question.
---@class (exact) qwen.DoctorReport
---@field markdown string It.
---@field facts table<string, any> The same as data.

--- A value of `$/progress` to `partialResultToken`: a piece of the answer or of its reasoning.
---@class (exact) qwen.ChatDelta
---@field kind 'delta'|'reasoning' Which of the two.
---@field turnId string The turn.
---@field seq integer Counts the values of this turn from 0, without gaps.
---@field text string The piece.

--- The last value to `partialResultToken`, and the fields added to the end of the progress.
---@class (exact) qwen.ChatEnd
---@field kind 'end' Always `end`.
---@field turnId string The turn.
---@field seq integer The count goes on.
---@field stopReason? 'end_turn'|'max_tokens'|'refusal'|'cancelled' Why it ended; absent after an error.
---@field usage? qwen.Usage What it took.
---@field model? string The model that really served.
---@field requestedModel? string The model that was asked for.
---@field error? qwen.ErrorData What went wrong; the text so far is kept.

--- `qwen/auth/deviceCode`: show this to the user.
---@class (exact) qwen.DeviceCode
---@field loginId string Names the sign-in for `qwen.auth.cancel`.
---@field method string How.
---@field userCode string What to enter on the page.
---@field verificationUri string The page.
---@field verificationUriComplete string The page with the code filled in.
---@field expiresIn number Seconds until the code runs out.

--- `capabilities.experimental.qwen` of the client in `initialize`.
---@class (exact) qwen.ClientCapabilities
---@field deviceCode? boolean The client shows `qwen/auth/deviceCode` itself, at once.
---@field workspaceTrust? boolean The client knows whether the workspace is trusted and says so in `initializationOptions`.
---@field secretStore? boolean The client can keep a key where there is no keyring, and hands it over again at start.
---@field redirectUri? boolean The client can take the redirect of a browser sign-in and sends `qwen/auth/didRedirect`.
---@field userSettings? boolean `initializationOptions.user` holds only what was set at user level.

--- `capabilities.experimental.qwen` of the server's answer to `initialize`.
---@class (exact) qwen.ServerCapabilities
---@field version integer Of this protocol; raised when a change would break a client.
---@field requests string[] The request twins.
---@field notifications string[] The notifications of our own, both ways.
---@field handover? string The folder to hand keys over in (see KeySetParams); absent where none could be made.

--- `initializationOptions` of the client; all optional.
---@class (exact) qwen.InitializationOptions
---@field workspaceTrust? 'trusted'|'untrusted'|'unknown' `trusted` counts only from a client that declares `workspaceTrust`.
---@field user? table<string, any> User settings; they count only from a client that declares `userSettings`.

--- `qwen/didChangeTrust`, from the client: the workspace's trust has changed.
---@class (exact) qwen.WorkspaceTrustParams
---@field workspaceTrust 'trusted'|'untrusted'|'unknown' As in InitializationOptions.

return {
  version = 1,
  providers = {
    { id = 'openai', label = 'OpenAI', baseUrls = { 'https://api.openai.com/v1' } },
    { id = 'dashscope', label = 'Alibaba Cloud Model Studio', baseUrls = { 'https://dashscope.aliyuncs.com/compatible-mode/v1', 'https://dashscope-intl.aliyuncs.com/compatible-mode/v1', 'https://dashscope-us.aliyuncs.com/compatible-mode/v1' } },
    { id = 'coding-plan', label = 'Alibaba Cloud Coding Plan', baseUrls = { 'https://coding.dashscope.aliyuncs.com/v1', 'https://coding-intl.dashscope.aliyuncs.com/v1' } },
    { id = 'modelscope', label = 'ModelScope', baseUrls = { 'https://api-inference.modelscope.cn/v1' } },
    { id = 'openrouter', label = 'OpenRouter', baseUrls = { 'https://openrouter.ai/api/v1' } },
    { id = 'fireworks', label = 'Fireworks AI', baseUrls = { 'https://api.fireworks.ai/inference/v1' } },
    { id = 'deepseek', label = 'DeepSeek', baseUrls = { 'https://api.deepseek.com' } },
    { id = 'azure', label = 'Azure OpenAI', baseUrls = { 'https://{resource}.openai.azure.com/openai/v1' } },
  },
}
