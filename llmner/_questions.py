"""What an engine is asked about texts: about each whole, or about windows of a long one.

How texts are split is ``windows``'; what becomes of the answers is ``_merging``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from llmner.chat import Prompt
from llmner.generation import Generator
from llmner.spans import Sentence
from llmner.windows import Window, halve_window, split_windows

__all__ = ["Question", "ask_about"]


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt.

    Attributes:
        sentence: The sentence asked about.
        prompt: What is asked; of a window the id is that of the sentence with ``#1``, ``#2``, ... behind it.
        window: The window of the sentence's text that the prompt holds.
        last: Whether no further question is asked about this sentence.
    """

    sentence: Sentence
    prompt: Prompt
    window: Window
    last: bool


def ask_about(
    sentences: Iterable[Sentence],
    build: Callable[[Sentence], Prompt],
    generator: Generator,
    size: int,
    overlap: int,
) -> Iterator[Question]:
    """Every question about the sentences, in order, made when it is wanted.

    Args:
        sentences: The sentences.
        build: Makes the prompt for a sentence.
        generator: Who will be asked, for its ``fits`` and ``whole_texts``.
        size: Longest window, in characters.
        overlap: Longest context on either side of a core, in characters.
    """
    whole_texts = getattr(generator, "whole_texts", False)
    fits = getattr(generator, "fits", None)
    checked = False
    for sentence in sentences:
        text = sentence.text
        if not checked and fits is not None and not fits(build(Sentence(""))):
            # Where not even an empty text fits, nothing is gained by splitting: the engine says what is wrong.
            fits = None
        checked = True
        if whole_texts:
            yield Question(sentence, build(sentence), Window.of(text), True)
            continue
        number = 0
        for window in split_windows(text, size, overlap):
            for part, prompt in _fitting(sentence, window, build, fits, overlap):
                number += 1
                if sentence.id is not None and part != Window.of(text):
                    prompt = replace(prompt, id=f"{sentence.id}#{number}")
                yield Question(sentence, prompt, part, part.core_end == len(text))


def _fitting(
    sentence: Sentence,
    window: Window,
    build: Callable[[Sentence], Prompt],
    fits: Callable[[Prompt], bool] | None,
    overlap: int,
) -> Iterator[tuple[Window, Prompt]]:
    """The window and its prompt, or smaller ones for the same core if that does not fit into the model."""
    text = sentence.text[window.start : window.end]
    prompt = build(Sentence(text, (), sentence.id))
    if fits is None or len(text) <= 1 or fits(prompt):
        yield window, prompt
        return
    for part in halve_window(sentence.text, window, overlap):
        yield from _fitting(sentence, part, build, fits, overlap)
