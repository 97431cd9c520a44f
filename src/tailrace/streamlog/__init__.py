"""Stream logs: the ordered truth about each generation, which every viewer reads from a cursor of its own."""

from tailrace.streamlog.base import StreamLog, Viewer, entries
from tailrace.streamlog.follow import follow
from tailrace.streamlog.ring import Ring, RingLog

__all__ = ["Ring", "RingLog", "StreamLog", "Viewer", "entries", "follow"]
