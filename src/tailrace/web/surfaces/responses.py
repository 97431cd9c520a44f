"""OpenAI's routes for responses, which are kept and found again."""

from __future__ import annotations

from typing import Final

from tailrace.dialects import OPENAI_RESPONSES
from tailrace.web.endpoints import Endpoints
from tailrace.web.openapi import responses as openapi
from tailrace.web.responses import Responses

_ALL: Final = "/v1/responses"
_ONE: Final = "/v1/responses/{response_id}"


def add_responses(endpoints: Endpoints, responses: Responses) -> None:
    """What a client of OpenAI's Responses API asks for."""
    dialect = OPENAI_RESPONSES
    endpoints.add("POST", _ALL, responses.create, openapi.creating(), dialect=dialect)
    endpoints.add("GET", _ONE, responses.read, openapi.reading(), dialect=dialect)
    endpoints.add("DELETE", _ONE, responses.delete, openapi.deleting(), dialect=dialect)
    endpoints.add("POST", f"{_ONE}/cancel", responses.cancel, openapi.cancelling(), dialect=dialect)
    endpoints.add("GET", f"{_ONE}/input_items", responses.list_input, openapi.listing_input(), dialect=dialect)
