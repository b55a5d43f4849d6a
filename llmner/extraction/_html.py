"""An extraction as HTML for notebooks: its entities in colour, and every outcome, all escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from llmner._colours import LIGHT, label_colours

if TYPE_CHECKING:
    from llmner.extraction._extraction import Extraction

__all__ = ["extraction_html", "shorten"]

_MARK = "border-radius:.25em;padding:.1em .3em;color:#000;background:"


def shorten(text: str, width: int = 60) -> str:
    """A text on one line, its end left out if it is long.

    >>> shorten("one\\ntwo three", 7)
    'one tw…'
    """
    line = " ".join(text[: 4 * width].split())
    return line if len(line) <= width and len(text) <= 4 * width else f"{line[: width - 1]}…"


def extraction_html(extraction: Extraction) -> str:
    """The text with its spans marked, its labels, and a table of what became of each mention."""
    numbers = label_colours(span.label for span in extraction.spans)
    colours = {label: LIGHT[number] for label, number in numbers.items()}
    parts = []
    place = 0
    for span in extraction.spans:
        score = "" if span.score is None else f" {span.score:.2f}"
        values = "".join(f" {name}={value}" for name, value in span.attributes.items())
        parts += [
            escape(extraction.text[place : span.start]),
            f'<mark style="{_MARK}{colours[span.label]}">{escape(span.text or "")}'
            f" <small>{escape(f'{span.label}{score}{values}')}</small></mark>",
        ]
        place = span.end
    parts.append(escape(extraction.text[place:]))
    blocks = [f'<div style="white-space:pre-wrap;line-height:2">{"".join(parts)}</div>']
    if extraction.labels:
        shown = ", ".join(
            f"{label.label}"
            + "".join(f" {name}={value}" for name, value in label.attributes.items())
            for label in extraction.labels
        )
        blocks.append(f"<div>{escape(shown)}</div>")
    if extraction.reply.error is not None:
        blocks.append(f"<div>{escape(f'no answer: {extraction.reply.error}')}</div>")
    outcomes = [
        (
            outcome.mention.label,
            outcome.mention.text,
            outcome.kind.replace("_", " "),
            "" if outcome.span is None else f"{outcome.span.start}–{outcome.span.end}",
            outcome.reason,
        )
        for outcome in extraction.projection.outcomes
    ]
    if outcomes:
        blocks.append(_table(("label", "mention", "outcome", "place", "why"), outcomes))
    return "".join(blocks)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
