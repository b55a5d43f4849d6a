"""The questions for an engine, about whole texts or about windows of long ones; and its answers.

``windows`` splits the texts, and ``merging`` joins the answers. If something fails for one text,
there is a mishap instead of its prompt, or an error instead of its answer. Where a text shows
nothing, there is nothing to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from llmner._mishaps import Mishap, attempt
from llmner._unicode import is_invisible
from llmner.engines import Engine, Reply
from llmner.engines._types import PLAIN_QUESTION
from llmner.errors import GenerationError, LlmnerError
from llmner.extraction.windows import Window, WindowSizes, halve_window, split_windows
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence

__all__ = ["Question", "answers_to", "ask_about"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Question:
    """One question about a sentence or about a window of it.

    Attributes:
        sentence: The sentence that is asked about.
        prompt: The prompt; a window's prompt has the sentence's id with ``#1``, ``#2``, ...
            appended. A mishap if the prompt could not be made; ``None`` if the window shows
            nothing, so that there is nothing to ask.
        window: The window of the sentence's text that the prompt contains.
        last: Whether it is the last question about this sentence.
    """

    sentence: Sentence
    prompt: Prompt | Mishap | None
    window: Window
    last: bool


def ask_about(
    sentences: Iterable[Sentence],
    build: Callable[[Sentence], Prompt],
    engine: Engine,
    sizes: WindowSizes,
) -> Iterator[Question]:
    """Yield every question about the sentences, in order, each made when it is needed.

    Args:
        sentences: The sentences.
        build: Makes the prompt for a sentence.
        engine: The engine that will be asked.
        sizes: How large the windows of long texts are.

    A text that shows nothing (:func:`llmner._unicode.is_invisible`) gets a question without a
    prompt, and so does such a window. A recorded reply to it is used all the same.

    Raises:
        GenerationError: The engine cannot be loaded, or fails on an empty text.
    """
    whole_texts = engine.capabilities.whole_texts
    fits: Callable[[Prompt], bool] | None = None if whole_texts else engine.fits
    checked = False
    asks = engine.recorded() is None
    for sentence in sentences:
        text = sentence.text
        if asks and is_invisible(text):
            yield Question(sentence, None, Window.of(text), True)
            continue
        if not checked and fits is not None and not _has_room(build, fits):
            # If not even an empty text fits, splitting does not help: let the engine report it.
            fits = None
        checked = True
        if whole_texts:
            whole = attempt(build, sentence)
            if isinstance(whole, Mishap):
                _skip_recorded(engine, sentence)
            yield Question(sentence, whole, Window.of(text), True)
            continue
        for number, (window, prompt) in enumerate(_windows(sentence, build, fits, sizes), 1):
            if sentence.id is not None and window != Window.of(text) and isinstance(prompt, Prompt):
                prompt = replace(prompt, id=f"{sentence.id}#{number}")
            yield Question(sentence, prompt, window, window.core_end == len(text))


def answers_to(engine: Engine, prompts: Sequence[Prompt]) -> list[Reply]:
    """One reply to each prompt, in order.

    If the engine fails unexpectedly, it is asked a plain question. If it answers that, each prompt
    is asked alone, and prompts that it still fails on get replies with ``error``.

    Raises:
        GenerationError: The engine could not answer, or fails on the plain question too.
    """
    result = _replies(engine, prompts)
    if not isinstance(result, Mishap):
        return result
    if engine.capabilities.isolates:
        raise result.error
    plain_result = _replies(engine, [PLAIN_QUESTION])
    if isinstance(plain_result, Mishap):
        raise GenerationError(f"the engine fails on every question: {result}") from result.error
    replies: list[Reply] = []
    for prompt in prompts:
        single = result if len(prompts) == 1 else _replies(engine, [prompt])
        if isinstance(single, Mishap):
            replies.append(Reply("", "error", error=str(single)))
        else:
            replies += single
    return replies


def _replies(engine: Engine, prompts: Sequence[Prompt]) -> list[Reply] | Mishap:
    """The engine's replies, one for each prompt, or how it failed.

    Raises:
        LlmnerError: The engine raised it; it concerns every question.
    """

    def ask() -> list[Reply]:
        replies = list(engine.generate(prompts)) if prompts else []
        if len(replies) != len(prompts):
            raise ValueError(f"the engine gave {len(replies)} replies to {len(prompts)} prompts")
        return replies

    return _raise_expected(attempt(ask))


def _raise_expected(result: _T | Mishap) -> _T | Mishap:
    """The result, unless it is an error that the engine raised on purpose.

    Such an error concerns every question, so it is raised again.
    """
    if isinstance(result, Mishap) and isinstance(result.error, LlmnerError):
        raise result.error
    return result


def _has_room(build: Callable[[Sentence], Prompt], fits: Callable[[Prompt], bool]) -> bool:
    """Whether an empty text fits into the model.

    A template that cannot take an empty text tells nothing about others.
    """
    prompt = attempt(build, Sentence(""))
    if isinstance(prompt, Mishap):
        return True
    result = _raise_expected(attempt(fits, prompt))
    if isinstance(result, Mishap):
        raise GenerationError(f"the engine fails on every question: {result}") from result.error
    return result


def _skip_recorded(engine: Engine, sentence: Sentence) -> None:
    """Skip the recorded replies to a sentence whose prompt could not be made."""
    recorded = engine.recorded()
    if recorded is not None:
        recorded.skip(Prompt((), "", "", sentence.text, sentence.id))


def _windows(
    sentence: Sentence,
    build: Callable[[Sentence], Prompt],
    fits: Callable[[Prompt], bool] | None,
    sizes: WindowSizes,
) -> Iterator[tuple[Window, Prompt | Mishap | None]]:
    """Yield windows whose cores tile a text, each with its prompt."""
    end = len(sentence.text)
    done = 0
    windows = attempt(split_windows, sentence.text, sizes.window, sizes.overlap, core=sizes.core)
    while True:
        window = windows if isinstance(windows, Mishap) else attempt(next, windows, None)
        if window is None:
            return
        if isinstance(window, Mishap):
            # Where the next window would begin is unknown, so this one takes the rest.
            yield Window(done, end, done, end), window
            return
        yield from _fit(sentence, window, build, fits, sizes.overlap)
        done = window.core_end


def _fit(
    sentence: Sentence,
    window: Window,
    build: Callable[[Sentence], Prompt],
    fits: Callable[[Prompt], bool] | None,
    overlap: int,
) -> Iterator[tuple[Window, Prompt | Mishap | None]]:
    """Yield the window and its prompt, or smaller windows if the prompt does not fit the model.

    The cores of the smaller windows tile the window's core.
    """
    text = sentence.text[window.start : window.end]
    if is_invisible(text):
        yield window, None
        return
    prompt = attempt(build, Sentence(text, (), sentence.id))
    if fits is None or len(text) <= 1 or isinstance(prompt, Mishap):
        yield window, prompt
        return
    is_fitting = _raise_expected(attempt(fits, prompt))
    if isinstance(is_fitting, Mishap):
        yield window, is_fitting
        return
    if is_fitting:
        yield window, prompt
        return
    halves = attempt(_halves, sentence.text, window, overlap)
    if isinstance(halves, Mishap):
        yield window, halves
        return
    for part in halves:
        yield from _fit(sentence, part, build, fits, overlap)


def _halves(text: str, window: Window, overlap: int) -> list[Window]:
    return list(halve_window(text, window, overlap))
