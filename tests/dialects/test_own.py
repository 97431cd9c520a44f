"""What the own formats share: JSON in one line, the whole answer, problem JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.dialects.answers import BROKEN, WHOLE

from tailrace.dialects import DIALECTS, Dialect, find_dialect
from tailrace.dialects.base import json_bytes
from tailrace.dialects.own import PROBLEM_TYPE, Answer, OwnDialect
from tailrace.errors import RequestError
from tailrace.events import Event, Failed, Finished, Started, TextDelta, ToolCallDelta, ToolCallStarted, UsageReported

ANY_TEXT = st.text(st.characters(exclude_categories=()))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=8,
)


OWN = {name: dialect for name, dialect in DIALECTS.items() if isinstance(dialect, OwnDialect)}


@pytest.fixture(params=list(OWN.values()), ids=list(OWN))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


def sound(value: Any) -> Any:
    """The value with each surrogate replaced, as JSON readers get it."""
    match value:
        case str():
            return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in value)
        case list():
            return [sound(item) for item in value]
        case dict():
            return {sound(name): sound(item) for name, item in value.items()}
        case _:
            return value


@given(value=ANY_JSON)
@example(value=["\ud83d", {"\ud83d": ["\ud83d", None]}])
def test_json_is_one_line_for_every_reader(value: Any) -> None:
    """Whatever the text, JSON is one line even to `splitlines`, and comes back equal but for lone surrogates."""
    written = json_bytes(value).decode()
    assert len(written.splitlines()) == 1
    assert json.loads(written) == sound(value)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("é", '"é"'.encode()),
        ("\u0085\u2028\u2029", rb'"\u0085\u2028\u2029"'),
        ("\r\n\0\x1c", rb'"\r\n\u0000\u001c"'),
        ("\ud83d", '"\ufffd"'.encode()),
        ("\ud83d\ude00", '"\ufffd\ufffd"'.encode()),
        ("😀", '"😀"'.encode()),
    ],
)
def test_json_of_hard_text(text: str, written: bytes) -> None:
    """False line ends are escaped, surrogates become U+FFFD one by one, everything else stands as it is."""
    assert json_bytes(text) == written


def test_whole_answer(dialect: Dialect) -> None:
    """Asked for in one piece, an answer is the same JSON in all formats: what was said, by whom, what it used."""
    assert json.loads(dialect.whole("gen_x", WHOLE)) == {
        "id": "gen_x",
        "model": "gpt-4o",
        "created_at": 1_700_000_000.0,
        "text": 'Hello "you"\nNo.',
        "reasoning": "Hm.",
        "tool_calls": [{"index": 0, "id": "call_1", "name": "look", "arguments": '{"at":"it"}'}],
        "finish_reason": "tool_calls",
        "usage": {"input_tokens": 11, "output_tokens": 42, "reasoning_tokens": 7, "source": "reported"},
    }


def test_plain_whole_answer(dialect: Dialect) -> None:
    """Reasoning and tool calls are there only where the model used them."""
    events: list[Event] = [
        Started(model="m", created_at=1.0),
        TextDelta(text="Hi"),
        UsageReported(input_tokens=1, output_tokens=1, source="counted"),
        Finished(reason="stop"),
    ]
    assert json.loads(dialect.whole("gen_x", events)) == {
        "id": "gen_x",
        "model": "m",
        "created_at": 1.0,
        "text": "Hi",
        "finish_reason": "stop",
        "usage": {"input_tokens": 1, "output_tokens": 1, "source": "counted"},
    }


def test_parallel_tool_calls() -> None:
    """Pieces of arguments that come by turns go each to its own call."""
    answer = Answer.of(
        [
            ToolCallStarted(call=0, id="a", name="f"),
            ToolCallStarted(call=1, id="b", name="g"),
            ToolCallDelta(call=0, arguments="1"),
            ToolCallDelta(call=1, arguments="2"),
            ToolCallDelta(call=0, arguments="3"),
        ]
    )
    assert [(call["id"], call["arguments"]) for call in answer.tool_calls] == [("a", "13"), ("b", "2")]


def test_answers_share_nothing() -> None:
    """Folding one log leaves no trace in the next one's answer."""
    Answer.of([ToolCallStarted(call=0, id="a", name="f")])
    assert Answer.of([]).tool_calls == []


def test_refusal(dialect: Dialect) -> None:
    """An HTTP error is problem JSON with its status in words, code, field and request id."""
    error = RequestError(422, "invalid_field", "max_tokens: too few", field="max_tokens")
    media_type, body = dialect.refusal(error, "req_1")
    assert media_type == PROBLEM_TYPE
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "max_tokens: too few",
        "code": "invalid_field",
        "request_id": "req_1",
        "field": "max_tokens",
    }


def test_refusal_without_field(dialect: Dialect) -> None:
    """An error of no field names none, and a status without a name of its own still has a title."""
    problem = json.loads(dialect.refusal(RequestError(529, "upstream_error", "overloaded"), "req_1")[1])
    assert problem["title"] == "Error"
    assert "field" not in problem


def test_failure_keeps_the_part(dialect: Dialect) -> None:
    """A generation that failed before its answer was sent leaves as problem JSON, with the text that there was."""
    failed = BROKEN[-1]
    assert isinstance(failed, Failed)
    media_type, body = dialect.failure(failed, BROKEN, "req_1")
    assert media_type == PROBLEM_TYPE
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Bad Gateway",
        "status": 502,
        "detail": "the upstream broke off",
        "code": "upstream_cut",
        "request_id": "req_1",
        "text": "Hel",
    }


def test_failure_without_text(dialect: Dialect) -> None:
    """Where nothing was said, there is no text."""
    failed = Failed(code="first_token_timeout", message="silent", status=504)
    problem = json.loads(dialect.failure(failed, [failed], "req_1")[1])
    assert problem["status"] == 504
    assert "text" not in problem


def test_find_dialect() -> None:
    """A format is found by its name; an unknown one is refused with the names that there are."""
    assert [find_dialect(name).name for name in DIALECTS] == list(DIALECTS)
    with pytest.raises(RequestError) as caught:
        find_dialect("xml\n")
    assert (caught.value.status, caught.value.code) == (400, "unknown_format")
    assert "delta, token, raw, meta" in caught.value.message
