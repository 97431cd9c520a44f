"""Speaking HTTP/1.1 to an upstream: whole small answers, and bodies that are handed on as they come."""

from tailrace.providers.transport.base import Receiver, Reply, Transport
from tailrace.providers.transport.opening import create_transport
from tailrace.providers.transport.requests import check_headers

__all__ = ["Receiver", "Reply", "Transport", "check_headers", "create_transport"]
