"""The extractor: a recipe, an engine and a projection policy in one object.

``runs`` keeps its rows on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from typing import Any, Unpack

from llmner._mishaps import Mishap, attempt
from llmner._unicode import askable
from llmner._watching import watcher
from llmner.engines import Engine, Generator, Reply, create_generator
from llmner.engines._types import as_engine
from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter
from llmner.engines.grammars import reply_grammar, reply_schema, schema_grammar
from llmner.errors import InputError, UnknownNameError
from llmner.extraction._extraction import Extraction, SpanExtractor, failed, lost, nothing
from llmner.extraction.confidence import Calibrator, check_min_score, drop_unsure, score_spans, vote
from llmner.extraction.merging import WindowReply, merge_windows
from llmner.extraction.questions import Question, answered, ask_about, prepare_engine
from llmner.extraction.windows import Window, WindowSizes
from llmner.projection import Budget, Policy, PolicyFields, Projection, project_read, project_reply
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt, build_prompt
from llmner.replies import LABEL_FORMATS, REPLY_FORMATS, ReadReply, read_exact, render_reply
from llmner.replies._clean import is_blank
from llmner.spans import Sentence, Span

__all__ = ["Extraction", "Extractor", "SpanExtractor", "WindowReply", "lost", "nothing"]


class Extractor:
    """Extracts spans from texts with a recipe, an engine and a projection policy.

    Long texts are asked about in windows (:func:`llmner.extraction.windows.split_windows`), which
    the recipe may say the size of. So are texts whose prompts do not fit into the model, if the
    engine can tell.

    Args:
        recipe: What to ask.
        generator: The engine that answers.
        batch_size: How many questions are handed to the engine at once. Sentences, windows of
            longer texts and samples are questions. The engine may split the batch.
        read_as: The reply format to read replies as; ``None`` for the recipe's, ``"auto"`` for
            replies to another prompt.
        window: The longest part of a text to ask about at once, in characters (code points);
            ``None`` for the recipe's, which is 400 where it says nothing.
        overlap: The longest context on either side of a window's core, in characters; ``None`` for
            the recipe's, which is 80 where it says nothing, but for at most half of a given window.
        grounded: Constrain each reply by a grammar: to the recipe's format, the schema's labels and
            parts of the sentence.
        json_schema: Constrain each reply by the JSON schema of the recipe's format, for endpoints
            that take no grammars. Mentions may still be invented.
        samples: How many replies to draw for each question. Spans are put to the vote among them.
            More than one make sense only with an engine that samples (``temperature`` above 0).
        min_score: Drop spans with a lower score.
        calibrator: Maps scores to the share of spans that are right, before ``min_score`` is
            applied.
        **policy: Fields of :class:`llmner.projection.Policy`.

    Raises:
        TypeError: A policy field does not exist.
        InputError: A batch size, window or number of samples is below 1; an overlap is below 0 or
            not below the window; ``min_score`` is out of [0, 1]; or the engine or the format cannot
            be constrained.
        UnknownNameError: ``read_as`` is no format.

    >>> from llmner.engines import Reply
    >>> class Echo:
    ...     def generate(self, prompts):
    ...         return [Reply('{"PS": ["손흥민"]}') for _ in prompts]
    ...
    ...     def describe(self):
    ...         return {"engine": "echo"}
    >>> extractor = Extractor(Recipe.load("klue"), Echo())
    >>> [extraction.spans for extraction in extractor.extract(["손흥민은 춘천에서"])]
    [(Span('손흥민', 'PS', start=0, end=3),)]
    """

    def __init__(
        self,
        recipe: Recipe,
        generator: Generator,
        *,
        batch_size: int = 32,
        read_as: str | None = None,
        window: int | None = None,
        overlap: int | None = None,
        grounded: bool = False,
        json_schema: bool = False,
        samples: int = 1,
        min_score: float | None = None,
        calibrator: Calibrator | None = None,
        **policy: Unpack[PolicyFields],
    ) -> None:
        Policy(**policy)
        self.windows = WindowSizes.of(recipe.windows, window, overlap)
        for name, number in (("batch size", batch_size), ("number of samples", samples)):
            if number < 1:
                raise InputError(f"{name} must be at least 1, got {number}")
        check_min_score(min_score)
        self.read_as = _checked_format(read_as or recipe.reply_format)
        if grounded and json_schema:
            raise InputError(
                "replies cannot be both grounded and kept to a JSON schema",
                hint="leave out the JSON schema; grounded replies keep to their format anyway",
            )
        capabilities = as_engine(generator).capabilities
        if (grounded and not capabilities.grammar) or (
            json_schema and not capabilities.json_schema
        ):
            constraint = "a grammar" if grounded else "a JSON schema"
            raise InputError(
                f"the {generator.describe().get('engine', 'given')} engine cannot keep replies to "
                f"{constraint}"
            )
        self.recipe = recipe
        self.generator = generator
        self.batch_size = batch_size
        self.grounded = grounded
        self.json_schema = (
            reply_schema(recipe.reply_format, recipe.schema_) if json_schema else None
        )
        self.samples = samples
        self.min_score = min_score
        self.calibrator = calibrator
        self._policy = policy

    @property
    def engine(self) -> Engine:
        """The generator as an :class:`llmner.engines.Engine`."""
        return as_engine(self.generator)

    @classmethod
    def from_adapter(cls, name: str = PACKAGED_ADAPTER, **options: Any) -> Extractor:
        """A fine-tuned model with the recipe that it was trained with.

        Replies of the packaged adapter are grounded.

        Args:
            name: An adapter's folder, or ``USER/NAME`` on the Hub; by default the adapter that is
                part of this package.
            **options: Options of the transformers engine (``model``, ``batch_size``, ``device``,
                ...).

        Raises:
            InputError: There is no such adapter, or it has no recipe.
            GenerationError: The Hub does not have it.
            MissingExtraError: The ``local`` extra is not installed.

        >>> extractor = Extractor.from_adapter()  # doctest: +SKIP
        """
        adapter = find_adapter(name)
        options.setdefault("model", adapter.model)
        generator = create_generator("transformers", adapter=adapter, **options)
        return cls(adapter.recipe, generator, grounded=adapter.name == PACKAGED_ADAPTER)

    def extract(
        self,
        sentences: Iterable[Sentence | str] | Sentence | str,
        *,
        budget: Budget | None = None,
    ) -> Iterator[Extraction]:
        """Extract from every sentence, in order; each is yielded when it and all before are done.

        The engine is asked a batch at a time. Memory is limited to one batch and the replies about
        one text. If something fails unexpectedly for a sentence (in the recipe's template, the
        engine or projection), the reply of its extraction has an ``error``, and extraction goes on.
        The engine is not asked about a text that shows nothing (empty, or all white space and
        invisible characters): its reply is what the recipe's format writes where there is no
        entity.

        Args:
            sentences: The sentences, or their texts. One sentence or text is one.
            budget: The steps of work that projecting all replies may take. Another thread can end
                it.

        Raises:
            GenerationError: The engine cannot answer any question.
            WorkLimitError: The budget is used up or was ended.
        """
        given = [sentences] if isinstance(sentences, str | Sentence) else sentences
        inputs = (item if isinstance(item, Sentence) else Sentence(item) for item in given)
        questions = ask_about(inputs, self._prompt, self.engine, self.windows)
        size = max(1, self.batch_size // self.samples)
        parts: list[WindowReply] = []
        is_loaded = has_begun = False
        while batch := list(islice(questions, size)):
            if not is_loaded and any(isinstance(question.prompt, Prompt) for question in batch):
                prepare_engine(self.engine)
                is_loaded = True
            if not has_begun:
                watcher().begin()
                has_begun = True
            with closing(answered(self.engine, batch, self.samples)) as answers:
                for question, replies in answers:
                    parts.append(self._part(question, replies, budget))
                    if question.last:
                        yield self._extraction(question.sentence, parts)
                        parts = []

    def _prompt(self, sentence: Sentence) -> Prompt:
        prompt = build_prompt(self.recipe, sentence)
        if self.grounded:
            grammar = reply_grammar(
                askable(sentence.text), self.recipe.reply_format, self.recipe.schema_
            )
            return replace(prompt, grammar=grammar)
        if self.json_schema is not None:
            return replace(
                prompt, grammar=schema_grammar(self.json_schema), json_schema=self.json_schema
            )
        return prompt

    def _part(
        self, question: Question, replies: tuple[Reply, ...], budget: Budget | None
    ) -> WindowReply:
        """The answer about a question's window."""
        if question.prompt is None:
            return self._without_question(question.window, question.sentence.text)
        if isinstance(question.prompt, Mishap):
            return _without_prompt(question, question.prompt)
        return self._window_reply(question.window, question.prompt.text, replies, budget)

    def _without_question(self, window: Window, text: str) -> WindowReply:
        """The answer about a window that shows nothing, which nobody has to give."""
        shown, format = text[window.start : window.end], self.recipe.reply_format
        reply = Reply(
            render_reply(Sentence(shown), format, self.recipe.schema_),
            prompt_tokens=0,
            completion_tokens=0,
        )
        known = REPLY_FORMATS.get(format)
        read = ReadReply(format=format, order="none" if known is None else known.order)
        projection = Projection(shown, (), (), read)
        count = self.samples
        return self._combine_samples(window, (reply,) * count, (projection,) * count)

    def _window_reply(
        self, window: Window, text: str, replies: tuple[Reply, ...], budget: Budget | None
    ) -> WindowReply:
        """The answer about a window, from the replies to its question."""
        projected = [self._read(text, reply, budget) for reply in replies]
        replies = tuple(reply for reply, _ in projected)
        projections = [projection for _, projection in projected]
        result = attempt(self._combine_samples, window, replies, projections)
        if isinstance(result, Mishap):
            return WindowReply(window, failed(replies[0], result), nothing(text))
        return result

    def _read(self, text: str, reply: Reply, budget: Budget | None) -> tuple[Reply, Projection]:
        """A reply and its projection; if it cannot be read, the reply gets an error."""

        def read() -> tuple[Reply, Projection]:
            projection = score_spans(self._project(text, _checked(reply), budget), reply)
            return _without_reasoning(reply, projection)

        result = attempt(read)
        if isinstance(result, Mishap):
            return failed(reply, result), nothing(text)
        return result

    def _combine_samples(
        self, window: Window, replies: tuple[Reply, ...], projections: Sequence[Projection]
    ) -> WindowReply:
        """The answer about a window: the only reply, or the vote among several."""
        first, projection = replies[0], projections[0]
        samples: tuple[Reply, ...] = ()
        if self.samples > 1:
            numbers = [number for number, reply in enumerate(replies) if reply.error is None]
            if numbers:
                first = replies[numbers[0]]
                projection = vote([projections[number] for number in numbers], self.samples)
            samples = replies
        return WindowReply(window, first, projection, samples)

    def _project(self, text: str, reply: Reply, budget: Budget | None) -> Projection:
        schema = self.recipe.schema_
        if not self.grounded:
            return project_reply(
                text, reply.text, schema, self.read_as, budget=budget, **self._policy
            )
        whole = _whole_part(reply, self.read_as)
        exact = read_exact(whole, schema, self.read_as)
        if exact is not None:
            projection = project_read(text, exact, schema, budget=budget, **self._policy)
        else:
            projection = project_reply(
                text, whole, schema, self.read_as, budget=budget, **self._policy
            )
        if whole != reply.text and projection.reply is not None:
            return replace(projection, reply=replace(projection.reply, status="truncated"))
        return projection

    def _extraction(self, sentence: Sentence, parts: list[WindowReply]) -> Extraction:
        """The extraction of a text, from the answer about all of it or about each window."""
        result = attempt(self._combine_windows, sentence, parts)
        if isinstance(result, Mishap):
            return lost(sentence, result, "\n".join(part.reply.text for part in parts))
        return result

    def _combine_windows(self, sentence: Sentence, parts: list[WindowReply]) -> Extraction:
        (first, *others) = parts
        reply, projection = first.reply, first.projection
        if others:
            reply, projection = merge_windows(sentence.text, parts)
        review: tuple[Span, ...] = ()
        if self.calibrator is not None:
            projection, review = self.calibrator.for_review(self.calibrator.calibrate(projection))
        if self.min_score is not None:
            projection = drop_unsure(projection, self.min_score)
        if others:
            return Extraction(sentence, reply, projection, tuple(parts), (), review)
        return Extraction(sentence, reply, projection, (), first.samples, review)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result: recipe, engine, policy, version."""
        from llmner import __version__

        sizes = {} if self.engine.capabilities.whole_texts else asdict(self.windows)
        return {
            "recipe": self.recipe.name,
            "recipe_hash": self.recipe.hash,
            "reply_format": self.read_as,
            **self.engine.describe(),
            # A core is told where there is one: runs of before there were any have none.
            **{name: size for name, size in sizes.items() if size is not None},
            **self._non_defaults(),
            # Unless it is set, it depends on each reply's format how far the order counts.
            "policy": {
                **asdict(Policy(**self._policy)),
                "order": self._policy.get("order", "reply"),
            },
            "llmner": __version__,
        }

    def _non_defaults(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        calibration = self.calibrator
        options = {
            "grounded": self.grounded or None,
            "json_schema": self.json_schema is not None or None,
            "samples": self.samples if self.samples > 1 else None,
            "min_score": self.min_score,
            "calibration": None if calibration is None else calibration.hash,
        }
        return {name: value for name, value in options.items() if value is not None}


def _checked(reply: Reply) -> Reply:
    """The reply, if it is one that can be written to rows.

    Raises:
        TypeError: It is not a reply, or one of its fields has the wrong type.
    """
    if not isinstance(reply, Reply) or not isinstance(reply.text, str):
        raise TypeError("the engine's reply is not a Reply with a text")
    if reply.finish_reason not in ("stop", "length", "error") or not isinstance(
        reply.error, str | None
    ):
        raise TypeError("the engine's reply has no valid finish_reason or error")
    return reply


def _without_reasoning(reply: Reply, projection: Projection) -> tuple[Reply, Projection]:
    """A reply and its projection, if the reply may be no more than the model's reasoning.

    Reasoning without an answer in it counts as an empty reply, and so does reasoning that was cut
    off: an answer in the middle of it is not the last word. A reply that was cut off before its
    answer is ``truncated``.
    """
    read = projection.reply
    assert read is not None
    is_cut = reply.finish_reason == "length"
    if reply.is_reasoning and (read.status == "unreadable" or (is_cut and "prose" in read.repairs)):
        reply = replace(reply, text="", tokens=None)
        read = ReadReply(status="empty")
        projection = Projection(projection.text, (), (), read)
    if is_cut and not read.mentions and is_blank(reply.text):
        projection = replace(projection, reply=replace(read, status="truncated"))
    return reply, projection


def _without_prompt(question: Question, mishap: Mishap) -> WindowReply:
    """The answer about a window whose prompt could not be made."""
    window = question.window
    text = question.sentence.text[window.start : window.end]
    return WindowReply(window, failed(Reply(""), mishap), nothing(text))


def _checked_format(name: str) -> str:
    """The name, if it is a reply format or ``"auto"``.

    Readers would take any other name for ``"auto"``.

    Raises:
        UnknownNameError: It is neither.
    """
    names = dict.fromkeys(("auto", *REPLY_FORMATS, *LABEL_FORMATS))
    if name not in names:
        raise UnknownNameError(
            f"unknown reply format {name!r}", hint=f"expected {', '.join(names)}"
        )
    return name


def _whole_part(reply: Reply, format: str) -> str:
    """A grounded reply without what its token limit cut through, such as half a row."""
    reply_format = REPLY_FORMATS.get(format)
    if (
        reply.finish_reason == "length"
        and reply_format is not None
        and reply_format.whole_part is not None
    ):
        return reply_format.whole_part(reply.text)
    return reply.text
