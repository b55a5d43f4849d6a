"""Jobs on many processes: parts of the input, each read and written by one worker of Ray.

A finished part is a file of the output folder. So what is done is what is there: a job that was
killed goes on with the parts that are missing, and within a part after its last row.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmner._mishaps import Mishap, attempt
from llmner.errors import InputError, LlmnerError, MissingExtraError
from llmner.files import RUN_FILE, dump_json, kind_of, open_lines, target_of, whole_file
from llmner.scaling.parts import Part, input_files, part_file, part_sentences, plan_parts, shortened

if TYPE_CHECKING:
    from llmner.asking import Asking, AskOptions
    from llmner.corpora import BadRow
    from llmner.extraction import SpanExtractor
    from llmner.schema import LabelSchema

__all__ = ["Cluster", "ExtractJob", "JobSummary", "ProjectJob", "pooled", "run_job"]

_WORK = ".work"
_BAD = "bad"
# A part is as small as this, and as many come to each worker, unless a part would be larger than
# that: few enough to list, and small enough to lose.
_LEAST, _EACH, _MOST = 1 << 20, 32, 64 << 20


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a job runs.

    Attributes:
        address: Ray's address; ``None`` starts Ray on this machine for the job.
        workers: How many workers at the same time; ``None`` for as many as there are processors,
            or with ``gpus_per_worker`` as many as there are GPUs for.
        gpus_per_worker: The GPUs of each.
        cpus_per_worker: The processors of each.
    """

    address: str | None = None
    workers: int | None = None
    gpus_per_worker: float = 0.0
    cpus_per_worker: float = 1.0


@dataclass(frozen=True)
class ExtractJob:
    """What ``extract`` does with a part.

    Attributes:
        asking: What is asked; the options themselves for a tagger.
        strict: Whether a broken tag sequence is an error.
        skip_bad: Whether bad rows are put aside.
    """

    asking: Asking | AskOptions
    strict: bool = False
    skip_bad: bool = False
    kind: Literal["extract"] = "extract"

    def extractor(self) -> SpanExtractor:
        """The extractor; its model is loaded when it is first asked."""
        from llmner.asking import AskOptions, build, build_baseline

        if isinstance(self.asking, AskOptions):
            return build_baseline(self.asking)
        return build(self.asking)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the rows."""
        return {"strict": self.strict, "skip_bad": self.skip_bad, **self.extractor().describe()}

    def work(self, part: Part, output: Path, tools: dict[str, Any]) -> dict[str, int]:
        """Write the rows of a part, after those that are there.

        Args:
            part: The part.
            output: The file.
            tools: What this process keeps from part to part.

        Returns:
            How many rows there are, and how many have no answer.
        """
        from llmner.extraction.runs import run_extraction
        from llmner.scaling.guarding import GuardedExtractor

        bad: list[BadRow] = []
        sentences = part_sentences(
            part, strict=self.strict, on_bad=bad.append if self.skip_bad else None
        )
        _write_bad(output, bad)
        if not sentences:
            output.touch()
            return {"rows": 0, "failed": 0, "bad": len(bad)}
        if "extractor" not in tools:
            tools["extractor"] = loaded(self.extractor())
        guarded = GuardedExtractor(tools["extractor"], output.with_suffix(".trial"))
        summary = run_extraction(guarded, sentences, output, source=part.name)
        return {"rows": summary.sentences, "failed": summary.unanswered, "bad": len(bad)}


@dataclass(frozen=True)
class ProjectJob:
    """What ``project`` does with a part: lines of replies become rows.

    Attributes:
        schema: The labels; ``None`` takes labels as replies have them.
        reply_format: The replies' format, or ``auto``.
        policy: Options of projection.
        skip_bad: Whether bad rows are put aside.
    """

    schema: LabelSchema | None
    reply_format: str = "auto"
    policy: Mapping[str, Any] = field(default_factory=dict)
    skip_bad: bool = False
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
        }

    def work(self, part: Part, output: Path, tools: dict[str, Any]) -> dict[str, int]:
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
        _write_bad(output, bad)
        return {"rows": summary.rows, "failed": len(summary.failures), "bad": len(bad)}


Job = ExtractJob | ProjectJob


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


@dataclass(slots=True)
class JobSummary:
    """What became of a job.

    Attributes:
        parts: The number of parts.
        rows: The number of rows.
        failed: Rows without an answer.
        bad: Rows of the input that were put aside.
        errors: Why parts have no output, by the part's name.
    """

    parts: int
    rows: int = 0
    failed: int = 0
    bad: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, result: Mapping[str, Any]) -> None:
        """Count what a worker said of a part."""
        if result["error"]:
            self.errors[str(result["name"])] = str(result["error"])
            return
        self.rows += int(result["rows"])
        self.failed += int(result["failed"])
        self.bad += int(result["bad"])


class PartWorker:
    """A process of Ray that does parts one after another.

    Args:
        job: What it does.
        folder: The output folder.
    """

    def __init__(self, job: Job, folder: str) -> None:
        self.job = job
        self.folder = Path(folder)
        self.tools: dict[str, Any] = {}

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Do the parts of a batch, and say what became of them."""
        results = [self.done(Part(**json.loads(str(fields)))) for fields in batch["part"]]
        return {key: [own[key] for own in results] for key in results[0]}

    def done(self, part: Part) -> dict[str, Any]:
        """Do a part. What goes wrong is told, and ends no other part."""
        output = self.folder / _WORK / f"{part.name}.jsonl"
        result = attempt(self.job.work, part, output, self.tools)
        if isinstance(result, Mishap):
            # A later run begins where this one ended.
            return {"name": part.name, "rows": 0, "failed": 0, "bad": 0, "error": str(result)}
        with whole_file(output.with_suffix(".counts")) as stream:
            stream.write(dump_json(result))
        output.replace(self.folder / output.name)
        for path in output.parent.glob(f"{part.name}.jsonl.*"):
            path.unlink(missing_ok=True)
        return {"name": part.name, **result, "error": ""}


def _write_bad(output: Path, bad: Sequence[BadRow]) -> None:
    """Put bad rows beside the parts."""
    if not bad:
        return
    folder = output.parent.parent / _BAD
    folder.mkdir(exist_ok=True)
    with whole_file(folder / f"{output.stem}.jsonl") as stream:
        for row in bad:
            stream.write(dump_json({"error": str(row.error), "row": row.raw}) + b"\n")


def run_job(
    job: Job,
    files: Sequence[Path],
    folder: Path,
    *,
    format: str | None = None,
    cluster: Cluster | None = None,
    restart: bool = False,
    on_plan: Callable[[int, int], None] | None = None,
    on_part: Callable[[Mapping[str, Any]], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> JobSummary:
    """Do a job on Ray, or what is left of it. A finished folder has its parts and ``run.json``.

    Args:
        job: What is done.
        files: The input.
        folder: The output folder.
        format: The input's format; ``None`` guesses each file's.
        cluster: Where it runs; by default on this machine.
        restart: Throw away what is in the folder.
        on_plan: Called with the number of parts, and of those that are done.
        on_part: Called with what became of each part.
        report: Called with a sentence about Ray.

    Raises:
        InputError: The folder holds another job's output, or something else.
        LlmnerError: Workers cannot be started, or die before they do anything.
        MissingExtraError: The ``ray`` extra is not installed.
    """
    cluster = cluster or Cluster()
    files = input_files([str(path) for path in files])
    folder = target_of(folder)
    inside = next((path for path in files if path.is_relative_to(folder)), None)
    if inside is not None:
        raise InputError("lies in the output folder", path=inside, hint="name another folder")
    plan = {"command": job.kind, "job": job.describe(), "format": format, "input": shortened(files)}
    plan = json.loads(dump_json(plan))
    size = _prepare_folder(folder, plan, _part_size(files, cluster), restart=restart)
    parts = plan_parts(files, format, size)
    summary = JobSummary(len(parts))
    finished = _record_of(folder / RUN_FILE)
    if finished and all(kind_of(folder / f"{part.name}.jsonl") == "file" for part in parts):
        shutil.rmtree(folder / _WORK, ignore_errors=True)
        if on_plan is not None:
            on_plan(len(parts), len(parts))
        rows, failed, bad = (int(finished[key]) for key in ("rows", "failed", "bad"))
        return JobSummary(len(parts), rows, failed, bad)
    waiting = [part for part in parts if not _is_done(folder, part, summary)]
    if on_plan is not None:
        on_plan(len(parts), len(parts) - len(waiting))
    if waiting:
        for result in _worked(job, waiting, folder, cluster, report):
            summary.add(result)
            if on_part is not None:
                on_part(result)
    if not summary.errors:
        _finish(folder, plan, size, summary)
    return summary


def _part_size(files: Sequence[Path], cluster: Cluster) -> int:
    total = sum(path.stat().st_size for path in files)
    return min(max(total // ((cluster.workers or 8) * _EACH), _LEAST), _MOST)


def _prepare_folder(folder: Path, plan: dict[str, Any], size: int, *, restart: bool) -> int:
    """Make the folder, or make sure that it is of the same job.

    Returns:
        The bytes of a part: those of the job that was begun there.

    Raises:
        InputError: It holds another job's output, or something else.
    """
    work = folder / _WORK
    records = folder / RUN_FILE, work / RUN_FILE
    if restart and any({"command", "part_bytes"} <= _record_of(path).keys() for path in records):
        for path in (*folder.glob("part-*.jsonl"), folder / RUN_FILE):
            path.unlink(missing_ok=True)
        for path in (work, folder / _BAD):
            shutil.rmtree(path, ignore_errors=True)
    begun = next((path for path in records if kind_of(path) != "missing"), None)
    if begun is not None:
        made = _record_of(begun)
        differs = [key for key in plan if made.get(key) != plan[key]]
        if differs or type(made.get("part_bytes")) is not int:
            raise InputError(
                f"holds the output of another job ({', '.join(differs) or 'unreadable'})",
                path=folder,
                hint="name another folder, or replace this one with --restart",
            )
        size = int(made["part_bytes"])
    elif kind_of(folder) != "missing" and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "is there already, and no job made it", path=folder, hint="name another folder"
        )
    work.mkdir(parents=True, exist_ok=True)
    for trial in work.glob("*.trial"):
        # Deaths of an earlier run are not these sentences' doing: the job itself was killed.
        trial.unlink(missing_ok=True)
    with whole_file(work / RUN_FILE) as stream:
        stream.write(dump_json({**plan, "part_bytes": size}, indent=2) + b"\n")
    return size


def _record_of(path: Path) -> dict[str, Any]:
    """What a job wrote down; nothing if it cannot be read."""
    made: Any = attempt(lambda: json.loads(path.read_text("utf-8")))
    return made if isinstance(made, dict) else {}


def _is_done(folder: Path, part: Part, summary: JobSummary) -> bool:
    """Whether a part is there; then it is counted."""
    output = folder / f"{part.name}.jsonl"
    if kind_of(output) != "file":
        return False
    counts = _record_of(folder / _WORK / f"{part.name}.counts")
    if set(counts) != {"rows", "failed", "bad"}:
        counts = {"rows": sum(1 for _ in open_lines(output)), "failed": 0, "bad": 0}
    summary.add({"name": part.name, "error": "", **counts})
    return True


def _finish(folder: Path, plan: dict[str, Any], size: int, summary: JobSummary) -> None:
    """Write ``run.json``, and remove what was needed on the way."""
    totals = {"parts": summary.parts, "rows": summary.rows, "failed": summary.failed}
    with whole_file(folder / RUN_FILE) as stream:
        record = {**plan, "part_bytes": size, **totals, "bad": summary.bad}
        stream.write(dump_json(record, indent=2) + b"\n")
    shutil.rmtree(folder / _WORK, ignore_errors=True)


def _worked(
    job: Job,
    parts: Sequence[Part],
    folder: Path,
    cluster: Cluster,
    report: Callable[[str], None] | None,
) -> Iterator[dict[str, Any]]:
    """What became of each part, as soon as it is done."""
    ray, data = ray_and_data()
    started = not ray.is_initialized()
    if started:
        # Lines of Ray's own processes would be among the command's, and so would be the line that
        # says that they are not wanted.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        with _nothing_said():
            context = ray.init(
                address=cluster.address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                include_dashboard=False if cluster.address is None else None,
            )
        if report is not None and context.dashboard_url:
            report(f"Ray's dashboard is at http://{context.dashboard_url}")
    try:
        quiet(data)
        rows = data.from_items(
            [{"part": dump_json(asdict(part)).decode()} for part in parts],
            override_num_blocks=len(parts),
        )
        given = {"job": job, "folder": str(folder.resolve())}
        done = pooled(rows, PartWorker, given, cluster, batch_size=1, most=len(parts))
        yield from done.iter_rows()
    except ray.exceptions.RayError as error:
        why = str(error).strip().splitlines()[-1]
        raise LlmnerError(f"Ray could not go on ({why}); the same command continues") from None
    finally:
        if started:
            ray.shutdown()


@contextmanager
def _nothing_said() -> Iterator[None]:
    """Keep what is no Python from printing on standard error."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def quiet(data: Any) -> None:
    """Keep Ray from printing: bars, plans, and a paragraph about each process that dies.

    What such a process leaves undone is done again, or is a row with an error.
    """
    from ray._private import worker

    # Ray has no public switch for it.
    worker._worker_logs_enabled = False

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def ray_and_data() -> tuple[Any, Any]:
    """Ray, and Ray Data.

    Raises:
        MissingExtraError: The ``ray`` extra is not installed.
    """
    try:
        import ray
        from ray import data
    except ImportError:
        raise MissingExtraError("ray", "a job on several processes") from None
    return ray, data


def pooled(
    dataset: Any,
    worker: type,
    given: Mapping[str, Any],
    cluster: Cluster,
    *,
    batch_size: int,
    most: int,
) -> Any:
    """A data set whose batches go through a pool of workers.

    The pool has a fixed size, or grows with what the cluster has.

    Args:
        dataset: The data set.
        worker: The class of a worker, which is called with batches.
        given: What it is made with.
        cluster: Where workers run.
        batch_size: Rows of a batch.
        most: The most workers that there is work for.
    """
    ray, data = ray_and_data()
    if cluster.workers is not None:
        pool = data.ActorPoolStrategy(size=max(1, min(cluster.workers, most)))
    else:
        having = ray.cluster_resources()
        fitting = having.get("CPU", 1) / max(cluster.cpus_per_worker, 0.01)
        if cluster.gpus_per_worker:
            fitting = min(fitting, having.get("GPU", 0) / cluster.gpus_per_worker)
        pool = data.ActorPoolStrategy(min_size=1, max_size=max(1, min(int(fitting), most)))
    return dataset.map_batches(
        worker,
        fn_constructor_kwargs=dict(given),
        batch_size=batch_size,
        compute=pool,
        num_cpus=cluster.cpus_per_worker,
        num_gpus=cluster.gpus_per_worker or None,
    )
