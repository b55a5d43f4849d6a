"""The writing side of all formats: from a sentence and its spans to the text a model should
answer.
"""

from __future__ import annotations

from llmner.errors import UnknownNameError
from llmner.replies.formats import REPLY_FORMATS
from llmner.schema import LabelSchema
from llmner.spans import Sentence

__all__ = ["render_reply"]


def render_reply(
    sentence: Sentence, format: str = "json-by-type", schema: LabelSchema | None = None
) -> str:
    """The reply a perfect model would give. O(text + spans).

    ``tagged`` keeps every offset; ``json-list``, ``lines`` and ``pairs`` keep surfaces and their
    order; ``json-by-type`` keeps surfaces and their order within a label.

    Args:
        sentence: Text and gold spans.
        format: A name in :data:`REPLY_FORMATS`.
        schema: Orders the labels of ``json-by-type``; else they come as they appear.

    Raises:
        UnknownNameError: No such format.
    """
    if format not in REPLY_FORMATS:
        raise UnknownNameError(
            f"unknown reply format {format!r}",
            hint=f"expected one of {', '.join(sorted(REPLY_FORMATS))}",
        )
    return REPLY_FORMATS[format].write(sentence, schema)
