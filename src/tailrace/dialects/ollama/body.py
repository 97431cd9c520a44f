"""What `POST /api/chat` and `POST /api/generate` take, checked field by field.

The format: https://docs.ollama.com/api/chat and https://docs.ollama.com/api/generate. A request without messages, or
with an empty prompt, asks Ollama to load the model and for no answer; its call has no messages.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from tailrace.dialects.base import Call
from tailrace.dialects.body import OnDisconnectField, or_say
from tailrace.dialects.faults import explain_as_vendors, in_brackets
from tailrace.dialects.ollama.images import ImageField, read_image
from tailrace.dialects.ollama.messages import MessageBody, read_messages
from tailrace.dialects.ollama.options import OptionsBody
from tailrace.dialects.ollama.tools import LenientModel, ToolBody
from tailrace.errors import RequestError
from tailrace.requests import ChatRequest, Message, Native, ResponseFormat, Text, Tool

_Body = TypeVar("_Body", bound=BaseModel)

FormatField: TypeAlias = Annotated[
    Literal["", "json"] | dict[str, Any], or_say('must be "json" or an object that is a JSON Schema')
]
ThinkField: TypeAlias = Annotated[
    bool | Literal["low", "medium", "high", "max"], or_say("must be true, false, low, medium, high or max")
]
KeepAliveField: TypeAlias = Annotated[float | str, or_say("must be seconds, or a text such as 5m")]

_EFFORTS: Final[dict[bool | str, str]] = {True: "medium", False: "none"}
"""What Ollama itself takes `think: true` for, where a level is wanted; and the word for none."""


class AskBody(BaseModel):
    """What both have in common. A field that is not named goes to an upstream that is an Ollama, and to no other."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str | None = Field(default=None, min_length=1, description="A name of `GET /api/tags`.")
    stream: bool | None = Field(default=None, description="Lines as they come, unless false.")
    format: FormatField | None = None
    options: OptionsBody | None = None
    think: ThinkField | None = None
    keep_alive: KeepAliveField | None = Field(
        default=None, description="For an upstream that is an Ollama; no other keeps models in memory."
    )
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool | None = Field(default=None, description="For an upstream that knows them.")
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    on_disconnect: OnDisconnectField | None = Field(
        default=None,
        description="tailrace's own: what happens when the last reader leaves; a number is seconds of grace.",
    )

    def asking(self, conversation: tuple[Message, ...], tools: tuple[Tool, ...] = ()) -> Call:
        """A call that asks this of the conversation."""
        options = self.options or OptionsBody()
        request = ChatRequest(
            model=self.model or "",
            messages=conversation,
            tools=tools,
            response_format=self._response_format(),
            reasoning_effort=None if self.think is None else _EFFORTS.get(self.think, str(self.think)),
            native=self._native(options),
            extra=_said(self, "logprobs", "top_logprobs"),
            **options.common(),
        )
        return Call(request=request, stream=self.stream, on_disconnect=self.on_disconnect)

    def _response_format(self) -> ResponseFormat | None:
        if not isinstance(self.format, dict):
            return ResponseFormat() if self.format else None
        return ResponseFormat(schema=self.format)

    def _native(self, options: OptionsBody) -> Native | None:
        """What only an Ollama understands: of the fields none that an answer depends on elsewhere."""
        hints = _said(self, "keep_alive", "think", "truncate", "shift") | options.hints()
        unknown = {name: value for name, value in (self.model_extra or {}).items() if value is not None}
        needs = unknown | options.needs()
        return Native(format="ollama", needs=needs, hints=hints) if needs or hints else None


def _said(body: BaseModel, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(body, name)) is not None}


class ChatBody(AskBody):
    """The body of a chat."""

    messages: list[MessageBody] | None = Field(default=None, description="The whole conversation.")
    tools: list[ToolBody] | None = None

    def to_call(self) -> Call:
        """The same in tailrace's own words."""
        tools = tuple(tool.to_tool() for tool in self.tools or ())
        return self.asking(read_messages(self.messages or ()), tools)


def _refuse_said(hint: str) -> BeforeValidator:
    """Takes nothing but what says nothing: what the field asks for can't be done, and `hint` says what can."""

    def check(value: object) -> None:
        if value:
            raise PydanticCustomError("unsupported", "is not supported; {hint}", {"hint": hint})

    return BeforeValidator(check)


_ONLY_TEXT: Final = "models that make images are not reached through this API"


class GenerateBody(AskBody):
    """The body of a generation from one prompt: a chat of one turn."""

    prompt: str | None = None
    system: str | None = None
    images: list[ImageField] | None = None
    suffix: Annotated[Any, _refuse_said("no upstream fills in a middle through its chat: send a prompt alone")] = None
    template: Annotated[Any, _refuse_said("upstreams have their own: send system and prompt as they are")] = None
    raw: Annotated[Any, _refuse_said("upstreams put prompts into their own templates: leave raw out")] = None
    context: Annotated[Any, _refuse_said("it holds one model's own tokens: send the messages to /api/chat")] = None
    width: Annotated[Any, _refuse_said(_ONLY_TEXT)] = None
    height: Annotated[Any, _refuse_said(_ONLY_TEXT)] = None
    steps: Annotated[Any, _refuse_said(_ONLY_TEXT)] = None

    def to_call(self) -> Call:
        """The same in tailrace's own words."""
        if not self.prompt:
            return self.asking(())
        opening = (Message(role="system", parts=(Text(text=self.system),)),) if self.system else ()
        turn = Message(role="user", parts=(Text(text=self.prompt), *map(read_image, self.images or ())))
        return self.asking((*opening, turn))


class ShowBody(LenientModel):
    """The body of a question for one model; `name` is an older word for `model`."""

    model: str | None = Field(default=None, min_length=1)
    name: str | None = Field(default=None, min_length=1)


def read_chat(body: bytes) -> Call:
    """A chat's body as a call. Raises RequestError 400, with the place of what is wrong."""
    return _read(ChatBody, body).to_call()


def read_generate(body: bytes) -> Call:
    """A generation's body as a call. Raises RequestError 400, with the place of what is wrong."""
    return _read(GenerateBody, body).to_call()


def read_show(body: bytes) -> str:
    """The name of the model that is asked for. Raises RequestError 400."""
    asked = _read(ShowBody, body)
    if (name := asked.model or asked.name) is None:
        raise RequestError(400, "invalid_value", "model: a model must be named", field="model")
    return name


def _read(model: type[_Body], body: bytes) -> _Body:
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise explain_as_vendors(error, write_place=in_brackets) from None
