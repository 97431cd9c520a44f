"""What may be said of a key, as JSON or as flags: checked field by field."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import AfterValidator, Field, PlainValidator, ValidationError, WithJsonSchema

from tailrace.dialects.body import OnDisconnectField
from tailrace.dialects.faults import explain
from tailrace.dialects.messages import StrictModel
from tailrace.errors import RequestError
from tailrace.keys.budgets import parse_budget
from tailrace.ledger import Budget
from tailrace.moments import read_future
from tailrace.settings import Models

_CUSTOMER: Final = re.compile(r"cus_[0-9A-Za-z_]{1,60}")
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _check_name(name: str) -> str:
    if not name.strip() or _UNPRINTABLE.search(name):
        raise ValueError("must be a text in one line, without control characters")
    return name


def _read_expiry(value: object) -> float:
    if not isinstance(value, str):
        raise ValueError('must be a text such as "30d", or null for never')  # noqa: TRY004 - Pydantic's protocol
    return read_future(value.strip(), time.time())


def _check_customer(customer: str) -> str:
    if not _CUSTOMER.fullmatch(customer):
        raise ValueError("must be the id of a Stripe customer, such as cus_…")
    return customer


Name: TypeAlias = Annotated[str, Field(max_length=200), AfterValidator(_check_name)]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=10**12)]
ModelName: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
BudgetField: TypeAlias = Annotated[
    Budget,
    PlainValidator(parse_budget),
    WithJsonSchema({"type": "string", "examples": ["50/month", "5/day", "50"]}),
]
CustomerField: TypeAlias = Annotated[str, AfterValidator(_check_customer)]
ExpiryField: TypeAlias = Annotated[
    float,
    PlainValidator(_read_expiry),
    WithJsonSchema({"type": "string", "examples": ["30d", "12h", "2031-01-31"]}),
]


class KeyChanges(StrictModel):
    """The body of a change: a field that is left out stays as it is, null takes a limit away."""

    name: Name = ""
    admin: bool = Field(default=False, description="May make keys and see everyone's usage and streams.")
    rpm: Limit | None = Field(default=None, description="Requests a minute.")
    tpm: Limit | None = Field(default=None, description="Tokens a minute.")
    max_streams: Limit | None = Field(default=None, description="Streams at the same time.")
    budget_usd: BudgetField | None = Field(default=None, description="USD by month, by day, or in all; UTC.")
    models: Annotated[list[ModelName], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="The only models that it may use."
    )
    stripe_customer: CustomerField | None = Field(default=None, description="Whom Stripe bills for its usage.")
    expires: ExpiryField | None = Field(default=None, description="A span from now, or a date.")
    on_disconnect: OnDisconnectField | None = Field(
        default=None, description="What happens when the last reader leaves, where a request does not say."
    )

    def to_fields(self, models: Models) -> dict[str, Any]:
        """What this sets of a `ledger.base.Key`. Raises RequestError 422 for a model that is not known."""
        fields = {_KEPT_AS.get(name, name): getattr(self, name) for name in self.model_fields_set}
        if self.models is not None:
            fields["models"] = check_models(self.models, models)
        if self.on_disconnect is not None:
            fields["on_disconnect"] = str(self.on_disconnect)
        return fields


class NewKey(KeyChanges):
    """The body that makes a key."""

    name: Name


_KEPT_AS: Final = {"budget_usd": "budget", "expires": "expires_at"}

Body = TypeVar("Body", bound=StrictModel)


def parse_json(body: bytes, kind: type[Body]) -> Body:
    """A JSON object as a body of this kind. Raises RequestError: 400 not JSON, 422 with the field."""
    try:
        return kind.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise explain(error, kind) from None


def parse_flags(flags: Mapping[str, object], kind: type[Body]) -> Body:
    """Flags, whose numbers may still be texts, as a body of this kind. Raises RequestError 422 with the field."""
    try:
        return kind.model_validate(dict(flags))
    except ValidationError as error:
        raise explain(error, kind) from None


def check_models(names: Iterable[str], models: Models) -> tuple[str, ...]:
    """An allow-list's names, each once; a provider that is off may be named. Raises RequestError 422."""
    allowed = tuple(dict.fromkeys(names))
    for name in allowed:
        try:
            models.resolve(name)
        except RequestError as error:
            if error.code != "provider_off":
                raise RequestError(422, "invalid_field", f"models: {error.message}", field="models") from None
    return allowed
