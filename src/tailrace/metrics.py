"""What is counted for `/metrics`: plain numbers on the hot path, Prometheus' families when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tailrace.events import Failed, Finished, UsageReported
from tailrace.health import Health

_FIRST_TOKEN_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_GAP_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class _Histogram:
    """Counts by upper bound, without a lock: only the event loop's thread writes."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def percentile(self, percent: int) -> float | None:
        """About where so many of a hundred lie at or below, straight between two bounds; None where nothing came."""
        rank = sum(self.counts) * percent / 100
        lower, below = 0.0, 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and below + count >= rank:
                return lower + (bound - lower) * (rank - below) / count
            lower, below = bound, below + count
        return self.bounds[-1] if rank else None

    def family(self, name: str, documentation: str) -> HistogramMetricFamily:
        family = HistogramMetricFamily(name, documentation)
        buckets: list[tuple[str, float]] = []
        so_far = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        family.add_metric([], buckets, sum_value=self.total)
        return family


class Metrics:
    """The counts of one process. A Prometheus collector: register it, or render it with `generate_latest`."""

    def __init__(self) -> None:
        self.open_streams = 0
        self.health = Health()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._ends: Counter[tuple[str, str]] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._bills: Counter[tuple[str, str]] = Counter()
        self._log_writes: Counter[tuple[str, str]] = Counter()
        self._limit_checks: Counter[tuple[str, str]] = Counter()
        self._first_token = _Histogram(_FIRST_TOKEN_S)
        self._gap = _Histogram(_GAP_S)

    def request_answered(self, route: str, status: int) -> None:
        """A request got its status; `route` is the path's template, never what the client made up."""
        self._requests[route, str(status)] += 1

    def generation_started(self) -> None:
        """An answer began to be made."""
        self.open_streams += 1

    def generation_ended(self, terminal: Finished | Failed, usage: UsageReported) -> None:
        """An answer ended, with these figures."""
        self.open_streams -= 1
        reason = terminal.reason if isinstance(terminal, Finished) else terminal.code
        self._ends["finished" if isinstance(terminal, Finished) else "failed", reason] += 1
        self._tokens["input", usage.source] += usage.input_tokens or 0
        self._tokens["output", usage.source] += usage.output_tokens or 0

    def bill_told(self, meter: str, outcome: str) -> None:
        """The billing service was told of a bill: "sent", "put_off" until later, or "given_up"."""
        self._bills[meter, outcome] += 1

    def log_written(self, store: str, outcome: str) -> None:
        """The store of stream logs was written to: "written" or "failed"."""
        self._log_writes[store, outcome] += 1

    def limits_checked(self, counted: str, outcome: str) -> None:
        """A request was held against limits that are shared: by the counts in "redis", or while that is away by those
        in this process's "memory"; "passed" or "refused"."""
        self._limit_checks[counted, outcome] += 1

    def observe_first_token(self, seconds: float) -> None:
        """From the request to the first content."""
        self._first_token.observe(seconds)

    def observe_gap(self, seconds: float, events: int) -> None:
        """From the socket read before to this one, which brought so many events: they came together."""
        gap = self._gap
        gap.counts[bisect_left(gap.bounds, seconds)] += 1
        gap.counts[0] += events - 1
        gap.total += seconds

    def percentiles(self, *percents: int) -> Mapping[str, Mapping[int, float | None]]:
        """Percentiles in seconds since the process began, of the first token and between tokens."""
        histograms = {"first_token": self._first_token, "between_tokens": self._gap}
        return {
            name: {percent: histogram.percentile(percent) for percent in percents}
            for name, histogram in histograms.items()
        }

    def collect(self) -> Iterable[Metric]:
        """The families, as Prometheus' client asks for them."""
        yield _counter("tailrace_requests", "Requests answered.", ("route", "status"), self._requests)
        yield GaugeMetricFamily("tailrace_open_streams", "Answers being made.", value=self.open_streams)
        yield _counter("tailrace_streams_ended", "Answers ended, by how and why.", ("end", "reason"), self._ends)
        yield _counter("tailrace_tokens", "Tokens of ended answers.", ("direction", "source"), self._tokens)
        yield _counter("tailrace_bills", "Bills told to the billing service.", ("meter", "outcome"), self._bills)
        yield _counter("tailrace_log_writes", "Writes to the kept streams.", ("store", "outcome"), self._log_writes)
        yield _counter("tailrace_limit_checks", "Checks of shared limits.", ("counted", "outcome"), self._limit_checks)
        yield self._first_token.family("tailrace_first_token_seconds", "From the request to the first content.")
        yield self._gap.family("tailrace_between_tokens_seconds", "Between one piece of content and the next.")


def _counter(
    name: str, documentation: str, labels: tuple[str, str], counts: Counter[tuple[str, str]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family
