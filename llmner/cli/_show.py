"""Entities for people: the text with entities in colour, and a table of what became of each mention.

Text from models and corpora goes in as plain text, never as console markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from llmner.projection import Projection
    from llmner.scoring import Evaluation

_COLOURS = (
    "bold black on bright_cyan",
    "bold black on bright_green",
    "bold black on bright_yellow",
    "bold black on bright_magenta",
    "bold white on blue",
    "bold black on bright_red",
    "bold black on white",
    "bold white on dark_green",
)


def console() -> Console:
    """Standard output. Wide when it is no terminal, so tables in files and pipes are not cut."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=120)


def _shown(text: str) -> str:
    """A text that any terminal can be given: half surrogate pairs and control characters replaced."""
    plain = text.encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() or char in " \n\u200d" else "\ufffd" for char in plain)


def show_projection(out: Console, projection: Projection, labels: Sequence[str], title: str | None) -> None:
    """One sentence: its text, its entities, and the outcome of every mention."""
    colours = {label: _COLOURS[at % len(_COLOURS)] for at, label in enumerate(labels)}
    text = Text()
    at = 0
    for span in projection.spans:
        text.append(_shown(projection.text[at : span.start]))
        colour = colours.get(span.label, "reverse")
        text.append(_shown(projection.text[span.start : span.end]), style=colour)
        text.append(f"[{span.label}]", style="dim")
        at = span.end
    text.append(_shown(projection.text[at:]))
    if title:
        out.print(Text(_shown(title), style="dim"))
    out.print(text)
    if not projection.outcomes:
        status = projection.reply.status if projection.reply is not None else "ok"
        out.print(Text("  no entities" if status in ("ok", "repaired") else f"  reply {status}", style="dim"))
        out.print()
        return
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column, justify in (("label", "left"), ("text", "left"), ("start", "right"), ("end", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    table.add_column("outcome")
    for outcome in projection.outcomes:
        place = outcome.span
        shown = outcome.mention.text if place is None else projection.text[place.start : place.end]
        kind = Text(outcome.kind, style="green" if place is not None else "red")
        if outcome.repeats:
            kind.append(f" (again at {', '.join(str(again.start) for again in outcome.repeats)})", style="dim")
        if outcome.reason:
            kind.append(f" ({_shown(outcome.reason)})", style="dim")
        table.add_row(
            Text(_shown(outcome.mention.label) if place is None else place.label),
            Text(_shown(shown)),
            "" if place is None else str(place.start),
            "" if place is None else str(place.end),
            kind,
        )
    out.print(table)
    out.print()


def show_evaluation(out: Console, evaluation: Evaluation) -> None:
    """The classification report, KLUE's pair, counts and signature."""
    scores = evaluation.scores
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("label", "precision", "recall", "f1", "support"):
        table.add_column(column, justify="left" if column == "label" else "right")
    for label, row in scores.per_label.items():
        table.add_row(
            Text(label), f"{row.precision:.4f}", f"{row.recall:.4f}", f"{row.f1:.4f}", str(row.support)
        )
    table.add_section()
    for name, figures in (("micro (seqeval)", scores.micro), ("micro (strict IOB2)", scores.strict)):
        table.add_row(
            name,
            f"{figures.precision:.4f}",
            f"{figures.recall:.4f}",
            f"{figures.f1:.4f}",
            str(scores.gold_spans),
            style="bold",
        )
    out.print(table)
    if scores.klue is not None:
        out.print(f"  KLUE  entity F1 {scores.klue.entity_f1:.4f}   character F1 {scores.klue.char_f1:.4f}")
    for name, counts in (("mentions", evaluation.outcomes), ("replies", evaluation.replies)):
        if counts:
            listed = ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)
            out.print(Text(f"  {name}  {listed or 'none'}"))
    out.print(Text("  " + signature_line(evaluation.signature), style="dim"))


def signature_line(signature: dict[str, object]) -> str:
    """The signature on one line: ``key:value|key:value``."""
    parts = []
    for key, value in signature.items():
        if isinstance(value, dict):
            value = ",".join(f"{k}={v}" for k, v in value.items() if v is not None)
        if value is not None:
            parts.append(f"{key}:{value}")
    return "|".join(parts)
