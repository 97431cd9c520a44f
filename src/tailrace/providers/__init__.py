"""Providers: from an upstream's bytes to events."""

from tailrace.providers.base import Finish, Provider, Sink

__all__ = ["Finish", "Provider", "Sink"]
