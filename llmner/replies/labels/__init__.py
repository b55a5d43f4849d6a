"""Replies about whole texts: which labels a text has, with their attributes and the words for it.

They are read by :func:`read_labels`, whatever the model wrote, and written and constrained by two
formats: ``labels`` (``디자인: 1, 배송: -1``) and ``json-list``, which also has room for evidence
and for attributes of any kind.
"""

from __future__ import annotations

from llmner.replies.labels._format import LabelFormat
from llmner.replies.labels._read import read_labels
from llmner.replies.labels.compact import FORMAT as _COMPACT
from llmner.replies.labels.json import FORMAT as _JSON
from llmner.schema import LabelSchema

__all__ = ["LABEL_FORMATS", "LabelFormat", "is_about_texts", "read_labels"]

LABEL_FORMATS: dict[str, LabelFormat] = {format.name: format for format in (_COMPACT, _JSON)}
"""The formats of replies about whole texts by name.

``json-list`` is also the name of a format for spans; a schema has labels of one kind.
"""


def is_about_texts(schema: LabelSchema | None) -> bool:
    """Whether replies name labels of whole texts, and no spans.

    >>> is_about_texts(LabelSchema.of("PS"))
    False
    """
    return schema is not None and bool(schema.text_labels) and not schema.labels
