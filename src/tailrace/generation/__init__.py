"""Generations: the answers being made, each a task of the application, with the money's side of it."""

from tailrace.generation.accounts import settled_status
from tailrace.generation.admission import Admission, Admitted, Order
from tailrace.generation.attempts import Attempt
from tailrace.generation.bookkeeping import Bookkeeper
from tailrace.generation.conversations import read_turns, write_turns
from tailrace.generation.filing import Filing
from tailrace.generation.generation import Generation
from tailrace.generation.generations import Generations, new_generation_id
from tailrace.generation.progress import Progress

__all__ = [
    "Admission",
    "Admitted",
    "Attempt",
    "Bookkeeper",
    "Filing",
    "Generation",
    "Generations",
    "Order",
    "Progress",
    "new_generation_id",
    "read_turns",
    "settled_status",
    "write_turns",
]
