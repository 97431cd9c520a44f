"""What a server's file of streams holds, looked at from outside."""

from __future__ import annotations

from pathlib import Path

from tests.waiting import until


async def kept(folder: Path, *marks: str) -> None:
    """Wait until the file, or what goes into it next, holds each of these pieces of text."""

    def found() -> bool:
        content = b"".join(path.read_bytes() for path in sorted(folder.glob("*.streams*")))
        return all(mark.encode() in content for mark in marks)

    await until(found)
