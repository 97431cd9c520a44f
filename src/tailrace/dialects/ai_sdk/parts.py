"""The parts of a UI message, as the AI SDK's clients send them back.

The format: https://ai-sdk.dev/docs/reference/ai-sdk-core/ui-message. It is the SDK's to extend, so a field that is not
known is not read; what changes the meaning of a turn and can't be handed on is refused.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from tailrace.requests import Image, Reasoning, Text, ToolCall, ToolResult

_DENIED: Final = "The user denied this call."


class VendorModel(BaseModel):
    """A part of a body in the SDK's own words, of which only what is known is read."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class TextPart(VendorModel):
    """A piece of text."""

    type: Literal["text"]
    text: str

    def to_part(self) -> Text:
        """The same in tailrace's own words."""
        return Text(text=self.text)


def _refuse_reference(reference: object) -> None:
    if reference is not None:
        raise PydanticCustomError("unsupported", "a file at a provider can't be handed on; send it as a data: URL")


class FilePart(VendorModel):
    """A file: only images can be handed on. `url` is a `data:` URL in base64, or one that the upstream fetches."""

    type: Literal["file"]
    media_type: str
    provider_reference: Annotated[Any, BeforeValidator(_refuse_reference)] = None
    url: str

    @field_validator("media_type")
    @classmethod
    def _be_an_image(cls, media_type: str) -> str:
        if media_type.partition("/")[0].lower() != "image":
            told = "a file of the type {media_type} can't be handed on; send text or images"
            raise PydanticCustomError("unsupported", told, {"media_type": media_type[:80]})
        return media_type

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        head, comma, _ = url.partition(",")
        scheme = head.partition(":")[0].lower()
        if scheme == "data" and comma and head.endswith(";base64"):
            return url
        if scheme in ("http", "https"):
            return url
        raise ValueError("Input should be a data: URL in base64, data:image/png;base64,…, or one of http or https")

    def to_part(self) -> Image:
        """The same in tailrace's own words."""
        head, _, data = self.url.partition(",")
        if head[:5].lower() != "data:":
            return Image(url=self.url)
        return Image(data=data, media_type=head[5:].removesuffix(";base64") or self.media_type)


class ReasoningPart(VendorModel):
    """What the model thought, with what its vendor proves it by."""

    type: Literal["reasoning"]
    text: str
    provider_metadata: dict[str, Any] | None = None

    def to_part(self) -> Reasoning:
        """The same in tailrace's own words."""
        match self.provider_metadata:
            case {"anthropic": {"signature": str(signature)}}:
                return Reasoning(text=self.text, signature=signature)
            case {"anthropic": {"redactedData": str(redacted)}}:
                return Reasoning(text=self.text, redacted=redacted)
            case _:
                return Reasoning(text=self.text)


class ApprovalBody(VendorModel):
    """What the user said to a call that asked for leave."""

    approved: bool | None = None
    reason: str | None = None


def _refuse_executed(executed: object) -> object:
    if executed is True:
        raise PydanticCustomError("unsupported", "a tool that its provider ran can't be handed on; leave the part out")
    return executed


State: TypeAlias = Literal[
    "input-streaming",
    "input-available",
    "approval-requested",
    "approval-responded",
    "output-available",
    "output-error",
    "output-denied",
]


class ToolPart(VendorModel):
    """A call and, once there is one, its output. The tool's name is the type after `tool-`, else `toolName`."""

    type: str = Field(pattern="^(tool-|dynamic-tool$)")
    tool_call_id: str = Field(min_length=1)
    tool_name: str | None = None
    state: State
    input: Any = None
    raw_input: Any = None
    output: Any = None
    error_text: str | None = None
    approval: ApprovalBody | None = None
    provider_executed: Annotated[bool | None, BeforeValidator(_refuse_executed)] = None

    @model_validator(mode="after")
    def _have_a_name(self) -> Self:
        if not self.name:
            raise PydanticCustomError("missing", "the tool has no name: send toolName, or the type tool-NAME")
        return self

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.tool_name or "" if self.type == "dynamic-tool" else self.type.removeprefix("tool-")

    def to_call(self) -> ToolCall:
        """The call."""
        return ToolCall(id=self.tool_call_id, name=self.name, arguments=self._arguments())

    def _arguments(self) -> str:
        if self.state != "output-error":
            return _write_json({} if self.input is None else self.input)
        raw = self.raw_input if self.input is None else self.input
        # What was no JSON, such as arguments cut short, is shown to the model as Anthropic advises (2026-11):
        # https://docs.claude.com/en/docs/agents-and-tools/tool-use/fine-grained-tool-streaming
        return _write_json({"INVALID_JSON": raw} if isinstance(raw, str) else raw or {})

    def to_result(self) -> ToolResult | None:
        """The output; None where there is none yet."""
        match self.state:
            case "output-available":
                text = self.output if isinstance(self.output, str) else _write_json(self.output)
                return self._result(text)
            case "output-error":
                return self._result(self.error_text or "", is_error=True)
            case "output-denied":
                return self._result(self._denial, is_error=True)
            case "approval-responded" if self.approval is not None and self.approval.approved is False:
                return self._result(self._denial, is_error=True)
            case _:
                return None

    @property
    def _denial(self) -> str:
        return (self.approval and self.approval.reason) or _DENIED

    def _result(self, text: str, *, is_error: bool = False) -> ToolResult:
        return ToolResult(id=self.tool_call_id, content=(Text(text=text),), is_error=is_error)


class StepPart(VendorModel):
    """Where a step of the answer begins: the outputs of the tools called before it were known to it."""

    type: Literal["step-start"]


class ShownPart(VendorModel):
    """Something for the user's eyes alone: a source, or data of the application's own."""

    type: str = Field(pattern="^(data-|source-url$|source-document$)")


_BRANCHES: Final = {
    "step-start": "<step>",
    "steering-message": "<steering>",
    "dynamic-tool": "<tool>",
    "source-url": "<shown>",
    "source-document": "<shown>",
}


def _branch(part: object) -> str | None:
    """The tag of a part, by its type."""
    match part:
        case {"type": str(kind)} if kind.startswith("tool-"):
            return "<tool>"
        case {"type": str(kind)} if kind.startswith("data-"):
            return "<shown>"
        case {"type": str(kind)}:
            return _BRANCHES.get(kind, f"<{kind}>")
        case _:
            return None


SaidPart: TypeAlias = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[FilePart, Tag("<file>")],
    Discriminator(
        _branch,
        custom_error_type="part",
        custom_error_message="Input should be an object whose type is text or file",
    ),
]


class SteeringPart(VendorModel):
    """A user's turn between two steps of one answer."""

    type: Literal["steering-message"]
    parts: list[SaidPart] = Field(min_length=1)


def _refuse_part(part: object) -> object:
    match part:
        case {"type": "custom" | "reasoning-file" as kind}:
            told = "a part of the type {kind} is its provider's own and can't be handed on; leave it out"
            raise PydanticCustomError("unsupported", told, {"kind": kind})
        case _:
            return part


PartBody: TypeAlias = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[FilePart, Tag("<file>")]
    | Annotated[ReasoningPart, Tag("<reasoning>")]
    | Annotated[ToolPart, Tag("<tool>")]
    | Annotated[StepPart, Tag("<step>")]
    | Annotated[SteeringPart, Tag("<steering>")]
    | Annotated[ShownPart, Tag("<shown>")],
    Discriminator(
        _branch,
        custom_error_type="part",
        custom_error_message=(
            "Input should be an object whose type is text, file, reasoning, tool-…, dynamic-tool, step-start, "
            "source-…, data-… or steering-message"
        ),
    ),
    BeforeValidator(_refuse_part),
]


def _write_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
