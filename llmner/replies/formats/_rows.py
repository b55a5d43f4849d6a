r"""What ``lines`` and ``pairs`` share: each mention is a row, with a tab between label and surface.

In a surface, ``\\``, ``\n``, ``\r`` and ``\t`` stand for the characters themselves and ``\s`` for a
space at either end, so that a mention is always one row. ``_lines`` reads rows in other styles.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmner.replies._clean import drop_end_of_turn
from llmner.replies._lines import unescape_line
from llmner.replies._types import NOTHING, Reading
from llmner.replies.formats._grammar import alternatives, mention_terminal, quoted
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = ["escape_line", "plain_rows", "read_rows", "rows_grammar", "rows_text", "whole_rows"]

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape_line(surface: str) -> str:
    """Escape a surface for a row.

    >>> escape_line("Ada\\tLovelace ")
    'Ada\\\\tLovelace\\\\s'
    """
    escaped = surface
    # The backslash comes first, so that it does not escape the backslashes of the others. Most
    # surfaces contain none of them.
    for char, escape in _ESCAPES.items():
        if char in escaped:
            escaped = escaped.replace(char, escape)
    if escaped[:1] == " ":
        escaped = "\\s" + escaped[1:]
    if escaped[-1:] == " ":
        escaped = escaped[:-1] + "\\s"
    return escaped


def rows_text(rows: Sequence[str]) -> str:
    """A reply of rows; :data:`NOTHING` if there are none."""
    return "\n".join(rows) or NOTHING


def plain_rows(reply: str) -> str | None:
    """A reply with plain line ends; ``None`` if something follows the last row.

    Its rows can be read as they are, even if a surface looks like brackets, a bullet or a word for
    nothing.
    """
    text = reply.replace("\r\n", "\n")
    return text if drop_end_of_turn(text, []) == text else None


def read_rows(
    format: str, reply: str, schema: LabelSchema, *, surface_first: bool
) -> Reading | None:
    """Read a reply of nothing but rows, with codes of the schema; ``None`` for any other.

    Args:
        format: The format's name.
        reply: The raw reply.
        schema: Its codes are the labels.
        surface_first: Whether the surface stands before the tab.
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
    """A reply that was cut off, without its last row: its surface or label may be incomplete."""
    return reply.rpartition("\n")[0]


def rows_grammar(row: str, text: str, codes: tuple[str, ...]) -> str:
    """The grammar of rows.

    Args:
        row: The rule for one row, made of ``label`` and ``MENTION``.
        text: The text that surfaces are parts of.
        codes: The label codes.
    """
    rules = [
        f'reply: {quoted(NOTHING)} | row ("\\n" row)*',
        f"row: {row}",
        f"label: {alternatives(codes)}",
    ]
    return "\n".join(rules) + "\n" + mention_terminal(text, lambda char: _ESCAPES.get(char, char))
