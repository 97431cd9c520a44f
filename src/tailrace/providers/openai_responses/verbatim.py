"""Writes a request to the Responses API in the client's own words, where the client speaks this format itself.

The format: https://platform.openai.com/docs/api-reference/responses/create. A message's `verbatim` is the list of its
items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import msgspec

from tailrace.providers.bodies import encode_body
from tailrace.providers.openai_responses.body import include
from tailrace.providers.openai_responses.items import Item, write_message
from tailrace.providers.signatures import open_openai
from tailrace.requests import ChatRequest

_Fields: TypeAlias = dict[str, msgspec.Raw]

_NULL: Final = msgspec.Raw(b"null")

_read_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_any: Final = msgspec.json.Decoder().decode


def write_verbatim(request: ChatRequest, fields: _Fields, *, host: str) -> bytes:
    """The body for the server at `host`: the client's `fields` as they came, but for the model and how it answers.

    Turns that the client did not send now, and a limit that it did not set, are added. Nothing is stored at the
    vendor's: the conversation is kept here, and reasoning goes back and forth encrypted.
    """
    body: dict[str, Any] = {**fields, "model": request.model, "input": list(_write_input(request))}
    if request.max_tokens is not None and fields.get("max_output_tokens", _NULL) == _NULL:
        body["max_output_tokens"] = request.max_tokens
    if included := include(_read_any(fields.get("include", _NULL)), request, host):
        body["include"] = included
    return encode_body({**body, "stream": True, "store": False})


def _write_input(request: ChatRequest) -> Iterator[Item | msgspec.Raw]:
    for number, message in enumerate(request.messages):
        if message.verbatim is None:
            yield from write_message(message, f"messages.{number}")
            continue
        for item in _read_items(message.verbatim):
            yield from _open(item)


def _open(item: msgspec.Raw) -> Iterator[Item | msgspec.Raw]:
    """An item as it was written; reasoning without a name of the upstream's only where the API has signed it."""
    if b'"reasoning"' not in bytes(item):
        yield item
        return
    told: Item = _read_any(item)
    if told.get("type") != "reasoning" or told.get("id") is not None:
        yield item
    elif (opened := open_openai(told.get("encrypted_content"))) is not None:
        name, encrypted = opened
        yield {**told, **({"id": name} if name else {}), "encrypted_content": encrypted}
