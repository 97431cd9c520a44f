"""What tailrace's own routes take: one body, as JSON or as a query, checked field by field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tailrace.dialects.base import Call
from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, Image, Message, ResponseFormat, Text, Tool, ToolCall, ToolResult


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class TextPart(_Model):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(_Model):
    """An image's address: a `data:` URL, or one that the upstream fetches; tailrace never does."""

    url: str = Field(min_length=1)
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(_Model):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class FunctionCall(_Model):
    """The function of a tool call; `arguments` is JSON text."""

    name: str = Field(min_length=1)
    arguments: str = "{}"


class ToolCallPart(_Model):
    """A call that the assistant made in an earlier turn."""

    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: FunctionCall


class MessageBody(_Model):
    """One turn, as OpenAI's chat completions write it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]] | None = None
    name: str | None = None
    tool_calls: list[ToolCallPart] = []
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _say_something(self) -> MessageBody:
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a tool message needs the tool_call_id that it answers")
        if self.content is None and not self.tool_calls:
            raise ValueError("a message needs content")
        return self


class FunctionBody(_Model):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolBody(_Model):
    """A tool."""

    type: Literal["function"] = "function"
    function: FunctionBody


class NamedFunction(_Model):
    """A tool by name."""

    name: str = Field(min_length=1)


class ToolChoiceBody(_Model):
    """This tool and no other."""

    type: Literal["function"] = "function"
    function: NamedFunction


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


OnDisconnectField: TypeAlias = Literal["cancel", "continue"] | Annotated[float, Field(ge=0, le=86400)]


class ChatBody(_Model):
    """The body of tailrace's own chat routes. Either `message` or `messages`."""

    message: str | None = Field(default=None, min_length=1, description="The user's message.")
    messages: list[MessageBody] | None = Field(default=None, min_length=1, description="The whole conversation.")
    model: str | None = Field(default=None, min_length=1, description="A name of `GET /v1/models`.")
    backend: str | None = Field(default=None, min_length=1, description="A provider's name; its default model.")
    system: str | None = Field(default=None, description="The system prompt.")
    system_prompt: str | None = Field(default=None, description="The same as `system`.")
    session_id: str | None = Field(default=None, min_length=1, max_length=200)
    stream: bool | None = Field(default=None, description="On `POST /v1/chat`: stream the answer.")
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop: Annotated[list[str], BeforeValidator(_one_or_many)] = Field(default=[], max_length=16)
    seed: int | None = None
    tools: list[ToolBody] = []
    tool_choice: Literal["auto", "none", "required"] | ToolChoiceBody | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    on_disconnect: OnDisconnectField | None = Field(
        default=None, description="What happens when the last reader leaves; a number is seconds of grace."
    )

    @model_validator(mode="after")
    def _agree(self) -> ChatBody:
        if (self.message is None) == (self.messages is None):
            raise ValueError("send either message or messages" + (", not both" if self.message is not None else ""))
        if self.system is not None and self.system_prompt is not None:
            raise ValueError("system and system_prompt are the same field: send one of them")
        return self

    def to_call(self) -> Call:
        """The same in tailrace's own words."""
        return Call(
            request=self._request(),
            backend=self.backend,
            stream=self.stream,
            session_id=self.session_id,
            on_disconnect=self.on_disconnect,
        )

    def _request(self) -> ChatRequest:
        return ChatRequest(
            model=self.model or "",
            messages=self._conversation(),
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

    def _conversation(self) -> tuple[Message, ...]:
        system = self.system if self.system is not None else self.system_prompt
        opening = [] if system is None else [Message(role="system", parts=(Text(text=system),))]
        if self.message is not None:
            return (*opening, Message(role="user", parts=(Text(text=self.message),)))
        return (*opening, *(_message(message) for message in self.messages or ()))

    def _tool_choice(self) -> Literal["auto", "none", "required"] | tuple[Literal["tool"], str] | None:
        if isinstance(self.tool_choice, ToolChoiceBody):
            return ("tool", self.tool_choice.function.name)
        return self.tool_choice


def _message(body: MessageBody) -> Message:
    content = _content(body.content)
    if body.role == "tool":
        return Message(role="tool", parts=(ToolResult(id=body.tool_call_id or "", content=content),), name=body.name)
    calls = (
        ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments) for call in body.tool_calls
    )
    role = "system" if body.role == "developer" else body.role
    return Message(role=role, parts=(*content, *calls), name=body.name)


def _content(content: str | list[TextPart | ImagePart] | None) -> tuple[Text | Image, ...]:
    match content:
        case None:
            return ()
        case str():
            return (Text(text=content),)
        case _:
            return tuple(_part(part) for part in content)


def _part(part: TextPart | ImagePart) -> Text | Image:
    if isinstance(part, TextPart):
        return Text(text=part.text)
    url = part.image_url.url
    if url.startswith("data:") and ";base64," in url:
        media_type, _, data = url.removeprefix("data:").partition(";base64,")
        return Image(data=data, media_type=media_type, detail=part.image_url.detail)
    return Image(url=url, detail=part.image_url.detail)


def _tool(function: FunctionBody) -> Tool:
    return Tool(
        name=function.name,
        description=function.description,
        parameters=function.parameters,
        strict=function.strict,
    )


def _response_format(body: dict[str, Any] | None) -> ResponseFormat | None:
    match body:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return ResponseFormat()
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            named = body["json_schema"]
            return ResponseFormat(name=named.get("name"), schema=schema, strict=named.get("strict"))
        case _:
            raise RequestError(
                422,
                "invalid_field",
                'response_format must be {"type": "json_object"} or {"type": "json_schema", "json_schema": {…}}',
                field="response_format",
            )


_MESSAGES: Final = TypeAdapter(list[MessageBody])
_KNOWN: Final = tuple(ChatBody.model_fields)
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
        raise _explain(error) from None


def parse_messages(body: bytes, query: Mapping[str, str]) -> Call:
    """A bare JSON array of messages, with everything else in the query."""
    try:
        messages = _MESSAGES.validate_json(body)
    except ValidationError as error:
        raise _explain(error) from None
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
            raise RequestError(422, "unknown_field", _unknown(name, tuple(allowed)), field=name)
    return {name: value for name, value in query.items() if name in allowed}


def _validate(fields: dict[str, Any]) -> Call:
    try:
        return ChatBody.model_validate(fields).to_call()
    except ValidationError as error:
        raise _explain(error) from None


def _explain(error: ValidationError) -> RequestError:
    """The first fault of a body, as an HTTP error that names the field and what would be right."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return RequestError(400, "invalid_json", f"the body is not JSON: {_reason(first['msg'])}")
    field = ".".join(str(place) for place in first["loc"]) or None
    if first["type"] == "extra_forbidden":
        name = str(first["loc"][-1])
        known = _KNOWN if len(first["loc"]) == 1 else ()
        return RequestError(422, "unknown_field", _unknown(name, known), field=field)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type":
        message = "the body must be a JSON object"
    return RequestError(422, "invalid_field", f"{field}: {message}" if field else message, field=field)


def _reason(message: str) -> str:
    return message.removeprefix("Invalid JSON: ")


def _unknown(name: str, known: tuple[str, ...]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"unknown field {json.dumps(name[:60], ensure_ascii=False)}{hint}"
