"""Who reads a log on workers other than its writer's, and who asks that it stop: notes in a hash beside the log.

Each reading worker has a field, which it writes again every second: how many readers, how far the furthest was, and a
number that grows. A field that stays the same for the time of a lease is a dead worker's. No clock is compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from typing import Final

import msgspec

from tailrace.streamlog.redis import names
from tailrace.streamlog.redis.line import Command, Line
from tailrace.streamlog.redis.mirrors import MirrorLog
from tailrace.streamlog.redis.writing import Terms
from tailrace.streamlog.ring import RingLog

TICK_S: Final = 1.0
"""How often it is told, and looked at."""

_STOP: Final = b"stop"
_READERS: Final = b"v:"


class _Report(msgspec.Struct):
    """What one worker said last, and how many looks it has not changed for."""

    said: bytes
    looks: int = 0


class Audience:
    """Both sides of it: what this worker tells of its mirrors' readers, and what it learns of its own logs'.

    `on_stop` is told which of its logs somebody wants stopped. Methods raise StoreError where Redis does not answer.
    """

    def __init__(self, line: Line, terms: Terms, *, lease_s: float, on_stop: Callable[[str], None]) -> None:
        self._line = line
        self._terms = terms
        self._on_stop = on_stop
        self._patience = max(2, math.ceil(lease_s / TICK_S))
        self._field = _READERS + terms.worker.encode()
        self._beat = 0
        self._reports: dict[str, dict[bytes, _Report]] = {}

    async def tell(self, mirrors: Sequence[MirrorLog]) -> None:
        """Tell the writers how many read here; those who hear of a first reader or a last one, at once."""
        self._beat += 1
        commands: list[Command] = []
        for log in mirrors:
            if log.viewers or log.reported:
                commands += self._report(log)
        if commands:
            await self._line.ask(*commands)

    def _report(self, log: MirrorLog) -> list[Command]:
        key, viewers = names.state_key(log.id), log.viewers
        news = bool(viewers) is not bool(log.reported)
        log.reported = viewers
        said = b"%d:%d:%d" % (viewers, log.delivered, self._beat)
        commands: list[Command] = [
            (b"HSET", key, self._field, said),
            (b"PEXPIRE", key, self._terms.running_ms),
        ]
        return [*commands, _hint(log)] if news else commands

    async def ask_to_stop(self, log: MirrorLog) -> None:
        """Have its writer stop a log: the flag is stored, the hint only makes it quick."""
        key = names.state_key(log.id)
        await self._line.ask((b"HSET", key, _STOP, b"1"), (b"PEXPIRE", key, self._terms.running_ms), _hint(log))

    async def look(self, logs: Sequence[RingLog], *, counts: bool = True) -> None:
        """See who reads these logs of ours elsewhere, and whether they are to stop.

        With `counts` reports that have not changed grow old by it: look so once a tick.
        """
        if not logs:
            return
        replies = await self._line.ask(*((b"HGETALL", names.state_key(log.id)) for log in logs))
        for log, fields in zip(logs, replies, strict=True):
            self._take(log, dict(zip(fields[::2], fields[1::2], strict=True)), age=1 if counts else 0)

    def forget_all_but(self, running: Container[str]) -> None:
        """All other logs have ended."""
        self._reports = {log_id: reports for log_id, reports in self._reports.items() if log_id in running}

    def _take(self, log: RingLog, state: dict[bytes, bytes], *, age: int) -> None:
        if not state and log.id not in self._reports:
            return
        reports = self._reports.setdefault(log.id, {})
        for field in state:
            if field.startswith(_READERS):
                reports.setdefault(field, _Report(b""))
        for field, report in reports.items():
            said = state.get(field, report.said)
            report.looks = report.looks + age if said == report.said else 0
            report.said = said
        live = [report for report in reports.values() if report.looks <= self._patience]
        viewers = sum(_number(report.said, 0) for report in live)
        log.note_remote(viewers, max((_number(report.said, 1) for report in reports.values()), default=0))
        if _STOP in state:
            self._on_stop(log.id)


def _hint(log: MirrorLog) -> Command:
    return (b"PUBLISH", names.hints_channel(log.header.worker), log.id)


def _number(said: bytes, place: int) -> int:
    return int(said.split(b":")[place])
