"""What ``extract --ray`` and ``project --ray`` share: options, the bar, and what is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmner.cli._common import note, progress
from llmner.errors import InputError, LlmnerError

if TYPE_CHECKING:
    from llmner.scaling import Cluster, ExtractJob, ProjectJob

__all__ = [
    "GpusOption",
    "RayAddressOption",
    "RayOption",
    "WorkersOption",
    "cluster_of",
    "run_on_ray",
]

RayOption = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Run on many processes or machines, with Ray: INPUT may be a pattern or a folder, and "
        "OUTPUT is a folder of parts.",
    ),
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
GpusOption = Annotated[float, typer.Option(min=0, help="GPUs of each process.", show_default=False)]


def cluster_of(ray: bool, address: str | None, workers: int | None, gpus: float) -> Cluster | None:
    """Where a job runs; ``None`` if it runs in this process.

    Raises:
        InputError: Options of Ray are given without it.
    """
    if not ray:
        if address is not None or workers is not None or gpus:
            raise InputError(
                "--ray-address, --workers and --gpus-per-worker need --ray", hint="add it"
            )
        return None
    from llmner.scaling import Cluster

    return Cluster(address, workers, gpus)


def run_on_ray(
    job: ExtractJob | ProjectJob,
    input: Path | None,
    output: Path | None,
    cluster: Cluster,
    *,
    format: str | None = None,
    restart: bool = False,
) -> None:
    """Run a job, with one bar for all of it.

    Raises:
        InputError: There is no input or no output folder, or that is another job's.
        LlmnerError: Parts have no output.
        typer.Exit: Rows have no answer.
    """
    from llmner.scaling import run_job
    from llmner.scaling.parts import input_files

    if input is None or output is None or "-" in (str(input), str(output)):
        raise InputError("--ray needs --input and --output", hint="name files and a folder")
    files = input_files([str(input)])
    rows = 0
    with progress("working", one="part", many="parts") as step:

        def planned(parts: int, done: int) -> None:
            step.total(parts)
            if done:
                step.resume(done)
                note(f"{done} of {parts} parts were done already; going on")

        def told(result: Mapping[str, Any]) -> None:
            nonlocal rows
            rows += int(result["rows"])
            step(1)

        try:
            summary = run_job(
                job,
                files,
                output,
                format=format,
                cluster=cluster,
                restart=restart,
                on_plan=planned,
                on_part=told,
                report=note,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; what is done is in {output}, the same command continues from there"
            ) from None
    if summary.bad:
        note(f"{summary.bad:,} bad rows are in {output / 'bad'}")
    if summary.errors:
        name, why = next(iter(summary.errors.items()))
        raise LlmnerError(
            f"{len(summary.errors)} of {summary.parts} parts have no output (first: {name}: "
            f"{why}); the same command does them"
        )
    note(f"{summary.rows:,} rows are in {output}, {summary.parts} parts")
    if summary.failed:
        note(f"{summary.failed:,} of them have no answer, and an error that says why")
        raise typer.Exit(1)
