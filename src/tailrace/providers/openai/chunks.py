"""Reads the chunks of an OpenAI-compatible chat completion.

The format: https://platform.openai.com/docs/api-reference/chat-streaming. What other servers make of it is noted where
it is dealt with. A whole `chat.completion` is read as one big chunk whose `message` is its delta.
"""

from __future__ import annotations

from typing import Any, Final

from tailrace.errors import UpstreamError, WireError
from tailrace.events import (
    USAGE_FRAME,
    Event,
    FinishReason,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    UsageReported,
)
from tailrace.ids import new_id
from tailrace.providers.answers import AnswerReader, sound
from tailrace.providers.base import Finish
from tailrace.providers.framing import EventFraming, Framing
from tailrace.providers.openai.payloads import (
    CHUNKS,
    GLANCES,
    Choice,
    Chunk,
    Delta,
    TextChoice,
    ToolCallPiece,
    Usage,
)
from tailrace.providers.openai.shapes import Shape, payload_of, payloads_of
from tailrace.providers.openai.tool_calls import ToolCalls
from tailrace.providers.payloads import UNTIDY, write_json
from tailrace.providers.refusals import break_off, message_of

_DONE: Final = b"[DONE]"

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    # Mistral's, for an answer that met the end of the context: https://docs.mistral.ai/api/ (2026-11).
    "model_length": "length",
}

# Finish reasons that say the answer is broken: OpenRouter's and Mistral's "error", DeepSeek's
# "insufficient_system_resource", and "abort", which vLLM even follows with `[DONE]`
# (https://github.com/vllm-project/vllm/issues/57082, 2026-11).
_BROKEN: Final = frozenset({"error", "abort", "insufficient_system_resource"})

_FAR_FUTURE: Final = 1e11
_NONCE_BYTES: Final = 6

_LONG: Final = 2048
"""Of a longer read the first part alone is read in full, for the rest may look like the last chunk of that."""

_LESSONS: Final = 8
"""How many shapes are learned in vain before no more are learned."""

_glance: Final = GLANCES.decode


class OpenAIReader(AnswerReader):
    """Turns a chat completion's bytes into events.

    The answer is whole where every choice that began has its finish reason, at `[DONE]` or at the body's end. `[DONE]`
    without one is a cut: llama.cpp's server says it to an answer that it breaks off for another request.
    `nonce` makes the ids of tool calls that come without one unique to this answer; one is made up where none is given.
    """

    def __init__(self, *, model: str, now: float, nonce: str | None = None, framing: Framing | None = None) -> None:
        super().__init__(framing or EventFraming(), model=model, now=now)
        self._nonce = nonce
        # By the choice's index: those that began and have no finish reason yet, the reasons, the tool calls.
        self._open: set[int] = set()
        self._reasons: dict[int, str] = {}
        self._calls: dict[int, ToolCalls] = {}
        # What the last chunk was, where it was text; `_shape` only while the next bytes begin a frame.
        self._shape: Shape | None = None
        self._known: Shape | None = None
        self._lessons = _LESSONS

    def feed(self, data: bytes) -> list[Event]:
        shape = self._shape
        if shape is None:
            return super().feed(data) if len(data) <= _LONG else self._feed_many(data)
        if not (text := shape.read_one(data)):
            return self._feed_many(data)
        if not self.keeps_frames:
            return [TextDelta(text=text, choice=shape.choice)]
        return [TextDelta(text=text, choice=shape.choice, frame=payload_of(data))]

    def _feed_many(self, data: bytes) -> list[Event]:
        """Read the first frames in full where no shape is known, then those that look alike, then the rest in full."""
        events: list[Event] = []
        if self._shape is None:
            end = data.find(b"\n\n", _LONG // 2) + 2
            events, data = super().feed(data[:end]), data[end:]
        if (shape := self._shape) is not None:
            texts, end = shape.read_all(data)
            events += self._say(texts, shape.choice, data[:end])
            data = data[end:]
        return events + super().feed(data) if data else events

    def _say(self, texts: list[str], choice: int, frames: bytes) -> list[TextDelta]:
        if not self.keeps_frames:
            return [TextDelta(text=text, choice=choice) for text in texts]
        payloads = payloads_of(frames)
        return [TextDelta(text=text, choice=choice, frame=frame) for text, frame in zip(texts, payloads, strict=True)]

    def _read(self, data: bytes, events: list[Event]) -> None:
        self._shape = None
        running, keeps = self._open, self.keeps_frames
        said: TextChoice | None = None
        payload = b""
        for payload in self._split(data):
            try:
                # A glance in vain costs more than a chunk read in full, so only what may go on with a text gets one
                choices = _glance(payload).choices if running else []
            except UNTIDY:
                choices = []
            if len(choices) == 1 and (choice := choices[0]).index in running and (text := choice.delta.content):
                if not keeps:
                    events.append(TextDelta(text=text, choice=choice.index))
                else:
                    frame = payload if payload.isascii() else sound(payload)
                    events.append(TextDelta(text=text, choice=choice.index, frame=frame))
                said = choice
                continue
            said = None
            if keeps:
                self._take_frame(payload, events)
            else:
                self._take(payload, events)
            if self.done:
                return
        if said is not None:
            self._note_shape(payload, said)

    def _note_shape(self, payload: bytes, said: TextChoice) -> None:
        """The last chunk that came whole was this text: the next are likely to look the same."""
        framing, known = self._framing, self._known
        if not isinstance(framing, EventFraming) or not framing.between_frames:
            return
        if known is None or not known.fits(payload):
            known = self._learn_shape(payload, said)
        self._shape = self._known = known

    def _learn_shape(self, payload: bytes, said: TextChoice) -> Shape | None:
        """OpenAI's own chunks end in random letters, so no shape holds for two: then it is given up."""
        if self._known is not None and self._known.found:
            self._lessons = _LESSONS
        if not self._lessons:
            return None
        self._lessons -= 1
        return Shape.learn(payload, said)

    def _take(self, payload: bytes, events: list[Event]) -> None:
        if payload.strip() == _DONE:
            self._frame = None
            self._end()
            return
        self._take_chunk(CHUNKS.read(payload), events)

    def _end(self) -> None:
        if not self._begun:
            raise UpstreamError("upstream_invalid", "the stream ended with neither content nor a finish reason")
        for calls in self._calls.values():
            calls.check()
        self.done = True

    def _take_chunk(self, chunk: Chunk, events: list[Event]) -> None:
        choices = chunk.choices
        if (choices is None or chunk.error) and (failure := _failure_in(chunk)) is not None:
            raise failure
        if not self._begun:
            self._learn(chunk)
        for choice in choices or ():
            self._take_choice(choice, events)
        if chunk.usage is not None:
            self._report(_usage_of(chunk.usage), events)
            if not chunk.choices:
                self._frame = USAGE_FRAME

    def _learn(self, chunk: Chunk) -> None:
        if isinstance(chunk.model, str) and chunk.model:
            self._model = chunk.model
        # Azure opens with a chunk whose time is 0 and whose model is empty.
        if isinstance(chunk.created, (int, float)) and 0 < chunk.created < _FAR_FUTURE:
            self._created_at = float(chunk.created)

    def _take_choice(self, choice: Choice, events: list[Event]) -> None:
        delta = choice.delta or choice.message
        content = [] if delta is None else self._content_of(delta, choice.index)
        if choice.logprobs:
            content.append(_opaque("logprobs", choice.logprobs, choice.index))
        if content or choice.finish_reason:
            self._begin(events)
        if content:
            self._open.add(choice.index)
            events += content
        if choice.finish_reason:
            self._take_reason(choice.index, choice.finish_reason)

    def _content_of(self, delta: Delta, choice: int) -> list[Event]:
        events: list[Event] = []
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning and isinstance(reasoning, str):
            events.append(ReasoningDelta(text=reasoning, choice=choice))
        if delta.content is not None and delta.content != "":
            events += _content_events(delta.content, choice)
        if delta.refusal:
            events.append(RefusalDelta(text=delta.refusal, choice=choice))
        if delta.tool_calls or delta.function_call is not None:
            self._take_calls(delta, choice, events)
        if delta.annotations:
            events.append(_opaque("annotations", delta.annotations, choice))
        if delta.audio:
            events.append(_opaque("audio", delta.audio, choice))
        return events

    def _take_calls(self, delta: Delta, choice: int, events: list[Event]) -> None:
        pieces = delta.tool_calls or []
        if delta.function_call is not None:
            pieces = [*pieces, ToolCallPiece(index=0, function=delta.function_call)]
        if choice not in self._calls:
            self._nonce = self._nonce or new_id("", _NONCE_BYTES)
            self._calls[choice] = ToolCalls(choice=choice, nonce=self._nonce)
        for piece in pieces:
            self._calls[choice].take(piece, events)

    def _take_reason(self, choice: int, word: str) -> None:
        if word in _BROKEN:
            raise UpstreamError("upstream_error", f"the answer broke off: {word}")
        if choice in self._calls:
            self._calls[choice].check()
        self._reasons[choice] = word
        self._open.discard(choice)

    def _conclude(self) -> Finish | None:
        if not self._reasons or self._open:
            return None
        first = min(self._reasons)
        word = self._reasons[first]
        reason = _REASONS.get(word, "stop")
        # Gemini says "stop" where the model stopped to have its tools called
        # (https://github.com/open-webui/computer/issues/224, 2026-11).
        return Finish(reason="tool_calls" if reason == "stop" and first in self._calls else reason, native=word)


def _content_events(content: Any, choice: int) -> list[Event]:
    """The events of `content`: text, or Mistral's list of parts with thinking among them."""
    if isinstance(content, str):
        return [TextDelta(text=content, choice=choice)]
    if isinstance(content, list):
        return [_part_event(part, choice) for part in content if part]
    raise WireError(f"content of an unknown shape: {type(content).__name__}")


def _part_event(part: Any, choice: int) -> Event:
    match part:
        case {"type": "text", "text": str(text)}:
            return TextDelta(text=text, choice=choice)
        case {"type": "thinking", "thinking": [*thoughts]}:
            said = (thought.get("text") for thought in thoughts if isinstance(thought, dict))
            return ReasoningDelta(text="".join(text for text in said if isinstance(text, str)), choice=choice)
        case _:
            return _opaque("content", part, choice)


def _opaque(kind: str, value: Any, choice: int) -> Opaque:
    return Opaque(kind=kind, json=write_json(value), choice=choice)


def _usage_of(usage: Usage) -> UsageReported:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return UsageReported(
        input_tokens=usage.prompt_tokens,
        output_tokens=_output_tokens(usage),
        reasoning_tokens=completion.reasoning_tokens if completion else None,
        cached_input_tokens=prompt.cached_tokens if prompt else None,
    )


def _output_tokens(usage: Usage) -> int | None:
    """The tokens that came out. xAI's and Gemini's `completion_tokens` leave the reasoning out, the total does not
    (https://docs.x.ai/docs/guides/reasoning and https://ai.google.dev/gemini-api/docs/openai, 2026-11).
    """
    if usage.completion_tokens is None or usage.prompt_tokens is None or usage.total_tokens is None:
        return usage.completion_tokens
    return max(usage.completion_tokens, usage.total_tokens - usage.prompt_tokens)


def _failure_in(chunk: Chunk) -> UpstreamError | None:
    """The error that a chunk stands for: `{"error": ...}`, or a chunk that has words instead of choices."""
    told = chunk.error or (chunk.message if chunk.choices is None else None)
    if not told:
        return None
    message = message_of(told) or "an error without a message"
    # OpenRouter, vLLM and llama.cpp put an HTTP status there, OpenAI a word.
    code = told.get("code") if isinstance(told, dict) else None
    return break_off(message, status=code if isinstance(code, int) and 400 <= code < 600 else None)
