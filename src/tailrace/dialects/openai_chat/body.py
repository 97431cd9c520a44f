"""What `POST /v1/chat/completions` takes, checked field by field and told in OpenAI's own way what is wrong.

The format: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from tailrace.dialects.base import Call
from tailrace.dialects.body import OnDisconnectField, StopField
from tailrace.dialects.openai_chat.errors import explain_fault
from tailrace.dialects.openai_chat.messages import MessageBody, check_results, require_function
from tailrace.dialects.openai_chat.parts import KIND, LenientModel, needing
from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, ResponseFormat, Tool

Fields: TypeAlias = dict[str, msgspec.Raw]

_OWN: Final = frozenset({"model", "messages", "session_id", "after", "on_disconnect"})
_FORMATS: Final = frozenset({"text", "json_object", "json_schema"})

_read_fields: Final = msgspec.json.Decoder(Fields).decode
_read_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class FunctionBody(LenientModel):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(LenientModel):
    """A tool: a function, or of another type, which only an upstream of this format understands."""

    type: str = "function"
    function: FunctionBody | None = Field(default=None, validate_default=True)

    @field_validator("function")
    @classmethod
    def _be_there(cls, function: FunctionBody | None, info: ValidationInfo) -> FunctionBody | None:
        return require_function(function, info)

    def to_tool(self) -> Tool:
        """The same in tailrace's own words."""
        function = self.function
        if function is None:
            return Tool(name=self.type, native=needing(type=self.type))
        return Tool(
            name=function.name,
            description=function.description,
            parameters=function.parameters,
            strict=function.strict,
        )


class NamedFunction(LenientModel):
    """A function by name."""

    name: str = Field(min_length=1)


class ToolChoiceBody(LenientModel):
    """This function and no other, or another type of choice."""

    type: str = "function"
    function: NamedFunction | None = Field(default=None, validate_default=True)

    @field_validator("function")
    @classmethod
    def _be_there(cls, function: NamedFunction | None, info: ValidationInfo) -> NamedFunction | None:
        return require_function(function, info)


def _branch_of_choice(choice: object) -> str | None:
    match choice:
        case str():
            return "<word>"
        case dict() | ToolChoiceBody():
            return "<tool>"
        case _:
            return None


class JsonSchemaBody(LenientModel):
    """A JSON Schema and its name."""

    name: str | None = Field(default=None, min_length=1)
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormatBody(LenientModel):
    """Text, any JSON object, JSON that obeys a schema, or what else the upstream knows."""

    type: str
    json_schema: JsonSchemaBody | None = Field(default=None, validate_default=True)

    @field_validator("json_schema")
    @classmethod
    def _be_there(cls, schema: JsonSchemaBody | None, info: ValidationInfo) -> JsonSchemaBody | None:
        if schema is None and info.data.get("type") == "json_schema":
            raise PydanticCustomError("missing", "the type json_schema needs it")
        return schema

    def to_format(self) -> ResponseFormat | None:
        """The same in tailrace's own words."""
        if self.type == "json_object":
            return ResponseFormat()
        if self.type != "json_schema" or self.json_schema is None:
            return None
        schema = self.json_schema
        return ResponseFormat(
            name=schema.name, description=schema.description, schema=schema.schema_, strict=schema.strict
        )


class StreamOptionsBody(LenientModel):
    """`include_usage`: a last chunk with the usage."""

    include_usage: bool | None = None


class CompletionBody(BaseModel):
    """The body of a chat completion. A field that is not named here goes to the upstream as it is.

    Where the upstream speaks this format, so do all the others but tailrace's own.
    """

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
    n: int | None = Field(default=None, ge=1, description="More than one only from upstreams of this format.")
    stop: StopField | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    tools: list[ToolBody] | None = None
    tool_choice: (
        Annotated[
            Annotated[Literal["auto", "none", "required"], Tag("<word>")] | Annotated[ToolChoiceBody, Tag("<tool>")],
            Discriminator(
                _branch_of_choice,
                custom_error_type="invalid_value",
                custom_error_message="Input should be auto, none, required or an object that names a function",
            ),
        ]
        | None
    ) = None
    parallel_tool_calls: bool | None = None
    functions: Any = Field(default=None, description="OpenAI's retired way: only for upstreams of this format.")
    function_call: Any = Field(default=None, description="OpenAI's retired way: only for upstreams of this format.")
    response_format: ResponseFormatBody | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    session_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="tailrace's own: the conversation that this goes on with.",
    )
    after: str | None = Field(
        default=None,
        min_length=1,
        description="tailrace's own: the message of the session to go on from; what follows it is dropped.",
    )
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

    @field_validator("after")
    @classmethod
    def _name_the_session(cls, after: str | None, info: ValidationInfo) -> str | None:
        if after is not None and info.data.get("session_id") is None:
            raise ValueError("names a message of a session: send the session_id too")
        return after

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk that has the usage."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    def to_call(self, fields: Fields, *, dialect: str | None = None) -> Call:
        """The same in tailrace's own words, to be answered in this variant of the format; `fields` is the body."""
        return Call(
            request=self._request(fields),
            stream=self.stream,
            session_id=self.session_id,
            after=self.after,
            on_disconnect=self.on_disconnect,
            dialect=dialect,
        )

    def _request(self, fields: Fields) -> ChatRequest:
        written = zip(self.messages, _read_items(fields["messages"]), strict=True)
        return ChatRequest(
            model=self.model or "",
            messages=tuple(msgspec.structs.replace(message.to_message(), verbatim=raw) for message, raw in written),
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
            extra={name: value for name, value in (self.model_extra or {}).items() if value is not None},
            native=needing(**self._needs()),
            reads=KIND,
            verbatim={name: value for name, value in fields.items() if name not in _OWN},
        )

    def _tool_choice(self) -> Literal["auto", "none", "required"] | tuple[Literal["tool"], str] | None:
        choice = self.tool_choice
        if isinstance(choice, ToolChoiceBody):
            return None if choice.function is None else ("tool", choice.function.name)
        return choice

    def _needs(self) -> dict[str, Any]:
        """What only an upstream of this format can do."""
        needs = {"functions": self.functions, "function_call": self.function_call}
        if self.n is not None and self.n > 1:
            needs["n"] = self.n
        if isinstance(self.tool_choice, ToolChoiceBody) and self.tool_choice.function is None:
            needs["tool_choice"] = self.tool_choice.type
        if self.response_format is not None and self.response_format.type not in _FORMATS:
            needs["response_format"] = self.response_format.type
        return {name: value for name, value in needs.items() if value is not None}


def read_completion(body: bytes) -> CompletionBody:
    """A body, checked. Raises RequestError 400, with the place of what is wrong."""
    try:
        asked = CompletionBody.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise explain_fault(error) from None
    if asked.session_id is None:
        check_results(asked.messages)
    return asked


def read_fields(body: bytes) -> Fields:
    """The fields of a checked body, each as the client wrote it. Raises RequestError 400 for NaN, which is no JSON."""
    try:
        return _read_fields(body)
    except msgspec.DecodeError as error:
        raise RequestError(400, "invalid_json", f"the body is not JSON: {error}") from None
