"""Reads each format back as a client would: what a frame says, and what neighbouring frames say together.

A format that the contract suite shall run over needs a reader here, under its name.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tailrace.dialects import Dialect
from tailrace.events import Event
from tailrace.sse import Decoder

STREAM_ID: Final = "gen_0123456789abcdef01234567"


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame; `value` is its data, parsed where the format says JSON."""

    event: str
    id: str
    value: Any


class Reader(ABC):
    """One format as its clients see it."""

    def parse(self, stream: bytes) -> list[Frame]:
        """The frames of a stream that ends with a whole one."""
        found = Decoder().feed(stream)
        return [Frame(event=frame.event, id=frame.id, value=self.value(frame.data)) for frame in found]

    def value(self, data: str) -> Any:
        return json.loads(data)

    @abstractmethod
    def text(self, frame: Frame) -> str | None:
        """The piece of the answer's text that a frame brings, None where it is of another kind."""

    @abstractmethod
    def ending(self, frame: Frame) -> str | None:
        """`finished` or `failed` where the frame says so."""

    def join(self, earlier: Frame, later: Frame) -> Frame:
        """The one frame that may stand for two neighbouring ones that bring text."""
        return msgspec.structs.replace(later, value=self.join_values(earlier.value, later.value))

    @abstractmethod
    def join_values(self, earlier: Any, later: Any) -> Any: ...

    def whole_text(self, frames: Sequence[Frame]) -> str:
        """The answer's text, put together."""
        return "".join(self.text(frame) or "" for frame in frames)

    def joined(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames with all neighbouring text joined."""
        result: list[Frame] = []
        for frame in frames:
            if result and self.text(frame) is not None and self.text(result[-1]) is not None:
                frame = self.join(result.pop(), frame)  # noqa: PLW2901
            result.append(frame)
        return result

    def expected(self, text: str) -> str:
        """What a client gets of this text."""
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)


class DeltaReader(Reader):
    def value(self, data: str) -> Any:
        return data if data == "[DONE]" else json.loads(data)

    def text(self, frame: Frame) -> str | None:
        ends = frame.value == "[DONE]" or frame.value["done"]
        return None if frame.event != "message" or ends else str(frame.value["delta"])

    def ending(self, frame: Frame) -> str | None:
        if frame.event == "error":
            return "failed"
        return "finished" if frame.value == "[DONE]" else None

    def join_values(self, earlier: Any, later: Any) -> Any:
        return {**later, "delta": earlier["delta"] + later["delta"], "tokens": earlier["tokens"] + later["tokens"]}


class TokenReader(Reader):
    def text(self, frame: Frame) -> str | None:
        return str(frame.value["token"]) if frame.event == "token" else None

    def ending(self, frame: Frame) -> str | None:
        return {"done": "finished", "error": "failed"}.get(frame.event)

    def join_values(self, earlier: Any, later: Any) -> Any:
        return {**later, "token": earlier["token"] + later["token"]}


class RawReader(TokenReader):
    def value(self, data: str) -> Any:
        return data

    def text(self, frame: Frame) -> str | None:
        return str(frame.value) if frame.event == "token" else None

    def join_values(self, earlier: Any, later: Any) -> Any:
        return earlier + later

    def expected(self, text: str) -> str:
        return super().expected(text).replace("\r", "\n")


class MetaReader(Reader):
    def text(self, frame: Frame) -> str | None:
        return str(frame.value["token"]) if frame.value["event"] == "token" else None

    def ending(self, frame: Frame) -> str | None:
        return {"done": "finished", "error": "failed"}.get(frame.value["event"])

    def join_values(self, earlier: Any, later: Any) -> Any:
        return {**later, "token": earlier["token"] + later["token"]}


class OpenAIChatReader(Reader):
    def value(self, data: str) -> Any:
        return data if data == "[DONE]" else json.loads(data)

    def text(self, frame: Frame) -> str | None:
        choices = [] if frame.value == "[DONE]" else frame.value.get("choices", [])
        delta = choices[0]["delta"] if len(choices) == 1 and choices[0]["finish_reason"] is None else {}
        return str(delta["content"]) if "content" in delta else None

    def ending(self, frame: Frame) -> str | None:
        if frame.value == "[DONE]":
            return "finished"
        return "failed" if "error" in frame.value else None

    def join_values(self, earlier: Any, later: Any) -> Any:
        first, second = earlier["choices"][0], later["choices"][0]
        delta = {**first["delta"], "content": first["delta"]["content"] + second["delta"]["content"]}
        return {**later, "choices": [{**second, "delta": delta}]}


class OpenAIResponsesReader(Reader):
    def text(self, frame: Frame) -> str | None:
        return str(frame.value["delta"]) if frame.event == "response.output_text.delta" else None

    def ending(self, frame: Frame) -> str | None:
        ends = {"response.completed": "finished", "response.incomplete": "finished", "response.failed": "failed"}
        return ends.get(frame.event)

    def join_values(self, earlier: Any, later: Any) -> Any:
        assert earlier["item_id"] == later["item_id"]
        return {**later, "delta": earlier["delta"] + later["delta"]}


class AnthropicReader(Reader):
    def text(self, frame: Frame) -> str | None:
        delta = frame.value.get("delta", {}) if frame.event == "content_block_delta" else {}
        return str(delta["text"]) if delta.get("type") == "text_delta" else None

    def ending(self, frame: Frame) -> str | None:
        return {"message_stop": "finished", "error": "failed"}.get(frame.event)

    def join_values(self, earlier: Any, later: Any) -> Any:
        assert earlier["index"] == later["index"]
        delta = {**later["delta"], "text": earlier["delta"]["text"] + later["delta"]["text"]}
        return {**later, "delta": delta}


class AISDKReader(Reader):
    def value(self, data: str) -> Any:
        return data if data == "[DONE]" else json.loads(data)

    def text(self, frame: Frame) -> str | None:
        is_text = frame.value != "[DONE]" and frame.value["type"] == "text-delta"
        return str(frame.value["delta"]) if is_text else None

    def ending(self, frame: Frame) -> str | None:
        if frame.value == "[DONE]":
            return "finished"
        return "failed" if frame.value["type"] in ("error", "abort") else None

    def join_values(self, earlier: Any, later: Any) -> Any:
        assert earlier["id"] == later["id"]
        return {**later, "delta": earlier["delta"] + later["delta"]}


class OllamaReader(Reader):
    """Reads lines as Ollama's Python client does: by all that Python takes for a line's end."""

    def parse(self, stream: bytes) -> list[Frame]:
        return [Frame(event="", id="", value=self.value(line)) for line in stream.decode().splitlines()]

    def text(self, frame: Frame) -> str | None:
        plain = "error" not in frame.value and not frame.value["done"]
        said = self.said(frame.value) if plain else {}
        return str(said["content"]) if not said.keys() - {"role", "content"} and said else None

    def said(self, value: Any) -> dict[str, Any]:
        """What the model said, by the names that chat has for it."""
        return {**value["message"], **({"logprobs": []} if "logprobs" in value else {})}

    def ending(self, frame: Frame) -> str | None:
        if "error" in frame.value:
            return "failed"
        return "finished" if frame.value["done"] else None

    def join_values(self, earlier: Any, later: Any) -> Any:
        content = earlier["message"]["content"] + later["message"]["content"]
        return {**later, "message": {**later["message"], "content": content}}


class OllamaGenerateReader(OllamaReader):
    def said(self, value: Any) -> dict[str, Any]:
        others = ("thinking", "tool_calls", "logprobs")
        return {"content": value["response"], **{name: value[name] for name in others if name in value}}

    def join_values(self, earlier: Any, later: Any) -> Any:
        return {**later, "response": earlier["response"] + later["response"]}


READERS: Final[dict[str, Reader]] = {
    "delta": DeltaReader(),
    "token": TokenReader(),
    "raw": RawReader(),
    "meta": MetaReader(),
    "openai_chat": OpenAIChatReader(),
    "openai_chat_usage": OpenAIChatReader(),
    "openai_responses": OpenAIResponsesReader(),
    "ollama": OllamaReader(),
    "ollama_generate": OllamaGenerateReader(),
    "anthropic": AnthropicReader(),
    "ai_sdk": AISDKReader(),
    "ai_sdk_continued": AISDKReader(),
}


def encode_all(dialect: Dialect, events: Sequence[Event]) -> bytes:
    """A log's frames, each entry by itself."""
    encoder = dialect.encoder(STREAM_ID)
    return b"".join(encoder.encode(seq, event) for seq, event in enumerate(events, 1))
