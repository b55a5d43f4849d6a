r"""What ``lines`` and ``pairs`` share: each mention is a row, with a tab between label and surface.

In a surface, ``\\``, ``\n``, ``\r`` and ``\t`` stand for the characters themselves and ``\s`` for a
space at either end, so that a mention is always one row. Attributes follow the label of a pair in
the schema's order, ``-`` for one that the mention lacks. ``_lines`` reads rows in other styles.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llmner.attributes import Attribute
from llmner.replies._clean import drop_end_of_turn
from llmner.replies._lines import unescape_line
from llmner.replies._types import NOTHING, Reading
from llmner.replies.formats._grammar import alternatives, mention_terminal, quoted
from llmner.schema import LabelSchema
from llmner.spans import Mention

__all__ = [
    "cell_of",
    "escape_line",
    "plain_rows",
    "read_rows",
    "rows_grammar",
    "rows_text",
    "whole_rows",
]

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
        surface_first: Whether the surface stands before the tab. Attributes follow the label then.
    """
    if reply == NOTHING:
        return Reading(format, ())
    codes = schema.codes
    mentions = []
    for line in reply.strip("\n").split("\n"):
        if surface_first and schema.has_attributes:
            mention = _row_with_attributes(line, schema)
            if mention is None:
                return None
            mentions.append(mention)
            continue
        surface, tab, label = line.rpartition("\t") if surface_first else line.partition("\t")[::-1]
        if not tab or label not in codes or not surface.strip() or "\t" in surface:
            return None
        mentions.append(Mention(label, unescape_line(surface)))
    return Reading(format, tuple(mentions))


def cell_of(value: Any) -> str:
    """A value of an attribute as a row has it: :data:`NOTHING` for none, JSON for several.

    >>> cell_of("positive"), cell_of(None), cell_of(["a", "b"])
    ('positive', '-', '["a", "b"]')
    """
    if value is None:
        return NOTHING
    return escape_line(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value_of(cell: str, attribute: Attribute) -> Any:
    """The value in a cell.

    Raises:
        ValueError: The cell holds none that the attribute can have.
    """
    if attribute.several or not attribute.has_texts:
        return json.loads(cell)
    return unescape_line(cell)


def _row_with_attributes(line: str, schema: LabelSchema) -> Mention | None:
    surface, *rest = line.split("\t")
    label = schema.by_code.get(rest[0]) if rest else None
    if label is None or not surface.strip() or len(rest) != 1 + len(label.attributes):
        return None
    try:
        attributes = {
            name: _value_of(cell, attribute)
            for cell, (name, attribute) in zip(rest[1:], label.attributes.items(), strict=True)
            if cell != NOTHING
        }
    except ValueError:
        return None
    return Mention(label.code, unescape_line(surface), attributes)


def whole_rows(reply: str) -> str:
    """A reply that was cut off, without its last row: its surface or label may be incomplete."""
    return reply.rpartition("\n")[0]


def rows_grammar(row: str, text: str, schema: LabelSchema, terminals: str = "") -> str:
    """The grammar of rows.

    Args:
        row: The rule for one row, made of ``label`` and ``MENTION``.
        text: The text that surfaces are parts of.
        schema: The labels.
        terminals: Other terminals that the row is made of.
    """
    rules = [f'reply: {quoted(NOTHING)} | row ("\\n" row)*', f"row: {row}"]
    if "label" in row.split():
        rules.append(f"label: {alternatives(schema.codes)}")
    mention = mention_terminal(text, lambda char: _ESCAPES.get(char, char))
    return "\n".join(rules) + "\n" + terminals + mention
