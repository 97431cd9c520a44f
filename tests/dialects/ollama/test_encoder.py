"""Ollama's lines, byte for byte, and against the types of its official client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import ollama
import pytest
from tests.dialects.answers import BROKEN, WHOLE
from tests.dialects.reading import STREAM_ID, encode_all

from tailrace.dialects import OLLAMA, OLLAMA_GENERATE, Dialect
from tailrace.dialects.ollama import ListedModel, list_running, list_tags, show_model, tell_version
from tailrace.errors import RequestError
from tailrace.events import (
    Event,
    Failed,
    Finished,
    Opaque,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)

SAME: Final = '{"model":"gpt-4o","created_at":"2023-11-14T22:13:20.000000Z",'
FIGURES: Final = (
    '"done":true,"done_reason":"stop","total_duration":340000000,"load_duration":0,"prompt_eval_count":11,'
    '"prompt_eval_duration":12500000,"eval_count":42,"eval_duration":327500000}\n'
)
CALLED: Final = '"tool_calls":[{"id":"call_1","function":{"index":0,"name":"look","arguments":{"at":"it"}}}]'

CHAT_STREAM: Final = """\
SAME"message":{"role":"assistant","content":"","thinking":"Hm."},"done":false}
SAME"message":{"role":"assistant","content":"Hel"},"done":false}
SAME"message":{"role":"assistant","content":"lo \\"you\\"\\n"},"done":false}
SAME"message":{"role":"assistant","content":"No."},"done":false}
SAME"message":{"role":"assistant","content":"",CALLED},"done":false}
SAME"message":{"role":"assistant","content":""},FIGURES"""

GENERATE_STREAM: Final = """\
SAME"response":"","thinking":"Hm.","done":false}
SAME"response":"Hel","done":false}
SAME"response":"lo \\"you\\"\\n","done":false}
SAME"response":"No.","done":false}
SAME"response":"",CALLED,"done":false}
SAME"response":"",FIGURES"""

BROKEN_STREAM: Final = """\
SAME"message":{"role":"assistant","content":"Hel"},"done":false}
{"error":"the upstream broke off"}
"""

START: Final = Started(model="50%", created_at=1_700_000_000.25)


def written(template: str) -> bytes:
    return template.replace("SAME", SAME).replace("FIGURES", FIGURES).replace("CALLED", CALLED).encode()


def lines(events: Sequence[Event], dialect: Dialect = OLLAMA) -> list[Any]:
    return [json.loads(line) for line in encode_all(dialect, events).splitlines()]


def calling(*pieces: Event, reason: Any = "stop") -> list[Event]:
    """An answer of these pieces of tool calls."""
    return [START, *pieces, Finished(reason=reason)]


@pytest.mark.parametrize(
    ("dialect", "events", "stream"),
    [(OLLAMA, WHOLE, CHAT_STREAM), (OLLAMA_GENERATE, WHOLE, GENERATE_STREAM), (OLLAMA, BROKEN, BROKEN_STREAM)],
)
def test_streams(dialect: Dialect, events: list[Event], stream: str) -> None:
    """Every kind of event in chat and in generate, and a failure, as the lines that they are."""
    assert encode_all(dialect, events).decode() == written(stream).decode()


def test_every_line_is_of_the_clients_types() -> None:
    """The client's own types take each line and each whole answer, and keep all of it."""
    for line in lines(WHOLE):
        assert ollama.ChatResponse(**line).model_dump(exclude_unset=True).keys() == line.keys()
    for line in lines(WHOLE, OLLAMA_GENERATE):
        assert ollama.GenerateResponse(**line).model_dump(exclude_unset=True).keys() == line.keys() - {"tool_calls"}
    whole = json.loads(OLLAMA.whole(STREAM_ID, WHOLE))
    read = ollama.ChatResponse(**whole)
    assert (read.message.content, read.message.thinking) == ('Hello "you"\nNo.', "Hm.")
    assert read.message.tool_calls is not None
    assert read.message.tool_calls[0].function.arguments == {"at": "it"}
    assert {name: whole[name] for name in whole if name != "message"} == {
        name: value for name, value in lines(WHOLE)[-1].items() if name != "message"
    }


def test_calls_are_held_until_no_piece_can_follow() -> None:
    """Calls whose pieces come mixed are whole, in their order, and in one line before the last."""
    events = calling(
        ToolCallStarted(call=0, id="a", name="f"),
        ToolCallStarted(call=1, id="b", name="g"),
        ToolCallDelta(call=1, arguments='{"y":\n'),
        ToolCallDelta(call=0, arguments='{"x":1e400,"n":123456789012345678901234567890}'),
        TextDelta(text="."),
        ToolCallDelta(call=1, arguments="2}"),
    )
    text, called, end = encode_all(OLLAMA, events).decode().splitlines()
    assert json.loads(text)["message"]["content"] == "."
    assert '"arguments":{"x":1e400,"n":123456789012345678901234567890}' in called
    assert [call["function"]["arguments"] for call in json.loads(called)["message"]["tool_calls"]][1] == {"y": 2}
    assert json.loads(end)["done_reason"] == "stop"


@pytest.mark.parametrize("arguments", ['{"x":', "[1]", '"x"', "NaN", '{"x":NaN}', "[" * 100_000])
def test_arguments_that_are_no_object(arguments: str) -> None:
    """What the format can't say is an error, streamed and whole, never arguments that the model did not give."""
    events = calling(ToolCallStarted(call=0, id="a", name="f"), ToolCallDelta(call=0, arguments=arguments))
    assert lines(events) == [{"error": "the model called 'f' with arguments that are not a JSON object"}]
    assert json.loads(OLLAMA.whole(STREAM_ID, events)) == lines(events)[0]


def test_a_call_that_the_limit_cut() -> None:
    """An answer that ends at its limit says so, and leaves the call out that it did not come to end."""
    whole = ToolCallStarted(call=0, id="a", name="f")
    cut: list[Event] = [ToolCallStarted(call=1, id="b", name="g"), ToolCallDelta(call=1, arguments='{"x":')]
    called, end = lines(calling(whole, *cut, reason="length"))
    assert [call["function"]["name"] for call in called["message"]["tool_calls"]] == ["f"]
    assert end["done_reason"] == "length"


def test_what_is_not_known_is_left_out() -> None:
    """Counts that nobody knows and times that never began are not made up; no time is nothing to divide by."""
    end = lines([START, UsageReported(), Finished(reason="content_filter")])[-1]
    assert end.keys() == {"model", "created_at", "message", "done", "done_reason", "total_duration", "load_duration"}
    assert (end["model"], end["created_at"]) == ("50%", "2023-11-14T22:13:20.250000Z")
    assert end["done_reason"] == "content_filter"
    quick = lines([START, Finished(reason="stop", ttft_ms=2.0, duration_ms=2.0)])[-1]
    assert (quick["total_duration"], quick["prompt_eval_duration"], quick["eval_duration"]) == (2_000_000, 2_000_000, 1)


def test_log_probabilities() -> None:
    """Those of an OpenAI upstream come beside the text, in Ollama's place for them."""
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    events: list[Event] = [
        START,
        TextDelta(text="Hi"),
        Opaque(kind="logprobs", json=json.dumps({"content": [token]})),
        Opaque(kind="logprobs", json="null"),
        Finished(reason="stop"),
    ]
    assert [line.get("logprobs") for line in lines(events)] == [None, [token], None]
    whole = json.loads(OLLAMA.whole(STREAM_ID, events))
    assert ollama.ChatResponse(**whole).logprobs == ollama.ChatResponse(**{**whole, "logprobs": [token]}).logprobs


def test_an_upstreams_lines() -> None:
    """They are handed on as they came; what Ollama's client would take for a line's end is escaped."""
    frame = '{"message":{"content":"a\u0085b\u2028"},"new":[1.50]}'.encode()
    end = b'{"done":true,"total_duration":5}'
    events: list[Event] = [
        msgspec.structs.replace(START, frame=b""),
        TextDelta(text="a\u0085b\u2028", frame=frame),
        UsageReported(input_tokens=1, output_tokens=2),
        Finished(reason="stop", frame=end),
    ]
    relay = OLLAMA.relay(STREAM_ID)
    written = b"".join(relay.encode(seq, event) for seq, event in enumerate(events, 1))
    assert written == frame.replace(b"\xc2\x85", b"\\u0085").replace(b"\xe2\x80\xa8", b"\\u2028") + b"\n" + end + b"\n"
    assert [json.loads(line) for line in written.decode().splitlines()] == [json.loads(frame), json.loads(end)]


def test_only_the_first_answer() -> None:
    """Of several answers to one question the format has place for one."""
    events: list[Event] = [START, TextDelta(text="a"), TextDelta(text="b", choice=1), Finished(reason="stop")]
    assert [line["message"]["content"] for line in lines(events)] == ["a", ""]
    assert json.loads(OLLAMA.whole(STREAM_ID, events))["message"]["content"] == "a"


def test_errors() -> None:
    """A refusal and a failure are Ollama's error object; of a model that is not there in words that clients know."""
    missing = RequestError(404, "model_not_found", "there is no model 'x'")
    assert OLLAMA.refusal(missing, "req_1") == (
        "application/json",
        b'{"error":"model not found: there is no model \'x\'"}',
    )
    failed = Failed(code="upstream_cut", message="cut")
    assert OLLAMA_GENERATE.failure(failed, [failed], "req_1") == ("application/json", b'{"error":"cut"}')


@pytest.mark.parametrize(
    ("dialect", "field", "place"),
    [
        (OLLAMA, "messages[3].content", "messages"),
        (OLLAMA_GENERATE, "messages[3].content", "prompt"),
        (OLLAMA, "max_tokens", "options.num_predict"),
        (OLLAMA, "reasoning_effort", "think"),
        (OLLAMA, "response_format.json_schema", "format"),
        (OLLAMA, "tools.0.strict", "tools.0.strict"),
    ],
)
def test_a_place_that_an_upstream_blames(dialect: Dialect, field: str, place: str) -> None:
    """It comes before the words by this format's own name; where turns have other numbers it is told without."""
    failed = Failed(code="unsupported", message="No.", status=400, field=field)
    told = json.dumps({"error": f"{place}: No."}, separators=(",", ":")).encode()
    assert dialect.failure(failed, [failed], "req_1") == ("application/json", told)
    assert encode_all(dialect, [failed]) == told + b"\n"


def test_models() -> None:
    """The client's types take the lists, a model and the version."""
    model = ListedModel(name="openai/gpt-4o", provider="openai", since=1_700_000_000.0)
    listed = ollama.ListResponse(**json.loads(list_tags([model]))).models[0]
    assert (listed.model, listed.size, len(listed.digest or "")) == ("openai/gpt-4o", 0, 64)
    assert listed.details is not None
    assert listed.details.family == "openai"
    shown = ollama.ShowResponse(**json.loads(show_model(model)))
    assert (shown.capabilities, shown.modelinfo) == (["completion", "tools", "vision"], {})
    assert ollama.ProcessResponse(**json.loads(list_running())).models == []
    assert len(json.loads(tell_version())["version"].split(".")) == 3
