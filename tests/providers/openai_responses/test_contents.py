"""What a response may hold: text, reasoning and calls, streamed or not, by servers that keep to the format or not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.providers.openai_responses.answering import (
    CALLED,
    HERE,
    STOP,
    added,
    arguments,
    calls_in,
    ended,
    event,
    item_done,
    message,
    message_done,
    reading,
    text,
)
from tests.providers.reading import Reading

from tailrace.events import Opaque, ReasoningDelta, RefusalDelta, TextDelta


class TestContent:
    """What an answer may hold, streamed or not."""

    def test_two_messages(self) -> None:
        """The text of several messages follows in order."""
        payloads = [added(0, "message"), text("a"), item_done(0, "message"), added(1, "message"), text("b", 1), ended()]
        assert reading(*payloads).events == [HERE, TextDelta(text="a"), TextDelta(text="b")]

    def test_nothing_is_told_twice(self) -> None:
        """What came in pieces is in the item and in the output again, and is not told again."""
        payloads = [text("a"), message_done(0, "a"), ended(output=[message("a")])]
        assert reading(*payloads).events == [HERE, TextDelta(text="a")]

    @pytest.mark.parametrize(
        "payloads",
        [
            [message_done(0, "a", "b"), ended()],
            [added(0, "message"), message_done(0, "a", "b"), ended(output=[message("a", "b")])],
            [ended(output=[message("a", "b")])],
            [added(0, "message"), ended(output=[message("a", "b")])],
            [text("a", index=None, item_id="i"), text("b", index=None, item_id="i"), ended()],
        ],
    )
    def test_servers_that_do_not_stream_it(self, payloads: list[Any]) -> None:
        """Text is taken from where it is: from pieces by place or by id, from the item, else from the output."""
        assert reading(*payloads) == Reading(events=[HERE, TextDelta(text="a"), TextDelta(text="b")], finish=STOP)

    def test_items_without_their_own_places(self) -> None:
        """Servers that give every item the place 0 lose nothing and repeat nothing."""
        payloads = [
            *(
                added(0, "reasoning"),
                event("reasoning_text.delta", output_index=0, delta="R"),
                item_done(0, "reasoning"),
            ),
            *(added(0, "message"), message_done(0, "a")),
            *(added(0, "function_call", call_id="c", name="f"), arguments("{}"), item_done(0, "function_call")),
            *(added(0, "function_call", call_id="d", name="g"), arguments("[]"), item_done(0, "function_call")),
            ended(output=[message("a")]),
        ]
        whole = reading(*payloads)
        assert whole.events[1:3] == [ReasoningDelta(text="R"), TextDelta(text="a")]
        assert calls_in(whole.events) == [("c", "f", "{}"), ("d", "g", "[]")]

    def test_annotations(self) -> None:
        """Citations of a message that was not streamed come with it, as chat completions have them."""
        cited = {"type": "url_citation", "url": "https://example.com"}, {"type": "file_path", "file_id": "f"}
        parts = [{"type": "output_text", "text": "a", "annotations": [*cited, "odd"]}]
        assert reading(item_done(0, "message", content=parts)).events[1:] == [
            TextDelta(text="a"),
            Opaque(
                kind="annotations",
                json='[{"type":"url_citation","url_citation":{"url":"https://example.com"}},'
                '{"type":"file_path","file_id":"f"}]',
            ),
        ]

    def test_other_content(self) -> None:
        """A part of a message that is neither text nor refusal passes through."""
        parts = [{"type": "refusal", "refusal": "No."}, {"type": "output_audio", "id": "a"}]
        assert reading(item_done(0, "message", content=parts)).events[1:] == [
            RefusalDelta(text="No."),
            Opaque(kind="content", json='{"type":"output_audio","id":"a"}'),
        ]

    def test_unknown_events(self) -> None:
        """Events of the vendor's that are newer than this reader pass through, whatever their fields hold."""
        new = {"type": "response.dream.delta", "delta": {"x": 1}, "arguments": [2]}
        assert reading(text("a"), new, text("b")).events[2:] == [
            Opaque(kind="response.dream.delta", json='{"type":"response.dream.delta","delta":{"x":1},"arguments":[2]}'),
            TextDelta(text="b"),
        ]

    def test_keepalives(self) -> None:
        """Events that only keep the connection busy are none."""
        assert reading({"type": "keepalive", "sequence_number": 3}, text("a"), {"type": "ping"}, ended()) == Reading(
            events=[HERE, TextDelta(text="a")], finish=STOP
        )

    def test_log_probabilities(self) -> None:
        """They come after their text, in the shape of chat completions, on the first delta and on later ones."""
        odds = [{"token": "a", "logprob": -0.5, "top_logprobs": []}]
        told = Opaque(
            kind="logprobs", json='{"content":[{"token":"a","logprob":-0.5,"top_logprobs":[]}],"refusal":null}'
        )
        piece = text("a", logprobs=odds)
        assert reading(piece, piece).events == [HERE, TextDelta(text="a"), told, TextDelta(text="a"), told]


class TestReasoning:
    """Reasoning and its proof."""

    def test_summary_that_is_not_streamed(self) -> None:
        """A summary that comes with its item alone is told in paragraphs, with the proof."""
        summary = [{"type": "summary_text", "text": said} for said in ("A", "B")]
        done = item_done(0, "reasoning", id="rs_1", summary=summary, encrypted_content="E")
        assert reading(done).events[1:] == [ReasoningDelta(text="A\n\nB", signature="openai:rs_1:E")]

    def test_no_summary(self) -> None:
        """The proof of reasoning that is not shown is there all the same."""
        done = item_done(0, "reasoning", id="rs_1", summary=[], encrypted_content="E")
        assert reading(added(0, "reasoning", encrypted_content="half"), done).events[1:] == [
            ReasoningDelta(text="", signature="openai:rs_1:E")
        ]

    @pytest.mark.parametrize("item", [{"summary": []}, {"summary": None, "encrypted_content": ""}, {"content": "odd"}])
    def test_nothing(self, item: dict[str, Any]) -> None:
        """Reasoning of which nothing is given is no event."""
        assert reading(item_done(0, "reasoning", **item)).events == []


class TestCalls:
    """The arguments of calls, however they come."""

    @pytest.mark.parametrize(
        ("payloads", "calls"),
        [
            pytest.param(
                [
                    *(
                        added(0, "function_call", call_id="a", name="f"),
                        added(1, "function_call", call_id="b", name="g"),
                    ),
                    *(arguments("{1", 1), arguments("{0", 0), arguments("}", 1), arguments("}", 0)),
                ],
                [("a", "f", "{0}"), ("b", "g", "{1}")],
                id="pieces of two calls at once",
            ),
            pytest.param(
                [item_done(0, "function_call", call_id="a", name="f", arguments='{"x":1}')],
                [("a", "f", '{"x":1}')],
                id="only the whole item",
            ),
            pytest.param(
                [
                    added(0, "function_call", call_id="a", name="f", arguments=""),
                    event("function_call_arguments.done", output_index=0, arguments="{}"),
                    item_done(0, "function_call", call_id="a", name="f", arguments="{}"),
                ],
                [("a", "f", "{}")],
                id="no pieces",
            ),
            pytest.param(
                [
                    *(added(0, "function_call", call_id="a", name="f"), arguments('{"x":')),
                    item_done(0, "function_call", call_id="a", name="f", arguments='{"x":1}'),
                ],
                [("a", "f", '{"x":1}')],
                id="the last piece only in the item",
            ),
            pytest.param(
                [arguments("{"), arguments("}"), item_done(0, "function_call", call_id="a", name="f", arguments="{}")],
                [("a", "f", "{}")],
                id="pieces wait for the name",
            ),
            pytest.param(
                [item_done(0, "function_call", call_id=call, name="f", arguments={"x": 1}) for call in "ab"],
                [("a", "f", '{"x":1}'), ("b", "f", '{"x":1}')],
                id="two at one place, arguments as JSON",
            ),
            pytest.param(
                [added(0, "function_call", name="f"), item_done(0, "function_call", id="fc", name="f", arguments="{}")],
                [("call_n_0", "f", "{}")],
                id="no id when it begins",
            ),
            pytest.param(
                [ended(output=[{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}])],
                [("a", "f", "{}")],
                id="only in the output",
            ),
        ],
    )
    def test_calls(self, payloads: list[Any], calls: list[tuple[str, str, str]]) -> None:
        """Every call has its id, its name and all of its arguments once, and the answer ends in tool calls."""
        whole = reading(*payloads, ended())
        assert calls_in(whole.events) == calls
        assert whole.finish == CALLED

    def test_call_without_a_name(self) -> None:
        """A call that never gets a name can't be made, so the answer is invalid."""
        assert reading(arguments("{}"), ended()).failure == (
            "upstream_invalid",
            "a tool call came without a name",
            502,
        )
