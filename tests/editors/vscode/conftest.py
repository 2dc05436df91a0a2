"""A real VS Code in Chromium, with the packaged extension, for each test that asks for `windows`.

What is missing fails the test that needs it; nothing is skipped. Screenshots and logs are left in
.e2e/artefacts/vscode, in a folder per test.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from editors.vscode.code_server import LEAST, NEWEST, STORE, install_extension
from editors.vscode.windows import Windows
from qwen_ls.demo.provider import Provider
from scene import Scene, set_scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).parent
EXTENSION = HERE.parents[2] / "vscode-extension" / "qwen-ls.vsix"
ARTEFACTS = STORE / "artefacts" / "vscode"
# 127.0.0.1 would not do: code-server rewrites it, in the pages that an extension opens, to a path of its own.
HOST = "127.0.0.2"
MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
<Metadata><Identity Language="en-US" Id="probe" Version="0.0.1" Publisher="qwen-ls-tests"/></Metadata>
<Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json"/></Assets>
</PackageManifest>
"""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of this folder, so that only `make e2e` runs it."""
    item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second extension, which uses what the first one offers to others."""
    vsix = tmp_path_factory.mktemp("probe") / "probe.vsix"
    with zipfile.ZipFile(vsix, "w") as archive:
        archive.writestr("extension.vsixmanifest", MANIFEST)
        for file in (HERE / "probe").iterdir():
            archive.write(file, f"extension/{file.name}")
    return vsix


@pytest.fixture(scope="session")
def installed(probe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The extensions folder of each version of VS Code."""
    if not EXTENSION.exists():
        raise RuntimeError(f"no {EXTENSION}: run `make vsix` (`make e2e` does)")
    folders = {version: tmp_path_factory.mktemp("extensions") for version in (NEWEST, LEAST)}
    for version, folder in folders.items():
        for vsix in (EXTENSION, probe):
            install_extension(vsix, folder, tmp_path_factory.mktemp("installer"), version)
    return folders


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """An empty home, and a provider whose pages a browser is really sent to."""
    async with Provider(host=HOST, interval=1) as provider, set_scene(tmp_path, provider) as made:
        yield made


@pytest.fixture
async def windows(
    request: pytest.FixtureRequest, scene: Scene, installed: dict[str, Path]
) -> AsyncIterator[Windows]:
    """VS Codes on demand."""
    artefacts = ARTEFACTS / re.sub(r"\W+", "-", request.node.name).strip("-")
    shutil.rmtree(artefacts, ignore_errors=True)
    artefacts.mkdir(parents=True)
    async with contextlib.AsyncExitStack() as stack:
        yield Windows(scene, artefacts, installed, stack)
