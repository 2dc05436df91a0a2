"""How does a shell ask? argv and streams; it knows nothing of LSP."""
