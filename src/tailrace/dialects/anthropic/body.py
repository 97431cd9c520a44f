"""What `POST /v1/messages` takes, checked field by field and told in Anthropic's own way what is wrong.

The format: https://platform.claude.com/docs/en/api/messages/create.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.anthropic.messages import MessageBody, SystemBody, check_turns, read_system
from tailrace.dialects.anthropic.natives import FORMAT, Keeping, keep
from tailrace.dialects.anthropic.tools import ToolBody, ToolChoiceBody
from tailrace.dialects.base import Call
from tailrace.dialects.body import OnDisconnectField
from tailrace.dialects.faults import explain_as_vendors
from tailrace.requests import ChatRequest, Native, ResponseFormat


class ThinkingBody(Keeping):
    """How much the model may think."""

    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: int | None = Field(default=None, ge=1024, validate_default=True)

    @field_validator("budget_tokens")
    @classmethod
    def _say_how_much(cls, budget: int | None, info: ValidationInfo) -> int | None:
        if budget is None and info.data.get("type") == "enabled":
            raise PydanticCustomError("missing", "Field required")
        return budget


class FormatBody(Keeping):
    """Answers that obey a JSON Schema."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputBody(Keeping):
    """How much effort goes into an answer, and its format."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: FormatBody | None = None


class MetadataBody(Keeping):
    """A name for whoever asks, by which Anthropic detects abuse."""

    user_id: str | None = None


class PromptBody(BaseModel):
    """What a model is asked. A field that is not named here goes to Anthropic's own upstreams as it is."""

    model_config = ConfigDict(extra="allow", frozen=True)

    # In the order in which the checks need them: each sees the fields before it.
    model: str | None = Field(default=None, min_length=1, description="A name of `GET /v1/models`.")
    messages: list[MessageBody] = Field(min_length=1, max_length=100_000, description="The whole conversation.")
    system: SystemBody | None = None
    stream: bool | None = None
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    stop_sequences: list[str] | None = None
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoiceBody | None = None
    thinking: ThinkingBody | None = None
    output_config: OutputBody | None = None
    output_format: FormatBody | None = Field(default=None, description="The older place of `output_config.format`.")
    metadata: MetadataBody | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    cache_control: dict[str, Any] | None = None
    session_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="tailrace's own: the conversation is kept under this name, and only new turns are sent.",
    )
    on_disconnect: OnDisconnectField | None = Field(
        default=None,
        description="tailrace's own: what happens when the last reader leaves; a number is seconds of grace.",
    )

    @field_validator("tool_choice")
    @classmethod
    def _choose_what_is_there(cls, choice: ToolChoiceBody | None, info: ValidationInfo) -> ToolChoiceBody | None:
        if choice is not None and choice.type == "tool" and "tools" in info.data:
            names = {tool.name for tool in info.data["tools"] or ()}
            if choice.name not in names:
                raise PydanticCustomError("invalid_value", "no tool has the name {name}", {"name": choice.name})
        return choice

    @field_validator("output_format")
    @classmethod
    def _agree(cls, wanted: FormatBody | None, info: ValidationInfo) -> FormatBody | None:
        config: OutputBody | None = info.data.get("output_config")
        if wanted is not None and config is not None and config.format is not None:
            raise ValueError("is the older place of output_config.format: send one of them")
        return wanted

    def to_request(self, *, max_tokens: int | None = None) -> ChatRequest:
        """The same in tailrace's own words."""
        choice = self.tool_choice
        return ChatRequest(
            model=self.model or "",
            messages=(*read_system(self.system), *(message.to_message() for message in self.messages)),
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=tuple(self.stop_sequences or ()),
            tools=tuple(tool.to_tool() for tool in self.tools or ()),
            tool_choice=choice.choice if choice else None,
            parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
            response_format=self._response_format(),
            reasoning_effort=self._effort(),
            native=self._native(),
            reads=FORMAT,
        )

    def _response_format(self) -> ResponseFormat | None:
        wanted = self.output_format or (self.output_config.format if self.output_config else None)
        return None if wanted is None else ResponseFormat(schema=wanted.schema_, strict=True)

    def _effort(self) -> str | None:
        """The effort, or the one that a budget for thinking comes to; upstreams of this format get their own words."""
        if self.output_config is not None and self.output_config.effort is not None:
            return self.output_config.effort
        if self.thinking is not None and self.thinking.type == "disabled":
            return "none"
        if self.thinking is None or self.thinking.budget_tokens is None:
            return None
        return next(effort for most, effort in _EFFORTS if self.thinking.budget_tokens <= most)

    def _native(self) -> Native:
        """What is for upstreams of this format alone, and what they get as it was said."""
        unknown = keep(self.model_extra or {}) or Native(format=FORMAT)
        hints = {name: _plain(value) for name in _HINTS if (value := getattr(self, name)) is not None}
        config = {} if self.output_config is None else _plain(self.output_config)
        if self.output_format is not None:
            config["format"] = _plain(self.output_format)
        needs = unknown.needs
        if self.output_config is not None and self.output_config.native is not None:
            needs = {**needs, "output_config": config}
        elif config:
            hints["output_config"] = config
        return Native(format=FORMAT, needs=needs, hints={**unknown.hints, **hints})


# The efforts that others know, by the greatest budget in tokens that stands for each.
_EFFORTS: Final = ((4095, "low"), (16383, "medium"), (float("inf"), "high"))

_HINTS: Final = ("thinking", "metadata", "service_tier", "cache_control")


def _plain(value: Any) -> Any:
    return value.model_dump(by_alias=True, exclude_none=True) if isinstance(value, BaseModel) else value


class MessagesBody(PromptBody):
    """The body of a message to be made."""

    max_tokens: int = Field(ge=0, description="As Anthropic has it, there is no default.")

    def to_call(self) -> Call:
        """The same in tailrace's own words."""
        request = self.to_request(max_tokens=self.max_tokens)
        return Call(request=request, stream=self.stream, session_id=self.session_id, on_disconnect=self.on_disconnect)


_Body = TypeVar("_Body", bound=PromptBody)


def read_message(body: bytes) -> MessagesBody:
    """A body, checked. Raises RequestError 400, with the place of what is wrong."""
    return _read(body, MessagesBody)


def read_prompt(body: bytes) -> ChatRequest:
    """The body of `POST /v1/messages/count_tokens`. Raises RequestError 400."""
    return _read(body, PromptBody).to_request()


def _read(body: bytes, model: type[_Body]) -> _Body:
    try:
        asked = model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise explain_as_vendors(error) from None
    check_turns(asked.messages, with_history=asked.session_id is not None)
    return asked
