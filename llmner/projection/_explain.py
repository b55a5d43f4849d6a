"""A projection told to a person: where every mention went, and why. The only module that has
words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llmner.languages import Reason
from llmner.projection._outcome import Outcome
from llmner.replies import ReadReply
from llmner.spans import Span

__all__ = ["explain", "in_words"]

# Kind of reason → its words. What is not listed, a language's own kinds among it, says its kind and
# its text.
_WORDS: Final = {
    "edges": "edges",
    "first places": "only the first {} places are looked at",
    "near": "near {!r}",
    "no label": "no label {!r}",
    "not in the text": "not in the text",
    "other spelling": "another spelling",
    "places held": "its places are held by other mentions",
    "same quantity": "the same quantity",
    "some placed": "{} placed, other places are held by other mentions",
    "the text has it": "the text has it {}",
    "white space": "nothing but white space",
}


def in_words(reasons: Sequence[Reason]) -> str:
    """Why a place is not to the letter what was said, or why there is none; empty for no reason.

    >>> in_words([Reason("particle", "에게"), Reason("title", "씨")])
    'particle 에게, title 씨'
    """
    return ", ".join(
        _WORDS[kind].format(text) if kind in _WORDS else f"{kind} {text}" for kind, text in reasons
    )


def explain(
    text: str, spans: Sequence[Span], outcomes: Sequence[Outcome], read: ReadReply | None
) -> str:
    """The text with its spans marked, then a line for each mention.

    Args:
        text: The text.
        spans: Its spans.
        outcomes: What became of each mention.
        read: How the reply was read, if there was one.
    """
    lines = [_marked(text, spans)]
    if read is not None:
        repairs = f"; repaired: {', '.join(read.repairs)}" if read.repairs else ""
        lines.append(f"reply: {read.status}, {read.format or 'no format'}{repairs}")
    if not outcomes:
        lines.append("no mentions")
    lines += _aligned([_row(text, outcome) for outcome in outcomes])
    return "\n".join(lines)


def _marked(text: str, spans: Sequence[Span]) -> str:
    parts: list[str] = []
    at = 0
    for span in spans:
        parts += [text[at : span.start], "[", text[span.start : span.end], f"]{span.label}"]
        at = span.end
    return _printable("".join([*parts, text[at:]]))


def _row(text: str, outcome: Outcome) -> tuple[str, ...]:
    """Label, what was said, what stands there, where, and what was done."""
    span = outcome.span
    said = _printable(outcome.mention.text)
    how: str = outcome.kind
    if outcome.kind == "fuzzy":
        how += f" {outcome.similarity:.2f}"
    if outcome.reason:
        how += f": {_printable(outcome.reason)}"
    if outcome.repeats:
        how += f"; again at {', '.join(str(again.start) for again in outcome.repeats)}"
    if span is None:
        return _printable(outcome.mention.label), said, "-", "", how
    return (
        _printable(span.label),
        said,
        _printable(text[span.start : span.end]),
        f"{span.start}-{span.end}",
        how,
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as columns; Hangul is two cells wide in a terminal."""
    from rich.cells import cell_len

    widths = [max((cell_len(row[column]) for row in rows), default=0) for column in range(4)]
    return [
        "  ".join(
            [
                *(
                    cell + " " * (width - cell_len(cell))
                    for cell, width in zip(row, widths, strict=False)
                ),
                row[-1],
            ]
        )
        for row in rows
    ]


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
