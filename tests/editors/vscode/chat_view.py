"""The extension's chat view, as somebody sees it and as a screen reader would name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from playwright.async_api import FrameLocator, Locator


@attrs.frozen
class ChatView:
    """The inside of the view."""

    frame: FrameLocator

    @property
    def draft(self) -> Locator:
        """The message that is being written."""
        return self.frame.get_by_role("textbox", name="Message")

    async def send(self, text: str) -> None:
        """Write a message, unlike the last one, and send it; from now on it is the last."""
        await self.draft.fill(text)
        await self.draft.press("Enter")
        await self.turn.locator(".you").filter(has_text=text).wait_for()

    @property
    def turn(self) -> Locator:
        """The last message with its answer."""
        return self.frame.get_by_role("article").last

    @property
    def answer(self) -> Locator:
        """The text of the last answer."""
        return self.turn.locator(".qwen > .prose")

    @property
    def alert(self) -> Locator:
        """What went wrong with the last answer."""
        return self.turn.get_by_role("alert")

    def button(self, name: str) -> Locator:
        """A button, by what it does."""
        return self.frame.get_by_role("button", name=name).last

    async def answered(self, text: str) -> None:
        """Wait until the last answer has this text and has ended."""
        await self.answer.filter(has_text=text).wait_for()
        await self.frame.locator("article[aria-busy=false]").last.wait_for()
