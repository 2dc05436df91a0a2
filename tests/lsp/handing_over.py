"""A client's part in handing over a key: a private file in the folder that the server named."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wire import CAPABILITIES, take_frame

if TYPE_CHECKING:
    from wire import Client

KEEPS_SECRETS: dict[str, Any] = {**CAPABILITIES, "experimental": {"qwen": {"secretStore": True}}}


def folder_of(client: Client) -> Path:
    """The hand-over folder, as the answer to `initialize` names it."""
    buffer = bytearray(client.stdout)
    while (message := take_frame(buffer)) is not None:
        result = message.get("result")
        if isinstance(result, dict) and "capabilities" in result:
            return Path(result["capabilities"]["experimental"]["qwen"]["handover"])
    raise AssertionError("`initialize` has not been answered")


def hand_over(client: Client, text: str | bytes, *, name: str | None = None, mode: int = 0o600) -> str:
    """Write a key as our clients do; the name to send."""
    name = name or secrets.token_urlsafe(24)
    path = folder_of(client) / name
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
        file.write(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return name


async def set_key(client: Client, key: str, **more: Any) -> Any:
    """`qwen/keys/set` with a handed-over key. Raises RpcError."""
    return await client.request("qwen/keys/set", {"keyFile": hand_over(client, key), **more})


async def listed(client: Client, **more: Any) -> list[dict[str, Any]]:
    """The stored keys."""
    keys: list[dict[str, Any]] = (await client.command("qwen.keys.list", **more))["keys"]
    return keys
