"""What the commands share: option types, bad rows, and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from llmner.cli._ending import above_bar as above_bar
from llmner.cli._ending import dashed as dashed
from llmner.cli._ending import guarded as guarded
from llmner.cli._ending import note as note
from llmner.cli._progress import Steps
from llmner.cli._progress import prints_to_terminal as prints_to_terminal
from llmner.cli._progress import progress as progress
from llmner.errors import GenerationError, InputError
from llmner.files import beside, check_output, write_jsonl

if TYPE_CHECKING:
    from llmner.corpora import BadRow, Losses, ReadStats
    from llmner.extraction._coverage import Coverage
    from llmner.extraction.runs import RunSummary

# More resamples or shuffles would not make figures more certain, but would fill the memory.
MOST_DRAWS = 1_000_000

_T = TypeVar("_T")

RemoteCodeOption = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict", help="Broken tags, and what cannot be kept, are errors instead of warnings."
    ),
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Pass over bad rows and write them to a side file.")
]
RestartOption = Annotated[
    bool,
    typer.Option(
        "--restart",
        help="Start an interrupted run over instead of going on with it; replace an output that "
        "other options gave.",
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="The input's format, such as klue-tsv, spans, conll, markup, text or hub; by default "
        "guessed. document: a file is one text.",
        show_default=False,
    ),
]
GoldFormatOption = Annotated[
    str | None,
    typer.Option(help="The labelled corpus's format; by default guessed.", show_default=False),
]
PredictedFormatOption = Annotated[
    str | None,
    typer.Option(help="The format of predictions; by default guessed.", show_default=False),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        help="Which split of a data set; of a file train (four fifths) or test, drawn at random: "
        "test:0.9:7 names the train part's share and the seed.",
        show_default=False,
    ),
]
ResamplesOption = Annotated[
    int,
    typer.Option(
        min=0, max=MOST_DRAWS, help="Bootstrap resamples for the 95 % intervals; 0 for none."
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(help="Write a report: report.html (one file, no network) or report.md."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class BadRows:
    """Collects bad rows for ``OUTPUT.bad.jsonl``, which is written only if there are any.

    Args:
        output: The command's output; ``None`` for standard output, which has no file of bad rows.
        skip: Whether to skip bad rows. If not, ``collect`` is ``None`` and bad rows are errors.
    """

    def __init__(self, output: Path | None, *, skip: bool) -> None:
        self.output = output
        self.path = None
        if output is not None:
            check_output(output)
            self.path = beside(output, ".bad.jsonl")
            if skip:
                check_output(self.path)
        self.rows: list[dict[str, str]] = []
        self.collect: Callable[[BadRow], None] | None = self._collect if skip else None

    def _collect(self, bad: BadRow) -> None:
        note(f"skipped: {bad.error}")
        self.rows.append({"error": str(bad.error), "row": bad.raw})

    def close(self) -> None:
        """Write the file of bad rows."""
        if self.rows and self.path is not None:
            # They are rows of the input, so only those who may read the output may read them.
            write_jsonl(self.path, self.rows, like=self.output)
            note(f"{len(self.rows)} bad rows are in {self.path}")


def tell_reading(stats: ReadStats, predicted: Path | None = None) -> None:
    """Tell what reading a file changed: repairs of broken tags, and what could not be kept.

    Args:
        stats: The counts of the reading.
        predicted: The file of predictions, if it is one.
    """
    for text in stats.notes:
        note(f"note: {text}")
    if stats.repairs and predicted is not None:
        note(
            f"warning: {stats.repairs} broken tags were read as in seqeval's default mode "
            f"(first: {stats.first_repair}); for IOB2 files strict figures ignore such entities"
        )
    elif stats.repairs:
        note(
            f"warning: {stats.repairs} broken tags were repaired (first: {stats.first_repair}); "
            "--strict makes them errors"
        )
    tell_losses(stats.losses, "left out while reading")


def tell_losses(losses: Losses, what: str) -> None:
    """Warn of everything that could not be kept, by kind.

    Args:
        losses: The counts.
        what: What became of it.
    """
    parts = [
        f"{count:,} {kind} (first: {losses.examples[kind]})"
        for kind, count in losses.counts.items()
    ]
    if parts:
        note(f"warning: {what}: {'; '.join(parts)}; --strict makes this an error")


@contextmanager
def resumable(step: Steps, *, restart: bool) -> Iterator[None]:
    """If a run stops early, add to its error what is kept and how to go on."""

    def progress_kept() -> str:
        command = "the same command without --restart" if restart else "the same command"
        return f"{step.done} sentences are kept, {command} continues from there"

    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; {progress_kept()}" if step.done else "interrupted"
        ) from None
    except GenerationError as error:
        if not step.done:
            raise
        raise GenerationError(f"{error}; {progress_kept()}", retryable=error.retryable) from error


def note_resumed(step: Steps, done: int) -> None:
    """Say that a run continues an earlier one, and move the progress bar there."""
    step.resume(done)
    note(f"{done} sentences were done already; going on")


def tell_unanswered(count: int, total: int, reason: str | None, hint: str) -> None:
    """Warn of sentences without an answer, if there are any.

    Args:
        count: The number of sentences without an answer.
        total: The number of all sentences.
        reason: The reason of the first one.
        hint: What to do about it.

    Raises:
        GenerationError: No sentence has an answer.
    """
    if count and count == total:
        raise GenerationError(
            f"no sentence has an answer (first: {reason}); {hint}", retryable=True
        )
    if count:
        note(f"warning: {count} of {total} sentences have no answer (first: {reason}); {hint}")


def tell_coverage(coverage: Coverage) -> None:
    """Say what was read and what it cost, and end with 1 if something was not read.

    Raises:
        typer.Exit: A question has no answer, or an answer was cut off.
    """
    note(f"read: {coverage}")
    if coverage.is_whole:
        return
    missing = []
    if coverage.unread:
        missing.append(f"{coverage.unread:,} characters have no answer")
    if coverage.windows_failed:
        missing.append(f"{coverage.windows_failed:,} questions about parts of texts have none")
    if coverage.cut:
        missing.append(f"{coverage.cut:,} answers were cut off at --max-new-tokens")
    note(f"not everything was read: {', '.join(missing)}")
    raise typer.Exit(1)


def tell_run(summary: RunSummary, hint: str, *, quiet: bool = False) -> None:
    """Say what a run could not answer, what it read and what it cost.

    Args:
        summary: The run.
        hint: What to do about sentences without an answer.
        quiet: Say nothing of a run that read everything.

    Raises:
        GenerationError: No sentence has an answer, or most answers are empty.
        typer.Exit: Something was not read.
    """
    tell_unanswered(summary.unanswered, summary.sentences, summary.reason, hint)
    tell_blank(summary.blank, summary.sentences - summary.unanswered)
    if not (quiet and summary.coverage.is_whole):
        tell_coverage(summary.coverage)


def tell_blank(count: int, answers: int) -> None:
    """Warn of replies that say nothing at all, if there are any.

    Args:
        count: Their number.
        answers: The number of all replies.

    Raises:
        GenerationError: They are more than half of all.
    """
    if not count:
        return
    told = (
        f"{count} of {answers} replies are empty; a model that reasons may need more "
        "--max-new-tokens, or to be told not to (docs/generation.md, Endpoints)"
    )
    if 2 * count > answers:
        raise GenerationError(told, retryable=True)
    note(f"warning: {told}")


def counted(items: Iterable[_T], step: Callable[[int], None]) -> Iterator[_T]:
    """Yield the items, and count a step after each."""
    for item in items:
        yield item
        step(1)


def not_both(**options: object) -> None:
    """Make sure that exactly one of several options was given.

    Raises:
        InputError: None or more than one was given.

    >>> not_both(TEXT="손흥민", input=None)
    """
    # An argument has its name in capitals.
    names = [name if name.isupper() else dashed(name) for name in options]
    count = sum(value is not None for value in options.values())
    if count != 1:
        raise InputError(
            f"{'none' if count == 0 else 'more than one'} of {', '.join(names)} was given",
            hint="give exactly one",
        )
