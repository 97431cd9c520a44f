"""The contract of the ledger: what lasts. Keys, one row for each generation, conversations, and what is to be billed.

Money is in pico-USD (10^-12 USD), whole numbers, so that a price of 0.0125 USD per million tokens is exact. Times are
Unix time in seconds, UTC. Everything that a key's holder sees is scoped by `Scope`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from tailrace.events import UsageSource
from tailrace.ledger.reports import Grouping, Latency, Point, Spending, Split, Step, Total

Pico: TypeAlias = int
Status: TypeAlias = Literal["running", "finished", "aborted", "failed", "interrupted"]
Period: TypeAlias = Literal["day", "month", "total"]


class _Value(msgspec.Struct, frozen=True):
    pass


class Scope(_Value, frozen=True, kw_only=True):
    """Whose things: a key, and below it the application's user, if it names users.

    Usage is filtered by it: None stands for everyone's (an admin's view). Conversations and idempotency keys belong to
    exactly this key and this user: there None is a holder of its own, the one without a name.
    """

    key_id: str | None = None
    user: str | None = None


class Budget(_Value, frozen=True, kw_only=True):
    """How much a key may spend in each period; days and months are UTC's."""

    amount: Pico
    period: Period


class Price(_Value, frozen=True, kw_only=True):
    """What a token costs: pico-USD each. Cached input tokens are part of the input tokens, at their own price."""

    input: Pico
    cached_input: Pico
    output: Pico


class Key(_Value, frozen=True, kw_only=True):
    """An API key as it is kept: never its secret. None is no limit, or never."""

    id: str
    name: str
    created_at: float
    admin: bool = False
    rpm: int | None = None
    tpm: int | None = None
    max_streams: int | None = None
    budget: Budget | None = None
    models: tuple[str, ...] | None = None
    stripe_customer: str | None = None
    on_disconnect: str | None = None
    expires_at: float | None = None
    revoked_at: float | None = None


class Turn(_Value, frozen=True, kw_only=True):
    """One message of a conversation; `content` is the JSON of its parts (`tailrace.requests.Part`).

    `status` is "whole", or "partial" for an answer that was not finished.
    """

    id: str
    role: Literal["system", "user", "assistant", "tool"]
    content: bytes
    created_at: float
    status: Literal["whole", "partial"] = "whole"
    generation_id: str | None = None


class Opening(_Value, frozen=True, kw_only=True):
    """A generation before anything of it is paid for.

    `input_tokens` is the estimate. `reserved` counts against `budget` until it is settled. `turns` are the client's
    new messages, kept in the session in the same transaction; `after` names the message behind which the session is
    cut first. Days and months of a budget are those of `created_at`. `price`, `customer` and `meter` are what a row
    is priced by and billed to if its owner dies; an owner that lives says so in its `Settlement`.
    """

    id: str
    created_at: float
    scope: Scope
    provider: str
    model: str
    input_tokens: int
    session_id: str | None = None
    turns: tuple[Turn, ...] = ()
    after: str | None = None
    idempotency_key: str | None = None
    body_hash: str | None = None
    reserved: Pico = 0
    budget: Budget | None = None
    price: Price | None = None
    customer: str | None = None
    meter: str | None = None


class Opened(_Value, frozen=True, kw_only=True):
    """The row is committed: the upstream may be asked."""


class Joined(_Value, frozen=True, kw_only=True):
    """Another request with the same idempotency key was first: read its generation."""

    generation_id: str


class Count(_Value, frozen=True, kw_only=True):
    """What a running generation has come to; `input_tokens` is None until the upstream has said it."""

    output_tokens: int
    delivered_tokens: int
    input_tokens: int | None = None


class Bill(_Value, frozen=True, kw_only=True):
    """What the billing service is to be told: `value` units on `meter` for `customer`."""

    customer: str
    meter: str
    value: int


class Settlement(_Value, frozen=True, kw_only=True):
    """The final figures. `answer` joins the session, `bill` the outbox, all in one transaction.

    `provider` and `model` are those that answered; None where they are the opening's. An answer whose session was
    deleted meanwhile is dropped.
    """

    id: str
    status: Literal["finished", "aborted", "failed", "interrupted"]
    reason: str
    input_tokens: int | None
    output_tokens: int
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None
    source: UsageSource
    delivered_tokens: int
    cost: Pico | None = None
    price: Price | None = None
    ttft_ms: float | None = None
    duration_ms: float
    settled_at: float
    answer: Turn | None = None
    bill: Bill | None = None
    frees_idempotency_key: bool = False
    provider: str | None = None
    model: str | None = None


class Row(_Value, frozen=True, kw_only=True):
    """A generation as the ledger holds it; figures of a running one are those of its last checkpoint."""

    id: str
    created_at: float
    scope: Scope
    provider: str
    model: str
    session_id: str | None
    status: Status
    reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    cached_input_tokens: int | None
    source: UsageSource | None
    delivered_tokens: int | None
    cost: Pico | None
    price: Price | None
    ttft_ms: float | None
    duration_ms: float | None


class SessionInfo(_Value, frozen=True, kw_only=True):
    """A conversation's face."""

    id: str
    title: str
    created_at: float
    updated_at: float


class Page(_Value, frozen=True, kw_only=True):
    """Some rows, newest first, and the cursor for those that follow; None where none do."""

    items: tuple[Any, ...]
    next_cursor: str | None


class Parcel(_Value, frozen=True, kw_only=True):
    """One bill in the outbox. `doubted_since` is when an answer of the billing service was first lost."""

    generation_id: str
    bill: Bill
    created_at: float
    attempts: int
    doubted_since: float | None


class Ledger(ABC):
    """The ledger of one process, which holds a lock that the system frees at its death.

    Rows are opened and settled by their owner, this process; a row whose owner's lock is free is swept to
    `interrupted` by whoever sees it first. Settling is `UPDATE … WHERE status='running' AND owner=me`.

    Every method is called on the event loop that ran `open`, and from `open`'s return to `close`'s call. Where it
    says nothing else, a method raises StoreError while the database does not answer, and a text that no database
    can hold (a NUL, half a surrogate pair) is refused with RequestError 422 `invalid_text`, or finds nothing.
    """

    # Life

    @abstractmethod
    async def open(self) -> None:
        """Connect, bring the schema up to date (SQLite) or check it (elsewhere), take the lock, apply the spool, sweep.

        A ledger that does not serve (the command line's) takes no lock and never sweeps: it opens no generation.

        Raises SettingsError: the data folder is another process's, the schema is old (says `tailrace db upgrade`), the
        database does not answer.
        """

    @abstractmethod
    async def close(self) -> None:
        """Write what waits, give the lock back, disconnect."""

    # Generations

    @abstractmethod
    async def begin(self, opening: Opening) -> Opened | Joined:
        """Commit the row, its reservation and its session's new turns; concurrent calls share one transaction.

        Raises RequestError: 422 `idempotency_mismatch`, 409 `session_busy` (the running generation's id in the message
        and in the `x-tailrace-stream` header), 404 `message_not_found` for an unknown `after`, 429 `budget_exceeded`;
        StoreError where the database does not answer. A row whose opening was not answered, because it raised or was
        cancelled, is settled by the next sweep without any usage.
        """

    @abstractmethod
    async def find_joined(self, scope: Scope, idempotency_key: str, body_hash: str) -> Joined | None:
        """The generation that this key elected before, within 24 h. Raises RequestError 422 for another body."""

    @abstractmethod
    def checkpoint(self, counts: Mapping[str, Count]) -> None:
        """Note what every running generation has come to, as one record; replaces the last one. Never blocks."""

    @abstractmethod
    async def settle(self, settlement: Settlement, *, patient: bool = False) -> bool:
        """Write the final figures, once. False: another process has taken the row over, and the figures are dropped.

        A `patient` one, which nobody waits for, may itself wait some ms, to be written in one transaction with others.
        While the database is down the settlement waits in a spool on disk and True is returned. It is written even
        where the caller is cancelled.
        """

    @abstractmethod
    async def sweep(self) -> list[str]:
        """Settle as `interrupted` the rows whose owner is dead; return their ids. Call it every 2 s.

        The figures are those of the last checkpoint, the label is "estimated". A row without any output gives its
        idempotency key back. It also forgets, a few at a time, the conversations of stored responses (`sessions`) that
        nobody has used for 30 days.
        """

    @abstractmethod
    async def lost(self) -> list[str]:
        """Generations of this process that another has taken over: stop them, their figures will be dropped.

        Only a broken connection to PostgreSQL, which frees the lock of a process that lives, can lead to it.
        """

    @abstractmethod
    async def inherit(self, generation_id: str) -> bool:
        """Settle as `interrupted` a row whose log this process has taken over, though its owner may still live.

        The figures are those of the owner's last checkpoint; what the owner settles later is dropped. False where the
        row runs no longer.
        """

    @abstractmethod
    def forfeit(self, generation_id: str) -> None:
        """Leave a row of this process to whoever has taken its log over: nothing more is written to it here."""

    @abstractmethod
    async def spent(self, key_id: str, budget: Budget) -> Pico:
        """Settled costs and open reservations of the budget's current period."""

    @abstractmethod
    async def rows(self, scope: Scope, *, limit: int, cursor: str | None = None, running: bool = False) -> Page:
        """`Row`s, newest first, or only those that run. Raises RequestError 400 for a cursor that is none."""

    @abstractmethod
    async def row(self, generation_id: str) -> Row | None:
        """The row with this id, whosever it is."""

    @abstractmethod
    async def totals(self, scope: Scope, *, by: Grouping, since: float) -> list[Total]:
        """Settled usage since then, by key, model, UTC day or status."""

    @abstractmethod
    async def points(self, *, step: Step, split: Split, since: float) -> list[Point]:
        """Everyone's settled usage since then in steps of time (UTC's), each split into groups; the earliest first."""

    @abstractmethod
    async def latencies(self, *, since: float) -> list[Latency]:
        """How long everyone's settled answers since then took: all together, then each model's."""

    @abstractmethod
    async def spending(self) -> list[Spending]:
        """What each key that ever spent something has spent and reserved."""

    # Keys

    @abstractmethod
    async def add_key(self, key: Key, secret_hash: bytes) -> None:
        """Keep a new key with the SHA-256 of its secret."""

    @abstractmethod
    async def change_key(self, key: Key) -> bool:
        """Replace all but the secret; a revocation stays, whatever `key` says. False where there is no such key."""

    @abstractmethod
    async def find_key(self, key_id: str) -> tuple[Key, bytes] | None:
        """The key and its secret's hash, revoked and expired ones too."""

    @abstractmethod
    async def keys(self) -> list[Key]:
        """All of them, oldest first."""

    @abstractmethod
    async def key_version(self) -> int:
        """A number that grows with every change of any key: poll it, and forget what was cached when it has grown."""

    @abstractmethod
    async def signing_secret(self) -> bytes:
        """32 random bytes, made once for the whole installation: browser tokens are signed with them."""

    # Sessions

    @abstractmethod
    async def history(self, scope: Scope, session_id: str) -> list[Turn]:
        """The conversation in order; empty where it has not begun."""

    @abstractmethod
    async def sessions(self, scope: Scope, *, limit: int, cursor: str | None = None) -> Page:
        """`SessionInfo`s, the last used first; none whose id begins with `resp_`, which are stored responses' own."""

    @abstractmethod
    async def delete_session(self, scope: Scope, session_id: str) -> bool:
        """Forget a conversation; usage rows stay. False where there is none."""

    @abstractmethod
    async def renew_sessions(self, scope: Scope, session_ids: Sequence[str]) -> None:
        """Say that these conversations are used, the oldest named first; those that there are not are passed over."""

    # Outbox

    @abstractmethod
    async def due_parcels(self, *, limit: int) -> Sequence[Parcel]:
        """Bills to be sent, oldest first, leased to this process for a minute.

        At most one for each customer and meter, and none while another process holds one of them. A lease that ran
        out without a word puts its bill in doubt from when it began: who held it may have died after sending.
        """

    @abstractmethod
    async def parcel_sent(self, generation_id: str) -> None:
        """The billing service has it."""

    @abstractmethod
    async def parcel_failed(self, generation_id: str, *, retry_at: float, error: str, doubtful: bool) -> None:
        """Not now. `doubtful`: the answer was lost, so it may have been taken."""

    @abstractmethod
    async def parcel_given_up(self, generation_id: str, *, error: str) -> None:
        """After 24 h of doubt, or refused for good: kept, reported, and never sent again."""
