"""A process with a ledger of its own: it does what it is told on stdin, a line of JSON at a time, and answers each."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from tailrace.errors import RequestError, SettingsError
from tailrace.ledger import Count, Joined, Ledger, Opening, create_ledger
from tailrace.settings import SecretUrl, Settings


async def serve(settings: Settings) -> None:
    """Open the ledger, then obey until stdin ends."""
    ledger = create_ledger(settings)
    try:
        await ledger.open()
    except SettingsError as error:
        _say({"refused": str(error)})
        return
    _say("open")
    while line := await asyncio.to_thread(sys.stdin.readline):
        (order, given), *_ = json.loads(line).items()
        _say(await _obey(ledger, order, given))
    await ledger.close()


async def _obey(ledger: Ledger, order: str, given: Any) -> Any:
    match order:
        case "begin":
            openings = msgspec.convert(given, list[Opening])
            return await asyncio.gather(*(_begin(ledger, opening) for opening in openings))
        case "checkpoint":
            ledger.checkpoint(msgspec.convert(given, dict[str, Count]))
            return None
        case "sweep":
            return await ledger.sweep()
    raise ValueError(order)


async def _begin(ledger: Ledger, opening: Opening) -> str:
    try:
        outcome = await ledger.begin(opening)
    except RequestError as error:
        return error.code
    return outcome.generation_id if isinstance(outcome, Joined) else "opened"


def _say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    said = json.loads(sys.argv[1])
    asyncio.run(
        serve(
            Settings(
                data_dir=Path(said["data_dir"]),
                database_url=SecretUrl(said["database_url"]) if said["database_url"] else None,
                redis_url=SecretUrl("redis://127.0.0.1:1") if said["shared"] else None,
            )
        )
    )
