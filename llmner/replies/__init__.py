"""Replies: what a model should answer, and what is made of what it did answer.

:func:`render_reply` writes the answer that spans deserve; :func:`read_reply` reads any string a
model may send into mentions, salvaging what is damaged. Each format is one module of ``formats``,
which has both and all else that is done with it. Where a mention stands in the text is
``projection``'s to find.
"""

from llmner.replies._read import find_places, read_exact, read_reply
from llmner.replies._render import render_reply
from llmner.replies._repairs import REPAIRS
from llmner.replies._types import NOTHING, Order, Place, ReadReply, Status
from llmner.replies.formats import REPLY_FORMATS, ReplyFormat

__all__ = [
    "NOTHING",
    "REPAIRS",
    "REPLY_FORMATS",
    "Order",
    "Place",
    "ReadReply",
    "ReplyFormat",
    "Status",
    "find_places",
    "read_exact",
    "read_reply",
    "render_reply",
]
