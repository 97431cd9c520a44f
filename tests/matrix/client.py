"""A vendor's own client as the matrix sees it, and the turns that several formats write alike."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from tests.matrix.conversation import PNG, RESULTS, SCHEMA, TOOLS, Answer, Options

IMAGE_URL: Final = f"data:image/png;base64,{PNG}"
FUNCTIONS: Final[tuple[dict[str, Any], ...]] = tuple(
    {"type": "function", "function": {"name": name, "parameters": parameters}} for name, parameters in TOOLS.items()
)


class RefusedError(Exception):
    """The client has raised what it raises for a 400; `field` is the place that it names, where it has one for it."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BrokenError(Exception):
    """The client has raised what it raises for an answer that failed."""


class Client(ABC):
    """One client, and what its format has a place for."""

    name: ClassVar[str]
    wholes: ClassVar[bool] = True
    """Answers that are not streamed."""
    tells_refusals: ClassVar[bool] = False
    """A refusal apart from the text."""
    keeps_reasoning: ClassVar[bool] = True
    """Reasoning in a turn that is handed back."""
    keeps_signatures: ClassVar[bool] = False
    """A vendor's proof of its reasoning, and so what it does not show of it."""
    fields: ClassVar[dict[str, str | None]] = {}
    """What it calls a place that a refusal names otherwise; None where it tells no place."""

    @abstractmethod
    async def ask(self, model: str, turns: Sequence[Any], options: Options, *, stream: bool) -> Answer:
        """An answer. Raises RefusedError and BrokenError for what the client raises of a refusal and a failure."""

    @abstractmethod
    def user(self, text: str, *, image: bool = False) -> Any:
        """A user's turn."""

    @abstractmethod
    def results(self, answer: Answer) -> list[Any]:
        """The turns that give back what each tool of the answer found."""


def chat_options(options: Options) -> dict[str, Any]:
    """The fields of a chat completion."""
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    said: dict[str, Any] = {
        "tools": list(FUNCTIONS) if options.tools else None,
        "stop": list(options.stop) or None,
        "response_format": schema if options.schema else None,
        "max_tokens": options.limit,
    }
    return {name: value for name, value in said.items() if value is not None}


def chat_user(text: str, *, image: bool = False) -> dict[str, Any]:
    """A user's turn of a chat completion."""
    images = [{"type": "image_url", "image_url": {"url": IMAGE_URL}}] if image else []
    return {"role": "user", "content": [{"type": "text", "text": text}, *images]}


def chat_results(answer: Answer) -> list[dict[str, Any]]:
    """The turns of tools in a chat completion."""
    return [
        {"role": "tool", "tool_call_id": call_id, "content": result}
        for call_id, result in zip(answer.call_ids, RESULTS, strict=True)
    ]


def read_arguments(arguments: str | None) -> Any:
    """The arguments of a call; of one that has none, an empty object."""
    return json.loads(arguments or "{}")
