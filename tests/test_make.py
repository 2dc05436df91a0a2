"""The Makefile, where it starts from nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# As Debian's, which makes half an environment where the package with pip is not installed.
PYTHON = """#!/bin/sh
mkdir -p "$3/bin"
cp /bin/sh "$3/bin/python"
[ -e has-pip ] || { echo "ensurepip is not available" >&2; exit 1; }
printf '#!/bin/sh\\necho installed\\n' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""


@pytest.mark.parametrize("stamp", [".venv/.demo", ".bench/env/.stamp"])
def test_an_environment_that_was_half_made_is_made_again(stamp: str, tmp_path: Path) -> None:
    """Each run without pip says what is missing, and the first with it goes on."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def make() -> subprocess.CompletedProcess[str]:
        command = ["make", "--no-print-directory", stamp, f"PYTHON={python}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    for _ in range(2):
        failed = make()
        assert failed.returncode != 0
        assert "ensurepip is not available" in failed.stderr
    (tmp_path / "has-pip").touch()
    assert make().returncode == 0
    assert (tmp_path / stamp).is_file()
