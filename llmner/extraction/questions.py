"""The questions for an engine, about whole texts or about windows of long ones; and its answers.

``windows`` splits the texts, and ``merging`` joins the answers. If something fails for one text,
there is a mishap instead of its prompt, or an error instead of its answer. Where a text shows
nothing, there is nothing to ask.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from llmner._mishaps import Mishap, attempt
from llmner._unicode import is_invisible
from llmner._watching import Watcher, watcher
from llmner.engines import Engine, Reply
from llmner.engines._types import PLAIN_QUESTION
from llmner.errors import GenerationError, LlmnerError
from llmner.extraction.windows import Window, WindowSizes, halve_window, split_windows
from llmner.recipes.chat import Prompt
from llmner.spans import Sentence

__all__ = ["Question", "answered", "answers_to", "ask_about", "prepare_engine"]

_T = TypeVar("_T")

_END = object()


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


def prepare_engine(engine: Engine) -> None:
    """Load a model of this process, which would otherwise be loaded with the first question.

    What goes wrong unexpectedly is left to the first question, which has rules for it.

    Raises:
        LlmnerError: The model cannot be loaded.
    """
    if engine.capabilities.in_process:
        _raise_expected(attempt(engine.load))


def answered(
    engine: Engine, batch: Sequence[Question], samples: int
) -> Generator[tuple[Question, tuple[Reply, ...]], None, None]:
    """Yield the questions of a batch in order, each as soon as it and all before it are answered.

    The watcher is told of each sentence of which all questions are answered, even if its turn has
    not come.

    Args:
        engine: The engine.
        batch: The questions, all handed to the engine together.
        samples: How many replies to draw for each question.

    Yields:
        The question, and as many replies as samples; none if its prompt could not be made.

    Raises:
        GenerationError: The engine cannot answer any question.
    """
    prompts = [
        replace(question.prompt, sample=number)
        for question in batch
        if isinstance(question.prompt, Prompt)
        for number in range(samples)
    ]
    replies: dict[int, Reply] = {}
    sentences = _Sentences(batch, samples, watcher())
    first = 0
    with closing(answers_to(engine, prompts)) as answers:
        for question in batch:
            end = first + (samples if isinstance(question.prompt, Prompt) else 0)
            while not all(index in replies for index in range(first, end)):
                index, reply = next(answers)
                replies[index] = reply
                sentences.answer(index)
            yield question, tuple(replies.pop(index) for index in range(first, end))
            first = end
        # Let the engine come to its end by itself.
        for _ in answers:
            pass


class _Sentences:
    """Counts the open questions of each sentence in a batch, and tells when there are none left.

    A sentence whose last question is in a later batch is left to that batch.
    """

    def __init__(self, batch: Sequence[Question], samples: int, watcher: Watcher) -> None:
        self._watcher = watcher
        # Of each prompt, the number of its sentence in the batch.
        self._numbers: list[int] = []
        self._ended = 0
        for question in batch:
            if isinstance(question.prompt, Prompt):
                self._numbers += [self._ended] * samples
            self._ended += question.last
        self._open = Counter(self._numbers)
        for number in range(self._ended):
            if number not in self._open:
                watcher.answer()

    def answer(self, index: int) -> None:
        """Count the prompt with this index as answered."""
        number = self._numbers[index]
        self._open[number] -= 1
        if not self._open[number] and number < self._ended:
            self._watcher.answer()


def answers_to(
    engine: Engine, prompts: Sequence[Prompt]
) -> Generator[tuple[int, Reply], None, None]:
    """Yield one reply to each prompt with the prompt's index, as soon as the engine has it.

    If the engine fails unexpectedly, it is asked a plain question. If it answers that, each prompt
    that has no reply yet is asked alone, and prompts that it still fails on get replies with
    ``error``.

    Raises:
        GenerationError: The engine could not answer, or fails on the plain question too.
    """
    done: set[int] = set()
    result = yield from _streamed(engine, prompts, done)
    rest = [index for index in range(len(prompts)) if index not in done]
    if result is None or not rest:
        return
    if engine.capabilities.isolates:
        raise result.error
    plain_result = _replies(engine, [PLAIN_QUESTION])
    if isinstance(plain_result, Mishap):
        raise GenerationError(f"the engine fails on every question: {result}") from result.error
    for index in rest:
        single = result if len(prompts) == 1 else _replies(engine, [prompts[index]])
        if isinstance(single, Mishap):
            yield index, Reply("", "error", error=str(single))
        else:
            yield index, single[0]


def _streamed(
    engine: Engine, prompts: Sequence[Prompt], done: set[int]
) -> Generator[tuple[int, Reply], None, Mishap | None]:
    """Yield what the engine streams, and add each index to ``done``.

    Returns:
        How it failed; ``None`` if every prompt has its reply.

    Raises:
        LlmnerError: The engine raised it; it concerns every question.
    """
    if not prompts:
        return None
    stream = _raise_expected(attempt(lambda: iter(engine.stream(prompts))))
    if isinstance(stream, Mishap):
        return stream

    def take() -> tuple[int, Reply] | None:
        item: Any = next(stream, _END)
        if item is _END:
            return None
        index = operator.index(item[0])
        if not 0 <= index < len(prompts) or index in done:
            raise ValueError(f"the engine gave a reply too many, to prompt {index}")
        return index, item[1]

    try:
        while (item := _raise_expected(attempt(take))) is not None:
            if isinstance(item, Mishap):
                return item
            done.add(item[0])
            yield item
    finally:
        if isinstance(stream, Generator):
            attempt(stream.close)
    if len(done) < len(prompts):
        message = f"the engine gave {len(done)} replies to {len(prompts)} prompts"
        return Mishap(ValueError(message))
    return None


def _replies(engine: Engine, prompts: Sequence[Prompt]) -> list[Reply] | Mishap:
    """The engine's replies, one for each prompt, or how it failed.

    Raises:
        LlmnerError: The engine raised it; it concerns every question.
    """

    def ask() -> list[Reply]:
        replies = list(engine.generate(prompts))
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
