"""Evaluations whose sentences are asked about on many processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt
from llmner.errors import InputError, LlmnerError
from llmner.extraction.extractor import lost
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
    signature: Mapping[str, Any] | None = None,
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
        signature: What is known of how predictions come about; by default the job's own words.
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
        check_whole(summary, restart=restart)
        found = [
            _prediction(sentence, row, rows, line)
            for sentence, (line, row) in zip(sentences, read_jsonl(rows), strict=False)
        ]
        answered = [(own.text, own.id) for own in found]
        if answered != [(own.text, own.id) for own in sentences]:
            raise InputError(
                "the answers kept there are of another corpus", path=folder, hint="--restart"
            )
        return found

    shown = job.extractor().describe() if signature is None else dict(signature)
    return Source(name, shown, lambda number: True, predict)


def _prediction(sentence: Sentence, row: dict[str, Any], path: Path, line: int) -> Prediction:
    """The prediction of a row; one that cannot be read counts as no answer."""
    prediction = attempt(Prediction.of_row, row, path, line)
    return (
        Prediction.of(lost(sentence, prediction)) if isinstance(prediction, Mishap) else prediction
    )


def check_whole(summary: JobSummary, *, restart: bool = False) -> None:
    """Make sure that every part has its output.

    Args:
        summary: What became of the job.
        restart: Whether the command has ``--restart``, which would begin anew.

    Raises:
        LlmnerError: One has none.

    >>> check_whole(JobSummary(3))
    """
    if summary.errors:
        name, why = next(iter(summary.errors.items()))
        raise LlmnerError(
            f"{len(summary.errors)} of {summary.parts} parts have no output (first: {name}: "
            f"{why}); {same_command(restart=restart)} does them"
        )


def same_command(*, restart: bool) -> str:
    """How to go on with what is there.

    >>> same_command(restart=True)
    'the same command without --restart'
    """
    return "the same command without --restart" if restart else "the same command"


def drop_kept(folder: Path) -> None:
    """Remove what an evaluation kept, once it is done, and nothing else.

    >>> drop_kept(Path("no such folder"))
    """
    rows = folder / _ROWS
    if kind_of(rows / RUN_FILE) == "file":
        shutil.rmtree(rows, ignore_errors=True)
        (folder / _TEXTS).unlink(missing_ok=True)
        # A shared file system may hold something back for a while.
        with suppress(OSError):
            folder.rmdir()
