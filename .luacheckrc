std = "luajit"
globals = { "vim" }
max_line_length = 110
exclude_files = { "**/*.gen.lua" }
unused_secondaries = true
