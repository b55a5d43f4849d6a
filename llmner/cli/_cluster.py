"""What ``extract --ray`` and ``project --ray`` share: options, the bar, and what is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmner._mishaps import attempt
from llmner.asking import AskOptions
from llmner.asking.options import BASELINE
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
    "ray_paths",
    "run_on_ray",
    "with_whole_paths",
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


def ray_paths(input: Path | None, output: Path | None) -> tuple[list[Path], Path]:
    """The files of the input, and the folder of the output.

    Raises:
        InputError: There is none, or no folder for the output.
    """
    from llmner.scaling.parts import input_files

    if input is None or output is None or "-" in (str(input), str(output)):
        raise InputError("--ray needs --input and --output", hint="name files and a folder")
    return input_files([str(input)]), output


def with_whole_paths(options: AskOptions) -> AskOptions:
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
    job: ExtractJob | ProjectJob,
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
        typer.Exit: Rows have no answer.
    """
    from llmner.scaling import run_job

    with progress("working", one="part", many="parts") as step:

        def planned(parts: int, done: int) -> None:
            step.total(parts)
            if done:
                step.resume(done)
                note(f"{done} of {parts} parts were done already; going on")

        def told(result: Mapping[str, Any]) -> None:
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
