"""What the dashboard's reports answer, as `/openapi.json` shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class PointFace(BaseModel):
    """One step of time (from `starts`, Unix time, on) of one group; `name` is the key's name where it has one."""

    starts: int
    group: str
    name: str
    generations: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    unpriced: int


class PointList(BaseModel):
    """Settled usage over time, the earliest first."""

    data: list[PointFace]


class SpreadFace(BaseModel):
    """Percentiles in milliseconds, of so many answers."""

    answers: int
    p50: float
    p90: float
    p99: float


class ModelLatencyFace(BaseModel):
    """How long a model's answers took; null in the place of the model is all of them together."""

    model: str | None
    first_token_ms: SpreadFace | None
    between_tokens_ms: SpreadFace | None = Field(description="Of each finished answer's mean gap between tokens.")


class ModelLatencyList(BaseModel):
    """All together first, then each model."""

    data: list[ModelLatencyFace]


class BudgetFace(BaseModel):
    """A budget beside what counts against it now; `resets_at` is null where it never does."""

    text: str
    period: Literal["day", "month", "total"]
    amount_usd: float
    spent_usd: float
    left_usd: float
    resets_at: float | None


class SpendingFace(BaseModel):
    """What a key has spent, and what its running streams have reserved; days and months are UTC's."""

    key_id: str
    key_name: str | None
    revoked: bool
    day_usd: float
    month_usd: float
    total_usd: float
    budget: BudgetFace | None


class SpendingList(BaseModel):
    """Every key, and whatever else has spent something."""

    data: list[SpendingFace]
