"""What an engine is asked about texts, about each whole or about windows of a long one; and its
answers.

How texts are split is ``windows``'; what becomes of the answers is ``_merging``'s. A text that
cannot be asked about, for whatever reason, has a mishap in place of its prompt, or an error in
place of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from llmner._mishaps import Mishap, attempt
from llmner.engines import Engine, Reply
from llmner.engines._types import PLAIN_QUESTION
from llmner.errors import GenerationError, LlmnerError
from llmner.extraction.windows import Window, halve_window, split_windows
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence

__all__ = ["Question", "answers_to", "ask_about"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt.

    Attributes:
        sentence: The sentence asked about.
        prompt: What is asked; of a window the id is that of the sentence with ``#1``, ``#2``, ...
            behind it. A mishap where it could not be made.
        window: The window of the sentence's text that the prompt holds.
        last: Whether no further question is asked about this sentence.
    """

    sentence: Sentence
    prompt: Prompt | Mishap
    window: Window
    last: bool


def ask_about(
    sentences: Iterable[Sentence],
    build: Callable[[Sentence], Prompt],
    engine: Engine,
    size: int,
    overlap: int,
) -> Iterator[Question]:
    """Every question about the sentences, in order, made when it is wanted.

    Args:
        sentences: The sentences.
        build: Makes the prompt for a sentence.
        engine: Who will be asked.
        size: Longest window, in characters.
        overlap: Longest context on either side of a core, in characters.

    Raises:
        GenerationError: The engine cannot be loaded, or fails at an empty text.
    """
    whole_texts = engine.capabilities.whole_texts
    fits: Callable[[Prompt], bool] | None = None if whole_texts else engine.fits
    checked = False
    for sentence in sentences:
        text = sentence.text
        if not checked and fits is not None and not _has_room(build, fits):
            # Where not even an empty text fits, nothing is gained by splitting: the engine says
            # what is wrong.
            fits = None
        checked = True
        if whole_texts:
            prompt = attempt(build, sentence)
            if isinstance(prompt, Mishap):
                _pass_over(engine, sentence)
            yield Question(sentence, prompt, Window.of(text), True)
            continue
        for number, (window, prompt) in enumerate(
            _windows(sentence, build, fits, size, overlap), 1
        ):
            if sentence.id is not None and window != Window.of(text) and isinstance(prompt, Prompt):
                prompt = replace(prompt, id=f"{sentence.id}#{number}")
            yield Question(sentence, prompt, window, window.core_end == len(text))


def answers_to(engine: Engine, prompts: Sequence[Prompt]) -> list[Reply]:
    """One reply to each prompt, in their order.

    Where the engine raises something that nobody foresaw, it is asked a plain question. If it
    answers that, each prompt is asked alone, and those that it still fails at get replies with
    ``error``.

    Raises:
        GenerationError: The engine could not answer, or fails at the plain question too.
    """
    found = _replies(engine, prompts)
    if not isinstance(found, Mishap):
        return found
    if engine.capabilities.isolates:
        raise found.error
    plain = _replies(engine, [PLAIN_QUESTION])
    if isinstance(plain, Mishap):
        raise GenerationError(f"the engine fails whatever it is asked: {found}") from found.error
    replies: list[Reply] = []
    for prompt in prompts:
        one = found if len(prompts) == 1 else _replies(engine, [prompt])
        replies += [Reply("", "error", error=str(one))] if isinstance(one, Mishap) else one
    return replies


def _replies(engine: Engine, prompts: Sequence[Prompt]) -> list[Reply] | Mishap:
    """The engine's replies, as many as there are prompts.

    Raises:
        LlmnerError: What it raises on purpose.
    """

    def ask() -> list[Reply]:
        replies = list(engine.generate(prompts)) if prompts else []
        if len(replies) != len(prompts):
            raise ValueError(f"the engine gave {len(replies)} replies to {len(prompts)} prompts")
        return replies

    return _on_purpose(attempt(ask))


def _on_purpose(found: _T | Mishap) -> _T | Mishap:
    """What was found; what an engine raises on purpose concerns every question."""
    if isinstance(found, Mishap) and isinstance(found.error, LlmnerError):
        raise found.error
    return found


def _has_room(build: Callable[[Sentence], Prompt], fits: Callable[[Prompt], bool]) -> bool:
    """Whether an empty text fits; one that a template cannot take says nothing of others."""
    prompt = attempt(build, Sentence(""))
    if isinstance(prompt, Mishap):
        return True
    found = _on_purpose(attempt(fits, prompt))
    if isinstance(found, Mishap):
        raise GenerationError(f"the engine fails whatever it is asked: {found}") from found.error
    return found


def _pass_over(engine: Engine, sentence: Sentence) -> None:
    """Have recorded replies leave out a sentence that cannot be asked about."""
    recorded = engine.recorded()
    if recorded is not None:
        recorded.skip(Prompt((), "", "", sentence.text, sentence.id))


def _windows(
    sentence: Sentence,
    build: Callable[[Sentence], Prompt],
    fits: Callable[[Prompt], bool] | None,
    size: int,
    overlap: int,
) -> Iterator[tuple[Window, Prompt | Mishap]]:
    """Windows that tile a text, each with its prompt."""
    end = len(sentence.text)
    done = 0
    windows = attempt(split_windows, sentence.text, size, overlap)
    while True:
        window = windows if isinstance(windows, Mishap) else attempt(next, windows, None)
        if window is None:
            return
        if isinstance(window, Mishap):
            # There is no telling where the next one would have begun.
            yield Window(done, end, done, end), window
            return
        yield from _fitting(sentence, window, build, fits, overlap)
        done = window.core_end


def _fitting(
    sentence: Sentence,
    window: Window,
    build: Callable[[Sentence], Prompt],
    fits: Callable[[Prompt], bool] | None,
    overlap: int,
) -> Iterator[tuple[Window, Prompt | Mishap]]:
    """The window and its prompt, or smaller ones for the same core if that does not fit into the
    model.
    """
    text = sentence.text[window.start : window.end]
    prompt = attempt(build, Sentence(text, (), sentence.id))
    if fits is None or len(text) <= 1 or isinstance(prompt, Mishap):
        yield window, prompt
        return
    found = _on_purpose(attempt(fits, prompt))
    if not isinstance(found, Mishap) and found:
        yield window, prompt
        return
    halves = (
        found if isinstance(found, Mishap) else attempt(_halves, sentence.text, window, overlap)
    )
    if isinstance(halves, Mishap):
        yield window, halves
        return
    for part in halves:
        yield from _fitting(sentence, part, build, fits, overlap)


def _halves(text: str, window: Window, overlap: int) -> list[Window]:
    return list(halve_window(text, window, overlap))
