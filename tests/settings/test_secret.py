"""Where secrets come from, and that none of them shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.settings.loading import loaded, refusal

from tailrace.settings import (
    Secret,
    read,
)

CANARY = "canary-4f1d"


def test_secrets_come_from_variables_and_files(folder: Path) -> None:
    """`env:NAME` and `file:PATH` stand for what is there; of a file, one line's end is not part of it."""
    (folder / "secret").write_bytes(b"from file\r\n")
    toml = "[providers.openai]\napi_key = 'env:NAME'\n[providers.anthropic]\napi_key = 'file:secret'"
    providers = loaded(folder, toml, {"NAME": "from variable"}).providers
    assert [Secret("from variable"), Secret("from file")] == [
        providers["openai"].api_key,
        providers["anthropic"].api_key,
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff"])
def test_a_file_without_a_secret_is_refused(folder: Path, content: bytes) -> None:
    """An empty file, one of several lines or of bytes is no secret; what it holds is not shown."""
    (folder / "secret").write_bytes(content)
    refused = refusal(folder, "[providers.openai]\napi_key = 'file:secret'")
    assert refused.startswith("tailrace.toml: [providers.openai] api_key: ")
    assert "two" not in refused


def test_no_secret_shows(folder: Path) -> None:
    """A canary in every secret's place is in neither `repr` nor `str` nor the description."""
    environ = {
        "OPENAI_API_KEY": CANARY,
        "STRIPE_API_KEY": CANARY,
        "TAILRACE_REDIS_URL": f"redis://:{CANARY}@h:6379/0",
        "TAILRACE_DATABASE_URL": f"postgresql://u:{CANARY}@h/db?password={CANARY}",
        "TAILRACE_ADMIN_KEY": f"tr_admin_{CANARY * 5}",
    }
    (folder / "tailrace.toml").write_text(
        f"[providers.own]\nkind = 'openai'\napi_key = '{CANARY}'\nheaders = {{Authorization = '{CANARY}'}}\n"
        f"proxy = 'http://u:{CANARY}@h:1'"
    )
    reading = read({}, environ, folder)
    described = " ".join(f"{setting.key}{setting.value}{setting.where}" for setting in reading.describe())
    assert CANARY not in f"{reading.settings!r}{reading.settings}{described}"
    assert "redis://***@h:6379/0" in described
    assert "postgresql://***@h/db?***" in described


@pytest.mark.parametrize(
    "environ",
    [
        {"TAILRACE_ADMIN_KEY": CANARY},
        {"TAILRACE_REDIS_URL": f"http://:{CANARY}@h"},
        {"TAILRACE_DATABASE_URL": f"mysql://u:{CANARY}@h/db"},
        {"OPENAI_BASE_URL": f"https://u:{CANARY}@h/v1"},
        {"OPENAI_BASE_URL": f"u:{CANARY}@h/v1"},
        {"OPENAI_BASE_URL": f"https://u:{CANARY}@h:99999/v1"},
        {"OPENAI_BASE_URL": f"h/v1?key={CANARY}"},
        {"OPENAI_API_KEY": f"{CANARY}\x00"},
        {"OLLAMA_HOST": f"http://u:{CANARY}@h"},
    ],
)
def test_no_secret_shows_in_a_refusal(folder: Path, environ: dict[str, str]) -> None:
    """What may hold a secret is refused without being shown."""
    assert CANARY not in refusal(folder, "", environ)
