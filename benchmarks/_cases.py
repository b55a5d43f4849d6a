"""Handed rows of the kinds that models really give, and how answers to them are judged.

A row has a text, what a model claimed of it (mentions, or a raw reply), and the spans that are
right; some rows accept several answers. Controls look like the other rows of their kind, but the
plain reading is right.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _report import ROOT

from llmner.recipes import Recipe
from llmner.schema import LabelSchema
from llmner.spans import Mention, Span

__all__ = ["HANDED", "OWN", "Row", "judge", "markdown", "read_rows"]

OWN = ROOT / "data" / "cases"
HANDED = ROOT / "tests" / "cases"


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        kind: What is special about it.
        control: Whether it only looks so.
        text: The text.
        schema: The labels.
        mentions: What was claimed, of rows of claims.
        reply: The raw reply, of rows of replies.
        format: The reply format that was asked for.
        accepted: The answers that are right.
    """

    kind: str
    control: bool
    text: str
    schema: LabelSchema
    mentions: tuple[Mention, ...]
    reply: str
    format: str
    accepted: tuple[frozenset[Span], ...]


def read_rows(path: Path) -> list[Row]:
    """The rows of a file of claims or of replies."""
    schemas: dict[str, LabelSchema] = {}
    found = []
    for line in filter(None, path.read_text(encoding="utf-8").split("\n")):
        row = json.loads(line)
        labels = row["labels"]
        if labels not in schemas:
            schemas[labels] = _schema(labels, path.parent)
        answers = row.get("accept", [row.get("expected", [])])
        found.append(
            Row(
                row["kind"],
                row.get("control", False),
                row["text"],
                schemas[labels],
                tuple(
                    Mention(mention["label"], mention["text"])
                    for mention in row.get("mentions", ())
                ),
                row.get("reply", ""),
                row.get("format", "auto"),
                tuple(
                    frozenset(Span(span["start"], span["end"], span["label"]) for span in spans)
                    for spans in answers
                ),
            )
        )
    return found


def _schema(labels: str, folder: Path) -> LabelSchema:
    if labels == "one":
        return LabelSchema.of("PERSON")
    own = folder / f"labels-{labels}.yaml"
    return Recipe.load(str(own) if own.is_file() else labels).schema_


def judge(rows: Sequence[Row], answer: Callable[[Row], Collection[Span]]) -> dict[str, Any]:
    """How many rows and controls are right, by kind too, with micro F1 and times.

    A row is right if its spans are one of the accepted answers, whole. F1 is over the accepted
    answer that is nearest. Times are of one pass, each row once.
    """
    right: Counter[tuple[str, bool]] = Counter()
    totals: Counter[tuple[str, bool]] = Counter()
    seconds: list[float] = []
    hits = spans_in_all = 0
    for row in rows:
        started = time.perf_counter()
        found = answer(row)
        seconds.append(time.perf_counter() - started)
        spans = frozenset(Span(span.start, span.end, span.label) for span in found)
        nearest = max(row.accepted, key=lambda wanted: _f1(spans, wanted))
        hits += len(spans & nearest)
        spans_in_all += len(spans) + len(nearest)
        totals[row.kind, row.control] += 1
        right[row.kind, row.control] += spans == nearest

    def share(kinds: Iterable[str], control: bool) -> str:
        keys = [(kind, control) for kind in kinds]
        return f"{sum(right[key] for key in keys)}/{sum(totals[key] for key in keys)}"

    kinds = sorted({row.kind for row in rows})
    return {
        "rows": share(kinds, False),
        "controls": share(kinds, True),
        "f1": round(2 * hits / max(1, spans_in_all), 5),
        "mean_microseconds": round(statistics.mean(seconds) * 1e6, 1),
        "median_microseconds": round(statistics.median(seconds) * 1e6, 1),
        "by_kind": {
            kind: {"rows": share([kind], False), "controls": share([kind], True)} for kind in kinds
        },
    }


def _f1(spans: frozenset[Span], wanted: frozenset[Span]) -> float:
    return 2 * len(spans & wanted) / (len(spans) + len(wanted)) if spans or wanted else 1.0


def markdown(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """What :func:`judge` found of each competitor, as a table: rows, then controls."""
    first = next(iter(measured.values()))
    lines = [f"| | {' | '.join(measured)} |", f"|---|{'---|' * len(measured)}"]

    def both(counted: Mapping[str, str]) -> str:
        some = not counted["controls"].endswith("/0")
        return f"{counted['rows']}, {counted['controls']}" if some else counted["rows"]

    for kind in first["by_kind"]:
        cells = [both(row["by_kind"][kind]) for row in measured.values()]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    for title, cells in (
        ("all kinds", [both(row) for row in measured.values()]),
        ("micro F1 × 100", [f"{row['f1'] * 100:.2f}" for row in measured.values()]),
        ("median microseconds", [f"{row['median_microseconds']:.0f}" for row in measured.values()]),
    ):
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)
