"""Upstreams that speak Ollama's own chat API."""

from __future__ import annotations

from typing import Any

from tailrace.ids import new_id
from tailrace.providers.answers import AnswerReader
from tailrace.providers.framing import Framing, LineFraming
from tailrace.providers.http import JSON, HttpProvider, names_in
from tailrace.providers.ollama.body import write_request
from tailrace.providers.ollama.lines import OllamaReader
from tailrace.requests import ChatRequest

NDJSON = "application/x-ndjson"


class OllamaProvider(HttpProvider):
    """Asks `POST <base_url>/api/chat`; the key, if there is one, is for Ollama's cloud or a proxy in front."""

    kind = "ollama"
    _chat_path = "/api/chat"
    _models_path = "/api/tags"
    _accept = NDJSON

    def _own_headers(self, api_key: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def _write(self, request: ChatRequest) -> bytes:
        return write_request(request)

    def _choose_framing(self, media_type: str) -> Framing | None:
        # A whole answer in JSON is one line of the stream, and some proxies call the stream JSON too.
        return LineFraming() if media_type in {NDJSON, "application/jsonl", JSON, ""} else None

    def _reader(self, framing: Framing, *, model: str, now: float) -> AnswerReader:
        return OllamaReader(framing=framing, model=model, now=now, nonce=new_id("", 6))

    def _read_models(self, listing: Any) -> list[str]:
        return names_in(listing, "models", "name")
