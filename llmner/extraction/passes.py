"""Several passes over a text: what was found is set aside, and the rest is asked about again.

A model that answers with the likeliest reply answers the same question alike each time. So what was
found is covered in the text, character by character, and offsets stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from llmner.extraction._extraction import Extraction
from llmner.extraction.extractor import Extractor
from llmner.extraction.merging import WindowReply
from llmner.extraction.windows import Window
from llmner.recipes import Recipe
from llmner.spans import Sentence

__all__ = ["PassesExtractor", "covered", "united"]

COVER: Final = "○"
"""What covers a character of what was found, as in 김○○."""


class PassesExtractor:
    """An extractor that asks again about what is left of each text.

    Texts in which nothing was found, or nothing new, are not asked about again: the question would
    be the same.

    Args:
        extractor: The extractor.
        passes: How often a text is asked about at most.
    """

    def __init__(self, extractor: Extractor, passes: int) -> None:
        self._extractor = extractor
        self.passes = passes
        self.batch_size = extractor.batch_size

    @property
    def recipe(self) -> Recipe:
        """What is asked."""
        return self._extractor.recipe

    def extract(self, sentences: Iterable[Sentence | str] | Sentence | str) -> Iterator[Extraction]:
        """Extract from every sentence, in order, a batch at a time."""
        stream = self._extractor.extract(sentences)
        while batch := list(islice(stream, self.batch_size)):
            waiting = list(range(len(batch)))
            for _ in range(self.passes - 1):
                waiting = [
                    number
                    for number in waiting
                    if batch[number].reply.error is None and batch[number].projection.spans
                ]
                texts = [covered(batch[number]) for number in waiting]
                changed = []
                for number, other in zip(waiting, self._extractor.extract(texts), strict=True):
                    joined = united(batch[number], other)
                    if len(joined.projection.spans) > len(batch[number].projection.spans):
                        changed.append(number)
                    batch[number] = joined
                waiting = changed
            yield from batch

    def describe(self) -> dict[str, Any]:
        """What the extractor says, and the number of passes."""
        return {**self._extractor.describe(), "passes": self.passes}


def covered(extraction: Extraction) -> Sentence:
    """The text with everything that was found in it covered.

    >>> from llmner.engines import Reply
    >>> from llmner.projection import project
    >>> text = "손흥민은 춘천에서"
    >>> covered(Extraction(Sentence(text), Reply(""), project(text, [("PS", "손흥민")]))).text
    '○○○은 춘천에서'
    """
    text = list(extraction.sentence.text)
    for span in extraction.projection.spans:
        text[span.start : span.end] = COVER * (span.end - span.start)
    return Sentence("".join(text), id=extraction.sentence.id)


def united(first: Extraction, other: Extraction) -> Extraction:
    """An extraction with what a further pass found in what was left.

    What reaches into something that was covered is left out, and so are mentions of the further
    pass that have no place: they may be of what was covered. ``windows`` has the answers of every
    pass, each about its range of the text.
    """
    taken = first.projection.spans
    new = [
        outcome
        for outcome in other.projection.outcomes
        if outcome.span is not None
        and not any(
            place.start < span.end and span.start < place.end
            for place in outcome.places
            for span in taken
        )
    ]
    projection = first.projection.with_outcomes([*first.projection.outcomes, *new])
    one, two = first.reply, other.reply
    reply = replace(
        one,
        text="\n".join(filter(None, (one.text, two.text))),
        finish_reason="length" if "length" in (one.finish_reason, two.finish_reason) else "stop",
        prompt_tokens=_sum(one.prompt_tokens, two.prompt_tokens),
        completion_tokens=_sum(one.completion_tokens, two.completion_tokens),
        tokens=None,
    )
    windows = (*_windows(first), *_windows(other))
    return replace(first, reply=reply, projection=projection, windows=windows, samples=())


def _windows(extraction: Extraction) -> tuple[WindowReply, ...]:
    """The answers about the windows of a text; that about the whole of a short one."""
    if extraction.windows:
        return extraction.windows
    length = len(extraction.sentence.text)
    whole = Window(0, length, 0, length)
    return (
        WindowReply(whole, extraction.reply, extraction.projection, samples=extraction.samples),
    )


def _sum(one: int | None, two: int | None) -> int | None:
    return one if two is None else two if one is None else one + two
