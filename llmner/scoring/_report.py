"""Reports of evaluations for people: one HTML file that needs no network, or Markdown for a README.

Everything that comes from a corpus or a model is escaped: by the templates in what they print, and as JSON
without markup characters in what the page's script reads, which writes it as text only. A content security
policy allows that one script and no connection.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from llmner._files import dump_json
from llmner.scoring._bootstrap import Difference, Interval
from llmner.scoring._evaluate import Comparison, Evaluation, Row, signature_line
from llmner.scoring._losses import CAUSES

__all__ = [
    "FIGURES",
    "MODEL_COLUMNS",
    "Facts",
    "Figure",
    "headline",
    "label_rows",
    "model_rows",
    "quotes",
    "render_report",
]

FIGURES = {
    "micro.f1": ("micro F1", "seqeval's default; most NER papers and the Hugging Face trainers quote it"),
    "strict.f1": ("micro F1, strict IOB2", "seqeval's strict mode with scheme IOB2"),
    "macro.f1": ("macro F1", "mean over labels, each label alike"),
    "weighted.f1": ("weighted F1", "mean over labels, weighted by their entities"),
    "klue.entity_f1": ("KLUE entity F1", "the KLUE benchmark's first figure: strict macro, spaces dropped"),
    "klue.char_f1": ("KLUE character F1", "the KLUE benchmark's second: macro over character tags"),
    "partial.exact.f1": ("SemEval exact", "the place is right, whatever the label"),
    "partial.partial.f1": ("SemEval partial", "an overlap counts half, whatever the label"),
    "partial.type.f1": ("SemEval type", "an overlap with the right label counts"),
    "text.f1": ("text-level F1", "label and surface, offsets ignored: for models that give no offsets"),
}
"""The figures of a report by name: a title, and what it is or who quotes it. SemEval's ``strict`` is the micro
average again."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one run: its value as a fraction, its interval, and what sets it off from the first run."""

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


def model_rows(evaluations: Mapping[str, Evaluation], facts: Mapping[str, Facts]) -> list[tuple[str, ...]]:
    """A row of :data:`MODEL_COLUMNS` for each model, fit to be shown; figures in percent."""
    rows: list[tuple[str, ...]] = []
    for name, evaluation in evaluations.items():
        scores, known = evaluation.scores, facts.get(name, Facts())
        figures = headline(evaluation)
        interval = figures["micro.f1"].interval
        shown = {key: _points(figures[key].value) if key in figures else "" for key in FIGURES}
        rows.append(
            (
                name,
                _points(scores.micro.precision),
                _points(scores.micro.recall),
                shown["micro.f1"],
                "" if interval is None else f"{_points(interval[0])}–{_points(interval[1])}",
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


def label_rows(evaluation: Evaluation) -> list[tuple[str, float, float, float, Interval | None, int]]:
    """(name, precision, recall, F1, its interval, gold entities) of each label, then of the averages."""
    scores = evaluation.scores
    rows = [
        (name, row.precision, row.recall, row.f1, evaluation.intervals.get(f"per_label.{name}.f1"), row.support)
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
            else f" [{_points(figure.interval[0])}, {_points(figure.interval[1])}]"
        )
        lines.append(
            f"{FIGURES[name][0]} {_points(figure.value)}{interval} {signature_line({'metric': name, **known})}"
        )
    return lines


def _points(value: float) -> str:
    return f"{100 * value:.2f}"


def render_report(
    evaluations: Mapping[str, Evaluation],
    comparisons: Mapping[str, Comparison] | None = None,
    format: Literal["html", "md"] = "html",
    *,
    facts: Mapping[str, Facts] | None = None,
    curves: bytes | None = None,
    cited: Sequence[tuple[str, str]] = (),
) -> str:
    """A report of one run, or of several on the same sentences side by side.

    Args:
        evaluations: The runs by name, scored together (``evaluate_all``); the first is what the others
            are compared with.
        comparisons: Of the other runs with the first, by name.
        format: ``"html"`` (one self-contained file) or ``"md"``.
        facts: What each run's model costs: a table of models then comes first.
        curves: A PNG of their training, to stand below that table (HTML only).
        cited: (figures, source) published elsewhere, to stand below it.
    """
    comparisons = comparisons or {}
    first = next(iter(evaluations.values()))
    known = first.signature.get("corpus")
    context: dict[str, Any] = {
        "columns": MODEL_COLUMNS,
        "models": model_rows(evaluations, facts) if facts else [],
        "curves": None if curves is None else base64.b64encode(curves).decode(),
        "cited": cited,
        "runs": evaluations,
        "first": first,
        "figures": FIGURES,
        "headlines": {name: headline(run, comparisons.get(name)) for name, run in evaluations.items()},
        "label_rows": {name: label_rows(run) for name, run in evaluations.items()},
        "quotes": {name: quotes(run) for name, run in evaluations.items()},
        "comparisons": comparisons,
        "causes": CAUSES,
        "cause_numbers": {cause: number for number, cause in enumerate(CAUSES)},
        "signatures": {name: signature_line(run.signature) for name, run in evaluations.items()},
        "corpus": str(known.get("name")) if isinstance(known, Mapping) else "a corpus",
    }
    if format == "html":
        script = _asset("report.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        context |= {
            "style": _asset("report.css"),
            "script": script,
            "digest": digest,
            "data": _data(evaluations),
        }
    return _environment().get_template(f"report.{format}.jinja").render(context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("llmner.scoring"),
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"points": _points, "cell": _cell, "plain": _plain}
    return environment


def _asset(name: str) -> str:
    return files("llmner.scoring").joinpath("templates", name).read_text(encoding="utf-8")


def _plain(text: str) -> str:
    """Half surrogate pairs, which UTF-8 lacks, replaced."""
    return text.encode("utf-8", "replace").decode()


def _cell(text: str) -> str:
    """A text as it can stand in a Markdown table."""
    for char in "\\`*_[]<>|":
        text = text.replace(char, f"\\{char}")
    return _plain(" ".join(text.split()))


def _data(evaluations: Mapping[str, Evaluation]) -> str:
    """Every sentence that some run has wrong, as JSON that cannot end the element it stands in."""
    first, *others = evaluations.values()
    sentences = []
    for number, row in enumerate(first.rows):
        rows = [row, *(run.rows[number] for run in others)]
        if any(one.faults for one in rows):
            sentence = row.sentence
            sentences.append(
                {
                    "id": row.name(number),
                    "text": sentence.text,
                    "gold": [[span.start, span.end, span.label] for span in sentence.spans],
                    "runs": [_run_row(one) for one in rows],
                }
            )
    data = {
        "runs": list(evaluations),
        "labels": list(first.counts.labels),
        "causes": [[cause, title, meaning] for cause, (title, meaning) in CAUSES.items()],
        "sentences": sentences,
    }
    text = dump_json(data).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _run_row(row: Row) -> dict[str, Any]:
    known = row.prediction
    return {
        "spans": [[span.start, span.end, span.label, span.score] for span in known.spans],
        "faults": [[f.kind, f.span.start, f.span.end, f.span.label, f.cause] for f in row.faults],
        "outcomes": [
            [
                outcome.mention.label if outcome.span is None else outcome.span.label,
                outcome.mention.text,
                outcome.kind,
                None if outcome.span is None else [outcome.span.start, outcome.span.end],
                outcome.reason,
            ]
            for outcome in known.outcomes
        ],
        "status": known.status if known.error is None else f"{known.status} ({known.error})",
        "reply": known.reply,
    }
