"""``pairs``: one row for each mention, with the surface first, ``손흥민<TAB>PS``.

The label's attributes follow in the schema's order, ``food<TAB>TERM<TAB>positive``.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmner.attributes import Attribute
from llmner.replies._lines import read_lines
from llmner.replies._places import label_after, places_of
from llmner.replies._types import NOTHING, Place, Reading
from llmner.replies.formats._attributes import value_grammar, value_rules
from llmner.replies.formats._format import ReplyFormat
from llmner.replies.formats._grammar import quoted
from llmner.replies.formats._rows import (
    cell_of,
    escape_line,
    plain_rows,
    read_rows,
    rows_grammar,
    rows_text,
    whole_rows,
)
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence, Span

__all__ = ["FORMAT"]

_PLAIN_TEXT = "CELL_TEXT: /[^ \\\\\\t\\n]([^\\\\\\t\\n]{0,198}[^ \\\\\\t\\n])?/\n"


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    return rows_text([_row(sentence.surface(span), span, schema) for span in sentence.spans])


def _row(surface: str, span: Span, schema: LabelSchema | None) -> str:
    label = None if schema is None else schema.by_code.get(span.label)
    names = () if label is None else label.attributes
    cells = [cell_of(span.attributes.get(name)) for name in names]
    return "\t".join([escape_line(surface), span.label, *cells])


def _read_exact(reply: str, schema: LabelSchema) -> Reading | None:
    return read_rows("pairs", reply, schema, surface_first=True)


def _read_sure(reply: str, schema: LabelSchema) -> Reading | None:
    rows = plain_rows(reply)
    return None if rows is None else _read_exact(rows, schema)


def _places(reply: str, mentions: Sequence[Mention]) -> list[Place | None]:
    return places_of(reply, mentions, lambda surface: ("", escape_line(surface), "\t"), label_after)


def _grammar(text: str, schema: LabelSchema) -> str:
    if not schema.has_attributes:
        return rows_grammar('MENTION "\\t" label', text, schema)
    rows = [
        " ".join([quoted(f"\t{label.code}"), *map(_cell, label.attributes.values())])
        for label in schema.labels
    ]
    terminals = _PLAIN_TEXT + value_rules(schema.labels)
    return rows_grammar(f"MENTION ({' | '.join(rows)})", text, schema, terminals)


def _cell(attribute: Attribute) -> str:
    """What a cell with an attribute's value may be."""
    if attribute.several or not (attribute.values or attribute.type == "text"):
        value = value_grammar(attribute)
    elif attribute.values:
        value = "(" + " | ".join(quoted(cell_of(code)) for code in attribute.codes) + ")"
    else:
        value = "CELL_TEXT"
    if attribute.required:
        return f"{quoted(chr(9))} {value}"
    return f"{quoted(chr(9))} ({value} | {quoted(NOTHING)})"


FORMAT = ReplyFormat(
    name="pairs",
    order="text",
    write=_write,
    read_exact=_read_exact,
    read=read_lines,
    places=_places,
    grammar=_grammar,
    read_sure=_read_sure,
    whole_part=whole_rows,
    holds_attributes=True,
)
