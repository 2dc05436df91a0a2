--- Signing in and out, keys, and what signs requests.
local client = require('qwen_ls.client')

local M = {}

local API_KEY = 'api-key'
---@type { method: string, switchable: boolean? }[]
local METHODS =
  { { method = 'qwen-oauth' }, { method = API_KEY }, { method = 'openrouter', switchable = false } }
local LABELS = { ['qwen-oauth'] = 'Qwen account' }

---@param result { message: string? }
local function say(result)
  if result.message and result.message ~= '' then client.say(result.message) end
end

-- --- the device code ----------------------------------------------------------------------------

---@class (exact) qwen_ls.Dialog
---@field code qwen.DeviceCode
---@field win integer
---@field bufnr integer
---@field timer uv.uv_timer_t
---@field ends integer When the code runs out, in milliseconds of vim.uv.now().
---@field was_signed_in boolean Whether requests were signed when it was shown.

---@type qwen_ls.Dialog? The one that is shown.
local dialog

--- Take the dialog away, whatever has become of it. The sign-in goes on or has ended; this decides nothing.
function M.close()
  local shown = dialog
  dialog = nil
  if not shown then return end
  shown.timer:stop()
  shown.timer:close()
  if vim.api.nvim_win_is_valid(shown.win) then vim.api.nvim_win_close(shown.win, true) end
  if vim.api.nvim_buf_is_valid(shown.bufnr) then vim.api.nvim_buf_delete(shown.bufnr, { force = true }) end
end

--- End the sign-in and take its dialog away.
local function cancel()
  if not dialog then return end
  local id = dialog.code.loginId
  M.close()
  if client.get() then
    client.command(vim.api.nvim_get_current_buf(), 'qwen.auth.cancel', { loginId = id })
  end
end

---@param shown qwen_ls.Dialog
---@return string[]
local function lines_of(shown)
  local left = math.max(0, math.ceil((shown.ends - vim.uv.now()) / 1000))
  return {
    '',
    '  Enter this code on the page, or check that it shows it:',
    '',
    '      ' .. shown.code.userCode,
    '',
    '  ' .. shown.code.verificationUri,
    '',
    ('  %d:%02d left    y copy   o open again   q cancel'):format(math.floor(left / 60), left % 60),
    '',
  }
end

---@param shown qwen_ls.Dialog
local function draw(shown)
  if not vim.api.nvim_buf_is_valid(shown.bufnr) or shown.ends <= vim.uv.now() then return M.close() end
  vim.bo[shown.bufnr].modifiable = true
  vim.api.nvim_buf_set_lines(shown.bufnr, 0, -1, false, lines_of(shown))
  vim.bo[shown.bufnr].modifiable = false
end

--- Copy the code, as far as there is a clipboard; the unnamed register has it in any case.
---@param code string
local function copy(code)
  vim.fn.setreg('"', code)
  local copied = pcall(vim.fn.setreg, '+', code) and vim.fn.has('clipboard') == 1
  client.say(
    copied and 'The code is in the clipboard' or 'The code is in the unnamed register; there is no clipboard'
  )
end

---@param shown qwen_ls.Dialog
local function map_keys(shown)
  local function map(lhs, rhs, desc)
    vim.keymap.set('n', lhs, rhs, { buffer = shown.bufnr, nowait = true, desc = desc })
  end
  map('y', function() copy(shown.code.userCode) end, 'Copy the code')
  map('o', function() vim.ui.open(shown.code.verificationUriComplete) end, 'Open the page again')
  for _, lhs in ipairs({ 'q', '<Esc>', '<C-c>' }) do
    map(lhs, cancel, 'Cancel the sign-in')
  end
end

--- `qwen/auth/deviceCode`: show the code until the sign-in ends, the code runs out, or the user ends it.
---@param code qwen.DeviceCode
function M.on_device_code(_, code)
  M.close()
  local bufnr = vim.api.nvim_create_buf(false, true)
  vim.bo[bufnr].bufhidden = 'wipe'
  local timer = assert(vim.uv.new_timer())
  local status = client.status(vim.api.nvim_get_current_buf())
  ---@type qwen_ls.Dialog
  local shown = {
    code = code,
    bufnr = bufnr,
    win = 0,
    timer = timer,
    ends = vim.uv.now() + code.expiresIn * 1000,
    was_signed_in = status ~= nil and status.signedIn == true,
  }
  local lines = lines_of(shown)
  local width = 0
  for _, line in ipairs(lines) do
    width = math.max(width, vim.fn.strdisplaywidth(line) + 2)
  end
  width = math.min(width, vim.o.columns - 4)
  shown.win = vim.api.nvim_open_win(bufnr, true, {
    relative = 'editor',
    width = width,
    height = #lines,
    row = math.max(0, math.floor((vim.o.lines - #lines) / 2) - 1),
    col = math.max(0, math.floor((vim.o.columns - width) / 2)),
    style = 'minimal',
    border = 'rounded',
    title = (' Sign in: %s '):format(LABELS[code.method] or code.method),
    title_pos = 'center',
  })
  dialog = shown
  draw(shown)
  vim.api.nvim_buf_add_highlight(bufnr, -1, 'Title', 3, 0, -1)
  map_keys(shown)
  vim.api.nvim_create_autocmd('WinClosed', {
    pattern = tostring(shown.win),
    once = true,
    callback = function()
      vim.schedule(function()
        if dialog == shown then cancel() end
      end)
    end,
  })
  timer:start(
    1000,
    1000,
    vim.schedule_wrap(function()
      if dialog == shown then draw(shown) end
    end)
  )
end

--- A sign-in that the server began for a message has ended when nothing is under way, or requests are signed.
---@param status qwen.Status
function M.on_status(status)
  if dialog and (not status.busy or (status.signedIn and not dialog.was_signed_in)) then M.close() end
end

-- --- signing in and out -------------------------------------------------------------------------

---@param bufnr integer
---@param method string
local function login_with(bufnr, method)
  local params = { method = method, uri = client.uri(bufnr) }
  client.request(bufnr, 'qwen/auth/login', params, function(result)
    M.close()
    say(result)
  end, M.close)
end

--- Ask for a key; it is checked and stored, and `api-key` chosen where it is stored.
---@param bufnr integer
function M.login_by_key(bufnr)
  M.set_key(bufnr, function(new, failed)
    local params = vim.tbl_extend('error', new, { method = API_KEY, uri = client.uri(bufnr) })
    client.request(bufnr, 'qwen/auth/login', params, say, failed)
  end)
end

--- `:Qwen login [method]`
---@param call qwen_ls.Call
function M.login(call)
  local method = call.words[1]
  if method == API_KEY then return M.login_by_key(call.bufnr) end
  if method then return login_with(call.bufnr, method) end
  client.command(call.bufnr, 'qwen.auth.methods', {}, function(result)
    vim.ui.select(result.methods, {
      prompt = 'Sign in with',
      format_item = function(each) return each.title .. (each.active and ' (now)' or '') end,
    }, function(chosen)
      if not chosen then return end
      if chosen.method == API_KEY then return M.login_by_key(call.bufnr) end
      login_with(call.bufnr, chosen.method)
    end)
  end)
end

--- The methods that the server knows, servers of the user's own among them; else those there always are.
---@param is_way_in boolean Whether a sign-in that yields a key is one.
---@return string[]
function M.methods(is_way_in)
  local known = (client.now('qwen.auth.methods') or { methods = METHODS }).methods ---@type qwen.AuthMethod[]
  local found = vim.tbl_filter(function(each) return is_way_in or each.switchable ~= false end, known)
  return vim.tbl_map(function(each) return each.method end, found)
end

--- `:Qwen logout [method]`
---@param call qwen_ls.Call
function M.logout(call) client.command(call.bufnr, 'qwen.auth.logout', { method = call.words[1] }, say) end

--- `:Qwen switch [method]`; without one the server asks.
---@param call qwen_ls.Call
function M.switch(call)
  client.command(call.bufnr, 'qwen.auth.switch', { method = call.words[1] }, function(result)
    if result.method then say(result) end
  end)
end

-- --- keys ---------------------------------------------------------------------------------------

--- Write a key into the hand-over folder: a new file that nobody else may read.
---@param folder string
---@param key string
---@return string name
---@return string path
local function write_key(folder, key)
  local name = (vim.base64.encode(assert(vim.uv.random(24))):gsub('+', '-'):gsub('/', '_'))
  local path = folder .. '/' .. name
  local file = assert(vim.uv.fs_open(path, 'wx', tonumber('600', 8)))
  local written, why = vim.uv.fs_write(file, key)
  vim.uv.fs_close(file)
  if written ~= #key then
    vim.uv.fs_unlink(path)
    error(why or 'the key could not be written')
  end
  return name, path
end

---@class (exact) qwen_ls.NewKey
---@field target 'workspaceFolder'|'user'
---@field provider? string
---@field baseUrl? string
---@field model? string
---@field keyFile? string The name of the file that it is handed over in.

---@alias qwen_ls.SendKey fun(new: qwen_ls.NewKey, failed: fun())

--- Ask for the key, with no echo, and hand it over.
---@param bufnr integer
---@param new qwen_ls.NewKey
---@param send qwen_ls.SendKey
local function ask_key(bufnr, new, send)
  client.ensure(bufnr, function(ready)
    local ours = vim.tbl_get(ready.server_capabilities, 'experimental', 'qwen') or {}
    if not ours.handover then
      return client.say('The server has no folder to hand a key over in. Use :Qwen env', 'ERROR')
    end
    local ok, key = pcall(vim.fn.inputsecret, 'API key: ')
    vim.cmd.redraw()
    key = ok and vim.trim(key) or ''
    if key == '' then return client.say('No key was given') end
    local written, name, path = pcall(write_key, ours.handover, key)
    if not written then return client.say('The key could not be handed over: ' .. name, 'ERROR') end
    send(vim.tbl_extend('error', new, { keyFile = name }), function()
      vim.uv.fs_unlink(path) -- the server has deleted it, unless it never came to that
    end)
  end)
end

---@param text string?
---@return string?
local function given(text) return text and vim.trim(text) ~= '' and vim.trim(text) or nil end

---@class (exact) qwen_ls.Place
---@field id? string A provider of the catalogue.
---@field url? string
---@field label string

--- Let the user say where a key goes: a provider's region, or a base URL.
---@param chosen fun(place: qwen_ls.Place)
local function ask_place(chosen)
  local places = {} ---@type qwen_ls.Place[]
  for _, provider in ipairs(require('qwen_ls.config').contract().providers) do
    for _, url in ipairs(provider.baseUrls) do
      -- One that has a gap to fill in is typed, like any other base URL.
      if not url:find('{', 1, true) then
        places[#places + 1] = { id = provider.id, url = url, label = provider.label }
      end
    end
  end
  places[#places + 1] = { label = 'Another base URL …' }
  vim.ui.select(places, {
    prompt = 'Whose API?',
    format_item = function(place)
      return place.url and ('%s (%s)'):format(place.label, place.url) or place.label
    end,
  }, function(place)
    if not place then return end
    if place.url then return chosen(place) end
    vim.ui.input({ prompt = 'Base URL: ' }, function(url)
      if given(url) then chosen({ label = '', url = given(url) }) end
    end)
  end)
end

--- Ask for a new key's target, place and model; then for itself.
---@param bufnr integer
---@param send? qwen_ls.SendKey Without it the key is stored, and nothing is chosen.
function M.set_key(bufnr, send)
  send = send
    or function(new, failed)
      local params = vim.tbl_extend('error', new, { uri = client.uri(bufnr) })
      client.request(bufnr, 'qwen/keys/set', params, say, failed)
    end
  local folder = require('qwen_ls.config').folder(bufnr)
  local targets = folder and { 'workspaceFolder', 'user' } or { 'user' }
  vim.ui.select(targets, {
    prompt = 'Whose key is it?',
    format_item = function(target)
      return target == 'user' and 'Mine, in every folder'
        or ('Of this folder: ' .. vim.fs.basename(folder or ''))
    end,
  }, function(target)
    if not target then return end
    ask_place(function(place)
      vim.ui.input({ prompt = "Model (empty: the provider's own): " }, function(model)
        if not model then return end
        local new = { target = target, provider = place.id, baseUrl = place.url, model = given(model) }
        ask_key(bufnr, new, send)
      end)
    end)
  end)
end

---@param key qwen.StoredKey
---@return string
local function describe(key)
  local whose = key.target == 'user' and 'every folder' or key.folder
  local active = key.active and ', in force' or ''
  return ('%s %s for %s (%s%s)'):format(key.provider, key.fingerprint, whose, key.keptIn, active)
end

---@param bufnr integer
---@param key qwen.StoredKey
local function remove_key(bufnr, key)
  local uri = key.folder and vim.uri_from_fname(key.folder) or nil
  local argument = { target = key.target, provider = key.target == 'user' and key.provider or nil, uri = uri }
  client.command(bufnr, 'qwen.keys.remove', argument, say)
end

--- `:Qwen keys [set|list|remove]`: without a word all of it as a menu.
---@param call qwen_ls.Call
function M.keys(call)
  local verb = call.words[1]
  if verb == 'set' then return M.set_key(call.bufnr) end
  client.command(call.bufnr, 'qwen.keys.list', {}, function(result)
    local keys = result.keys ---@type qwen.StoredKey[]
    if verb == 'list' then
      local lines = vim.tbl_map(describe, keys)
      return client.say(#lines > 0 and table.concat(lines, '\n') or 'No key is stored')
    end
    local items = vim.list_extend({}, keys) ---@type (qwen.StoredKey|string)[]
    if verb ~= 'remove' then table.insert(items, 1, 'Store a key …') end
    if #items == 0 then return client.say('No key is stored') end
    vim.ui.select(items, {
      prompt = verb == 'remove' and 'Forget which key?' or 'Keys',
      format_item = function(item) return type(item) == 'string' and item or 'Forget ' .. describe(item) end,
    }, function(item)
      if type(item) == 'string' then return M.set_key(call.bufnr) end
      if item then remove_key(call.bufnr, item) end
    end)
  end)
end

--- `:Qwen env`: make and open `.qwen/.env`.
---@param call qwen_ls.Call
function M.env(call) client.command(call.bufnr, 'qwen.env.open', {}, say) end

-- --- trust --------------------------------------------------------------------------------------

M.TRUST = { 'list', 'allow', 'deny', 'forget' }

--- `:Qwen trust [verb]`: whether the key may go where this folder's `.env` says, without being asked.
---@param call qwen_ls.Call
function M.trust(call)
  local verb = call.words[1] or 'list'
  if not vim.tbl_contains(M.TRUST, verb) then
    return client.say('Say one of ' .. table.concat(M.TRUST, ', '), 'ERROR')
  end
  client.command(call.bufnr, 'qwen.trust.' .. verb, {}, function(result)
    local lines = { result.message }
    for _, each in ipairs(verb == 'list' and result.consents or {}) do
      lines[#lines + 1] = ('%s: %s, named by %s'):format(each.decision, each.baseUrl, each.file)
    end
    client.say(table.concat(lines, '\n'))
  end)
end

-- --- reports ------------------------------------------------------------------------------------

--- Show Markdown in a window of its own; `q` closes it.
---@param title string
---@param markdown string
local function show(title, markdown)
  local bufnr = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, vim.split(vim.trim(markdown), '\n'))
  vim.bo[bufnr].filetype = 'markdown'
  vim.bo[bufnr].modifiable = false
  vim.bo[bufnr].bufhidden = 'wipe'
  vim.cmd.split()
  vim.api.nvim_win_set_buf(0, bufnr)
  vim.wo.winbar = title
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = bufnr, desc = 'Close' })
end

--- `:Qwen status`
---@param call qwen_ls.Call
function M.status(call)
  client.command(call.bufnr, 'qwen.auth.status', {}, function(status)
    local lines = { status.message }
    if status.baseUrl then
      lines[#lines + 1] = ('%s · %s'):format(status.model or 'its first model', status.baseUrl)
    end
    for _, problem in ipairs(status.problems or {}) do
      lines[#lines + 1] = ('%s:%d: %s'):format(problem.file, problem.line, problem.text)
    end
    client.say(table.concat(lines, '\n'), status.signedIn and 'INFO' or 'WARN')
  end)
end

--- `:Qwen explain`
---@param call qwen_ls.Call
function M.explain(call)
  client.command(
    call.bufnr,
    'qwen.auth.explain',
    {},
    function(result) show('Why this credential', result.markdown) end
  )
end

--- `:Qwen doctor`
---@param call qwen_ls.Call
function M.doctor(call)
  client.command(call.bufnr, 'qwen.doctor', {}, function(result) show('Qwen doctor', result.markdown) end)
end

return M
