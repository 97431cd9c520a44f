"""What the page on the client shows, run as it stands there."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.server import serving

from tailrace import create_app

PAGE: Final = Path(__file__).parents[2] / "docs/python.md"
PROGRAMS: Final = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=["async", "sync"])
async def test_a_program_of_the_page_prints_the_answer(program: str) -> None:
    """Each program runs as it is, but for the port, and prints what the model says."""
    async with serving(create_app()) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", program.replace("http://127.0.0.1:8000", url)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaints = await process.communicate()
    assert complaints.decode() == ""
    assert "Why is the sky blue?" in printed.decode()
