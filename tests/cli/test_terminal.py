"""Cutting Markdown that grows into blocks, and taking the sting out of text that a terminal would obey."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.terminal import Blocks, defuse

LINES = st.sampled_from(["text", "", " ", "```", "```py", "~~~", "- item", "| a | b |", "# title", "````"])
MARKDOWN = st.lists(LINES).map("\n".join)


@given(MARKDOWN, st.integers(1, 9))
def test_however_the_text_is_cut_the_blocks_are_the_same(markdown: str, size: int) -> None:
    """Fed in pieces of any size, the blocks join to the text, and are those of the text fed at once."""
    pieces, at_once = Blocks(), Blocks()
    whole = "".join(pieces.feed(markdown[start : start + size]) for start in range(0, len(markdown), size))
    assert whole + pieces.rest == markdown
    assert whole == at_once.feed(markdown)


def test_a_blank_line_inside_a_fence_ends_nothing() -> None:
    """A block ends at a blank line outside of code; a fence is closed by one as long as its own."""
    blocks = Blocks()
    assert blocks.feed("one\n\n```\ncode\n\nmore\n") == "one\n\n"
    assert blocks.feed("```\n") == ""
    assert blocks.feed("\nafter") == "```\ncode\n\nmore\n```\n\n"
    assert blocks.take() == "after"


def test_escapes_never_reach_the_terminal() -> None:
    """Escape sequences, bells and changes of direction come out as U+FFFD; line breaks and tabs stay."""
    assert defuse("a\x1b[31m\x07\u202eb\n\tc\x9b") == "a\ufffd[31m\ufffd\ufffdb\n\tc\ufffd"
