"""Upstreams that speak OpenAI's Responses API: OpenAI, Azure, xAI, OpenRouter, vLLM and the like."""

from __future__ import annotations

from typing import Any

from tailrace.ids import new_id
from tailrace.providers.answers import AnswerReader
from tailrace.providers.framing import EventFraming, Framing
from tailrace.providers.http import HttpProvider, names_in
from tailrace.providers.openai_responses.body import write_request
from tailrace.providers.openai_responses.events import MAX_EVENT, OpenAIResponsesReader
from tailrace.providers.openai_responses.verbatim import write_verbatim
from tailrace.requests import ChatRequest


class OpenAIResponsesProvider(HttpProvider):
    """Asks `POST <base_url>/responses`; the base URL ends as the vendor's SDK wants it, usually in `/v1`."""

    kind = "openai_responses"
    _chat_path = "/responses"
    _models_path = "/models"

    def _own_headers(self, api_key: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def _write(self, request: ChatRequest) -> bytes:
        if request.verbatim is not None and request.is_native(self.kind):
            return write_verbatim(request, request.verbatim, host=self._host)
        return write_request(request, host=self._host)

    def _choose_framing(self, media_type: str) -> Framing | None:
        framing = super()._choose_framing(media_type)
        return EventFraming(MAX_EVENT) if isinstance(framing, EventFraming) else framing

    def _reader(self, framing: Framing, *, model: str, now: float) -> AnswerReader:
        return OpenAIResponsesReader(framing=framing, model=model, now=now, nonce=new_id("", 6))

    def _read_models(self, listing: Any) -> list[str]:
        return names_in(listing, "data", "id")
