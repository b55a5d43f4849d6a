"""The whole line: recipe, engine and projector in one object.

What keeps its rows on disk is ``runs``; what a run is scored by is ``scoring``'s; what it prints is ``cli``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, get_args

from llmner.chat import Prompt, build_prompt
from llmner.corpora.jsonl import span_rows
from llmner.errors import InputError, SpanError
from llmner.generation import Generator, Reply, create_generator
from llmner.generation.adapters import PACKAGED_ADAPTER, find_adapter
from llmner.projection import Outcome, OutcomeKind, Policy, Projection, project_reply
from llmner.recipes import Recipe
from llmner.spans import Mention, Sentence, Span

__all__ = ["Extraction", "Extractor"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was made of one sentence.

    Attributes:
        sentence: The sentence asked about, gold spans and all.
        reply: What the engine answered.
        projection: Spans and outcomes, and how the reply was read.
    """

    sentence: Sentence
    reply: Reply
    projection: Projection

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans found."""
        return self.projection.spans

    def row(self) -> dict[str, Any]:
        """One row of ``extract``'s output: a spans row with outcomes, raw reply and reading status."""
        known: dict[str, str] = {"finish_reason": self.reply.finish_reason}
        if self.reply.error is not None:
            known["error"] = self.reply.error
        return projection_row(self.sentence.id, self.projection, self.reply.text, **known)


def projection_row(id: str | None, projection: Projection, reply: str, **known: str) -> dict[str, Any]:
    """A projected reply as JSON has it; ``known`` is what else there is to say of the reply."""
    read = projection.reply
    assert read is not None
    return {
        "id": id,
        "text": projection.text,
        "spans": span_rows(projection.spans),
        "outcomes": outcome_rows(projection.outcomes),
        "reply": reply,
        **known,
        "status": read.status,
        "repairs": list(read.repairs),
    }


def outcome_rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Outcomes as JSON has them: label, surface, kind, place, similarity, reason, repeats if any."""
    return [
        {
            "label": outcome.mention.label if outcome.span is None else outcome.span.label,
            "text": outcome.mention.text,
            "kind": outcome.kind,
            "start": None if outcome.span is None else outcome.span.start,
            "end": None if outcome.span is None else outcome.span.end,
            "similarity": round(outcome.similarity, 4),
            "reason": outcome.reason,
            **({"repeats": span_rows(outcome.repeats)} if outcome.repeats else {}),
        }
        for outcome in outcomes
    ]


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """The outcome in one of :func:`outcome_rows`.

    Raises:
        ValueError: A kind that does not exist, or a place that is none.
    """
    start, end, label = row.get("start"), row.get("end"), str(row.get("label"))
    kind: OutcomeKind | None = next((k for k in get_args(OutcomeKind) if k == row.get("kind")), None)
    if kind is None:
        raise ValueError(f"outcome kind {row.get('kind')!r} is unknown")
    similarity = row.get("similarity")
    try:
        span = None if start is None or end is None else Span(start, end, label)
    except (SpanError, TypeError):
        raise ValueError(f"an outcome at [{start!r}, {end!r})") from None
    return Outcome(
        Mention(label, str(row.get("text", ""))),
        kind,
        span,
        float(similarity) if isinstance(similarity, int | float) else 0.0,
        str(row.get("reason") or ""),
        tuple(_repeats(row.get("repeats", []))),
    )


def _repeats(rows: Any) -> Iterator[Span]:
    for row in rows if isinstance(rows, list) else ():
        try:
            yield Span(row["start"], row["end"], row["label"], row.get("score"))
        except (SpanError, TypeError, KeyError, AttributeError):
            raise ValueError(f"an outcome's repeat is {row!r}") from None


class Extractor:
    """A recipe, an engine and a projection policy.

    Args:
        recipe: What to ask.
        generator: What answers.
        batch_size: Sentences handed to the engine at once; it may split them further.
        read_as: Reply format to read replies as; ``None`` for the one the recipe asks for, ``"auto"``
            for replies that may have been asked for by another prompt.
        **policy: Fields of :class:`llmner.projection.Policy`.

    Raises:
        TypeError: A policy field that does not exist.
    """

    def __init__(
        self,
        recipe: Recipe,
        generator: Generator,
        *,
        batch_size: int = 32,
        read_as: str | None = None,
        **policy: Any,
    ) -> None:
        Policy(**policy)
        if batch_size < 1:
            raise InputError(f"batch size {batch_size} is not positive")
        self.recipe = recipe
        self.generator = generator
        self.batch_size = batch_size
        self.read_as = read_as or recipe.reply_format
        self._policy = policy

    @classmethod
    def from_adapter(cls, name: str = PACKAGED_ADAPTER, **options: Any) -> Extractor:
        """A fine-tuned model with the recipe it was trained with; by default the one in the package.

        Args:
            name: An adapter's folder, or ``USER/NAME`` on the Hub.
            **options: Those of the transformers engine (``model``, ``batch_size``, ``device``, ...).

        Raises:
            InputError: No such adapter, or one without a recipe.
            GenerationError: The Hub does not have it.
            MissingExtraError: The ``local`` extra is not installed.
        """
        adapter = find_adapter(name)
        options.setdefault("model", adapter.model)
        return cls(adapter.recipe, create_generator("transformers", adapter=adapter, **options))

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        """Extract from every sentence, in order, a batch at a time; memory stays that of a batch.

        Raises:
            GenerationError: The engine could not answer.
        """
        source = iter(sentences)
        while batch := list(islice(source, self.batch_size)):
            asked = [item if isinstance(item, Sentence) else Sentence(item) for item in batch]
            prompts: list[Prompt] = [build_prompt(self.recipe, sentence) for sentence in asked]
            for sentence, reply in zip(asked, self.generator.generate(prompts), strict=True):
                projection = project_reply(
                    sentence.text, reply.text, self.recipe.schema_, self.read_as, **self._policy
                )
                yield Extraction(sentence, reply, projection)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result: recipe, engine, policy, version."""
        from llmner import __version__

        return {
            "recipe": self.recipe.name,
            "recipe_hash": self.recipe.hash,
            "reply_format": self.read_as,
            **self.generator.describe(),
            # Unless it is set, how far order counts follows from each reply's format.
            "policy": {**asdict(Policy(**self._policy)), "order": self._policy.get("order", "reply")},
            "llmner": __version__,
        }
