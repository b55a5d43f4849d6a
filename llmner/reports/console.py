"""Reports on a console: texts with coloured entities, and tables of outcomes and figures.

Texts of models and corpora are printed as plain text, never as console markup, and without control
characters. The console takes care of both; :func:`printable` keeps the widths of cells right.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from llmner._colours import label_colours
from llmner._shown import visible
from llmner.errors import InputError

if TYPE_CHECKING:
    from llmner.labelling import Explanation
    from llmner.projection import AttributeOutcome, Projection
    from llmner.reports.figures import Facts
    from llmner.scoring import Comparison, Evaluation
    from llmner.spans import Span, TextLabel

# Words that an explanation lists, and the least share of a score that it shows.
_MOST_WORDS = 5
_LEAST_SHARE = 0.001
_UNDERLINED = 0.1
# The numbers are those of ``label_colours``.
_COLOURS = (
    "bold black on bright_cyan",
    "bold black on bright_green",
    "bold black on bright_yellow",
    "bold black on bright_magenta",
    "bold white on blue",
    "bold black on bright_red",
    "bold black on cyan",
    "bold black on white",
)


class _PlainConsole(Console):
    """A console that prints texts as they are: no markup, and no control characters."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, width=width)

    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """Yield what is printed, segment by segment."""
        for segment in super().render(*args, **options):
            text = segment.text if segment.control else printable(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style)

    def on_broken_pipe(self) -> None:
        """Raise, so that the command line decides how to exit."""
        raise BrokenPipeError


def console() -> Console:
    """A console for standard output, 120 columns wide where that is not a terminal.

    Raises:
        InputError: Standard output is closed.
    """
    if sys.stdout is None:
        raise InputError("standard output is closed", hint="open it, or name a file to write")
    if hasattr(sys.stdout, "reconfigure"):
        # Its encoding may lack characters of a text.
        sys.stdout.reconfigure(errors="backslashreplace")
    out = _PlainConsole()
    return out if out.is_terminal else _PlainConsole(width=120)


def printable(text: str) -> str:
    r"""A text with its control characters escaped; line breaks stay.

    >>> print(printable("red: \x1b[31m"))
    red: \x1b[31m
    """
    return visible(text, lines=True)


def _colours(labels: Sequence[str]) -> dict[str, str]:
    return {label: _COLOURS[number] for label, number in label_colours(labels).items()}


def _coloured(text: str, spans: Sequence[Span], colours: Mapping[str, str]) -> Text:
    """A text with its spans in the colours of their labels."""
    coloured = Text()
    position = 0
    for span in spans:
        coloured.append(printable(text[position : span.start]))
        coloured.append(
            printable(text[span.start : span.end]), style=colours.get(span.label, "reverse")
        )
        coloured.append(f"[{span.label}]", style="dim")
        position = span.end
    coloured.append(printable(text[position:]))
    return coloured


def show_projection(
    out: Console, projection: Projection, labels: Sequence[str], title: str | None
) -> None:
    """Print one sentence: its text, its entities, and the outcome of every mention."""
    if title:
        out.print(Text(printable(title), style="dim"))
    out.print(_coloured(projection.text, projection.spans, _colours(labels)))
    if projection.label_outcomes:
        _show_labels(out, projection)
        return
    if projection.spans and not projection.outcomes:
        _show_spans(out, projection)
        return
    if not projection.outcomes:
        status = projection.reply.status if projection.reply is not None else "ok"
        out.print(
            Text(
                "  no entities" if status in ("ok", "repaired") else f"  reply {status}",
                style="dim",
            )
        )
        out.print()
        return
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column, justify in (
        ("label", "left"),
        ("text", "left"),
        ("start", "right"),
        ("end", "right"),
    ):
        table.add_column(column, justify="right" if justify == "right" else "left")
    has_scores = any(span.score is not None for span in projection.spans)
    if has_scores:
        table.add_column("score", justify="right")
    has_attributes = any(o.attributes or o.mention.attributes for o in projection.outcomes)
    if has_attributes:
        table.add_column("attributes")
    table.add_column("outcome")
    for outcome in projection.outcomes:
        span = outcome.span
        surface = outcome.mention.text if span is None else projection.text[span.start : span.end]
        kind = Text(outcome.kind, style="green" if span is not None else "red")
        if outcome.repeats:
            kind.append(
                f" (again at {', '.join(str(repeat.start) for repeat in outcome.repeats)})",
                style="dim",
            )
        if outcome.reason:
            kind.append(f" ({printable(outcome.reason)})", style="dim")
        table.add_row(
            Text(printable(outcome.mention.label) if span is None else span.label),
            Text(printable(surface)),
            "" if span is None else str(span.start),
            "" if span is None else str(span.end),
            *([_score(span)] if has_scores else []),
            *([_attributes(span, outcome.attributes)] if has_attributes else []),
            kind,
        )
    out.print(table)
    out.print()


def _score(span: Span | None) -> str:
    return "" if span is None or span.score is None else f"{span.score:.3f}"


def _attributes(item: Span | TextLabel | None, outcomes: Sequence[AttributeOutcome]) -> Text:
    """The attributes of a span or of a label, and what the schema did not know of them."""
    values = {} if item is None else item.attributes
    shown = Text(printable(", ".join(f"{name}={value}" for name, value in values.items())))
    for outcome in outcomes:
        if outcome.kind not in ("exact", "normalized"):
            said = "" if outcome.said is None else f"={outcome.said}"
            kind = outcome.kind.replace("_", " ")
            shown.append(f"{' ' if shown else ''}{printable(outcome.name + said)} {kind}", "red")
    return shown


def _show_labels(out: Console, projection: Projection) -> None:
    """Print the labels of a whole text."""
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in ("label", "attributes", "evidence", "outcome"):
        table.add_column(column)
    for outcome in projection.label_outcomes:
        label = outcome.label
        spans = () if label is None else label.evidence
        surfaces = ", ".join(projection.text[span.start : span.end] for span in spans)
        table.add_row(
            Text(printable(outcome.mention.label if label is None else label.label)),
            _attributes(label, outcome.attributes),
            Text(printable(surfaces)),
            Text(outcome.kind.replace("_", " "), style="red" if label is None else "green"),
        )
    out.print(table)
    out.print()


def _show_spans(out: Console, projection: Projection) -> None:
    """Print the spans of a tagger, which have no outcomes."""
    table = plain_table("label", "text", "start", "end", "score")
    table.columns[1].justify = "left"
    for span in projection.spans:
        surface = printable(projection.text[span.start : span.end])
        score = "" if span.score is None else f"{span.score:.3f}"
        table.add_row(
            Text(printable(span.label)), Text(surface), str(span.start), str(span.end), score
        )
    out.print(table)
    out.print()


def show_explanations(
    out: Console, text: str, explanations: Sequence[Explanation], reason: str | None = None
) -> None:
    """Print for each label of a text how far its score falls without each word.

    Args:
        out: Where to print.
        text: The text.
        explanations: Those of its labels.
        reason: Why the text was picked, if it was.
    """
    if reason is not None:
        out.print(Text(f"picked by {printable(reason)}", "bold"))
    if not explanations:
        out.print(Text(printable(text)))
        out.print(Text("  nothing found, so there is nothing to explain", style="dim"))
        out.print()
        return
    for explanation in explanations:
        shown = Text()
        best = explanation.highlight
        position = 0
        for word in explanation.words:
            shown.append(printable(text[position : word.start]))
            style = _share_style(word.share, is_best=word == best)
            shown.append(printable(text[word.start : word.end]), style)
            position = word.end
        shown.append(printable(text[position:]))
        out.print(shown)
        item = explanation.label
        table = plain_table("", "share")
        name = printable(item.label)
        attributes = _attributes(item, ()).plain
        out.print(
            Text(
                f"  {name}{f' ({attributes})' if attributes else ''} {explanation.score:.3f}",
                "bold",
            )
        )
        for word in sorted(explanation.words, key=lambda word: -abs(word.share))[:_MOST_WORDS]:
            if abs(word.share) >= _LEAST_SHARE:
                table.add_row(Text(printable(text[word.start : word.end])), f"{word.share:+.3f}")
        out.print(table)
        out.print()


def _share_style(share: float, *, is_best: bool) -> str:
    if is_best:
        return "bold black on bright_yellow"
    return "underline" if share >= _UNDERLINED else ""


def show_evaluation(out: Console, evaluation: Evaluation) -> None:
    """Print one run: a table of labels and averages, the other figures, losses and signature."""
    from llmner.reports.figures import figure_lines, headline, is_about_texts, label_rows

    text_labels = evaluation.scores.others.get("text_labels")
    if text_labels is not None:
        _show_text_labels(out, evaluation, text_labels)
        _show_attribute_losses(out, evaluation, "texts")
        if is_about_texts(evaluation):
            _show_ending(out, evaluation)
            return
    table = plain_table("label", "precision", "recall", "f1", "95 % interval", "support")
    labels = len(evaluation.scores.per_label)
    for number, (name, precision, recall, f1, interval, support) in enumerate(
        label_rows(evaluation)
    ):
        if number == labels:
            table.add_section()
        table.add_row(
            Text(printable(name)),
            *(f"{value:.4f}" for value in (precision, recall, f1)),
            _interval(interval),
            str(support),
            style="bold" if name == "micro (seqeval)" else "",
        )
    out.print(table)
    figures = headline(evaluation)

    def print_figures(title: str, names: dict[str, str]) -> None:
        parts = [
            f"{name} {figures[key].value:.4f} {_interval(figures[key].interval)}".rstrip()
            for key, name in names.items()
            if key in figures
        ]
        if parts:
            out.print(Text(f"  {title:<12}{'   '.join(parts)}"))

    for title, names in figure_lines():
        print_figures(title, names)
    _show_losses(out, evaluation)
    _show_attribute_losses(out, evaluation, "spans")
    if evaluation.calibration is not None:
        calibration = evaluation.calibration
        out.print(
            f"  calibration  error {calibration.ece:.4f} over {calibration.scored} predictions "
            "with a confidence"
        )
    _show_ending(out, evaluation)


def _show_text_labels(out: Console, evaluation: Evaluation, scores: Mapping[str, Any]) -> None:
    """Print the figures of labels of whole texts."""
    table = plain_table(
        "label of the text", "precision", "recall", "f1", "95 % interval", "support"
    )
    for name, row in scores["per_label"].items():
        cells = [f"{row[part]:.4f}" for part in ("precision", "recall", "f1")]
        table.add_row(Text(printable(name)), *cells, "", str(row["support"]))
    table.add_section()
    for name in ("micro", "macro", "weighted", "pairs"):
        row = scores[name]
        cells = [f"{row[part]:.4f}" for part in ("precision", "recall", "f1")]
        interval = _interval(evaluation.intervals.get(f"text_labels.{name}.f1"))
        title = "with attributes" if name == "pairs" else name
        table.add_row(title, *cells, interval, "", style="bold" if name == "micro" else "")
    out.print(table)
    samples, exact = scores["samples"]["f1"], scores["exact_match"]
    out.print(f"  texts       mean F1 {samples:.4f}   all labels right {exact:.4f}")


def _show_ending(out: Console, evaluation: Evaluation) -> None:
    """Print how replies were read, and the signature."""
    from llmner.scoring import signature_line

    for title, counts in (("mentions", evaluation.outcomes), ("replies", evaluation.replies)):
        if counts:
            listed = ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)
            out.print(Text(f"  {title:<12}{listed or 'none'}"))
    # It is there to be copied, so it stays on one line.
    line = Text(f"  {printable(signature_line(evaluation.signature))}", style="dim")
    out.print(line, soft_wrap=True)


def plain_table(*columns: str) -> Table:
    """A table without borders: the first column is aligned left, the others right."""
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(
            Text(printable(column)), justify="right" if number else "left", overflow="fold"
        )
    return table


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.4f}, {interval[1]:.4f}]"


def _show_losses(out: Console, evaluation: Evaluation) -> None:
    from llmner.scoring import CAUSES

    breakdown = evaluation.breakdown
    if not breakdown.losses:
        return
    most = max(loss.f1_lost for loss in breakdown.losses)
    table = plain_table("where the F1 went", "not found", "wrong", "F1 lost", "F1 if mended", "")
    table.columns[-1].justify = "left"
    for loss in breakdown.losses:
        table.add_row(
            CAUSES[loss.cause][0],
            str(loss.missed),
            str(loss.wrong),
            f"{loss.f1_lost:.4f}",
            f"{loss.f1_mended:.4f}",
            "█" * max(1, round(20 * loss.f1_lost / most)),
        )
    out.print()
    out.print(table)
    ceilings = breakdown.ceilings
    out.print(
        f"  F1 with perfect projection {ceilings.projection:.4f}, "
        f"perfect labels {ceilings.labels:.4f}, perfect boundaries {ceilings.boundaries:.4f}"
    )
    out.print()


def _show_attribute_losses(out: Console, evaluation: Evaluation, of: str) -> None:
    """Print what wrong attributes cost, of spans or of labels of whole texts."""
    from llmner.scoring import ATTRIBUTE_CAUSES

    losses = [loss for loss in evaluation.attribute_losses if loss.of == of]
    if not losses:
        return
    table = plain_table("wrong attributes", "", "values", "F1 lost")
    table.columns[1].justify = "left"
    for loss in losses:
        table.add_row(
            Text(printable(loss.attribute)),
            ATTRIBUTE_CAUSES[loss.cause][0],
            str(loss.count),
            f"{loss.f1_lost:.4f}",
        )
    out.print()
    out.print(table)
    out.print()


def show_evaluations(
    out: Console, evaluations: Mapping[str, Evaluation], comparisons: Mapping[str, Comparison]
) -> None:
    """Print several runs side by side, and compare each with the first."""
    from llmner.reports.figures import FIGURES, headline
    from llmner.scoring import CAUSES, signature_line

    figures = {name: headline(run) for name, run in evaluations.items()}
    table = plain_table("F1", *evaluations)
    for key in next(iter(figures.values())):
        cells = [
            f"{run_figures[key].value:.4f} {_interval(run_figures[key].interval)}".rstrip()
            for run_figures in figures.values()
        ]
        table.add_row(FIGURES[key][0], *cells)
    table.add_section()
    for cause, (title, _) in CAUSES.items():
        losses = [
            next((loss.f1_lost for loss in run.breakdown.losses if loss.cause == cause), None)
            for run in evaluations.values()
        ]
        if any(losses):
            table.add_row(
                f"lost: {title}", *("" if value is None else f"{value:.4f}" for value in losses)
            )
    out.print(table)
    for name, comparison in comparisons.items():
        out.print()
        show_comparison(out, comparison, next(iter(evaluations)), name)
    for name, run in evaluations.items():
        line = Text(f"  {printable(name)}: {printable(signature_line(run.signature))}", style="dim")
        out.print(line, soft_wrap=True)


def show_models(
    out: Console,
    evaluations: Mapping[str, Evaluation],
    facts: Mapping[str, Facts],
    cited: Sequence[tuple[str, str]],
) -> None:
    """Print a column for each model: its figures on the same sentences, and its cost."""
    from llmner.reports.figures import MODEL_COLUMNS, model_rows

    rows = model_rows(evaluations, facts)
    table = plain_table("", *(row[0] for row in rows))
    for number, column in enumerate(MODEL_COLUMNS[1:], 1):
        table.add_row(column, *(row[number] for row in rows))
    out.print(table)
    for figures, source in cited:
        out.print(
            Text(f"  published elsewhere: {printable(figures)} ({printable(source)})", style="dim")
        )


def show_comparison(out: Console, comparison: Comparison, a: str, b: str) -> None:
    """Print each figure of two runs, their difference, its interval and p."""
    from llmner.reports.figures import FIGURES

    table = plain_table("figure", a, b, "difference", "95 % interval", "p")
    names = [
        *FIGURES,
        *(name for name in comparison.differences if re.match(r"per_label\..*\.f1$", name)),
    ]
    for name in names:
        difference = comparison.differences.get(name)
        if difference is not None:
            title = (
                FIGURES[name][0]
                if name in FIGURES
                else f"{name.split('.', 1)[1].removesuffix('.f1')} F1"
            )
            table.add_row(
                Text(printable(title)),
                f"{difference.a:.4f}",
                f"{difference.b:.4f}",
                f"{difference.difference:+.4f}",
                ""
                if difference.interval is None
                else f"[{difference.interval[0]:+.4f}, {difference.interval[1]:+.4f}]",
                f"{difference.p:.4f}",
            )
    out.print(table)
    out.print(
        Text(
            f"  {len(comparison.changes)} sentences changed: {printable(b)} is better on "
            f"{comparison.better}, worse on {comparison.worse}"
        )
    )


def show_wrong_sentences(out: Console, name: str, evaluation: Evaluation, limit: int) -> None:
    """Print the first ``limit`` sentences whose spans are not all right: gold, and what was found.

    Args:
        out: The console.
        name: The run's name.
        evaluation: The run.
        limit: How many sentences to print.
    """
    colours = _colours(evaluation.counts.labels)
    wrong = []
    for number, row in enumerate(evaluation.rows):
        gold, found = (
            {(span.start, span.end, span.label) for span in spans}
            for spans in (row.sentence.spans, row.prediction.spans)
        )
        if gold != found:
            wrong.append((number, row, len(gold - found), len(found - gold)))
    out.print()
    for number, row, missed, spurious in wrong[:limit]:
        what = f"{missed} missed, {spurious} wrong"
        if row.prediction.status == "unanswered":
            what += ", no answer"
        out.print(Text(f"{printable(row.name(number))}  {what}", style="dim"))
        for title, spans in (("gold", row.sentence.spans), (name, row.prediction.spans)):
            out.print(
                Text(f"  {printable(title)}: ", style="dim")
                + _coloured(row.sentence.text, spans, colours)
            )
    remaining = len(wrong) - min(limit, len(wrong))
    more = f"; {remaining} more (--show-wrong N shows more, --report FILE.html all)"
    total = len(evaluation.rows)
    out.print(
        Text(
            f"{len(wrong)} of {total} sentences are not all right{more if remaining else ''}",
            style="dim",
        )
    )


def show_changes(
    out: Console, comparison: Comparison, runs: Mapping[str, Evaluation], limit: int
) -> None:
    """Print the first ``limit`` changed sentences: gold spans, and those of each run."""
    first = next(iter(runs.values()))
    for change in comparison.changes[:limit]:
        row = first.rows[change.number]
        sentence = row.sentence
        colours = _colours(first.counts.labels)
        errors = " → ".join(map(str, change.errors))
        out.print(Text(f"{printable(row.name(change.number))}  errors {errors}", style="dim"))
        spans_by_name = {"gold": sentence.spans} | {
            name: run.rows[change.number].prediction.spans for name, run in runs.items()
        }
        for name, spans in spans_by_name.items():
            out.print(
                Text(f"  {printable(name)}: ", style="dim")
                + _coloured(sentence.text, spans, colours)
            )
    remaining = len(comparison.changes) - limit
    if remaining > 0:
        out.print(
            Text(f"and {remaining} more (--show N shows more, --report FILE.html all)", style="dim")
        )
