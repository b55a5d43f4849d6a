"""What a server extracts with: an engine that is asked by a recipe, or a tagger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmner.engines import Generator
from llmner.engines._types import as_engine
from llmner.extraction import Extraction, Extractor
from llmner.projection import Budget
from llmner.recipes import Recipe
from llmner.serving._asked import Asked
from llmner.serving._batching import Answering, Batcher, TaggerTurn, Turn
from llmner.serving._refusals import RefusalError

if TYPE_CHECKING:
    from llmner.baselines import BaselineExtractor

__all__ = ["EngineSource", "Request", "Source", "TaggerSource"]


@dataclass(frozen=True, slots=True)
class Request:
    """What one request extracts with.

    Attributes:
        extract: Extractions of texts, in their order.
        end: Cancels what still waits. Any thread may call it.
    """

    extract: Callable[[Sequence[str], Budget], Iterator[Extraction]]
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
    def request(
        self,
        batcher: Batcher[Any, Any],
        recipe: Recipe,
        asked: Asked,
        *,
        batch_size: int,
        on_unanswered: Callable[[str, str], None],
    ) -> Request:
        """What a request extracts with.

        Args:
            batcher: Where its questions go.
            recipe: The recipe that it chose.
            asked: Its own options.
            batch_size: Texts that it asks about at a time.
            on_unanswered: Called for a text without an answer, with what the engine said and with
                what the client is told.

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
    """

    def __init__(self, generator: Generator, options: Mapping[str, Any]) -> None:
        self._engine = as_engine(generator)
        self._options = options
        self.answering = self._engine
        self.constrains = self._engine.capabilities.grammar

    def request(
        self,
        batcher: Batcher[Any, Any],
        recipe: Recipe,
        asked: Asked,
        *,
        batch_size: int,
        on_unanswered: Callable[[str, str], None],
    ) -> Request:
        """An extractor whose questions share batches."""
        options = {**self._options, "batch_size": batch_size}
        if asked.grounded is not None:
            options["grounded"] = asked.grounded
            options["json_schema"] = not asked.grounded and options.get("json_schema", False)
        if asked.min_score is not None:
            options["min_score"] = asked.min_score
        turn = Turn(batcher, self._engine, on_unanswered=on_unanswered)
        extractor = Extractor(recipe, turn, **options)
        return Request(lambda texts, budget: extractor.extract(texts, budget=budget), turn.end)

    def ways(self, *, loads: bool) -> list[Asked]:
        """With and without grounding, since each loads something."""
        return [Asked(), Asked(grounded=True)] if loads and self.constrains else [Asked()]


class TaggerSource(Source):
    """A tagger, which takes texts as they are.

    Args:
        tagger: The tagger.
    """

    constrains = False

    def __init__(self, tagger: BaselineExtractor) -> None:
        self._tagger = tagger
        self.answering = tagger

    def request(
        self,
        batcher: Batcher[Any, Any],
        recipe: Recipe,
        asked: Asked,
        *,
        batch_size: int,
        on_unanswered: Callable[[str, str], None],
    ) -> Request:
        """The tagger, whose texts share batches."""
        for name in ("recipe", "reply_format", "grounded"):
            if getattr(asked, name) is not None:
                message = f"{name}: this server's model is a tagger, which takes none; leave it out"
                raise RefusalError(422, "invalid", message, fields=[(name, "a tagger takes none")])
        turn = TaggerTurn(batcher)
        tagger = self._tagger.through(turn.tag, min_score=asked.min_score, batch_size=batch_size)

        def extract(texts: Sequence[str], budget: Budget) -> Iterator[Extraction]:
            for extraction in tagger.extract(texts):
                reply = extraction.reply
                if reply.error is None:
                    yield extraction
                    continue
                # What a model says of a text may quote it.
                told = "the tagger fails at this text"
                on_unanswered(reply.error, told)
                yield replace(extraction, reply=replace(reply, error=told))

        return Request(extract, turn.end)
