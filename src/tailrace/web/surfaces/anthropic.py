"""Anthropic's routes: messages, and how many tokens one would be."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

from tailrace.dialects import ANTHROPIC, Call, add_betas
from tailrace.web.answers import Answers
from tailrace.web.auth import Caller
from tailrace.web.catalogue import Stock
from tailrace.web.counting import Counting
from tailrace.web.endpoints import Endpoints
from tailrace.web.openapi import anthropic


def add_anthropic(endpoints: Endpoints, answers: Answers, stock: Stock) -> None:
    """What a client of Anthropic's asks for."""
    making = answers.posting(ANTHROPIC, streams=False, amend=_take_betas)
    endpoints.add("POST", "/v1/messages", making, anthropic.making_messages(), dialect=ANTHROPIC)
    counting = Counting(stock).count
    endpoints.add("POST", "/v1/messages/count_tokens", counting, anthropic.counting_tokens(), dialect=ANTHROPIC)


def _take_betas(request: Request, caller: Caller, call: Call) -> Call:
    """Beta features are asked for in a header, which goes on to upstreams of Anthropic's."""
    betas = ", ".join(request.headers.getlist("anthropic-beta"))
    return msgspec.structs.replace(call, request=add_betas(call.request, betas))
