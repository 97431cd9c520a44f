"""Conversations that are kept: turns as the ledger holds them, messages as a model is asked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tailrace import tokens
from tailrace.events import Event, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, ToolCallStarted
from tailrace.ledger import Turn
from tailrace.requests import ChatRequest, Message, Part, Reasoning, Text, ToolCall

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[Part, ...]).decode


def write_turns(messages: Iterable[Message], *, now: float) -> tuple[Turn, ...]:
    """New messages as turns with ids of their own."""
    return tuple(
        Turn(id=_new_id(), role=message.role, content=_encode(message.parts), created_at=now) for message in messages
    )


def read_turns(turns: Iterable[Turn]) -> tuple[Message, ...]:
    """Turns as messages, in the same order."""
    return tuple(Message(role=turn.role, parts=_decode(turn.content)) for turn in turns)


def continue_conversation(history: Sequence[Turn], request: ChatRequest, *, cap: int) -> ChatRequest:
    """The request with the whole conversation in place of its new messages, which `history` ends with.

    The latest system prompt comes first; of the rest the newest turns that fit into `cap` tokens, the new ones always.
    """
    said = read_turns(history)
    system = [message for message in said if message.role == "system"][-1:]
    turns = [message for message in said if message.role != "system"]
    new = sum(message.role != "system" for message in request.messages)
    first = _first_that_fits(turns, new, model=request.model, cap=cap)
    return msgspec.structs.replace(request, messages=(*system, *turns[first:]))


def answer_turn(events: Iterable[Event], *, generation_id: str, now: float, whole: bool) -> Turn | None:
    """What a model said, as a turn; None where it said nothing."""
    parts = _parts(events)
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


def _first_that_fits(turns: Sequence[Message], new: int, *, model: str, cap: int) -> int:
    """The first turn to be sent: a user's, so that no tool result comes without its call."""
    whole = ChatRequest(model=model, messages=tuple(turns))
    if tokens.length(whole) <= cap:
        return 0  # a token has at least one character
    room = cap
    first = len(turns) - new
    for place in range(len(turns) - 1, -1, -1):
        room -= tokens.count_request(ChatRequest(model=model, messages=(turns[place],)), model)[0]
        if room < 0 and place < len(turns) - new:
            break
        if turns[place].role == "user":
            first = min(first, place)
    return first


def _parts(events: Iterable[Event]) -> tuple[Part, ...]:
    text: list[str] = []
    reasoning: list[str] = []
    signature: str | None = None
    calls: dict[int, ToolCallStarted] = {}
    arguments: dict[int, list[str]] = {}
    for event in events:
        match event:
            case TextDelta(text=piece) | RefusalDelta(text=piece):
                text.append(piece)
            case ReasoningDelta(text=piece):
                reasoning.append(piece)
                signature = event.signature or signature
            case ToolCallStarted(call=call):
                calls[call] = event
            case ToolCallDelta(call=call, arguments=piece):
                arguments.setdefault(call, []).append(piece)
            case _:
                pass
    thought: tuple[Part, ...] = (Reasoning(text="".join(reasoning), signature=signature),) if reasoning else ()
    said: tuple[Part, ...] = (Text(text="".join(text)),) if text else ()
    called = (
        ToolCall(id=started.id, name=started.name, arguments="".join(arguments.get(call, ())))
        for call, started in calls.items()
    )
    return (*thought, *said, *called)


def _new_id() -> str:
    return f"msg_{os.urandom(9).hex()}"
