"""Refusals: the status and words that reach the client, and what never does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.providers.refusals import break_off, find_message, for_status, mask, parse_retry_after, refuse

KEY = "sk-proj-canary0123456789canary"
NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("status", "code", "told", "retryable"),
    [
        (400, "upstream_refused", 400, False),
        (404, "upstream_refused", 404, False),
        (413, "upstream_refused", 413, False),
        (422, "upstream_refused", 422, False),
        (429, "upstream_refused", 429, True),
        (401, "upstream_auth", 502, False),
        (402, "upstream_auth", 502, False),
        (403, "upstream_auth", 502, False),
        (405, "upstream_refused", 502, False),
        (408, "upstream_error", 502, True),
        (500, "upstream_error", 502, True),
        (503, "upstream_error", 502, True),
        (529, "upstream_error", 529, True),
        (599, "upstream_error", 502, True),
    ],
)
def test_statuses(status: int, code: str, told: int, retryable: bool) -> None:
    """Each status becomes the code, the client's status and the advice on retrying that it stands for."""
    error = for_status(status, "no")
    assert (error.code, error.status, error.retryable) == (code, told, retryable)


def test_redirect() -> None:
    """A redirect is an error, and where it pointed is not told."""
    error = refuse(307, {"location": f"https://evil.example/?key={KEY}"}, b"")
    assert (error.code, error.status) == ("upstream_error", 502)
    assert "evil" not in error.message


def test_retry_after_is_carried() -> None:
    """The upstream's wish to be left alone for a while is told."""
    assert refuse(429, {"retry-after": "7"}, b"").retry_after == 7.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("30", 30.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("-1", None),
        ("nan", None),
        ("inf", 604_800.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Sun, 99 Nov 1994 08:00:00 GMT", None),
        ("soon", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Retry-After is read as seconds or as a date, and believed only within reason."""
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text())
def test_any_retry_after(value: str) -> None:
    """Whatever the header holds, reading it never raises."""
    seconds = parse_retry_after(value, now=NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "OpenAI says", "type": "t", "code": "c"}}, "OpenAI says"),
        ({"type": "error", "error": {"type": "t", "message": "Anthropic says"}}, "Anthropic says"),
        ({"error": "Ollama says"}, "Ollama says"),
        ({"object": "error", "message": "vLLM says"}, "vLLM says"),
        ({"detail": "FastAPI says"}, "FastAPI says"),
        ({"detail": [{"loc": ["body"], "msg": "FastAPI lists"}]}, "FastAPI lists"),
        ([{"error": {"message": "Gemini says"}}], "Gemini says"),
        ({"error": {"message": ""}, "message": "next best"}, "next best"),
        ({"error": {"code": 1}}, None),
        ({}, None),
    ],
)
def test_messages(body: Any, message: str | None) -> None:
    """The vendor's words are found where each vendor puts them."""
    assert find_message(json.dumps(body).encode()) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"", None), (b"  ", None), (b"upstream down\n", "upstream down"), (b"<html>x</html>", None), (b"\xff", "\ufffd")],
)
def test_messages_outside_json(body: bytes, message: str | None) -> None:
    """Plain text is a message, a page is none."""
    assert find_message(body) == message


@given(st.binary(max_size=200) | st.integers(1, 5000).map(lambda depth: b'{"error":' * depth + b"1" + b"}" * depth))
def test_any_body(body: bytes) -> None:
    """Whatever a refusal's body holds, it becomes an error."""
    assert refuse(500, {}, body).code == "upstream_error"


def test_message_is_told() -> None:
    """The status and the vendor's words are both in the message; without words the status stands alone."""
    assert refuse(404, {}, b'{"error": "no such model"}').message == "answered 404: no such model"
    assert refuse(404, {}, b"").message == "answered 404"


@pytest.mark.parametrize(("status", "told"), [(None, 502), (429, 429), (400, 400), (401, 502), (529, 529)])
def test_errors_in_a_stream(status: int | None, told: int) -> None:
    """An error in mid-stream is `upstream_error` whatever it is about, with the status that it stands for."""
    error = break_off("boom", status=status)
    assert (error.code, error.message, error.status) == ("upstream_error", "boom", told)


@pytest.mark.parametrize(
    "message",
    [
        f"Incorrect API key provided: {KEY}.",
        f"key={KEY}&x",
        f'{{"authorization": "Bearer {KEY}"}}',
        "Incorrect key: sk-proj-ca***nary",
        "sk-ant-api03-canary-canary_canary",
        "gsk_canary0123456789",
        "AIzacanary0123456789",
        "hf_canary0123456789",
        "bearer canary0123456789",
        "authorization: Basic canarycanary=",
        "tr_abc_canary0123456789",
        "the secret header was canary-in-a-header, sorry",
    ],
)
def test_secrets_are_masked(message: str) -> None:
    """The provider's own secrets, and whatever looks like a key, never leave."""
    told = mask(message, [KEY, "canary-in-a-header"])
    assert "canary" not in told
    assert "nary" not in told
    assert "***" in told


def test_ordinary_words_are_not_masked() -> None:
    """A message without secrets stays as it is; a value too short to be a secret does not blot out words."""
    message = "The task-model risk-assessment asked for max_tokens=5 and a basic key: reduce it."
    assert mask(message, ["", "5", "key"]) == message


def test_messages_are_safe_to_print() -> None:
    """Control characters, a terminal's escapes among them, and endless messages are tamed."""
    assert mask("a\x1b[31mb\r\nc\x9bd", []) == "a [31mb c d"
    assert len(mask("x" * 100_000, [])) <= 1001


def test_masked_before_it_is_shortened() -> None:
    """A secret that the end of the message would cut in two is masked all the same."""
    assert "canary" not in mask("x" * 985 + " " + KEY, [KEY])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"error": {"message": "no", "param": "messages[0].content"}}, "messages[0].content"),
        ({"error": {"message": "no", "param": None}}, None),
        ({"error": {"message": "no", "param": "a place\nof two lines"}}, None),
        ({"error": "no"}, None),
        (["no"], None),
    ],
)
def test_field(body: Any, field: str | None) -> None:
    """The place that OpenAI's errors blame is told; anything else that stands there is not."""
    assert refuse(400, {}, json.dumps(body).encode()).field == field
