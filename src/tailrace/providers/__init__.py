"""Providers: from an upstream's bytes to events."""

from tailrace.providers.base import Finish, Provider, Sink
from tailrace.providers.natives import refuse_foreign

__all__ = ["Finish", "Provider", "Sink", "refuse_foreign"]
