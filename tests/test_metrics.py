"""What `/metrics` says, read back by Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tailrace.events import Failed, Finished, UsageReported
from tailrace.metrics import Metrics

FAMILIES: Final = {
    "tailrace_requests": "counter",
    "tailrace_open_streams": "gauge",
    "tailrace_streams_ended": "counter",
    "tailrace_tokens": "counter",
    "tailrace_bills": "counter",
    "tailrace_log_writes": "counter",
    "tailrace_limit_checks": "counter",
    "tailrace_first_token_seconds": "histogram",
    "tailrace_between_tokens_seconds": "histogram",
}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def render(metrics: Metrics) -> str:
    """The page as it is served."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def read(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each sample under its name and its labels' values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(render(metrics))
        for sample in family.samples
    }


def buckets(metrics: Metrics, name: str) -> dict[float, float]:
    """A histogram's cumulative counts by upper bound."""
    return {float(key[1]): value for key, value in read(metrics).items() if key[0] == f"{name}_bucket"}


def test_every_family_is_there_from_the_start(metrics: Metrics) -> None:
    """A page without any traffic names each family with its type and what it says."""
    families = list(parse(render(metrics)))
    assert {family.name: family.type for family in families} == FAMILIES
    assert all(family.documentation for family in families)
    assert read(metrics)["tailrace_open_streams",] == 0


def test_openmetrics(metrics: Metrics) -> None:
    """The stricter format can be read too."""
    metrics.request_answered("/v1/chat", 200)
    metrics.observe_first_token(0.2)
    registry = CollectorRegistry()
    registry.register(metrics)
    families = list(parse_openmetrics(generate_openmetrics(registry).decode()))  # type: ignore[no-untyped-call]
    assert {family.name: family.type for family in families} == FAMILIES


def test_requests(metrics: Metrics) -> None:
    """Requests are counted by route and status."""
    for status in (200, 200, 422):
        metrics.request_answered("/v1/chat", status)
    metrics.request_answered('/"a\\b\n', 200)
    samples = read(metrics)
    assert samples["tailrace_requests_total", "/v1/chat", "200"] == 2
    assert samples["tailrace_requests_total", "/v1/chat", "422"] == 1
    assert samples["tailrace_requests_total", '/"a\\b\n', "200"] == 1


def test_streams(metrics: Metrics) -> None:
    """A stream is open from its start to its end, and its end is counted by how and why."""
    for _ in range(3):
        metrics.generation_started()
    metrics.generation_ended(Finished(reason="length"), UsageReported())
    metrics.generation_ended(Failed(code="upstream_cut", message="gone"), UsageReported())
    samples = read(metrics)
    assert samples["tailrace_open_streams",] == 1
    assert samples["tailrace_streams_ended_total", "finished", "length"] == 1
    assert samples["tailrace_streams_ended_total", "failed", "upstream_cut"] == 1


def test_tokens(metrics: Metrics) -> None:
    """Tokens are summed by direction and by how sure the figure is; what is not known counts for nothing."""
    for usage in (
        UsageReported(input_tokens=10, output_tokens=100),
        UsageReported(input_tokens=1, output_tokens=None),
        UsageReported(input_tokens=5, output_tokens=7, source="counted"),
    ):
        metrics.generation_started()
        metrics.generation_ended(Finished(reason="stop"), usage)
    samples = read(metrics)
    assert samples["tailrace_tokens_total", "input", "reported"] == 11
    assert samples["tailrace_tokens_total", "output", "reported"] == 100
    assert samples["tailrace_tokens_total", "input", "counted"] == 5
    assert samples["tailrace_tokens_total", "output", "counted"] == 7


def observe_first(metrics: Metrics, seconds: float) -> None:
    metrics.observe_first_token(seconds)


def observe_gap(metrics: Metrics, seconds: float) -> None:
    metrics.observe_gap(seconds, 1)


@pytest.mark.parametrize(
    ("name", "observe"),
    [("tailrace_first_token_seconds", observe_first), ("tailrace_between_tokens_seconds", observe_gap)],
)
def test_histograms(metrics: Metrics, name: str, observe: Callable[[Metrics, float], None]) -> None:
    """Each bucket holds what is at most its bound, the last one everything, and sum and count agree with it."""
    values = [0.0, 0.01, 0.010001, 0.3, 5.0, 3600.0]
    for value in values:
        observe(metrics, value)
    found = buckets(metrics, name)
    assert found == {bound: sum(value <= bound for value in values) for bound in found}
    assert {0.01, 5.0, float("inf")} <= set(found)
    samples = read(metrics)
    assert samples[f"{name}_count",] == found[float("inf")] == len(values)
    assert samples[f"{name}_sum",] == pytest.approx(sum(values))


def test_tokens_of_one_read_came_together(metrics: Metrics) -> None:
    """Of four tokens in one read, one came after the silence and three with it, in no time."""
    metrics.observe_gap(0.2, 4)
    found = buckets(metrics, "tailrace_between_tokens_seconds")
    assert (found[min(found)], found[0.1], found[0.25]) == (3, 3, 4)
    samples = read(metrics)
    assert samples["tailrace_between_tokens_seconds_count",] == 4
    assert samples["tailrace_between_tokens_seconds_sum",] == pytest.approx(0.2)


def test_percentiles_lie_in_the_bucket_of_the_true_ones(metrics: Metrics) -> None:
    """Where the real percentile is between two bounds, so is ours; without anything measured there is none."""
    assert metrics.percentiles(50)["first_token"] == {50: None}
    values = [number / 1000 for number in range(1, 201)]
    for value in values:
        metrics.observe_first_token(value)
        metrics.observe_gap(value, 1)
    found = metrics.percentiles(50, 90, 99)
    for name, bounds in (("first_token", [0.1, 0.25]), ("between_tokens", [0.1, 0.25])):
        assert 0.05 <= (found[name][50] or 0) <= 0.1
        assert all(bounds[0] <= (found[name][percent] or 0) <= bounds[1] for percent in (90, 99))
    metrics.observe_first_token(3600)
    assert metrics.percentiles(100)["first_token"] == {100: 60.0}
