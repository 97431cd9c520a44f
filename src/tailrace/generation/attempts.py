"""One upstream to be asked, and what that costs."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec

from tailrace.prices import Tariff
from tailrace.providers import Finish, Provider, Sink
from tailrace.requests import ChatRequest


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream to be asked, with the request in its own model's name; `name` is the public one."""

    provider: Provider
    request: ChatRequest
    name: str = ""
    tariff: Tariff = Tariff()

    def ask(self, sink: Sink) -> Coroutine[Any, Any, Finish]:
        """Ask it, once. Raises UpstreamError."""
        return self.provider.run(self.request, sink)
