"""Stretches that must not overlap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmner._intervals import Intervals, lie_apart

stretches = st.tuples(st.integers(0, 30), st.integers(1, 5)).map(lambda pair: (pair[0], sum(pair)))


@given(st.lists(stretches), stretches)
def test_what_overlaps_one_of_many(many: list[tuple[int, int]], one: tuple[int, int]) -> None:
    taken = Intervals()
    kept: list[tuple[int, int]] = []
    for start, end in many:
        overlaps = any(start < e and s < end for s, e in kept)
        assert taken.overlap(start, end) == overlaps
        if not overlaps:
            taken.add(start, end)
            kept.append((start, end))
    assert bool(taken) == bool(kept)
    assert Intervals(kept).overlap(*one) == any(one[0] < e and s < one[1] for s, e in kept)


@given(st.lists(stretches).map(sorted))
def test_places_in_order_lie_apart(places: list[tuple[int, int]]) -> None:
    apart = not any(a[1] > b[0] for n, a in enumerate(places) for b in places[n + 1 :])
    assert lie_apart(places) == apart
