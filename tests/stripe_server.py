"""A Stripe that keeps usage: a real HTTP server on loopback that holds to Stripe's own rules for meter events.

https://docs.stripe.com/api/billing/meter-event/create and …/recording-usage-api. An identifier is unique for 24 hours
(a second one is refused with a 400 that has no code); values are whole numbers as text; times lie within the past 35
days and the next 5 minutes; one call at a time for each customer and meter, so many calls a second for the account
(429); an answer, an error's too, is given again to whoever repeats its Idempotency-Key.

    async with StripeServer(clock) as stripe:
        stripe.faults.extend([Fault.ERROR, Fault.LOST])
        ...  # talk to stripe.url with stripe.key
        assert stripe.billed("cus_a") == 42
"""

from __future__ import annotations

import asyncio
import enum
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from aiohttp import web

DAY_S: Final = 86400.0
_PAST_S: Final = 35 * DAY_S
_AHEAD_S: Final = 300.0
_WHOLE: Final = re.compile(r"-?\d+", re.ASCII)
_LONGEST_IDENTIFIER: Final = 100


class Fault(enum.Enum):
    """What befalls a call. Those up to `RATE_LIMITED_OF_OLD` happen before Stripe looks at it, the others after."""

    NONE = enum.auto()
    UNTAKEN_ERROR = enum.auto()
    """A 500; nothing was taken."""
    UNTAKEN_DROP = enum.auto()
    """The connection is cut; nothing was taken."""
    RATE_LIMITED = enum.auto()
    """A 429 with `Retry-After`."""
    RATE_LIMITED_OF_OLD = enum.auto()
    """A 400 with the code of a rate limit, as Stripe once gave it."""
    TAKEN_ERROR = enum.auto()
    """It is taken, and the answer is a 500."""
    TAKEN_DROP = enum.auto()
    """It is taken, and the connection is cut before a byte of the answer."""
    TAKEN_CUT = enum.auto()
    """It is taken, and the connection is cut within the answer's body."""
    TAKEN_SILENCE = enum.auto()
    """It is taken, and no answer comes."""


@dataclass(frozen=True, kw_only=True)
class MeterEvent:
    """One that was taken, and will be on the invoice."""

    identifier: str
    customer: str
    meter: str
    value: int
    timestamp: int
    taken_at: float


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, *, code: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": "invalid_request_error", "message": message, "code": code}}
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


class StripeServer:
    """Listens from `async with` on. `invoice` is what it took; `overlaps` counts calls that came too close."""

    def __init__(self, clock: Callable[[], float], *, calls_per_second: int = 1000) -> None:
        # What a test sets
        self.key = "sk_test_51canary0000000000000000"
        self.customers = {"cus_a", "cus_b", "cus_c"}
        self.meters = {"llm_tokens"}
        self.faults: deque[Fault] = deque()
        self.retry_after = 30
        self.gate: asyncio.Event | None = None
        self.calls_per_second = calls_per_second
        # What a test reads
        self.url = ""
        self.invoice: list[MeterEvent] = []
        self.calls: list[Mapping[str, str]] = []
        self.overlaps = 0
        # Its own
        self._clock = clock
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._seconds: Counter[int] = Counter()
        self._answers: dict[str, tuple[int, bytes]] = {}
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    def billed(self, customer: str) -> int:
        """All that the customer will pay for."""
        return sum(event.value for event in self.invoice if event.customer == customer)

    def times_billed(self) -> dict[str, int]:
        """How often each identifier is on the invoice."""
        times: defaultdict[str, int] = defaultdict(int)
        for event in self.invoice:
            times[event.identifier] += 1
        return dict(times)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/billing/meter_events", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.calls.append({**form, "idempotency-key": request.headers["Idempotency-Key"]})
        fault = self.faults.popleft() if self.faults else Fault.NONE
        if fault is Fault.UNTAKEN_DROP:
            return _drop(request)
        status, body, headers = await self._answer(request, form, fault)
        match fault:
            case Fault.TAKEN_DROP:
                return _drop(request)
            case Fault.TAKEN_CUT:
                return await _cut(request, status, body)
            case Fault.TAKEN_SILENCE:
                await self._closing.wait()
        return web.Response(status=status, body=body, headers={**headers, "Request-Id": "req_1"}, content_type=_JSON)

    async def _answer(
        self, request: web.Request, form: Mapping[str, str], fault: Fault
    ) -> tuple[int, bytes, Mapping[str, str]]:
        key = request.headers["Idempotency-Key"]
        if key in self._answers:
            return *self._answers[key], {"Idempotent-Replayed": "true"}
        try:
            status, answer, headers = 200, await self._take(request, form, fault), {}
        except _RefusedError as refused:
            status, answer, headers = refused.status, refused.body, refused.headers
        body = json.dumps(answer).encode()
        if status != 429:
            self._answers[key] = status, body
        return status, body, headers

    async def _take(self, request: web.Request, form: Mapping[str, str], fault: Fault) -> object:
        self._check_account(request, fault)
        place = form["payload[stripe_customer_id]"], form["event_name"]
        if self._under_way[place]:
            self.overlaps += 1
            raise _RefusedError(429, "Another request holds this object's lock.", code="lock_timeout")
        self._under_way[place] += 1
        try:
            # Long enough for a second call to come in between.
            await (asyncio.sleep(0.001) if self.gate is None else self.gate.wait())
            event = self._read(form)
        finally:
            self._under_way[place] -= 1
        self.invoice.append(event)
        if fault is Fault.TAKEN_ERROR:
            raise _RefusedError(500, "An unknown error occurred")
        return {"object": "billing.meter_event", "identifier": event.identifier, "created": int(event.taken_at)}

    def _check_account(self, request: web.Request, fault: Fault) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            raise _RefusedError(401, f"Invalid API Key provided: {request.headers.get('Authorization')}")
        if fault is Fault.UNTAKEN_ERROR:
            raise _RefusedError(500, "An unknown error occurred")
        if fault is Fault.RATE_LIMITED_OF_OLD:
            raise _RefusedError(400, "Request rate limit exceeded.", code="rate_limit")
        self._seconds[int(self._clock())] += 1
        if fault is Fault.RATE_LIMITED or self._seconds[int(self._clock())] > self.calls_per_second:
            raise _RefusedError(429, "Request rate limit exceeded.", code="rate_limit", retry_after=self.retry_after)

    def _read(self, form: Mapping[str, str]) -> MeterEvent:
        now, identifier, meter = self._clock(), form["identifier"], form["event_name"]
        customer, value, timestamp = form["payload[stripe_customer_id]"], form["payload[value]"], int(form["timestamp"])
        if any(event.identifier == identifier and now - event.taken_at < DAY_S for event in self.invoice):
            raise _RefusedError(400, f"An event already exists with identifier {identifier}.")
        if meter not in self.meters:
            raise _RefusedError(400, f"No active meter found with this event name: {meter}.")
        if customer not in self.customers:
            raise _RefusedError(400, f"No such customer: '{customer}'", code="resource_missing")
        if not _WHOLE.fullmatch(value):
            raise _RefusedError(400, f"The value must be a whole number, not {value}.")
        if not now - _PAST_S <= timestamp <= now + _AHEAD_S:
            raise _RefusedError(400, "The timestamp must be within the past 35 days or up to 5 minutes in the future.")
        if len(identifier) > _LONGEST_IDENTIFIER:
            raise _RefusedError(400, "The identifier is too long.")
        return MeterEvent(
            identifier=identifier, customer=customer, meter=meter, value=int(value), timestamp=timestamp, taken_at=now
        )


_JSON: Final = "application/json"


def _drop(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _cut(request: web.Request, status: int, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.abort()
    return response
