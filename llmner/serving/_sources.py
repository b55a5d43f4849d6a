"""What a server extracts with: an engine that is asked by a recipe, or a tagger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from llmner._mishaps import Mishap, attempt
from llmner.engines import Engine, Generator
from llmner.engines._types import as_engine
from llmner.errors import GenerationError
from llmner.extraction import Extraction, Extractor
from llmner.labelling import Explanation, explain_text
from llmner.projection import Budget
from llmner.recipes import Recipe
from llmner.serving._asked import Asked
from llmner.serving._batching import Answering, Batcher, Place, Turn
from llmner.serving._refusals import RefusalError

if TYPE_CHECKING:
    from llmner.baselines import BaselineExtractor

__all__ = ["EngineSource", "Request", "Source", "TaggerSource"]


@dataclass(frozen=True, slots=True)
class Request:
    """What one request extracts with.

    Attributes:
        extract: Extractions of texts, in their order.
        explain: Why a text has its labels; it is asked about once for each of its words.
        end: Cancels what still waits. Any thread may call it.
    """

    extract: Callable[[Sequence[str], Budget], Iterator[Extraction]]
    explain: Callable[[str, Budget], tuple[Explanation, ...]]
    end: Callable[[], None]


class Source(ABC):
    """What a server extracts with.

    Attributes:
        answering: What answers the batches of all requests.
        constrains: Whether it can ground its replies.
    """

    answering: Answering[Any, Any]
    constrains: bool

    @abstractmethod
    def request(self, batcher: Batcher[Any, Any], recipe: Recipe, asked: Asked) -> Request:
        """What a request extracts with.

        Args:
            batcher: Where its questions go.
            recipe: The recipe that it chose.
            asked: Its own options.

        Raises:
            RefusalError: It asks for what this source does not have.
            LlmnerError: An option is wrong.
        """

    def ways(self, *, loads: bool) -> list[Asked]:
        """The ways in which it is asked once before it is ready.

        Args:
            loads: Whether the model is in this process, so that asking loads something.
        """
        return [Asked()]


class EngineSource(Source):
    """An engine, asked by recipes.

    Args:
        generator: The engine.
        options: Options of every ``Extractor``.
        on_unanswered: Called for a text without an answer, with what the engine said and with what
            the client is told.
    """

    answering: Engine

    def __init__(
        self,
        generator: Generator,
        options: Mapping[str, Any],
        on_unanswered: Callable[[str, str], None],
    ) -> None:
        self.answering = as_engine(generator)
        self.constrains = self.answering.capabilities.grammar
        self._options = options
        self._on_unanswered = on_unanswered

    def request(self, batcher: Batcher[Any, Any], recipe: Recipe, asked: Asked) -> Request:
        """An extractor whose questions share batches."""
        options = dict(self._options)
        if asked.grounded is not None:
            options["grounded"] = asked.grounded
            options["json_schema"] = not asked.grounded and options.get("json_schema", False)
        if asked.min_score is not None:
            options["min_score"] = asked.min_score
        turn = Turn(batcher, self.answering, on_unanswered=self._on_unanswered)
        extractor = Extractor(recipe, turn, **options)

        def extract(texts: Sequence[str], budget: Budget) -> Iterator[Extraction]:
            return extractor.extract(texts, budget=budget)

        def why(text: str, budget: Budget) -> tuple[Explanation, ...]:
            return explain_text(text, partial(extract, budget=budget))

        return Request(extract, why, turn.end)

    def ways(self, *, loads: bool) -> list[Asked]:
        """With and without grounding, since each loads something."""
        return [Asked(), Asked(grounded=True)] if loads and self.constrains else [Asked()]


@dataclass(slots=True)
class _Classifier:
    """A classifier as one request asks it.

    Attributes:
        labels: Its labels.
        probabilities: The probability of each of them in each text.
    """

    labels: tuple[str, ...]
    probabilities: Callable[[Sequence[str]], Any]


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A question for the probability of every label in a text."""

    text: str


class _TaggerAnswers:
    """A tagger that shares batches: a text is answered with what is found in it.

    Args:
        tagger: The tagger. If it is a classifier, it is asked for probabilities, too.
    """

    def __init__(self, tagger: BaselineExtractor) -> None:
        self._tagger = tagger

    def stream(self, questions: Sequence[str | _Weighed]) -> Iterator[tuple[int, Any]]:
        """Yield each answer with the number of its question."""
        texts = {n: asked for n, asked in enumerate(questions) if isinstance(asked, str)}
        numbers = list(texts)
        for place, found in self._tagger.stream(list(texts.values())):
            yield numbers[place], found
        weighed = {n: own.text for n, own in enumerate(questions) if isinstance(own, _Weighed)}
        if weighed:
            model: Any = self._tagger.load()
            rows = attempt(model.probabilities, list(weighed.values()))
            if isinstance(rows, Mishap):
                raise GenerationError(f"{self._tagger.name} fails: {rows}") from rows.error
            yield from zip(weighed, rows, strict=True)


class TaggerSource(Source):
    """A tagger, which takes texts as they are.

    Args:
        tagger: The tagger.
        on_unanswered: Called for a text at which it fails, with what was raised and with what the
            client is told.
    """

    constrains = False

    def __init__(
        self, tagger: BaselineExtractor, on_unanswered: Callable[[str, str], None]
    ) -> None:
        self.answering = _TaggerAnswers(tagger)
        self._tagger = tagger
        self._on_unanswered = on_unanswered

    def request(self, batcher: Batcher[Any, Any], recipe: Recipe, asked: Asked) -> Request:
        """The tagger, whose texts share batches."""
        for name in ("recipe", "labels", "reply_format", "grounded"):
            if getattr(asked, name) is not None:
                message = f"{name}: this server's model is a tagger, which takes none; leave it out"
                raise RefusalError(422, "invalid", message, fields=[(name, "a tagger takes none")])
        place = Place(batcher)
        tagger = self._tagger.through(place.ask_each, min_score=asked.min_score)

        def extract(texts: Sequence[str]) -> Iterator[Extraction]:
            return map(self._public, tagger.extract(texts))

        def probabilities(texts: Sequence[str]) -> list[Any]:
            return place.ask([_Weighed(text) for text in texts])

        classifier = _Classifier(tagger.labels, probabilities) if tagger.about == "texts" else None
        return Request(
            lambda texts, _: extract(texts),
            lambda text, _: explain_text(text, extract, classifier),
            place.end,
        )

    def _public(self, extraction: Extraction) -> Extraction:
        """An extraction as the client may see it: what was raised may quote another text."""
        reply = extraction.reply
        if reply.error is None:
            return extraction
        message = "the tagger fails at this text"
        self._on_unanswered(reply.error, message)
        return replace(extraction, reply=replace(reply, error=message))
