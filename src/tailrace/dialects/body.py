"""What tailrace's own routes take: one body, as JSON or as a query, checked field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from tailrace.dialects.base import Call
from tailrace.dialects.faults import explain, unknown
from tailrace.dialects.messages import MessageBody, StrictModel, check_results
from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, Message, ResponseFormat, Text, Tool, user_message


class FunctionBody(StrictModel):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(StrictModel):
    """A tool."""

    type: Literal["function"] = "function"
    function: FunctionBody


class NamedFunction(StrictModel):
    """A tool by name."""

    name: str = Field(min_length=1)


class ToolChoiceBody(StrictModel):
    """This tool and no other."""

    type: Literal["function"] = "function"
    function: NamedFunction


class JsonSchemaBody(StrictModel):
    """A JSON Schema and its name."""

    name: str | None = Field(default=None, min_length=1)
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormatBody(StrictModel):
    """Text, any JSON object, or JSON that obeys a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaBody | None = None

    @model_validator(mode="after")
    def _agree(self) -> ResponseFormatBody:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with the type json_schema, which needs it")
        return self


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def or_say(wanted: str) -> WrapValidator:
    """Instead of a complaint for each branch of a union the one sentence that says what would be right."""

    def check(value: object, validate: ValidatorFunctionWrapHandler) -> object:
        try:
            return validate(value)
        except ValidationError:
            raise ValueError(wanted) from None

    return WrapValidator(check)


_Stops: TypeAlias = Annotated[list[str], Field(max_length=16)]
StopField: TypeAlias = Annotated[_Stops, BeforeValidator(_one_or_many, json_schema_input_type=str | _Stops)]
OnDisconnectField: TypeAlias = Annotated[
    Literal["cancel", "continue"] | Annotated[float, Field(ge=0, le=86400)],
    or_say("Input should be cancel, continue or seconds of grace, 0 to 86400"),
]
ToolChoiceField: TypeAlias = Annotated[
    Literal["auto", "none", "required"] | ToolChoiceBody,
    or_say('Input should be auto, none, required or {"type": "function", "function": {"name": …}}'),
]


class OptionsBody(StrictModel):
    """What may be asked beside the conversation itself, on all of tailrace's own routes."""

    model: str | None = Field(default=None, min_length=1, description="A name of `GET /v1/models`.")
    backend: str | None = Field(default=None, min_length=1, description="A provider's name; its default model.")
    system: str | None = Field(default=None, description="The system prompt.")
    session_id: str | None = Field(default=None, min_length=1, max_length=200)
    after: str | None = Field(
        default=None,
        min_length=1,
        description="The message of the session to go on from; what follows it is dropped. Without a new message it "
        "is answered anew.",
    )
    stream: bool | None = Field(default=None, description="On `POST /v1/chat`: stream the answer.")
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop: StopField = Field(default_factory=list)
    seed: int | None = None
    tools: list[ToolBody] = Field(default_factory=list)
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormatBody | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    on_disconnect: OnDisconnectField | None = Field(
        default=None, description="What happens when the last reader leaves; a number is seconds of grace."
    )

    @model_validator(mode="after")
    def _name_the_session(self) -> Self:
        if self.after is not None and self.session_id is None:
            raise ValueError("after names a message of a session: send the session_id too")
        return self

    def asking(self, conversation: Iterable[Message]) -> Call:
        """A call that asks this of the conversation."""
        return Call(
            request=self._request(tuple(conversation)),
            backend=self.backend,
            stream=self.stream,
            session_id=self.session_id,
            after=self.after,
            on_disconnect=self.on_disconnect,
        )

    def _request(self, conversation: tuple[Message, ...]) -> ChatRequest:
        return ChatRequest(
            model=self.model or "",
            messages=conversation,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=tuple(self.stop),
            seed=self.seed,
            tools=tuple(_tool(tool.function) for tool in self.tools),
            tool_choice=self._tool_choice(),
            parallel_tool_calls=self.parallel_tool_calls,
            response_format=_response_format(self.response_format),
            reasoning_effort=self.reasoning_effort,
            user=self.user,
            metadata=self.metadata,
        )

    def _tool_choice(self) -> Literal["auto", "none", "required"] | tuple[Literal["tool"], str] | None:
        if isinstance(self.tool_choice, ToolChoiceBody):
            return ("tool", self.tool_choice.function.name)
        return self.tool_choice


class ChatBody(OptionsBody):
    """The body of tailrace's own chat routes. Either `message` or `messages`."""

    message: str | None = Field(default=None, min_length=1, description="The user's message.")
    messages: list[MessageBody] | None = Field(default=None, min_length=1, description="The whole conversation.")
    system_prompt: str | None = Field(default=None, description="The same as `system`.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.message is not None and self.messages is not None:
            raise ValueError("send either message or messages, not both")
        if self.message is None and self.messages is None and self.after is None:
            raise ValueError("send either message or messages")
        if self.system is not None and self.system_prompt is not None:
            raise ValueError("system and system_prompt are the same field: send one of them")
        return self

    def to_call(self) -> Call:
        """The same in tailrace's own words. Raises RequestError 422 for a tool's result without its call."""
        if self.session_id is None:
            check_results(self.messages or ())
        return self.asking(self._conversation())

    def _conversation(self) -> tuple[Message, ...]:
        system = self.system if self.system is not None else self.system_prompt
        opening = [] if system is None else [Message(role="system", parts=(Text(text=system),))]
        if self.message is not None:
            return (*opening, user_message(self.message))
        return (*opening, *(message.to_message() for message in self.messages or ()))


def _tool(function: FunctionBody) -> Tool:
    return Tool(
        name=function.name,
        description=function.description,
        parameters=function.parameters,
        strict=function.strict,
    )


def _response_format(body: ResponseFormatBody | None) -> ResponseFormat | None:
    if body is None or body.type == "text":
        return None
    if body.json_schema is None:
        return ResponseFormat()
    schema = body.json_schema
    return ResponseFormat(name=schema.name, description=schema.description, schema=schema.schema_, strict=schema.strict)


_MESSAGES: Final = TypeAdapter(list[MessageBody])
_CREDENTIALS: Final = frozenset({"key", "api_key", "apikey", "x-api-key", "access_token", "authorization"})
_QUERY_ONLY: Final = frozenset({"idempotency_key", "token", "lastEventId"})
QUERY_FIELDS: Final = (
    "message",
    "model",
    "backend",
    "system",
    "session_id",
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "user",
    "on_disconnect",
)
"""The fields of a body that a query may carry too."""


def parse_body(body: bytes) -> Call:
    """A JSON object as a call. Raises RequestError: 400 not JSON, 422 with the field."""
    if not body.strip():
        raise RequestError(400, "invalid_json", 'the body is empty; send a JSON object such as {"message": "Hi"}')
    try:
        return ChatBody.model_validate_json(body, strict=True).to_call()
    except ValidationError as error:
        raise explain(error, ChatBody) from None


def parse_messages(body: bytes, query: Mapping[str, str]) -> Call:
    """A bare JSON array of messages, with everything else in the query."""
    try:
        messages = _MESSAGES.validate_json(body)
    except ValidationError as error:
        raise explain(error, MessageBody) from None
    options = check_query(query, without=frozenset({"message"}))
    return _validate({**options, "messages": [message.model_dump(exclude_unset=True) for message in messages]})


def parse_query(query: Mapping[str, str]) -> Call:
    """A query such as `?message=Hi&model=simulated` as a call."""
    return _validate(check_query(query))


def refuse_keys(query: Mapping[str, str]) -> None:
    """A key in a query string would be logged on its way. Raises RequestError 400 that says where keys go."""
    for name in query:
        if name.lower() in _CREDENTIALS:
            raise RequestError(
                400, "key_in_query", f"{name} in the query string: send keys as X-API-Key or Authorization", field=name
            )


_ON_DISCONNECT: Final[TypeAdapter[OnDisconnectField]] = TypeAdapter(OnDisconnectField)


def read_on_disconnect(value: str, *, field: str) -> OnDisconnectField:
    """`cancel`, `continue` or seconds of grace, from a header. Raises RequestError 422."""
    try:
        return _ON_DISCONNECT.validate_python(value)
    except ValidationError:
        message = f"{field} must be cancel, continue or seconds of grace, not {value[:40]!r}"
        raise RequestError(422, "invalid_field", message, field=field) from None


def check_query(query: Mapping[str, str], *, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """The query's fields, each of which must be known."""
    allowed = [name for name in QUERY_FIELDS if name not in without]
    for name in query:
        if name not in allowed and name not in _QUERY_ONLY:
            raise RequestError(422, "unknown_field", unknown(name, allowed), field=name)
    return {name: value for name, value in query.items() if name in allowed}


def _validate(fields: dict[str, Any]) -> Call:
    try:
        return ChatBody.model_validate(fields).to_call()
    except ValidationError as error:
        raise explain(error, ChatBody) from None
