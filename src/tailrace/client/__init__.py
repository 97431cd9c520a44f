"""The Python client: asks a tailrace server and reads the answer as it comes, whatever happens to the connection."""

from tailrace.client.answer import Answer, ToolUse
from tailrace.client.asynchronous import Client
from tailrace.client.synchronous import SyncAnswer, SyncClient
from tailrace.client.wire import Patience

__all__ = ["Answer", "Client", "Patience", "SyncAnswer", "SyncClient", "ToolUse"]
