"""Markdown on the chat page, in a real Chromium: whatever a model says, nothing of it runs and nothing is fetched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect
from tests.browser.chat import ChatPage
from tests.server import RunningServer
from tests.system.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT: Final = Path(__file__).parents[2]
UI: Final = ROOT / "src" / "tailrace" / "web" / "ui"
OPENAI: Final = "openai/gpt-4o-mini"

ATTACKS: Final = [
    "<script>window.ran = 1</script>",
    "a <script>window.ran = 1</script> b",
    "<img src=x onerror=window.ran=1>",
    "text <img src='/assets/probe.png' onerror='window.ran=1'> text",
    "<svg onload=window.ran=1><g/onload=window.ran=1></svg>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<a href='javascript:window.ran=1'>x</a>",
    "<style>@import '/assets/probe.css'; *{background:url(/assets/probe.png)}</style>",
    "<base href='/elsewhere/'><link rel=stylesheet href=/assets/probe.css>",
    "<form action=/session><button autofocus onfocus=window.ran=1>x</button></form>",
    "<math><mtext></p><style><img src=x onerror=window.ran=1></style>",
    "<details open ontoggle=window.ran=1>x</details>",
    "[x](javascript:window.ran=1)",
    "[x](JaVaScRiPt:window.ran=1)",
    "[x](java\tscript:window.ran=1) [x](&#106;avascript:window.ran=1) [x](&#x6A;avascript&colon;window.ran=1)",
    "[x](\x01javascript:window.ran=1)",
    "[x](<javascript:window.ran=1>) <javascript:window.ran=1>",
    "[x](data:text/html,<script>window.ran=1</script>) [x](vbscript:x) [x](file:///etc/passwd) [x](blob:x)",
    "[x](/session) [x](?a=1) [x](//probe.invalid/x) [x](#here)",
    '[x](https://probe.invalid/" onmouseover="window.ran=1) [x](https://probe.invalid/ "t\\" onclick=\\"window.ran=1")',
    "![x](/assets/probe.png) ![x](https://probe.invalid/x.png) ![](data:image/svg+xml,<svg/onload=window.ran=1>)",
    "![x](javascript:window.ran=1) [![x](/assets/probe.png)](https://probe.invalid/)",
    "[a]: javascript:window.ran=1\n\n[a] ![a][a]\n\n[b]: /assets/probe.png\n\n![b] ![c][b]",
    "```html\n<script>window.ran = 1</script>\n</code></pre><script>window.ran = 1</script>\n```",
    '```"><img src=x onerror=window.ran=1>\nx\n```\n\n~~~<script>\nx\n~~~',
    "`<img src=x onerror=window.ran=1>` ``</code><script>window.ran=1</script>``",
    "| <script>window.ran=1</script> | ![x](/assets/probe.png) |\n|---|---|\n"
    "| <img src=x onerror=window.ran=1> | [x](javascript:a) |",
    "- <script>window.ran=1</script>\n  - ![x](/assets/probe.png)\n    1. <img src=x onerror=window.ran=1>\n",
    "> # <img src=x onerror=window.ran=1>\n> ![x](/assets/probe.png)\n> > <svg/onload=window.ran=1>",
    "<!-- <script>window.ran=1</script> --> <![CDATA[<img src=x onerror=window.ran=1>]]> <?php x ?> <!DOCTYPE x>",
    "&lt;script&gt;window.ran=1&lt;/script&gt; &#60;img src=x onerror=window.ran=1&#62;",
    "&#0; &#xD800; &#x110000; &unknown;",
    "https://probe.invalid/<script>window.ran=1</script> <https://probe.invalid/'onclick=>",
    "www.probe.invalid a@probe.invalid",
    "**<b onclick=window.ran=1>**_<i>_~~<u onmouseover=window.ran=1>~~ \\<script>window.ran=1</script>",
    "- [ ] <input autofocus onfocus=window.ran=1>\n- [x] done ![x](/assets/probe.png)",
    "__proto__ constructor &constructor; &toString; [x](__proto__:y) ```__proto__```",
]

SAMPLES: Final = {
    "lists": (
        "1. one\n   - *sub*\n   - sub `two`\n\n     more\n2. two\n\n   ```py\n   x = 1\n   ```\n\n3. three\n\n"
        "- [x] done\n- [ ] open\n"
    ),
    "long list": "\n".join(f"{n}. item {n}\n   - of it" for n in range(1, 300)),
    "headings": "# One\ntext **bold _both_** snake_case_name\n\n## Two ##\n\nSetext\n======\n\n***\n\n###### Six\n",
    "table": "Before\n\n| a | b | c |\n|:--|:-:|--:|\n| 1 | `x` | **3** |\n| 4 | 5 |\n\nAfter\n",
    "code": "Text\n\n```python\ndef f():\n\n    return '<b>'\n```\n\n    indented\n\n~~~\nopen to the end",
    "quotes": "> one\n> two\n>\n> - a\n> - b\n\ntext\n> lazy\ncontinued\n\n> > deep\n",
    "links": "[a](https://a.invalid/x?y=1&amp;z=2) <https://b.invalid> https://c.invalid/d. ![pic](https://d.invalid/e.png)\n",
    "prose": "Line one  \nline two\\\nline three\n\n2 * 3 * 4 &copy; &amp; \\*plain\\*\n\n"
    + "long words go on *and on* " * 200,
    "abyss": ">" * 60 + " deep\n\n" + "- " * 60 + "deep\n",
}

PROBE: Final = """
async ({texts, whole}) => {
  const {MarkdownView} = await import("/assets/probe.js");
  const violations = [];
  document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
  const tags = new Set(), attributes = new Set(), links = new Set(), differing = [];
  const look = (root) => {
    for (const element of root.querySelectorAll("*")) {
      tags.add(element.localName);
      for (const {name} of element.attributes) attributes.add(name);
      if (element.localName === "a") links.add(element.href);
    }
  };
  for (const text of texts) {
    const growing = new MarkdownView();
    document.body.append(growing.element);
    for (let length = 1; length <= text.length; length++) {
      growing.show(text.slice(0, length));
      if (!whole) {
        const fresh = new MarkdownView();
        document.body.append(fresh.element);
        fresh.show(text.slice(0, length));
        look(fresh.element);
        fresh.element.remove();
      }
      look(growing.element);
    }
    const fresh = new MarkdownView();
    fresh.show(text);
    const [once, grown] = [fresh, growing].map(({element}) => element.innerHTML);
    if (once !== grown) differing.push([once, grown]);
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  const seen = {tags: [...tags], attributes: [...attributes], links: [...links]};
  return {...seen, differing, violations, ran: window.ran ?? null};
}
"""

TAGS: Final = {
    *("p", "span", "strong", "em", "del", "code", "pre", "br", "a", "h3", "h4", "h5", "h6", "hr", "blockquote"),
    *("ul", "ol", "li", "div", "table", "thead", "tbody", "tr", "th", "td", "button"),
}
ATTRIBUTES: Final = {
    "class",
    "href",
    "title",
    "target",
    "rel",
    "start",
    "scope",
    "tabindex",
    "role",
    "type",
    "aria-label",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def probe() -> str:
    """The page's own Markdown, bundled by itself."""
    entry = f"export {{ MarkdownView }} from {json.dumps(str(UI / 'chat' / 'markdown' / 'view.ts'))};"
    bundling = await asyncio.create_subprocess_exec(
        *(ROOT / ".venv" / "bin" / "node", UI / "node_modules" / "esbuild" / "bin" / "esbuild"),
        *("--bundle", "--format=esm", "--loader=ts"),
        cwd=UI,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    bundle, _ = await bundling.communicate(entry.encode())
    assert bundling.returncode == 0
    return bundle.decode()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: RunningServer, probe: str) -> AsyncIterator[Page]:
    """The chat page under its own policy, with its Markdown in reach."""
    page = await browser.new_page()

    async def serve(route: Route) -> None:
        await route.fulfill(body=probe, content_type="text/javascript")

    await page.route("**/assets/probe.js", serve)
    await page.goto(server.url)
    await page.get_by_label("Your message").wait_for()
    await page.wait_for_load_state("networkidle")
    yield page
    await page.close()


async def test_nothing_runs_and_nothing_is_fetched(page: Page) -> None:
    """Every prefix of each attack, grown or at once: no script, no violation, no request, no element but ours."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    found: dict[str, Any] = await page.evaluate(PROBE, {"texts": ATTACKS, "whole": False})
    assert found["ran"] is None
    assert found["violations"] == []
    assert set(found["tags"]) <= TAGS
    assert set(found["attributes"]) <= ATTRIBUTES
    assert {link.partition(":")[0] for link in found["links"]} <= {"http", "https", "mailto"}
    assert [
        url for url in asked if not url.endswith(("/assets/probe.js", "/assets/icon.svg", "/v1/sessions?limit=50"))
    ] == []


async def test_growing_comes_to_the_same(page: Page) -> None:
    """Letter by letter or at once, a text ends up as the same page."""
    found: dict[str, Any] = await page.evaluate(PROBE, {"texts": list(SAMPLES.values()), "whole": True})
    assert found["differing"] == []
    assert set(found["tags"]) <= TAGS


async def test_attacks_that_stream(browser: Browser, server: RunningServer, model_server: ModelServer) -> None:
    """The same through the whole of it: said by a model, kept by the server, shown again after a reload."""
    context = await browser.new_context()
    chat = ChatPage(await context.new_page(), server.url)
    elsewhere: list[str] = []
    chat.page.on("request", lambda request: elsewhere.append(request.url) if "probe" in request.url else None)
    await chat.open()
    model_server.say(*(letter for attack in ATTACKS for letter in f"{attack}\n\n"))
    await chat.ask(ATTACKS[2], model=OPENAI)
    for _ in range(2):
        text = await chat.done()
        assert "window.ran" in text
        await expect(
            chat.page.locator("main :is(img, script, iframe, svg:not(.icon), style, form form)")
        ).to_have_count(0)
        assert await chat.page.evaluate("window.ran ?? null") is None
        await chat.reload()
    assert elsewhere == []
    assert chat.complaints == []
    await context.close()


async def test_images_are_links(browser: Browser, server: RunningServer, model_server: ModelServer) -> None:
    """An image is its text and its address, to be opened by whoever wants it, elsewhere and without a referrer."""
    context = await browser.new_context()
    chat = ChatPage(await context.new_page(), server.url)
    await chat.open()
    model_server.say("![A river](https://probe.invalid/river.png)")
    await chat.ask("Show it", model=OPENAI)
    await chat.done()
    link = chat.page.get_by_role("link", name="Image: A river")
    await expect(link).to_have_attribute("href", "https://probe.invalid/river.png")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    await context.close()
