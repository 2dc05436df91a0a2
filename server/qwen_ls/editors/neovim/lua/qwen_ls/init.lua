--- `:Qwen` and its words, the status line, and `setup()` for Neovim 0.10.
local M = {}

--- The end of the wait is the server's to say; a status line says only that there is one.
local BUSY = '…'

--- Change the defaults, and have the server started for chat documents and `.env` files.
--- From Neovim 0.11 on `vim.lsp.enable('qwen_ls')` does the same, with `vim.lsp.config('qwen_ls', …)`.
---@param opts? qwen_ls.Opts
function M.setup(opts)
  local config = require('qwen_ls.config')
  config.opts = vim.tbl_deep_extend('force', config.opts, opts or {})
  if vim.lsp.enable then
    vim.lsp.config(config.name, config.base())
    return vim.lsp.enable(config.name)
  end
  vim.api.nvim_create_autocmd({ 'BufReadPost', 'BufNewFile', 'BufFilePost' }, {
    group = vim.api.nvim_create_augroup('qwen_ls', {}),
    callback = function(event)
      if config.wants(event.buf) then require('qwen_ls.client').open(event.buf) end
    end,
  })
end

--- For a status line: who signs this buffer's requests, and what the server is doing. '' until it runs.
---@return string
function M.status()
  local client = package.loaded['qwen_ls.client']
  if not client then return '' end
  local status = client.status(vim.api.nvim_get_current_buf())
  if not status then return '' end
  local text = 'Qwen: signed out'
  if status.signedIn then text = ('Qwen: %s · %s'):format(status.model or status.provider, status.method) end
  if not status.busy then return text end
  local doing = client.progress ~= 'Qwen' and client.progress
  return text .. ' ' .. BUSY .. (doing and (' ' .. doing) or '')
end

---@class (exact) qwen_ls.Call
---@field bufnr integer The buffer it is about.
---@field words string[] The words after the first.
---@field text string The same as one text.
---@field lines? [integer, integer] The first and last line of the range, from 1.
---@field bang boolean

---@class (exact) qwen_ls.Word
---@field run fun(call: qwen_ls.Call)
---@field complete? string[]|fun(): string[]

---@return string[]
local function ways_in() return require('qwen_ls.auth').methods(true) end

---@return string[]
local function methods() return require('qwen_ls.auth').methods(false) end

--- A word of `:Qwen` that a module does.
---@param module string
---@param name string
---@param complete? string[]|fun(): string[]
---@return qwen_ls.Word
local function word(module, name, complete)
  return { run = function(call) require(module)[name](call) end, complete = complete }
end

---@type table<string, qwen_ls.Word>
M.words = {
  login = word('qwen_ls.auth', 'login', ways_in),
  logout = word('qwen_ls.auth', 'logout', methods),
  switch = word('qwen_ls.auth', 'switch', methods),
  status = word('qwen_ls.auth', 'status'),
  explain = word('qwen_ls.auth', 'explain'),
  keys = word('qwen_ls.auth', 'keys', { 'set', 'list', 'remove' }),
  trust = word('qwen_ls.auth', 'trust', function() return require('qwen_ls.auth').TRUST end),
  env = word('qwen_ls.auth', 'env'),
  doctor = word('qwen_ls.auth', 'doctor'),
  model = word('qwen_ls.chat', 'model', function() return require('qwen_ls.chat').models end),
  chat = word('qwen_ls.chat', 'chat'),
  ask = word('qwen_ls.chat', 'ask'),
  send = word('qwen_ls.chat', 'send'),
  stop = word('qwen_ls.chat', 'stop'),
}

--- `:Qwen WORD …`
---@param args vim.api.keyset.create_user_command.command_args
function M.run(args)
  local name = args.fargs[1] or 'status'
  local found = M.words[name]
  if not found then
    return vim.notify(('Qwen: no such command: %s. Try :Qwen <Tab>'):format(name), vim.log.levels.ERROR)
  end
  local words = vim.list_slice(args.fargs, 2)
  found.run({
    bufnr = vim.api.nvim_get_current_buf(),
    words = words,
    text = table.concat(words, ' '),
    lines = args.range > 0 and { args.line1, args.line2 } or nil,
    bang = args.bang,
  })
end

--- Completion of `:Qwen`.
---@param lead string
---@param line string
---@return string[]
function M.complete(lead, line)
  local before = vim.split((line:gsub('^.-Qwen!?%s+', '')), '%s+')
  local names = vim.tbl_keys(M.words)
  if #before > 1 then
    local found = M.words[before[1]]
    local words = #before == 2 and found and found.complete or {}
    names = type(words) == 'function' and words() or words --[[@as string[] ]]
  end
  local fitting = vim.tbl_filter(function(name) return vim.startswith(name, lead) end, names)
  table.sort(fitting)
  return fitting
end

return M
