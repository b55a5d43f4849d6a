"""The reply formats, one module each: a format's module has all that is ever done with it.

A new format is a module whose ``FORMAT`` is a :class:`ReplyFormat`, named in the table below. What
formats share stands in modules with an underscore, here and one floor up.
"""

from __future__ import annotations

from llmner.replies.formats import json_by_type, json_list, lines, pairs, tagged
from llmner.replies.formats._format import ReplyFormat

__all__ = ["REPLY_FORMATS", "ReplyFormat"]

REPLY_FORMATS: dict[str, ReplyFormat] = {
    module.FORMAT.name: module.FORMAT for module in (json_by_type, json_list, tagged, lines, pairs)
}
"""The formats by name. A reply in none that was asked for is tried by their readers in this order.
"""
