"""The reply formats, one module each; a format's module does everything that concerns it.

To add a format, write a module whose ``FORMAT`` is a :class:`ReplyFormat`; nothing else is told of
it. Modules with an underscore, here and in ``replies``, are shared by the formats.
"""

from __future__ import annotations

from importlib import import_module

from llmner._plugins import own_modules
from llmner.replies.formats._format import ReplyFormat

__all__ = ["REPLY_FORMATS", "ReplyFormat"]

# A reply that is in no format that was asked for is tried by the readers in this order. Formats
# that are not named here come after, by name.
_ORDER = ("json_by_type", "json_list", "tagged", "lines", "pairs")


def _formats() -> dict[str, ReplyFormat]:
    names = own_modules(__path__, _ORDER)
    formats = [import_module(f"{__name__}.{name}").FORMAT for name in names]
    return {format.name: format for format in formats}


REPLY_FORMATS: dict[str, ReplyFormat] = _formats()
"""The formats by name.

A reply that is not in the format that was asked for is tried by the readers in this order.

>>> list(REPLY_FORMATS)
['json-by-type', 'json-list', 'tagged', 'lines', 'pairs']
"""
