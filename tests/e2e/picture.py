"""docs/images/neovim.svg: what stands on the screen of a real Neovim, drawn from tmux's own capture.

PYTHONPATH=server:tests .venv/bin/python tests/e2e/picture.py
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from html import escape
from pathlib import Path

from e2e.terminal_screen import COLUMNS, tmux
from qwen_ls.demo.provider import Provider
from scene import Scene, set_scene

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "neovim.svg"
LABEL = 'aria-label="Neovim: a Python file on the left, a chat document about its lines on the right"'
SGR = re.compile(r"\x1b\[([\d;]*)m")
WIDTH, HEIGHT, MARGIN = 8.4, 18, 24  # pixels: of a cell, and around the screen
NO_BREAK = "\u00a0"  # spaces in a row would be drawn as one
PAPER, INK = "#15181e", "#d6dae1"
COLOURS = ("#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d6dae1")
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
CODE = '''\
def collatz(n: int) -> list[int]:
    """The way from n to 1."""
    way = [n]
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        way.append(n)
    return way
'''
ANSWER = """\
It never ends for `n = 0`: half of zero is zero, so `n` is never 1.

Negative numbers run in circles too. Refuse both at the door:

```python
if n < 1:
    raise ValueError("n must be positive")
```
"""


class Style:
    """How the next letters are drawn."""

    def __init__(self) -> None:
        self.ink, self.paper, self.bold, self.reverse = INK, PAPER, False, False

    def apply(self, codes: str) -> None:
        """Take in one SGR sequence."""
        numbers = [int(code or 0) for code in codes.split(";")]
        while numbers:
            code = numbers.pop(0)
            if code == 0:
                self.__init__()  # type: ignore[misc] # all as it was at first
            elif code in {38, 48}:
                colour = self._extended(numbers)
                self.ink, self.paper = (colour, self.paper) if code == 38 else (self.ink, colour)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.ink = COLOURS[code % 10]
            elif 40 <= code <= 47:
                self.paper = COLOURS[code % 10]
            else:
                self.bold = code == 1 or (self.bold and code != 22)
                self.reverse = code == 7 or (self.reverse and code != 27)
                self.ink = INK if code == 39 else self.ink
                self.paper = PAPER if code == 49 else self.paper

    @staticmethod
    def _extended(numbers: list[int]) -> str:
        if numbers.pop(0) == 2:
            red, green, blue = (numbers.pop(0) for _ in range(3))
            return f"#{red:02x}{green:02x}{blue:02x}"
        return COLOURS[numbers.pop(0) % len(COLOURS)]


def svg_of(screen: str) -> str:
    """A screen with its escape sequences as a picture."""
    lines = screen.rstrip("\n").split("\n")
    width, height = COLUMNS * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" {LABEL}>',
        f'<rect width="{width:.0f}" height="{height}" rx="10" fill="{PAPER}"/>',
        f'<g font-family="{FONT}" font-size="14">',
    ]
    style = Style()
    for row, line in enumerate(lines):
        column, pieces = 0, SGR.split(line)
        for number, piece in enumerate(pieces):
            if number % 2:
                style.apply(piece)
            elif piece:
                parts.append(drawn(piece, row, column, style))
                column += len(piece)
    return "\n".join([*filter(None, parts), "</g>", "</svg>", ""])


def drawn(text: str, row: int, column: int, style: Style) -> str:
    """A piece of a line in one style."""
    ink, paper = (style.paper, style.ink) if style.reverse else (style.ink, style.paper)
    x, y, width = MARGIN + column * WIDTH, MARGIN + row * HEIGHT, len(text) * WIDTH
    behind = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{HEIGHT}" fill="{paper}"/>'
    weight = ' font-weight="bold"' if style.bold else ""
    front = (
        f'<text x="{x:.1f}" y="{y + 13}" fill="{ink}"{weight} textLength="{width:.1f}" '
        f'lengthAdjust="spacingAndGlyphs">{escape(text).replace(" ", NO_BREAK)}</text>'
    )
    return (behind if paper != PAPER else "") + (front if text.strip() else "")


def stage(scene: Scene, folder: Path) -> str:
    """What is shown: lines of a file, a question about them, and the answer."""
    with tmux("0.12", scene, folder, options=["collatz.py"]) as screen:
        screen.until("collatz")
        screen.keys(":set laststatus=3 statusline=%t%=%{v:lua.require'qwen_ls'.status()}", "Enter")
        screen.keys(":4,6Qwen ask does this always end?", "Enter")
        screen.until("positive")
        screen.keys("gg")
        screen.until("selection")
        screen.keys(":echo", "Enter")
        screen.until("coder-model")
        return screen.text(colours=True)


async def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory(prefix="qwen-ls-") as made:
        async with Provider(reply=ANSWER) as provider, set_scene(Path(made), provider) as scene:
            scene.write_cache()
            folder = scene.folder("collatz")
            await asyncio.to_thread((folder / "collatz.py").write_text, CODE)
            screen = await asyncio.to_thread(stage, scene, folder)
    await asyncio.to_thread(PICTURE.write_text, svg_of(screen))


if __name__ == "__main__":
    asyncio.run(main())
