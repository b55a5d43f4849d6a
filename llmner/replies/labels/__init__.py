"""Replies about whole texts: which labels a text has, with their attributes and the words for it.

They are read by :func:`read_labels`, whatever the model wrote, and written and constrained by two
formats: ``labels`` (``디자인: 1, 배송: -1``) and ``labels-json``, which also has room for evidence
and for attributes of any kind.
"""

from __future__ import annotations

from llmner.replies.labels._format import LabelFormat
from llmner.replies.labels._read import read_labels
from llmner.replies.labels.compact import FORMAT as _COMPACT
from llmner.replies.labels.json import FORMAT as _JSON

__all__ = ["LABEL_FORMATS", "LabelFormat", "read_labels"]

LABEL_FORMATS: dict[str, LabelFormat] = {format.name: format for format in (_COMPACT, _JSON)}
"""The formats of replies about whole texts by name."""
