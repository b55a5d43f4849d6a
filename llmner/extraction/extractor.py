"""The whole line: recipe, engine and projector in one object.

What keeps its rows on disk is ``runs``; what a run is scored by is ``scoring``'s; what it prints is
``cli``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Protocol

from llmner._mishaps import Mishap, attempt
from llmner.corpora.jsonl import span_rows
from llmner.engines import Engine, Generator, Reply, create_generator
from llmner.engines._types import as_engine
from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter
from llmner.engines.grammars import reply_grammar, reply_schema, schema_grammar
from llmner.errors import InputError, UnknownNameError
from llmner.extraction.confidence import Calibrator, check_min_score, drop_unsure, score_spans, vote
from llmner.extraction.merging import WindowReply, merge_windows
from llmner.extraction.questions import Question, answers_to, ask_about
from llmner.extraction.rows import projection_row, reply_fields, window_rows
from llmner.extraction.windows import Window, check_windows
from llmner.projection import Budget, Policy, Projection, project_read, project_reply
from llmner.recipes import Recipe
from llmner.recipes.chat import Prompt, build_prompt, writable
from llmner.replies import REPLY_FORMATS, ReadReply, read_exact
from llmner.spans import Sentence, Span

__all__ = ["Extraction", "Extractor", "SpanExtractor", "WindowReply", "lost", "nothing"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was made of one sentence.

    Attributes:
        sentence: The sentence asked about, gold spans and all.
        reply: What the engine answered. Of a long text: all windows' replies, a line break between
            two. A tagger's is empty: it gives spans at once.
        projection: Spans and outcomes, and how the reply was read.
        windows: Of a long text: what was answered about each window; empty where it was asked about
            whole.
        samples: All replies, ``reply`` the first, where there was a vote among several; of a long
            text the windows have them.
    """

    sentence: Sentence
    reply: Reply
    projection: Projection
    windows: tuple[WindowReply, ...] = ()
    samples: tuple[Reply, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans found."""
        return self.projection.spans

    def row(self) -> dict[str, Any]:
        """One row of ``extract``'s output: a spans row with outcomes, raw reply and reading status.

        A long text's has its windows too: place, raw reply and reading status of each. A tagger's
        is a spans row and no more.
        """
        sentence = {"id": self.sentence.id, "text": self.sentence.text}
        if self.projection.reply is None:
            return sentence | {"spans": span_rows(self.spans)}
        row = projection_row(
            self.sentence.id, self.projection, self.reply.text, **reply_fields(self)
        )
        return row | {"windows": window_rows(self.windows)} if self.windows else row


class SpanExtractor(Protocol):
    """What runs, evaluations and comparisons need of whatever extracts: an ``Extractor``, a
    baseline.

    Attributes:
        batch_size: Sentences after which rows are put on the disk.
    """

    batch_size: int

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        """Extract from every sentence, in order."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result."""
        ...


class Extractor:
    """A recipe, an engine and a projection policy.

    Texts of more than ``window`` characters are asked about in windows
    (:func:`llmner.extraction.windows.split_windows`); so is a text whose prompt does not fit into
    the model, where the engine can tell.

    Args:
        recipe: What to ask.
        generator: What answers.
        batch_size: Questions handed to the engine at once: sentences, windows of longer texts,
            samples; it may split them further.
        read_as: Reply format to read replies as; ``None`` for the one the recipe asks for,
            ``"auto"`` for replies that may have been asked for by another prompt.
        window: Longest stretch of a text to ask about at once, in characters (code points).
        overlap: Longest context on either side of what a window is asked for, in characters.
        grounded: Keep each reply to the recipe's format, the schema's labels and stretches of the
            sentence, by a grammar.
        json_schema: Keep each reply to the JSON schema of the recipe's format, for endpoints that
            take no grammars; mentions may still be invented.
        samples: Replies to each question, among which spans are put to the vote; more than one make
            sense with an engine that draws (``temperature`` above 0).
        min_score: Drop spans with a lower score.
        calibrator: Turns scores into shares of right spans, before ``min_score`` looks at them.
        **policy: Fields of :class:`llmner.projection.Policy`.

    Raises:
        TypeError: A policy field that does not exist.
        InputError: A batch size, window or number of samples below 1, an overlap below 0 or not
            below the window, a ``min_score`` out of [0, 1], or a grammar asked of an engine or a
            format that takes none.
        UnknownNameError: A format to read replies as that does not exist.
    """

    def __init__(
        self,
        recipe: Recipe,
        generator: Generator,
        *,
        batch_size: int = 32,
        read_as: str | None = None,
        window: int = 400,
        overlap: int = 80,
        grounded: bool = False,
        json_schema: bool = False,
        samples: int = 1,
        min_score: float | None = None,
        calibrator: Calibrator | None = None,
        **policy: Any,
    ) -> None:
        Policy(**policy)
        check_windows(window, overlap)
        for name, number in (("batch size", batch_size), ("number of samples", samples)):
            if number < 1:
                raise InputError(f"{name} {number} is not positive")
        check_min_score(min_score)
        self.read_as = _checked_format(read_as or recipe.reply_format)
        if grounded and json_schema:
            raise InputError(
                "a grounded reply keeps to its format anyway", hint="leave out the JSON schema"
            )
        able = as_engine(generator).capabilities
        if (grounded and not able.grammar) or (json_schema and not able.json_schema):
            raise InputError(
                f"the {generator.describe().get('engine', 'given')} engine cannot keep replies to "
                f"a grammar"
            )
        self.recipe = recipe
        self.generator = generator
        self.batch_size = batch_size
        self.window = window
        self.overlap = overlap
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
        """The generator with all that engines have."""
        return as_engine(self.generator)

    @classmethod
    def from_adapter(cls, name: str = PACKAGED_ADAPTER, **options: Any) -> Extractor:
        """A fine-tuned model with the recipe it was trained with; by default the one in the
        package.

        Args:
            name: An adapter's folder, or ``USER/NAME`` on the Hub.
            **options: Those of the transformers engine (``model``, ``batch_size``, ``device``,
                ...).

        Raises:
            InputError: No such adapter, or one without a recipe.
            GenerationError: The Hub does not have it.
            MissingExtraError: The ``local`` extra is not installed.
        """
        adapter = find_adapter(name)
        options.setdefault("model", adapter.model)
        return cls(adapter.recipe, create_generator("transformers", adapter=adapter, **options))

    def extract(
        self, sentences: Iterable[Sentence | str], *, budget: Budget | None = None
    ) -> Iterator[Extraction]:
        """Extract from every sentence, in order, a batch at a time.

        Memory stays that of a batch and of the replies to one text, however long the texts are. A
        sentence at which something fails that nobody foresaw, be it the recipe's template, the
        engine or projection, has an extraction whose reply has an ``error``, and ends nothing.

        Args:
            sentences: Them, or their texts.
            budget: Steps that projecting all replies may take. Another thread can end it.

        Raises:
            GenerationError: The engine could not answer, whatever it was asked.
            WorkLimitError: The budget is used up or was ended.
        """
        asked = (item if isinstance(item, Sentence) else Sentence(item) for item in sentences)
        questions = ask_about(asked, self._prompt, self.engine, self.window, self.overlap)
        parts: list[WindowReply] = []
        while batch := list(islice(questions, max(1, self.batch_size // self.samples))):
            asked_now = [
                question.prompt for question in batch if isinstance(question.prompt, Prompt)
            ]
            answers = iter(
                answers_to(
                    self.engine,
                    [
                        replace(prompt, sample=n)
                        for prompt in asked_now
                        for n in range(self.samples)
                    ],
                )
            )
            for question in batch:
                if isinstance(question.prompt, Mishap):
                    parts.append(_unasked(question, question.prompt))
                else:
                    given = tuple(islice(answers, self.samples))
                    parts.append(
                        self._answered(question.window, question.prompt.text, given, budget)
                    )
                if question.last:
                    yield self._extraction(question.sentence, parts)
                    parts = []

    def _prompt(self, sentence: Sentence) -> Prompt:
        prompt = build_prompt(self.recipe, sentence)
        if self.grounded:
            grammar = reply_grammar(
                writable(sentence.text), self.recipe.reply_format, self.recipe.schema_
            )
            return replace(prompt, grammar=grammar)
        if self.json_schema is not None:
            return replace(
                prompt, grammar=schema_grammar(self.json_schema), json_schema=self.json_schema
            )
        return prompt

    def _answered(
        self, window: Window, text: str, given: tuple[Reply, ...], budget: Budget | None
    ) -> WindowReply:
        """What the replies to a question come to."""
        read = [self._read(text, reply, budget) for reply in given]
        replies = tuple(reply for reply, _ in read)
        found = attempt(self._chosen, window, replies, [projection for _, projection in read])
        if isinstance(found, Mishap):
            return WindowReply(window, _failed(replies[0], found), nothing(text))
        return found

    def _read(self, text: str, reply: Reply, budget: Budget | None) -> tuple[Reply, Projection]:
        """A reply and what it says; one that cannot be read is one with an error."""

        def work() -> Projection:
            return score_spans(self._projected(text, _checked(reply), budget), reply)

        found = attempt(work)
        return (
            (_failed(reply, found), nothing(text)) if isinstance(found, Mishap) else (reply, found)
        )

    def _chosen(
        self, window: Window, replies: tuple[Reply, ...], projections: Sequence[Projection]
    ) -> WindowReply:
        """The one reply, or what most of several say."""
        first, projection = replies[0], projections[0]
        samples: tuple[Reply, ...] = ()
        if self.samples > 1:
            answered = [at for at, reply in enumerate(replies) if reply.error is None]
            if answered:
                first = replies[answered[0]]
                projection = vote([projections[at] for at in answered], self.samples)
            samples = replies
        return WindowReply(window, first, projection, samples)

    def _projected(self, text: str, reply: Reply, budget: Budget | None) -> Projection:
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
        """An extraction from the answers about a text: one about all of it, or those about its
        windows.
        """
        found = attempt(self._joined, sentence, parts)
        if isinstance(found, Mishap):
            return lost(sentence, found, "\n".join(part.reply.text for part in parts))
        return found

    def _joined(self, sentence: Sentence, parts: list[WindowReply]) -> Extraction:
        (first, *others) = parts
        reply, projection = first.reply, first.projection
        if others:
            reply, projection = merge_windows(sentence.text, parts)
        if self.calibrator is not None:
            projection = self.calibrator.calibrate(projection)
        if self.min_score is not None:
            projection = drop_unsure(projection, self.min_score)
        if others:
            return Extraction(sentence, reply, projection, tuple(parts))
        return Extraction(sentence, reply, projection, (), first.samples)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result: recipe, engine, policy, version."""
        from llmner import __version__

        whole_texts = self.engine.capabilities.whole_texts
        return {
            "recipe": self.recipe.name,
            "recipe_hash": self.recipe.hash,
            "reply_format": self.read_as,
            **self.engine.describe(),
            **({} if whole_texts else {"window": self.window, "overlap": self.overlap}),
            **self._choices(),
            # Unless it is set, how far order counts follows from each reply's format.
            "policy": {
                **asdict(Policy(**self._policy)),
                "order": self._policy.get("order", "reply"),
            },
            "llmner": __version__,
        }

    def _choices(self) -> dict[str, Any]:
        """What was chosen beyond the defaults."""
        calibration = self.calibrator
        chosen = {
            "grounded": self.grounded or None,
            "json_schema": self.json_schema is not None or None,
            "samples": self.samples if self.samples > 1 else None,
            "min_score": self.min_score,
            "calibration": None if calibration is None else calibration.hash,
        }
        return {name: value for name, value in chosen.items() if value is not None}


def lost(sentence: Sentence, mishap: Mishap, reply: str = "") -> Extraction:
    """What there is of a sentence at which something failed that nobody foresaw.

    Args:
        sentence: The sentence.
        mishap: What failed.
        reply: What was answered, where it got so far.
    """
    return Extraction(sentence, _failed(Reply(reply), mishap), nothing(sentence.text))


def nothing(text: str) -> Projection:
    """The projection of no answer."""
    return Projection(text, (), (), ReadReply(status="empty"))


def _failed(reply: Reply, mishap: Mishap) -> Reply:
    """A reply of which nothing could be made. Its text stays, to find out why."""
    said = getattr(reply, "text", "")
    return Reply(said if isinstance(said, str) else "", "error", error=str(mishap))


def _checked(reply: Reply) -> Reply:
    """A reply as engines are to give it.

    Raises:
        TypeError: It is none, or a part of it is of another type: rows could not be written.
    """
    if not isinstance(reply, Reply) or not isinstance(reply.text, str):
        raise TypeError("the engine's reply is no text")
    if reply.finish_reason not in ("stop", "length", "error") or not isinstance(
        reply.error, str | None
    ):
        raise TypeError("the engine's reply has no reason why it ended")
    return reply


def _unasked(question: Question, mishap: Mishap) -> WindowReply:
    window = question.window
    text = question.sentence.text[window.start : window.end]
    return WindowReply(window, _failed(Reply(""), mishap), nothing(text))


def _checked_format(name: str) -> str:
    """The name of a format to read replies as, or ``"auto"``: readers take any other name for it.

    Raises:
        UnknownNameError: It is neither.
    """
    if name != "auto" and name not in REPLY_FORMATS:
        raise UnknownNameError(
            f"unknown reply format {name!r}", hint=f"expected auto, {', '.join(REPLY_FORMATS)}"
        )
    return name


def _whole_part(reply: Reply, format: str) -> str:
    """A grounded reply without what its limit cut through, such as a row whose name may be half of
    one.
    """
    read_as = REPLY_FORMATS.get(format)
    if reply.finish_reason == "length" and read_as is not None and read_as.whole_part is not None:
        return read_as.whole_part(reply.text)
    return reply.text
