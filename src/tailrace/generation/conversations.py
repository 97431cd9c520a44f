"""Conversations that are kept: turns as the ledger holds them, messages as a model is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tailrace import tokens
from tailrace.errors import RequestError
from tailrace.events import Event
from tailrace.generation.parts import parts_of
from tailrace.ids import new_id
from tailrace.ledger import Turn
from tailrace.requests import ChatRequest, Message, Part, Reasoning, ToolCall, ToolResult

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[Part, ...]).decode


def write_turns(messages: Iterable[Message], *, now: float) -> tuple[Turn, ...]:
    """New messages as turns with ids of their own. Raises RequestError 422 for a text that JSON can't hold."""
    return tuple(
        Turn(id=_new_id(), role=message.role, content=_write(message, place), created_at=now)
        for place, message in enumerate(messages)
    )


def read_turns(turns: Iterable[Turn]) -> tuple[Message, ...]:
    """Turns as messages, in the same order."""
    return tuple(Message(role=turn.role, parts=_decode(turn.content)) for turn in turns)


def answer_turn(
    events: Iterable[Event], *, generation_id: str, now: float, whole: bool, more: Sequence[Part] = ()
) -> Turn | None:
    """What a model said, as a turn, with `more` parts behind its own; None where it said nothing."""
    parts = (*parts_of(events), *more)
    if not parts:
        return None
    return Turn(
        id=_new_id(),
        role="assistant",
        content=_encode(parts),
        created_at=now,
        status="whole" if whole else "partial",
        generation_id=generation_id,
    )


def continue_conversation(history: Sequence[Turn], request: ChatRequest, *, cap: int) -> ChatRequest:
    """The request with the whole conversation in place of its new messages, which `history` ends with.

    The latest system prompt comes first, all of it. Of the rest the newest turns that fit into `cap` tokens, from a
    user's turn on; the new messages always, with the turns back to a user's that they answer to. What no vendor takes
    is left out: calls of tools that were never answered, as in an answer that was cut, and results without their call.

    A history that does not `fit` is counted with a tokenizer: no work for the event loop.
    """
    older = read_turns(history[: len(history) - len(request.messages)])
    new = [message for message in request.messages if message.role != "system"]
    turns = [*(message for message in older if message.role != "system"), *new]
    first = 0 if fits(history, cap) else _find_first(turns, len(turns) - len(new), model=request.model, cap=cap)
    kept = _pair_calls(turns[first : len(turns) - len(new)], new)
    system = _latest_system(history, (*older, *request.messages))
    return msgspec.structs.replace(request, messages=(*system, *kept, *new))


def fits(history: Sequence[Turn], cap: int) -> bool:
    """Whether a conversation is at most `cap` tokens long, told without counting: a token is a byte at least."""
    return sum(len(turn.content) for turn in history) <= cap


def _write(message: Message, place: int) -> bytes:
    try:
        return _encode(message.parts)
    except UnicodeEncodeError:
        where = f"messages.{place}"
        raise RequestError(422, "invalid_text", f"{where} has half a surrogate pair in it", field=where) from None


def _latest_system(history: Sequence[Turn], messages: Sequence[Message]) -> list[Message]:
    """The system messages that came last; those of one request have one time."""
    times = [turn.created_at for turn in history if turn.role == "system"]
    prompts = zip(history, messages, strict=True)
    return [message for turn, message in prompts if turn.role == "system" and turn.created_at == times[-1]]


def _find_first(turns: Sequence[Message], new: int, *, model: str, cap: int) -> int:
    """The first turn to be sent; `new` is the place of the first new one."""
    first = least = _find_question(turns, new)
    room = cap
    for place in range(len(turns) - 1, -1, -1):
        room -= tokens.count_request(ChatRequest(model=model, messages=(turns[place],)), model)[0]
        if place < least:
            if room < 0:
                return first
            if turns[place].role == "user":
                first = place
    return 0 if room >= 0 else first


def _find_question(turns: Sequence[Message], new: int) -> int:
    """The user's turn that the new ones begin with, or else answer to; the first of all where there is none."""
    return next((place for place in range(min(new, len(turns) - 1), 0, -1) if turns[place].role == "user"), 0)


def _pair_calls(messages: Iterable[Message], new: Iterable[Message]) -> list[Message]:
    """The messages with only those calls that were answered, there or in the new ones, and only their results."""
    kept = list(messages)
    called = {part.id for message in kept for part in message.parts if isinstance(part, ToolCall)}
    answered = {part.id for message in (*kept, *new) for part in message.parts if isinstance(part, ToolResult)}
    paired = (_without_single(message, called & answered) for message in kept)
    return [message for message in paired if not all(isinstance(part, Reasoning) for part in message.parts)]


def _without_single(message: Message, paired: set[str]) -> Message:
    parts = tuple(part for part in message.parts if not isinstance(part, (ToolCall, ToolResult)) or part.id in paired)
    return message if len(parts) == len(message.parts) else msgspec.structs.replace(message, parts=parts)


def _new_id() -> str:
    return new_id("msg_", 9)
