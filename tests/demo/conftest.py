from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from demo.signing_in import KEY
from qwen_ls.demo.provider import Provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider in this loop that knows one key and lets clients poll at once."""
    async with Provider(keys=[KEY], interval=None) as running:
        yield running


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[httpx.AsyncClient]:
    """A client that follows no redirect and sends the key."""
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=provider.base_url, trust_env=False, headers=headers) as open_client:
        yield open_client
