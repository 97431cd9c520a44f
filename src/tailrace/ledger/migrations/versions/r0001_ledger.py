"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None


def upgrade() -> None:
    """Make them all, and what must be in them from the start."""
    _create_keys()
    _create_generations()
    _create_spend()
    _create_sessions()
    _create_outbox()


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _wholes(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=nullable) for name in names]


def _times(*names: str, nullable: bool = False) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double(), nullable=nullable) for name in names]


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _create_keys() -> None:
    op.create_table(
        "keys",
        *_texts("id"),
        _bytes("secret_hash"),
        *_texts("name"),
        *_times("created_at"),
        sa.Column("admin", sa.Boolean(), nullable=False),
        *_wholes("rpm", "tpm", "max_streams", "budget_amount", nullable=True),
        *_texts("budget_period", "models", "stripe_customer", "on_disconnect", nullable=True),
        *_times("expires_at", "revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    versions = op.create_table("versions", *_texts("name"), *_wholes("number"), sa.PrimaryKeyConstraint("name"))
    op.bulk_insert(versions, [{"name": "keys", "number": 0}, {"name": "outbox", "number": 0}])
    op.create_table("secrets", *_texts("name"), _bytes("value"), sa.PrimaryKeyConstraint("name"))


def _create_generations() -> None:
    op.create_table(
        "generations",
        *_texts("id"),
        *_times("created_at"),
        *_wholes("day"),
        *_texts("key_id", "user_name", "provider", "model"),
        *_texts("session_id", "idempotency_key", "body_hash", nullable=True),
        *_texts("owner", "status"),
        *_texts("reason", nullable=True),
        *_wholes("input_tokens", "output_tokens", "reasoning_tokens", "cached_input_tokens", nullable=True),
        *_texts("source", nullable=True),
        *_wholes("delivered_tokens", nullable=True),
        *_wholes("reserved"),
        *_wholes("cost", "price_input", "price_cached_input", "price_output", nullable=True),
        *_texts("customer", "meter", nullable=True),
        *_times("ttft_ms", "duration_ms", "settled_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("generations_newest", "generations", ["created_at", "id"])
    op.create_index("generations_newest_of_key", "generations", ["key_id", "created_at", "id"])
    _create_partial_index("generations_running", "generations", ["owner"], where="status = 'running'")
    _create_partial_index(
        "generations_elected",
        "generations",
        ["key_id", "user_name", "idempotency_key"],
        where="idempotency_key IS NOT NULL",
        unique=True,
    )
    _create_partial_index(
        "generations_in_session",
        "generations",
        ["key_id", "user_name", "session_id"],
        where="status = 'running' AND session_id IS NOT NULL",
        unique=True,
    )
    op.create_table(
        "checkpoints", *_texts("owner"), *_times("written_at"), _bytes("counts"), sa.PrimaryKeyConstraint("owner")
    )


def _create_partial_index(name: str, table: str, columns: list[str], *, where: str, unique: bool = False) -> None:
    only = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=only, postgresql_where=only)


def _create_spend() -> None:
    op.create_table(
        "spend",
        *_texts("key_id", "period", "starts"),
        *_wholes("settled", "reserved"),
        sa.PrimaryKeyConstraint("key_id", "period", "starts"),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("number", _number(), autoincrement=True, nullable=False),
        *_texts("key_id", "user_name", "id", "title"),
        *_times("created_at", "updated_at"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("key_id", "user_name", "id", name="sessions_id"),
    )
    op.create_index("sessions_newest", "sessions", ["key_id", "user_name", "updated_at", "id"])
    op.create_table(
        "turns",
        sa.Column("session", _number(), sa.ForeignKey("sessions.number", ondelete="CASCADE"), nullable=False),
        sa.Column("place", _number(), autoincrement=False, nullable=False),
        *_texts("id", "role"),
        _bytes("content"),
        *_times("created_at"),
        *_texts("status"),
        *_texts("generation_id", nullable=True),
        sa.PrimaryKeyConstraint("session", "place"),
    )
    op.create_index("turns_id", "turns", ["session", "id"])


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        *_texts("generation_id", "customer", "meter"),
        *_wholes("value"),
        *_times("created_at"),
        *_texts("state"),
        *_wholes("attempts"),
        *_times("due_at"),
        *_texts("leased_by", nullable=True),
        *_times("leased_until"),
        *_times("doubted_since", nullable=True),
        *_texts("error", nullable=True),
        *_times("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("generation_id"),
    )
    _create_partial_index("outbox_waiting", "outbox", ["customer", "meter", "created_at"], where="state = 'waiting'")
