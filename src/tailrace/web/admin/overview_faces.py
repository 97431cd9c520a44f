"""What `GET /v1/overview` answers, as `/openapi.json` shows it."""

from __future__ import annotations

from pydantic import BaseModel, Field


class StreamFace(BaseModel):
    """An answer that is being made; its figures are estimates. `readers` is null where another process makes it."""

    id: str
    created_at: float
    key_id: str | None
    key_name: str | None
    user: str | None
    provider: str
    model: str
    format: str | None
    session_id: str | None
    input_tokens: int | None
    output_tokens: int
    cost_usd: float | None
    ttft_ms: float | None
    readers: int | None


class FailureFace(BaseModel):
    """What last went wrong at an upstream."""

    code: str
    status: int
    at: float


class UpstreamFace(BaseModel):
    """An upstream; `requests` and `failures` are those of the last five minutes."""

    name: str
    kind: str | None
    running: int
    requests: int
    failures: int
    last_failure: FailureFace | None
    last_answer_at: float | None


class PercentilesFace(BaseModel):
    """Milliseconds; null where nothing was measured."""

    p50: float | None
    p90: float | None
    p99: float | None


class LatencyFace(BaseModel):
    """What this process has measured since it began."""

    first_token_ms: PercentilesFace
    between_tokens_ms: PercentilesFace


class OverviewFace(BaseModel):
    """This moment. Streams are the installation's; upstreams and latency are those of the process that answers."""

    now: float = Field(description="Unix time.")
    pid: int
    draining: bool
    ledger_answers: bool = Field(description="If not, only this process's streams are here.")
    running: int = Field(description="How many streams run; `streams` holds the newest 200.")
    streams: list[StreamFace]
    upstreams: list[UpstreamFace]
    latency: LatencyFace
