"""Attributes of spans and labels of whole texts: figures, and the same from scikit-learn."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.preprocessing import MultiLabelBinarizer

from llmner.scoring import Prediction, compare, evaluate, evaluate_all, read_run, score, write_run
from llmner.scoring.metrics.attributes import comparable
from llmner.spans import Sentence, Span, TextLabel

NAMES = ["food", "service", "price", "menu", "place"]


def sentences(count: int, seed: int) -> list[tuple[TextLabel, ...]]:
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        names = [name for name in NAMES if rng.random() < 0.35]
        rows.append(tuple(TextLabel(n, {"polarity": rng.choice(["good", "bad"])}) for n in names))
    return rows


def figures(gold: list[Any], predicted: list[Any]) -> dict[str, Any]:
    evaluation = evaluate(
        [Sentence("a", labels=labels) for labels in gold],
        [Prediction("a", (), labels=labels) for labels in predicted],
        resamples=20,
    )
    result: dict[str, Any] = evaluation.to_dict()["text_labels"]
    return result


@pytest.mark.parametrize("seed", range(5))
def test_averages_of_text_labels_are_those_of_scikit_learn(seed: int) -> None:
    gold, predicted = sentences(200, seed), sentences(200, seed + 100)
    result = figures(gold, predicted)
    binarizer = MultiLabelBinarizer(classes=NAMES)
    y_true, y_pred = (
        binarizer.fit_transform([[label.label for label in row] for row in rows])
        for rows in (gold, predicted)
    )
    for average in ("micro", "macro", "weighted"):
        for part, function in (
            ("precision", precision_score),
            ("recall", recall_score),
            ("f1", f1_score),
        ):
            expected = function(y_true, y_pred, average=average, zero_division=0)
            assert result[average][part] == pytest.approx(expected)
    expected = f1_score(y_true, y_pred, average="samples", zero_division=1)
    assert result["samples"]["f1"] == pytest.approx(expected)
    assert result["exact_match"] == pytest.approx(accuracy_score(y_true, y_pred))
    for number, name in enumerate(NAMES):
        expected = f1_score(y_true[:, number], y_pred[:, number], zero_division=0)
        assert result["per_label"][name]["f1"] == pytest.approx(expected)
    # Pairs of a label and its attribute are labels of their own.
    pairs = [f"{name} {value}" for name in NAMES for value in ("good", "bad")]
    binarizer = MultiLabelBinarizer(classes=pairs)
    y_true, y_pred = (
        binarizer.fit_transform(
            [[f"{label.label} {label.attributes['polarity']}" for label in row] for row in rows]
        )
        for rows in (gold, predicted)
    )
    expected = f1_score(y_true, y_pred, average="micro")
    assert result["pairs"]["f1"] == pytest.approx(expected)


def test_attributes_count_on_right_spans() -> None:
    gold = [
        Sentence(
            "the food and the price",
            (
                Span(4, 8, "TERM", attributes={"polarity": "good", "kinds": ["a", "b"]}),
                Span(17, 22, "TERM", attributes={"polarity": "bad"}),
            ),
        ),
        Sentence("nice staff", (Span(5, 10, "TERM", attributes={"polarity": "good"}),)),
    ]
    predicted = [
        Prediction(
            gold[0].text,
            (
                Span(4, 8, "TERM", attributes={"polarity": "good", "kinds": ["b", "a"]}),
                Span(17, 22, "TERM", attributes={"polarity": "good"}),
            ),
        ),
        Prediction(gold[1].text, (Span(0, 10, "TERM", attributes={"polarity": "good"}),)),
    ]
    evaluation = evaluate(gold, predicted, resamples=20)
    result = evaluation.to_dict()["attributes"]
    # One of three spans is right with all it has; of three values on right spans two are right.
    assert result["span_f1"] == pytest.approx(1 / 3)
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert result["per_attribute"]["polarity"]["accuracy"] == 0.5
    assert result["per_attribute"]["polarity"]["confusion"] == [
        {"gold": "bad", "predicted": "good", "count": 1},
        {"gold": "good", "predicted": "good", "count": 1},
    ]
    assert set(evaluation.intervals) >= {"attributes.span_f1", "attributes.accuracy"}
    # The spans themselves are scored as ever.
    assert evaluation.scores.micro.f1 == pytest.approx(2 / 3)


def test_what_has_no_attributes_and_labels_has_no_figures_of_them() -> None:
    gold = [Sentence("Anna sings", (Span(0, 4, "PER"),))]
    evaluation = evaluate(gold, [Prediction("Anna sings", gold[0].spans)], resamples=5)
    assert not {"attributes", "text_labels"} & set(evaluation.to_dict())
    assert score([gold[0].spans], [gold[0].spans]).others == {
        "attributes": None,
        "text_labels": None,
    }


def test_runs_are_compared_and_saved_with_their_labels(tmp_path: Path) -> None:
    rows = sentences(80, 1)
    gold = [Sentence("a", id=str(n), labels=labels) for n, labels in enumerate(rows)]
    runs = [
        [Prediction("a", (), str(n), labels=labels) for n, labels in enumerate(own)]
        for own in (rows, sentences(80, 2))
    ]
    with warnings.catch_warnings():
        # There is no span, of which seqeval warns.
        warnings.simplefilter("ignore")
        right, wrong = evaluate_all(gold, runs, resamples=50)
        comparison = compare(right, wrong, resamples=200)
    difference = comparison.differences["text_labels.micro.f1"]
    assert difference.a == 1
    assert difference.p < 0.01
    write_run(wrong, tmp_path / "run.json")
    read_gold, read_predictions, _ = read_run(tmp_path / "run.json")
    assert [sentence.labels for sentence in read_gold] == rows
    assert [prediction.labels for prediction in read_predictions] == sentences(80, 2)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (1, "1", True),
        (1.0, 1, True),
        (True, "true", True),
        (["a", "b"], ("b", "a"), True),
        ("a", "b", False),
        (None, "", False),
    ],
)
def test_values_are_compared_as_people_mean_them(one: Any, other: Any, alike: bool) -> None:
    assert (comparable(one) == comparable(other)) == alike
