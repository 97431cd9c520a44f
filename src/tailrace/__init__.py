"""tailrace carries an LLM's answer, token by token, to the people and programs that wait for it."""

from tailrace.client import Answer, Client, SyncAnswer, SyncClient
from tailrace.errors import (
    RequestError,
    SettingsError,
    StreamError,
    TailraceError,
    UnreachableError,
    UpstreamError,
)
from tailrace.events import (
    Event,
    Failed,
    Finished,
    Opaque,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from tailrace.providers import Finish, Provider, Sink
from tailrace.requests import ChatRequest, Image, Message, Reasoning, Text, Tool, ToolCall, ToolResult
from tailrace.settings import Settings
from tailrace.version import __version__
from tailrace.web.app import Tailrace, create_app
from tailrace.web.auth import Caller
from tailrace.web.library import stream_response

__all__ = [
    "Answer",
    "Caller",
    "ChatRequest",
    "Client",
    "Event",
    "Failed",
    "Finish",
    "Finished",
    "Image",
    "Message",
    "Opaque",
    "Provider",
    "Reasoning",
    "ReasoningDelta",
    "RefusalDelta",
    "RequestError",
    "Settings",
    "SettingsError",
    "Sink",
    "Started",
    "StreamError",
    "SyncAnswer",
    "SyncClient",
    "Tailrace",
    "TailraceError",
    "Text",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallStarted",
    "ToolResult",
    "UnreachableError",
    "UpstreamError",
    "UsageReported",
    "__version__",
    "create_app",
    "stream_response",
]
