"""The client for code that does not await, from threads of its own, against a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.server import serving
from tests.waiting import until
from tests.web.tapped import house

from tailrace import Finished, RequestError, SyncClient, TextDelta, UnreachableError, create_app
from tailrace.client import Patience

T = TypeVar("T")


async def with_server(work: Callable[[str], T]) -> T:
    """Run blocking code in a thread beside a server with the simulated model."""
    async with serving(create_app()) as url:
        return await asyncio.to_thread(work, url)


async def test_a_plain_loop_reads_the_answer() -> None:
    """Events come in a `for` loop; the attributes hold what they come to."""

    def ask(url: str) -> None:
        with SyncClient(url) as client, client.stream("Hi", model="simulated/n5-d0") as answer:
            events = list(answer)
            assert answer.text == "".join(event.text for event in events if isinstance(event, TextDelta)) != ""
            assert isinstance(events[-1], Finished)
            assert answer.finish_reason == "stop"
            assert client.state(answer.id)["status"] == "finished"
            assert client.attach(answer.id).read() == answer.text

    await with_server(ask)


async def test_several_threads_may_share_one_client() -> None:
    """Answers asked for in eight threads at once each come whole."""

    def ask(url: str) -> None:
        with SyncClient(url) as client:
            texts: list[str] = []

            def read() -> None:
                texts.append(client.stream("Hi", model="simulated/n20-d1").read())

            threads = [threading.Thread(target=read) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(texts) == 8
            assert len(set(texts)) == 1

    await with_server(ask)


async def test_leaving_the_loop_early_cancels_and_closing_ends_the_thread() -> None:
    """A `break` inside `with` stops the upstream; after `close` the client's thread is gone."""
    async with house("direct") as tapped:

        def ask() -> None:
            with SyncClient(tapped.url) as client, client.stream("Hi", model="tap") as answer:
                for event in answer:
                    assert event == TextDelta(text="half")
                    break
            client.close()

        asking = asyncio.create_task(asyncio.to_thread(ask))
        run = await tapped.tap.asked(1)
        run.start()
        run.say("half")
        await asking
        await until(lambda: run.over or run.cancelled)
    assert "tailrace-client" not in {thread.name for thread in threading.enumerate()}


async def test_errors_come_through() -> None:
    """Refusals and a server that is not there are raised in the calling thread."""

    def ask(url: str) -> None:
        with SyncClient(url) as client, pytest.raises(RequestError):
            client.stream("Hi", model="no/such").read()
        with (
            SyncClient("http://127.0.0.1:9", patience=Patience(backoff=0.001)) as client,
            pytest.raises(UnreachableError),
        ):
            client.models()

    await with_server(ask)
