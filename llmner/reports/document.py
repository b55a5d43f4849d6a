"""Reports of evaluations: one HTML file that needs no network, or Markdown for a README.

Everything that comes from a corpus or a model is escaped. The templates escape what they print. The
page's script reads JSON without markup characters, and writes it as text only. A content security
policy allows that one script, and no connections.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from llmner._colours import label_colours
from llmner.files import dump_json
from llmner.reports.figures import (
    FIGURES,
    MODEL_COLUMNS,
    Facts,
    headline,
    is_about_texts,
    label_rows,
    model_rows,
    points,
    quotes,
)
from llmner.scoring import (
    ATTRIBUTE_CAUSES,
    CAUSES,
    Comparison,
    Evaluation,
    Prediction,
    Row,
    signature_line,
)
from llmner.spans import Sentence, Span, TextLabel

if TYPE_CHECKING:
    from llmner.labelling import Explanation

__all__ = ["render_audit", "render_explanations", "render_report", "render_view"]


def render_report(
    evaluations: Mapping[str, Evaluation],
    comparisons: Mapping[str, Comparison] | None = None,
    format: Literal["html", "md"] = "html",
    *,
    facts: Mapping[str, Facts] | None = None,
    curves: bytes | None = None,
    cited: Sequence[tuple[str, str]] = (),
) -> str:
    """Write a report of one run, or of several runs on the same sentences side by side.

    Args:
        evaluations: The runs by name, scored together by ``evaluate_all``. The others are compared
            with the first.
        comparisons: The comparison of each other run with the first, by name.
        format: ``"html"`` for one self-contained file, or ``"md"`` for Markdown.
        facts: The cost of each run's model, by name; with it the report begins with a table of
            models.
        curves: A PNG of the models' training curves, shown below that table (HTML only).
        cited: Figures published elsewhere and their sources, shown below that table.

    Returns:
        The text of the report.

    >>> from llmner.scoring import Prediction, evaluate
    >>> from llmner.spans import Sentence, Span
    >>> gold = Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")))
    >>> evaluation = evaluate([gold], [Prediction(gold.text, gold.spans[:1])], resamples=0)
    >>> print(render_report({"my run": evaluation}, format="md").splitlines()[0])
    ### a corpus: 1 sentences, 2 entities
    """
    comparisons = comparisons or {}
    first = next(iter(evaluations.values()))
    corpus = first.signature.get("corpus")
    context: dict[str, Any] = {
        "columns": MODEL_COLUMNS,
        "models": model_rows(evaluations, facts) if facts else [],
        "curves": None if curves is None else base64.b64encode(curves).decode(),
        "cited": cited,
        "runs": evaluations,
        "first": first,
        "figures": FIGURES,
        "headlines": {
            name: headline(run, comparisons.get(name)) for name, run in evaluations.items()
        },
        "label_rows": {name: label_rows(run) for name, run in evaluations.items()},
        "quotes": {name: quotes(run) for name, run in evaluations.items()},
        "comparisons": comparisons,
        "has_spans": not is_about_texts(first),
        "attribute_causes": ATTRIBUTE_CAUSES,
        "causes": CAUSES,
        "colours": label_colours(first.counts.labels),
        "cause_numbers": {cause: number for number, cause in enumerate(CAUSES)},
        "signatures": {name: signature_line(run.signature) for name, run in evaluations.items()},
        "corpus": str(corpus.get("name")) if isinstance(corpus, Mapping) else "a corpus",
    }
    if format == "html":
        context |= _scripted("report.js", _data(evaluations))
    return _environment().get_template(f"report.{format}.jinja").render(context)


def render_explanations(
    rows: Sequence[tuple[Sentence, Sequence[Explanation], str | None]],
) -> str:
    """Write explanations as one self-contained HTML file, each word as strong as its share.

    Args:
        rows: Texts, each with the explanations of its labels and spans, and why it was picked, if
            it was.

    >>> "<mark" in render_explanations([])
    False
    """
    pages = [
        {
            "name": f"#{number}" if sentence.id is None else sentence.id,
            "labels": [_explained(sentence.text, explanation) for explanation in explanations],
            "reason": reason,
        }
        for number, (sentence, explanations, reason) in enumerate(rows, 1)
    ]
    context = {"texts": pages, "style": _asset("report.css")}
    return _environment().get_template("explanations.html.jinja").render(context)


def render_view(predictions: Sequence[Prediction], name: str) -> str:
    """Write texts with what was found in them as one self-contained HTML file.

    Texts can be filtered by label, outcome, score and words.

    Args:
        predictions: What was found in each text.
        name: What the page is called.

    >>> "sha256" in render_view([], "nothing")
    True
    """
    rows = [
        {
            "id": f"#{number}" if own.id is None else own.id,
            "text": own.text,
            "spans": [[s.start, s.end, s.label, s.score, dict(s.attributes)] for s in own.spans],
            "labels": [[label.label, dict(label.attributes), label.score] for label in own.labels],
            "outcomes": _outcome_rows(own),
            "status": own.status,
            "reply": own.reply,
            "error": own.error,
        }
        for number, own in enumerate(predictions, 1)
    ]
    labels = sorted({span.label for own in predictions for span in own.spans})
    context = {
        "name": name,
        "texts": len(rows),
        "spans": sum(len(own.spans) for own in predictions),
        "lost": sum(outcome.span is None for own in predictions for outcome in own.outcomes),
        "errors": sum(own.error is not None for own in predictions),
        **_scripted("view.js", {"colours": label_colours(labels), "rows": rows}),
    }
    return _environment().get_template("view.html.jinja").render(context)


def render_audit(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Write labels that are likely wrong as one self-contained HTML file, to decide on each.

    Decisions are kept in the browser, and can be saved as rows for ``llmner audit --apply``.

    Args:
        rows: What ``Suspicion.row`` gives, the likeliest errors first.
        name: What the corpus is called.

    >>> "sha256" in render_audit([], "nothing")
    True
    """
    labels = {row["label"] for row in rows if row["label"] is not None}
    labels |= {row["suggested"]["label"] for row in rows if row["suggested"] is not None}
    data = {"name": name, "colours": label_colours(sorted(labels)), "rows": list(rows)}
    context = {"name": name, "count": len(rows), **_scripted("audit.js", data)}
    return _environment().get_template("audit.html.jinja").render(context)


def _scripted(name: str, data: Any) -> dict[str, str]:
    """What a page with a list needs: its style, its script with the digest, and its data."""
    script = _asset("listing.js") + _asset(name)
    return {
        "style": _asset("report.css"),
        "script": script,
        "digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "data": _embedded(data),
    }


def _embedded(data: Any) -> str:
    """Data as JSON that is safe inside a ``<script>`` element."""
    text = dump_json(data).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _outcome_rows(prediction: Prediction) -> list[list[Any]]:
    """Label, surface, kind, place and reason of each outcome."""
    return [
        [
            outcome.mention.label if outcome.span is None else outcome.span.label,
            outcome.mention.text,
            outcome.kind,
            None if outcome.span is None else [outcome.span.start, outcome.span.end],
            outcome.reason,
        ]
        for outcome in prediction.outcomes
    ]


_STRENGTHS = 4


def _explained(text: str, explanation: Explanation) -> dict[str, Any]:
    """The pieces of a text with their shares, for one of its labels."""
    label = explanation.label
    best = explanation.highlight
    pieces: list[tuple[str, int, float | None, bool]] = []
    place = 0
    for word in explanation.words:
        pieces.append((text[place : word.start], 0, None, False))
        strength = 0
        if best is not None and word.share > 0:
            strength = max(1, round(_STRENGTHS * word.share / best.share))
        pieces.append((text[word.start : word.end], strength, word.share, word == best))
        place = word.end
    pieces.append((text[place:], 0, None, False))
    name = text[label.start : label.end] if isinstance(label, Span) else ""
    return {
        "title": _with_attributes(f"{name} {label.label}".strip(), label),
        "score": explanation.score,
        "pieces": pieces,
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("llmner.reports"),
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"points": points, "cell": _cell, "plain": _plain}
    return environment


def _asset(name: str) -> str:
    return files("llmner.reports").joinpath("templates", name).read_text(encoding="utf-8")


def _plain(text: str) -> str:
    """A text with its lone surrogates, which UTF-8 cannot encode, replaced."""
    return text.encode("utf-8", "replace").decode()


def _cell(text: str) -> str:
    """A text escaped for a Markdown table."""
    for char in "\\`*_[]<>|":
        text = text.replace(char, f"\\{char}")
    return _plain(" ".join(text.split()))


def _data(evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Every sentence that a run got wrong, for the page."""
    first, *others = evaluations.values()
    sentences = []
    for number, row in enumerate(first.rows):
        rows = [row, *(run.rows[number] for run in others)]
        sentence = row.sentence
        gold = _said(sentence.text, sentence.spans, sentence.labels)
        if any(run_row.faults or _said_by(run_row) != gold for run_row in rows):
            sentences.append(
                {
                    "id": row.name(number),
                    "text": sentence.text,
                    "gold": [[span.start, span.end, span.label] for span in sentence.spans],
                    "said": gold,
                    "runs": [_run_row(run_row, gold) for run_row in rows],
                }
            )
    return {
        "runs": list(evaluations),
        "labels": list(first.counts.labels),
        "colours": label_colours(first.counts.labels),
        "causes": [[cause, title, meaning] for cause, (title, meaning) in CAUSES.items()],
        "sentences": sentences,
    }


def _said_by(row: Row) -> list[str]:
    prediction = row.prediction
    return _said(row.sentence.text, prediction.spans, prediction.labels)


def _said(text: str, spans: Sequence[Span], labels: Sequence[TextLabel]) -> list[str]:
    """The labels of a text, and what is said of its spans besides their label."""
    items = [
        *(_with_attributes(own.label, own) for own in labels),
        *(_with_attributes(text[own.start : own.end], own) for own in spans if own.attributes),
    ]
    return sorted(items)


def _with_attributes(name: str, item: Span | TextLabel) -> str:
    values = [f"{key}={value}" for key, value in item.attributes.items() if value is not None]
    return f"{name} ({', '.join(values)})" if values else name


def _run_row(row: Row, gold: Sequence[str]) -> dict[str, Any]:
    prediction = row.prediction
    said = _said_by(row)
    return {
        "said": said,
        "differs": said != gold,
        "spans": [[span.start, span.end, span.label, span.score] for span in prediction.spans],
        "faults": [[f.kind, f.span.start, f.span.end, f.span.label, f.cause] for f in row.faults],
        "outcomes": _outcome_rows(prediction),
        "status": prediction.status
        if prediction.error is None
        else f"{prediction.status} ({prediction.error})",
        "reply": prediction.reply,
    }
