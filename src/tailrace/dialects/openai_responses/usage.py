"""Usage as OpenAI's responses have it.

The format: https://platform.openai.com/docs/api-reference/responses/object#responses/object-usage.
"""

from __future__ import annotations

from typing import Any

from tailrace.events import UsageReported


def usage_json(usage: UsageReported | None) -> dict[str, Any] | None:
    """Usage as the format writes it; None where a count is not known, for its clients take every count for a number."""
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
