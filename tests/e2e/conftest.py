"""Real software for the tests here: a llama.cpp server, a relay before it, an OAuth server.

What is missing fails the test that needs it; nothing is skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from canary import canary
from e2e.identity_provider import IdentityProvider, running_identity_provider
from e2e.llama import Llama, running_llama
from e2e.relay import Relay, running_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KEYS = 12  # the first is for an API key, the others are issued as access tokens
BRIEF = 200


def keys(of: str) -> list[str]:
    """Keys that occur nowhere else."""
    return [canary(f"key {number} of {of}") for number in range(KEYS)]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of this folder, so that only `make e2e` runs it."""
    item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def llama() -> Iterator[Llama]:
    """A llama.cpp server for the whole run, whose answers last: 8 s and 4 MB."""
    with running_llama(keys("llama.cpp"), context=16384) as server:
        yield server


@pytest.fixture(scope="session")
def brief_llama() -> Iterator[Llama]:
    """Another one, whose answers end by themselves after `BRIEF` tokens: about 50 KB, a tenth of a second."""
    with running_llama(keys("brief llama.cpp"), longest=BRIEF) as server:
        yield server


@pytest.fixture
async def relay(llama: Llama) -> AsyncIterator[Relay]:
    """A relay before the llama.cpp server."""
    async with running_relay(llama.origin) as running:
        yield running


@pytest.fixture
def identity_provider(llama: Llama) -> Iterator[IdentityProvider]:
    """An OAuth server whose tokens the llama.cpp server accepts; it wants 2 s between polls but says 1."""
    with running_identity_provider(
        llama.base_url, access_tokens=llama.api_keys[1:], interval=1, enforced_interval=2
    ) as running:
        yield running
