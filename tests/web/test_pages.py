"""What is not the API: health, metrics, and the documentation page."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from tests.reader import ask
from tests.server import serving

from tailrace import Settings, Tailrace, create_app
from tailrace.settings import Secret
from tailrace.web.pages import create_pages

pytestmark = pytest.mark.usefixtures("no_leaks")

ADMIN_KEY = "tr_admin_" + "k" * 43
LINK = re.compile(r"""(?:src|href|url|action)\s*[=:]\s*["']([^"']*)["']""")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(create_app()) as url:
        yield url


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
async def test_health(url: str, path: str) -> None:
    """Each says `{"status":"ok"}`, to whoever asks."""
    answer = await ask(url, "GET", path, headers={"host": "balancer.example", "x-forwarded-for": "1.2.3.4"})
    assert (answer.status, answer.json()) == (200, {"status": "ok"})


async def test_draining_is_not_ready_but_alive() -> None:
    """While draining `/readyz` is 503 and the others stay 200."""
    app = create_app()
    async with serving(app) as url:
        await app.state.tailrace.drain(0)
        ready, *others = [await ask(url, "GET", path) for path in ("/readyz", "/health", "/livez")]
    assert (ready.status, ready.json()) == (503, {"status": "draining"})
    assert [other.status for other in others] == [200, 200]


async def test_metrics(url: str) -> None:
    """Requests, open streams, ends by reason, tokens, times to the first and between tokens: as Prometheus reads."""
    for model in ("simulated/n5-d1", "simulated/n5-d1-x2", "simulated/e500"):
        await ask(url, "POST", "/v1/chat", {"message": "Hi", "model": model})
    answer = await ask(url, "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    assert families.keys() >= {
        "tailrace_requests",
        "tailrace_open_streams",
        "tailrace_streams_ended",
        "tailrace_tokens",
        "tailrace_bills",
        "tailrace_first_token_seconds",
        "tailrace_between_tokens_seconds",
    }
    ends = {tuple(sample.labels.values()): sample.value for sample in families["tailrace_streams_ended"].samples}
    assert ends == {("finished", "stop"): 1, ("failed", "upstream_cut"): 1, ("failed", "upstream_error"): 1}
    assert families["tailrace_open_streams"].samples[0].value == 0
    counts = {sample.name: sample.value for sample in families["tailrace_first_token_seconds"].samples}
    assert counts["tailrace_first_token_seconds_count"] == 2
    tokens = {tuple(sample.labels.values()): sample.value for sample in families["tailrace_tokens"].samples}
    assert tokens["output", "reported"] == 5


async def test_metrics_want_an_admin() -> None:
    """With a key they want it; a user of the application around them is no admin."""
    async with serving(create_app(Settings(admin_key=Secret(ADMIN_KEY)))) as url:
        assert (await ask(url, "GET", "/metrics")).status == 401
        assert (await ask(url, "GET", "/metrics", headers={"x-api-key": ADMIN_KEY})).status == 200

    def alice(request: Request) -> str:
        return "alice"

    app = create_app()
    app.include_router(create_pages(Tailrace(identify=alice)), prefix="/theirs")
    async with serving(app) as url:
        refused = await ask(url, "GET", "/theirs/metrics")
    assert (refused.status, refused.json()["code"]) == (403, "admin_only")


async def test_the_documentation_loads_nothing_from_elsewhere(url: str) -> None:
    """Every address in `/docs` is relative and answered from here, and the policy lets nothing else load."""
    page = await ask(url, "GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    found = LINK.findall(page.body.decode())
    assert len(found) >= 3
    script = await ask(url, "GET", "/docs/start.js")
    found += LINK.findall(script.body.decode())
    assert "openapi.json" in found
    assert b"//" not in page.body + script.body
    for link in found:
        answer = await ask(url, "GET", f"/{link}")
        assert answer.status == 200
        assert len(answer.body) > 50
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert {source for value in policy.values() for source in value.split()} <= {
        "'self'",
        "'none'",
        "'unsafe-inline'",
        "data:",
    }
    assert "<script>" not in page.body.decode()


async def test_the_documentation_has_no_other_files(url: str) -> None:
    """Nothing but the page's own files is read from the disk."""
    for name in ("pages.py", "..%2fpages.py", "%2e%2e%2fpages.py", "swagger-ui.css.map", ""):
        assert (await ask(url, "GET", f"/docs/{name}")).status in (307, 404)


@pytest.mark.parametrize(("path", "name"), [("/", "chat"), ("/dashboard", "dashboard")])
async def test_the_faces_load_nothing_from_elsewhere(url: str, path: str, name: str) -> None:
    """Both pages come whole from here, at addresses that hold below any prefix, and nothing in them is inline."""
    page = await ask(url, "GET", path)
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    found = LINK.findall(page.body.decode())
    assert found == ["assets/icon.svg", f"assets/{name}.css", f"assets/{name}.js"]
    for link in found:
        answer = await ask(url, "GET", f"/{link}")
        assert (answer.status, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert b"sourceMappingURL" not in answer.body
    assert b"<style" not in page.body
    assert b" style=" not in page.body


@pytest.mark.parametrize("path", ["/", "/dashboard"])
async def test_the_faces_policy(url: str, path: str) -> None:
    """No inline script, no string that becomes markup, nothing from elsewhere, and no frame around it."""
    page = await ask(url, "GET", path)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert {source for value in policy.values() for source in value.split()} == {"'self'", "'none'", "'script'"}


@pytest.mark.parametrize("name", ["chat", "dashboard"])
async def test_a_face_is_light(url: str, name: str) -> None:
    """All that a page loads is at most 120 KiB as it goes over the wire behind a proxy that compresses."""
    bodies = [(await ask(url, "GET", f"/assets/{name}.{kind}")).body for kind in ("js", "css")]
    assert sum(len(gzip.compress(body)) for body in bodies) <= 120 * 1024


async def test_the_faces_have_no_other_files(url: str) -> None:
    """Nothing but the pages' own files is read from the disk."""
    for name in ("chat.html", "VERSION", "..%2fpages%2ffaces.py", "swagger-ui.css", ""):
        assert (await ask(url, "GET", f"/assets/{name}")).status == 404


async def test_an_asset_that_is_known_is_not_sent_again(url: str) -> None:
    """A browser asks whether what it has still holds, and is told so in a few bytes."""
    first = await ask(url, "GET", "/assets/chat.js")
    again = await ask(url, "GET", "/assets/chat.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
