"""Settings: every knob of tailrace, its default, and how flags, environment and `tailrace.toml` are read."""

from tailrace.settings.models import Models, ResolvedModel
from tailrace.settings.reading import Described, Reading, check, load, read
from tailrace.settings.secret import Secret, SecretUrl
from tailrace.settings.tables import (
    CorsSettings,
    Kind,
    LimitSettings,
    ModelSettings,
    OnDisconnect,
    Price,
    ProviderSettings,
    ServerSettings,
    SessionSettings,
    Settings,
    StreamSettings,
)

__all__ = [
    "CorsSettings",
    "Described",
    "Kind",
    "LimitSettings",
    "ModelSettings",
    "Models",
    "OnDisconnect",
    "Price",
    "ProviderSettings",
    "Reading",
    "ResolvedModel",
    "Secret",
    "SecretUrl",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "StreamSettings",
    "check",
    "load",
    "read",
]
