"""Upstreams that speak Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tailrace.providers.answers import AnswerReader
from tailrace.providers.anthropic.body import read_betas, write_request
from tailrace.providers.anthropic.events import AnthropicReader
from tailrace.providers.framing import Framing
from tailrace.providers.http import HttpProvider, names_in
from tailrace.requests import ChatRequest


class AnthropicProvider(HttpProvider):
    """Asks `POST <base_url>/v1/messages`; `default_max_tokens` holds where a request sets none, as one must be set."""

    kind = "anthropic"
    _chat_path = "/v1/messages"
    _models_path = "/v1/models?limit=1000"

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        api_key: str | None = None,
        default_model: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        connect_s: float = 10.0,
        proxy: str | None = None,
        ca_file: str | None = None,
        default_max_tokens: int = 4096,
    ) -> None:
        super().__init__(
            name=name,
            base_url=base_url,
            api_key=api_key,
            default_model=default_model,
            headers=headers,
            connect_s=connect_s,
            proxy=proxy,
            ca_file=ca_file,
        )
        self._default_max_tokens = default_max_tokens

    def _own_headers(self, api_key: str | None) -> dict[str, str]:
        key = {"x-api-key": api_key} if api_key else {}
        return {"anthropic-version": "2023-06-01", **key}

    def _headers_for(self, request: ChatRequest) -> Mapping[str, str]:
        betas = read_betas(request)
        return self._ask_with({"anthropic-beta": betas}) if betas else super()._headers_for(request)

    def _write(self, request: ChatRequest) -> bytes:
        return write_request(request, default_max_tokens=self._default_max_tokens)

    def _reader(self, framing: Framing, *, model: str, now: float) -> AnswerReader:
        return AnthropicReader(framing=framing, model=model, now=now)

    def _read_models(self, listing: Any) -> list[str]:
        return names_in(listing, "data", "id")
