"""What `POST /v1/responses` takes, checked field by field and told in OpenAI's own way what is wrong.

The format: https://platform.openai.com/docs/api-reference/responses/create. What only this format can say goes to the
upstreams that speak it: others refuse what is needed of it, and do without what is a hint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.base import Call
from tailrace.dialects.body import OnDisconnectField
from tailrace.dialects.openai_chat.body import Fields, read_fields
from tailrace.dialects.openai_chat.errors import explain_fault
from tailrace.dialects.openai_responses.items import InputBody, check_calls, references_in, write_messages
from tailrace.dialects.openai_responses.natives import KIND
from tailrace.dialects.openai_responses.options import ConversationField, ReasoningBody, TextBody
from tailrace.dialects.openai_responses.terms import Terms
from tailrace.dialects.openai_responses.tools import OtherChoice, ToolBody, ToolChoiceField, choose_tools
from tailrace.requests import ChatRequest, Message, Native, Text

_INCLUDED: Final = frozenset(
    {
        "reasoning.encrypted_content",
        "message.input_image.image_url",
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
    }
)
"""What is there anyway, or belongs to tools that only this format has."""

# What only an upstream of this format can do.
_NEEDS: Final = ("top_logprobs", "prompt", "context_management", "moderation")

# What is tailrace's own matter, and never the upstream's.
_OWN: Final = frozenset(
    {"model", "input", "stream", "store", "background", "previous_response_id", "conversation", "on_disconnect"}
)

_SAID_ALREADY: Final = msgspec.Raw(b"[]")


class ResponseBody(BaseModel):
    """The body of a request for a response. A field that is not named here goes to the upstream as it is."""

    model_config = ConfigDict(extra="allow", frozen=True)

    # In the order in which the checks need them: each sees the fields before it.
    previous_response_id: str | None = Field(default=None, min_length=1, description="The response to go on from.")
    conversation: ConversationField = Field(default=None, description="A session, by its id.")
    input: InputBody | None = Field(default=None, validate_default=True)
    model: str | None = Field(default=None, min_length=1, description="A name of `GET /v1/models`.")
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = Field(default=None, description="Keep the response and its conversation; the default.")
    background: bool | None = None
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    text: TextBody | None = None
    reasoning: ReasoningBody | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    max_tool_calls: int | None = Field(default=None, ge=1)
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    stream_options: dict[str, Any] | None = None
    top_logprobs: int | None = Field(default=None, ge=0)
    prompt: dict[str, Any] | None = None
    context_management: list[Any] | dict[str, Any] | None = None
    moderation: Any = None
    on_disconnect: OnDisconnectField | None = Field(
        default=None,
        description="tailrace's own: what happens when the last reader leaves; a number is seconds of grace.",
    )

    # All of it, each field as the client wrote it
    _fields: Fields = PrivateAttr(default_factory=dict)

    @field_validator("conversation")
    @classmethod
    def _be_alone(cls, conversation: ConversationField, info: ValidationInfo) -> ConversationField:
        if conversation is not None and info.data.get("previous_response_id") is not None:
            raise ValueError("goes without previous_response_id: send one of them")
        return conversation

    @field_validator("input")
    @classmethod
    def _ask_something(cls, asked: InputBody | None, info: ValidationInfo) -> InputBody | None:
        if asked is None and info.data.get("previous_response_id") is None:
            raise PydanticCustomError("missing", "send text, or items")
        return asked

    @field_validator("store")
    @classmethod
    def _agree(cls, store: bool | None, info: ValidationInfo) -> bool | None:
        if store is False and info.data.get("conversation") is not None:
            raise ValueError("a conversation keeps what is said in it: leave out store: false, or the conversation")
        return store

    @field_validator("background")
    @classmethod
    def _be_kept(cls, background: bool | None, info: ValidationInfo) -> bool | None:
        if background and info.data.get("store") is False:
            raise ValueError("needs store: true, for nothing else leads back to the response")
        return background

    @property
    def stored(self) -> bool:
        """Whether the response is to be found again."""
        return self.store is not False

    @property
    def references(self) -> list[str]:
        """The ids of the stored items that the input refers to."""
        return references_in(self.input)

    def read_input(self, found: Mapping[str, Message]) -> tuple[Message, ...]:
        """The new turns; `found` has what the references stand for. Raises RequestError."""
        return write_messages(self.input, self._fields.get("input"), found)

    def to_call(self, older: Sequence[Message], new: Sequence[Message], *, whole: bool) -> Call:
        """The same in tailrace's own words. Raises RequestError.

        `older` are the turns before it, `new` its own; `whole`: there are no others, so that every call has its output.
        """
        if whole:
            check_calls(self.input, (*older, *new))
        opening = () if self.instructions is None else (_instruct(self.instructions),)
        return Call(
            request=self._request((*opening, *older, *new)),
            stream=self.stream,
            session_id=None if self.conversation is None else self.conversation.id,
            on_disconnect="continue" if self.background and self.on_disconnect is None else self.on_disconnect,
        )

    def to_terms(self, created_at: float) -> Terms:
        """What the response repeats of it."""
        said = self.model_dump(mode="json", by_alias=True, include=set(_ECHOED), exclude_none=True)
        format_ = (said.get("text") or {}).get("format") or {"type": "text"}
        reasoning = {"effort": None, "summary": None, **said.get("reasoning", {})}
        echo = {
            **said,
            "store": self.stored,
            "text": {**said.get("text", {}), "format": format_},
            "reasoning": reasoning,
        }
        return Terms(created_at=created_at, model=self.model or "", echo=echo)

    def _request(self, messages: tuple[Message, ...]) -> ChatRequest:
        tools, choice = choose_tools(self.tools or [], self.tool_choice)
        return ChatRequest(
            model=self.model or "",
            messages=messages,
            max_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls,
            response_format=self.text.format.to_format() if self.text and self.text.format else None,
            reasoning_effort=self.reasoning.effort if self.reasoning else None,
            user=self.user or self.safety_identifier,
            extra=self._extra(),
            native=self._native(),
            reads=KIND,
            verbatim={name: value for name, value in self._fields.items() if name not in _OWN},
        )

    def _extra(self) -> dict[str, Any]:
        """What changes the answer and has no word of ours; the upstream judges it."""
        verbosity = self.text.verbosity if self.text else None
        said = {
            "verbosity": None if verbosity == "medium" else verbosity,
            "service_tier": None if self.service_tier in ("auto", "default") else self.service_tier,
        }
        return {**(self.model_extra or {}), **{name: value for name, value in said.items() if value is not None}}

    def _native(self) -> Native:
        hints = {
            "prompt_cache_key": self.prompt_cache_key,
            "prompt_cache_retention": self.prompt_cache_retention,
            "safety_identifier": self.safety_identifier,
            "reasoning": self._reasoning(),
        }
        return Native(
            format=KIND,
            needs=self._needs(),
            hints={name: value for name, value in hints.items() if value is not None},
        )

    def _needs(self) -> dict[str, Any]:
        needs = {name: value for name in _NEEDS if (value := getattr(self, name)) is not None}
        if self.truncation == "auto":
            needs["truncation"] = "auto"
        if others := [name for name in self.include or () if name not in _INCLUDED]:
            needs["include"] = others
        if isinstance(self.tool_choice, OtherChoice):
            needs["tool_choice"] = self.tool_choice.model_dump()
        return needs

    def _reasoning(self) -> dict[str, Any] | None:
        """Said once more where it has more to say than the effort."""
        said = {} if self.reasoning is None else self.reasoning.model_dump(exclude_none=True)
        return said if said.keys() - {"effort"} else None


_ECHOED: Final = frozenset(
    {
        "background",
        "conversation",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt_cache_key",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_p",
        "truncation",
        "user",
    }
)


def read_response(body: bytes) -> ResponseBody:
    """A body, checked. Raises RequestError 400, with the place of what is wrong."""
    try:
        asked = ResponseBody.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise explain_fault(error) from None
    asked._fields = read_fields(body)
    return asked


def _instruct(text: str) -> Message:
    """Instructions, which are a field of their own where the body goes on as it is."""
    return Message(role="system", parts=(Text(text=text),), verbatim=_SAID_ALREADY)
