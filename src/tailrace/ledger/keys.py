"""API keys, the number that says when any of them changed, and the secret that browser tokens are signed with."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.ledger.base import Budget, Key
from tailrace.ledger.database import Query, Work

_COLUMNS: Final = """id, name, created_at, admin, rpm, tpm, max_streams, budget_amount, budget_period, models,
        stripe_customer, on_disconnect, expires_at, revoked_at"""

_ADD: Final = Query(f"""-- Keep a new key.
    INSERT INTO keys ({_COLUMNS}, secret_hash)
    VALUES (:id, :name, :created_at, :admin, :rpm, :tpm, :max_streams, :budget_amount, :budget_period, :models,
        :stripe_customer, :on_disconnect, :expires_at, :revoked_at, :secret_hash)
    ON CONFLICT DO NOTHING RETURNING id""")  # noqa: S608 - of our own words only

_CHANGE: Final = Query("""-- Replace all of a key but its secret.
    UPDATE keys SET name = :name, created_at = :created_at, admin = :admin, rpm = :rpm, tpm = :tpm,
        max_streams = :max_streams, budget_amount = :budget_amount, budget_period = :budget_period, models = :models,
        stripe_customer = :stripe_customer, on_disconnect = :on_disconnect, expires_at = :expires_at,
        revoked_at = COALESCE(revoked_at, :revoked_at)
    WHERE id = :id RETURNING id""")

_FIND: Final = Query(f"""-- One key, with its secret's hash.
    SELECT {_COLUMNS}, secret_hash FROM keys WHERE id = :id""")  # noqa: S608

_LIST: Final = Query(f"""-- All keys, oldest first.
    SELECT {_COLUMNS} FROM keys ORDER BY created_at, id""")  # noqa: S608

_COUNT_CHANGE: Final = Query("""-- Tell every process that a key has changed.
    UPDATE versions SET number = number + 1 WHERE name = 'keys'""")

_VERSION: Final = Query("""-- How often a key has changed.
    SELECT number FROM versions WHERE name = 'keys'""")

_MAKE_SECRET: Final = Query("""-- Keep a secret, unless there is one of this name.
    INSERT INTO secrets (name, value) VALUES ('signing', :value) ON CONFLICT DO NOTHING""")

_SECRET: Final = Query("""-- The secret that tokens are signed with.
    SELECT value FROM secrets WHERE name = 'signing'""")


def add_key(key: Key, secret_hash: bytes) -> Work[bool]:
    """Keep a new key; False where its id is taken."""
    added = yield _ADD, {**_values(key), "secret_hash": secret_hash}
    if added:
        yield _COUNT_CHANGE, {}
    return bool(added)


def change_key(key: Key) -> Work[bool]:
    """Replace all of a key but its secret; False where there is none."""
    changed = yield _CHANGE, _values(key)
    if changed:
        yield _COUNT_CHANGE, {}
    return bool(changed)


def find_key(key_id: str) -> Work[tuple[Key, bytes] | None]:
    """The key with this id, and its secret's hash."""
    found = yield _FIND, {"id": key_id}
    return (_key(found[0]), bytes(found[0][-1])) if found else None


def list_keys() -> Work[list[Key]]:
    """All keys, oldest first."""
    found = yield _LIST, {}
    return [_key(row) for row in found]


def key_version() -> Work[int]:
    """How often a key has changed."""
    found = yield _VERSION, {}
    return int(found[0][0])


def signing_secret() -> Work[bytes]:
    """The installation's secret, made at the first call."""
    yield _MAKE_SECRET, {"value": secrets.token_bytes(32)}
    found = yield _SECRET, {}
    return bytes(found[0][0])


def _values(key: Key) -> dict[str, Any]:
    budget = key.budget
    return {
        "id": key.id,
        "name": key.name,
        "created_at": key.created_at,
        "admin": key.admin,
        "rpm": key.rpm,
        "tpm": key.tpm,
        "max_streams": key.max_streams,
        "budget_amount": None if budget is None else budget.amount,
        "budget_period": None if budget is None else budget.period,
        "models": None if key.models is None else msgspec.json.encode(key.models).decode(),
        "stripe_customer": key.stripe_customer,
        "on_disconnect": key.on_disconnect,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _key(row: Sequence[Any]) -> Key:
    id_, name, created_at, admin, rpm, tpm, max_streams, amount, period, models, customer, policy, expires, revoked = (
        row[:14]
    )
    return Key(
        id=id_,
        name=name,
        created_at=created_at,
        admin=bool(admin),
        rpm=rpm,
        tpm=tpm,
        max_streams=max_streams,
        budget=None if amount is None else Budget(amount=amount, period=period),
        models=None if models is None else msgspec.json.decode(models, type=tuple[str, ...]),
        stripe_customer=customer,
        on_disconnect=policy,
        expires_at=expires,
        revoked_at=revoked,
    )
