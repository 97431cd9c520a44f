"""Choosing a transport: what the settings may say, and what they may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.providers.transport import check_headers, create_transport
from tailrace.providers.transport.pool import PooledTransport
from tailrace.providers.transport.proxied import ProxiedTransport


def test_kind() -> None:
    """Without a proxy the transport is our own, with one it is aiohttp's."""
    assert isinstance(create_transport("https://a", connect_s=1), PooledTransport)
    assert isinstance(create_transport("https://a", connect_s=1, proxy="http://u:p@b:3128"), ProxiedTransport)


@pytest.mark.parametrize(
    "proxy", ["b:3128", "https://canary@b", "socks5://b", "http://", "http://b/canary", "http://b:x"]
)
def test_proxies_that_are_none(proxy: str) -> None:
    """A proxy's URL that can't be used is a ValueError that names the argument and doesn't quote it."""
    with pytest.raises(ValueError, match=r"^proxy .*http://host:port") as caught:
        create_transport("https://a", connect_s=1, proxy=proxy)
    assert "canary" not in str(caught.value)


def test_base_url_is_named() -> None:
    """A wrong base URL is named by its argument."""
    with pytest.raises(ValueError, match=r"^base_url must start with"):
        create_transport("a/v1", connect_s=1)


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "No such file"), ("", "no certificate"), ("hello", "no certificate")]
)
def test_ca_files_that_are_none(tmp_path: Path, text: str | None, reason: str) -> None:
    """A file of authorities that is missing or holds none is refused at once, by name."""
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=f"ca_file .*{reason}"):
        create_transport("https://a", connect_s=1, ca_file=str(path))


def test_headers_from_settings_can_be_checked() -> None:
    """The settings layer can refuse a header before any request is made."""
    check_headers({"HTTP-Referer": "https://example.com", "X-Title": "a b"})
    with pytest.raises(ValueError, match="header Content-Length"):
        check_headers({"Content-Length": "1"})
