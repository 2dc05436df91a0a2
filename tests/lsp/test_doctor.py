"""qwen.doctor over stdio: what it touches, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canary import canary
from provider import running_provider
from wire import CAPABILITIES, environment, server

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_host_of_an_untrusted_workspace_is_not_contacted(tmp_path: Path) -> None:
    """Whether it answers is asked only of a base URL that a request may go to."""
    folder = tmp_path / "ws"
    folder.mkdir()
    key = canary("doctor")
    async with running_provider(keys=[key]) as provider, server(environment(tmp_path / "home")) as client:
        (folder / ".env").write_text(f"OPENAI_API_KEY={key}\nOPENAI_BASE_URL={provider.v1}\nOPENAI_MODEL=m\n")
        await client.initialize(folder, capabilities=CAPABILITIES, options={"workspaceTrust": "untrusted"})
        report = await client.command("qwen.doctor")
        assert "base URL reachable: not tried: The workspace is not trusted" in report["markdown"]
        assert await provider.log() == []
        assert key not in report["markdown"]
