"""What Stripe is told through its own SDK, and what each of its answers, or none, is taken for."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.billing.installation import METER, START, Clock
from tests.stripe_server import DAY_S, Fault, StripeServer

from tailrace.billing import Accepted, Deferred, Outcome, Refused, StripeSender
from tailrace.errors import SettingsError
from tailrace.ledger import Bill, Parcel
from tailrace.settings import Secret


@pytest.fixture
async def sender(stripe: StripeServer) -> AsyncIterator[StripeSender]:
    sender = StripeSender(Secret(stripe.key), base=stripe.url, timeout_s=5.0)
    yield sender
    await sender.close()


def parcel(*, customer: str = "cus_a", meter: str = METER, value: int = 42, created_at: float = START) -> Parcel:
    """A bill for the generation gen_1, not told before."""
    bill = Bill(customer=customer, meter=meter, value=value)
    return Parcel(generation_id="gen_1", bill=bill, created_at=created_at, attempts=0, doubted_since=None)


async def answered(stripe: StripeServer, fault: Fault, *, timeout_s: float = 5.0) -> Outcome:
    """What the sender makes of a first call that this befalls."""
    stripe.faults.append(fault)
    sender = StripeSender(Secret(stripe.key), base=stripe.url, timeout_s=timeout_s)
    try:
        return await sender.send(parcel())
    finally:
        await sender.close()


async def test_a_meter_event_says_who_what_and_when(stripe: StripeServer, sender: StripeSender) -> None:
    """An event has the generation's id, the customer, the value as a whole number's text, and the bill's own time."""
    assert await sender.send(parcel(created_at=START - 90.7)) == Accepted()
    call = dict(stripe.calls[0])
    assert call.pop("idempotency-key")
    assert call == {
        "event_name": METER,
        "identifier": "gen_1",
        "payload[stripe_customer_id]": "cus_a",
        "payload[value]": "42",
        "timestamp": str(int(START) - 91),
    }
    assert stripe.billed("cus_a") == 42


async def test_a_repeat_is_accepted(stripe: StripeServer, sender: StripeSender) -> None:
    """An event that Stripe has already counts as told, and is on the invoice once."""
    assert await sender.send(parcel()) == Accepted()
    assert await sender.send(parcel()) == Accepted(before=True)
    assert stripe.times_billed() == {"gen_1": 1}


async def test_an_error_is_not_replayed(stripe: StripeServer, sender: StripeSender) -> None:
    """Each attempt has an Idempotency-Key of its own: Stripe answers a repeated one with the error that it gave."""
    stripe.faults.append(Fault.UNTAKEN_ERROR)
    assert isinstance(await sender.send(parcel()), Deferred)
    assert await sender.send(parcel()) == Accepted()
    assert len({call["idempotency-key"] for call in stripe.calls}) == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.UNTAKEN_ERROR, "Stripe answered 500: An unknown error occurred"),
        (Fault.TAKEN_ERROR, "Stripe answered 500: An unknown error occurred"),
        (Fault.UNTAKEN_DROP, "Stripe's answer was lost (ServerDisconnectedError: Server disconnected)"),
        (Fault.TAKEN_DROP, "Stripe's answer was lost (ServerDisconnectedError: Server disconnected)"),
        (Fault.TAKEN_CUT, "Stripe's answer was lost ("),
    ],
)
async def test_an_answer_that_tells_nothing_is_doubt(stripe: StripeServer, fault: Fault, reason: str) -> None:
    """A 500, a cut connection, a cut answer: nobody can say whether it was taken, so it is doubtful."""
    outcome = await answered(stripe, fault)
    assert isinstance(outcome, Deferred)
    assert outcome.doubtful
    assert outcome.reason.startswith(reason)


async def test_silence_is_doubt(stripe: StripeServer) -> None:
    """An answer that does not come in time is doubtful."""
    outcome = await answered(stripe, Fault.TAKEN_SILENCE, timeout_s=0.2)
    assert isinstance(outcome, Deferred)
    assert outcome.doubtful
    assert stripe.billed("cus_a") == 42


async def test_a_rate_limit_is_no_doubt(stripe: StripeServer) -> None:
    """A 429 says that nothing was taken, and when to come back."""
    outcome = await answered(stripe, Fault.RATE_LIMITED)
    assert outcome == Deferred(
        reason="Stripe answered 429: Request rate limit exceeded.", doubtful=False, retry_after_s=30.0
    )


async def test_a_rate_limit_of_old_gives_no_row_up(stripe: StripeServer) -> None:
    """A 400 that stands for a rate limit is not about the row."""
    outcome = await answered(stripe, Fault.RATE_LIMITED_OF_OLD)
    assert outcome == Deferred(reason="Stripe answered 400: Request rate limit exceeded.", doubtful=False)


async def test_a_stripe_that_is_not_reached_is_no_doubt(stripe: StripeServer) -> None:
    """Where nobody listens nothing was taken, however long it lasts."""
    sender = StripeSender(Secret(stripe.key), base="http://127.0.0.1:1", timeout_s=5.0)
    outcome = await sender.send(parcel())
    await sender.close()
    assert isinstance(outcome, Deferred)
    assert not outcome.doubtful
    assert outcome.reason.startswith("Stripe was not reached (ClientConnectorError")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (parcel(customer="cus_nobody"), "Stripe answered 400: No such customer: 'cus_nobody'"),
        (parcel(created_at=START - 36 * DAY_S), "Stripe answered 400: The timestamp must be within"),
    ],
    ids=["customer", "time"],
)
async def test_a_wrong_row_is_refused(sender: StripeSender, wrong: Parcel, reason: str) -> None:
    """A 400 is about this row, for good, with Stripe's own words."""
    outcome = await sender.send(wrong)
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith(reason)


async def test_wrong_settings_are_no_rows_fault(stripe: StripeServer, sender: StripeSender) -> None:
    """A meter that does not exist and a key that is not valid put rows off, without doubt: settings can be mended."""
    assert await sender.send(parcel(meter="typo")) == Deferred(
        reason="Stripe answered 400: No active meter found with this event name: typo.", doubtful=False
    )
    stripe.key = "sk_test_another"
    outcome = await sender.send(parcel())
    assert isinstance(outcome, Deferred)
    assert not outcome.doubtful


async def test_the_key_is_in_no_reason_and_no_log(
    stripe: StripeServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where the other side says the API key aloud, it is neither in what came of it nor in the SDK's own log."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="stripe")  # a server of an earlier test may have turned it down
    sender = StripeSender(Secret("sk_test_canary"), base=stripe.url)
    outcome = await sender.send(parcel())
    await sender.close()
    assert outcome == Deferred(reason="Stripe answered 401: Invalid API Key provided: Bearer ***", doubtful=False)
    assert "Invalid API Key provided" in caplog.text
    assert "sk_test_canary" not in caplog.text
    assert "sk_test_canary" not in repr(sender)


async def test_the_sdk_leaves_nothing_behind(
    stripe: StripeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's telemetry is off: it writes no id into the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert await answered(stripe, Fault.NONE) == Accepted()
    assert os.listdir(tmp_path) == []


def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK is not installed, the error names the setting and what to install."""
    monkeypatch.setitem(sys.modules, "stripe", None)
    with pytest.raises(SettingsError, match=r"STRIPE_API_KEY: billing needs Stripe's SDK: pip install 'tailrace\[stri"):
        StripeSender(Secret("sk_test_1"), base="http://127.0.0.1:1")
