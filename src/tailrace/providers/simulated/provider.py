"""The simulated model: no network, the same answer each time, and every way of going wrong on request."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, cycle, islice
from typing import Final

import msgspec

from tailrace.errors import UpstreamError
from tailrace.events import Event, ReasoningDelta, Started, TextDelta, ToolCallDelta, ToolCallStarted, UsageReported
from tailrace.providers.base import Finish, Provider, Sink
from tailrace.providers.refusals import for_status
from tailrace.providers.simulated import specimen
from tailrace.providers.simulated.script import DEFAULT_NAMES, Script, parse_script
from tailrace.requests import ChatRequest, Tool

_BATCH: Final = 256
_TIMER_SLACK_S: Final = 0.0005
_CHARS_PER_TOKEN: Final = 4

_WEATHER: Final = Tool(
    name="get_weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


class SimulatedProvider(Provider):
    """Answers out of thin air, each token at its time."""

    kind = "simulated"
    default_model: str

    def __init__(self, *, name: str = "simulated", default_model: str | None = None) -> None:
        self.name = name
        self.default_model = default_model or "simulated"

    async def open(self) -> None:
        """Nothing is shared."""

    async def close(self) -> None:
        """Nothing is open."""

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        """Play the script that the model's name is. Raises RequestError 404 where it is none."""
        script = parse_script(request.model)
        if script.status is not None:
            await asyncio.sleep(script.first_token_ms / 1000)
            raise _refusal(script.status)
        answer = _compose(script, request)
        pacer = _Pacer(answer, sink, script=script, started=_started(request))
        await pacer.run()
        await _go_wrong(script, sent=pacer.sent)
        sink([*pacer.opening, _usage(request, script, pacer.sent)])
        return answer.finish

    async def models(self) -> list[str]:
        return ["simulated", "n1000-d5", "n100-d0", "r30", "n20-t2", "n200-x50", "n200-s50", "e429"]


class _Answer(msgspec.Struct, kw_only=True):
    """Everything that will be said: one event for each of `total` tokens, and the end."""

    steps: Iterator[Event]
    total: int
    finish: Finish


class _Pacer:
    """Hands an answer's tokens to a sink, each at its own time, from timer callbacks: no task wakes for a token."""

    def __init__(self, answer: _Answer, sink: Sink, *, script: Script, started: Started) -> None:
        # For the whole run
        self._loop = asyncio.get_running_loop()
        self._steps = answer.steps
        self._sink = sink
        self._limit = min(end for end in (answer.total, script.cut_after, script.stall_after) if end is not None)
        self._gap = script.delay_ms / 1000
        self._first = self._loop.time() + script.first_token_ms / 1000
        # As it goes
        self.opening: tuple[Event, ...] = (started,)
        self.sent = 0
        self._done = self._loop.create_future()
        self._timer: asyncio.Handle = self._loop.call_at(self._first, self._tick)

    async def run(self) -> None:
        try:
            await self._done
        finally:
            self._timer.cancel()

    def _tick(self) -> None:
        if self._done.done():
            return
        try:
            self._send(self._due())
        # Raised in a callback it would end nothing; it belongs to the one who waits.
        except BaseException as error:
            self._done.set_exception(error)
        else:
            self._go_on()

    def _send(self, due: int) -> None:
        if due > 0:
            events = [*self.opening, *islice(self._steps, due)]
            self.opening = ()
            self.sent += due
            self._sink(events)

    def _due(self) -> int:
        left = min(self._limit - self.sent, _BATCH)
        if not self._gap:
            return left
        late = self._loop.time() - self._first + _TIMER_SLACK_S
        return min(left, int(late / self._gap) + 1 - self.sent)

    def _go_on(self) -> None:
        if self.sent >= self._limit:
            self._done.set_result(None)
        elif self._gap:
            self._timer = self._loop.call_at(self._first + self.sent * self._gap, self._tick)
        else:
            self._timer = self._loop.call_soon(self._tick)


def _compose(script: Script, request: ChatRequest) -> _Answer:
    prompt = request.last_user_text()
    thoughts = islice(cycle(specimen.thought_tokens(prompt)), script.reasoning)
    text, length, stop = _text(script, request, prompt)
    calls = [] if stop else list(_tool_calls(script, request))
    total = script.reasoning + length + len(calls)
    steps = chain((ReasoningDelta(text=token) for token in thoughts), (TextDelta(text=token) for token in text), calls)
    if request.max_tokens is not None and request.max_tokens < total:
        return _Answer(steps=steps, total=request.max_tokens, finish=Finish(reason="length"))
    reason = Finish(reason="tool_calls" if calls else "stop", stop_sequence=stop)
    return _Answer(steps=steps, total=total, finish=reason)


def _text(script: Script, request: ChatRequest, prompt: str) -> tuple[Iterable[str], int, str | None]:
    """The answer's text tokens, how many, and the stop sequence that cut them short."""
    page = specimen.answer_tokens(prompt)
    length = script.tokens or len(page)
    tokens = islice(chain(page, cycle(["\n", *page])), length)
    if not any(request.stop):
        return tokens, length, None
    kept, stop = _cut(list(tokens), request.stop)
    return kept, len(kept), stop


def _cut(tokens: list[str], stops: tuple[str, ...]) -> tuple[list[str], str | None]:
    """Leave out the first stop sequence and all that follows it."""
    text = "".join(tokens)
    met = min(((at, stop) for stop in stops if stop and (at := text.find(stop)) >= 0), default=None)
    if met is None:
        return tokens, None
    at, stop = met
    ends = list(accumulate(map(len, tokens)))
    whole = bisect_right(ends, at)
    rest = text[ends[whole - 1] if whole else 0 : at]
    return [*tokens[:whole], *([rest] if rest else [])], stop


def _tool_calls(script: Script, request: ChatRequest) -> Iterator[Event]:
    tools = _callable_tools(request)
    for call in range(script.tool_calls if tools else 0):
        tool = tools[call % len(tools)]
        # An id is as good as unique within a conversation, and the same each time.
        yield ToolCallStarted(call=call, id=f"call_{len(request.messages)}_{call}", name=tool.name)
        for token in specimen.tokenize(specimen.arguments(tool.parameters)):
            yield ToolCallDelta(call=call, arguments=token)


def _callable_tools(request: ChatRequest) -> tuple[Tool, ...]:
    match request.tool_choice:
        case "none":
            return ()
        case ("tool", name):
            return tuple(tool for tool in request.tools if tool.name == name)
        case _:
            return request.tools or (_WEATHER,)


async def _go_wrong(script: Script, *, sent: int) -> None:
    """Cut or stall, if the script wants it here."""
    if sent == script.cut_after:
        raise UpstreamError("upstream_cut", f"the simulated upstream broke off after {sent} tokens, as its script says")
    if sent == script.stall_after:
        await asyncio.get_running_loop().create_future()


def _refusal(status: int) -> UpstreamError:
    message = f"the simulated upstream answered {status}, as its script says"
    return for_status(status, message, retry_after=1 if status == 429 else None)


def _started(request: ChatRequest) -> Started:
    script = "" if request.model in DEFAULT_NAMES else f"/{request.model}"
    return Started(model=f"simulated{script}", created_at=time.time())


def _usage(request: ChatRequest, script: Script, sent: int) -> UsageReported:
    chars = sum(len(message.text) for message in request.messages)
    return UsageReported(
        input_tokens=-(-chars // _CHARS_PER_TOKEN),
        output_tokens=sent,
        reasoning_tokens=min(script.reasoning, sent),
    )
