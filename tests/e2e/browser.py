"""A browser with a person in it: `browser.py LOG URL` notes the address and approves the sign-in.

With a file `LOG.closed` beside the log nobody approves anything: the page stays open.
"""

from __future__ import annotations

import sys
from pathlib import Path

from qwen_ls.demo.walk import approve

log, uri = Path(sys.argv[1]), sys.argv[2]
with log.open("a", encoding="utf-8") as opened:
    opened.write(uri + "\n")
if not log.with_suffix(".closed").exists():
    approve(uri)
