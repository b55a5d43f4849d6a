"""What each repair of a reply means, in words for people."""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["REPAIRS"]

REPAIRS = MappingProxyType(
    {
        "bare-word": "a word without quotes was taken as a string",
        "brackets": "brackets of the wrong kind were taken for the right ones",
        "comment": "a comment was dropped",
        "drafts": "several answers were given; the last whole one counts",
        "duplicate-key": "a label stood twice, and both lists count",
        "end-of-turn": "an end-of-turn token was dropped",
        "escaped": "JSON inside a JSON string was unpacked",
        "fence": "a markdown fence was taken off",
        "format": "it came in another format than was asked for",
        "json-lines": "several JSON values make one answer",
        "label-name": "a label was called by another of its names",
        "labelled-string": "label and text stood in one string",
        "line-style": "lines were written in another style",
        "missing-colon": "a colon was missing",
        "missing-value": "a key had no value",
        "nested-list": "a list inside a list was flattened",
        "no-label": "an entity without a label was left out",
        "no-text": "a label without a text was left out",
        "none-word": "a word for nothing, such as 없음, names no entity",
        "null": "null was taken for nothing",
        "object-for-list": "an object stood where a list belongs",
        "offsets": "offsets in the reply were not used",
        "other-markup": "markup of another kind was read",
        "pair": "a label and its list stood side by side",
        "prose": "the text around the answer was left out",
        "python-literal": "Python's None, True or False were read",
        "quotes": "quotes were mended",
        "surface-keyed": "texts stood as keys, labels as values",
        "think": "the reasoning before the answer was taken off",
        "too-deep": "what was nested too deep was left out",
        "trailing-comma": "a comma too many was dropped",
        "truncated": "the reply was cut off",
        "unclosed-think": "reasoning that never ended was taken off",
        "unlabelled": "texts without a label were left out",
        "wrapped": "the answer stood inside another object",
    }
)
"""``ReadReply.repairs`` → a few words."""
