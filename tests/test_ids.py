"""Names: random, of one length, and in the order of time where they are to be."""

from __future__ import annotations

import re
import time

from tailrace.ids import new_id, new_timed_id


def test_names_are_random_and_of_one_length() -> None:
    """Ten thousand names, over many stocks of randomness, are as long as was asked for and never the same."""
    names = {new_id("req_", 8) for _ in range(10_000)}
    assert len(names) == 10_000
    assert all(re.fullmatch(r"req_[0-9a-f]{16}", name) for name in names)


def test_timed_names_begin_with_the_second_of_their_making() -> None:
    """As long as the others, no two the same, and whoever sorts them has them in the order of seconds."""
    before = int(time.time())
    names = [new_timed_id("gen_", 12) for _ in range(10_000)]
    after = int(time.time())
    assert len(set(names)) == 10_000
    assert all(re.fullmatch(r"gen_[0-9a-f]{24}", name) for name in names)
    assert all(before <= int(name[4:12], 16) <= after for name in names)
