"""What the documentation tells users to put into their editor's settings, so that the tests run just that."""

from __future__ import annotations

import re
from pathlib import Path

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "editors"


def settings_of(page: str, language: str) -> str:
    """The one block of settings on an editor's page."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(block)
