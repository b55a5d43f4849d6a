"""Scores that cannot mean what they say: no label in common, or a side without one entity."""

from __future__ import annotations

from collections.abc import Iterable

from llmner.scoring._evaluate import Evaluation

__all__ = ["doubts"]

_MOST_NAMES = 5


def doubts(evaluation: Evaluation, gold: str = "gold", predicted: str = "the run") -> list[str]:
    """Why the figures of an evaluation say nothing, one sentence for each reason.

    Args:
        evaluation: The evaluation.
        gold: What to call the gold sentences.
        predicted: What to call the predictions.

    >>> from llmner import Sentence, Span
    >>> from llmner.scoring import Prediction, evaluate
    >>> sentences = [Sentence("Anna sings", (Span(0, 4, "PER"),))]
    >>> run = evaluate(sentences, [Prediction("Anna sings", (Span(0, 4, "PS"),))], resamples=0)
    >>> doubts(run)
    ['no label in common: gold has PER, the run has PS; every entity counts as wrong']
    """
    gold_labels = {span.label for row in evaluation.rows for span in row.sentence.spans}
    labels = {span.label for row in evaluation.rows for span in row.prediction.spans}
    text_labels = {label.label for row in evaluation.rows for label in row.sentence.labels}
    if text_labels:
        given = {label.label for row in evaluation.rows for label in row.prediction.labels}
        if not given:
            return [f"{predicted}: not one label of a whole text"] if not labels else []
        if not given & text_labels:
            return [
                f"no label in common: {gold} has {_names(text_labels)}, {predicted} has "
                f"{_names(given)}; every label counts as wrong"
            ]
        return []
    if not gold_labels:
        return [f"{gold}: not one entity, so no figure says anything"]
    if not labels:
        asked = any(row.prediction.status is not None for row in evaluation.rows)
        hint = "" if asked else "; is it the right file, and in the right format?"
        return [f"{predicted}: not one entity{hint}"]
    if not gold_labels & labels:
        return [
            f"no label in common: {gold} has {_names(gold_labels)}, "
            f"{predicted} has {_names(labels)}; every entity counts as wrong"
        ]
    return []


def _names(labels: Iterable[str]) -> str:
    ordered = sorted(labels)
    more = "" if len(ordered) <= _MOST_NAMES else f" and {len(ordered) - _MOST_NAMES} more"
    return ", ".join(ordered[:_MOST_NAMES]) + more
