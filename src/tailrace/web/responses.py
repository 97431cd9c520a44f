"""OpenAI's responses: asked for, stored, found again, gone on from, stopped and forgotten."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects import OPENAI_RESPONSES
from tailrace.dialects.openai_responses import (
    ResponseBody,
    find_number,
    merge_response,
    read_output,
    read_response,
    response_id,
    stream_id_of,
    write_terms,
)
from tailrace.errors import RequestError
from tailrace.generation import Filing, new_generation_id
from tailrace.ledger import Ledger
from tailrace.requests import Message
from tailrace.settings import Settings
from tailrace.streamlog import RingLog
from tailrace.web.answers import Answers
from tailrace.web.archive import Archive, list_turns, read_conversation, turns_of
from tailrace.web.auth import Caller
from tailrace.web.bodies import read_json
from tailrace.web.cursors import Place, parse_place
from tailrace.web.exchanges import answer_json
from tailrace.web.streams import Streams

_MOST_ITEMS: Final = 100
_USUAL_ITEMS: Final = 20


class Shelf(Protocol):
    """What stored responses need of the application; `Tailrace` is it."""

    settings: Settings
    ledger: Ledger


class Responses:
    """What clients of OpenAI's Responses API may do with their own responses."""

    def __init__(self, shelf: Shelf, answers: Answers, streams: Streams) -> None:
        self._max_body = shelf.settings.server.max_body
        self._archive = Archive(shelf.ledger)
        self._answers = answers
        self._streams = streams

    async def create(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/responses`."""
        if (resumed := await self._streams.resume(request, caller, OPENAI_RESPONSES)) is not None:
            return resumed
        body = await read_json(request, max_body=self._max_body)
        asked = read_response(body)
        now = time.time()
        new = asked.read_input(await self._archive.find_items(caller.scope, asked.references, now=now))
        older = await self._recall(asked, caller, new, now)
        alone = asked.conversation is None and caller.session_id is None
        call = asked.to_call(older, new, whole=alone)
        filing = _file(asked, new, stored=alone and asked.stored)
        begun = await self._answers.begin(request, caller, OPENAI_RESPONSES, call, body=body, filing=filing)
        if asked.background and not asked.stream:
            return _answer(begun.log, request)
        return self._answers.deliver(request, begun, OPENAI_RESPONSES, whole=not asked.stream)

    async def read(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/responses/{id}`: as it stands, or with `?stream=true` its events."""
        log = await self._get(request, caller)
        if request.query_params.get("stream", "false").lower() not in ("true", "1"):
            return _answer(log, request)
        if cursor := request.headers.get("last-event-id"):
            return await self._streams.attach(request, log, OPENAI_RESPONSES, _place_at(log, cursor))
        # OpenAI's clients read a body, if only to find it empty
        return await self._streams.attach(request, log, OPENAI_RESPONSES, await self._place(log, request), empty=True)

    async def _place(self, log: RingLog, request: Request) -> Place:
        """Where the client goes on. What it has read on another worker comes here a moment later."""
        try:
            return _place_in(log, request)
        except RequestError:
            await self._streams.await_more(log)
            return _place_in(log, request)

    async def cancel(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/responses/{id}/cancel`: the same answer each time."""
        log = await self._get(request, caller)
        await self._streams.stop(request, log)
        return _answer(log, request)

    async def delete(self, request: Request, caller: Caller) -> Response:
        """`DELETE /v1/responses/{id}`: forgotten, and stopped where it still runs."""
        wanted = request.path_params["response_id"]
        log = await self._find(wanted, caller)
        if log is not None and log.session_id != wanted:
            told = "the response belongs to a conversation: delete that, at /v1/sessions/{id}"
            raise RequestError(400, "in_conversation", told)
        if caller.session_id is not None or not await self._archive.holds(caller.scope, wanted):
            raise _not_found(wanted)
        if log is not None:
            await self._streams.forget(log)
        await self._archive.forget(caller.scope, wanted)
        return answer_json({"id": wanted, "object": "response", "deleted": True}, request)

    async def list_input(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/responses/{id}/input_items`: the conversation that it answers."""
        wanted = request.path_params["response_id"]
        if caller.session_id is not None or not await self._archive.holds(caller.scope, wanted):
            raise _not_found(wanted)
        turns = await self._archive.recall(caller.scope, wanted)
        own = stream_id_of(wanted)
        items = list_turns(turn for turn in turns if turn.generation_id != own)
        return answer_json(_page(items, request), request)

    async def _recall(
        self, asked: ResponseBody, caller: Caller, new: Sequence[Message], now: float
    ) -> tuple[Message, ...]:
        """The conversation that is gone on with."""
        previous = asked.previous_response_id
        if previous is None:
            return ()
        if caller.session_id is not None:
            told = "this token is for one session, and stored responses are none of it"
            raise RequestError(403, "token_session", told, field="previous_response_id")
        log = await self._find(previous, caller)
        if log is not None and log.terminal is None:
            told = f"the response {previous} is still being made"
            raise RequestError(400, "response_in_progress", told, field="previous_response_id")
        return read_conversation(await self._archive.go_on(caller.scope, previous, now=now), new)

    async def _get(self, request: Request, caller: Caller) -> RingLog:
        """The log of a stored response. Raises RequestError 404."""
        wanted = request.path_params["response_id"]
        log = await self._find(wanted, caller)
        if log is None or (log.session_id == wanted and not await self._archive.holds(caller.scope, wanted)):
            raise _not_found(wanted)
        return log

    async def _find(self, wanted: str, caller: Caller) -> RingLog | None:
        """The log of a response that was to be stored, while it is kept."""
        stream_id = stream_id_of(wanted)
        log = None if stream_id is None else await self._streams.find(stream_id, caller)
        stored = log is not None and log.dialect == OPENAI_RESPONSES.name and log.session_id is not None
        return log if stored else None


def _file(asked: ResponseBody, new: Sequence[Message], *, stored: bool) -> Filing:
    """Where the answer goes: if `stored`, into a session of its own."""
    now = time.time()
    generation_id = new_generation_id()
    return Filing(
        generation_id=generation_id,
        session_id=response_id(generation_id) if stored else None,
        turns=turns_of(new, previous=asked.previous_response_id, now=now) if stored else (),
        prologue=(write_terms(asked.to_terms(now)),),
        announced=asked.background is True,
        annex=read_output if stored else None,
    )


def _answer(log: RingLog, request: Request) -> Response:
    return answer_json(merge_response(log.id, log.read(0, log.tail), created_at=log.created_at), request)


def _place_at(log: RingLog, cursor: str) -> Place:
    """Where a frame's id stands in the log. Raises RequestError 400."""
    place = parse_place(cursor)
    if place.log_id != log.id:
        raise RequestError(400, "bad_cursor", "the Last-Event-ID is of another response")
    return place


def _place_in(log: RingLog, request: Request) -> Place:
    """Where the number that the client names stands in the log. Raises RequestError 400."""
    number = _read_number(request, "starting_after", default=-1, most=10**9)
    if number < 0:
        return Place(log_id=log.id, seq=0)
    found = find_number(log.id, log.read(0, log.tail), number)
    if log.torn and (found is None or found[0] >= log.tail - 1):
        # The client may have seen events that were lost with their writer: only the end is left for it
        return Place(log_id=log.id, seq=log.tail - 1)
    if found is None:
        told = f"the response has no event with the number {number} yet"
        raise RequestError(400, "bad_cursor", told, field="starting_after")
    return Place(log_id=log.id, seq=found[0], frames=found[1])


def _read_number(request: Request, name: str, *, default: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= most:
        return int(text)
    raise RequestError(400, "invalid_value", f"{name} must be a number up to {most}, not {text[:40]!r}", field=name)


def _page(items: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    """So many items from behind another one, the newest first unless asked otherwise."""
    limit = max(1, _read_number(request, "limit", default=_USUAL_ITEMS, most=_MOST_ITEMS))
    if request.query_params.get("order", "desc") != "asc":
        items = items[::-1]
    if (after := request.query_params.get("after")) is not None:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise RequestError(400, "invalid_value", f"there is no item {after[:80]!r}", field="after")
        items = items[places[0] + 1 :]
    page = items[:limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": "", "last_id": ""}
    return {"object": "list", "data": page, **ends, "has_more": len(items) > limit}


def _not_found(wanted: str) -> RequestError:
    return RequestError(404, "response_not_found", f"Response with id '{wanted[:80]}' not found.")
