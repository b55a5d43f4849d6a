"""What each kind of repair of a reply means, in words for people."""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["REPAIRS"]

REPAIRS = MappingProxyType(
    {
        "bare-word": "a word without quotes was read as a string",
        "calls": "code that makes entities was read",
        "brackets": "brackets of the wrong kind were corrected",
        "comment": "a comment was dropped",
        "control-character": "a line break inside a string was read",
        "drafts": "several answers were given; the last complete one counts",
        "duplicate-key": "a label was listed twice; both lists count",
        "end-of-turn": "an end-of-turn token was dropped",
        "escaped": "JSON inside a JSON string was unpacked",
        "fence": "a Markdown fence was removed",
        "format": "the reply is in another format than the one asked for",
        "joined": "several texts in one string were taken apart",
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
        "numbering": "the numbering of a list was dropped",
        "object-for-list": "an object was read as a list",
        "offsets": "offsets in the reply were ignored",
        "one-label": "texts without a label got the only one",
        "other-markup": "another kind of markup was read",
        "other-text": "the reply repeats another text than the one it was asked about",
        "pair": "a label and its list were given side by side",
        "prose": "the text around the answer was left out",
        "python-literal": "Python's None, True or False was read",
        "quotes": "quotes were corrected",
        "records": "records of fields were read",
        "surface-keyed": "texts were keys, with labels as their values",
        "syntax": "damaged JSON was read",
        "table": "a table was read",
        "tags": "tokens with BIO tags were joined",
        "think": "the reasoning before the answer was removed",
        "too-deep": "values that were nested too deeply were left out",
        "tool-call": "what a tool was called with was read",
        "trailing-comma": "a superfluous comma was dropped",
        "truncated": "the reply was cut off",
        "unclosed-think": "reasoning that never ended was removed",
        "unlabelled": "texts without a label were left out",
        "wrapped": "the answer was inside another object",
        "xml": "XML was read",
    }
)
"""Explains the kinds of repair in :attr:`ReadReply.repairs`, each in a few words.

>>> REPAIRS["trailing-comma"]
'a superfluous comma was dropped'
"""
