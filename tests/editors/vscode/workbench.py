"""The workbench of VS Code as somebody sees it: palette, quick input, dialogs, notifications, views."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import attrs

from editors.vscode.chat_view import ChatView
from editors.vscode.code_server import chromium

if TYPE_CHECKING:
    import re
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import BrowserContext, Locator, Page, Position, ViewportSize

PATIENCE = 20_000  # milliseconds; nothing takes that long unless it hangs
START_PATIENCE = 60_000  # milliseconds for the first workbench of a run
SIZE: ViewportSize = {"width": 1280, "height": 800}
NOTHING: Position = {"x": 560, "y": 10}  # a place of the status bar where no item is
# Everything is loopback here, and this process is root in a namespace of its own.
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server")


@attrs.define(eq=False)
class Workbench:
    """One window. Locators wait by themselves; what does not come is a TimeoutError that names it."""

    context: BrowserContext
    page: Page
    artefacts: Path

    # --- windows ----------------------------------------------------------------------------------

    async def visit(self, url: str, place: Path) -> None:
        """Open a folder or a `.code-workspace` file."""
        kind = "workspace" if place.suffix == ".code-workspace" else "folder"
        await self.page.goto(f"{url}/?{kind}={place}")
        await self.is_ready()

    async def is_ready(self) -> None:
        """Return once the extension is there: a palette opened before that stays empty for good."""
        await self.page.locator(".activitybar [aria-label^='Qwen']").first.wait_for(timeout=START_PATIENCE)

    async def reload(self) -> None:
        """Reload the window, as the command of that name does."""
        await self.page.reload()
        await self.is_ready()

    async def screenshot(self, name: str) -> None:
        """Keep what is seen."""
        await self.page.screenshot(path=self.artefacts / f"{name}.png")

    # --- palette and quick input ------------------------------------------------------------------

    @property
    def input(self) -> Locator:
        """The quick input's field."""
        return self.page.locator(".quick-input-widget input.input")

    def choice(self, text: str | re.Pattern[str]) -> Locator:
        """A row of the quick input's list."""
        return self.page.locator(".quick-input-list .monaco-list-row").filter(has_text=text).first

    async def question(self, text: str) -> None:
        """Wait until the quick input asks this, in its title or below its field."""
        shown = self.page.locator(".quick-input-widget").filter(
            has=self.page.locator(".quick-input-title, .quick-input-message").filter(has_text=text)
        )
        await shown.wait_for()

    async def command(self, title: str) -> None:
        """Run a command of the palette."""
        await self._open("F1", f">{title}", title)

    async def _open(self, shortcut: str, text: str, row: str) -> None:
        """Press a key that opens the quick input, and take the first row for a text."""
        await self.page.locator(".part.statusbar").click(position=NOTHING)  # a view may keep keys to itself
        await self.page.keyboard.press(shortcut)
        await self.input.fill(text)
        await self.choice(row).wait_for()
        await self.page.keyboard.press("Enter")

    async def pick(self, question: str, text: str | re.Pattern[str]) -> None:
        """Answer a question by a row of its list."""
        await self.question(question)
        await self.choice(text).click()

    async def type(self, question: str, text: str) -> None:
        """Answer a question."""
        await self.question(question)
        await self.input.fill(text)
        await self.page.keyboard.press("Enter")

    async def type_secret(self, question: str, text: str) -> None:
        """Answer a question for a secret; it must be masked."""
        await self.question(question)
        await self.page.locator(".quick-input-widget input.input[type=password]").wait_for()
        await self.type(question, text)

    async def open_file(self, file: Path) -> None:
        """Open a file in the editor."""
        await self._open("Control+p", str(file), file.name)  # a whole path needs no search
        await self.page.locator(f".tab.active[data-resource-name='{file.name}']").wait_for()

    async def save(self) -> None:
        """Save the file in the editor."""
        await self.page.locator(".tab.active.dirty").wait_for()
        await self.editor.click()
        await self.page.keyboard.press("Control+s")
        await self.page.locator(".tab.active:not(.dirty)").wait_for()

    async def fix(self, title: str, screenshot: str) -> None:
        """Apply a quick fix on the first line of the active editor."""
        await self.editor.locator(".view-line").first.click()
        await self.page.keyboard.press("Control+.")
        fix = self.page.locator(".action-widget .monaco-list-row").filter(has_text=title)
        await fix.wait_for()
        await self.screenshot(screenshot)
        await fix.click()

    async def log_everything(self) -> None:
        """Have every part of VS Code, and every extension, log all there is."""
        await self.command("Developer: Set Log Level...")
        await self.page.locator("input[placeholder='Set Log Level']").wait_for()
        await self.choice("Trace").click()

    # --- what it says -----------------------------------------------------------------------------

    def notification(self, text: str | re.Pattern[str]) -> Locator:
        """A notification that is shown."""
        return self.page.locator(".notification-toast").filter(has_text=text).first

    async def answer(self, text: str | re.Pattern[str], button: str) -> None:
        """Press a button of a notification."""
        await self.notification(text).get_by_role("button", name=button).click()

    async def clear_notifications(self) -> None:
        """Close all of them, questions included."""
        await self.command("Notifications: Clear All Notifications")
        for passing in (".notification-toast", ".quick-input-widget"):
            await self.page.locator(passing).first.wait_for(state="hidden")

    @property
    def dialog(self) -> Locator:
        """The modal dialog."""
        return self.page.locator(".monaco-dialog-box")

    @property
    def editor(self) -> Locator:
        """The lines of the active editor that are in view."""
        return self.page.locator(".editor-group-container.active .editor-instance .view-lines").first

    def status_item(self, text: str | re.Pattern[str]) -> Locator:
        """An item of the status bar."""
        return self.page.locator(".statusbar-item").filter(has_text=text).first

    async def accounts(self) -> list[str]:
        """What stands in the Accounts menu."""
        await self.page.locator(".activitybar [aria-label^='Accounts']").first.click()
        items = self.page.locator(".monaco-menu .action-label")
        await items.first.wait_for()
        labels = [label.strip() for label in await items.all_inner_texts()]
        await self.page.keyboard.press("Escape")
        await items.first.wait_for(state="hidden")
        return [label for label in labels if label]

    async def ask_in_chat(self, text: str) -> None:
        """Ask VS Code's own Chat view."""
        await self.command("Chat: Open Chat")
        await self.page.locator(".interactive-input-editor .monaco-editor").first.click()
        await self.page.keyboard.type(text)
        await self.page.keyboard.press("Enter")

    @property
    def participant(self) -> Locator:
        """The last answer in VS Code's own Chat view."""
        return self.page.locator(".interactive-response").last

    async def open_chat(self) -> None:
        """Open the chat view; it has taken the focus then, and does not take it from what comes after."""
        await self.command("Qwen: Open Chat")
        await self.chat.frame.locator("textarea:focus").wait_for()

    @property
    def chat(self) -> ChatView:
        """The inside of the extension's chat view."""
        return ChatView(self.page.frame_locator("iframe.webview.ready").frame_locator("iframe#active-frame"))


@contextlib.asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[BrowserContext]:
    """A browser that keeps its profile: VS Code's SecretStorage is in it."""
    from playwright.async_api import async_playwright  # `make test` collects these tests without it

    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium(),
            args=OPTIONS,
            viewport=SIZE,
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE)
        try:
            yield context
        finally:
            await context.close()
