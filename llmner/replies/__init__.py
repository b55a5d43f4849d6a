"""Replies: what a model should answer, and what is made of what it did answer.

:func:`render_reply` writes the answer that spans deserve; :func:`read_reply` reads any string a model
may send into mentions, salvaging what is damaged. Where a mention stands in the text is
``projection``'s to find.
"""

from llmner.replies._places import Place, find_places
from llmner.replies._read import ReadReply, Status, read_exact, read_reply
from llmner.replies._render import NOTHING, REPLY_FORMATS, Order, ReplyFormat, render_reply
from llmner.replies._repairs import REPAIRS

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
