"""The reply formats' writing side: from a sentence and its spans to the text a model should answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llmner.errors import UnknownNameError
from llmner.markup import render_markup
from llmner.schema import LabelSchema
from llmner.spans import Sentence

__all__ = ["NOTHING", "REPLY_FORMATS", "Order", "ReplyFormat", "escape_line", "render_reply"]

Order = Literal["text", "label", "none"]
"""What the order of mentions tells: their order in the text, within each label only, or nothing."""

NOTHING = "-"
"""The whole ``lines`` or ``pairs`` reply for a sentence without entities; an empty one would say nothing."""


def _json_by_type(sentence: Sentence, schema: LabelSchema | None) -> str:
    codes = schema.codes if schema is not None else ()
    by_label: dict[str, list[str]] = {code: [] for code in codes}
    for span in sentence.spans:
        by_label.setdefault(span.label, []).append(sentence.surface(span))
    return json.dumps({label: found for label, found in by_label.items() if found}, ensure_ascii=False)


def _json_list(sentence: Sentence, schema: LabelSchema | None) -> str:
    return json.dumps(
        [{"label": span.label, "text": sentence.surface(span)} for span in sentence.spans], ensure_ascii=False
    )


def _tagged(sentence: Sentence, schema: LabelSchema | None) -> str:
    return render_markup(sentence.text, sentence.spans)


def _lines(sentence: Sentence, schema: LabelSchema | None) -> str:
    rows = [f"{span.label}\t{escape_line(sentence.surface(span))}" for span in sentence.spans]
    return "\n".join(rows) or NOTHING


def _pairs(sentence: Sentence, schema: LabelSchema | None) -> str:
    rows = [f"{escape_line(sentence.surface(span))}\t{span.label}" for span in sentence.spans]
    return "\n".join(rows) or NOTHING


def escape_line(surface: str) -> str:
    r"""A surface on one line: ``\\``, ``\n``, ``\r``, ``\t``, and ``\s`` for a space at either edge."""
    escaped = surface.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if escaped[:1] == " ":
        escaped = "\\s" + escaped[1:]
    if escaped[-1:] == " ":
        escaped = escaped[:-1] + "\\s"
    return escaped


@dataclass(frozen=True, slots=True)
class ReplyFormat:
    """One way of writing entities down.

    Attributes:
        name: Its name in recipes and on the command line.
        order: What the order of mentions in such a reply tells.
        write: From a sentence with gold spans to the reply; the schema orders the labels.
    """

    name: str
    order: Order
    write: Callable[[Sentence, LabelSchema | None], str]


REPLY_FORMATS: dict[str, ReplyFormat] = {
    format.name: format
    for format in (
        ReplyFormat("json-by-type", "label", _json_by_type),
        ReplyFormat("json-list", "text", _json_list),
        ReplyFormat("tagged", "text", _tagged),
        ReplyFormat("lines", "text", _lines),
        ReplyFormat("pairs", "text", _pairs),
    )
}


def render_reply(sentence: Sentence, format: str = "json-by-type", schema: LabelSchema | None = None) -> str:
    """The reply a perfect model would give. O(text + spans).

    ``tagged`` keeps every offset; ``json-list``, ``lines`` and ``pairs`` keep surfaces and their order;
    ``json-by-type`` keeps surfaces and their order within a label.

    Args:
        sentence: Text and gold spans.
        format: A name in :data:`REPLY_FORMATS`.
        schema: Orders the labels of ``json-by-type``; else they come as they appear.

    Raises:
        UnknownNameError: No such format.
    """
    if format not in REPLY_FORMATS:
        raise UnknownNameError(
            f"unknown reply format {format!r}", hint=f"expected one of {', '.join(sorted(REPLY_FORMATS))}"
        )
    return REPLY_FORMATS[format].write(sentence, schema)
