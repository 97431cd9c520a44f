"""Tool calls as Ollama writes them: whole, with their arguments as an object."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

import msgspec

from tailrace.dialects.base import replace_surrogates
from tailrace.errors import WireError
from tailrace.events import ToolCallDelta, ToolCallStarted

_NO_ARGUMENTS: Final = "{}"


class HeldCalls:
    """The calls of an answer, held until it ends: only then is it sure that no piece of them is to come."""

    def __init__(self) -> None:
        self._calls: dict[int, _HeldCall] = {}

    def add(self, event: ToolCallStarted | ToolCallDelta) -> None:
        """Take the next piece."""
        match event:
            case ToolCallStarted(call=call, id=call_id, name=name):
                self._calls[call] = _HeldCall(id=call_id, name=name)
            case ToolCallDelta(call=call, arguments=arguments) if call in self._calls:
                self._calls[call].arguments.append(arguments)

    def write(self, *, cut: bool) -> list[dict[str, Any]]:
        """The calls as Ollama's JSON; of an answer that was `cut` without those that it left unfinished.

        Raises WireError for arguments that are no JSON object: the format has no place for them.
        """
        written: list[dict[str, Any]] = []
        for call in self._calls.values():
            arguments = _read_object("".join(call.arguments))
            if arguments is not None:
                function = {"index": len(written), "name": call.name, "arguments": arguments}
                written.append({"id": call.id, "function": function})
            elif not cut:
                raise WireError(f"the model called {call.name[:200]!r} with arguments that are not a JSON object")
        return written


class _HeldCall(msgspec.Struct, kw_only=True):
    id: str
    name: str
    arguments: list[str] = []


def _read_object(text: str) -> msgspec.Raw | None:
    """The text as JSON in one line, its numbers as they were; None where it is no object."""
    text = replace_surrogates(text).strip() or _NO_ARGUMENTS
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    # Between tokens alone may valid JSON hold a line's end.
    line = text.replace("\r", " ").replace("\n", " ")
    return msgspec.Raw(line.encode()) if isinstance(value, dict) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
