"""Writing a reply: from a sentence and its spans to what a perfect model would answer."""

from __future__ import annotations

from llmner._shown import expected_one_of
from llmner.errors import UnknownNameError
from llmner.replies.formats import REPLY_FORMATS
from llmner.replies.labels import LABEL_FORMATS, is_about_texts
from llmner.schema import LabelSchema
from llmner.spans import Sentence

__all__ = ["render_reply"]


def render_reply(
    sentence: Sentence, format: str = "json-by-type", schema: LabelSchema | None = None
) -> str:
    """The reply that a perfect model would give. O(text + spans).

    ``tagged`` keeps every offset; ``json-list``, ``lines`` and ``pairs`` keep surfaces and their
    order; ``json-by-type`` keeps surfaces and their order within a label.

    Args:
        sentence: Text and gold spans.
        format: A name in :data:`REPLY_FORMATS` or :data:`LABEL_FORMATS`.
        schema: Orders the labels of ``json-by-type``; without it they come in the order of the
            text.

    Raises:
        UnknownNameError: There is no such format.

    >>> from llmner.spans import Span
    >>> sentence = Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")))
    >>> render_reply(sentence)
    '{"PS": ["손흥민"], "LC": ["춘천"]}'
    >>> render_reply(sentence, "tagged")
    '<손흥민:PS>은 <춘천:LC>에서'
    """
    about_texts = is_about_texts(schema) or format not in REPLY_FORMATS
    if about_texts and format in LABEL_FORMATS:
        return LABEL_FORMATS[format].write(sentence, schema)
    if format not in REPLY_FORMATS:
        raise UnknownNameError(
            f"unknown reply format {format!r}",
            hint=expected_one_of(format, sorted({*REPLY_FORMATS, *LABEL_FORMATS})),
        )
    return REPLY_FORMATS[format].write(sentence, schema)
