"""The dashboard as an operator uses it: signs in, looks at streams and figures, makes and revokes keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from playwright.async_api import Locator, Page, Request, expect
from tests.reader import ask
from tests.server import RunningServer

PATIENCE_MS: Final = 20_000

NONE: Final = "\N{EN DASH}"
"""What a cell says that has nothing to say."""

ADMIN_KEY: Final = "tr_admin_" + "k" * 43
ADMIN: Final = {"x-api-key": ADMIN_KEY}
OPENAI: Final = "openai/gpt-4o-mini"
SLOW: Final = "simulated/n9000-d10"
PRICED: Final = """
[models."priced"]
provider = "simulated"
model = "n40-d1"
price = { input = 1000.0, cached_input = 100.0, output = 5000.0 }
"""

_AXE: Final = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
_HIDE: Final = """hidden => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
    Object.defineProperty(document, "visibilityState", {configurable: true, get: () => hidden ? "hidden" : "visible"});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
_NOTE_VIOLATIONS: Final = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


class DashboardPage:
    """A tab with the dashboard in it. What the browser complained of is in `complaints`."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        self.requests.append(request.url.removeprefix(self.url).partition("?")[0])

    # What is there

    @property
    def door(self) -> Locator:
        """The dialog that asks for a key."""
        return self.page.get_by_role("dialog", name="Sign in to the dashboard")

    @property
    def streams(self) -> Locator:
        """The rows of the streams."""
        return self.page.locator("#live tbody tr")

    @property
    def watched(self) -> Locator:
        """The stream that is being watched."""
        return self.page.locator(".watch")

    def stream(self, stream_id: str) -> Locator:
        return self.page.locator(f'#live tr[data-id="{stream_id}"]')

    def key(self, name: str) -> Locator:
        """The row of the key with this name."""
        return self.page.locator("#keys tbody tr").filter(has=self.page.get_by_role("cell", name=name, exact=True))

    def cell(self, row: Locator, column: str) -> Locator:
        return row.locator(f'td[data-name="{column}"]')

    def fact(self, name: str) -> Locator:
        """One of the figures on top."""
        return self.page.locator(f'[data-fact="{name}"]')

    # What one does

    async def open(self) -> None:
        await self.page.add_init_script(_NOTE_VIOLATIONS)
        await self.page.goto(f"{self.url}/dashboard")

    async def sign_in(self, key: str) -> None:
        """Give a key at the door."""
        await self.door.get_by_label("API key").fill(key)
        await self.door.get_by_role("button", name="Sign in").click()

    async def enter(self, key: str) -> None:
        """Open the page, sign in, and wait for the first figures."""
        await self.open()
        await self.sign_in(key)
        await self.settled()

    async def settled(self) -> None:
        """Wait until the figures of now and those of the ledger are there."""
        for name in ("running", "answers"):
            await expect(self.fact(name)).not_to_have_text(NONE, timeout=PATIENCE_MS)

    async def confirm(self, deed: str) -> None:
        """Answer a question with yes."""
        await self.page.get_by_role("dialog").get_by_role("button", name=deed).click()

    async def make_key(self, name: str, **fields: str) -> str:
        """Make a key with these fields, by their labels; its text."""
        await self.page.get_by_role("button", name="Make a key").click()
        form = self.page.get_by_role("dialog", name="Make a key")
        for label, value in {"Name": name, **fields}.items():
            await form.get_by_label(label, exact=True).fill(value)
        await form.get_by_role("button", name="Make the key").click()
        shown = self.page.get_by_label(f"The key of {name}", exact=True).and_(self.page.get_by_role("textbox"))
        key = await shown.input_value()
        await self.page.get_by_role("button", name="I have it").click()
        return key

    async def choose(self, label: str, value: str) -> None:
        """Choose how the usage is shown."""
        await self.page.get_by_label(label, exact=True).select_option(value)

    async def hide(self, hidden: bool = True) -> None:
        """Make the tab one that nobody sees, or one that is seen again."""
        await self.page.evaluate(_HIDE, hidden)

    # What one waits for

    async def reads(self, cell: Locator, wanted: str) -> None:
        await expect(cell).to_have_text(wanted, timeout=PATIENCE_MS)

    async def table_behind_the_chart(self) -> list[dict[str, str]]:
        """The rows of the usage's table, by column."""
        rows: list[dict[str, str]] = await self.page.evaluate(
            """() => {
                const table = document.querySelector("#usage details table");
                const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
                return [...table.tBodies[0].rows].map((row) =>
                    Object.fromEntries([...row.cells].map((cell, place) => [names[place], cell.textContent])));
            }"""
        )
        return rows

    async def violations(self) -> list[str]:
        """What the content security policy has stopped."""
        found: list[str] = await self.page.evaluate("window.violations")
        return found

    async def serious_findings(self) -> list[str]:
        """What axe-core finds that is serious, or worse."""
        await self.page.evaluate(_AXE.read_text("utf-8"))
        findings: list[dict[str, Any]] = await self.page.evaluate("axe.run().then(({violations}) => violations)")
        return [
            f"{finding['id']}: {[node['html'] for node in finding['nodes']][:3]}"
            for finding in findings
            if finding["impact"] in ("serious", "critical")
        ]


async def make_key(server: RunningServer, name: str, **terms: Any) -> tuple[str, str]:
    """A key of its own for a test: its id and its text."""
    made = (await ask(server.url, "POST", "/v1/keys", {"name": name, **terms}, headers=ADMIN)).json()
    return made["id"], made["key"]


async def get_data(server: RunningServer, target: str) -> Any:
    """What the API answers an admin."""
    answer = await ask(server.url, "GET", target, headers=ADMIN)
    assert answer.status == 200
    return answer.json()["data"]
