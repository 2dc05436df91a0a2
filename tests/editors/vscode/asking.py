"""What a person asked, as the provider saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qwen_ls.demo.requests import Entry
    from scene import Scene


def streams(scene: Scene) -> list[Entry]:
    """The chat requests that stream, in order; the check of a credential does not."""
    return [entry for entry in scene.requests("chat") if entry["json"].get("stream")]
