"""The table of figures that all reports share: titles, explanations, and rows to show."""

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
    "is_about_texts",
    "label_rows",
    "model_rows",
    "points",
    "quotes",
]


# Metrics in the order of reports; the others follow.
_FIRST = ("micro", "strict", "macro", "weighted", "klue", "partial", "text")


def _figures() -> dict[str, tuple[str, str]]:
    titles = {metric.name: metric.titles for metric in METRICS}
    return {
        figure: title
        for name in dict.fromkeys((*_FIRST, *titles))
        for figure, title in titles[name].items()
    }


FIGURES = _figures()
"""The figures of a report by name, each with its title and an explanation.

SemEval's ``strict`` is not among them: it equals the micro average.
"""

_LINES = (
    ("KLUE", {"klue.entity_f1": "entity F1", "klue.char_f1": "character F1"}),
    ("SemEval", {f"partial.{mode}.f1": mode for mode in ("exact", "partial", "type")}),
    ("text level", {"text.f1": "F1"}),
)


def figure_lines() -> list[tuple[str, dict[str, str]]]:
    """The lines of figures below a table of labels and averages.

    Each line has a title, and the titles of its figures by name. Figures without a line of their
    own share the last.

    >>> title, names = figure_lines()[0]
    >>> title, list(names)
    ('KLUE', ['klue.entity_f1', 'klue.char_f1'])
    """
    listed = {name for _, names in _LINES for name in names}
    listed |= {f"{average}.f1" for average in ("micro", "strict", "macro", "weighted")}
    others = {name: title for name, (title, _) in FIGURES.items() if name not in listed}
    return [*_LINES, ("others", others)]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one run.

    Attributes:
        value: The figure, a fraction from 0 to 1.
        interval: Its 95 % interval, or ``None``.
        difference: Its difference from the first run, or ``None``.

    >>> Figure(0.9, (0.88, 0.92)).value
    0.9
    """

    value: float
    interval: Interval | None
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The cost of a model; ``None`` where it is not known.

    Attributes:
        training_seconds: The time that training took, in seconds.
        sentences_a_second: Sentences that the loaded model answers per second.
        timed_sentences: The number of sentences that was measured on.
        parameters: The number of parameters, those of a base model included.
        bytes: The size of a tagger's files, or of a language model's weights in memory.

    >>> Facts(parameters=270_000_000).parameters
    270000000
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
    """A row of :data:`MODEL_COLUMNS` for each model, as texts; figures in percent.

    >>> from llmner.scoring import Prediction, evaluate
    >>> from llmner.spans import Sentence, Span
    >>> gold = Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")))
    >>> evaluation = evaluate([gold], [Prediction(gold.text, gold.spans[:1])], resamples=0)
    >>> model_rows({"my model": evaluation}, {"my model": Facts(parameters=270_000_000)})[0][:4]
    ('my model', '100.00', '50.00', '66.67')
    """
    rows: list[tuple[str, ...]] = []
    for name, evaluation in evaluations.items():
        model_facts = facts.get(name, Facts())
        rows.append(
            (
                name,
                *(
                    _label_cells(evaluation)
                    if is_about_texts(evaluation)
                    else _span_cells(evaluation)
                ),
                _duration(model_facts.training_seconds),
                ""
                if model_facts.sentences_a_second is None
                else f"{model_facts.sentences_a_second:,.3g}",
                _count(model_facts.parameters),
                "" if model_facts.bytes is None else f"{model_facts.bytes / 1e6:,.1f} MB",
            )
        )
    return rows


def is_about_texts(evaluation: Evaluation) -> bool:
    """Whether its corpus has labels of whole texts only, so that figures of spans say nothing.

    It is the same for all runs that are scored together.
    """
    scores = evaluation.scores
    return scores.others.get("text_labels") is not None and not scores.gold_spans


def _span_cells(evaluation: Evaluation) -> tuple[str, ...]:
    """The figures of spans in a row of :func:`model_rows`."""
    micro = evaluation.scores.micro
    figures = headline(evaluation)
    cells = {key: points(figures[key].value) if key in figures else "" for key in FIGURES}
    return (
        points(micro.precision),
        points(micro.recall),
        cells["micro.f1"],
        _range(figures["micro.f1"].interval),
        *(cells[key] for key in ("macro.f1", "weighted.f1", "klue.entity_f1", "klue.char_f1")),
    )


def _label_cells(evaluation: Evaluation) -> tuple[str, ...]:
    """The figures of labels of whole texts in a row of :func:`model_rows`; KLUE's have none."""
    scores = evaluation.scores.others["text_labels"]
    return (
        *(points(scores["micro"][part]) for part in ("precision", "recall", "f1")),
        _range(evaluation.intervals.get("text_labels.micro.f1")),
        points(scores["macro"]["f1"]),
        points(scores["weighted"]["f1"]),
        "",
        "",
    )


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{points(interval[0])}–{points(interval[1])}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _count(number: int | None) -> str:
    if number is None:
        return ""
    return f"{number / 1e6:,.1f} M" if number >= 1e5 else f"{number:,}"


def headline(evaluation: Evaluation, comparison: Comparison | None = None) -> dict[str, Figure]:
    """The figures of :data:`FIGURES` that an evaluation has, by name.

    Where there are only labels of whole texts, these are the figures of labels.

    Args:
        evaluation: The run.
        comparison: Its comparison with the first run, for the differences.

    >>> from llmner.scoring import Prediction, evaluate
    >>> from llmner.spans import Sentence, Span
    >>> gold = Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")))
    >>> evaluation = evaluate([gold], [Prediction(gold.text, gold.spans[:1])], resamples=0)
    >>> round(headline(evaluation)["micro.f1"].value, 4)
    0.6667
    """
    scores = evaluation.scores.to_dict()
    figures = {}
    about_texts = is_about_texts(evaluation)
    for name in FIGURES:
        if about_texts and not name.startswith("text_labels."):
            continue
        value: Any = scores
        for part in name.split("."):
            value = None if value is None else value[part]
        if value is not None:
            difference = None if comparison is None else comparison.differences.get(name)
            figures[name] = Figure(value, evaluation.intervals.get(name), difference)
    return figures


def label_rows(
    evaluation: Evaluation,
) -> list[tuple[str, float, float, float, Interval | None, int]]:
    """A row for each label, then for each average.

    A row has the name, precision, recall, F1, the F1's interval, and the number of gold entities.

    >>> from llmner.scoring import Prediction, evaluate
    >>> from llmner.spans import Sentence, Span
    >>> gold = Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")))
    >>> evaluation = evaluate([gold], [Prediction(gold.text, gold.spans[:1])], resamples=0)
    >>> [row[:4] for row in label_rows(evaluation)][:2]
    [('LC', 0.0, 0.0, 0.0), ('PS', 1.0, 1.0, 1.0)]
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
    """A line to quote for each headline figure: the figure, its interval, and the signature.

    >>> from llmner.scoring import Prediction, evaluate
    >>> from llmner.spans import Sentence, Span
    >>> gold = Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")))
    >>> evaluation = evaluate([gold], [Prediction(gold.text, gold.spans[:1])], resamples=0)
    >>> quotes(evaluation)[0][:14]
    'micro F1 66.67'
    """
    signature = {key: value for key, value in evaluation.signature.items() if key != "metric"}
    lines = []
    for name, figure in headline(evaluation).items():
        interval = (
            ""
            if figure.interval is None
            else f" [{points(figure.interval[0])}, {points(figure.interval[1])}]"
        )
        lines.append(
            f"{FIGURES[name][0]} {points(figure.value)}{interval} "
            f"{signature_line({'metric': name, **signature})}"
        )
    return lines


def points(value: float) -> str:
    """A fraction in percent, with two decimals.

    >>> points(0.66667)
    '66.67'
    """
    return f"{100 * value:.2f}"
