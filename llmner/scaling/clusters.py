"""Ray: where it runs, how it is started without noise, and pools of workers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llmner._mishaps import Mishap, attempt
from llmner.errors import LlmnerError, MissingExtraError

__all__ = ["Cluster", "pooled", "running_ray"]


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


@contextmanager
def running_ray(
    cluster: Cluster, report: Callable[[str], None] | None = None
) -> Iterator[tuple[Any, Any]]:
    """Ray and Ray Data, started unless they run already, and stopped again if they were started.

    Args:
        cluster: Where it runs.
        report: Called with a sentence that tells the dashboard's address.

    Raises:
        LlmnerError: Ray could not go on.
        MissingExtraError: The ``ray`` extra is not installed.
    """
    ray, data = ray_and_data()
    started = not ray.is_initialized()
    if started:
        # Lines of Ray's own processes would be among the command's, and so would be the line that
        # says that they are not wanted.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        with _nothing_said():
            context = attempt(
                lambda: ray.init(
                    # Without a word, Ray would join a cluster that happens to run here.
                    address=cluster.address or "local",
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    include_dashboard=False if cluster.address is None else None,
                )
            )
        if isinstance(context, Mishap):
            where = "here" if cluster.address is None else f"at {cluster.address!r}"
            raise LlmnerError(f"Ray cannot be reached or started {where} ({context})")
        if report is not None and context.dashboard_url:
            report(f"Ray's dashboard is at http://{context.dashboard_url}")
    try:
        quiet(data)
        yield ray, data
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
    if cluster.address is None and ray.cluster_resources().get("GPU", 0) < cluster.gpus_per_worker:
        # Ray would wait for it for ever. A cluster may grow.
        raise LlmnerError(f"this machine has no {cluster.gpus_per_worker:g} GPUs for a worker")
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
