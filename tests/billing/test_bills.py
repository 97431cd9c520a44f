"""What is billed, and to which meter."""

from __future__ import annotations

import pytest

from tailrace.billing import bill_for, meter_in_force
from tailrace.ledger import Bill
from tailrace.settings import Secret, Settings


def test_all_tokens_are_billed() -> None:
    """A bill's value is what went in and what came out, together."""
    assert bill_for("cus_a", "llm_tokens", input_tokens=10, output_tokens=32) == Bill(
        customer="cus_a", meter="llm_tokens", value=42
    )


def test_unknown_input_counts_as_none() -> None:
    """Where the input's count is not known, the output alone is billed."""
    bill = bill_for("cus_a", "llm_tokens", input_tokens=None, output_tokens=32)
    assert bill is not None
    assert bill.value == 32


@pytest.mark.parametrize(
    ("customer", "meter", "output_tokens"),
    [(None, "llm_tokens", 5), ("cus_a", None, 5), ("cus_a", "llm_tokens", 0), ("cus_a", "llm_tokens", None)],
)
def test_no_bill(customer: str | None, meter: str | None, output_tokens: int | None) -> None:
    """There is no bill without a customer, without a meter, or for nothing."""
    assert bill_for(customer, meter, input_tokens=0, output_tokens=output_tokens) is None


def test_billing_is_on_with_a_key() -> None:
    """Rows are billed to the settings' meter where there is a Stripe key, and not at all where there is none."""
    assert meter_in_force(Settings(stripe_api_key=Secret("sk_test_1"), stripe_meter="tokens")) == "tokens"
    assert meter_in_force(Settings()) is None
