"""The reply formats, one module each; a format's module does everything that concerns it.

To add a format, write a module whose ``FORMAT`` is a :class:`ReplyFormat` and add it to the table
below. Modules with an underscore, here and in ``replies``, are shared by the formats.
"""

from __future__ import annotations

from llmner.replies.formats import json_by_type, json_list, lines, pairs, tagged
from llmner.replies.formats._format import ReplyFormat

__all__ = ["REPLY_FORMATS", "ReplyFormat"]

REPLY_FORMATS: dict[str, ReplyFormat] = {
    module.FORMAT.name: module.FORMAT for module in (json_by_type, json_list, tagged, lines, pairs)
}
"""The formats by name.

A reply that is not in the format that was asked for is tried by the readers in this order.

>>> list(REPLY_FORMATS)
['json-by-type', 'json-list', 'tagged', 'lines', 'pairs']
"""
