"""The tables, once for both databases. Migrations make them; a test holds the two together."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

METADATA: Final = sa.MetaData()

_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Of a row that numbers itself: SQLite does so only for its own INTEGER."""


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, **options)


def _whole(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=nullable)


KEYS: Final = sa.Table(
    "keys",
    METADATA,
    _text("id", primary_key=True),
    sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
    _text("name"),
    _time("created_at"),
    sa.Column("admin", sa.Boolean(), nullable=False),
    _whole("rpm", nullable=True),
    _whole("tpm", nullable=True),
    _whole("max_streams", nullable=True),
    _whole("budget_amount", nullable=True),
    sa.Column("budget_period", sa.Text()),
    sa.Column("models", sa.Text()),
    sa.Column("stripe_customer", sa.Text()),
    sa.Column("on_disconnect", sa.Text()),
    _time("expires_at", nullable=True),
    _time("revoked_at", nullable=True),
)
"""API keys. `models` is a JSON list."""

VERSIONS: Final = sa.Table("versions", METADATA, _text("name", primary_key=True), _whole("number"))
"""Numbers that grow with each change of what they are named for: `keys`, and `outbox` with each lease."""

SECRETS: Final = sa.Table(
    "secrets", METADATA, _text("name", primary_key=True), sa.Column("value", sa.LargeBinary(), nullable=False)
)
"""What is made once for the whole installation."""

GENERATIONS: Final = sa.Table(
    "generations",
    METADATA,
    _text("id", primary_key=True),
    _time("created_at"),
    _whole("day"),
    _text("key_id"),
    _text("user_name"),
    _text("provider"),
    _text("model"),
    sa.Column("session_id", sa.Text()),
    sa.Column("idempotency_key", sa.Text()),
    sa.Column("body_hash", sa.Text()),
    _text("owner"),
    _text("status"),
    sa.Column("reason", sa.Text()),
    _whole("input_tokens", nullable=True),
    _whole("output_tokens", nullable=True),
    _whole("reasoning_tokens", nullable=True),
    _whole("cached_input_tokens", nullable=True),
    sa.Column("source", sa.Text()),
    _whole("delivered_tokens", nullable=True),
    _whole("reserved"),
    _whole("cost", nullable=True),
    _whole("price_input", nullable=True),
    _whole("price_cached_input", nullable=True),
    _whole("price_output", nullable=True),
    sa.Column("customer", sa.Text()),
    sa.Column("meter", sa.Text()),
    _time("ttft_ms", nullable=True),
    _time("duration_ms", nullable=True),
    _time("settled_at", nullable=True),
)
"""One row for each answer. `day` counts UTC's days since 1970; `key_id` and `user_name` are empty where none is named.

Until it is settled `input_tokens` is the opening's estimate, and `output_tokens` is null unless it was taken over.
"""

_RUNNING: Final = sa.text("status = 'running'")

sa.Index("generations_newest", GENERATIONS.c.created_at, GENERATIONS.c.id)
sa.Index("generations_newest_of_key", GENERATIONS.c.key_id, GENERATIONS.c.created_at, GENERATIONS.c.id)
sa.Index("generations_running", GENERATIONS.c.owner, sqlite_where=_RUNNING, postgresql_where=_RUNNING)
_HAS_KEY: Final = sa.text("idempotency_key IS NOT NULL")
sa.Index(
    "generations_elected",
    GENERATIONS.c.key_id,
    GENERATIONS.c.user_name,
    GENERATIONS.c.idempotency_key,
    unique=True,
    sqlite_where=_HAS_KEY,
    postgresql_where=_HAS_KEY,
)
_IN_SESSION: Final = sa.text("status = 'running' AND session_id IS NOT NULL")
sa.Index(
    "generations_in_session",
    GENERATIONS.c.key_id,
    GENERATIONS.c.user_name,
    GENERATIONS.c.session_id,
    unique=True,
    sqlite_where=_IN_SESSION,
    postgresql_where=_IN_SESSION,
)

CHECKPOINTS: Final = sa.Table(
    "checkpoints",
    METADATA,
    _text("owner", primary_key=True),
    _time("written_at"),
    sa.Column("counts", sa.LargeBinary(), nullable=False),
)
"""What each process's running generations have come to: one record a process, its counts in MessagePack."""

SPEND: Final = sa.Table(
    "spend",
    METADATA,
    _text("key_id", primary_key=True),
    _text("period", primary_key=True),
    _text("starts", primary_key=True),
    _whole("settled"),
    _whole("reserved"),
)
"""What each key has spent and reserved in each day ("2026-01-31"), each month ("2026-01") and in all ("")."""

SESSIONS: Final = sa.Table(
    "sessions",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    _text("key_id"),
    _text("user_name"),
    _text("id"),
    _text("title"),
    _time("created_at"),
    _time("updated_at"),
    sa.UniqueConstraint("key_id", "user_name", "id", name="sessions_id"),
)
"""Conversations; an id is unique within its key and user."""

sa.Index("sessions_newest", SESSIONS.c.key_id, SESSIONS.c.user_name, SESSIONS.c.updated_at, SESSIONS.c.id)

TURNS: Final = sa.Table(
    "turns",
    METADATA,
    sa.Column("session", _NUMBER, sa.ForeignKey("sessions.number", ondelete="CASCADE"), primary_key=True),
    sa.Column("place", _NUMBER, primary_key=True, autoincrement=False),
    _text("id"),
    _text("role"),
    sa.Column("content", sa.LargeBinary(), nullable=False),
    _time("created_at"),
    _text("status"),
    sa.Column("generation_id", sa.Text()),
)
"""The messages of a conversation, in their places."""

sa.Index("turns_id", TURNS.c.session, TURNS.c.id)

OUTBOX: Final = sa.Table(
    "outbox",
    METADATA,
    _text("generation_id", primary_key=True),
    _text("customer"),
    _text("meter"),
    _whole("value"),
    _time("created_at"),
    _text("state"),
    _whole("attempts"),
    _time("due_at"),
    sa.Column("leased_by", sa.Text()),
    _time("leased_until"),
    _time("doubted_since", nullable=True),
    sa.Column("error", sa.Text()),
    _time("ended_at", nullable=True),
)
"""What the billing service is to be told; `state` is "waiting", "sent" or "given_up"."""

_WAITING: Final = sa.text("state = 'waiting'")
sa.Index(
    "outbox_waiting",
    OUTBOX.c.customer,
    OUTBOX.c.meter,
    OUTBOX.c.created_at,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
