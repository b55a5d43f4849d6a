"""Caches whose keys come from texts and replies: bounded in bytes, not only in number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from llmner._kept import LONGEST, kept
from llmner.projection._quantities import units_in
from llmner.projection._similar import numbers
from llmner.schema import cues_of, means_person


def test_what_is_short_is_made_once_and_what_is_long_each_time() -> None:
    made: list[str] = []

    @kept(2)
    def length(text: str) -> int:
        made.append(text)
        return len(text)

    short, long = "a" * LONGEST, "a" * (LONGEST + 1)
    for _ in range(2):
        assert length(short) == LONGEST
        assert length(long) == LONGEST + 1
    assert made == [short, long, long]


@pytest.mark.parametrize("function", [means_person, cues_of, numbers, units_in])
def test_nothing_of_a_long_string_stays(function: Callable[[str], object]) -> None:
    function("warm")
    tracemalloc.start()
    for number in range(200):
        function(f"{number}" + "x" * 100_000)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # Kept, they would be twenty megabytes.
    assert held < 1 << 20
