"""Stream logs: the ordered truth about each generation, which every viewer reads from a cursor of its own."""

from tailrace.streamlog.base import StreamLog, Viewer, entries
from tailrace.streamlog.create import create_store
from tailrace.streamlog.faces import Face, face_of
from tailrace.streamlog.follow import ended, follow
from tailrace.streamlog.ring import Ring, RingLog
from tailrace.streamlog.store import Author, LogStore, Mark, MemoryStore, tear

__all__ = [
    "Author",
    "Face",
    "LogStore",
    "Mark",
    "MemoryStore",
    "Ring",
    "RingLog",
    "StreamLog",
    "Viewer",
    "create_store",
    "ended",
    "entries",
    "face_of",
    "follow",
    "tear",
]
