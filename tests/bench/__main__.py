"""`python -m bench [FIGURE...]`: measure, print the table, and write it to docs/reference/performance.md.

With names of figures only those are measured, and nothing is written. The exit code is 1 where a number is
not reached.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from bench.figures import FIGURES
from bench.report import PAGE, Row, line, page, table
from bench.rig import rigged


def main(names: list[str]) -> int:
    """Measure."""
    figures = [f for f in FIGURES if not names or f.__name__ in names]
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="qwen-ls-bench-") as folder,
        rigged(Path(folder).resolve()) as rig,
    ):
        for figure in figures:
            began = time.monotonic()
            for row in figure(rig):
                rows.append(row)
                sys.stdout.write(line(row) + "\n")
                sys.stdout.flush()
            sys.stderr.write(f"{figure.__name__}: {time.monotonic() - began:.0f} s\n")
    sys.stdout.write("\n" + table(rows) + "\n")
    if not names:
        PAGE.write_text(page(rows), encoding="utf-8")
    return int(any(row.is_met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
