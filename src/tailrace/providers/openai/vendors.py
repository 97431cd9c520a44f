"""What vendors' servers want otherwise than OpenAI's: a written body, fitted to the host that it goes to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from tailrace.providers.openai.hosts import is_below, is_openai, reasons

_Body: TypeAlias = dict[str, Any]
_Change: TypeAlias = Callable[[_Body], None]

_MISTRALS_IDS: Final = re.compile(r"[A-Za-z0-9]{9}")

# Gemini 3 refuses a call without the signature that came with it, which no other format has a place for. This is what
# its documents give for calls that others made (https://ai.google.dev/gemini-api/docs/thought-signatures, 2026-11).
_NO_SIGNATURE: Final = {"google": {"thought_signature": "skip_thought_signature_validator"}}


def fit(body: _Body, host: str) -> _Body:
    """The body as the server at `host` takes it; what a client wrote itself changes only where it would be refused."""
    changes = _changes_for(host)
    if not changes:
        return body
    fitted = dict(body)
    for change in changes:
        change(fitted)
    return fitted


@lru_cache(maxsize=64)
def _changes_for(host: str) -> tuple[_Change, ...]:
    own = (_leave_out_no_effort, _name_limit) if is_openai(host) else ()
    return (*own, *(change for domain, change in _VENDORS if is_below(host, (domain,))))


def _leave_out_no_effort(body: _Body) -> None:
    """A model that never reasons need not be told to do so without effort, and refuses the word."""
    if body.get("reasoning_effort") == "none" and not reasons(body["model"]):
        del body["reasoning_effort"]


def _name_limit(body: _Body) -> None:
    """A model that reasons refuses the older name of the limit, which clients send that know no other."""
    if reasons(body["model"]) and "max_tokens" in body:
        body.setdefault("max_completion_tokens", body.pop("max_tokens"))


def _fit_deepseek(body: _Body) -> None:
    """DeepSeek passes over the newer name of the limit and sets none.

    https://api-docs.deepseek.com/api/create-chat-completion (2026-11).
    """
    if "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")


def _fit_mistral(body: _Body) -> None:
    """Mistral refuses every field that it does not know, and calls some of them otherwise.

    https://docs.mistral.ai/api/endpoint/chat (2026-11): usage comes unasked, `seed` is `random_seed`, there is
    no `max_completion_tokens`, and the id of a tool call has nine letters and digits.
    """
    body.pop("stream_options", None)
    for ours, theirs in (("seed", "random_seed"), ("max_completion_tokens", "max_tokens")):
        if ours in body:
            body[theirs] = body.pop(ours)
    _each_message(body, _shorten_ids)


def _shorten_ids(message: _Body) -> None:
    if "tool_call_id" in message:
        message["tool_call_id"] = _shorten(message["tool_call_id"])
    for call in message.get("tool_calls") or ():
        call["id"] = _shorten(call["id"])


def _shorten(call_id: str) -> str:
    """An id that Mistral takes, the same for the same id each time."""
    return call_id if _MISTRALS_IDS.fullmatch(call_id) else hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _fit_gemini(body: _Body) -> None:
    _each_message(body, _sign_first_call)


def _sign_first_call(message: _Body) -> None:
    """Of calls made at once only the first has a signature."""
    calls = message.get("tool_calls") or ()
    if calls and not any(call.get("extra_content") for call in calls):
        calls[0]["extra_content"] = _NO_SIGNATURE


def _each_message(body: _Body, change: _Change) -> None:
    """Change the messages that have to do with tools; all others stay as they are written."""
    body["messages"] = [_changed(message, change) for message in body["messages"]]


def _changed(message: Any, change: _Change) -> Any:
    if isinstance(message, msgspec.Raw):
        if b'"tool_call' not in bytes(message):
            return message
        message = msgspec.json.decode(message)
    change(message)
    return message


_VENDORS: Final[tuple[tuple[str, _Change], ...]] = (
    ("deepseek.com", _fit_deepseek),
    ("mistral.ai", _fit_mistral),
    ("generativelanguage.googleapis.com", _fit_gemini),
)
