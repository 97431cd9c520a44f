"""What Alembic runs for each command: it takes the connection that the caller has opened."""

from __future__ import annotations

from alembic import context

from tailrace.ledger.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
