"""Votes on attributes, among samples and among windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["voted_attributes"]


def voted_attributes(holders: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The attributes that most of several answers have; of equals, the first.

    >>> voted_attributes([{"tone": "good"}, {"tone": "bad"}, {"tone": "bad"}])
    {'tone': 'bad'}
    """
    voted: dict[str, Any] = {}
    for name in dict.fromkeys(name for attributes in holders for name in attributes):
        values = [attributes.get(name) for attributes in holders]
        keys = [repr(value) for value in values]
        most = max(keys, key=keys.count)
        if values[keys.index(most)] is not None:
            voted[name] = values[keys.index(most)]
    return voted
