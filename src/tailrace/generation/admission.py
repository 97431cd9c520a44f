"""Lets a request in: one generation for one idempotency key, within the key's limits and budget, its row committed.

The order is that of cost: election, which costs nothing and spares all the rest; limits; the row; the conversation so
far. Only then does a generation begin, so nothing is ever asked of an upstream that the ledger does not know.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from tailrace.billing import meter_in_force
from tailrace.errors import RequestError, StoreError
from tailrace.generation.accounts import Account
from tailrace.generation.attempts import Attempt
from tailrace.generation.conversations import continue_conversation, fits, write_turns
from tailrace.generation.filing import Filing
from tailrace.generation.generation import Generation
from tailrace.generation.generations import Generations, new_generation_id
from tailrace.generation.reservations import budget_exceeded, estimate_input, estimate_output, reserve
from tailrace.ledger import Budget, Joined, Key, Ledger, Opening, Pico, Scope, Turn
from tailrace.limits import Lease, Limits, Quota
from tailrace.providers import refuse_foreign
from tailrace.settings import OnDisconnect, Settings, StreamSettings

_INLINE_BYTES: Final = 64 << 10
"""A longer conversation is read in a thread, so that it holds nobody up."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came in: who asks, what, of whom, and how the answer is to be kept.

    `scope` is whose usage, conversations and idempotency keys it is: the key's, and its user's. `body_hash` tells
    whether another request with the same `idempotency_key` is the same request; `settings` are other timeouts than
    the generations' own; `chat_id` is the client's name for the chat, if it has one. A `filing` names the generation,
    and a conversation of its own in the session's place.
    """

    scope: Scope
    key: Key
    attempts: tuple[Attempt, ...]
    session_id: str | None = None
    after: str | None = None
    idempotency_key: str | None = None
    body_hash: str | None = None
    on_disconnect: OnDisconnect = "cancel"
    owner: str = ""
    dialect: str = ""
    request_id: str = ""
    settings: StreamSettings | None = None
    chat_id: str | None = None
    filing: Filing | None = None


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A generation that began for this request, and the limits' headers for its answer."""

    generation: Generation
    headers: dict[str, str]


class Admission:
    """The one way in for whatever is to be paid for."""

    def __init__(self, settings: Settings, *, ledger: Ledger, limits: Limits, generations: Generations) -> None:
        self._settings = settings
        self._ledger = ledger
        self._limits = limits
        self._generations = generations
        self._elections: WeakValueDictionary[tuple[Scope, str], asyncio.Lock] = WeakValueDictionary()

    async def admit(self, order: Order) -> Admitted | Joined:
        """Begin a generation, or name the one that this request joins.

        Raises RequestError: 409 and 422 of sessions and idempotency keys, 404 of an unknown `after`, 429 of limits and
        budgets, 403 `model_without_price`, 503 while the server drains or the ledger does not answer.
        """
        try:
            if order.idempotency_key is None:
                return await self._admit_new(order)
            return await self._elect(order, order.idempotency_key)
        except StoreError:
            raise RequestError(
                503, "store_unavailable", "the database does not answer", headers={"retry-after": "1"}
            ) from None

    async def _elect(self, order: Order, idempotency_key: str) -> Admitted | Joined:
        """One after the other, so that the limits refuse none of those that will join the first."""
        lock = self._elections.setdefault((order.scope, idempotency_key), asyncio.Lock())
        async with lock:
            joined = await self._ledger.find_joined(order.scope, idempotency_key, order.body_hash or "")
            return joined or await self._admit_new(order)

    async def _admit_new(self, order: Order) -> Admitted | Joined:
        self._generations.refuse_if_draining()
        asked = order.attempts[0].request
        refuse_foreign(asked, order.attempts[0].provider.kind)
        input_tokens = estimate_input(asked)
        likely = input_tokens + estimate_output(asked)
        lease = await self._limits.acquire(order.key.id, self._quota(order.key), tokens=likely)
        try:
            admitted = await self._open(order, lease, input_tokens)
        except BaseException:
            await lease.cancel()
            raise
        if isinstance(admitted, Joined):
            await lease.cancel()
        return admitted

    async def _open(self, order: Order, lease: Lease, input_tokens: int) -> Admitted | Joined:
        opening, allowance = self._write_opening(order, input_tokens), None
        if (budget := order.key.budget) is not None:
            opening, allowance = await self._within_budget(opening, order, budget)
        opened = await self._ledger.begin(opening)
        if isinstance(opened, Joined):
            return opened
        annex = None if order.filing is None else order.filing.annex
        account = Account(self._ledger, opening, lease, allowance=allowance, annex=annex)
        try:
            generation = await self._start(order, account)
        except BaseException as error:
            await account.withdraw(error)
            raise
        return Admitted(generation=generation, headers=lease.headers)

    async def _start(self, order: Order, account: Account) -> Generation:
        attempts = order.attempts
        if order.session_id is not None:
            attempts = await self._with_history(order.scope, order.session_id, attempts)
            account.input_tokens = estimate_input(attempts[0].request)
            if not any(account.affordable_tokens(attempt.tariff) for attempt in attempts):
                raise budget_exceeded()
        return self._generations.start(
            attempts,
            on_disconnect=order.on_disconnect,
            owner=order.owner,
            dialect=order.dialect,
            request_id=order.request_id,
            settings=order.settings,
            account=account,
            chat_id=order.chat_id,
            filing=order.filing,
        )

    async def _with_history(self, scope: Scope, session_id: str, attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        """The attempts with the conversation so far, read once it is ours: nobody else can add to it now."""
        history = await self._ledger.history(scope, session_id)
        cap = self._settings.sessions.history_tokens
        if not history:
            return attempts  # deleted in the meantime
        if fits(history, min(cap, _INLINE_BYTES)):
            return _continue(history, attempts, cap=cap)
        return await asyncio.to_thread(_continue, history, attempts, cap=cap)

    def _write_opening(self, order: Order, input_tokens: int) -> Opening:
        first = order.attempts[0]
        now = time.time()
        session_id, turns = _conversation(order, now)
        return Opening(
            id=new_generation_id() if order.filing is None else order.filing.generation_id,
            created_at=now,
            scope=order.scope,
            provider=first.provider.name,
            model=first.name,
            input_tokens=input_tokens,
            session_id=session_id,
            turns=turns,
            after=order.after,
            idempotency_key=order.idempotency_key,
            body_hash=order.body_hash,
            price=first.tariff.price(input_tokens),
            customer=order.key.stripe_customer,
            meter=meter_in_force(self._settings),
        )

    async def _within_budget(self, opening: Opening, order: Order, budget: Budget) -> tuple[Opening, Pico]:
        """The opening with what it reserves of the key's budget, and how much it may cost at most."""
        left = budget.amount - await self._ledger.spent(order.key.id, budget)
        reserved = reserve(order.attempts, left=left)
        return msgspec.structs.replace(opening, reserved=reserved, budget=budget), left

    def _quota(self, key: Key) -> Quota:
        """The key's own limits, else those of `[limits]`."""
        default = self._settings.limits
        return Quota(
            rpm=default.rpm if key.rpm is None else key.rpm,
            tpm=default.tpm if key.tpm is None else key.tpm,
            max_streams=default.max_streams if key.max_streams is None else key.max_streams,
        )


def _conversation(order: Order, now: float) -> tuple[str | None, tuple[Turn, ...]]:
    """The session that keeps the answer, and what it keeps of the request."""
    if order.filing is not None and order.filing.session_id is not None:
        return order.filing.session_id, order.filing.turns
    if order.session_id is None:
        return None, ()
    return order.session_id, write_turns(order.attempts[0].request.messages, now=now)


def _continue(history: list[Turn], attempts: tuple[Attempt, ...], *, cap: int) -> tuple[Attempt, ...]:
    return tuple(
        msgspec.structs.replace(attempt, request=continue_conversation(history, attempt.request, cap=cap))
        for attempt in attempts
    )
