"""What networks are told of each character: itself, its neighbours, and its place in its word."""

from __future__ import annotations

from collections.abc import Sequence

from llmner.baselines._features import character_kind, folded

__all__ = ["VIEWS", "views"]

# The properties of each character that have embeddings, and the size of their vectors.
VIEWS: dict[str, int] = {
    "char": 100,
    "left": 48,
    "right": 48,
    "prefix": 40,
    "suffix": 40,
    "word": 20,
    "kind": 8,
    "place": 8,
}
_LONGEST = 8


def views(text: str, places: Sequence[int]) -> dict[str, list[str]]:
    """The values of all :data:`VIEWS` for each of ``places``.

    Args:
        text: The text.
        places: Offsets of its characters that are not white space.

    Returns:
        For each view, one string per place.

    >>> views("a bc", [0, 2, 3])["word"]
    ['a', 'bc', 'bc']
    """
    flat = folded(text)
    chars = [flat[place] for place in places]
    starts: list[int] = []
    for number, place in enumerate(places):
        new = number == 0 or place != places[number - 1] + 1
        starts.append(number if new else starts[-1])
    ends = [0] * len(places)
    for number in range(len(places) - 1, -1, -1):
        last = number + 1 == len(places) or starts[number + 1] == number + 1
        ends[number] = number + 1 if last else ends[number + 1]
    # White space counts as a neighbour.
    padded = f" {flat} "
    values: dict[str, list[str]] = {view: [] for view in VIEWS}
    for number, (place, start, end) in enumerate(zip(places, starts, ends, strict=True)):
        values["char"].append(chars[number])
        values["left"].append(padded[place : place + 2])
        values["right"].append(padded[place + 1 : place + 3])
        values["prefix"].append("".join(chars[max(start, number + 1 - _LONGEST) : number + 1]))
        values["suffix"].append("".join(chars[number : min(end, number + _LONGEST)]))
        values["word"].append("".join(chars[start : min(end, start + 2 * _LONGEST)]))
        values["kind"].append(character_kind(text[place]))
        values["place"].append(f"{min(number - start, 5)} {min(end - number, 5)}")
    return values
