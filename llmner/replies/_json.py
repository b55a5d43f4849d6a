"""Finding the JSON in a reply, in linear time.

A value is parsed strictly if that is possible, else by the forgiving parser of ``_json_lenient``.
Neither knows what the values mean; ``_interpret`` does.
"""

from __future__ import annotations

import json
import re
from typing import Any

from llmner._budget import UNBOUNDED, Budget
from llmner.replies._json_lenient import LenientParser, ScanState
from llmner.replies._json_values import MAX_DEPTH, Number, Pairs, ParsedValue
from llmner.replies._source import SourceText

__all__ = ["find_values", "is_too_deep"]

# The strict parser is first given so many characters.
_FIRST_PIECE = 1024
# So many characters are read in the time of one step of the budget.
_CHARACTERS_PER_STEP = 16
_START = re.compile(r"[{\[｛［]")

_HOOKS: dict[str, Any] = {
    "object_pairs_hook": Pairs,
    "parse_int": Number,
    "parse_float": Number,
    "parse_constant": lambda raw: None,
}
_DECODER = json.JSONDecoder(**_HOOKS)
# The same, but strings may contain line breaks.
_LOOSE_DECODER = json.JSONDecoder(strict=False, **_HOOKS)


def find_values(
    text: str,
    budget: Budget = UNBOUNDED,
    source: SourceText | None = None,
    most: int | None = None,
) -> list[ParsedValue]:
    """Every top-level object or list in ``text``, or the first ``most``, in order. Linear in the
    text.

    Raises:
        WorkLimitError: The budget is used up.
    """
    values: list[ParsedValue] = []
    position = 0
    # Made for the first value that is not valid JSON; most replies have none.
    state: ScanState | None = None
    while len(values) != most and (match := _START.search(text, position)) is not None:
        start = match.start()
        # After the first failure nothing is parsed strictly any more: failing at every bracket
        # would not be linear.
        value = _parse_strictly(text, start) if state is None else None
        if value is None:
            is_first = state is None
            state = state or ScanState(text, source)
            value = LenientParser(state, start, budget).parse()
            if is_first:
                value.repairs = value.repairs or ["syntax"]
        values.append(value)
        position = max(value.end, start + 1)
        if budget is not UNBOUNDED:
            budget.spend(8 + (position - start) // _CHARACTERS_PER_STEP)
    return values


def _parse_strictly(text: str, start: int) -> ParsedValue | None:
    """The valid JSON value that begins at ``start``, if there is one. O(its length).

    When ``json`` fails it reads the whole text before the error, to find the line number. So it is
    given a short piece of the text first, and then pieces four times as long.
    """
    size = _FIRST_PIECE
    while True:
        piece = text[start : start + size] if start or size < len(text) else text
        for decoder, repairs in ((_DECODER, []), (_LOOSE_DECODER, ["control-character"])):
            try:
                value, length = decoder.raw_decode(piece)
            except (ValueError, RecursionError):
                continue
            if length > MAX_DEPTH and is_too_deep(value):
                return None
            return ParsedValue(value, start, start + length, repairs=repairs)
        if start + size >= len(text):
            return None
        size *= 4


def is_too_deep(value: Any, most: int = MAX_DEPTH) -> bool:
    """Whether a value is nested too deep for readers, which descend by recursion.

    The lenient parser cuts such values off.
    """
    level = [value]
    for _ in range(most):
        level = [
            child
            for parent in level
            for child in ([v for _, v in parent] if isinstance(parent, Pairs) else parent)
            if isinstance(child, list)
        ]
        if not level:
            return False
    return True
