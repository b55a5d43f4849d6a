"""Replies: writing what a model should answer, and reading what it did answer.

:func:`render_reply` writes the right answer for a sentence with spans. :func:`read_reply` reads any
string that a model may send, damaged or not, and gives its mentions. Each reply format is one
module of ``formats``, or of ``labels`` if it is about whole texts. ``projection`` finds the
mentions in the text.
"""

from llmner.replies._read import find_places, read_exact, read_reply
from llmner.replies._render import render_reply
from llmner.replies._repairs import REPAIRS
from llmner.replies._types import NOTHING, Order, Place, ReadReply, Status
from llmner.replies.formats import REPLY_FORMATS, ReplyFormat
from llmner.replies.labels import LABEL_FORMATS, LabelFormat, is_about_texts, read_labels

__all__ = [
    "LABEL_FORMATS",
    "NOTHING",
    "REPAIRS",
    "REPLY_FORMATS",
    "LabelFormat",
    "Order",
    "Place",
    "ReadReply",
    "ReplyFormat",
    "Status",
    "find_places",
    "is_about_texts",
    "read_exact",
    "read_labels",
    "read_reply",
    "render_reply",
]
