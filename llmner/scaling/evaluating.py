"""Evaluations whose sentences are asked about on many processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from llmner.errors import LlmnerError
from llmner.files import RUN_FILE, kind_of, read_jsonl, write_jsonl
from llmner.scaling.clusters import Cluster
from llmner.scaling.jobs import ExtractJob
from llmner.scaling.running import JobProgress, JobSummary, run_job
from llmner.scoring import Prediction, Source
from llmner.spans import Sentence

__all__ = ["from_job"]

_TEXTS, _ROWS = "texts.jsonl", "rows"


def from_job(
    name: str,
    job: ExtractJob,
    corpus: Sequence[Sentence],
    folder: Path,
    *,
    cluster: Cluster | None = None,
    restart: bool = False,
    on_progress: Callable[[JobProgress], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Source:
    """Predictions from a job: what an engine or tagger says when many processes ask it.

    They are those of :func:`llmner.scoring.from_extractor`. Nothing is asked before they are
    scored.

    Args:
        name: Its name in reports and errors.
        job: What is asked.
        corpus: The gold sentences; workers are given their texts and ids alone.
        folder: Where texts and answers are kept, which all machines must see. An evaluation that
            was interrupted goes on with what is there; who scores removes it.
        cluster: Where it runs.
        restart: Throw away what an interrupted evaluation kept.
        on_progress: See :func:`~llmner.scaling.run_job`.
        report: Called with a sentence about Ray.

    >>> from llmner.asking import AskOptions
    >>> job = ExtractJob(AskOptions.of(engine="baseline:build/crf"))
    >>> source = from_job("crf", job, corpus, Path("kept"))  # doctest: +SKIP
    >>> source.predict(range(10))[0].spans  # doctest: +SKIP
    """

    def predict(numbers: Sequence[int]) -> list[Prediction]:
        sentences = [corpus[number] for number in numbers]
        folder.mkdir(parents=True, exist_ok=True)
        texts, rows = folder / _TEXTS, folder / _ROWS
        write_jsonl(texts, ({"id": own.id, "text": own.text} for own in sentences))
        summary = run_job(
            job,
            [texts],
            rows,
            format="spans",
            cluster=cluster,
            restart=restart,
            on_progress=on_progress,
            report=report,
        )
        check_whole(summary)
        found = [Prediction.of_row(row, rows, line) for line, row in read_jsonl(rows)]
        if len(found) != len(sentences):
            raise LlmnerError(f"{len(sentences)} sentences have {len(found)} rows")
        return found

    return Source(name, job.extractor().describe(), lambda number: True, predict)


def check_whole(summary: JobSummary) -> None:
    """Make sure that every part has its output.

    Raises:
        LlmnerError: One has none.

    >>> check_whole(JobSummary(3))
    """
    if summary.errors:
        name, why = next(iter(summary.errors.items()))
        raise LlmnerError(
            f"{len(summary.errors)} of {summary.parts} parts have no output (first: {name}: "
            f"{why}); the same command does them"
        )


def drop_kept(folder: Path) -> None:
    """Remove what an evaluation kept, once it is done, and nothing else.

    >>> drop_kept(Path("no such folder"))
    """
    rows = folder / _ROWS
    if kind_of(rows / RUN_FILE) == "file":
        shutil.rmtree(rows, ignore_errors=True)
        (folder / _TEXTS).unlink(missing_ok=True)
        folder.rmdir()
