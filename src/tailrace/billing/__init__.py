"""Usage becomes bills: what is to be billed, and the worker that tells the billing service, once for each answer."""

from tailrace.billing.base import Accepted, Deferred, Outcome, Refused, Sender
from tailrace.billing.bills import bill_for, meter_in_force
from tailrace.billing.stripe_meter import StripeSender
from tailrace.billing.worker import BillingWorker

__all__ = [
    "Accepted",
    "BillingWorker",
    "Deferred",
    "Outcome",
    "Refused",
    "Sender",
    "StripeSender",
    "bill_for",
    "meter_in_force",
]
