"""What each kind of repair of a reply means, in words for people."""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["REPAIRS"]

REPAIRS = MappingProxyType(
    {
        "bare-word": "a word without quotes was read as a string",
        "brackets": "brackets of the wrong kind were corrected",
        "comment": "a comment was dropped",
        "drafts": "several answers were given; the last complete one counts",
        "duplicate-key": "a label was listed twice; both lists count",
        "end-of-turn": "an end-of-turn token was dropped",
        "escaped": "JSON inside a JSON string was unpacked",
        "fence": "a Markdown fence was removed",
        "format": "the reply is in another format than the one asked for",
        "json-lines": "several JSON values were joined into one answer",
        "label-name": "a label was given by another of its names",
        "labelled-string": "a label and its text were in one string",
        "line-style": "lines were written in another style",
        "missing-colon": "a colon was missing",
        "missing-value": "a key had no value",
        "nested-list": "a list inside a list was flattened",
        "no-label": "an entity without a label was left out",
        "no-text": "a label without a text was left out",
        "none-word": "a word for nothing, such as 없음, was not read as an entity",
        "null": "null was read as no entity",
        "object-for-list": "an object was read as a list",
        "offsets": "offsets in the reply were ignored",
        "other-markup": "another kind of markup was read",
        "pair": "a label and its list were given side by side",
        "prose": "the text around the answer was left out",
        "python-literal": "Python's None, True or False was read",
        "quotes": "quotes were corrected",
        "surface-keyed": "texts were keys, with labels as their values",
        "think": "the reasoning before the answer was removed",
        "too-deep": "values that were nested too deeply were left out",
        "trailing-comma": "a superfluous comma was dropped",
        "truncated": "the reply was cut off",
        "unclosed-think": "reasoning that never ended was removed",
        "unlabelled": "texts without a label were left out",
        "wrapped": "the answer was inside another object",
    }
)
"""Explains the kinds of repair in :attr:`ReadReply.repairs`, each in a few words.

>>> REPAIRS["trailing-comma"]
'a superfluous comma was dropped'
"""
