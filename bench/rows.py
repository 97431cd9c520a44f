"""The rows of the table, with their loads and goals."""

from bench.figures import Figure, Goal
from bench.load import Load
from bench.measures import CpuRow, DelayRow, LengthRow, MemoryRow, Row, StartRow
from bench.shared import LogRow, ReadersRow, WorkersRow
from bench.surfaces import SurfacesRow


def list_rows(*, quick: bool) -> tuple[Row, ...]:
    """All rows, in the order of the table; `quick` ones have small loads, whose figures prove nothing."""
    return (
        _paced(answer=100 if quick else 400),
        _burst(answers=3 if quick else 25),
        _one_token(answers=30 if quick else 400),
        _delay(answer=50 if quick else 200),
        _idle(streams=200 if quick else 2000, open_ms=3_000 if quick else 12_000),
        _length(streams=1 if quick else 4),
        _start(),
        _surfaces(answer=100 if quick else 200, turns=1 if quick else 3),
        _redis_log(answer=100 if quick else 400),
        _two_workers(streams=20 if quick else 100, answer=100 if quick else 400),
        _readers(readers=500, streams=10, tokens=8) if quick else _readers(readers=10_000, streams=100, tokens=75),
    )


def _paced(*, answer: int) -> Row:
    return CpuRow(
        name="paced",
        figures=(
            Figure(
                name="paced",
                title="paced: 100 streams of 50 tokens/s, CPU a token",
                unit="µs",
                goal=Goal(at_most=2.2, of="times"),
            ),
        ),
        load=Load(model=f"paced-n{answer}-d20", streams=100),
        each="token",
    )


def _burst(*, answers: int) -> Row:
    return CpuRow(
        name="burst",
        figures=(
            Figure(
                name="burst",
                title="burst: 16 streams of 1,000 tokens at once, CPU a token",
                unit="µs",
                goal=Goal(at_most=2.0, of="times"),
            ),
        ),
        load=Load(model="burst-n1000", streams=16, answers=answers),
        each="token",
    )


def _one_token(*, answers: int) -> Row:
    return CpuRow(
        name="one-token",
        figures=(
            Figure(
                name="one-token",
                title="one-token answers, 16 at a time, CPU a request",
                unit="µs",
                goal=Goal(at_most=8.0, of="times"),
            ),
        ),
        load=Load(model="n1", streams=16, answers=answers),
        each="request",
    )


def _delay(*, answer: int) -> Row:
    median = Figure(
        name="delay-p50",
        title="delay of a token at 5,000 tokens/s, median",
        unit="ms",
        goal=Goal(at_most=2.0, of="times"),
    )
    late = Figure(
        name="delay-p99",
        title="delay of a token at 5,000 tokens/s, p99",
        unit="ms",
        goal=Goal(at_most=5.0, of="unit"),
        ratio=False,
    )
    load = Load(model=f"paced-n{answer}-d20", streams=100, timed=True)
    return DelayRow(name="delay", figures=(median, late), load=load)


def _idle(*, streams: int, open_ms: int) -> Row:
    figure = Figure(name="idle", title=f"memory of an open stream, {streams:,} open", unit="KiB")
    load = Load(model=f"paced-n2-d{open_ms}", streams=streams, spread_ms=open_ms // 4, hold=True)
    return MemoryRow(name="idle", figures=(figure,), load=load)


def _length(*, streams: int) -> Row:
    figure = Figure(
        name="length",
        title="a token of a 50,000-token answer / of a 500-token one, CPU",
        unit="x",
        goal=Goal(at_most=1.1, of="unit"),
        ratio=False,
    )
    # Lumps of one size at one pace: in a burst a longer answer comes in larger reads, and would look cheaper.
    long = Load(model="paced-n50000-d1-k25", streams=streams)
    short = Load(model="paced-n500-d1-k25", streams=streams, answers=100)
    bare = Load(model="paced-n25-d1-k25", streams=streams, answers=100)
    return LengthRow(name="length", figures=(figure,), long=long, short=short, bare=bare)


def _start() -> Row:
    figure = Figure(
        name="start",
        title="from the start to the first 200",
        unit="s",
        goal=Goal(at_most=1.5, of="unit"),
        ratio=False,
    )
    return StartRow(name="start", figures=(figure,))


def _surfaces(*, answer: int, turns: int) -> Row:
    dearest = Figure(
        name="surfaces",
        title="the dearest format / the cheapest: 100 streams of 50 tokens/s, CPU a token",
        unit="x",
        goal=_at_most(1.3),
        ratio=False,
    )
    passed = Figure(
        name="pass-through",
        title="the upstream's own format / the cheapest, CPU a token",
        unit="x",
        goal=_at_most(1.05),
        ratio=False,
    )
    load = Load(model=f"paced-n{answer}-d20", streams=100)
    return SurfacesRow(name="surfaces", figures=(dearest, passed), load=load, turns=turns)


def _redis_log(*, answer: int) -> Row:
    figure = Figure(
        name="redis-log",
        title="streams kept in Redis / in SQLite: 100 of 50 tokens/s, CPU a token",
        unit="x",
        goal=Goal(at_most=1.6, of="unit"),
        ratio=False,
    )
    load = Load(model=f"paced-n{answer}-d20", streams=100)
    return LogRow(name="redis-log", figures=(figure,), load=load)


def _two_workers(*, streams: int, answer: int) -> Row:
    figure = Figure(
        name="two-workers",
        title=f"two workers with {2 * streams} streams of 50 tokens/s / one with {streams}, CPU a token",
        unit="x",
        # 1.8 times the streams for twice the CPU
        goal=Goal(at_most=2 / 1.8, of="unit"),
        ratio=False,
    )
    load = Load(model=f"paced-n{answer}-d20", streams=streams)
    return WorkersRow(name="two-workers", figures=(figure,), load=load)


def _readers(*, readers: int, streams: int, tokens: int) -> Row:
    many = f"{readers:,} readers of another worker's {streams} streams of 1 token/s"
    memory = Figure(name="readers-memory", title=f"{many}: memory of each", unit="KiB", goal=_at_most(24), ratio=False)
    late = Figure(
        name="readers-p99", title=f"{many}: delay of a token, p99", unit="ms", goal=_at_most(100), ratio=False
    )
    links = Figure(
        name="readers-links", title=f"{many}: subscribed connections a worker", unit="", goal=_at_most(1), ratio=False
    )
    model = f"paced-n{tokens}-d1000"
    return ReadersRow(
        name="readers",
        figures=(memory, late, links),
        # Streams begin over a second, or all would speak at once; readers come five hundred a second
        writing=Load(model=model, streams=streams, spread_ms=1000, hold=True),
        reading=Load(model=model, streams=readers, spread_ms=2 * readers, timed=True, hold=True),
    )


def _at_most(value: float) -> Goal:
    return Goal(at_most=value, of="unit")
