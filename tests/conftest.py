"""What tests over real stdio share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qwen_ls.demo.provider import Provider
from scene import Scene, set_scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """An empty home and a provider in this loop; sign-ins are polled every second, the least there is."""
    async with Provider(interval=1) as provider, set_scene(tmp_path, provider) as stage:
        yield stage
