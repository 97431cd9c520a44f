"""Shows an answer as it comes: as Markdown on a terminal, as bare text where the output is piped on."""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_FENCE: Final = re.compile(r" {0,3}(```+|~~~+)")
_FRAMES_PER_SECOND: Final = 12


def defuse(text: str) -> str:
    """The text without what a terminal would obey: control characters and changes of direction become U+FFFD."""
    return _CONTROL.sub("\ufffd", text)


class Screen(ABC):
    """Where an answer is shown; use it as a context around one answer."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def show_text(self, text: str) -> None:
        """The next piece of the answer."""

    @abstractmethod
    def show_reasoning(self, text: str) -> None:
        """The next piece of what the model thinks."""

    @abstractmethod
    def show_note(self, text: str) -> None:
        """A line about the answer, not of it."""


def open_screen() -> Screen:
    """The screen that suits the standard output."""
    console = Console(highlight=False)
    return MarkdownScreen(console) if console.is_terminal else PlainScreen()


class PlainScreen(Screen):
    """The answer's text and nothing else, byte for byte, each piece at once; notes go to stderr."""

    def __enter__(self) -> Self:
        self._last = ""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last and not self._last.endswith("\n"):
            self._write("\n")

    def show_text(self, text: str) -> None:
        self._last = text
        self._write(text)

    def show_reasoning(self, text: str) -> None:
        """Not a part of the answer."""

    def show_note(self, text: str) -> None:
        sys.stderr.write(defuse(text) + "\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class MarkdownScreen(Screen):
    """Blocks that are whole are printed for good; only the one that grows is drawn again, so any length fits."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._blocks = Blocks()
        self._live: Live | None = None
        self._thinks = False
        self._has_blocks = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_answer()

    def show_text(self, text: str) -> None:
        self._end_reasoning()
        if whole := self._blocks.feed(defuse(text)):
            self._print(whole)
        if self._live is None:
            growing = _Growing(self._blocks)
            self._live = Live(growing, console=self._console, refresh_per_second=_FRAMES_PER_SECOND, transient=True)
            self._live.start()

    def show_reasoning(self, text: str) -> None:
        self._thinks = True
        self._console.print(Text(defuse(text), style="dim italic"), end="")

    def show_note(self, text: str) -> None:
        self._end_answer()
        if self._has_blocks:
            self._console.print()
        self._has_blocks = False
        self._console.print(Text(defuse(text), style="dim"))

    def _end_answer(self) -> None:
        self._end_reasoning()
        self._print(self._blocks.take())

    def _end_reasoning(self) -> None:
        if self._thinks:
            self._console.print("\n")
        self._thinks = False

    def _print(self, block: str) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if block.strip():
            if self._has_blocks:
                self._console.print()
            self._console.print(Markdown(block))
            self._has_blocks = True


class Blocks:
    """Cuts Markdown that grows: what can't change any more, whatever follows, ends at a blank line outside a fence."""

    def __init__(self) -> None:
        self.rest = ""
        self._seen = 0
        self._fence = ""

    def feed(self, text: str) -> str:
        """Take the next piece, and return the blocks that are whole now."""
        self.rest += text
        cut = 0
        while (end := self.rest.find("\n", self._seen)) >= 0:
            if self._ends_block(self.rest[self._seen : end]):
                cut = end + 1
            self._seen = end + 1
        whole, self.rest = self.rest[:cut], self.rest[cut:]
        self._seen -= cut
        return whole

    def take(self) -> str:
        """All that is left, as it is; the next piece begins anew."""
        rest, self.rest, self._seen, self._fence = self.rest, "", 0, ""
        return rest

    def _ends_block(self, line: str) -> bool:
        if (found := _FENCE.match(line)) is None:
            return not self._fence and not line.strip()
        if not self._fence:
            self._fence = found[1]
        elif found[1].startswith(self._fence):
            self._fence = ""
        return False


class _Growing:
    """The block that grows, drawn when the terminal is: its last lines, as many as there is room for."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(Markdown(self._blocks.rest), options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()
