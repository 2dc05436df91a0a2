--- The one running client: started when it is needed, and again after it has died; what it says of itself.
local config = require('qwen_ls.config')

local M = {}

local HAS_011 = vim.fn.has('nvim-0.11') == 1
--- Milliseconds that a page may take to open before it counts as opened: some programs stay until closed.
local OPEN_MS = 1500
--- Milliseconds that a completion may wait for the server.
local NOW_MS = 300
--- Milliseconds between two looks at whether it has ended.
local LOOK_MS = 25

---@type table<string, qwen.Status> The latest status of each workspace folder; '' is the user's own.
M.statuses = {}
---@type string? What the server is busy with, as its progress says.
M.progress = nil

---@type table<integer, true> The buffers that were attached, to be attached again after a restart.
local attached = {}
---@type (fun(client: vim.lsp.Client))[] Who waits for the server to be ready.
local waiting = {}
---@type table<integer, true> The clients whose end was wanted.
local leaving = {}

-- --- versions of Neovim -------------------------------------------------------------------------

-- Before 0.11 a client's functions took no `self`.

---@param client vim.lsp.Client
---@param name string
local function call(client, name, ...)
  if HAS_011 then return client[name](client, ...) end
  return client[name](...)
end

---@param client vim.lsp.Client
---@return boolean
function M.is_stopped(client) return call(client, 'is_stopped') end

---@param client vim.lsp.Client
---@param method string
---@param params table
function M.notify(client, method, params) call(client, 'notify', method, params) end

-- --- starting -----------------------------------------------------------------------------------

--- The running client, ready or not.
---@return vim.lsp.Client?
function M.get()
  -- One that has not been initialized yet is found by no public function.
  for _, client in ipairs(vim.lsp.get_clients({ name = config.name, _uninitialized = true })) do
    if not M.is_stopped(client) then return client end
  end
end

--- Tell the server of a workspace folder, unless it knows it.
---@param client vim.lsp.Client
---@param dir string?
function M.add_folder(client, dir)
  if not dir then return end
  local folder = { uri = vim.uri_from_fname(dir), name = dir }
  for _, known in ipairs(client.workspace_folders or {}) do
    if known.uri == folder.uri then return end
  end
  client.workspace_folders = vim.list_extend(client.workspace_folders or {}, { folder })
  local function tell(ready)
    M.notify(ready, 'workspace/didChangeWorkspaceFolders', { event = { added = { folder }, removed = {} } })
  end
  if client.initialized then
    tell(client)
  else
    waiting[#waiting + 1] = tell
  end
end

---@param dir string?
---@return vim.lsp.Client? # nil if it could not be started, which has been said
local function start(dir)
  local wanted = HAS_011 and vim.lsp.config[config.name] or config.base()
  wanted = vim.tbl_extend('force', wanted, { root_dir = dir })
  local program = type(wanted.cmd) == 'table' and wanted.cmd[1]
  if not dir then wanted.root_dir = nil end
  if program and vim.fn.executable(program) == 0 then
    return M.say(
      ("No program %s: install qwen-ls, or name it in vim.lsp.config('qwen_ls')"):format(program),
      'ERROR'
    )
  end
  local id = HAS_011 and vim.lsp.start(wanted, { attach = false })
    or not HAS_011 and vim.lsp.start_client(wanted)
  return id and vim.lsp.get_client_by_id(id) or nil
end

---@param client vim.lsp.Client
---@param bufnr integer
local function attach(client, bufnr)
  if vim.api.nvim_buf_is_loaded(bufnr) and config.file(bufnr) then
    M.add_folder(client, config.folder(bufnr))
    vim.lsp.buf_attach_client(bufnr, client.id)
  end
end

--- Call back with a client that is ready, attached to a buffer; it is started if it does not run.
---@param bufnr integer
---@param ready fun(client: vim.lsp.Client)
function M.ensure(bufnr, ready)
  local dir = config.folder(bufnr)
  local client = M.get()
  if not client then
    client = start(dir)
    if not client then return end
    for known in pairs(attached) do
      attach(client, known)
    end
  end
  M.add_folder(client, dir)
  attach(client, bufnr)
  if client.initialized then return ready(client) end
  waiting[#waiting + 1] = ready
end

--- Attach a buffer that the server is of use in.
---@param bufnr integer
function M.open(bufnr)
  if config.wants(bufnr) then M.ensure(bufnr, function() end) end
end

-- --- asking -------------------------------------------------------------------------------------

---@param bufnr integer
---@return string? uri What a command about this buffer names: its file, else its folder.
function M.uri(bufnr)
  local path = config.file(bufnr) or config.folder(bufnr)
  return path and vim.uri_from_fname(path) or nil
end

---@param message string
---@param level? 'INFO'|'WARN'|'ERROR'
function M.say(message, level) vim.notify(message, vim.log.levels[level or 'INFO'], { title = 'Qwen' }) end

--- Say what went wrong, and offer the next steps that the server names.
---@param bufnr integer
---@param err lsp.ResponseError
function M.fail(bufnr, err)
  local data = type(err.data) == 'table' and err.data or {} --[[@as qwen.ErrorData]]
  if data.kind == 'login-cancelled' then return M.say(err.message) end
  M.say(err.message, 'ERROR')
  local actions = data.actions or {}
  if #actions == 0 then return end
  vim.ui.select(actions, {
    prompt = 'Qwen: what next?',
    format_item = function(action) return action.title end,
  }, function(action)
    if not action then return end
    local function done(result)
      if result.message then M.say(result.message) end
    end
    -- This command needs a key, which only a masked question of ours can bring.
    if action.command == 'qwen.auth.login' and action.argument.method == 'api-key' then
      return require('qwen_ls.auth').login_by_key(bufnr)
    end
    if action.command == 'qwen.auth.explain' then
      return require('qwen_ls.auth').explain({ bufnr = bufnr }) -- its answer is a text to read
    end
    M.command(bufnr, action.command, action.argument, done)
  end)
end

--- Send a request about a buffer; `done` gets its result, a failure is shown (and goes to `failed`).
---@param bufnr integer
---@param method string
---@param params table
---@param done? fun(result: table, client: vim.lsp.Client)
---@param failed? fun(err: lsp.ResponseError)
function M.request(bufnr, method, params, done, failed)
  M.ensure(bufnr, function(client)
    call(client, 'request', method, params, function(err, result)
      if err then
        if failed then failed(err) end
        return M.fail(bufnr, err)
      end
      if done and type(result) == 'table' then done(result, client) end
    end, bufnr)
  end)
end

--- Run a command of the server, with the buffer's `uri` where none is given.
---@param bufnr integer
---@param name qwen.Command
---@param argument table
---@param done? fun(result: any, client: vim.lsp.Client)
---@param failed? fun(err: lsp.ResponseError)
function M.command(bufnr, name, argument, done, failed)
  if argument.uri == nil then argument = vim.tbl_extend('force', argument, { uri = M.uri(bufnr) }) end
  if next(argument) == nil then argument = vim.empty_dict() end
  M.request(bufnr, 'workspace/executeCommand', { command = name, arguments = { argument } }, done, failed)
end

--- A command's result at once, as a completion needs it; nil where no server is ready, or it takes too long.
---@param name qwen.Command
---@return table?
function M.now(name)
  local client = M.get()
  if not client or not client.initialized then return end
  local params = { command = name, arguments = { vim.empty_dict() } }
  local bufnr = vim.api.nvim_get_current_buf()
  local reply = call(client, 'request_sync', 'workspace/executeCommand', params, NOW_MS, bufnr)
  return reply and reply.result
end

-- --- what the server sends ----------------------------------------------------------------------

---@param client vim.lsp.Client
function M.on_init(client)
  -- A task: `initialized` is sent when this returns.
  vim.schedule(function()
    local ready = waiting
    waiting = {}
    for _, go_on in ipairs(ready) do
      go_on(client)
    end
  end)
end

---@param client vim.lsp.Client
---@param bufnr integer
function M.on_attach(client, bufnr)
  attached[bufnr] = true
  M.add_folder(client, config.folder(bufnr))
  if config.is_chat(vim.api.nvim_buf_get_name(bufnr)) then require('qwen_ls.chat').on_attach(bufnr) end
end

--- The server has ended. The next `:Qwen` starts it again.
---@param code integer
---@param signal integer
---@param id integer
function M.on_exit(code, signal, id)
  M.statuses, M.progress, waiting = {}, nil, {}
  require('qwen_ls.auth').close()
  vim.cmd.redrawstatus({ bang = true })
  if leaving[id] or vim.v.exiting ~= vim.NIL then return end
  local how = signal ~= 0 and ('signal %d'):format(signal) or ('exit code %d'):format(code)
  M.say(('qwen-ls has ended (%s). The next :Qwen command starts it again.'):format(how), 'ERROR')
end

--- End the server, as the user wishes.
function M.stop()
  local client = M.get()
  if not client then return end
  leaving[client.id] = true
  attached = {}
  call(client, 'stop')
end

---@param status qwen.Status
function M.on_status(_, status)
  M.statuses[status.uri or ''] = status
  require('qwen_ls.auth').on_status(status)
  vim.api.nvim_exec_autocmds('User', { pattern = 'QwenStatus', modeline = false, data = status })
  vim.cmd.redrawstatus({ bang = true })
end

--- The latest status of a buffer's folder.
---@param bufnr integer
---@return qwen.Status?
function M.status(bufnr)
  local dir = config.folder(bufnr)
  return M.statuses[dir and vim.uri_from_fname(dir) or ''] or M.statuses['']
end

--- Wait for something without standing still: a handler of a request runs in a coroutine of its own.
---@param most_ms integer
---@param is_so fun(): boolean
local function wait(most_ms, is_so)
  local this = assert(coroutine.running())
  local timer, ends = assert(vim.uv.new_timer()), vim.uv.now() + most_ms
  timer:start(
    0,
    LOOK_MS,
    vim.schedule_wrap(function()
      if timer:is_closing() or not (is_so() or vim.uv.now() >= ends) then return end
      timer:close()
      coroutine.resume(this)
    end)
  )
  coroutine.yield()
end

--- Neovim's own handler ends the program that opens a page after two seconds, and with it many a browser.
---@param params lsp.ShowDocumentParams
---@return { success: boolean }
function M.on_show_document(err, params, ctx, cfg)
  if not params.external then
    if config.is_chat(params.uri) then
      require('qwen_ls.chat').show(params.uri)
      return { success = true }
    end
    return vim.lsp.handlers['window/showDocument'](err, params, ctx, cfg)
  end
  local process = vim.ui.open(params.uri)
  if not process then return { success = false } end
  wait(OPEN_MS, function() return process:is_closing() end)
  return { success = not process:is_closing() or process:wait().code == 0 }
end

vim.api.nvim_create_autocmd('LspProgress', {
  group = vim.api.nvim_create_augroup('qwen_ls.progress', {}),
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if not client or client.name ~= config.name then return end
    local value = event.data.params.value
    local begun = value.kind == 'begin' or value.kind == 'report'
    M.progress = begun and (value.message or value.title) or nil
    vim.cmd.redrawstatus({ bang = true })
  end,
})

return M
