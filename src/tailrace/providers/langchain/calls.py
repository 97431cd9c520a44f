"""From a request to the call of a LangChain Runnable. Imports langchain-core, so it is itself imported late.

A chat model, bare or bound, gets the messages; `max_tokens`, `temperature`, `top_p`, `stop` and `model` as the keyword
arguments that LangChain's integrations share; tools by `bind_tools`.

Any other Runnable gets what its input schema asks for (`langchain_inputs`), and options only where it declares
configurable fields with their names.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final, cast

import msgspec
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableSequence
from langchain_core.runnables.base import RunnableBinding, RunnableBindingBase

from tailrace.errors import RequestError
from tailrace.providers.langchain.inputs import MESSAGES, infer_shape, unsupported
from tailrace.requests import ChatRequest, Tool

_OPTIONS: Final = ("max_tokens", "temperature", "top_p", "stop")
_NO_COMMON_WORD: Final = (
    "response_format",
    "reasoning_effort",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call, ready to be made. `blocking` says to use `stream`, in a thread of its own."""

    runnable: Runnable[Any, Any]
    input: Any
    config: RunnableConfig
    options: dict[str, Any]
    blocking: bool

    async def astream(self) -> AsyncGenerator[Any, None]:
        """The Runnable's own stream, closed when this is."""
        stream = self.runnable.astream(self.input, self.config, **self.options)
        try:
            async for chunk in stream:
                yield chunk
        finally:
            if hasattr(stream, "aclose"):
                await stream.aclose()

    def stream(self) -> Iterator[Any]:
        return self.runnable.stream(self.input, self.config, **self.options)


class Callee:
    """A Runnable, and how requests fit it. Raises TypeError for one that can't be called for a chat."""

    def __init__(self, runnable: Runnable[Any, Any], *, name: str) -> None:
        if not isinstance(runnable, Runnable):
            raise TypeError(f"must be a LangChain Runnable, not {type(runnable).__name__}")
        self._runnable = runnable
        self._name = name
        self._chats = isinstance(_innermost(runnable), BaseChatModel)
        self._shape = MESSAGES if self._chats else infer_shape(runnable)
        self._blocking = _blocks(runnable)

    def prepare(self, request: ChatRequest) -> Call:
        """The call that a request asks for. Raises RequestError 400 "unsupported" for what can't be asked for."""
        _refuse_without_common_word(request)
        options = _options(request)
        if request.model not in {"", self._name}:
            options["model"] = request.model
        return Call(
            runnable=self._with_tools(request),
            input=self._shape.fill(request),
            config=self._config(request, {} if self._chats else options),
            options=options if self._chats else {},
            blocking=self._blocking,
        )

    def _with_tools(self, request: ChatRequest) -> Runnable[Any, Any]:
        if not request.tools or request.tool_choice == "none":
            return self._runnable
        if not self._chats:
            raise unsupported("tools", "the runnable is a chain, which takes none")
        return _bind_tools(self._runnable, [_tool(tool) for tool in request.tools], _tool_choice(request))

    def _config(self, request: ChatRequest, options: dict[str, Any]) -> RunnableConfig:
        known = {spec.id for spec in self._runnable.config_specs} if options else set()
        for field in options.keys() - known:
            if field == "model":
                message = f"the runnable {self._name!r} is the one model here, not {request.model!r}"
                raise RequestError(404, "model_not_found", message, field=field)
            raise unsupported(field, "the runnable has no configurable field of that name")
        return RunnableConfig(configurable=options, metadata=request.metadata or {})


def _innermost(runnable: Any) -> Any:
    while isinstance(runnable, RunnableBindingBase):
        runnable = runnable.bound
    return runnable


def _blocks(runnable: Runnable[Any, Any]) -> bool:
    """Whether its `astream` would raise, give the whole in one piece, or hop to an executor for each chunk."""
    inner = _innermost(runnable)
    if isinstance(inner, RunnableSequence):
        return any(isinstance(step, RunnableGenerator) and _blocks(step) for step in inner.steps)
    if isinstance(inner, RunnableGenerator):
        return not hasattr(inner, "_atransform")
    for base, blocking, native in (
        (BaseChatModel, "_stream", "_astream"),
        (BaseLLM, "_stream", "_astream"),
        (Runnable, "stream", "astream"),
    ):
        if isinstance(inner, base):
            return not _overrides(inner, base, native) and _overrides(inner, base, blocking)
    return False


def _overrides(thing: object, base: type, method: str) -> bool:
    return getattr(type(thing), method) is not getattr(base, method)


def _refuse_without_common_word(request: ChatRequest) -> None:
    refused = [field for field in _NO_COMMON_WORD if _asks_for(request, field)] + sorted(request.extra)
    if request.parallel_tool_calls is False:
        refused.append("parallel_tool_calls")
    if refused:
        raise unsupported(refused[0], "LangChain has no common word for it")


def _asks_for(request: ChatRequest, field: str) -> bool:
    """Whether the request says more than what holds anyway: a penalty of 0 is none, while 0 is a seed like others."""
    value = getattr(request, field)
    return value is not None and (bool(value) or field == "seed")


def _options(request: ChatRequest) -> dict[str, Any]:
    said = {field: getattr(request, field) for field in _OPTIONS}
    options = {field: value for field, value in said.items() if value not in (None, ())}
    if request.stop:
        options["stop"] = list(request.stop)
    return options


def _bind_tools(
    runnable: Runnable[Any, Any], tools: list[dict[str, Any]], choice: dict[str, str]
) -> Runnable[Any, Any]:
    if isinstance(runnable, RunnableBinding):
        bound = _bind_tools(runnable.bound, tools, choice)
        return bound.bind(**runnable.kwargs).with_config(runnable.config)
    try:
        return cast("Runnable[Any, Any]", cast("Any", runnable).bind_tools(tools, **choice))
    except (AttributeError, NotImplementedError):
        raise unsupported("tools", f"{type(runnable).__name__} takes none") from None


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": tool.parameters or {"type": "object", "properties": {}},
    }
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(request: ChatRequest) -> dict[str, str]:
    match request.tool_choice:
        case None | "auto" | "none":
            return {}
        case "required":
            return {"tool_choice": "any"}
        case (_, name):
            return {"tool_choice": name}
