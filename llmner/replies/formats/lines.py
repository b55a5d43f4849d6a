"""``lines``: one row for each mention, with the label first, ``PS<TAB>손흥민``."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.replies._lines import read_lines
from llmner.replies._places import label_before, places_of
from llmner.replies._types import Place, Reading
from llmner.replies.formats._format import ReplyFormat
from llmner.replies.formats._rows import (
    escape_line,
    plain_rows,
    read_rows,
    rows_grammar,
    rows_text,
    whole_rows,
)
from llmner.schema import LabelSchema
from llmner.spans import Mention, Sentence

__all__ = ["FORMAT"]


def _write(sentence: Sentence, schema: LabelSchema | None) -> str:
    return rows_text(
        [f"{span.label}\t{escape_line(sentence.surface(span))}" for span in sentence.spans]
    )


def _read_exact(reply: str, schema: LabelSchema) -> Reading | None:
    return read_rows("lines", reply, schema, surface_first=False)


def _read_sure(reply: str, schema: LabelSchema) -> Reading | None:
    rows = plain_rows(reply)
    return None if rows is None else _read_exact(rows, schema)


def _places(reply: str, mentions: Sequence[Mention]) -> list[Place | None]:
    return places_of(
        reply, mentions, lambda surface: ("\t", escape_line(surface), ""), label_before
    )


def _grammar(text: str, schema: LabelSchema) -> str:
    return rows_grammar('label "\\t" MENTION', text, schema)


FORMAT = ReplyFormat(
    name="lines",
    order="text",
    write=_write,
    read_exact=_read_exact,
    read=read_lines,
    places=_places,
    grammar=_grammar,
    read_sure=_read_sure,
    whole_part=whole_rows,
)
