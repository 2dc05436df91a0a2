"""An embedded provider on loopback, for `qwen-ls demo` and for the tests."""
