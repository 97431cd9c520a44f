"""Generations: the answers being made, each a task of the application, with the money's side of it."""

from tailrace.generation.accounts import settled_status
from tailrace.generation.admission import Admission, Admitted, Order
from tailrace.generation.attempts import Attempt
from tailrace.generation.bookkeeping import Bookkeeper
from tailrace.generation.generation import Generation
from tailrace.generation.generations import Generations, new_generation_id

__all__ = [
    "Admission",
    "Admitted",
    "Attempt",
    "Bookkeeper",
    "Generation",
    "Generations",
    "Order",
    "new_generation_id",
    "settled_status",
]
