"""Whether an answer's tokens arrived, each once and in order, whatever format carried them."""

import re
from functools import lru_cache

_NUMBER = re.compile(rb"t(\d+)@\d+;")
_STAMP = re.compile(rb"t\d+@(\d+);")
_FINISH = re.compile(
    rb'"finish_reason": ?"stop"|"finishReason":"stop"|"stop_reason":"end_turn"|"done_reason":"stop"'
    rb'|"type":"response.completed"'
)
_MOST_WITHOUT_TOKEN = 64 * 1024


@lru_cache(maxsize=16)
def _numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(1, count + 1)]


class AnswerCheck:
    """Follows one answer's body; `feed` it the pieces in order, then ask `flaw_at_end`.

    `done` are the bytes that a whole answer's body must end on, apart from white space. Behind `deltas_end`, if it is
    given, tokens don't count. `delays` gets the age in microseconds of each token that was written at or after
    `timed_since`. After the first flaw nothing more is looked at.
    """

    __slots__ = ("_deltas_end", "_done", "_due", "_ended", "_rest", "_since", "delays", "flaw", "seen")

    def __init__(self, *, tokens: int, done: bytes, deltas_end: bytes = b"", timed_since: int | None = None) -> None:
        self._due = _numbers(tokens)
        self._done = done
        self._deltas_end = deltas_end
        self._ended = False
        self._since = timed_since
        self._rest = b""
        self.seen = 0
        self.delays: list[int] = []
        self.flaw: str | None = None

    def feed(self, data: bytes, now: int) -> None:
        """Look at the body's next bytes, which arrived at `now`, in microseconds."""
        if self.flaw is not None:
            return
        data = self._rest + data
        if self._deltas_end and (self._ended or self._deltas_end in data):
            data, told_again = self._part(data)
            self._take(data, now)
            self._rest = told_again[-_MOST_WITHOUT_TOKEN:]
            return
        self._take(data, now)
        self._keep_rest(data)

    def _part(self, data: bytes) -> tuple[bytes, bytes]:
        """The rest of the deltas, and what comes behind them."""
        if self._ended:
            return b"", data
        self._ended = True
        deltas, _, told_again = data.partition(self._deltas_end)
        return deltas, told_again

    def _take(self, data: bytes, now: int) -> None:
        numbers = _NUMBER.findall(data)
        due = self._due[self.seen : self.seen + len(numbers)]
        if numbers != due:
            self.flaw = self._name_misplaced(numbers, due)
            return
        self.seen += len(numbers)
        if (since := self._since) is not None:
            self.delays.extend(now - at for stamped in _STAMP.findall(data) if (at := int(stamped)) >= since)

    def flaw_at_end(self) -> str | None:
        """What is wrong with the answer, now that it has ended; None: it is whole."""
        if self.flaw is None:
            self.flaw = self._name_missing()
        return self.flaw

    def _keep_rest(self, data: bytes) -> None:
        self._rest = data[data.rfind(b";") + 1 :]
        if len(self._rest) > _MOST_WITHOUT_TOKEN:
            self.flaw = f"more than {_MOST_WITHOUT_TOKEN} bytes without a token after token {self.seen}"

    def _name_misplaced(self, numbers: list[bytes], due: list[bytes]) -> str:
        at = next((k for k, (found, wanted) in enumerate(zip(numbers, due, strict=False)) if found != wanted), len(due))
        if at == len(due):
            return f"token {int(numbers[at])} after the last, {len(self._due)}"
        return f"token {int(numbers[at])} where {int(due[at])} was due"

    def _name_missing(self) -> str | None:
        if self.seen < len(self._due):
            return f"ended after {self.seen} of {len(self._due)} tokens"
        if _FINISH.search(self._rest) is None:
            return "ended without the finish reason stop"
        if not self._rest.rstrip().endswith(self._done):
            return f"ended without {self._done.decode()}"
        return None
