"""A run on the page `docs/speed.md`: its table between two marks, its picture beside it."""

from pathlib import Path

from bench.errors import ResultsError
from bench.plot import write_plot
from bench.results import LEAST_PAIRS, Results
from bench.table import write_table

_OPEN = "<!-- bench: table -->\n"
_CLOSE = "<!-- bench: end -->\n"
_PICTURE = "\n![The ratios of the table, on a logarithmic axis](speed.svg)\n"


def publish(results: Results, folder: Path) -> None:
    """Put a run into the documentation; raises `ResultsError` where it may not be quoted."""
    if not results.quotable:
        raise ResultsError(f"a quick run, or one of fewer than {LEAST_PAIRS} rounds, is not to be quoted")
    page = folder / "speed.md"
    page.write_text(fill_page(page.read_text(), write_table(results) + _PICTURE))
    (folder / "speed.svg").write_text(write_plot(results))


def fill_page(page: str, content: str) -> str:
    """The page with what stands between its marks replaced; raises `ResultsError` where it lacks them."""
    before, opened, rest = page.partition(_OPEN)
    _, closed, after = rest.partition(_CLOSE)
    if not (opened and closed):
        raise ResultsError(f"the page lacks the lines {_OPEN.strip()} and {_CLOSE.strip()}")
    return f"{before}{_OPEN}\n{content}\n{_CLOSE}{after}"
