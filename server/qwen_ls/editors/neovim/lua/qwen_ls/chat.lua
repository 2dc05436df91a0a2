--- Chat documents: opening, sending, stopping; and what streaming must not do to a buffer.
local client = require('qwen_ls.client')
local config = require('qwen_ls.config')

local M = {}

---@type string[] The models that were listed last, for completion.
M.models = {}

--- Milliseconds without an edit after which folds are computed again.
local QUIET_MS = 500

---@class (exact) qwen_ls.Fold
---@field method string
---@field expr string

---@type table<integer, qwen_ls.Fold> How windows folded before an answer began.
local folds = {}
---@type uv.uv_timer_t?
local quiet

---@param bufnr integer
---@return string
local function uri_of(bufnr) return vim.uri_from_bufnr(bufnr) end

---@param bufnr integer
---@return boolean
local function is_chat(bufnr)
  return vim.api.nvim_buf_is_loaded(bufnr) and config.is_chat(vim.api.nvim_buf_get_name(bufnr))
end

-- --- while an answer is written -----------------------------------------------------------------

--- Folds that are computed would be computed again for the whole buffer at each piece of an answer.
---@param bufnr integer
local function pause_folds(bufnr)
  for _, win in ipairs(vim.fn.win_findbuf(bufnr)) do
    local method = vim.wo[win].foldmethod
    if not folds[win] and method ~= 'manual' and method ~= 'marker' then
      folds[win] = { method = method, expr = vim.wo[win].foldexpr }
      vim.wo[win].foldmethod = 'manual'
    end
  end
end

local function resume_folds()
  for win, fold in pairs(folds) do
    if vim.api.nvim_win_is_valid(win) and vim.wo[win].foldmethod == 'manual' then
      vim.wo[win].foldexpr, vim.wo[win].foldmethod = fold.expr, fold.method
    end
  end
  folds = {}
end

--- Compute folds again once nothing has come for a while.
local function resume_soon()
  quiet = quiet or assert(vim.uv.new_timer())
  quiet:start(QUIET_MS, 0, vim.schedule_wrap(resume_folds))
end

--- The buffers that an edit changes.
---@param edit lsp.WorkspaceEdit
---@return integer[]
local function buffers_of(edit)
  local found = {}
  for _, change in ipairs(edit.documentChanges or {}) do
    if change.textDocument then found[#found + 1] = vim.uri_to_bufnr(change.textDocument.uri) end
  end
  for uri in pairs(edit.changes or {}) do
    found[#found + 1] = vim.uri_to_bufnr(uri)
  end
  return vim.tbl_filter(is_chat, found)
end

--- The windows whose cursor stands at the end: they follow what is written there.
---@param bufnrs integer[]
---@return integer[]
local function followers(bufnrs)
  local found = {}
  for _, bufnr in ipairs(bufnrs) do
    local last = vim.api.nvim_buf_line_count(bufnr)
    for _, win in ipairs(vim.fn.win_findbuf(bufnr)) do
      if vim.api.nvim_win_get_cursor(win)[1] == last then found[#found + 1] = win end
    end
  end
  return found
end

--- Tell the server at once that its edit has arrived: it waits for that before it sends the next, and Neovim
--- would hold it back for 150 ms. A smaller debounce is none of ours to set: it holds for all servers.
---@param client_id integer
---@param bufnrs integer[]
local function flush(client_id, bufnrs)
  local ok, tracking = pcall(require, 'vim.lsp._changetracking')
  local ours = vim.lsp.get_client_by_id(client_id)
  if not ok or not ours then return end
  for _, bufnr in ipairs(bufnrs) do
    pcall(tracking.flush, ours, bufnr)
  end
end

--- `workspace/applyEdit`: Neovim's own, and after it the windows that follow, and the echo at once.
---@param params lsp.ApplyWorkspaceEditParams
---@return lsp.ApplyWorkspaceEditResult
function M.on_apply_edit(err, params, ctx, cfg)
  local bufnrs = buffers_of(params.edit)
  local follow = followers(bufnrs)
  for _, bufnr in ipairs(bufnrs) do
    pause_folds(bufnr)
  end
  params.label = nil -- it would be printed, sixteen times a second
  local result = vim.lsp.handlers['workspace/applyEdit'](err, params, ctx, cfg)
  flush(ctx.client_id, bufnrs)
  for _, win in ipairs(follow) do
    local last = vim.api.nvim_buf_line_count(vim.api.nvim_win_get_buf(win))
    vim.api.nvim_win_set_cursor(win, { last, 0 })
  end
  if next(folds) then resume_soon() end
  return result
end

-- --- documents ----------------------------------------------------------------------------------

--- Send the last message of a chat document.
---@param bufnr integer
local function send(bufnr) client.command(bufnr, 'qwen.chat.send', { document = uri_of(bufnr) }) end

--- Put text at the end of a document, as if it were typed there.
---@param bufnr integer
---@param text string
local function write(bufnr, text)
  local count = vim.api.nvim_buf_line_count(bufnr)
  local last = vim.api.nvim_buf_get_lines(bufnr, count - 1, count, true)[1]
  vim.api.nvim_buf_set_text(bufnr, count - 1, #last, count - 1, #last, vim.split(text, '\n'))
end

---@param bufnr integer
local function go_to_end(bufnr)
  for _, win in ipairs(vim.fn.win_findbuf(bufnr)) do
    vim.api.nvim_win_set_cursor(win, { vim.api.nvim_buf_line_count(bufnr), 0 })
  end
end

--- Make a chat document, show it, and send a message if there is one.
---@param call qwen_ls.Call
---@param argument table
---@param text string
local function new(call, argument, text)
  argument.document = true
  client.command(call.bufnr, 'qwen.chat.new', argument, function(result)
    if not result.file then return client.say(result.message or 'No chat document could be made', 'ERROR') end
    local uri = vim.uri_from_fname(result.file)
    local bufnr = vim.uri_to_bufnr(uri)
    if #vim.fn.win_findbuf(bufnr) == 0 then M.show(uri) end
    client.ensure(bufnr, function()
      if text ~= '' then write(bufnr, text) end
      go_to_end(bufnr)
      if text ~= '' then send(bufnr) end
    end)
  end)
end

--- Show a chat document: in its window if it has one, else beside what is edited.
---@param uri string
function M.show(uri)
  local bufnr = vim.uri_to_bufnr(uri)
  local win = vim.fn.win_findbuf(bufnr)[1]
  if win then return vim.api.nvim_set_current_win(win) end
  local here = vim.api.nvim_get_current_buf()
  local is_empty = vim.api.nvim_buf_get_name(here) == '' and not vim.bo[here].modified
  if not is_empty and not is_chat(here) then vim.cmd('botright vsplit') end
  vim.bo[bufnr].buflisted = true
  vim.cmd.buffer(bufnr)
  vim.wo.wrap, vim.wo.linebreak = true, true
end

--- The chat document of a folder that was used last.
---@param folder string?
---@return integer?
local function latest(folder)
  local best, used
  for _, info in ipairs(vim.fn.getbufinfo({ bufloaded = 1 })) do
    if is_chat(info.bufnr) and config.folder(info.bufnr) == folder and (not used or info.lastused > used) then
      best, used = info.bufnr, info.lastused
    end
  end
  return best
end

--- `:Qwen[!] chat [text]`: the folder's chat document, a new one with text or `!`.
---@param call qwen_ls.Call
function M.chat(call)
  local there = latest(config.folder(call.bufnr))
  if there and not call.bang and call.text == '' then
    M.show(uri_of(there))
    return client.open(there)
  end
  new(call, {}, call.text)
end

--- What a selection's lines are in: a file, or a buffer that no file holds, whose text alone counts.
---@param bufnr integer
---@return string
local function origin_of(bufnr)
  local path, name = config.file(bufnr), vim.api.nvim_buf_get_name(bufnr)
  if path then return vim.uri_from_fname(path) end
  return 'untitled:' .. (name ~= '' and name or 'Untitled-' .. bufnr)
end

--- `:[range]Qwen ask [question]`: about these lines.
---@param call qwen_ls.Call
function M.ask(call)
  local first, last = unpack(call.lines or { 1, vim.api.nvim_buf_line_count(call.bufnr) })
  local selection = {
    uri = origin_of(call.bufnr),
    startLine = first - 1,
    endLine = last,
    text = table.concat(vim.api.nvim_buf_get_lines(call.bufnr, first - 1, last, false), '\n'),
    languageId = vim.bo[call.bufnr].filetype,
  }
  local function ask(question)
    if question then new(call, { selection = selection }, question) end
  end
  if call.text ~= '' then return ask(call.text) end
  vim.ui.input({ prompt = ('About lines %d to %d: '):format(first, last) }, ask)
end

--- `:Qwen send`
---@param call qwen_ls.Call
function M.send(call)
  if not is_chat(call.bufnr) then
    return client.say('This is no chat document: :Qwen chat opens one', 'WARN')
  end
  send(call.bufnr)
end

--- `:Qwen stop`: the answer in this document, elsewhere every one that is written.
---@param call qwen_ls.Call
function M.stop(call)
  local bufnrs = is_chat(call.bufnr) and { call.bufnr } or vim.tbl_filter(is_chat, vim.api.nvim_list_bufs())
  for _, bufnr in ipairs(bufnrs) do
    client.command(bufnr, 'qwen.chat.cancel', { document = uri_of(bufnr) })
  end
end

-- --- models -------------------------------------------------------------------------------------

---@param bufnr integer
---@param model string
local function select_model(bufnr, model)
  client.command(
    bufnr,
    'qwen.models.select',
    { model = model },
    function(result) client.say(result.message) end
  )
end

--- `:Qwen model [id]`
---@param call qwen_ls.Call
function M.model(call)
  if call.text ~= '' then return select_model(call.bufnr, call.text) end
  local params = vim.tbl_extend('force', vim.empty_dict(), { uri = client.uri(call.bufnr) })
  client.request(call.bufnr, 'qwen/models/list', params, function(result)
    local models = result.models ---@type qwen.Model[]
    M.models = vim.tbl_map(function(model) return model.id end, models)
    vim.ui.select(models, {
      prompt = ('Models of %s'):format(result.provider),
      format_item = function(model) return model.id .. (model.active and ' (now)' or '') end,
    }, function(model)
      if model then select_model(call.bufnr, model.id) end
    end)
  end)
end

-- --- buffers ------------------------------------------------------------------------------------

--- Give a chat document its maps.
---@param bufnr integer
function M.on_attach(bufnr)
  local maps = {
    { '<Plug>(qwen-send)', '<Cmd>Qwen send<CR>', config.opts.keys.send, 'Qwen: send' },
    { '<Plug>(qwen-stop)', '<Cmd>Qwen stop<CR>', config.opts.keys.stop, 'Qwen: stop' },
  }
  for _, map in ipairs(maps) do
    local plug, rhs, lhs, desc = unpack(map)
    vim.keymap.set('n', plug, rhs, { buffer = bufnr, desc = desc })
    if lhs then vim.keymap.set('n', lhs, plug, { buffer = bufnr, remap = true, desc = desc }) end
  end
end

return M
