"""tailrace's own streams, each with how it is asked and how its text is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec
from tests.reader import Answer, ask


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where to ask, and the format of the answer; `array`: the body is a bare list of messages."""

    method: Literal["GET", "POST"]
    path: str
    format: Literal["delta", "token", "raw", "meta"]
    array: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}{' array' if self.array else ''}"

    def target(self, message: str, model: str) -> str:
        """The path with its query."""
        if self.method == "GET":
            return f"{self.path}?{urlencode({'message': message, 'model': model})}"
        return f"{self.path}?{urlencode({'model': model})}" if self.array else self.path

    def body(self, message: str, model: str) -> Any:
        """What is posted, None for a GET."""
        if self.method == "GET":
            return None
        if self.array:
            return [{"role": "user", "content": message}]
        return {"message": message, "model": model, **({"stream": True} if self.path == "/v1/chat" else {})}

    def curl(self, url: str, message: str, model: str) -> list[str]:
        """curl's arguments for the same."""
        body = self.body(message, model)
        return [url + self.target(message, model), *([] if body is None else ["--json", json.dumps(body)])]

    async def ask(self, url: str, message: str, model: str) -> Reply:
        """Ask and read to the end."""
        answer = await ask(url, self.method, self.target(message, model), self.body(message, model))
        return Reply(self, answer)

    def finishes(self, output: str) -> bool:
        """Whether a stream as it was printed ends as a whole answer does."""
        return _ENDS[self.format] in output.rstrip().rpartition("\n\n")[2]


_ENDS: Final = {
    "delta": "data: [DONE]",
    "token": '"finish_reason":"',
    "raw": "event: done\ndata: ",
    "meta": '"finish_reason":"',
}
_ERROR_STATUS: Final = 400


class Reply:
    """A whole answer of one endpoint, read by the rules of its format."""

    def __init__(self, endpoint: Endpoint, answer: Answer) -> None:
        self._endpoint = endpoint
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self._answer = answer

    @property
    def text(self) -> str:
        """The answer's text."""
        if self._endpoint.format == "raw":
            return "".join(event.data for event in self._answer.events if event.event == "token")
        return self._answer.text

    @property
    def reasoning(self) -> str:
        """What the model thought."""
        return "".join(piece.get("reasoning", "") for piece in self._answer.objects)

    @property
    def tool_calls(self) -> list[tuple[str, Any]]:
        """The name and the arguments of each call."""
        calls: dict[int, tuple[str, str]] = {}
        for piece in (piece["tool_call"] for piece in self._answer.objects if "tool_call" in piece):
            name, arguments = calls.get(piece["index"], ("", ""))
            calls[piece["index"]] = (name + piece.get("name", ""), arguments + piece["arguments"])
        return [(name, json.loads(arguments)) for name, arguments in calls.values()]

    @property
    def finished(self) -> str | None:
        """The finish reason, None where the stream doesn't end as a whole answer does."""
        events = self._answer.events
        if self._endpoint.format == "raw":
            return events[-1].data if events[-1].event == "done" else None
        if self._endpoint.format == "delta" and events[-1].data != "[DONE]":
            return None
        said = [piece["finish_reason"] for piece in self._answer.objects if "finish_reason" in piece]
        return said[0] if said else None

    @property
    def failure(self) -> tuple[str | None, str] | None:
        """Code and message of the error that the answer is, or ends with; raw has no code."""
        if self.status >= _ERROR_STATUS:
            problem = self._answer.json()
            return problem["code"], problem["detail"]
        last = self._answer.events[-1]
        if self._endpoint.format == "raw":
            return (None, last.data) if last.event == "error" else None
        error = json.loads(last.data) if last.data.startswith("{") else {}
        return (error["code"], error["message"]) if "code" in error else None

    @property
    def usage(self) -> dict[str, Any]:
        """What the stream says was used; meta says nothing of the kind."""
        for event, piece in ((event, json.loads(event.data)) for event in self._answer.events if event.data[:1] == "{"):
            if event.event == "usage":
                return dict(piece)
            if "usage" in piece:
                return dict(piece["usage"])
        return {}

    @property
    def body(self) -> bytes:
        """The bytes themselves."""
        return self._answer.body


ENDPOINTS: Final = (
    Endpoint(method="POST", path="/v1/chat/stream", format="delta"),
    Endpoint(method="POST", path="/api/v1/chat/stream", format="delta"),
    Endpoint(method="POST", path="/api/chat/stream", format="delta"),
    Endpoint(method="GET", path="/v1/chat", format="delta"),
    Endpoint(method="GET", path="/api/v1/chat", format="delta"),
    Endpoint(method="GET", path="/api/chat", format="delta"),
    Endpoint(method="POST", path="/v1/chat", format="delta"),
    Endpoint(method="POST", path="/chat/stream", format="token"),
    Endpoint(method="POST", path="/chat/stream", format="raw", array=True),
    Endpoint(method="GET", path="/chat/stream", format="raw"),
    Endpoint(method="POST", path="/chat/stream-meta", format="meta"),
)
"""Those that any model answers on."""

ANTHROPIC: Final = Endpoint(method="POST", path="/anthropic/stream", format="token")
"""Only Anthropic's models answer here."""


async def whole_answer(url: str, model: str) -> str:
    """What the model answers to "Hi", as one JSON document has it."""
    answer = await ask(url, "POST", "/v1/chat", {"message": "Hi", "model": model})
    return str(answer.json()["text"])
