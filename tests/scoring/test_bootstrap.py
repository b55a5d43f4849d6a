from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings

from llmner.errors import InputError, MismatchError
from llmner.scoring import Scores, score
from llmner.scoring._bootstrap import compare_counts, intervals
from llmner.scoring._counts import Counts
from llmner.scoring._scores import score_and_count
from llmner.spans import Sentence, Span
from tests.scoring.runs import random_run, runs


def counted(
    gold: list[Sentence], predicted: list[Sentence], labels: list[str] | None = None
) -> Counts:
    spans = [x.spans for x in gold], [x.spans for x in predicted]
    return score_and_count(*spans, texts=[x.text for x in gold], columns=labels).counts


def scored(gold: list[Sentence], predicted: list[Sentence]) -> Scores:
    return score(
        [x.spans for x in gold], [x.spans for x in predicted], texts=[x.text for x in gold]
    )


def by_name(scores: Scores) -> dict[str, float]:
    assert scores.klue is not None
    assert scores.text is not None
    return {
        "micro.precision": scores.micro.precision,
        "micro.f1": scores.micro.f1,
        "strict.f1": scores.strict.f1,
        "macro.precision": scores.macro.precision,
        "macro.f1": scores.macro.f1,
        "weighted.recall": scores.weighted.recall,
        "weighted.f1": scores.weighted.f1,
        "klue.entity_f1": scores.klue.entity_f1,
        "klue.char_f1": scores.klue.char_f1,
        "text.f1": scores.text.f1,
        **{f"per_label.{label}.f1": row.f1 for label, row in scores.per_label.items()},
        **{f"partial.{mode}.f1": row.f1 for mode, row in scores.partial.items()},
    }


@settings(deadline=None, max_examples=150)
@given(runs())
def test_counts_give_the_figures_that_seqeval_and_scikit_learn_give(
    run: tuple[list[Sentence], list[Sentence]],
) -> None:
    counts = counted(*run)
    figures = counts.figures(counts.table.sum(0)[None])
    for name, value in by_name(scored(*run)).items():
        assert figures[name][0] == pytest.approx(value), name


def test_intervals_are_those_of_resampled_sentences_scored_one_resample_at_a_time() -> None:
    gold, predicted = random_run(30, seed=1)
    found = intervals(counted(gold, predicted), resamples=40, seed=9)
    drawn = np.random.default_rng(9).integers(30, size=(40, 30))
    each = [by_name(scored([gold[n] for n in row], [predicted[n] for n in row])) for row in drawn]
    for name in (
        "micro.f1",
        "macro.f1",
        "klue.entity_f1",
        "klue.char_f1",
        "partial.type.f1",
        "text.f1",
    ):
        low, high = np.percentile([figures[name] for figures in each], (2.5, 97.5))
        assert found[name] == pytest.approx((low, high)), name


def test_an_interval_is_as_wide_as_theory_has_it() -> None:
    # One entity a sentence, always predicted: micro precision is a share, and its standard error
    # known.
    n, right = 1000, 700
    gold = [Sentence("가나", (Span(0, 1, "PS"),)) for _ in range(n)]
    predicted = [Sentence("가나", (Span(0, 1 if at < right else 2, "PS"),)) for at in range(n)]
    low, high = intervals(counted(gold, predicted), resamples=4000)["micro.precision"]
    error = 1.96 * (0.7 * 0.3 / n) ** 0.5
    assert (low, high) == pytest.approx((0.7 - error, 0.7 + error), abs=0.003)


def test_a_seed_gives_the_same_intervals_and_another_gives_others() -> None:
    counts = counted(*random_run(50, seed=2))
    assert intervals(counts, seed=1) == intervals(counts, seed=1)
    assert intervals(counts, seed=1) != intervals(counts, seed=2)


def test_drawing_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = counted(*random_run(50, seed=2)), counted(*random_run(50, seed=4))
    whole = intervals(a, resamples=100), compare_counts(a, b, resamples=100, shuffles=100)
    monkeypatch.setattr("llmner.scoring._bootstrap._CELLS", 50 * 7)
    assert (intervals(a, resamples=100), compare_counts(a, b, resamples=100, shuffles=100)) == whole


def test_5000_sentences_are_resampled_1000_times_in_under_two_seconds() -> None:
    counts = counted(*random_run(5000, seed=5))
    started = time.perf_counter()
    intervals(counts, resamples=1000)
    assert time.perf_counter() - started < 2


def test_a_run_compared_with_itself_does_not_differ() -> None:
    counts = counted(*random_run(60, seed=6))
    found = compare_counts(counts, counts, shuffles=200)["micro.f1"]
    assert (found.difference, found.interval, found.p) == (0, (0, 0), 1)


def test_a_clear_difference_is_found_and_its_sign_is_right() -> None:
    gold, predicted = random_run(300, seed=7)
    found = compare_counts(counted(gold, predicted), counted(gold, gold), shuffles=999)["micro.f1"]
    assert found.b == 1
    assert found.difference == found.b - found.a > 0
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    assert found.p == 1 / 1000


def test_runs_that_differ_by_chance_are_seldom_called_different() -> None:
    # Two models of one quality: p below 0.05 in about one case of twenty.
    small = 0
    for seed in range(100):
        gold, a = random_run(60, seed=1000 + seed)
        _, b = random_run(60, seed=1000 + seed)
        rng = np.random.default_rng(seed)
        drop = rng.random((2, 60)) < 0.3
        a = [Sentence(x.text, () if drop[0, n] else x.spans) for n, x in enumerate(a)]
        b = [Sentence(x.text, () if drop[1, n] else x.spans) for n, x in enumerate(b)]
        labels = sorted({s.label for x in (*gold, *a, *b) for s in x.spans})
        small += (
            compare_counts(
                counted(gold, a, labels), counted(gold, b, labels), resamples=1, shuffles=200
            )["micro.f1"].p
            < 0.05
        )
    assert small <= 12


def test_a_label_that_a_resample_lacks_is_left_out_of_its_interval() -> None:
    gold = [Sentence("가나", (Span(0, 1, "TI" if n == 0 else "PS"),)) for n in range(21)]
    found = intervals(counted(gold, gold))
    assert found["per_label.TI.f1"] == found["macro.f1"] == (1, 1)


def test_without_resamples_a_difference_has_p_alone() -> None:
    gold, predicted = random_run(40, seed=3)
    found = compare_counts(counted(gold, predicted), counted(gold, gold), resamples=0, shuffles=50)[
        "micro.f1"
    ]
    assert found.interval is None
    assert found.p < 0.05


def test_what_cannot_be_asked_is_refused() -> None:
    counts = counted(*random_run(5, seed=1))
    with pytest.raises(InputError, match="at least 1, got 0"):
        intervals(counts, resamples=0)
    with pytest.raises(MismatchError, match="different corpora"):
        compare_counts(counts, counted(*random_run(6, seed=1)))
