"""The client for code that does not await: the same one, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from tailrace.client.answer import Answer, ToolUse
from tailrace.client.asynchronous import Client
from tailrace.events import Event, UsageReported

T = TypeVar("T")


class SyncClient:
    """What `Client` is, called without await; use it as `with SyncClient(url) as client`. Any thread may."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tailrace-client", daemon=True)
        self._thread.start()
        self._client = self._wait(_create(args, options))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, and the thread."""
        if self._loop.is_closed():
            return
        self._wait(self._client.aclose())
        self._wait(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stream(self, *args: Any, **options: Any) -> SyncAnswer:
        """As `Client.stream`."""
        return SyncAnswer(self._client.stream(*args, **options), self._wait)

    def attach(self, stream_id: str, *, after: int = 0) -> SyncAnswer:
        """As `Client.attach`."""
        return SyncAnswer(self._client.attach(stream_id, after=after), self._wait)

    def cancel(self, stream_id: str) -> dict[str, Any]:
        """As `Client.cancel`."""
        return self._wait(self._client.cancel(stream_id))

    def state(self, stream_id: str) -> dict[str, Any]:
        """As `Client.state`."""
        return self._wait(self._client.state(stream_id))

    def models(self) -> list[str]:
        """As `Client.models`."""
        return self._wait(self._client.models())

    def usage(self, *, by: str = "key", since: str = "7d") -> list[dict[str, Any]]:
        """As `Client.usage`."""
        return self._wait(self._client.usage(by=by, since=since))

    def session(self, session_id: str) -> dict[str, Any]:
        """As `Client.session`."""
        return self._wait(self._client.session(session_id))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on the loop; who is interrupted while waiting leaves nothing running."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


async def _create(args: Any, options: Any) -> Client:
    """Made on the loop that it will live on."""
    return Client(*args, **options)


class SyncAnswer:
    """What `Answer` is, for a plain `for` loop: the events of the answer, and what they come to so far."""

    def __init__(self, answer: Answer, wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._answer = answer
        self._wait = wait

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event: Event | None = self._wait(_next(self._answer))
        if event is None:
            raise StopIteration
        return event

    def read(self) -> str:
        """As `Answer.read`."""
        text: str = self._wait(self._answer.read())
        return text

    def close(self) -> None:
        """As `Answer.aclose`."""
        self._wait(self._answer.aclose())

    def cancel(self) -> dict[str, Any]:
        """As `Answer.cancel`."""
        state: dict[str, Any] = self._wait(self._answer.cancel())
        return state

    @property
    def id(self) -> str:
        return self._answer.id

    @property
    def text(self) -> str:
        return self._answer.text

    @property
    def reasoning(self) -> str:
        return self._answer.reasoning

    @property
    def tool_calls(self) -> dict[int, ToolUse]:
        return self._answer.tool_calls

    @property
    def usage(self) -> UsageReported | None:
        return self._answer.usage

    @property
    def finish_reason(self) -> str | None:
        return self._answer.finish_reason

    @property
    def cursor(self) -> str:
        return self._answer.cursor


async def _next(answer: Answer) -> Event | None:
    """The next event; None at the end, since StopAsyncIteration can't leave a coroutine's future."""
    return await anext(aiter(answer), None)
