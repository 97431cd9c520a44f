"""Whether an answer's tokens arrived, each once and in order, whatever format carried them."""

import re
from functools import lru_cache

_NUMBER = re.compile(rb"t(\d+)@\d+;")
_STAMP = re.compile(rb"t\d+@(\d+);")
_FINISH = re.compile(rb'"finish_reason": ?"stop"')
_MOST_WITHOUT_TOKEN = 64 * 1024


@lru_cache(maxsize=16)
def _numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(1, count + 1)]


class AnswerCheck:
    """Follows one answer's body; `feed` it the pieces in order, then ask `flaw_at_end`.

    `done` are the bytes that a whole answer's body must end on, apart from white space. With `timed`, `delays` gets
    each token's age in microseconds. After the first flaw nothing more is looked at.
    """

    __slots__ = ("_done", "_due", "_rest", "_timed", "delays", "flaw", "seen")

    def __init__(self, *, tokens: int, done: bytes, timed: bool = False) -> None:
        self._due = _numbers(tokens)
        self._done = done
        self._timed = timed
        self._rest = b""
        self.seen = 0
        self.delays: list[int] = []
        self.flaw: str | None = None

    def feed(self, data: bytes, now: int) -> None:
        """Look at the body's next bytes, which arrived at `now`, in microseconds."""
        if self.flaw is not None:
            return
        data = self._rest + data
        numbers = _NUMBER.findall(data)
        due = self._due[self.seen : self.seen + len(numbers)]
        if numbers != due:
            self.flaw = self._name_misplaced(numbers, due)
            return
        self.seen += len(numbers)
        if self._timed:
            self.delays.extend(now - int(stamped) for stamped in _STAMP.findall(data))
        self._keep_rest(data)

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
