"""The chat page as who uses it: asks, reads, stops, and looks for what is on the page."""

from __future__ import annotations

from typing import Final

from playwright.async_api import Locator, Page, expect

_PATIENCE_MS: Final = 20_000


class ChatPage:
    """A tab with the chat in it. What the browser complained of is in `complaints`."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.set_default_timeout(_PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)

    # What is there

    @property
    def message(self) -> Locator:
        """The field below."""
        return self.page.get_by_label("Your message")

    @property
    def questions(self) -> Locator:
        return self.page.get_by_role("article", name="Question")

    @property
    def answers(self) -> Locator:
        return self.page.get_by_role("article", name="Answer")

    @property
    def conversations(self) -> Locator:
        """The links of the list at the side."""
        return self.page.get_by_role("navigation", name="Conversations").get_by_role("link")

    @property
    def notice(self) -> Locator:
        """What went wrong with an answer."""
        return self.page.locator(".notice:visible")

    def text(self, answer: Locator | None = None) -> Locator:
        """Where the text of an answer stands: of the last one, unless another is named."""
        return (answer or self.answers.last).locator(".markdown")

    def model(self, label: str = "Model") -> Locator:
        return self.page.get_by_label(label, exact=True)

    # What one does

    async def open(self, hash_: str = "") -> None:
        """Open the page, with a conversation if its address is given."""
        await self.page.goto(f"{self.url}/{hash_}")
        await self.message.wait_for()

    async def ask(self, text: str, *, model: str | None = None) -> None:
        """Write it and press Enter."""
        if model is not None:
            await self.choose(model)
        await self.message.fill(text)
        await self.message.press("Enter")

    async def choose(self, model: str, label: str = "Model") -> None:
        """Name the model to ask."""
        await self.model(label).fill(model)
        await self.model(label).press("Enter")

    async def reload(self) -> None:
        await self.page.reload()
        await self.message.wait_for()

    # What one waits for

    async def runs(self, shown: str) -> None:
        """Wait until the last answer is being made, and shows this."""
        await expect(self.text()).to_contain_text(shown, timeout=_PATIENCE_MS)
        await expect(self.answers.last).to_have_attribute("aria-busy", "true", timeout=_PATIENCE_MS)

    async def done(self, answers: int = 1) -> str:
        """Wait until there are so many answers, the last one ended: its text."""
        await expect(self.answers).to_have_count(answers, timeout=_PATIENCE_MS)
        await expect(self.answers.last).to_have_attribute("aria-busy", "false", timeout=_PATIENCE_MS)
        return await self.text().inner_text()

    async def says(self, code: str) -> str:
        """Wait until a notice with this code is shown: its words."""
        notice = self.page.locator(f'.notice[data-code="{code}"]:visible')
        await notice.wait_for()
        return await notice.inner_text()
