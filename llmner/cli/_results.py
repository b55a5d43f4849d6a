"""What ``evaluate`` and ``compare`` share: reading gold and predictions, printing, reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmner.cli._common import note, tell_reading
from llmner.corpora import ReadStats, read_corpus
from llmner.errors import InputError
from llmner.files import check_output, dump_json, target_of, whole_file, write_bytes

if TYPE_CHECKING:
    from llmner.scoring import Comparison, Evaluation, Source
    from llmner.spans import Sentence

_FORMATS: dict[str, Literal["html", "md"]] = {".html": "html", ".htm": "html", ".md": "md"}


def check_outputs(report: Path | None, output: Path | None, inputs: Sequence[Path]) -> None:
    """Make sure, before any work, that the output files can be written.

    Args:
        report: The report to write.
        output: The run to write.
        inputs: The files to read, which must not be overwritten.

    Raises:
        InputError: The report is neither HTML nor Markdown, a file cannot be written, or a file is
            named twice.
    """
    if report is not None and report.suffix.lower() not in _FORMATS:
        raise InputError(
            "a report must be HTML or Markdown", path=report, hint="name it .html or .md"
        )
    if sum(str(path) == "-" for path in inputs) > 1:
        raise InputError("standard input is named twice", hint="it can be read once")
    used = {target_of(path) for path in inputs}
    for path in (report, output):
        if path is None:
            continue
        if str(path) == "-":
            raise InputError(
                "cannot write a run to standard output", hint="give a file, such as run.json"
            )
        check_output(path)
        if target_of(path) in used:
            raise InputError(
                "would overwrite another file of this command", path=path, hint="name another"
            )
        used.add(target_of(path))


def read_gold(gold: str, format: str | None, split: str | None, *, strict: bool) -> list[Sentence]:
    """Read the labelled corpus, and warn of repaired tags."""
    stats = ReadStats()
    corpus = list(read_corpus(gold, format, split, strict=strict, stats=stats))
    tell_reading(stats)
    return corpus


def predicted_sources(
    paths: Iterable[Path], corpus: Sequence[Sentence], format: str | None = None, *, whole: bool
) -> list[Source]:
    """Read files of predictions, and warn of broken tags in them."""
    from llmner.scoring import from_file

    sources = []
    for path in paths:
        stats = ReadStats()
        sources.append(from_file(path, corpus, format, whole=whole, stats=stats))
        tell_reading(stats, path)
    return sources


def note_doubts(runs: Mapping[str, Evaluation], gold: str) -> None:
    """Warn of runs whose figures say nothing."""
    from llmner.scoring import doubts

    told: dict[str, None] = {}
    for name, run in runs.items():
        told.update(dict.fromkeys(doubts(run, gold, name)))
    for text in told:
        note(f"warning: {text}")


def write_report(
    path: Path | None, evaluations: Mapping[str, Evaluation], comparisons: Mapping[str, Comparison]
) -> None:
    """Write the report if ``path`` is given; its suffix decides the format."""
    from llmner.reports import render_report

    if path is None:
        return
    report = render_report(evaluations, comparisons, _FORMATS[path.suffix.lower()])
    with whole_file(path) as stream:
        stream.write(report.encode("utf-8", "replace"))


def print_json(value: Any) -> None:
    """Print a JSON document on standard output."""
    write_bytes(dump_json(value, indent=2) + b"\n")


def comparison_row(comparison: Comparison, evaluation: Evaluation) -> dict[str, Any]:
    """A comparison as an object for JSON.

    Changed sentences are named by id, or by number (``#1``) if they have none.
    """
    return {
        "differences": {
            name: asdict(difference) for name, difference in comparison.differences.items()
        },
        "test": comparison.test,
        "better": comparison.better,
        "worse": comparison.worse,
        "changed": [
            {
                "sentence": evaluation.rows[change.number].name(change.number),
                "errors": list(change.errors),
            }
            for change in comparison.changes
        ],
    }
