"""What the commands with ``--ray`` share: options, the bar, and what is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmner._mishaps import attempt
from llmner.asking import AskOptions, build_baseline, in_language_of, is_baseline, prepare
from llmner.asking.options import BASELINE
from llmner.cli._common import dashed, note, progress, tell_reading, tell_run
from llmner.cli._progress import Steps
from llmner.errors import InputError, LlmnerError, UnknownNameError

if TYPE_CHECKING:
    from llmner.extraction.projecting import ProjectionSummary
    from llmner.scaling import Cluster, ConvertJob, ExtractJob, JobProgress, ProjectJob

__all__ = [
    "GpusOption",
    "PartFormOption",
    "RayAddressOption",
    "RayOption",
    "RayRestartOption",
    "WorkersOption",
    "cluster_of",
    "extract_job",
    "part_form",
    "ray_paths",
    "run_on_ray",
    "shown_progress",
    "tell_projection",
]

RayOption = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Run on many processes or machines, with Ray: INPUT may be a pattern or a folder, and "
        "OUTPUT is a folder of parts.",
    ),
]
RayRestartOption = Annotated[
    bool, typer.Option("--restart", help="With --ray: throw away what is in OUTPUT.")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        help="The address of a cluster, or auto; by default Ray is started on this machine.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that work at the same time; by default as many as fit.",
        show_default=False,
    ),
]
PartFormOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="With --ray: write parts as jsonl, the default, or as parquet.",
        show_default=False,
    ),
]
GpusOption = Annotated[float, typer.Option(min=0, help="GPUs of each process.", show_default=False)]


def cluster_of(
    ray: bool, address: str | None, workers: int | None, gpus: float, *, restart: bool = False
) -> Cluster | None:
    """Where a job runs; ``None`` if it runs in this process.

    Args:
        ray: Whether it runs on Ray.
        address: Ray's address.
        workers: How many workers.
        gpus: The GPUs of each.
        restart: Whether ``--restart`` is given, for a command in which it is an option of Ray.

    Raises:
        InputError: Options of Ray are given without it.
    """
    if not ray:
        if address is not None or workers is not None or gpus:
            raise InputError(
                "--ray-address, --workers and --gpus-per-worker need --ray", hint="add it"
            )
        if restart:
            raise InputError("--restart is for --ray", hint="leave it out")
        return None
    from llmner.scaling import Cluster

    return Cluster(address, workers, gpus)


def ray_paths(input: Path | None, output: Path | None) -> tuple[list[Path], Path]:
    """The files of the input, and the folder of the output.

    Raises:
        InputError: There is none, or no folder for the output.
    """
    from llmner.scaling.parts import input_files

    if input is None or output is None or "-" in (str(input), str(output)):
        raise InputError(
            "--ray needs files of input and a folder for the output", hint="- is neither"
        )
    return input_files([str(input)]), output


def part_form(to: str | None, cluster: Cluster | None) -> Literal["jsonl", "parquet"]:
    """How rows are written.

    Raises:
        InputError: It is given without ``--ray``.
        UnknownNameError: There is no such form.
    """
    if to is not None and cluster is None:
        raise InputError("--to needs --ray", hint="convert writes other formats")
    if to == "parquet":
        return "parquet"
    if to not in (None, "jsonl"):
        raise UnknownNameError(f"unknown form {to!r}", hint="expected jsonl or parquet")
    return "jsonl"


def extract_job(
    options: AskOptions,
    given: Collection[str],
    texts: Iterable[str],
    *,
    strict: bool = False,
    skip_bad: bool = False,
    to: Literal["jsonl", "parquet"] = "jsonl",
    report: Callable[[str], None] | None = note,
) -> ExtractJob:
    """What workers ask. What the options name is found here, before any worker is started.

    Args:
        options: The options.
        given: Names of those that the user gave.
        texts: Some of the texts, in whose language labels without a recipe are asked for.
        strict: Whether a broken tag sequence is an error.
        skip_bad: Whether bad rows are put aside.
        to: How rows are written.
        report: Called with a sentence that says what is being waited for.

    Raises:
        InputError: Options that exclude each other, or that name nothing.
    """
    from llmner.scaling import ExtractJob

    options = _with_whole_paths(options)
    if is_baseline(options.engine.engine):
        build_baseline(options, given=given, report=report, spell=dashed)
        return ExtractJob(options, strict=strict, skip_bad=skip_bad, to=to)
    asking = in_language_of(prepare(options, report), texts)
    return ExtractJob(asking, strict=strict, skip_bad=skip_bad, to=to)


def _with_whole_paths(options: AskOptions) -> AskOptions:
    """The options, with whole paths: workers of a cluster are in another folder than the user."""
    whole: dict[str, Any] = {}
    for name, value in options.flat().items():
        prefix = BASELINE if isinstance(value, str) and value.startswith(BASELINE) else ""
        if isinstance(value, str | Path) and str(value):
            path = Path(str(value).removeprefix(prefix))
            # A bare word is a name, though a file may be called so too.
            is_path = bool(prefix) or isinstance(value, Path) or len(path.parts) > 1
            if is_path and attempt(path.exists) is True:
                whole[name] = type(value)(f"{prefix}{path.resolve()}")
    return options.but(**whole) if whole else options


def run_on_ray(
    job: ExtractJob | ProjectJob | ConvertJob,
    files: list[Path],
    output: Path,
    cluster: Cluster,
    *,
    format: str | None = None,
    restart: bool = False,
) -> None:
    """Run a job, with one bar for all of it.

    Raises:
        InputError: The output folder is another job's.
        LlmnerError: Parts have no output.
        GenerationError: No row has an answer.
        typer.Exit: Something was not read.
    """
    from llmner.corpora import ReadStats
    from llmner.extraction._coverage import Coverage
    from llmner.extraction.projecting import ProjectionSummary
    from llmner.extraction.runs import RunSummary
    from llmner.scaling import run_job
    from llmner.scaling.evaluating import check_whole, same_command

    with progress("working", one="row", many="rows") as step:
        try:
            summary = run_job(
                job,
                files,
                output,
                format=format,
                cluster=cluster,
                restart=restart,
                on_progress=shown_progress(step),
                report=note,
            )
        except KeyboardInterrupt:
            again = same_command(restart=restart)
            raise KeyboardInterrupt(
                f"interrupted; what is done is in {output}, {again} continues from there"
            ) from None
    if summary.bad:
        note(f"{summary.bad:,} bad rows are in {output / 'bad'}")
    check_whole(summary, restart=restart)
    counts = summary.counts
    note(f"{counts.rows:,} rows are in {output}, {summary.parts} parts")
    stats = ReadStats(
        repairs=counts.repairs, first_repair=counts.first_repair, notes=list(counts.notes)
    )
    stats.losses.counts, stats.losses.examples = counts.lost, counts.examples
    tell_reading(stats)
    if job.kind == "extract":
        coverage = Coverage(**counts.coverage)
        run = RunSummary(counts.rows, counts.failed, counts.reason, counts.blank, coverage)
        tell_run(run, "their rows have an error that says why")
    elif job.kind == "project":
        failures = ProjectionSummary(
            counts.rows, Counter(counts.outcomes), Counter(counts.statuses)
        )
        tell_projection(failures, counts.failed, counts.reason)


def tell_projection(summary: ProjectionSummary, failed: int, reason: str | None) -> None:
    """Tell what became of replies and mentions, and what may be wrong.

    Args:
        summary: The counts.
        failed: Replies that could not be projected.
        reason: Why the first could not.

    Raises:
        LlmnerError: None could.
    """
    count, outcomes = summary.rows, summary.outcomes
    note(f"{count} replies: {_listed(summary.statuses)}; mentions: {_listed(outcomes)}")
    if outcomes and not outcomes.keys() - {"unknown_label"}:
        note("warning: no mention has a label of the recipe; is it the right --recipe?")
    elif count and not outcomes and not failed:
        note("warning: no reply names an entity; is it the right --reply-format?")
    if failed and failed == count:
        raise LlmnerError(f"no reply could be projected (first: {reason})")
    if failed:
        note(f"warning: {failed} of {count} replies could not be projected (first: {reason})")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common()) or "none"


def shown_progress(step: Steps) -> Callable[[JobProgress], None]:
    """What shows how far a job is, on a bar of rows."""
    shown = False

    def show(at: JobProgress) -> None:
        nonlocal shown
        if not shown and at.parts_before:
            note(f"{at.parts_before} of {at.parts} parts were done already; going on")
            step.resume(at.rows_before)
        shown = True
        if at.expected is not None:
            step.total(at.expected)
        step.fail(at.failed)
        if at.rows > step.done:
            step(at.rows - step.done)

    return show
