"""qwen-ls itself, but what it would tell of an answer goes nowhere: `null_sink.py serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwen_ls.__main__ import main
from qwen_ls.lsp import chat

if TYPE_CHECKING:
    from qwen_ls.core.chat import Delta


def drop(_: chat.Deltas, __: Delta) -> None:
    """Take a piece, and keep nothing of it."""


if __name__ == "__main__":
    chat.Deltas.delta = drop  # type: ignore[method-assign, assignment]
    main()
