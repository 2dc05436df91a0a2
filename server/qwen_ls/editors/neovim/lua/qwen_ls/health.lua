--- `:checkhealth qwen_ls`
local client = require('qwen_ls.client')
local config = require('qwen_ls.config')

local M = {}

local health = vim.health
--- Milliseconds for a program or the server to answer.
local PATIENCE_MS = 5000

local function check_neovim()
  local version = tostring(vim.version())
  if vim.fn.has('nvim-0.10') == 1 then
    health.ok('Neovim ' .. version)
  else
    health.error('Neovim ' .. version .. ' is too old', { 'Use 0.10.4 or later' })
  end
  local program = vim.ui.open and (vim.fn.has('mac') == 1 or vim.fn.has('win32') == 1)
  for _, name in ipairs({ 'xdg-open', 'wslview', 'explorer.exe', 'lemonade' }) do
    program = program or vim.fn.executable(name) == 1
  end
  if program then
    health.ok('vim.ui.open() has a program that opens pages')
  else
    health.warn(
      'vim.ui.open() has no program that opens pages',
      { 'Install xdg-utils; until then open the page shown by hand' }
    )
  end
  if vim.fn.has('clipboard') == 1 then
    health.ok('The code of a sign-in can be copied to the clipboard')
  else
    health.info('There is no clipboard: the code of a sign-in is copied to the unnamed register')
  end
end

---@return string[]?
local function command()
  local resolved = vim.lsp.config and vim.lsp.config[config.name] or config.base()
  return type(resolved.cmd) == 'table' and resolved.cmd or nil
end

local function check_program()
  local cmd = command()
  if not cmd then return health.info('The server is started by a function of yours') end
  if vim.fn.executable(cmd[1]) == 0 then
    return health.error(('There is no program %s'):format(cmd[1]), {
      'Install qwen-ls, or name it: vim.lsp.config("qwen_ls", { cmd = { "/path/to/qwen-ls" } })',
    })
  end
  local asked = vim.list_extend(vim.deepcopy(cmd), { '--version' })
  local ok, done = pcall(function() return vim.system(asked, { text = true }):wait(PATIENCE_MS) end)
  if ok and done.code == 0 then
    health.ok(('%s: %s'):format(vim.fn.exepath(cmd[1]), vim.trim(done.stdout)))
  else
    health.error(
      ('%s --version fails'):format(cmd[1]),
      { ok and vim.trim(done.stderr or '') or tostring(done) }
    )
  end
end

local function check_server()
  if vim.lsp.is_enabled and not vim.lsp.is_enabled(config.name) then
    health.info("vim.lsp.enable('qwen_ls') has not been called: chat documents are attached by :Qwen alone")
  end
  local running = client.get()
  if not running or not running.initialized then
    return health.info('The server does not run now; :Qwen starts it')
  end
  health.ok('The server runs')
  local ours = vim.tbl_get(running.server_capabilities, 'experimental', 'qwen') or {}
  if ours.handover then
    health.ok('Keys are handed over in ' .. ours.handover)
  else
    health.warn(
      'There is no folder to hand keys over in',
      { 'See :Qwen doctor; keys can still stand in .qwen/.env' }
    )
  end
  local status ---@type qwen.Status?
  client.command(vim.api.nvim_get_current_buf(), 'qwen.auth.status', {}, function(result) status = result end)
  if not vim.wait(PATIENCE_MS, function() return status ~= nil end, 10) or not status then
    return health.error('The server does not answer', { 'See :Qwen doctor, and ' .. vim.lsp.get_log_path() })
  end
  health[status.signedIn and 'ok' or 'info'](status.message)
  for _, problem in ipairs(status.problems or {}) do
    health.warn(('%s:%d: %s'):format(problem.file, problem.line, problem.text))
  end
end

function M.check()
  health.start('qwen_ls: Neovim')
  check_neovim()
  health.start('qwen_ls: program')
  check_program()
  health.start('qwen_ls: server')
  check_server()
end

return M
