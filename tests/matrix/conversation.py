"""What is asked and answered in the matrix, in no vendor's words."""

from __future__ import annotations

import base64
from typing import Any, Final, Literal, TypeAlias

import msgspec

Finish: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]

SYSTEM: Final = "Be brief."
PROMPT: Final = "How is it in Bern?"
RESULTS: Final = ("mild", "noon")
"""What the two tools give back."""

PNG: Final = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360f8cf500f0003860180e3d55ef60000000049454e44ae426082"
    )
).decode()

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: Final[dict[str, dict[str, Any]]] = {
    "get_weather": {"type": "object", "properties": {"city": {"type": "string"}}},
    "get_time": {"type": "object", "properties": {"zone": {"type": "string"}}},
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says beside its turns."""

    tools: bool = False
    image: bool = False
    stop: tuple[str, ...] = ()
    schema: bool = False
    limit: int | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as a client hands it to its program. `turns` are what that appends to its conversation.

    A `call_ids` is what the client knows each call by. A refusal that has a place of its own is in `refusal`.
    """

    text: str
    finish: Finish | None
    usage: tuple[int | None, int | None]
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    call_ids: tuple[str, ...] = ()
    turns: Any = None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What an upstream was asked. `calls` and `results` have the id that joins them, where the format has one."""

    system: str = ""
    users: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    calls: tuple[tuple[str | None, str, Any], ...] = ()
    results: tuple[tuple[str | None, str], ...] = ()
    thoughts: tuple[tuple[str, str | None], ...] = ()
    said: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    schema: Any = None
    limit: int | None = None
