"""Readers that come back: through cuts at any byte, after the server's death, after its disk was full."""

from __future__ import annotations

import asyncio
import random
import re
import signal
from contextlib import AsyncExitStack
from typing import Final

import pytest
from tests.dialects.reading import READERS, Frame
from tests.reader import Answer, Reader
from tests.server import RunningServer
from tests.system.customer import Customer, new_customer
from tests.system.disks import Disk
from tests.system.keeping import kept
from tests.system.moments import serving
from tests.system.stage import Stage
from tests.system.stores import SqliteStore
from tests.system.surfaces import SURFACES
from tests.system.voices import AnthropicVoice, OpenAIVoice
from tests.waiting import eventually, until

from tailrace.web.cursors import LAST

pytestmark = pytest.mark.usefixtures("no_leaks")

SSE: Final = {"accept": "text/event-stream"}
OPENAI: Final = OpenAIVoice()
ANTHROPIC: Final = AnthropicVoice()
BODY: Final = SURFACES["delta"].asking("openai/m")
FIRST: Final = tuple(f"first {number} " for number in range(20))
REST: Final = tuple(f"second {number} " for number in range(20))


async def read(customer: Customer, stream_id: str, **headers: str) -> Answer:
    """Read a stream by its address, in its own format."""
    return await customer.ask("GET", f"/v1/streams/{stream_id}", **SSE, **headers)


def frames_of(answer: Answer, form: str) -> list[Frame]:
    """The whole frames that came."""
    return READERS[form].parse(answer.body)


# Cuts


class Hopper:
    """A reader that is cut after some bytes, again and again, and goes on from the last whole frame it got."""

    def __init__(self, customer: Customer, stream_id: str, form: str) -> None:
        self.stream_id = stream_id
        self.form = form
        self.frames: list[Frame] = []
        self.hops = 0
        self._customer = customer
        self._chance = random.Random(form)

    async def read_all(self) -> None:
        """Read until the format's own end."""
        while not (self.frames and READERS[self.form].ending(self.frames[-1])):
            await self.hop()

    async def hop(self) -> None:
        """One connection, cut after so many bytes of the body."""
        self.hops += 1
        most = self._chance.randint(1, 2000)
        cursor = {"last-event-id": self.frames[-1].id} if self.frames else {}
        async with Reader(self._customer.url) as reader:
            headers = {**self._customer.headers, **SSE, **cursor}
            await reader.ask("GET", f"/v1/streams/{self.stream_id}", headers=headers)
            await until(lambda: reader.answer.whole or len(reader.answer.body) >= most)
            reader.reset()
        assert reader.answer.status == 200
        came = Answer()
        came.pieces = [(0.0, reader.answer.body[:most])]
        self.frames += frames_of(came, self.form)


async def test_cut_again_and_again(sqlite_store: SqliteStore, stage: Stage) -> None:
    """Readers of running answers, one in each format, are cut at random bytes until the end: each has the whole answer,
    every frame once, as one that was never cut; the model was asked once for each."""
    async with serving(sqlite_store, stage) as server:
        customer = await new_customer(server.url)
        hoppers = [await start(customer, form) for form in SURFACES]
        await asyncio.gather(*(hopper.read_all() for hopper in hoppers))
        for hopper in hoppers:
            reader = READERS[hopper.form]
            uncut = reader.joined(frames_of(await read(customer, hopper.stream_id), hopper.form))
            assert reader.joined(hopper.frames) == uncut
            assert hopper.hops > 3
        assert len(await customer.settled(len(SURFACES))) == len(SURFACES)


async def start(customer: Customer, form: str) -> Hopper:
    """Ask for an answer in this format, and leave it to one who hops."""
    surface = SURFACES[form]
    headers = {**customer.headers, "x-tailrace-on-disconnect": "continue"}
    async with Reader(customer.url) as reader:
        await reader.ask("POST", surface.path, surface.asking("simulated/n200-d5"), headers=headers)
        head = await reader.head()
        assert head.status == 200, head.body
    return Hopper(customer, head.headers["x-tailrace-stream"], form)


# Death


async def begin(stage: Stage, reader: Reader, customer: Customer, form: str = "delta") -> str:
    """An answer that has said the first half and is kept so far, and whose tokens are counted; its id."""
    # Never the client's own language: what is passed through as it came is another test's matter
    voice = ANTHROPIC if form.startswith("openai") else OPENAI
    first, rest = (b"".join(map(voice.say, texts)) for texts in (FIRST, REST))
    stage.set("Hi", [voice.head, voice.opening(), first, stage.gate, rest, voice.end("stop")])
    surface = SURFACES[form]
    headers = {**customer.headers, "x-tailrace-on-disconnect": "continue", "idempotency-key": "once"}
    await reader.ask("POST", surface.path, surface.asking(f"{voice.provider}/m"), headers=headers)
    stream_id = (await reader.until(FIRST[-1].strip().encode())).headers["x-tailrace-stream"]
    await eventually(customer.rows, lambda rows: rows[0]["output_tokens"])
    return stream_id


async def test_after_kill_9(sqlite_store: SqliteStore, stage: Stage) -> None:
    """Killed in mid-stream and started again, the server gives each reader, in its format and from any cursor, what was
    kept and then `interrupted`; who has that end is told that nothing is left; each row is settled once."""
    left: dict[str, tuple[Customer, str, list[Frame]]] = {}
    async with serving(sqlite_store, stage) as server, AsyncExitStack() as readers:
        for form in SURFACES:
            customer = await new_customer(server.url)
            reader = await readers.enter_async_context(Reader(server.url))
            stream_id = await begin(stage, reader, customer, form)
            left[form] = (customer, stream_id, frames_of(reader.answer, form))
        await kept(sqlite_store.path.parent, *(stream_id for _, stream_id, _ in left.values()))
        await server.kill()
    async with serving(sqlite_store, stage) as server:
        for form, (customer, stream_id, live) in left.items():
            await assert_interrupted(customer.at(server.url), stream_id, form, live)


async def assert_interrupted(customer: Customer, stream_id: str, form: str, live: list[Frame]) -> None:
    """Wherever a reader was cut it gets the rest of what was said, once, and the truth about what was not."""
    reader = READERS[form]
    for received in ([], *(live[:count] for count in (1, 2, 3, len(live) // 2, len(live)))):
        cursor = {"last-event-id": received[-1].id} if received else {}
        rest = frames_of(await read(customer, stream_id, **cursor), form)
        texts = [frame for frame in (*received, *rest) if reader.text(frame) is not None]
        assert reader.whole_text(texts) == "".join(FIRST)
        assert [reader.ending(frame) for frame in rest if reader.ending(frame)] == ["failed"]
        assert rest[-1].id == f"{stream_id}.{LAST}"
    done = await read(customer, stream_id, **{"last-event-id": f"{stream_id}.{LAST}"})
    assert (done.status, done.body) == (204, b"")
    row = await customer.row()
    assert (row["id"], row["status"], row["source"]) == (stream_id, "interrupted", "estimated")
    assert row["output_tokens"] > 0


async def test_what_was_seen_and_not_kept(sqlite_store: SqliteStore, stage: Stage) -> None:
    """A reader that had more than was kept gets the end alone, on a generating route too; the state and a copy of the
    request tell the same; the upstream is asked no more."""
    async with serving(sqlite_store, stage) as server, Reader(server.url) as reader:
        customer = await new_customer(server.url)
        stream_id = await begin(stage, reader, customer)
        await kept(sqlite_store.path.parent, stream_id, FIRST[-1])
        asked = len(stage.upstream.requests)
        await server.kill()
    async with serving(sqlite_store, stage) as server:
        customer = customer.at(server.url)
        state = (await customer.ask("GET", f"/v1/streams/{stream_id}")).json()
        assert (state["status"], state["error"]["code"], state["text"]) == (
            "interrupted",
            "interrupted",
            "".join(FIRST),
        )
        for beyond in (state["entries"] - 1, state["entries"], state["entries"] + 7, f"{state['entries']}.1"):
            for method, target in (("POST", "/v1/chat/stream"), ("GET", f"/v1/streams/{stream_id}")):
                body = BODY if method == "POST" else None
                rest = await customer.ask(method, target, body, **SSE, **{"last-event-id": f"{stream_id}.{beyond}"})
                assert [(event.event, event.id) for event in rest.events] == [("error", f"{stream_id}.{LAST}")]
                assert rest.objects[0]["code"] == "interrupted"
        copy = await customer.ask("POST", "/v1/chat/stream", BODY, **{"idempotency-key": "once"})
        assert (copy.status, copy.text) == (200, "".join(FIRST))
        assert copy.events[-1].event == "error"
        assert [stream["id"] for stream in (await customer.ask("GET", "/v1/streams")).json()["data"]] == [stream_id]
        assert len(stage.upstream.requests) == asked


async def test_after_a_stop_in_good_order(sqlite_store: SqliteStore, stage: Stage) -> None:
    """A stream that ended before the server was stopped is read from the next one, whole, byte for byte."""
    async with serving(sqlite_store, stage) as server:
        customer = await new_customer(server.url)
        stage.set(BODY["message"], [OPENAI.head, *map(OPENAI.say, FIRST + REST), OPENAI.end("stop")])
        answer = await customer.ask("POST", "/v1/chat/stream", BODY)
        stream_id = answer.headers["x-tailrace-stream"]
        before = await read(customer, stream_id)
        server.signal(signal.SIGTERM)
        assert await server.ended() == 0
    async with serving(sqlite_store, stage) as server:
        after = await read(customer.at(server.url), stream_id)
        assert (after.status, after.body) == (200, before.body)


# A disk that is full


async def test_a_disk_that_is_full(disk: Disk, stage: Stage) -> None:
    """While no byte can be written a stream goes on and its readers notice nothing; it is said once; when there is room
    again all of it is kept, so that the next server reads it whole."""
    store = SqliteStore(disk.folder / "data")
    async with serving(store, stage) as server, Reader(server.url) as reader:
        customer = await new_customer(server.url)
        stream_id = await begin(stage, reader, customer)
        await kept(store.path.parent, stream_id, FIRST[-1])
        disk.fill(server.pid)
        stage.gate.set()
        assert (await reader.whole()).text == "".join(FIRST + REST)
        await until(lambda: "streams_not_kept" in events_of(server))
        assert (await read(customer, stream_id)).text == "".join(FIRST + REST)
        disk.free(server.pid)
        await until(lambda: "streams_kept_again" in events_of(server))
        await kept(store.path.parent, REST[-1])
        assert events_of(server).count("streams_not_kept") == 1
        await customer.settled()
        await server.kill()
    async with serving(store, stage) as server:
        again = await read(customer.at(server.url), stream_id)
        assert (again.text, again.events[-1].data) == ("".join(FIRST + REST), "[DONE]")


def events_of(server: RunningServer) -> list[str]:
    """What the server has said in its log."""
    return [str(line.get("event")) for line in server.logs()]


async def test_nothing_of_it_in_the_log(sqlite_store: SqliteStore, stage: Stage) -> None:
    """What is kept of an answer lies in the data folder alone: not in the server's log."""
    async with serving(sqlite_store, stage) as server, Reader(server.url) as reader:
        customer = await new_customer(server.url)
        await begin(stage, reader, customer)
        await kept(sqlite_store.path.parent, FIRST[-1])
        assert not re.search("first 1 ", str(server.logs()))
