"""A LangChain Runnable as an upstream: a chain or a chat model, given as an import path."""

from __future__ import annotations

import contextlib
import importlib
import operator
import os
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any

import structlog

from tailrace.errors import SettingsError, UpstreamError
from tailrace.providers import threads
from tailrace.providers.base import Finish, Provider, Sink
from tailrace.providers.refusals import for_status, mask
from tailrace.requests import ChatRequest

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from tailrace.providers.langchain.calls import Call, Callee

_log = structlog.get_logger(__name__)


class LangChainProvider(Provider):
    """Streams one Runnable. `target` is its import path, `pkg.mod:runnable`, or the Runnable itself.

    `default_model` names the Runnable as it is, by default with the last part of the path. Any other model name is
    handed to a chat model as its `model` and refused for a chain. What a Runnable gets is told in `langchain_calls`
    and `langchain_inputs`, what is read of its output in `langchain_chunks`.

    It is streamed with `astream`; where that would only block an executor's thread, with `stream` in a thread that can
    be stopped. A clean end without a finish reason is "stop", an exception is `upstream_error` or, if it carries an
    HTTP `status_code`, what that status means.
    """

    kind = "langchain"
    default_model: str

    def __init__(self, *, name: str, target: str | Runnable[Any, Any], default_model: str | None = None) -> None:
        self.name = name
        self.default_model = default_model or _last_name(target)
        self._target = target
        self._where = f"[providers.{name}] target"
        self._callee: Callee | None = None

    async def open(self) -> None:
        """Import the target and see what it takes.

        Raises SettingsError where langchain-core or the target is missing, or the target can't be called for a chat.
        """
        with self._explained("this needs LangChain: pip install 'tailrace[langchain]'", ImportError):
            from tailrace.providers.langchain.calls import Callee
        target = self._import(self._target) if isinstance(self._target, str) else self._target
        with self._explained("", TypeError):
            self._callee = Callee(target, name=self.default_model)

    async def close(self) -> None:
        """Forget the Runnable; what it holds open is its own."""
        self._callee = None

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        """Stream the Runnable. Raises RequestError 400 "unsupported" for what it can't be asked."""
        from tailrace.providers.langchain.chunks import ChunkReader

        if self._callee is None:
            raise RuntimeError("run was called before open")
        call = self._callee.prepare(request)
        reader = ChunkReader(model=request.model or self.default_model, now=time.time())
        async with contextlib.aclosing(self._batches(call)) as batches:
            async for chunks in batches:
                sink([event for chunk in chunks for event in reader.read(chunk)])
        return reader.finish()

    async def models(self) -> list[str]:
        return [self.default_model]

    async def _batches(self, call: Call) -> AsyncGenerator[list[Any], None]:
        """What the Runnable gives, as it comes; whatever it raises becomes an UpstreamError."""
        try:
            if call.blocking:
                async with contextlib.aclosing(threads.iterate(call.stream())) as batches:
                    async for chunks in batches:
                        yield chunks
            else:
                async with contextlib.aclosing(call.astream()) as stream:
                    async for chunk in stream:
                        yield [chunk]
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> UpstreamError:
        told = mask(f"{type(error).__name__}: {error}", ())
        # The frames alone: an exception's own text, and the locals of its frames, may hold prompts and keys.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _log.warning("langchain_failed", provider=self.name, error=type(error).__name__, frames=frames)
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return for_status(status, told)
        return UpstreamError("upstream_error", f"the chain failed with {told}")

    def _import(self, path: str) -> Any:
        module, _, names = path.partition(":")
        if not module or not names:
            raise SettingsError(f"must be like 'package.module:runnable', not {path!r}", where=self._where)
        _see_working_folder()
        with self._explained(f"can't import {module!r}", Exception):
            imported = importlib.import_module(module)
        with self._explained(f"{module!r} has no {names!r}", AttributeError):
            return operator.attrgetter(names)(imported)

    @contextlib.contextmanager
    def _explained(self, message: str, expected: type[Exception]) -> Iterator[None]:
        try:
            yield
        except expected as error:
            told = mask(": ".join(part for part in (message, str(error)) if part), ())
            raise SettingsError(told, where=self._where) from error


def _last_name(target: object) -> str:
    return target.replace(":", ".").rsplit(".", 1)[-1] if isinstance(target, str) else "runnable"


def _see_working_folder() -> None:
    """A console script, unlike `python -m`, does not find modules in the working folder; last, so it hides nothing."""
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
