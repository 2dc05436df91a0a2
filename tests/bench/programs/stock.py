"""A language server as pygls' documentation has one.

`bench.noop` does nothing, `bench.later` does it in a coroutine; `bench.stream` sends a text to
`$OPENAI_BASE_URL` and tells each token by `$/progress`. A document is looked at when it changes.
"""

from __future__ import annotations

import sys
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

server = LanguageServer("stock", "1")


@server.command("bench.noop")
def noop(*_: Any) -> None:
    """Nothing."""


@server.command("bench.later")
async def later(*_: Any) -> None:
    """Nothing, asynchronously."""


@server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
async def changed(_: types.DidChangeTextDocumentParams) -> None:
    """Nothing."""


@server.command("bench.stream")
async def stream(argument: Any, *_: Any) -> None:
    """Stream an answer as most would."""
    from bench.programs.direct import tokens

    def token(text: str) -> None:
        server.protocol.notify(
            types.PROGRESS, types.ProgressParams(token=argument["token"], value={"text": text})
        )

    await tokens(argument["text"], token)


if __name__ == "__main__":
    if "stream" in sys.argv[1:]:
        import httpx  # noqa: F401 - what a server that streams has loaded

        import bench.programs.direct  # noqa: F401
    server.start_io()
