"""Ollama's tools: functions, as OpenAI wrote them first."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tailrace.requests import Tool


class LenientModel(BaseModel):
    """A part of a body of which only what is known is read, as Ollama reads it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class FunctionBody(LenientModel):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolBody(LenientModel):
    """A tool."""

    type: Literal["function"] | None = "function"
    function: FunctionBody

    def to_tool(self) -> Tool:
        """The same in tailrace's own words."""
        function = self.function
        return Tool(name=function.name, description=function.description, parameters=function.parameters)
