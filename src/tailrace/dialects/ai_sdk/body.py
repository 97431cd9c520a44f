"""What `POST /ai-sdk/chat` takes: the body of the SDK's `DefaultChatTransport`, and beside it tailrace's own fields.

The format: https://ai-sdk.dev/docs/ai-sdk-ui/transport.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from pydantic import Field, ValidationError

from tailrace.dialects.ai_sdk.messages import UIMessageBody, convert
from tailrace.dialects.base import Call
from tailrace.dialects.body import OptionsBody
from tailrace.dialects.faults import explain
from tailrace.requests import Message, Text


class UIChatBody(OptionsBody):
    """A chat as the AI SDK's client knows it. A field that is not named here is refused: `body` is the user's own."""

    id: str | None = Field(
        default=None, min_length=1, max_length=200, description="The chat, by which its stream is found again."
    )
    messages: list[UIMessageBody] = Field(min_length=1, description="The conversation, as UI messages.")
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    message_id: str | None = Field(
        default=None, alias="messageId", description="The message that is continued, edited or answered anew."
    )

    @property
    def continues(self) -> bool:
        """Whether the answer goes on in a message that the client has already, such as after a tool's output."""
        if self.trigger == "regenerate-message":
            return False
        named = [message for message in self.messages if self.message_id is not None and message.id == self.message_id]
        return (named or self.messages)[-1].role == "assistant"

    def to_call(self, *, continued: str) -> Call:
        """The same in tailrace's own words; `continued` is the format in which an answer goes on."""
        opening = [] if self.system is None else [Message(role="system", parts=(Text(text=self.system),))]
        call = self.asking([*opening, *convert(self.messages)])
        return msgspec.structs.replace(call, chat_id=self.id, dialect=continued if self.continues else None)


def read_chat(body: bytes) -> UIChatBody:
    """A body, checked. Raises RequestError: 400 not JSON, 422 with the field."""
    try:
        return UIChatBody.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise explain(error, UIChatBody) from None
