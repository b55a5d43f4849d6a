"""How the tags of a whole file are spelled, and which scheme they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from llmner.tagging import OUTSIDE, Scheme, continued_tag, guess_scheme, usual_tags

__all__ = ["TagReading", "read_tags"]


@dataclass(frozen=True, slots=True)
class TagReading:
    """How to read the tags of a file.

    Attributes:
        names: Each tag of the file in its usual spelling.
        scheme: The scheme of the tags.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    scheme: Scheme = "iob2"

    def usual(self, tags: Iterable[str]) -> list[str]:
        """The tags of a sentence in their usual spelling; what is no tag stays as it is.

        >>> TagReading({"PS_B": "B-PS", "I": "I-"}).usual(["PS_B", "I"])
        ['B-PS', 'I-PS']
        """
        usual: list[str] = []
        for tag in tags:
            before = usual[-1] if usual else None
            usual.append(continued_tag(self.names.get(tag, tag), before))
        return usual


def read_tags(
    sentences: Callable[[], Iterable[Sequence[str]]], *, bare: bool, predicted: bool
) -> TagReading:
    """How to read the tags of a file.

    Args:
        sentences: Gives the tags of each sentence; called twice.
        bare: Whether labels alone may be tags. Equal ones side by side are one entity.
        predicted: Whether a tagger gave them.

    >>> read_tags(lambda: [["PS_B", "O"]], bare=False, predicted=False).scheme
    'iob2'
    """
    values = {tag for tags in sentences() for tag in tags}
    names = usual_tags(values | {OUTSIDE})
    if names is None and bare and (labels := usual_tags(values, bare=True)) is not None:
        return TagReading(labels, "iob1")
    if names is None:
        # Some value is no tag; the others are read by themselves.
        names = {value: name for value in values for name in (usual_tags([value]) or {}).values()}
    known = names
    scheme = guess_scheme(
        (known.get(tag, OUTSIDE) for tags in sentences() for tag in (*tags, OUTSIDE)),
        predicted=predicted,
    )
    return TagReading(names, scheme)
