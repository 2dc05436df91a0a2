---@type vim.lsp.Config
return require('qwen_ls.config').base()
