"""`/v1/usage`: what was used, summed and row by row, as JSON or CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from tailrace.keys import parse_flags
from tailrace.ledger import Ledger
from tailrace.web.admin.bodies import GenerationsQuery, UsageQuery
from tailrace.web.auth import Caller
from tailrace.web.exchanges import answer_json, own_headers
from tailrace.web.figures import ROW_COLUMNS, Figures, as_csv, as_json, read_row, read_total, total_columns


class Usage:
    """A caller's own usage, everyone's for an admin."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def sum(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/usage?by=key|model|day|status&since=7d`."""
        caller.refuse_token("usage")
        asked = parse_flags(request.query_params, UsageQuery)
        totals = await self._ledger.totals(caller.usage_scope, by=asked.by, since=asked.since)
        names = await self._key_names(caller) if asked.by == "key" else {}
        sums = [read_total(total, asked.by, names) for total in totals]
        if _wants_csv(request, asked.format):
            return _answer_csv(total_columns(asked.by), sums, request, name="usage.csv")
        return answer_json({"data": [as_json(figures) for figures in sums]}, request)

    async def list(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/usage/generations?limit=&cursor=`, newest first."""
        caller.refuse_token("usage")
        asked = parse_flags(request.query_params, GenerationsQuery)
        page = await self._ledger.rows(caller.usage_scope, limit=asked.limit, cursor=asked.cursor)
        rows = [read_row(row) for row in page.items]
        if _wants_csv(request, asked.format):
            answer = _answer_csv(ROW_COLUMNS, rows, request, name="generations.csv")
            if page.next_cursor is not None:
                answer.headers["x-next-cursor"] = page.next_cursor
            return answer
        return answer_json({"data": [as_json(figures) for figures in rows], "next_cursor": page.next_cursor}, request)

    async def _key_names(self, caller: Caller) -> Mapping[str, str]:
        own = {caller.key.id: caller.key.name}
        return {key.id: key.name for key in await self._ledger.keys()} | own if caller.admin else own


def _wants_csv(request: Request, asked: str | None) -> bool:
    return asked == "csv" if asked is not None else "text/csv" in request.headers.get("accept", "")


def _answer_csv(columns: Sequence[str], rows: Iterable[Figures], request: Request, *, name: str) -> Response:
    headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="{name}"'}
    response = Response(as_csv(columns, rows), media_type="text/csv", headers=headers)
    response.raw_headers += own_headers(request)
    return response
