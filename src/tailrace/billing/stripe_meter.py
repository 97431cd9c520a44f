"""Tells Stripe of usage as meter events, through its official SDK.

https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api
The rule that surprises: an event that Stripe has already is no success but a 400 without any code of its own.
"""

from __future__ import annotations

import logging
from types import ModuleType
from typing import TYPE_CHECKING, Final

import aiohttp

from tailrace.billing.base import Accepted, Deferred, Outcome, Refused, Sender
from tailrace.errors import SettingsError
from tailrace.ledger.base import Parcel
from tailrace.settings import Secret

if TYPE_CHECKING:
    import stripe

_TIMEOUT_S: Final = 20.0
_NOT_TAKEN: Final = frozenset({400, 401, 402, 403, 404, 409, 429})
_SHOWN_CHARS: Final = 300


class StripeSender(Sender):
    """Meter events for one Stripe account.

    Raises SettingsError where the SDK is not installed. `base` is the API's address without a path.
    """

    def __init__(self, api_key: Secret, *, base: str, timeout_s: float = _TIMEOUT_S) -> None:
        self._stripe = _load()
        self._http = self._stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=timeout_s))
        # Retries are ours: they outlast this process, and a new Idempotency-Key each time keeps Stripe from answering
        # with the error that it gave before.
        self._client: stripe.StripeClient = self._stripe.StripeClient(
            api_key.reveal(), base_addresses={"api": base}, http_client=self._http, max_network_retries=0
        )
        self._redaction = _Redaction(api_key)
        logging.getLogger("stripe").addFilter(self._redaction)

    async def send(self, parcel: Parcel) -> Outcome:
        """Create the parcel's meter event."""
        try:
            await self._create(parcel)
        except self._stripe.StripeError as error:
            return self._read(error, parcel)
        # The SDK does not wrap what breaks while it reads an answer's body.
        except (aiohttp.ClientError, OSError) as error:
            return self._lost(error)
        return Accepted()

    async def close(self) -> None:
        """Close the SDK's connections."""
        logging.getLogger("stripe").removeFilter(self._redaction)
        await self._http.close_async()

    async def _create(self, parcel: Parcel) -> None:
        await self._client.v1.billing.meter_events.create_async(
            {
                "event_name": parcel.bill.meter,
                "identifier": parcel.generation_id,
                "payload": {"stripe_customer_id": parcel.bill.customer, "value": str(parcel.bill.value)},
                "timestamp": int(parcel.created_at),
            }
        )

    def _read(self, error: stripe.StripeError, parcel: Parcel) -> Outcome:
        """What an error means for this parcel. A status that is not known to refuse may stand for a deed done."""
        status = error.http_status
        if status is None:
            return self._lost(error)
        message = error.user_message or ""
        reason = self._redaction.sum_up(f"Stripe answered {status}: {message or type(error).__name__}")
        # The SDK knows a 400 that is a rate limit, and gives it another type.
        about_the_row = status == 400 and isinstance(error, self._stripe.InvalidRequestError)
        if about_the_row and not _is_settings_fault(message):
            return Accepted(before=True) if _is_repeat(message, parcel) else Refused(reason=reason)
        return Deferred(reason=reason, doubtful=status not in _NOT_TAKEN, retry_after_s=_retry_after(error))

    def _lost(self, error: Exception) -> Deferred:
        cause = error.__cause__ or error
        reached = not isinstance(cause, aiohttp.ClientConnectorError)
        what = "Stripe's answer was lost" if reached else "Stripe was not reached"
        detail = f"{type(cause).__name__}: {cause}".removesuffix(": ")
        return Deferred(reason=self._redaction.sum_up(f"{what} ({detail})"), doubtful=reached)


class _Redaction(logging.Filter):
    """Takes the API key out of texts and of what the SDK logs."""

    def __init__(self, api_key: Secret) -> None:
        super().__init__()
        self._key = api_key.reveal()

    def sum_up(self, text: str) -> str:
        """One line of it, not too long."""
        return " ".join(self.clean(text).split())[:_SHOWN_CHARS]

    def clean(self, text: str) -> str:
        """All of it, without the key."""
        return text.replace(self._key, "***")

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.clean(record.getMessage()), ()
        return True


def _load() -> ModuleType:
    try:
        import stripe
    except ImportError:
        raise SettingsError(
            "billing needs Stripe's SDK: pip install 'tailrace[stripe]'", where="STRIPE_API_KEY"
        ) from None
    # It would leave an id in the home folder, and send it with the machine's description.
    stripe.enable_telemetry = False
    return stripe


def _is_repeat(message: str, parcel: Parcel) -> bool:
    # Seen in 2026: "An event already exists with identifier ID.", without a code (langfuse pull request 16292).
    return "already exists" in message and parcel.generation_id in message


def _is_settings_fault(message: str) -> bool:
    # The meter is named in the settings: a wrong one is no reason to give up every row. Stripe has no code for it.
    return "No active meter" in message


def _retry_after(error: stripe.StripeError) -> float | None:
    given = str((error.headers or {}).get("Retry-After", ""))
    return float(given) if given.isdecimal() else None
