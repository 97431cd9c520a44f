"""Draws docs/images/first-token.svg: a simulated answer as it came from a running server, with each frame's time.

Usage: python scripts/draw_first_token.py [http://127.0.0.1:8000]
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.console import Console
from rich.text import Text

_PICTURE = Path(__file__).parents[1] / "docs" / "images" / "first-token.svg"
_FONT = re.compile(r"@font-face \{.*?\}", re.DOTALL)  # rich names a font's address: a picture loads nothing
_SHOWN = 11


def read_frames(url: str) -> Iterator[tuple[float, str]]:
    """The data of each frame, and the milliseconds from the request to it."""
    body = {"message": "Why do rivers meander?", "model": "simulated/n40-f180"}
    began = time.perf_counter()
    with httpx.stream("POST", f"{url}/v1/chat/stream", json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                yield (time.perf_counter() - began) * 1000, line


def draw(frames: list[tuple[float, str]]) -> str:
    """The picture as SVG."""
    console = Console(record=True, width=112, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text('$ curl -N localhost:8000/v1/chat/stream --json \'{"message": "Why do rivers meander?"}\''))
    for milliseconds, line in [*frames[:_SHOWN], (0.0, "⋮"), *frames[-2:]]:
        stamp = f"{milliseconds:6.0f} ms  " if milliseconds else " " * 11
        shown = line if len(line) < 98 else f"{line[:44]} … {line[-50:]}"
        console.print(Text.assemble((stamp, "green"), (shown, "bold" if "DONE" in line else "")))
    return _FONT.sub("", console.export_svg(title="tailrace: one token each 20 ms"))


if __name__ == "__main__":
    _PICTURE.write_text(draw(list(read_frames(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))))
