"""One provider process for the whole folder, as it was at its start before each test."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import pytest_asyncio

from canary import canary
from provider import RunningProvider, running_provider
from qwen_ls.demo.settings import Settings
from terminal.shell import Shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
MODEL = "model-of-this-test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of this folder share the provider's event loop."""
    for item in items:
        if HERE in item.path.parents and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def provider_process() -> AsyncIterator[RunningProvider]:
    """The process."""
    async with running_provider() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def provider(provider_process: RunningProvider) -> RunningProvider:
    """The provider without faults, with its own settings, and with no key."""
    await provider_process.clear_faults()
    defaults = attrs.asdict(Settings(), filter=lambda field, _: field.name not in {"keys", "models"})
    await provider_process.configure(**defaults, keys=[], models=["one-model", "another-model"])
    return provider_process


@pytest_asyncio.fixture(loop_scope="session")
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    """An empty home and an empty folder beside it."""
    home, folder = tmp_path / "home", tmp_path / "work" / "project"
    home.mkdir()
    folder.mkdir(parents=True)
    running = Shell(home, folder.resolve())
    yield running
    await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def variables(provider: RunningProvider, request: pytest.FixtureRequest) -> dict[str, str]:
    """The three variables of an API key that the provider accepts."""
    key = canary(request.node.name)
    await provider.configure(keys=[key])
    return {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": provider.v1, "OPENAI_MODEL": MODEL}
