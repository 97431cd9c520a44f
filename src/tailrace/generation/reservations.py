"""What an answer is likely to use, guessed before anything is asked; the truth replaces it in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailrace import tokens
from tailrace.errors import RequestError
from tailrace.generation.attempts import Attempt
from tailrace.ledger import Pico, cost_of
from tailrace.requests import ChatRequest

_CHARS_PER_TOKEN: Final = 4
_LIKELY_OUTPUT: Final = 1000
"""Tokens of an answer without a cap."""


def estimate_input(request: ChatRequest) -> int:
    """How many tokens a request may be."""
    return tokens.length(request) // _CHARS_PER_TOKEN + 4


def estimate_output(request: ChatRequest) -> int:
    """How many tokens its answer may be."""
    return _LIKELY_OUTPUT if request.max_tokens is None else request.max_tokens


def reserve(attempts: Sequence[Attempt], *, left: Pico) -> Pico:
    """What to reserve of a budget of which so much is left: the likely cost of the dearest attempt, if that is left.

    It is never less than what the input alone will cost, so that the ledger refuses what can't be paid for. Raises
    RequestError 403 `model_without_price`.
    """
    asked = max(_cost(attempt, output_tokens=0) for attempt in attempts)
    likely = max(_cost(attempt, output_tokens=estimate_output(attempt.request)) for attempt in attempts)
    return max(asked, min(likely, max(left, 1)))


def _cost(attempt: Attempt, *, output_tokens: int) -> Pico:
    input_tokens = estimate_input(attempt.request)
    price = attempt.tariff.price(input_tokens)
    if price is None:
        raise RequestError(
            403,
            "model_without_price",
            f"this key has a budget, and the model {attempt.name} has no price; set one in [models]",
            field="model",
        )
    return cost_of(price, input_tokens, 0, output_tokens)


def budget_exceeded() -> RequestError:
    """The refusal of what the key's budget does not reach for."""
    return RequestError(
        429,
        "budget_exceeded",
        "what is left of this key's budget does not reach for this conversation",
        headers={"x-should-retry": "false"},
    )
