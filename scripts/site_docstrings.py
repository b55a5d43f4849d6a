"""Docstrings as the site shows them: examples as code, and names as names.

An extension of griffe, which reads the docstrings for the site.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|meth|data|mod|attr):`~?([\w.]+)`")
_SKIP = re.compile(r"\s*# doctest: [+\w, ]+$", re.MULTILINE)
_EXAMPLE = re.compile(r"^([ \t]*)>>> .*(?:\n(?![ \t]*$).*)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object, if it has one."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)


def shown(text: str) -> str:
    r"""A docstring with its examples in fences.

    >>> shown(":func:`~a.b`:\n\n>>> 1 + 1  # doctest: +SKIP\n2")
    '`a.b`:\n\n```pycon\n>>> 1 + 1\n2\n```'
    """

    def fenced(match: re.Match[str]) -> str:
        indent = match[1]
        example = _SKIP.sub("", match[0]).replace("<BLANKLINE>", "")
        return f"{indent}```pycon\n{example}\n{indent}```"

    return _EXAMPLE.sub(fenced, _ROLE.sub(r"`\1`", text))
