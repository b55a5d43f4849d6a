"""What is done with a part: extracted from, projected or converted, as one process does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmner.corpora import CorpusFormat, Losses, ReadStats, corpus_formats, write_corpus
from llmner.errors import InputError, UnknownNameError
from llmner.files import ROW_COLUMN, dump_json, open_lines, parse_json, whole_file
from llmner.scaling.parts import Part, part_file, part_sentences

if TYPE_CHECKING:
    from llmner.asking import Asking, AskOptions
    from llmner.corpora import BadRow
    from llmner.extraction import Extraction, SpanExtractor
    from llmner.recipes import Recipe
    from llmner.schema import LabelSchema
    from llmner.spans import Sentence

__all__ = [
    "BAD",
    "ConvertJob",
    "ExtractJob",
    "Job",
    "PartCounts",
    "PartForm",
    "ProjectJob",
    "convertible_formats",
]

BAD = "bad"
"""The folder of bad rows, beside the parts."""

PartForm = Literal["jsonl", "parquet"]
"""How rows are written."""

OnRows = Callable[[int, int], None]
"""Called with how many rows there are more, and how many of these have no answer."""

CHAT = "chat"

_GROUP = 1000


@dataclass(slots=True)
class PartCounts:
    """What a part had.

    Attributes:
        rows: The number of rows.
        failed: Rows without an answer.
        reason: Why the first of these has none.
        blank: Answers that say nothing at all.
        bad: Rows of the input that were put aside.
        coverage: What was read, as of :class:`~llmner.extraction._coverage.Coverage`.
        outcomes: Mentions of projected replies, by outcome.
        statuses: Projected replies, by how they were read.
        repairs: Broken tags of the input that were repaired.
        first_repair: The first of them.
        notes: What else reading the input told.
        lost: What the input has and a sentence, or the format, cannot hold, by kind.
        examples: The first of each kind.
    """

    rows: int = 0
    failed: int = 0
    reason: str | None = None
    blank: int = 0
    bad: int = 0
    coverage: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    repairs: int = 0
    first_repair: str | None = None
    notes: list[str] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, other: PartCounts) -> None:
        """Count another part, too."""
        for name in ("rows", "failed", "blank", "bad", "repairs"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("coverage", "outcomes", "statuses", "lost"):
            own = getattr(self, name)
            for key, count in getattr(other, name).items():
                own[key] = own.get(key, 0) + count
        self.reason = self.reason or other.reason
        self.first_repair = self.first_repair or other.first_repair
        self.notes += [note for note in other.notes if note not in self.notes]
        for kind, example in other.examples.items():
            self.examples.setdefault(kind, example)

    def read(self, stats: ReadStats) -> None:
        """Count what reading the input told."""
        self.repairs, self.first_repair = stats.repairs, stats.first_repair
        # A part's file has a name of its own, and every part would tell the same.
        self.notes += [note for note in stats.notes if note not in self.notes]
        self.lose(stats.losses)

    def lose(self, losses: Losses) -> None:
        """Count what was lost."""
        self.add(PartCounts(lost=losses.counts, examples=losses.examples))

    def to_dict(self) -> dict[str, Any]:
        """The counts, for JSON.

        >>> PartCounts(rows=2).to_dict()["rows"]
        2
        """
        return asdict(self)


class _RowsJob:
    """What jobs share that write rows of spans."""

    to: PartForm

    @property
    def suffix(self) -> str:
        """The ending of its files' names."""
        return f".{self.to}"

    def finish(self, output: Path, target: Path) -> None:
        """Make the part's file of its rows."""
        if self.to == "parquet":
            with whole_file(target) as stream:
                _write_parquet(output, stream)
            output.unlink()
        else:
            output.replace(target)


@dataclass(frozen=True)
class ExtractJob(_RowsJob):
    """What ``extract`` does with a part.

    Attributes:
        asking: What is asked; the options themselves for a tagger.
        strict: Whether a broken tag sequence is an error.
        skip_bad: Whether bad rows are put aside.
        to: How rows are written.
    """

    asking: Asking | AskOptions
    strict: bool = False
    skip_bad: bool = False
    to: PartForm = "jsonl"
    kind: Literal["extract"] = "extract"

    def extractor(self) -> SpanExtractor:
        """The extractor; its model is loaded when it is first asked."""
        from llmner.asking import AskOptions, build, build_baseline

        if isinstance(self.asking, AskOptions):
            return build_baseline(self.asking)
        return build(self.asking)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the rows."""
        return {
            "strict": self.strict,
            "skip_bad": self.skip_bad,
            "to": self.to,
            **self.extractor().describe(),
        }

    def work(self, part: Part, output: Path, tools: dict[str, Any], on_rows: OnRows) -> PartCounts:
        """Write the rows of a part as JSON Lines, after those that are there.

        Args:
            part: The part.
            output: The file.
            tools: What this process keeps from part to part.
            on_rows: Told of rows as soon as they are there.
        """
        from llmner.extraction.runs import run_extraction
        from llmner.scaling.guarding import GuardedExtractor

        def told(extraction: Extraction) -> None:
            on_rows(1, int(extraction.reply.error is not None))

        bad: list[BadRow] = []
        stats = ReadStats()
        sentences = part_sentences(
            part, strict=self.strict, on_bad=bad.append if self.skip_bad else None, stats=stats
        )
        counts = PartCounts(bad=len(bad))
        counts.read(stats)
        _write_bad(output, bad)
        if not sentences:
            output.touch()
            return counts
        if "extractor" not in tools:
            tools["extractor"] = loaded(self.extractor())
        guarded = GuardedExtractor(tools["extractor"], output.with_suffix(".trial"))
        summary = run_extraction(guarded, sentences, output, source=part.name, on_extraction=told)
        counts.rows, counts.failed = summary.sentences, summary.unanswered
        counts.reason, counts.blank = summary.reason, summary.blank
        counts.coverage = asdict(summary.coverage)
        return counts


@dataclass(frozen=True)
class ProjectJob(_RowsJob):
    """What ``project`` does with a part: lines of replies become rows.

    Attributes:
        schema: The labels; ``None`` takes labels as replies have them.
        reply_format: The replies' format, or ``auto``.
        policy: Options of projection.
        skip_bad: Whether bad rows are put aside.
        to: How rows are written.
    """

    schema: LabelSchema | None
    reply_format: str = "auto"
    policy: Mapping[str, Any] = field(default_factory=dict)
    skip_bad: bool = False
    to: PartForm = "jsonl"
    kind: Literal["project"] = "project"

    def describe(self) -> dict[str, Any]:
        """Everything that decides the rows."""
        from llmner import __version__

        schema = None if self.schema is None else self.schema.model_dump(mode="json")
        return {
            "llmner": __version__,
            "labels": schema,
            "reply_format": self.reply_format,
            "policy": dict(self.policy),
            "skip_bad": self.skip_bad,
            "to": self.to,
        }

    def work(self, part: Part, output: Path, tools: dict[str, Any], on_rows: OnRows) -> PartCounts:
        """Write the rows of a part; see :meth:`ExtractJob.work`."""
        from llmner.extraction.projecting import ProjectionSummary, project_rows

        bad: list[BadRow] = []
        summary = ProjectionSummary()
        with part_file(part) as path, whole_file(output) as stream:
            rows = project_rows(
                open_lines(path),
                part.place,
                self.schema,
                reply_format=self.reply_format,
                policy=self.policy,
                on_bad=bad.append if self.skip_bad else None,
                summary=summary,
            )
            for row in rows:
                stream.write(dump_json(row) + b"\n")
                on_rows(1, int("error" in row))
        _write_bad(output, bad)
        return PartCounts(
            summary.rows,
            len(summary.failures),
            next(iter(summary.failures), None),
            bad=len(bad),
            outcomes=dict(summary.outcomes),
            statuses=dict(summary.statuses),
        )


@dataclass(frozen=True)
class ConvertJob:
    """What ``convert`` does with a part.

    Attributes:
        to: The format, or ``chat``.
        recipe: The recipe of chat rows.
        prompt_completion: Whether these are prompts and completions.
        strict: Whether a broken tag sequence, or what the format cannot hold, is an error.
        skip_bad: Whether bad rows are put aside.

    Raises:
        UnknownNameError: There is no such format, or parts of it are no file of it.
    """

    to: str
    recipe: Recipe | None = None
    prompt_completion: bool = False
    strict: bool = False
    skip_bad: bool = False
    kind: Literal["convert"] = "convert"

    def __post_init__(self) -> None:
        expected = convertible_formats()
        if self.to not in expected:
            raise UnknownNameError(
                f"{self.to!r} cannot be written in parts", hint=f"expected {', '.join(expected)}"
            )
        if (self.to == CHAT) != (self.recipe is not None):
            raise InputError(f"a recipe is for {CHAT} alone", hint=f"{CHAT} needs one")

    @property
    def suffix(self) -> str:
        """The ending of its files' names."""
        if self.to == CHAT:
            return ".jsonl"
        format = corpus_formats()[self.to]
        if format.suffixes:
            return format.suffixes[0]
        return ".jsonl" if format.looks_like_rows is not None else ".txt"

    def describe(self) -> dict[str, Any]:
        """Everything that decides the rows."""
        from llmner import __version__

        return {
            "llmner": __version__,
            "to": self.to,
            "recipe": None if self.recipe is None else self.recipe.model_dump(mode="json"),
            "prompt_completion": self.prompt_completion,
            "strict": self.strict,
            "skip_bad": self.skip_bad,
        }

    def work(self, part: Part, output: Path, tools: dict[str, Any], on_rows: OnRows) -> PartCounts:
        """Write the sentences of a part; see :meth:`ExtractJob.work`."""
        from llmner.recipes.chat import write_chat

        bad: list[BadRow] = []
        stats, losses = ReadStats(), Losses(strict=self.strict)
        sentences = part_sentences(
            part,
            strict=self.strict,
            labels=None if self.recipe is None else self.recipe.schema_.codes,
            on_bad=bad.append if self.skip_bad else None,
            stats=stats,
        )

        def counted() -> Iterator[Sentence]:
            for sentence in sentences:
                yield sentence
                on_rows(1, 0)

        if self.recipe is not None:
            completion = self.prompt_completion
            count = write_chat(counted(), output, self.recipe, prompt_completion=completion)
        else:
            count = write_corpus(counted(), output, self.to, losses=losses)
        _write_bad(output, bad)
        counts = PartCounts(count, bad=len(bad))
        counts.read(stats)
        counts.lose(losses)
        return counts

    def finish(self, output: Path, target: Path) -> None:
        """The part's file is what was written."""
        output.replace(target)


Job = ExtractJob | ProjectJob | ConvertJob


def convertible_formats() -> list[str]:
    """The formats that can be written in parts: each is a file, and all of them are one.

    >>> "spans" in convertible_formats(), "label-studio" in convertible_formats()
    (True, False)
    """
    return [CHAT, *(name for name, own in corpus_formats().items() if _is_divisible(own))]


def _is_divisible(format: CorpusFormat) -> bool:
    if format.write is None:
        # A Parquet file of several parts is a folder of files, which all its readers take.
        return format.write_whole is not None and ".parquet" in format.suffixes
    return not (format.header or format.between or format.footer)


def loaded(extractor: SpanExtractor) -> SpanExtractor:
    """The extractor, with its model loaded: what fails there is no sentence's doing.

    Raises:
        GenerationError: The model cannot be loaded.
    """
    engine = getattr(extractor, "engine", None)
    load = getattr(engine, "load", None)
    if callable(load):
        load()
    return extractor


def _write_bad(output: Path, bad: Sequence[BadRow]) -> None:
    """Put bad rows beside the parts."""
    if not bad:
        return
    folder = output.parent.parent / BAD
    folder.mkdir(exist_ok=True)
    with whole_file(folder / f"{output.stem}.jsonl") as stream:
        for row in bad:
            stream.write(dump_json({"error": str(row.error), "row": row.raw}) + b"\n")


def _write_parquet(rows: Path, stream: Any) -> None:
    """Write rows as Parquet: what queries ask for in columns, and each row as a whole, as JSON."""
    import pyarrow as arrow
    from pyarrow import parquet

    text, number = arrow.string(), arrow.int64()
    span = {"start": number, "end": number, "label": text, "score": arrow.float64()}
    schema = arrow.schema(
        {
            "id": text,
            "text": text,
            "spans": arrow.list_(arrow.struct(list(span.items()))),
            "labels": arrow.list_(arrow.struct([("label", text), ("score", arrow.float64())])),
            "error": text,
            ROW_COLUMN: text,
        }
    )

    def columns(line: str) -> dict[str, Any]:
        row = parse_json(line)
        return {
            **_chosen(row, ("id", "text", "error")),
            "spans": [_chosen(own, span) for own in row.get("spans", [])],
            "labels": [_chosen(own, ("label", "score")) for own in row.get("labels", [])],
            ROW_COLUMN: line,
        }

    with parquet.ParquetWriter(stream, schema) as writer:
        waiting: list[dict[str, Any]] = []
        for _, line in open_lines(rows):
            waiting.append(columns(line))
            if len(waiting) == _GROUP:
                writer.write_table(arrow.Table.from_pylist(waiting, schema))
                waiting = []
        if waiting:
            writer.write_table(arrow.Table.from_pylist(waiting, schema))


def _chosen(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Fields of a row, without halves of characters, which Parquet's strings cannot hold."""
    found = {name: row.get(name) for name in names}
    return {
        name: own.encode("utf-8", "replace").decode() if isinstance(own, str) else own
        for name, own in found.items()
    }
