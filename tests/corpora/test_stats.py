"""Figures of corpora: the published facts about KLUE, small corpora counted by hand, and the
test of shift.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from llmner.corpora import (
    CorpusComparison,
    CorpusStats,
    LabelStats,
    Lengths,
    Place,
    ShiftTest,
    _compare,
    compare_corpora,
    corpus_stats,
    read_corpus,
)
from llmner.errors import CorpusError
from llmner.spans import Sentence, Span
from tests.strategies import sentences


def labelled(*labels: str) -> Sentence:
    """A sentence of one-character entities with these labels, a space between any two."""
    spans = tuple(Span(2 * at, 2 * at + 1, label) for at, label in enumerate(labels))
    return Sentence("가 " * max(1, len(labels)), spans)


def table(pair: CorpusComparison) -> list[list[int]]:
    return [[row.earlier for row in pair.labels], [row.later for row in pair.labels]]


def shift(pair: CorpusComparison) -> ShiftTest:
    assert pair.test is not None
    return pair.test


def test_klue_dev_has_the_published_figures(klue_dev: Path) -> None:
    stats = corpus_stats(read_corpus(klue_dev))
    assert (stats.sentences, stats.entities, stats.without_entity, stats.duplicates) == (
        5000,
        14257,
        0,
        0,
    )
    assert (stats.lengths.min, stats.lengths.max) == (20, 145)
    assert (stats.repeats, stats.misplaced, stats.adjacent) == (356, 576, 42)
    assert (stats.edge_spaces, stats.leading_spaces) == (2, 2)
    assert stats.not_nfkc == (0 if "v1.1" in klue_dev.name else 385)
    assert stats.to_dict()["nfkc"] == ("v1.1" in klue_dev.name)
    assert [(row.label, row.entities) for row in stats.labels] == [
        ("PS", 4418), ("QT", 3151), ("DT", 2312), ("OG", 2182), ("LC", 1649), ("TI", 545),
    ]  # fmt: skip
    lengths = [len(sentence.text) for sentence in read_corpus(klue_dev)]
    assert stats.lengths.median == statistics.median(lengths)
    assert stats.lengths.mean == pytest.approx(statistics.mean(lengths))
    assert stats.lengths.p95 == np.percentile(lengths, 95, method="inverted_cdf")


def test_klue_train_shares_no_sentence_with_dev_but_has_other_labels(
    klue_train: Path, klue_dev: Path
) -> None:
    earlier, later = corpus_stats(read_corpus(klue_train)), corpus_stats(read_corpus(klue_dev))
    pair = compare_corpora(earlier, later)
    assert (earlier.entities, earlier.edge_spaces, earlier.leading_spaces) == (12197, 1, 0)
    assert (pair.overlap.exact, pair.overlap.folded, pair.overlap.examples) == (0, 0, ())
    assert pair.unseen == (7532 if "v1.1" in klue_dev.name else 7538)
    assert shift(pair).statistic == pytest.approx(
        chi2_contingency(table(pair), correction=False).statistic
    )
    assert shift(pair).p == 1 / 2001


def test_the_two_versions_of_klue_dev_are_the_same_sentences_after_folding(
    klue_dev_v1: Path, klue_dev: Path
) -> None:
    pair = compare_corpora(
        corpus_stats(read_corpus(klue_dev_v1)), corpus_stats(read_corpus(klue_dev))
    )
    same = klue_dev == klue_dev_v1
    assert (pair.overlap.exact, pair.overlap.folded) == (5000 if same else 4615, 5000)
    assert [example.exact for example in pair.overlap.examples] == [True] * 5 + [False] * (
        0 if same else 5
    )
    assert all(example.earlier.id == example.later.id for example in pair.overlap.examples)
    assert (shift(pair).statistic, shift(pair).p) == (0, 1)


def test_a_small_corpus_counted_by_hand() -> None:
    stats = corpus_stats(
        [
            Sentence("서울대 서울 서울", (Span(4, 6, "LC"), Span(7, 9, "LC")), "a"),
            Sentence("1월2월 ㎞", (Span(0, 2, "DT"), Span(2, 4, "DT"), Span(4, 6, "QT"))),
            Sentence("가나", (Span(0, 1, "PS"), Span(1, 2, "LC"))),
            Sentence("가나 ", (Span(1, 3, "PS"),)),
            Sentence("가나"),
        ]
    )
    assert stats.to_dict() == {
        "sentences": 5,
        "without_entity": 1,
        "duplicates": 1,
        "lengths": {"min": 2, "median": 3, "mean": 4.4, "p95": 9, "max": 9},
        "entities": 8,
        "entities_per_sentence": 1.6,
        "per_label": {
            "LC": {"entities": 3, "share": 0.375, "mean_length": 5 / 3, "surfaces": 2},
            "DT": {"entities": 2, "share": 0.25, "mean_length": 2, "surfaces": 2},
            "PS": {"entities": 2, "share": 0.25, "mean_length": 1.5, "surfaces": 2},
            "QT": {"entities": 1, "share": 0.125, "mean_length": 2, "surfaces": 1},
        },
        "repeats": 1,
        # Both 서울 of the first sentence: find() puts them on 서울대.
        "misplaced": 2,
        # 1월2월, but neither 2월 and " ㎞" nor 가 and 나, which have two labels.
        "adjacent": 1,
        "edge_spaces": 2,
        "leading_spaces": 1,
        "nfkc": False,
        "not_nfkc": 1,
    }
    assert stats.labels[0] == LabelStats("LC", 3, 0.375, 5 / 3, 2)
    assert stats.places["가나"] == Place(3, None, "가나")


def test_one_surface_under_two_labels_is_no_repeat() -> None:
    stats = corpus_stats([Sentence("가 가", (Span(0, 1, "PS"), Span(2, 3, "LC")))])
    assert (stats.repeats, stats.misplaced) == (0, 1)


def test_a_corpus_without_a_sentence_has_no_figures() -> None:
    with pytest.raises(CorpusError, match="holds no sentence"):
        corpus_stats([])


def test_a_corpus_is_read_once() -> None:
    assert corpus_stats(iter([Sentence("가")])).sentences == 1


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60))
def test_lengths_are_those_of_numpy(lengths: list[int]) -> None:
    counts = {length: lengths.count(length) for length in lengths}
    figures = Lengths.of(counts)
    assert (figures.min, figures.max) == (min(lengths), max(lengths))
    assert figures.median == statistics.median(lengths)
    assert figures.mean == pytest.approx(statistics.mean(lengths))
    assert figures.p95 == np.percentile(lengths, 95, method="inverted_cdf")


@given(st.lists(sentences(), min_size=1, max_size=5), st.lists(sentences(), min_size=1, max_size=5))
def test_any_two_corpora_can_be_compared(one: list[Sentence], two: list[Sentence]) -> None:
    earlier, later = corpus_stats(one), corpus_stats(two)
    pair = compare_corpora(earlier, later, permutations=9)
    report = json.loads(json.dumps([earlier.to_dict(), pair.to_dict()], allow_nan=False))
    assert report[1]["overlap"]["exact"] <= report[1]["overlap"]["folded"] <= len(two)
    assert sum(row.later for row in pair.labels) == pair.entities == later.entities
    assert sum(row.unseen for row in pair.labels) == pair.unseen
    assert pair.test is None or (0.1 <= pair.test.p <= 1 and 0 <= pair.test.cramers_v <= 1 + 1e-9)
    itself = compare_corpora(later, later, permutations=9)
    assert (itself.overlap.exact, itself.unseen) == (len(two), 0)


def test_sentences_in_both_corpora() -> None:
    earlier = corpus_stats(
        [Sentence("가 나", (), "a"), Sentence("7㎞"), Sentence("가 나", (), "b")]
    )
    later = corpus_stats(
        [
            Sentence("7 km", (), "x"),
            Sentence("가 나", (), "y"),
            Sentence("가 나"),
            Sentence("가나"),
            Sentence("다"),
        ]
    )
    overlap = compare_corpora(earlier, later).overlap
    # Every sentence of the later corpus counts, the first place of a text stands for all.
    assert (overlap.exact, overlap.folded) == (2, 4)
    assert [(e.exact, e.earlier, e.later) for e in overlap.examples] == [
        (True, Place(1, "a", "가 나"), Place(2, "y", "가 나")),
        (False, Place(2, None, "7㎞"), Place(1, "x", "7 km")),
        (False, Place(1, "a", "가 나"), Place(4, None, "가나")),
    ]


def test_unseen_entities_and_differences_of_shares() -> None:
    earlier = corpus_stats(
        [Sentence("가나다", (Span(0, 1, "PS"), Span(1, 2, "PS"), Span(2, 3, "LC")))]
    )
    later = corpus_stats(
        [
            Sentence(
                "가나다라", (Span(0, 1, "PS"), Span(1, 2, "LC"), Span(2, 3, "LC"), Span(3, 4, "TI"))
            )
        ]
        * 2
    )
    pair = compare_corpora(earlier, later)
    # 나 was PS, never LC; 라 never stood at all.
    assert (pair.unseen, pair.entities, pair.unseen_share) == (4, 8, 0.5)
    rows = {row.label: row for row in pair.labels}
    assert list(rows) == ["LC", "PS", "TI"]
    assert (rows["PS"].earlier, rows["PS"].later, rows["PS"].unseen) == (2, 2, 0)
    assert rows["PS"].points == pytest.approx(100 * (1 / 4 - 2 / 3))
    assert rows["TI"].points == 25
    assert shift(pair).statistic == pytest.approx(
        chi2_contingency(table(pair), correction=False).statistic
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ([labelled()], [labelled()]),
        ([labelled("PS", "LC")], [labelled()]),
        ([labelled()], [labelled("PS", "LC")]),
        ([labelled("PS")], [labelled("PS", "PS")]),
    ],
)
def test_where_there_is_nothing_to_compare_there_is_no_test(
    earlier: list[Sentence], later: list[Sentence]
) -> None:
    pair = compare_corpora(corpus_stats(earlier), corpus_stats(later))
    assert pair.test is None
    assert pair.to_dict()["test"] is None
    if not pair.entities:
        assert pair.unseen_share is None
    for row in pair.labels:
        empty = not sum(row.earlier for row in pair.labels), not pair.entities
        assert (row.earlier_share is None, row.later_share is None) == empty
        assert (row.points is None) == any(empty)


def drawn(count: int, weights: Sequence[float], seed: int) -> list[Sentence]:
    """Sentences of up to four entities, all of one label, which is what makes entities
    dependent.
    """
    random = np.random.default_rng(seed)
    labels = random.choice(["PS", "LC", "OG"], size=count, p=weights)
    sizes = random.integers(0, 5, size=count)
    return [labelled(*[label] * size) for label, size in zip(labels.tolist(), sizes, strict=True)]


def halves(corpus: list[Sentence], seed: int) -> tuple[CorpusStats, CorpusStats]:
    order = np.random.default_rng(seed).permutation(len(corpus))
    half = len(corpus) // 2
    return corpus_stats(corpus[i] for i in order[:half]), corpus_stats(
        corpus[i] for i in order[half:]
    )


def test_p_is_uniform_over_halves_of_one_corpus_where_the_textbook_p_is_not() -> None:
    corpus = drawn(200, (0.5, 0.3, 0.2), 0)
    ours, textbook = [], []
    for seed in range(300):
        test = shift(compare_corpora(*halves(corpus, seed), permutations=199))
        ours.append(test.p)
        textbook.append(float(chi2.sf(test.statistic, 2)))
    assert np.mean(np.array(ours) <= 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(np.array(ours) <= 0.5) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.array(textbook) <= 0.05) > 0.2


def test_p_is_that_of_shuffling_every_sentence() -> None:
    one, two = drawn(60, (0.5, 0.3, 0.2), 1), drawn(40, (0.35, 0.4, 0.25), 2)
    test = shift(compare_corpora(corpus_stats(one), corpus_stats(two), permutations=4000))
    counts = np.array(
        [
            [len([s for s in x.spans if s.label == label]) for label in ("PS", "LC", "OG")]
            for x in one + two
        ]
    )
    random = np.random.default_rng(3)

    def statistic(order: np.ndarray) -> float:
        return float(
            chi2_contingency(
                [counts[order[:60]].sum(0), counts[order[60:]].sum(0)], correction=False
            ).statistic
        )

    observed = statistic(np.arange(100))
    assert test.statistic == pytest.approx(observed)
    assert test.cramers_v == pytest.approx((observed / counts.sum()) ** 0.5)
    shuffled = [statistic(random.permutation(100)) >= observed - 1e-9 for _ in range(2000)]
    assert 0.05 < test.p < 0.9
    assert test.p == pytest.approx(np.mean(shuffled), abs=0.04)


def test_p_is_small_where_labels_differ() -> None:
    pair = compare_corpora(
        corpus_stats(drawn(200, (0.6, 0.3, 0.1), 1)), corpus_stats(drawn(200, (0.1, 0.3, 0.6), 2))
    )
    assert shift(pair).p == 1 / 2001
    assert shift(pair).cramers_v > 0.3


def test_the_test_depends_on_its_seed_and_on_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = drawn(80, (0.5, 0.3, 0.2), 1), drawn(80, (0.4, 0.3, 0.3), 2)
    earlier, later = corpus_stats(one), corpus_stats(two)
    test = shift(compare_corpora(earlier, later, seed=1))
    assert test == shift(compare_corpora(corpus_stats(one[::-1]), corpus_stats(two[::-1]), seed=1))
    assert test.p != shift(compare_corpora(earlier, later, seed=2)).p
    # As many deals at once as memory allows; the figures do not depend on how many those are.
    monkeypatch.setattr(_compare, "_CELLS", 100)
    assert test == shift(compare_corpora(earlier, later, seed=1))


def test_counts_that_outgrow_64_bit_integers_when_multiplied() -> None:
    counts = np.array([[3_000_000, 1_000_000], [0, 0]])
    totals = np.array([5_000_000, 4_000_000])
    expected = chi2_contingency([counts[0], totals - counts[0]], correction=False).statistic
    assert _compare._chi_squared(counts, totals).tolist() == [pytest.approx(expected), 0]
