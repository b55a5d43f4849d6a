"""The one table of figures: what each is called, who quotes it, and the rows that all reports show.

It knows neither consoles nor files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmner.scoring._bootstrap import Difference, Interval
from llmner.scoring._comparison import Comparison
from llmner.scoring._evaluate import Evaluation, signature_line
from llmner.scoring.metrics import METRICS

__all__ = [
    "FIGURES",
    "MODEL_COLUMNS",
    "Facts",
    "Figure",
    "figure_lines",
    "headline",
    "label_rows",
    "model_rows",
    "points",
    "quotes",
]


# The order they are read in; figures of metrics that are not named here come after.
_FIRST = ("micro", "strict", "macro", "weighted", "klue", "partial", "text")


def _figures() -> dict[str, tuple[str, str]]:
    titles = {metric.name: metric.titles for metric in METRICS}
    return {
        figure: title
        for name in dict.fromkeys((*_FIRST, *titles))
        for figure, title in titles[name].items()
    }


FIGURES = _figures()
"""The figures of a report by name: a title, and what it is or who quotes it. SemEval's ``strict``
is the micro average again.
"""

_LINES = (
    ("KLUE", {"klue.entity_f1": "entity F1", "klue.char_f1": "character F1"}),
    ("SemEval", {f"partial.{mode}.f1": mode for mode in ("exact", "partial", "type")}),
    ("text level", {"text.f1": "F1"}),
)


def figure_lines() -> list[tuple[str, dict[str, str]]]:
    """What stands below a table of labels and averages, a line each: its title, and figures with
    what they are called there. Figures of metrics that have no line of their own share the last.
    """
    shown = {name for _, names in _LINES for name in names}
    shown |= {f"{average}.f1" for average in ("micro", "strict", "macro", "weighted")}
    others = {name: title for name, (title, _) in FIGURES.items() if name not in shown}
    return [*_LINES, ("others", others)]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one run: its value as a fraction, its interval, and what sets it off from the
    first run.
    """

    value: float
    interval: Interval | None
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model costs; ``None`` where it is not known.

    Attributes:
        training_seconds: Time that training took.
        sentences_a_second: Sentences answered a second, of a model that is loaded.
        timed_sentences: How many that was measured on.
        parameters: Numbers that training could have chosen, those of a base model included.
        bytes: A tagger's files, or a language model's weights as they are loaded.
    """

    training_seconds: float | None = None
    sentences_a_second: float | None = None
    timed_sentences: int | None = None
    parameters: int | None = None
    bytes: int | None = None


MODEL_COLUMNS = (
    "model",
    "precision",
    "recall",
    "micro F1",
    "95 % interval",
    "macro F1",
    "weighted F1",
    "KLUE entity F1",
    "KLUE character F1",
    "training",
    "sentences/s",
    "parameters",
    "size",
)
"""The columns of :func:`model_rows`."""


def model_rows(
    evaluations: Mapping[str, Evaluation], facts: Mapping[str, Facts]
) -> list[tuple[str, ...]]:
    """A row of :data:`MODEL_COLUMNS` for each model, fit to be shown; figures in percent."""
    rows: list[tuple[str, ...]] = []
    for name, evaluation in evaluations.items():
        scores, known = evaluation.scores, facts.get(name, Facts())
        figures = headline(evaluation)
        interval = figures["micro.f1"].interval
        shown = {key: points(figures[key].value) if key in figures else "" for key in FIGURES}
        rows.append(
            (
                name,
                points(scores.micro.precision),
                points(scores.micro.recall),
                shown["micro.f1"],
                "" if interval is None else f"{points(interval[0])}–{points(interval[1])}",
                shown["macro.f1"],
                shown["weighted.f1"],
                shown["klue.entity_f1"],
                shown["klue.char_f1"],
                _duration(known.training_seconds),
                "" if known.sentences_a_second is None else f"{known.sentences_a_second:,.3g}",
                _count(known.parameters),
                "" if known.bytes is None else f"{known.bytes / 1e6:,.1f} MB",
            )
        )
    return rows


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _count(number: int | None) -> str:
    if number is None:
        return ""
    return f"{number / 1e6:,.1f} M" if number >= 1e5 else f"{number:,}"


def headline(evaluation: Evaluation, comparison: Comparison | None = None) -> dict[str, Figure]:
    """The figures of :data:`FIGURES` that the evaluation has."""
    figures = evaluation.scores.to_dict()
    found = {}
    for name in FIGURES:
        value: Any = figures
        for part in name.split("."):
            value = None if value is None else value[part]
        if value is not None:
            difference = None if comparison is None else comparison.differences.get(name)
            found[name] = Figure(value, evaluation.intervals.get(name), difference)
    return found


def label_rows(
    evaluation: Evaluation,
) -> list[tuple[str, float, float, float, Interval | None, int]]:
    """(name, precision, recall, F1, its interval, gold entities) of each label, then of the
    averages.
    """
    scores = evaluation.scores
    rows = [
        (
            name,
            row.precision,
            row.recall,
            row.f1,
            evaluation.intervals.get(f"per_label.{name}.f1"),
            row.support,
        )
        for name, row in scores.per_label.items()
    ]
    for title, key, row in (
        ("micro (seqeval)", "micro", scores.micro),
        ("micro (strict IOB2)", "strict", scores.strict),
        ("macro", "macro", scores.macro),
        ("weighted", "weighted", scores.weighted),
    ):
        interval = evaluation.intervals.get(f"{key}.f1")
        rows.append((title, row.precision, row.recall, row.f1, interval, scores.gold_spans))
    return rows


def quotes(evaluation: Evaluation) -> list[str]:
    """A line for each headline figure, fit to be quoted: figure, interval, signature."""
    known = {key: value for key, value in evaluation.signature.items() if key != "metric"}
    lines = []
    for name, figure in headline(evaluation).items():
        interval = (
            ""
            if figure.interval is None
            else f" [{points(figure.interval[0])}, {points(figure.interval[1])}]"
        )
        lines.append(
            f"{FIGURES[name][0]} {points(figure.value)}{interval} "
            f"{signature_line({'metric': name, **known})}"
        )
    return lines


def points(value: float) -> str:
    """A fraction in percent, with two decimals."""
    return f"{100 * value:.2f}"
