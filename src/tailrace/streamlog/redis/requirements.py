"""What a Redis must be for streams to live in it; where it is not, what to set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import structlog

from tailrace.errors import SettingsError, StoreError
from tailrace.settings import SecretUrl
from tailrace.streamlog.redis.line import Line

WHERE: Final = "TAILRACE_REDIS_URL"
_OLDEST: Final = (6, 2)

_log = structlog.get_logger(__name__)


async def check_server(line: Line, url: SecretUrl) -> float:
    """How long it has run, in seconds. Raises SettingsError where it can't be used; warns where it may lose streams."""
    try:
        (told,) = await line.ask((b"INFO",))
    except StoreError as error:
        message = f"{url} can't be used ({error}): start a Redis >= 6.2 or a Valkey there, or set another address"
        raise SettingsError(message, where=WHERE) from error
    facts = _read(told)
    _refuse_unfit(facts, url)
    _warn_of_eviction(facts)
    return float(facts.get("uptime_in_seconds", "0"))


def _read(told: Any) -> dict[str, str]:
    lines = (line.partition(":") for line in bytes(told).decode("utf-8", "replace").split("\r\n"))
    return {name: value for name, colon, value in lines if colon}


def _refuse_unfit(facts: Mapping[str, str], url: SecretUrl) -> None:
    version = facts.get("redis_version", "")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _OLDEST:
        raise SettingsError(f"{url} is a Redis {version}: take 6.2 or later, or a Valkey", where=WHERE)
    if facts.get("cluster_enabled") == "1":
        message = f"{url} is a node of a Redis Cluster: set the address of one server of its own, or of its primary"
        raise SettingsError(message, where=WHERE)
    if facts.get("role") == "slave":
        raise SettingsError(f"{url} is a replica, which can't be written: set its primary's address", where=WHERE)


def _warn_of_eviction(facts: Mapping[str, str]) -> None:
    """One that drops what it likes can still be worked with: what it dropped is written again, or said to be lost."""
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        _log.warning("redis_may_drop_streams", maxmemory_policy=policy, remedy="set maxmemory-policy noeviction")
