from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmner.scoring import score
from llmner.scoring._pairing import pairs
from llmner.scoring.metrics.partial import MODES, Tally, tallies
from llmner.spans import Sentence, Span
from tests.scoring.runs import random_run, runs

_THEIRS = {"strict": "strict", "exact": "exact", "partial": "partial", "type": "ent_type"}
_COUNTS = ("correct", "incorrect", "partial", "missed", "spurious")


def nervaluate_says(gold: list[Sentence], predicted: list[Sentence]) -> dict[str, dict[str, float]]:
    nervaluate = pytest.importorskip("nervaluate")

    def rows(side: list[Sentence]) -> list[list[dict[str, object]]]:
        # Its ends are inclusive.
        return [
            [{"label": s.label, "start": s.start, "end": s.end - 1} for s in x.spans] for x in side
        ]

    labels = sorted({s.label for x in (*gold, *predicted) for s in x.spans})
    result = nervaluate.Evaluator(
        rows(gold), rows(predicted), tags=labels, loader="dict"
    ).evaluate()["overall"]
    return {
        mode: {key: getattr(result[theirs], key) for key in (*_COUNTS, "precision", "recall", "f1")}
        for mode, theirs in _THEIRS.items()
    }


def ours(gold: list[Sentence], predicted: list[Sentence]) -> dict[str, dict[str, float]]:
    scores = score([x.spans for x in gold], [x.spans for x in predicted])
    return {
        mode: {key: getattr(row, key) for key in (*_COUNTS, "precision", "recall", "f1")}
        for mode, row in scores.partial.items()
    }


@settings(deadline=None, max_examples=200)
@given(runs())
def test_the_four_modes_are_nervaluates(run: tuple[list[Sentence], list[Sentence]]) -> None:
    theirs, found = nervaluate_says(*run), ours(*run)
    for mode in MODES:
        assert found[mode] == pytest.approx(theirs[mode]), mode


def test_the_four_modes_are_nervaluates_on_a_corpus() -> None:
    run = random_run(400, seed=3)
    theirs, found = nervaluate_says(*run), ours(*run)
    assert found == {mode: pytest.approx(row) for mode, row in theirs.items()}
    assert all(found["type"][key] > 20 for key in ("correct", "incorrect", "missed", "spurious"))


@settings(deadline=None, max_examples=200)
@given(runs())
def test_every_span_is_counted_once_in_every_mode(
    run: tuple[list[Sentence], list[Sentence]],
) -> None:
    for gold, predicted in zip(*run, strict=True):
        for tally in tallies(gold.spans, predicted.spans):
            common = tally.correct + tally.incorrect + tally.partial
            assert common + tally.missed == len(gold.spans)
            assert common + tally.spurious == len(predicted.spans)
        paired = pairs(gold.spans, predicted.spans)
        assert sorted(at for at, _ in paired if at is not None) == list(range(len(gold.spans)))
        assert sorted(at for _, at in paired if at is not None) == list(range(len(predicted.spans)))


def test_a_prediction_takes_the_overlap_of_its_label_with_the_nearest_edges() -> None:
    gold = (Span(0, 3, "PS"), Span(3, 6, "LC"), Span(6, 20, "LC"))
    assert pairs(gold, (Span(2, 8, "LC"),)) == [(1, 0), (0, None), (2, None)]
    assert pairs(gold, (Span(2, 8, "DT"),)) == [(0, 0), (1, None), (2, None)]


@given(st.integers(1, 300))
def test_one_character_of_overlap_is_an_overlap_however_long_the_entity(length: int) -> None:
    gold, predicted = (Span(0, length, "PS"),), (Span(length - 1, length + 5, "PS"),)
    assert tallies(gold, predicted)[MODES.index("partial")] == Tally(partial=1)
