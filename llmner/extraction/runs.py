"""Extraction runs that can be resumed: rows are on disk as soon as they are made.

A run that was killed goes on after its last row. Rows of another recipe, model, policy or input are
refused, never mixed. ``_run_files`` says which files there are.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmner.errors import CorpusError, InputError
from llmner.extraction._coverage import Coverage
from llmner.extraction._extraction import Extraction, SpanExtractor
from llmner.extraction._run_files import (
    USAGE,
    cached_rows,
    check_record,
    drop_abandoned_rows,
    drop_half_row,
    drop_rows,
    finish_moves,
    finished_record_path,
    open_alone,
    partial_path,
    record_path,
    retry_path,
    run_record,
    write_record,
)
from llmner.extraction.extractor import Extractor
from llmner.extraction.rows import is_blank_row
from llmner.files import (
    check_output,
    dump_json,
    kind_of,
    open_lines,
    parse_row,
    replace_file,
    target_of,
    whole_file,
)
from llmner.recipes.chat import build_prompt
from llmner.spans import Sentence

__all__ = [
    "KeptAnswers",
    "RunSummary",
    "cached_rows",
    "check_replaceable",
    "drop_rows",
    "kept_rows",
    "partial_path",
    "retry_failed",
    "run_extraction",
    "run_plan",
    "run_record",
]


@dataclass(slots=True)
class RunSummary:
    """The result of a run, in numbers.

    Attributes:
        sentences: The number of rows.
        unanswered: The number of rows without an answer.
        reason: Why the first of these has no answer.
        blank: The number of answers that say nothing at all.
        coverage: What was read, and what it cost.

    >>> summary = RunSummary()
    >>> summary.add({"text": "손흥민은", "reply": "-"})
    >>> summary.add({"text": "춘천에서", "reply": "", "error": "timed out"})
    >>> summary
    RunSummary(sentences=2, unanswered=1, reason='timed out', blank=0)
    """

    sentences: int = 0
    unanswered: int = 0
    reason: str | None = None
    blank: int = 0
    coverage: Coverage = field(default_factory=Coverage, repr=False)

    def add(self, row: Mapping[str, Any], extraction: Extraction | None = None) -> None:
        """Count the row of a sentence; its ``error`` says why it has no answer.

        Args:
            row: The row.
            extraction: Its extraction, if it is new.
        """
        self.sentences += 1
        self.coverage.add(row)
        if extraction is not None:
            self.coverage.ask(extraction)
        error = row.get("error")
        if error is not None:
            self.unanswered += 1
            self.reason = self.reason or str(error)
        self.blank += is_blank_row(row)


def kept_rows(
    extractor: SpanExtractor,
    sentences: Iterable[Sentence],
    path: Path,
    record: Mapping[str, Any],
    *,
    restart: bool = False,
    on_resume: Callable[[int], None] | None = None,
) -> Iterator[tuple[dict[str, Any], Extraction | None]]:
    """Yield the row of every sentence, in order: first those that are in ``path``, then new ones.

    A new row is written to the file before it is yielded, and synced to disk by the end of its
    batch.

    Args:
        extractor: The extractor.
        sentences: The sentences; when resuming, the same ones in the same order.
        path: The file of rows.
        record: Everything that decides the rows. It must equal the record of rows that are there.
        restart: Throw away the rows of an interrupted run.
        on_resume: Called with the number of rows that were there, before the first new one.

    Yields:
        The row, and its extraction if it is new.

    Raises:
        InputError: The rows belong to another run, another process is writing them, or they cannot
            be written.
        GenerationError: The engine could not answer. Rows that were made are kept.
    """
    record = json.loads(dump_json(record))
    items = iter(sentences)
    with open_alone(path) as stream:
        done = 0
        try:
            if drop_half_row(stream) and not restart:
                check_record(run_record(path), record, path, "an interrupted run lies there")
                for row in _resumed(path, items, extractor):
                    done += 1
                    yield row, None
                if on_resume is not None:
                    on_resume(done)
            else:
                stream.truncate(0)
                write_record(path, record)
            for extraction in extractor.extract(items):
                row = extraction.row()
                stream.write(dump_json(row) + b"\n")
                stream.flush()
                done += 1
                if done % extractor.batch_size == 0:
                    os.fsync(stream.fileno())
                yield row, extraction
            os.fsync(stream.fileno())
        finally:
            if not os.fstat(stream.fileno()).st_size:
                drop_rows(path)


def run_plan(source: str, extractor: SpanExtractor) -> dict[str, Any]:
    """What decides the result of a run, as its record has it.

    Args:
        source: The name of the input.
        extractor: The extractor.
    """
    plan: dict[str, Any] = json.loads(dump_json({"input": source, **extractor.describe()}))
    return plan


def check_replaceable(output: Path, source: str, extractor: SpanExtractor) -> None:
    """Make sure that a finished output, if there is one, is of the same run as the next one.

    No model is loaded. A run that was begun in place of the output, and then interrupted, goes on.

    Args:
        output: The file to write.
        source: The name of the input.
        extractor: The extractor.

    Raises:
        InputError: Another input, other options or other answers gave it.
    """
    output = target_of(output)
    if kind_of(output) != "file":
        return
    made, plan = run_record(output), run_plan(source, extractor)
    begun = run_record(partial_path(output))
    if made is None and begun != plan and output.stat().st_size:
        raise InputError(
            "is there already, and no run made it",
            path=output,
            hint="name another output, or replace this one with --restart",
        )
    if made is not None and plan not in (made, begun):
        check_record(
            made,
            plan,
            output,
            "was made",
            "name another output, or replace this one with --restart",
        )


def run_extraction(
    extractor: SpanExtractor,
    sentences: Iterable[Sentence],
    output: Path,
    *,
    source: str,
    restart: bool = False,
    on_extraction: Callable[[Extraction], None] | None = None,
    on_resume: Callable[[int], None] | None = None,
) -> RunSummary:
    """Extract into a JSON Lines file, resuming an interrupted run.

    Rows go to ``OUTPUT.partial``, which becomes ``OUTPUT`` when all are there. ``OUTPUT.run.json``
    then records what decided the result. A ``kill -9`` loses one batch at most. A sentence without
    an answer has a row with ``error``. Resuming does not ask again about it; :func:`retry_failed`
    does.

    Args:
        extractor: The extractor.
        sentences: The sentences; when resuming, the same ones in the same order.
        output: The file to write.
        source: The name of the input, for the record (a file and its hash).
        restart: Throw away the rows of an interrupted run.
        on_extraction: Called with each new extraction.
        on_resume: Called with the number of sentences that are done already.

    Raises:
        InputError: The partial file belongs to another run, or the output cannot be written.
        CorpusError: There are no sentences.
        GenerationError: The engine could not answer. Rows that were made are kept.

    >>> import tempfile
    >>> from llmner import Recipe, Sentence
    >>> from llmner.engines import Reply
    >>> class Echo:
    ...     def generate(self, prompts):
    ...         return [Reply('{"PS": ["손흥민"]}') for _ in prompts]
    ...
    ...     def describe(self):
    ...         return {"engine": "echo"}
    >>> extractor = Extractor(Recipe.load("klue"), Echo())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     output = Path(folder, "rows.jsonl")
    ...     run_extraction(extractor, [Sentence("손흥민은 춘천에서")], output, source="example")
    RunSummary(sentences=1, unanswered=0, reason=None, blank=0)
    """
    check_output(output)
    if kind_of(output) == "special":
        raise InputError(
            "is not a regular file", path=output, hint="name a file, or - for standard output"
        )
    output = target_of(output)
    partial = partial_path(output)
    # The longest of all names next to it: if it is too long, this fails now and not at the end.
    check_output(finished_record_path(output))
    record = run_plan(source, extractor)
    summary = RunSummary()
    if finish_moves(output) and not restart and run_record(output) == record:
        for number, line in open_lines(output):
            summary.add(parse_row(output, number, line))
        if on_resume is not None:
            on_resume(summary.sentences)
        return summary
    rows = kept_rows(extractor, sentences, partial, record, restart=restart, on_resume=on_resume)
    for row, extraction in rows:
        summary.add(row, extraction)
        if extraction is not None and on_extraction is not None:
            on_extraction(extraction)
    if not summary.sentences:
        raise CorpusError("holds no sentence", path=source)
    usage = summary.coverage.usage()
    if usage:
        write_record(partial, record | {USAGE: usage})
    # The record of an earlier, finished run stays until its output is replaced.
    record_path(partial).replace(finished_record_path(output))
    replace_file(partial, output)
    finish_moves(output)
    drop_abandoned_rows(retry_path(output))
    return summary


class KeptAnswers:
    """Where an evaluation keeps an engine's answers, so that it can go on after an interruption.

    They are kept beside the evaluation's output, or in the user's cache if it has none.

    Args:
        output: The evaluation's output.
    """

    def __init__(self, output: Path | None = None) -> None:
        # A device or a pipe has no place beside it.
        self._beside = (
            None if output is None or kind_of(output) == "special" else partial_path(output)
        )
        self._paths: list[Path] = []

    def path(self, record: Mapping[str, Any]) -> Path | None:
        """The file for the answers that ``record`` decides; ``None`` if none can be written.

        This is the ``keep`` of :func:`llmner.scoring.from_extractor`.
        """
        path = cached_rows(record) if self._beside is None else self._beside
        if path is not None:
            self._paths.append(path)
        return path

    def folder(self, record: Mapping[str, Any]) -> Path:
        """A folder for the answers that ``record`` decides, in parts; who fills it removes it."""
        path = cached_rows(record) if self._beside is None else self._beside
        if path is None:
            return Path(tempfile.mkdtemp(prefix="llmner-"))
        return path.with_name(f"{path.name}.parts")

    def drop(self) -> None:
        """Remove the files: the evaluation is done."""
        for path in self._paths:
            drop_rows(path)


def retry_failed(
    extractor: SpanExtractor,
    sentences: Iterable[Sentence],
    output: Path,
    *,
    source: str,
    on_failures: Callable[[int], None] | None = None,
    on_extraction: Callable[[Extraction], None] | None = None,
    on_resume: Callable[[int], None] | None = None,
) -> RunSummary:
    """Ask again about the sentences of a finished run that have no answer, and replace their rows.

    The new rows are kept in ``OUTPUT.retry`` until all are there. ``OUTPUT`` changes in one step.

    Args:
        extractor: The extractor, as it was in the finished run.
        sentences: The sentences of the finished run.
        output: Its file.
        source: The name of the input, as it was in the finished run.
        on_failures: Called with the number of sentences to ask about again.
        on_extraction: Called with each new extraction.
        on_resume: Called with the number of answers that an interrupted retry left.

    Raises:
        InputError: There is no finished run, or it has another recipe, model, policy or input.
        GenerationError: The engine could not answer. Rows that were made are kept.
    """
    check_output(output)
    requested, output = output, target_of(output)
    check_output(finished_record_path(output))
    finish_moves(output)
    if kind_of(output) != "file":
        raise InputError(
            "there is no finished run",
            path=requested,
            hint="finish it first, without --retry-failed",
        )
    record = run_plan(source, extractor)
    check_record(run_record(output), record, output, "was made", "use the options of that run")
    summary = RunSummary()
    failed: list[Sentence] = []
    items = iter(sentences)
    digest = hashlib.sha256()
    for row, sentence in _matched(output, items):
        digest.update(dump_json(row))
        summary.add(row)
        if row.get("error") is not None:
            failed.append(sentence)
    if next(items, None) is not None:
        raise InputError(
            "has fewer rows than the input", path=output, hint="extract the input again"
        )
    if on_failures is not None:
        on_failures(len(failed))
    rows = retry_path(output)
    if not failed:
        drop_abandoned_rows(rows)
        return summary
    # Answers to the failed sentences of an output that was replaced since must not be used.
    record |= {"retry_of": digest.hexdigest()}
    answers: list[dict[str, Any]] = []
    restart = run_record(rows) != record
    for row, extraction in kept_rows(
        extractor, failed, rows, record, restart=restart, on_resume=on_resume
    ):
        answers.append(row)
        if extraction is not None and on_extraction is not None:
            on_extraction(extraction)
    new_rows = iter(answers)
    summary = RunSummary()
    with whole_file(output) as stream:
        for number, line in open_lines(output):
            if not line:
                continue
            row = parse_row(output, number, line)
            if row.get("error") is not None:
                row = next(new_rows)
                line = dump_json(row).decode()
            summary.add(row)
            stream.write(f"{line}\n".encode())
        stream.flush()
        os.fsync(stream.fileno())
    drop_rows(rows)
    return summary


def _matched(path: Path, items: Iterator[Sentence]) -> Iterator[tuple[dict[str, Any], Sentence]]:
    """Yield each row with its sentence.

    Raises:
        InputError: A row is not that of the next sentence.
    """
    for number, line in open_lines(path):
        if not line:
            continue
        row = parse_row(path, number, line)
        sentence = next(items, None)
        if sentence is None or row.get("text") != sentence.text or row.get("id") != sentence.id:
            raise InputError(
                "this row is not that of the next sentence of the input",
                path=path,
                line=number,
                hint="start over with --restart",
            )
        yield row, sentence


def _resumed(
    path: Path, items: Iterator[Sentence], extractor: SpanExtractor
) -> Iterator[dict[str, Any]]:
    """Yield the rows that are there, and skip the recorded replies to their sentences."""
    recorded = extractor.engine.recorded() if isinstance(extractor, Extractor) else None
    for row, sentence in _matched(path, items):
        if recorded is not None and isinstance(extractor, Extractor):
            recorded.skip(build_prompt(extractor.recipe, sentence))
        yield row
