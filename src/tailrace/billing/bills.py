"""What is billed for an answer: all its tokens, those that went in and those that came out."""

from __future__ import annotations

from tailrace.ledger.base import Bill
from tailrace.settings import Settings


def meter_in_force(settings: Settings) -> str | None:
    """The meter that settled rows are billed to; None where there is no billing."""
    return settings.stripe_meter if settings.stripe_api_key is not None else None


def bill_for(
    customer: str | None, meter: str | None, *, input_tokens: int | None, output_tokens: int | None
) -> Bill | None:
    """The bill of one settled row; None where its key has no customer, billing is off, or nothing was used."""
    value = (input_tokens or 0) + (output_tokens or 0)
    if customer is None or meter is None or value == 0:
        return None
    return Bill(customer=customer, meter=meter, value=value)
