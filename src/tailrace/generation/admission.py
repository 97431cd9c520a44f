"""Lets a request in: one generation for one idempotency key, within the key's limits and budget, its row committed.

The order is that of cost: election, which costs nothing and spares all the rest; limits; the conversation so far; the
row. Only then does a generation begin, so nothing is ever asked of an upstream that the ledger does not know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from tailrace import tokens
from tailrace.billing import meter_in_force
from tailrace.errors import RequestError, StoreError
from tailrace.generation.accounts import Account
from tailrace.generation.conversations import continue_conversation, write_turns
from tailrace.generation.generation import Attempt, Generation
from tailrace.generation.generations import Generations, new_generation_id
from tailrace.ledger import Budget, Joined, Key, Ledger, Opening, Pico, Price, Scope, cost_of
from tailrace.limits import Lease, Limits, Quota
from tailrace.requests import ChatRequest
from tailrace.settings import OnDisconnect, Settings, StreamSettings

_BYTES_PER_TOKEN: Final = 4
_LIKELY_OUTPUT: Final = 1000
"""Tokens that an answer without a cap is reserved for; the truth replaces it when the answer has ended."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came in: who asks, what, of whom, and how the answer is to be kept.

    `scope` is whose usage, conversations and idempotency keys it is: the key's, and its user's. `body_hash` tells
    whether another request with the same `idempotency_key` is the same request; `settings` are other timeouts than
    the generations' own.
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

    async def admit(self, order: Order) -> Admitted | Joined:
        """Begin a generation, or name the one that this request joins.

        Raises RequestError: 409 and 422 of sessions and idempotency keys, 429 of limits and budgets, 403
        `model_without_price`, 503 while the server drains or the ledger does not answer.
        """
        try:
            if (joined := await self._find_joined(order)) is not None:
                return joined
            return await self._admit_new(order)
        except StoreError:
            raise RequestError(
                503, "ledger_unavailable", "the ledger does not answer; try again", headers={"retry-after": "1"}
            ) from None

    async def _find_joined(self, order: Order) -> Joined | None:
        if order.idempotency_key is None or order.body_hash is None:
            return None
        return await self._ledger.find_joined(order.scope, order.idempotency_key, order.body_hash)

    async def _admit_new(self, order: Order) -> Admitted | Joined:
        asked = order.attempts[0].request
        likely = _estimate_input(asked) + _estimate_output(asked)
        lease = await self._limits.acquire(order.key.id, self._quota(order.key), tokens=likely)
        try:
            admitted = await self._open(order, lease)
        except BaseException:
            await lease.cancel()
            raise
        if isinstance(admitted, Joined):
            await lease.cancel()
        return admitted

    async def _open(self, order: Order, lease: Lease) -> Admitted | Joined:
        self._generations.refuse_if_draining()
        opening, allowance = await self._write_opening(order)
        opened = await self._ledger.begin(opening)
        if isinstance(opened, Joined):
            return opened
        account = Account(self._ledger, opening, lease, allowance=allowance)
        try:
            generation = await self._start(order, account)
        except BaseException:
            await account.withdraw()
            raise
        return Admitted(generation=generation, headers=lease.headers)

    async def _start(self, order: Order, account: Account) -> Generation:
        attempts = order.attempts
        if order.session_id is not None:
            attempts = await self._with_history(order.scope, order.session_id, attempts)
        return self._generations.start(
            attempts,
            on_disconnect=order.on_disconnect,
            owner=order.owner,
            dialect=order.dialect,
            request_id=order.request_id,
            settings=order.settings,
            account=account,
        )

    async def _with_history(self, scope: Scope, session_id: str, attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
        """The attempts with the conversation so far, read once it is ours: nobody else can add to it now."""
        history = await self._ledger.history(scope, session_id)
        cap = self._settings.sessions.history_tokens

        def continued() -> tuple[Attempt, ...]:
            return tuple(
                msgspec.structs.replace(attempt, request=continue_conversation(history, attempt.request, cap=cap))
                for attempt in attempts
            )

        # A conversation near the cap is counted, and counting is no work for the event loop
        return await asyncio.to_thread(continued) if len(history) > 1 else continued()

    async def _write_opening(self, order: Order) -> tuple[Opening, Pico | None]:
        first = order.attempts[0]
        input_tokens = _estimate_input(first.request)
        now = time.time()
        opening = Opening(
            id=new_generation_id(),
            created_at=now,
            scope=order.scope,
            provider=first.provider.name,
            model=first.name,
            input_tokens=input_tokens,
            session_id=order.session_id,
            turns=() if order.session_id is None else write_turns(first.request.messages, now=now),
            after=order.after,
            idempotency_key=order.idempotency_key,
            body_hash=order.body_hash,
            price=first.price,
            customer=order.key.stripe_customer,
            meter=meter_in_force(self._settings),
        )
        if order.key.budget is None:
            return opening, None
        return await self._within_budget(opening, order.key.budget, order.attempts)

    async def _within_budget(
        self, opening: Opening, budget: Budget, attempts: Sequence[Attempt]
    ) -> tuple[Opening, Pico]:
        """The opening with what it reserves of the budget, and what it may cost at most."""
        for attempt in attempts:
            if attempt.price is None:
                raise RequestError(
                    403,
                    "model_without_price",
                    f"this key has a budget, and the model {attempt.name} has no price; set one in [models]",
                    field="model",
                )
        left = budget.amount - await self._ledger.spent(opening.scope.key_id or "", budget)
        likely = max(_likely_cost(attempt.price, opening.input_tokens, attempt.request) for attempt in attempts)
        reserved = min(likely, max(left, 1))  # with nothing left the ledger refuses even this
        return msgspec.structs.replace(opening, reserved=reserved, budget=budget), left

    def _quota(self, key: Key) -> Quota:
        """The key's own limits, else those of `[limits]`."""
        default = self._settings.limits
        return Quota(
            rpm=_own(key.rpm, default.rpm),
            tpm=_own(key.tpm, default.tpm),
            max_streams=_own(key.max_streams, default.max_streams),
        )


def _own(own: int | None, default: int | None) -> int | None:
    return default if own is None else own


def _estimate_input(request: ChatRequest) -> int:
    return tokens.length(request) // _BYTES_PER_TOKEN + _BYTES_PER_TOKEN


def _estimate_output(request: ChatRequest) -> int:
    return _LIKELY_OUTPUT if request.max_tokens is None else request.max_tokens


def _likely_cost(price: Price | None, input_tokens: int, request: ChatRequest) -> Pico:
    return 0 if price is None else cost_of(price, input_tokens, 0, _estimate_output(request))
