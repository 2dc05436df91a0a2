"""qwen-ls: sign-in, auth switching and streaming chat for every LSP editor."""

__version__ = "0.1.0"
