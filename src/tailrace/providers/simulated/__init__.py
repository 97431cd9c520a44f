"""A model made of nothing: deterministic, and able to fail on purpose."""

from tailrace.providers.simulated.provider import SimulatedProvider

__all__ = ["SimulatedProvider"]
