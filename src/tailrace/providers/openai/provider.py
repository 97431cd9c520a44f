"""Any upstream that speaks OpenAI's chat completions: OpenAI, vLLM, llama.cpp, Groq, OpenRouter and the like."""

from __future__ import annotations

from typing import Any

from tailrace.providers.answers import AnswerReader
from tailrace.providers.framing import Framing
from tailrace.providers.http import HttpProvider, names_in
from tailrace.providers.openai.body import write_request
from tailrace.providers.openai.chunks import OpenAIReader
from tailrace.providers.openai.verbatim import write_verbatim
from tailrace.requests import ChatRequest


class OpenAIProvider(HttpProvider):
    """Asks `POST <base_url>/chat/completions`; the base URL ends as the vendor's SDK wants it, usually in `/v1`."""

    kind = "openai"
    _chat_path = "/chat/completions"
    _models_path = "/models"

    def _own_headers(self, api_key: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def _write(self, request: ChatRequest) -> bytes:
        if request.verbatim is not None and request.is_native(self.kind):
            return write_verbatim(request, request.verbatim, host=self._host)
        return write_request(request, host=self._host)

    def _reader(self, framing: Framing, *, model: str, now: float) -> AnswerReader:
        return OpenAIReader(framing=framing, model=model, now=now)

    def _read_models(self, listing: Any) -> list[str]:
        return names_in(listing, "data", "id")
