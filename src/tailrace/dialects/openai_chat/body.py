"""What `POST /v1/chat/completions` takes, checked field by field and told in OpenAI's own way what is wrong.

The format: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.base import Call
from tailrace.dialects.body import OnDisconnectField, StopField, ToolChoiceBody, ToolChoiceField
from tailrace.dialects.faults import own_places
from tailrace.dialects.openai_chat.errors import write_param
from tailrace.dialects.openai_chat.messages import MessageBody, check_results
from tailrace.dialects.openai_chat.parts import LenientModel, refuse
from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, ResponseFormat, Tool


class FunctionBody(LenientModel):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(LenientModel):
    """A tool. OpenAI's custom tools, whose input is free text, are refused."""

    type: Literal["function"] = "function"
    function: FunctionBody

    def to_tool(self) -> Tool:
        """The same in tailrace's own words."""
        function = self.function
        return Tool(
            name=function.name,
            description=function.description,
            parameters=function.parameters,
            strict=function.strict,
        )


class JsonSchemaBody(LenientModel):
    """A JSON Schema and its name."""

    name: str | None = Field(default=None, min_length=1)
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormatBody(LenientModel):
    """Text, any JSON object, or JSON that obeys a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaBody | None = Field(default=None, validate_default=True)

    @field_validator("json_schema")
    @classmethod
    def _be_there(cls, schema: JsonSchemaBody | None, info: ValidationInfo) -> JsonSchemaBody | None:
        if schema is None and info.data.get("type") == "json_schema":
            raise PydanticCustomError("missing", "the type json_schema needs it")
        return schema

    def to_format(self) -> ResponseFormat | None:
        """The same in tailrace's own words."""
        if self.type == "text":
            return None
        if self.type == "json_object" or self.json_schema is None:
            return ResponseFormat()
        schema = self.json_schema
        return ResponseFormat(name=schema.name, schema=schema.schema_, strict=schema.strict)


class StreamOptionsBody(LenientModel):
    """`include_usage`: a last chunk with the usage."""

    include_usage: bool | None = None


class CompletionBody(BaseModel):
    """The body of a chat completion. A field that is not named here goes to the upstream as it is."""

    model_config = ConfigDict(extra="allow", frozen=True)

    # In the order in which the checks need them: each sees the fields before it.
    messages: list[MessageBody] = Field(min_length=1, description="The whole conversation.")
    model: str | None = Field(default=None, min_length=1, description="A name of `GET /v1/models`.")
    stream: bool | None = None
    stream_options: StreamOptionsBody | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1, description="The same as `max_tokens`.")
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    n: int | None = Field(default=None, ge=1, description="One answer; more are refused.")
    stop: StopField | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    tools: list[ToolBody] | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[Any, refuse("it is OpenAI's retired way; send tools")] = None
    function_call: Annotated[Any, refuse("it is OpenAI's retired way; send tool_choice")] = None
    response_format: ResponseFormatBody | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    on_disconnect: OnDisconnectField | None = Field(
        default=None,
        description="tailrace's own: what happens when the last reader leaves; a number is seconds of grace.",
    )

    @field_validator("stream_options")
    @classmethod
    def _only_of_a_stream(cls, options: StreamOptionsBody | None, info: ValidationInfo) -> StreamOptionsBody | None:
        if options is not None and not info.data.get("stream"):
            raise ValueError("goes with stream: true only")
        return options

    @field_validator("max_completion_tokens")
    @classmethod
    def _agree(cls, limit: int | None, info: ValidationInfo) -> int | None:
        if limit is not None and info.data.get("max_tokens") not in (None, limit):
            raise ValueError("is the newer name of max_tokens: send one of them")
        return limit

    @field_validator("n")
    @classmethod
    def _be_one(cls, n: int | None) -> int | None:
        if n is not None and n > 1:
            raise PydanticCustomError("unsupported", "more than one answer is not supported; send one request for each")
        return n

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk that has the usage."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    def to_call(self, *, dialect: str | None = None) -> Call:
        """The same in tailrace's own words, to be answered in this variant of the format."""
        return Call(request=self._request(), stream=self.stream, on_disconnect=self.on_disconnect, dialect=dialect)

    def _request(self) -> ChatRequest:
        return ChatRequest(
            model=self.model or "",
            messages=tuple(message.to_message() for message in self.messages),
            max_tokens=self.max_completion_tokens if self.max_tokens is None else self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=tuple(self.stop or ()),
            tools=tuple(tool.to_tool() for tool in self.tools or ()),
            tool_choice=self._tool_choice(),
            parallel_tool_calls=self.parallel_tool_calls,
            response_format=self.response_format.to_format() if self.response_format else None,
            reasoning_effort=self.reasoning_effort,
            seed=self.seed,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            user=self.user,
            metadata=self.metadata,
            extra=dict(self.model_extra or {}),
        )

    def _tool_choice(self) -> Literal["auto", "none", "required"] | tuple[Literal["tool"], str] | None:
        if isinstance(self.tool_choice, ToolChoiceBody):
            return ("tool", self.tool_choice.function.name)
        return self.tool_choice


# What OpenAI's `code` says of Pydantic's kinds of error; a wrong type of any sort is `invalid_type`.
_CODES: Final = {
    "missing": "missing_required_parameter",
    "unsupported": "unsupported_value",
}


def read_completion(body: bytes) -> CompletionBody:
    """A body, checked. Raises RequestError 400, with the place of what is wrong."""
    try:
        asked = CompletionBody.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise _refuse(error) from None
    check_results(asked.messages)
    return asked


def _refuse(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False, include_input=False)[0]
    kind = first["type"]
    told = "must not be empty" if kind == "too_short" else first["msg"].removeprefix("Value error, ")
    if kind == "json_invalid":
        return RequestError(400, "invalid_json", f"the body is not JSON: {told.removeprefix('Invalid JSON: ')}")
    param = write_param(".".join(map(str, own_places(first["loc"]))))
    if not param:
        return RequestError(400, "invalid_type", "the body must be a JSON object")
    code = _CODES.get(kind, "invalid_type" if kind.endswith("_type") else "invalid_value")
    return RequestError(400, code, f"{param}: {told}", field=param)
