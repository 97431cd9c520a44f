"""A key as its admin sees it: everything but the secret."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tailrace.keys.budgets import show_budget
from tailrace.ledger import Key


class KeyFace(BaseModel):
    """A key; null is no limit, or never. Times are Unix time in seconds."""

    id: str
    name: str
    admin: bool
    rpm: int | None
    tpm: int | None
    max_streams: int | None
    budget_usd: str | None
    models: list[str] | None
    stripe_customer: str | None
    on_disconnect: str | float | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class MadeKeyFace(KeyFace):
    """A new key; `key` is its text, which is shown this once."""

    key: str


class KeyList(BaseModel):
    """All keys, oldest first, the revoked ones too."""

    data: list[KeyFace]


def describe(key: Key) -> dict[str, Any]:
    """The fields of `KeyFace`."""
    return {
        "id": key.id,
        "name": key.name,
        "admin": key.admin,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "max_streams": key.max_streams,
        "budget_usd": None if key.budget is None else show_budget(key.budget),
        "models": None if key.models is None else list(key.models),
        "stripe_customer": key.stripe_customer,
        "on_disconnect": _policy(key.on_disconnect),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _policy(kept: str | None) -> str | float | None:
    return kept if kept in (None, "cancel", "continue") else float(kept)
