"""What wrong attributes cost, and how reports tell of it."""

from __future__ import annotations

import io
import random

import pytest
from rich.console import Console

from llmner.projection import project_reply
from llmner.reports import render_report
from llmner.reports.console import show_evaluation
from llmner.schema import LabelSchema
from llmner.scoring import Evaluation, Prediction, evaluate
from llmner.spans import Sentence, Span, TextLabel

TEXT = "The soup was cold, the waiter kind."
SOUP, WAITER = (4, 8), (23, 29)
VALUES = ["positive", "neutral", "negative", None]


def term(place: tuple[int, int], value: str | None, **others: str) -> Span:
    values = {} if value is None else {"polarity": value}
    return Span(*place, "TERM", attributes={**values, **others})


def evaluation(gold: list[Span], said: list[Span]) -> Evaluation:
    return evaluate([Sentence(TEXT, tuple(gold))], [Prediction(TEXT, tuple(said))], resamples=0)


@pytest.mark.parametrize(
    ("right", "said", "cause"),
    [
        ("positive", "negative", "value"),
        ("positive", None, "missing"),
        (None, "positive", "unasked"),
    ],
)
def test_each_wrong_value_has_one_cause(right: str | None, said: str | None, cause: str) -> None:
    # Whether a corpus has attributes is seen by its other spans.
    gold = [term(SOUP, right), term(WAITER, "neutral")]
    (loss,) = evaluation(gold, [term(SOUP, said), term(WAITER, "neutral")]).attribute_losses
    assert (loss.of, loss.attribute, loss.cause, loss.count) == ("spans", "polarity", cause, 1)
    assert loss.f1_lost == 0.5


def test_a_value_that_the_schema_does_not_know_is_told_apart() -> None:
    schema = LabelSchema.model_validate(
        {"labels": [{"code": "TERM", "attributes": {"polarity": {"values": VALUES[:3]}}}]}
    )
    reply = '[{"text": "soup", "label": "TERM", "polarity": "lukewarm"}]'
    projection = project_reply(TEXT, reply, schema, "json-list")
    said = Prediction(TEXT, projection.spans, outcomes=projection.outcomes)
    gold = Sentence(TEXT, (term(SOUP, "negative"),))
    (loss,) = evaluate([gold], [said], resamples=0).attribute_losses
    assert (loss.cause, loss.f1_lost) == ("unknown", 1.0)


def test_costs_add_up_to_what_is_missing() -> None:
    dice = random.Random(7)
    sentences, predictions = [], []
    for _ in range(200):
        spans = [
            [
                term(place, dice.choice(VALUES[:3]), **({"size": "big"} if dice.random() < 0.5 else {}))
                for place in (SOUP, WAITER)
                if dice.random() < 0.8
            ]
            for _ in range(2)
        ]  # fmt: skip
        labels = [
            tuple(
                TextLabel(name, {"polarity": dice.choice(VALUES[:3])})
                for name in ("food", "staff")
                if dice.random() < 0.7
            )
            for _ in range(2)
        ]
        sentences.append(Sentence(TEXT, tuple(spans[0]), labels=labels[0]))
        predictions.append(Prediction(TEXT, tuple(spans[1]), labels=labels[1]))
    result = evaluate(sentences, predictions, resamples=0)
    figures = result.to_dict()
    for of, whole, right in (
        ("spans", figures["micro"]["f1"], figures["attributes"]["span_f1"]),
        ("texts", figures["text_labels"]["micro"]["f1"], figures["text_labels"]["pairs"]["f1"]),
    ):
        lost = sum(loss.f1_lost for loss in result.attribute_losses if loss.of == of)
        assert lost > 0.1
        assert whole - lost == pytest.approx(right)
    assert {loss["attribute"] for loss in figures["attribute_losses"]} == {"polarity", "size"}


def test_corpora_without_attributes_say_nothing_of_them() -> None:
    result = evaluation([Span(*SOUP, "TERM")], [Span(*SOUP, "TERM")])
    assert result.attribute_losses == ()
    assert "attribute_losses" not in result.to_dict()
    assert "Attributes" not in render_report({"a": result})


def test_reports_tell_of_values_and_of_labels_of_texts() -> None:
    spans = evaluation([term(SOUP, "negative")], [term(SOUP, "positive")])
    out = io.StringIO()
    show_evaluation(Console(file=out, width=100), spans)
    assert "another value" in out.getvalue()
    for format in ("html", "md"):
        report = render_report({"a run": spans}, format=format)  # type: ignore[arg-type]
        assert "another value" in report
        assert "polarity" in report
    # The sentence is listed, though its spans are right.
    assert "soup (polarity=positive)" in render_report({"a run": spans})
    gold = Sentence("tea", labels=(TextLabel("<i>drinks</i>", {"polarity": "positive"}),))
    said = Prediction("tea", (), labels=(TextLabel("<i>drinks</i>", {"polarity": "neutral"}),))
    labels = evaluate([gold], [said], resamples=20)
    report = render_report({"a run": labels, "again": labels})
    assert "Labels of texts" in report
    assert "<i>" not in report
    # Sections about spans would be empty.
    assert "Where the F1 went" not in report
    assert "Confusion" not in report
    assert "KLUE" not in report
    markdown = render_report({"a run": labels}, format="md")
    assert "label of the text" in markdown
    assert "where the F1 went" not in markdown
