"""The conversations of stored responses, in the ledger's sessions.

Each stored response has a session of its own, named like it. It keeps the turns that were new with it, then the answer,
and before them, where it went on from another response, a turn that is nothing but that one's id. So any response may
be gone on from, as often as one likes and at the same time, and no turn is kept twice. The ledger forgets those that
nobody has gone on from for thirty days.

An answer that an upstream of the same format gave has its output behind its parts, by which it goes back there just as
it came, and in which its items are found by the names that the upstream gave them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tailrace.dialects.openai_responses import (
    AdoptedName,
    ItemName,
    list_answer,
    list_input,
    list_output,
    output_of,
    parse_adopted_id,
    parse_item_id,
    prefix_of,
    read_item,
    send_back,
    stream_id_of,
    without_output,
)
from tailrace.errors import RequestError
from tailrace.generation import read_turns, write_turns
from tailrace.ledger import Ledger, Scope, Turn
from tailrace.requests import Message, ToolCall, ToolResult

_NOTHING: Final = b"[]"
_YOUNG_S: Final = 86_400.0
"""How long after it was made the use of a response need not be noted: it is kept for thirty days more than that."""


class Archive:
    """Reads and forgets them; what writes them is `turns_of`, with the answer's own beginning."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def holds(self, scope: Scope, response_id: str) -> bool:
        """Whether the response is stored."""
        return bool(await self._history(scope, response_id))

    async def forget(self, scope: Scope, response_id: str) -> None:
        """Forget a stored response. Those that went on from it can't be gone on from any more."""
        await self._ledger.delete_session(scope, response_id)

    async def recall(self, scope: Scope, response_id: str) -> tuple[Turn, ...]:
        """The conversation up to and with a response. Raises RequestError 400 where any of it is not stored."""
        return _join(await self._trace(scope, response_id))

    async def go_on(self, scope: Scope, response_id: str, *, now: float) -> tuple[Turn, ...]:
        """The same, for a response that goes on from it: none of it expires before that one does."""
        traced = await self._trace(scope, response_id)
        await self._note_use(scope, traced, now)
        return _join(traced)

    async def _trace(self, scope: Scope, response_id: str) -> dict[str, list[Turn]]:
        """The turns of a response and of all before it, the oldest first. Raises RequestError 400."""
        traced: dict[str, list[Turn]] = {}
        wanted: str | None = response_id
        while wanted is not None:
            traced[wanted] = turns = await self._history(scope, wanted)
            if not turns:
                told = f"Previous response with id '{wanted[:80]}' not found."
                raise RequestError(400, "previous_response_not_found", told, field="previous_response_id")
            wanted = turns[0].id if _is_link(turns[0]) else None
        return dict(reversed(traced.items()))

    async def find_items(self, scope: Scope, item_ids: Iterable[str], *, now: float) -> dict[str, Message]:
        """What stands behind the ids of output items, to go on from; those that are not stored are left out."""
        histories: dict[str, list[Turn]] = {}
        answers: dict[str, Message] = {}
        found: dict[str, Message] = {}
        for item_id in item_ids:
            if (name := parse_adopted_id(item_id) or parse_item_id(item_id)) is None:
                continue
            if name.response_id not in answers:
                histories[name.response_id] = turns = await self._history(scope, name.response_id)
                answers[name.response_id] = _answer_in(turns)
            if (item := _find_item(answers[name.response_id], name)) is not None:
                found[item_id] = item
        await self._note_use(scope, histories, now)
        return found

    async def _note_use(self, scope: Scope, histories: Mapping[str, Sequence[Turn]], now: float) -> None:
        if any(turns and now - turns[0].created_at > _YOUNG_S for turns in histories.values()):
            await self._ledger.renew_sessions(scope, tuple(histories))

    async def _history(self, scope: Scope, response_id: str) -> list[Turn]:
        return [] if stream_id_of(response_id) is None else await self._ledger.history(scope, response_id)


def turns_of(messages: Sequence[Message], *, previous: str | None, now: float) -> tuple[Turn, ...]:
    """What a response's session keeps of its request: its new messages, after the response that it goes on from."""
    link = () if previous is None else (Turn(id=previous, role="system", content=_NOTHING, created_at=now),)
    return (*link, *write_turns(messages, now=now))


def read_conversation(turns: Sequence[Turn], new: Sequence[Message]) -> tuple[Message, ...]:
    """The turns as messages. Calls in an answer that was cut are left out where the new ones do not answer them."""
    answered = {part.id for message in new for part in message.parts if isinstance(part, ToolResult)}
    read = zip(turns, read_turns(turns), strict=True)
    messages = (
        _as_it_came(message) if turn.status == "whole" else _keep_answered(message, answered) for turn, message in read
    )
    return tuple(message for message in messages if message.parts or message.verbatim is not None)


def list_turns(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """The turns as a response's input items."""
    items: list[dict[str, Any]] = []
    for turn in turns:
        (message,) = read_turns((turn,))
        if turn.generation_id is None:
            items += list_input(turn.id, message)
        elif output := output_of(message):
            items += list_output(turn.generation_id, output)
        else:
            items += list_answer(turn.generation_id, message)
    return items


def _join(traced: Mapping[str, Sequence[Turn]]) -> tuple[Turn, ...]:
    return tuple(turn for turns in traced.values() for turn in turns if not _is_link(turn))


def _is_link(turn: Turn) -> bool:
    return turn.content == _NOTHING and stream_id_of(turn.id) is not None


def _answer_in(turns: Sequence[Turn]) -> Message:
    answers = (read_turns((turn,))[0] for turn in turns if turn.generation_id is not None)
    return next(answers, Message(role="assistant", parts=()))


def _find_item(answer: Message, name: AdoptedName | ItemName) -> Message | None:
    if isinstance(name, AdoptedName):
        items = [item for item in output_of(answer) if item.get("id") == name.upstream_id]
        return read_item(items[0]) if items else None
    parts = [part for part in answer.parts if prefix_of(part) == name.prefix]
    return Message(role="assistant", parts=(parts[name.number],)) if name.number < len(parts) else None


def _as_it_came(message: Message) -> Message:
    """An answer by its own items, for an upstream of the same format."""
    if not (output := output_of(message)):
        return message
    return msgspec.structs.replace(without_output(message), verbatim=send_back(output))


def _keep_answered(message: Message, answered: set[str]) -> Message:
    parts = tuple(part for part in message.parts if not isinstance(part, ToolCall) or part.id in answered)
    return msgspec.structs.replace(message, parts=parts)
