r"""What ``lines`` and ``pairs`` share: a row is a label, a tab and a surface, or the other way
round.

Surfaces have ``\\``, ``\n``, ``\r``, ``\t`` for the characters themselves, and ``\s`` for a space
at either edge, so that a mention is always one row. Rows in any other style are read by ``_lines``.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmner.replies._clean import drop_end_of_turn
from llmner.replies._lines import unescape_line
from llmner.replies._types import NOTHING, Reading
from llmner.replies.formats._grammar import alternatives, mention_terminal, quoted
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["escape_line", "read_rows", "rows_grammar", "rows_text", "settled_rows", "whole_rows"]

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape_line(surface: str) -> str:
    """A surface as it stands in a row."""
    escaped = surface
    # The backslash first, or it would escape the others' own; most surfaces hold none of them.
    for char, written in _ESCAPES.items():
        if char in escaped:
            escaped = escaped.replace(char, written)
    if escaped[:1] == " ":
        escaped = "\\s" + escaped[1:]
    if escaped[-1:] == " ":
        escaped = escaped[:-1] + "\\s"
    return escaped


def rows_text(rows: Sequence[str]) -> str:
    """Rows as a reply."""
    return "\n".join(rows) or NOTHING


def settled_rows(reply: str) -> str | None:
    """A reply as rows that need no guesses; ``None`` where something stands behind the last one.

    Such rows are read as they are, whatever their surfaces look like: brackets, bullets, a word for
    nothing.
    """
    rows = reply.replace("\r\n", "\n")
    return rows if drop_end_of_turn(rows, []) == rows else None


def read_rows(
    format: str, reply: str, schema: LabelSchema, *, surface_first: bool
) -> Reading | None:
    """What a reply says that has nothing but rows, and in them the schema's codes.

    Args:
        format: The format's name.
        reply: The raw reply.
        schema: Its codes are the labels.
        surface_first: Which side of the tab is the surface.
    """
    if reply == NOTHING:
        return Reading(format, ())
    codes = schema.codes
    mentions = []
    for line in reply.strip("\n").split("\n"):
        surface, tab, label = line.rpartition("\t") if surface_first else line.partition("\t")[::-1]
        if not tab or label not in codes or not surface.strip() or "\t" in surface:
            return None
        mentions.append(Mention(label, unescape_line(surface)))
    return Reading(format, tuple(mentions))


def whole_rows(reply: str) -> str:
    """A reply that was cut off, without its last row: its name or label may be half of one."""
    return reply.rpartition("\n")[0]


def rows_grammar(row: str, text: str, codes: tuple[str, ...]) -> str:
    """The grammar of rows.

    Args:
        row: The rule of one, of ``label`` and ``MENTION``.
        text: The text to name stretches of.
        codes: The labels.
    """
    rules = [
        f'reply: {quoted(NOTHING)} | row ("\\n" row)*',
        f"row: {row}",
        f"label: {alternatives(codes)}",
    ]
    return "\n".join(rules) + "\n" + mention_terminal(text, lambda char: _ESCAPES.get(char, char))
