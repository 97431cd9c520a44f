"""`tailrace tail`: read a stream that is there already, beside whoever else reads it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

import typer

from tailrace.cli.asking import LOCAL, KeyFlag, UrlFlag, complain
from tailrace.cli.terminal import open_screen
from tailrace.client import Client
from tailrace.errors import TailraceError
from tailrace.events import ReasoningDelta, TextDelta


def tail(
    stream_id: Annotated[str, typer.Argument(metavar="STREAM_ID", help="As in X-Tailrace-Stream: gen_…")],
    *,
    url: UrlFlag = LOCAL,
    key: KeyFlag = None,
    after: Annotated[int, typer.Option(min=0, metavar="SEQ", help="Only what follows this entry.")] = 0,
) -> int:
    """Show a stream from its start, then as it comes. Leaving does not stop it."""
    return asyncio.run(_tail(stream_id, url, key, after))


async def _tail(stream_id: str, url: str, key: str | None, after: int) -> int:
    try:
        async with Client(url, key=key) as client:
            with open_screen() as screen:
                async with contextlib.aclosing(client.attach(stream_id, after=after)) as answer:
                    async for event in answer:
                        match event:
                            case TextDelta(text=text):
                                screen.show_text(text)
                            case ReasoningDelta(text=text):
                                screen.show_reasoning(text)
    except TailraceError as error:
        return complain(error)
    return 0
