"""The shapes of Anthropic's payloads, with only the fields in use.

The format: https://platform.claude.com/docs/en/api/messages/create.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tailrace.providers.payloads import Count, PayloadDecoder


class Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw()


class Details(msgspec.Struct, gc=False):
    thinking_tokens: Count | None = None


class Usage(msgspec.Struct, gc=False):
    input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    output_tokens: Count | None = None
    output_tokens_details: Details | None = None


class Message(msgspec.Struct, gc=False):
    model: Any = None
    usage: Usage | None = None


class Payload(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: msgspec.Raw = msgspec.Raw()
    usage: Usage | None = None
    message: Message | None = None
    error: Any = None


class WholeMessage(msgspec.Struct, gc=False):
    model: Any = None
    content: list[msgspec.Raw] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Usage | None = None


PAYLOADS: Final = PayloadDecoder(Payload, expendable=("usage",))
BLOCKS: Final = PayloadDecoder(Block)
MESSAGES: Final = PayloadDecoder(WholeMessage, expendable=("usage",))
