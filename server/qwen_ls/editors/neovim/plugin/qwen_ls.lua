vim.api.nvim_create_user_command('Qwen', function(call) require('qwen_ls').run(call) end, {
  nargs = '*',
  range = true,
  bang = true,
  desc = 'Sign in, switch and chat with Qwen and OpenAI-compatible models',
  complete = function(...) return require('qwen_ls').complete(...) end,
})
