"""Every setting: its name, its kind of value and its default. Each field is annotated with the reader of its value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
import platformdirs

from tailrace.settings import addresses
from tailrace.settings import values as read
from tailrace.settings.presets import PRESETS, Preset
from tailrace.settings.secret import Secret, SecretUrl

Kind: TypeAlias = Literal["openai", "openai_responses", "anthropic", "ollama", "langchain", "simulated"]
OnDisconnect: TypeAlias = Literal["cancel", "continue"] | float
Seconds: TypeAlias = Annotated[float, read.duration(0.001)]
Limit: TypeAlias = Annotated[int | None, read.whole(1, 10**12)]

KINDS: Final[tuple[Kind, ...]] = ("openai", "openai_responses", "anthropic", "ollama", "langchain", "simulated")
VENDOR_URLS: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "openai_responses": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "ollama": "http://127.0.0.1:11434",
}


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[server]`: where `tailrace serve` listens. `hosts` are names that open mode answers to besides loopback."""

    host: Annotated[str, addresses.host_name] = "127.0.0.1"
    port: Annotated[int, read.whole(0, 65535)] = 8000
    workers: Annotated[int, read.whole(1, 1024)] = 1
    hosts: Annotated[tuple[str, ...], read.many(addresses.host_name)] = ()
    trusted_proxies: Annotated[tuple[str, ...], read.many(addresses.network)] = ()
    max_body: Annotated[int, read.size] = 32 * 2**20
    root_path: Annotated[str, read.root_path] = ""
    log_level: Annotated[str, read.choice("debug", "info", "warning", "error", "critical")] = "info"
    tls_cert: Annotated[Path | None, read.file] = None
    tls_key: Annotated[Path | None, read.file] = None


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[providers.NAME]`: one upstream. `target` is the import path of a LangChain runnable.

    `preset` names a known vendor that speaks as OpenAI does, whose address holds where there is no `base_url`.
    """

    kind: Annotated[Kind, read.choice(*KINDS)]
    preset: Annotated[str | None, read.choice(*PRESETS)] = None
    base_url: Annotated[str | None, addresses.base_url] = None
    api_key: Annotated[Secret | None, read.secret] = None
    default_model: Annotated[str | None, read.text] = None
    headers: Annotated[dict[str, Secret], read.headers] = {}
    proxy: Annotated[SecretUrl | None, addresses.secret_url("http", "https")] = None
    ca_file: Annotated[Path | None, read.file] = None
    target: Annotated[str | None, read.import_target] = None

    @property
    def url(self) -> str | None:
        """The base URL in force: its own, else the vendor's."""
        if self.known is not None:
            return self.base_url or self.known.base_url
        return self.base_url or VENDOR_URLS.get(self.kind)

    @property
    def known(self) -> Preset | None:
        """What is known of its vendor by name."""
        return PRESETS.get(self.preset or "")

    @property
    def on(self) -> bool:
        """Whether it was switched on: by a key, a host of its own, or a target."""
        match self.kind:
            case "simulated":
                return True
            case "langchain":
                return self.target is not None
            case "ollama":
                return self.base_url is not None
        if self.known is not None and self.known.variable is not None:
            return bool(self.api_key or self.headers or self.base_url)
        return self.api_key is not None or self.url != VENDOR_URLS[self.kind]

    @property
    def available(self) -> bool:
        """Whether its models may be asked for: an Ollama on this machine needs no switch."""
        return self.on or self.kind == "ollama"


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """USD per million tokens; `cached_input` is None where it costs what `input` does."""

    input: Annotated[float, read.number(0, 10**6)]
    output: Annotated[float, read.number(0, 10**6)]
    cached_input: Annotated[float | None, read.number(0, 10**6)] = None


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME]`: a name of one's own for a provider's model, and what to ask when that one fails."""

    provider: Annotated[str, read.text]
    model: Annotated[str | None, read.text] = None
    fallback: Annotated[tuple[str, ...], read.many(read.text)] = ()
    price: Price | None = None


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[stream]`: how long each part of an answer may take and how much of it is kept. Times in seconds.

    `status_wait_s` is how long a status waits for the first upstream event, `retries` how often a refused request is
    sent again before the fallbacks, `keep_s` how long an ended stream can be resumed, `keep_size` how many bytes all
    that is kept may take. `lease_s` is how long a worker that shares its streams may be silent before the others seal
    them.
    """

    connect_s: Seconds = 10.0
    first_token_s: Seconds = 300.0
    idle_s: Seconds = 60.0
    total_s: Seconds = 1800.0
    send_s: Seconds = 60.0
    heartbeat_s: Seconds = 15.0
    drain_s: Annotated[float, read.duration()] = 25.0
    max_answer: Annotated[int, read.size] = 4 * 2**20
    keep_s: Annotated[float, read.duration()] = msgspec.field(default=3600.0, name="keep")
    keep_size: Annotated[int, read.size] = 2**30
    lease_s: Annotated[float, read.duration(1.0)] = msgspec.field(default=15.0, name="lease")
    coalesce_ms: Annotated[float, read.number(0, 10_000)] = 0.0
    status_wait_s: Seconds = 15.0
    retries: Annotated[int, read.whole(0, 10)] = 1


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[limits]`: of keys without their own; None is no limit."""

    rpm: Limit = None
    tpm: Limit = None
    max_streams: Limit = None


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[sessions]`: how much of a conversation goes to the model; the oldest turns are left out first."""

    history_tokens: Annotated[int, read.whole(1, 10**9)] = 32_000


class CorsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[cors]`: the web origins that may call."""

    origins: Annotated[tuple[str, ...], read.many(addresses.origin)] = ()


BUILT_IN: Final[Mapping[str, ProviderSettings]] = {
    "openai": ProviderSettings(kind="openai", default_model="gpt-4o-mini"),
    "anthropic": ProviderSettings(kind="anthropic", default_model="claude-haiku-4-5-20251001"),
    "ollama": ProviderSettings(kind="ollama", default_model="llama3.2"),
    "langchain": ProviderSettings(kind="langchain", default_model="langchain"),
    "simulated": ProviderSettings(kind="simulated", default_model="simulated"),
}
"""The providers that are always known by name, before any is switched on."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. `Settings()` is valid: nothing but the simulated model, and an Ollama on this machine.

    `providers` always holds the built-in ones too, first. `on_disconnect` None leaves the policy to the kind of
    request. Values made in Python are not read, only `load` reads: call `check` on what came from elsewhere.
    """

    server: ServerSettings = ServerSettings()
    providers: dict[str, ProviderSettings] = {}
    models: dict[str, ModelSettings] = {}
    stream: StreamSettings = StreamSettings()
    limits: LimitSettings = LimitSettings()
    cors: CorsSettings = CorsSettings()
    sessions: SessionSettings = SessionSettings()
    default_model: Annotated[str | None, read.text] = None
    max_tokens: Annotated[int | None, read.whole(1, 10**9)] = None
    on_disconnect: Annotated[OnDisconnect | None, read.on_disconnect] = None
    data_dir: Annotated[Path, read.folder] = msgspec.field(
        default_factory=lambda: platformdirs.user_data_path("tailrace", appauthor=False)
    )
    database_url: Annotated[SecretUrl | None, addresses.secret_url("sqlite", "postgresql", "postgres")] = None
    redis_url: Annotated[SecretUrl | None, addresses.secret_url("redis", "rediss")] = None
    admin_key: Annotated[Secret | None, read.admin_key] = None
    stripe_api_key: Annotated[Secret | None, read.secret] = None
    stripe_api_base: Annotated[str, addresses.base_url] = "https://api.stripe.com"
    stripe_meter: Annotated[str, read.text] = "llm_tokens"

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "providers", {**BUILT_IN, **self.providers})
