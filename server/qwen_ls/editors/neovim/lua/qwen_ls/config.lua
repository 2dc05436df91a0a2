--- What `vim.lsp` is told about the server: how it starts, for which buffers, and what we handle ourselves.
local M = {}

M.name = 'qwen_ls'

--- A workspace folder is the nearest one above a file that holds one of these.
local MARKERS = { '.git', '.hg', '.jj', '.qwen' }

---@class (exact) qwen_ls.Opts
---@field cmd? string[] How the server is started. Default: the one beside this plugin, or in PATH.
---@field attach_all? boolean Attach to every file, not only where it is of use.
---@field settings? table<string, any> User settings, as in the file of the same; they win over it.
---@field keys? { send?: string|false, stop?: string|false } Maps of chat documents; false: none.

-- Not <C-c>: while an answer is written it would mostly be an interrupt of Neovim itself.
---@type qwen_ls.Opts
M.opts = { attach_all = false, settings = {}, keys = { send = '<CR>', stop = '<C-x>' } }

--- The program beside this plugin in the same installation, else the one in PATH.
---@return string
function M.program()
  local here = debug.getinfo(1, 'S').source:sub(2)
  for dir in vim.fs.parents(here) do
    for _, path in ipairs({
      '/bin/qwen-ls',
      '/Scripts/qwen-ls.exe',
      '/.venv/bin/qwen-ls',
      '/.venv/Scripts/qwen-ls.exe',
    }) do
      if vim.fn.executable(dir .. path) == 1 then return dir .. path end
    end
  end
  return 'qwen-ls'
end

--- What contract.gen.lua holds for the running client. Its name, dot and all, is none that `require` finds.
---@return { version: integer, providers: { id: string, label: string, baseUrls: string[] }[] }
function M.contract()
  return dofile((vim.fs.dirname(debug.getinfo(1, 'S').source:sub(2))) .. '/contract.gen.lua')
end

---@param path string
---@return boolean
function M.is_chat(path) return vim.endswith(path, '.qwen.md') end

---@param path string
---@return boolean
function M.is_env(path) return vim.fs.basename(path) == '.env' end

--- A buffer's file; nil for one that is none.
---@param bufnr integer
---@return string?
function M.file(bufnr)
  local path = vim.api.nvim_buf_get_name(bufnr)
  if path == '' or vim.bo[bufnr].buftype ~= '' or path:match('^%w%w+:') then return nil end
  return vim.fs.normalize(path)
end

--- Whether a directory holds more than one's work: the home, or the root of a file system.
---@param dir string
---@param home string
---@return boolean
local function is_wide(dir, home) return dir == home or vim.fs.dirname(dir) == dir end

--- The workspace folder of a buffer, else the current directory where that is a folder to work in.
---@param bufnr integer
---@return string?
function M.folder(bufnr)
  local home = vim.fs.normalize(vim.uv.os_homedir() or '/')
  local path = M.file(bufnr)
  local here = vim.fs.normalize(vim.uv.cwd() or '/')
  for dir in vim.fs.parents(path or (here .. '/x')) do
    for _, marker in ipairs(is_wide(dir, home) and {} or MARKERS) do
      if vim.uv.fs_stat(dir .. '/' .. marker) then return dir end
    end
  end
  local inside = path == nil or vim.startswith(path, here .. '/')
  return inside and not is_wide(here, home) and here or nil
end

--- Whether the server is of use in a buffer that nobody has asked about it.
---@param bufnr integer
---@return boolean
function M.wants(bufnr)
  local path = M.file(bufnr)
  return path ~= nil and (M.opts.attach_all or M.is_chat(path) or M.is_env(path))
end

--- One server for all folders: a folder that is new to it is told of.
---@param client vim.lsp.Client
---@param config { name: string, root_dir: string? }
---@return boolean
local function reuse_client(client, config)
  if client.name ~= config.name or require('qwen_ls.client').is_stopped(client) then return false end
  require('qwen_ls.client').add_folder(client, config.root_dir)
  return true
end

--- A handler that is loaded when it is needed.
---@param module string
---@param name string
---@return lsp.Handler
local function lazy(module, name)
  return function(...) return require(module)[name](...) end
end

--- Hear of attached buffers, also where the user's configuration has an `on_attach` of its own.
local function watch()
  vim.api.nvim_create_autocmd('LspAttach', {
    group = vim.api.nvim_create_augroup('qwen_ls.attach', {}),
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == M.name then require('qwen_ls.client').on_attach(client, event.buf) end
    end,
  })
end

--- The configuration, as a `vim.lsp.Config`.
---@return vim.lsp.Config
function M.base()
  watch()
  return {
    name = M.name,
    cmd = M.opts.cmd or { M.program() },
    root_dir = function(bufnr, on_dir)
      if M.wants(bufnr) then on_dir(M.folder(bufnr)) end
    end,
    reuse_client = reuse_client,
    get_language_id = function(bufnr, filetype)
      return M.is_chat(vim.api.nvim_buf_get_name(bufnr)) and 'qwen-chat' or filetype
    end,
    capabilities = vim.tbl_deep_extend('force', vim.lsp.protocol.make_client_capabilities(), {
      experimental = { qwen = { deviceCode = true, userSettings = true } },
    }),
    init_options = { user = next(M.opts.settings) and M.opts.settings or vim.empty_dict() },
    handlers = {
      ['qwen/didChangeStatus'] = lazy('qwen_ls.client', 'on_status'),
      ['qwen/auth/deviceCode'] = lazy('qwen_ls.auth', 'on_device_code'),
      ['window/showDocument'] = lazy('qwen_ls.client', 'on_show_document'),
      ['workspace/applyEdit'] = lazy('qwen_ls.chat', 'on_apply_edit'),
    },
    on_init = function(client) require('qwen_ls.client').on_init(client) end,
    on_exit = function(code, signal, id)
      vim.schedule(function() require('qwen_ls.client').on_exit(code, signal, id) end)
    end,
  }
end

return M
