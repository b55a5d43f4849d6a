"""Jobs on many processes: parts of the input, each read and written by one worker of Ray.

A finished part is a file of the output folder. So what is done is what is there: a job that was
killed goes on with the parts that are missing, and within a part after its last row.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt
from llmner._whole import locked
from llmner.errors import InputError
from llmner.files import RUN_FILE, dump_json, kind_of, open_lines, target_of, whole_file
from llmner.scaling.clusters import Cluster, pooled, ray_and_data, running_ray
from llmner.scaling.jobs import BAD, Job, PartCounts
from llmner.scaling.parts import WORK, Part, input_files, is_job, plan_parts, record_of, shortened

__all__ = ["JobProgress", "JobSummary", "run_job"]

# A part is as small as this, and as many come to each worker, unless a part would be larger than
# that: few enough to list, and small enough to lose.
_LEAST, _EACH, _MOST = 1 << 16, 32, 64 << 20
# Seconds between two looks at how far workers are.
_LOOK = 0.5


@dataclass(slots=True)
class JobSummary:
    """What became of a job.

    Attributes:
        parts: The number of parts.
        counts: What is in those that are done.
        errors: Why parts have no output, by the part's name.
    """

    parts: int
    counts: PartCounts = field(default_factory=PartCounts)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.counts.rows

    @property
    def failed(self) -> int:
        """Rows without an answer."""
        return self.counts.failed

    @property
    def bad(self) -> int:
        """Rows of the input that were put aside."""
        return self.counts.bad


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is.

    Attributes:
        parts: The number of parts.
        parts_done: Those that are done.
        parts_before: Those that were done before this run.
        rows: Rows that are there, those of an earlier run included.
        rows_before: Rows of parts that were done before this run.
        failed: Rows of this run without an answer.
        expected: About how many rows there will be; ``None`` before a part is done.
    """

    parts: int
    parts_done: int
    parts_before: int
    rows: int
    rows_before: int
    failed: int
    expected: int | None


class PartWorker:
    """A process of Ray that does parts one after another.

    Args:
        job: What it does.
        folder: The output folder.
        tally: The process that counts rows.
    """

    def __init__(self, job: Job, folder: str, tally: Any) -> None:
        self.job = job
        self.folder = Path(folder)
        self.tools: dict[str, Any] = {}
        self.count = _Count(tally)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Do the parts of a batch, and say what became of them."""
        results = [self.done(Part(**json.loads(str(fields)))) for fields in batch["part"]]
        return {"result": [dump_json(own).decode() for own in results]}

    def done(self, part: Part) -> dict[str, Any]:
        """Do a part. What goes wrong is told, and ends no other part."""
        output = self.folder / WORK / f"{part.name}.jsonl"
        result = attempt(self._done, part, output)
        self.count.send()
        if isinstance(result, Mishap):
            # A later run begins where this one ended.
            return {"name": part.name, "error": str(result), "counts": PartCounts().to_dict()}
        for path in output.parent.glob(f"{part.name}.jsonl.*"):
            path.unlink(missing_ok=True)
        return {"name": part.name, "error": "", "counts": result.to_dict()}

    def _done(self, part: Part, output: Path) -> PartCounts:
        counts = self.job.work(part, output, self.tools, self.count.add)
        with whole_file(output.with_suffix(".counts")) as stream:
            stream.write(dump_json(counts.to_dict()))
        self.job.finish(output, self.folder / f"{part.name}{self.job.suffix}")
        return counts


class _Count:
    """A worker's rows on their way to the tally, which is told of them twice a second."""

    def __init__(self, tally: Any) -> None:
        self.tally = tally
        self.rows = self.failed = 0
        self.sent = time.monotonic()

    def add(self, rows: int, failed: int) -> None:
        self.rows += rows
        self.failed += failed
        if time.monotonic() - self.sent >= _LOOK:
            self.send()

    def send(self) -> None:
        if self.rows:
            self.tally.add.remote(self.rows, self.failed)
        self.rows = self.failed = 0
        self.sent = time.monotonic()


class _Tally:
    """The rows that all workers have done in this run, and how many have no answer."""

    def __init__(self) -> None:
        self.rows = self.failed = 0

    def add(self, rows: int, failed: int) -> None:
        self.rows += rows
        self.failed += failed

    def total(self) -> tuple[int, int]:
        return self.rows, self.failed


class _Watch:
    """Tells how far a job is, from two threads."""

    def __init__(
        self, summary: JobSummary, done: int, on_progress: Callable[[JobProgress], None] | None
    ) -> None:
        self.summary = summary
        self.parts_before = self.parts_done = done
        self.rows_before = summary.rows
        self.tallied = self.failed = 0
        self.on_progress = on_progress
        self.lock = threading.Lock()

    def part(self, result: Mapping[str, Any]) -> None:
        """Count what became of a part."""
        with self.lock:
            if result["error"]:
                self.summary.errors[str(result["name"])] = str(result["error"])
            else:
                self.summary.counts.add(PartCounts(**result["counts"]))
                self.parts_done += 1
            self._tell()

    def tally(self, rows: int, failed: int) -> None:
        """Know how many rows workers have done."""
        with self.lock:
            if (rows, failed) != (self.tallied, self.failed):
                self.tallied, self.failed = rows, failed
                self._tell()

    def tell(self) -> None:
        """Tell how far the job is."""
        with self.lock:
            self._tell()

    def _tell(self) -> None:
        if self.on_progress is None:
            return
        finished, parts = self.summary.rows, self.summary.parts
        rows = max(finished, self.rows_before + self.tallied)
        expected = round(finished / self.parts_done * parts) if self.parts_done else None
        if self.parts_done == parts:
            rows = expected = finished
        self.on_progress(
            JobProgress(
                parts,
                self.parts_done,
                self.parts_before,
                rows,
                self.rows_before,
                self.failed,
                None if expected is None else max(expected, rows),
            )
        )


def run_job(
    job: Job,
    files: Sequence[Path],
    folder: Path,
    *,
    format: str | None = None,
    cluster: Cluster | None = None,
    restart: bool = False,
    on_progress: Callable[[JobProgress], None] | None = None,
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
        on_progress: Told how far the job is: when it is planned, twice a second, and after each
            part. It may be called by another thread, but never by two at the same time.
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
    size = _part_size(files, cluster)
    # What cannot work is told before anything is thrown away.
    ray_and_data()
    plan_parts(files, format, size)
    with _folder_alone(folder, restart=restart):
        size = _prepare_folder(folder, plan, size)
        parts = plan_parts(files, format, size)
        return _run(job, parts, folder, plan, size, cluster, on_progress, report)


def _run(
    job: Job,
    parts: Sequence[Part],
    folder: Path,
    plan: dict[str, Any],
    size: int,
    cluster: Cluster,
    on_progress: Callable[[JobProgress], None] | None,
    report: Callable[[str], None] | None,
) -> JobSummary:
    """Do what is missing of the parts."""
    summary = JobSummary(len(parts))
    finished = record_of(folder / RUN_FILE)
    if finished and all(kind_of(folder / f"{part.name}{job.suffix}") == "file" for part in parts):
        shutil.rmtree(folder / WORK, ignore_errors=True)
        summary.counts = PartCounts(**finished["counts"])
        _Watch(summary, len(parts), on_progress).tell()
        return summary
    waiting = [part for part in parts if not _is_done(folder, part, job.suffix, summary)]
    watch = _Watch(summary, len(parts) - len(waiting), on_progress)
    watch.tell()
    if waiting:
        for result in _worked(job, waiting, folder, cluster, report, watch):
            watch.part(result)
    if not summary.errors:
        _finish(folder, plan, size, summary)
    return summary


def _part_size(files: Sequence[Path], cluster: Cluster) -> int:
    total = sum(path.stat().st_size for path in files)
    return min(max(total // ((cluster.workers or 8) * _EACH), _LEAST), _MOST)


@contextmanager
def _folder_alone(folder: Path, *, restart: bool) -> Iterator[None]:
    """The folder, locked against other drivers; emptied of a job's output with ``restart``.

    Raises:
        InputError: Another process is writing there.
    """
    _check_own(folder)
    work = folder / WORK
    attempt(lambda: work.mkdir(parents=True, exist_ok=True))
    if not work.is_dir():
        raise InputError("cannot be written", path=folder, hint="name another folder")
    lock = work / "lock"
    with lock.open("ab") as stream:
        if locked(stream.fileno()) is False:
            raise InputError(
                "another process is writing there",
                path=folder,
                hint="wait for it, or name another folder",
            )
        if restart:
            # A folder with a record and without its parts would be read as a whole one.
            (folder / RUN_FILE).unlink(missing_ok=True)
            for path in (*folder.glob("part-*"), *work.iterdir()):
                if path != lock:
                    path.unlink(missing_ok=True)
            shutil.rmtree(folder / BAD, ignore_errors=True)
        yield


def _check_own(folder: Path) -> None:
    """Make sure that a folder is a job's, or empty.

    Raises:
        InputError: It holds something else.
    """
    if is_job(folder) or is_job(folder / WORK) or kind_of(folder) == "missing":
        return
    # A job that was killed at once leaves an empty folder for its work.
    if not folder.is_dir() or any(path.name != WORK for path in folder.iterdir()):
        raise InputError(
            "is there already, and no job made it", path=folder, hint="name another folder"
        )


def _prepare_folder(folder: Path, plan: dict[str, Any], size: int) -> int:
    """Make sure that the folder is of the same job, and write down what decides it.

    Returns:
        The bytes of a part: those of the job that was begun there.

    Raises:
        InputError: It holds another job's output.
    """
    work = folder / WORK
    records = folder / RUN_FILE, work / RUN_FILE
    begun = next((path for path in records if kind_of(path) != "missing"), None)
    if begun is not None:
        made = record_of(begun)
        differs = [key for key in plan if made.get(key) != plan[key]]
        if differs or type(made.get("part_bytes")) is not int:
            raise InputError(
                f"holds the output of another job ({', '.join(differs) or 'unreadable'})",
                path=folder,
                hint="name another folder, or replace this one with --restart",
            )
        size = int(made["part_bytes"])
    for trial in work.glob("*.trial"):
        # Deaths of an earlier run are not these sentences' doing: the job itself was killed.
        trial.unlink(missing_ok=True)
    with whole_file(work / RUN_FILE) as stream:
        stream.write(dump_json({**plan, "part_bytes": size}, indent=2) + b"\n")
    return size


def _is_done(folder: Path, part: Part, suffix: str, summary: JobSummary) -> bool:
    """Whether a part is there; then it is counted."""
    output = folder / f"{part.name}{suffix}"
    if kind_of(output) != "file":
        return False
    counts = attempt(lambda: PartCounts(**record_of(folder / WORK / f"{part.name}.counts")))
    if isinstance(counts, Mishap) or counts == PartCounts():
        # It was lost with the folder of work, or never made.
        counts = PartCounts(rows=_rows_of(output))
    summary.counts.add(counts)
    return True


def _rows_of(path: Path) -> int:
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return int(parquet.ParquetFile(path).metadata.num_rows)
    return sum(1 for _ in open_lines(path))


def _finish(folder: Path, plan: dict[str, Any], size: int, summary: JobSummary) -> None:
    """Write ``run.json``, and remove what was needed on the way."""
    totals = {"parts": summary.parts, "counts": summary.counts.to_dict()}
    with whole_file(folder / RUN_FILE) as stream:
        record = {**plan, "part_bytes": size, **totals}
        stream.write(dump_json(record, indent=2) + b"\n")
    shutil.rmtree(folder / WORK, ignore_errors=True)


def _worked(
    job: Job,
    parts: Sequence[Part],
    folder: Path,
    cluster: Cluster,
    report: Callable[[str], None] | None,
    watch: _Watch,
) -> Iterator[dict[str, Any]]:
    """What became of each part, as soon as it is done."""
    with running_ray(cluster, report) as (ray, data):
        tally = ray.remote(num_cpus=0)(_Tally).remote()
        rows = data.from_items(
            [{"part": dump_json(asdict(part)).decode()} for part in parts],
            override_num_blocks=len(parts),
        )
        given = {"job": job, "folder": str(folder.resolve()), "tally": tally}
        done = pooled(rows, PartWorker, given, cluster, batch_size=1, most=len(parts))
        with _looking(lambda: ray.get(tally.total.remote(), timeout=60), watch):
            for row in done.iter_rows():
                yield json.loads(row["result"])


@contextmanager
def _looking(total: Callable[[], tuple[int, int]], watch: _Watch) -> Iterator[None]:
    """Look at the tally twice a second, until the block ends."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK):
            counts = attempt(total)
            if not isinstance(counts, Mishap):
                watch.tally(*counts)

    thread = threading.Thread(target=look, name="llmner-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
