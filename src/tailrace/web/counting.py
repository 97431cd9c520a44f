"""How many tokens a prompt is, told without asking a model."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from tailrace import tokens
from tailrace.dialects import read_prompt
from tailrace.web.auth import AllowLists, Caller
from tailrace.web.bodies import read_json
from tailrace.web.catalogue import Stock
from tailrace.web.exchanges import answer_json


class Counting:
    """Counts with the vocabulary of the model that is named, for those who may use it."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._allow_lists = AllowLists(stock.models)

    async def count(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/messages/count_tokens`, as Anthropic answers it."""
        asked = read_prompt(await read_json(request, max_body=self._stock.settings.server.max_body))
        found = self._stock.models.resolve(asked.model or None)
        self._allow_lists.check(caller, found)
        counted, _ = await asyncio.to_thread(tokens.count_request, asked, found.model)
        return answer_json({"input_tokens": counted}, request)
