"""The whole line: recipe, engine and projector in one object; and runs that survive being killed.

What a run is scored by is ``scoring``'s; what it prints is ``cli``'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from llmner._files import check_output, dump_json, open_lines, parse_row
from llmner._merging import WindowReply, merge_windows, window_rows
from llmner._questions import ask_about
from llmner.chat import build_prompt
from llmner.corpora.jsonl import span_rows
from llmner.errors import CorpusError, InputError, SpanError
from llmner.generation import Generator, Reply, create_generator
from llmner.generation.adapters import PACKAGED_ADAPTER, find_adapter
from llmner.projection import Outcome, OutcomeKind, Policy, Projection, project_reply
from llmner.recipes import Recipe
from llmner.spans import Mention, Sentence, Span
from llmner.windows import check_windows

__all__ = ["Extraction", "Extractor", "WindowReply", "run_extraction", "run_record"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was made of one sentence.

    Attributes:
        sentence: The sentence asked about, gold spans and all.
        reply: What the engine answered. Of a long text: all windows' replies, a line break between two.
        projection: Spans and outcomes, and how the reply was read.
        windows: Of a long text: what was answered about each window; empty where it was asked about whole.
    """

    sentence: Sentence
    reply: Reply
    projection: Projection
    windows: tuple[WindowReply, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans found."""
        return self.projection.spans

    def row(self) -> dict[str, Any]:
        """One row of ``extract``'s output: a spans row with outcomes, raw reply and reading status.

        A long text's has its windows too: place, raw reply and reading status of each.
        """
        known: dict[str, str] = {"finish_reason": self.reply.finish_reason}
        if self.reply.error is not None:
            known["error"] = self.reply.error
        row = projection_row(self.sentence.id, self.projection, self.reply.text, **known)
        return row | {"windows": window_rows(self.windows)} if self.windows else row


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

    Texts of more than ``window`` characters are asked about in windows (:func:`llmner.windows.split_windows`);
    so is a text whose prompt does not fit into the model, where the engine can tell.

    Args:
        recipe: What to ask.
        generator: What answers.
        batch_size: Sentences, or windows of longer texts, handed to the engine at once; it may split them
            further.
        read_as: Reply format to read replies as; ``None`` for the one the recipe asks for, ``"auto"``
            for replies that may have been asked for by another prompt.
        window: Longest stretch of a text to ask about at once, in characters (code points).
        overlap: Longest context on either side of what a window is asked for, in characters.
        **policy: Fields of :class:`llmner.projection.Policy`.

    Raises:
        TypeError: A policy field that does not exist.
        InputError: A batch size or window below 1, or an overlap below 0 or not below the window.
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
        **policy: Any,
    ) -> None:
        Policy(**policy)
        check_windows(window, overlap)
        if batch_size < 1:
            raise InputError(f"batch size {batch_size} is not positive")
        self.recipe = recipe
        self.generator = generator
        self.batch_size = batch_size
        self.read_as = read_as or recipe.reply_format
        self.window = window
        self.overlap = overlap
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
        """Extract from every sentence, in order, a batch at a time.

        Memory stays that of a batch and of the replies to one text, however long the texts are.

        Raises:
            GenerationError: The engine could not answer.
        """
        asked = (item if isinstance(item, Sentence) else Sentence(item) for item in sentences)
        questions = ask_about(asked, self.recipe, self.generator, self.window, self.overlap)
        parts: list[WindowReply] = []
        while batch := list(islice(questions, self.batch_size)):
            replies = self.generator.generate([question.prompt for question in batch])
            for question, reply in zip(batch, replies, strict=True):
                projection = project_reply(
                    question.prompt.text, reply.text, self.recipe.schema_, self.read_as, **self._policy
                )
                parts.append(WindowReply(question.window, reply, projection))
                if question.last:
                    yield _extraction(question.sentence, parts)
                    parts = []

    def describe(self) -> dict[str, Any]:
        """Everything that decides the result: recipe, engine, policy, version."""
        from llmner import __version__

        whole_texts = getattr(self.generator, "whole_texts", False)
        return {
            "recipe": self.recipe.name,
            "recipe_hash": self.recipe.hash,
            "reply_format": self.read_as,
            **self.generator.describe(),
            **({} if whole_texts else {"window": self.window, "overlap": self.overlap}),
            # Unless it is set, how far order counts follows from each reply's format.
            "policy": {**asdict(Policy(**self._policy)), "order": self._policy.get("order", "reply")},
            "llmner": __version__,
        }


def _extraction(sentence: Sentence, parts: list[WindowReply]) -> Extraction:
    """An extraction from the answers about a text: one about all of it, or those about its windows."""
    if len(parts) == 1:
        return Extraction(sentence, parts[0].reply, parts[0].projection)
    return Extraction(sentence, *merge_windows(sentence.text, parts), tuple(parts))


def run_record(output: Path) -> dict[str, Any] | None:
    """What ``extract`` wrote down about the run that made ``output``, or ``None``."""
    try:
        record = json.loads(_record_path(output).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _record_path(output: Path) -> Path:
    return output.with_name(f"{output.name}.run.json")


def run_extraction(
    extractor: Extractor,
    sentences: Iterable[Sentence],
    output: Path,
    *,
    source: str,
    restart: bool = False,
    on_extraction: Callable[[Extraction], None] | None = None,
    on_resume: Callable[[int], None] | None = None,
) -> int:
    """Extract into a JSON Lines file, going on where an interrupted run stopped.

    Rows go to ``OUTPUT.partial``, flushed to disk after every batch, and become ``OUTPUT`` when all are
    there; ``OUTPUT.run.json`` then keeps what decided the result. A ``kill -9`` loses at most the batch in
    flight. A partial file of another recipe, model, policy or input is refused, never mixed.

    Args:
        extractor: What extracts.
        sentences: The sentences, the same ones in the same order when resuming.
        output: The file to write.
        source: What the sentences are, for the record (a file and its hash).
        restart: Throw away what an interrupted run left.
        on_extraction: Called with each extraction of this call.
        on_resume: Called with the number of sentences already there.

    Returns:
        The number of sentences in the file.

    Raises:
        InputError: The partial file belongs to another run, or the output cannot be written.
        GenerationError: The engine could not answer; what was done stays.
    """
    check_output(output)
    partial = output.with_name(f"{output.name}.partial")
    record = {"input": source, **extractor.describe()}
    # The record of an earlier, finished run stays until its output is replaced.
    record_path = _record_path(partial)
    done = 0
    items = iter(sentences)
    if partial.exists() and not restart:
        known = run_record(partial)
        # JSON has no tuples and sorts nothing: compare what was written with what would be.
        if known != json.loads(dump_json(record)):
            differing = sorted(k for k in {*record, *(known or {})} if (known or {}).get(k) != record.get(k))
            raise InputError(
                f"an interrupted run lies there with another {', '.join(differing) or 'record'}",
                path=partial,
                hint="finish it as it was begun, or start over with --restart",
            )
        done = _resume(partial, items, extractor)
        if on_resume is not None:
            on_resume(done)
    else:
        partial.unlink(missing_ok=True)
    record_path.write_bytes(dump_json(record, indent=2) + b"\n")
    with partial.open("ab") as stream:
        pending = 0
        for extraction in extractor.extract(items):
            stream.write(dump_json(extraction.row()) + b"\n")
            done += 1
            pending += 1
            if pending >= extractor.batch_size:
                stream.flush()
                os.fsync(stream.fileno())
                pending = 0
            if on_extraction is not None:
                on_extraction(extraction)
    if not done:
        partial.unlink()
        record_path.unlink()
        raise CorpusError("holds no sentence", path=source)
    partial.replace(output)
    record_path.replace(_record_path(output))
    return done


def _resume(partial: Path, items: Iterator[Sentence], extractor: Extractor) -> int:
    """Pass over the sentences that are done; a row that was cut off by a kill is dropped.

    An engine whose answers depend on what it was asked before (``recorded``) is told of them.
    """
    skip = getattr(extractor.generator, "skip", None)
    data = partial.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        partial.write_bytes(whole)
    done = 0
    for number, line in open_lines(partial):
        row = parse_row(partial, number, line)
        sentence = next(items, None)
        if sentence is None or row.get("text") != sentence.text or row.get("id") != sentence.id:
            raise InputError(
                "the interrupted run's sentences are not the input's",
                path=partial,
                line=number,
                hint="start over with --restart",
            )
        if skip is not None:
            skip(build_prompt(extractor.recipe, sentence))
        done += 1
    return done
