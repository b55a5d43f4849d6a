"""More than one process or machine: the same questions, scores and rows, by Ray.

:func:`run_job` is what ``llmner extract --ray`` and ``project --ray`` run: files in, files out, and
what was interrupted goes on. :func:`extract` is a step of a Ray Data pipeline of one's own.
Importing this package does not import ray.
"""

from llmner.scaling.datasets import extract
from llmner.scaling.running import (
    Cluster,
    ExtractJob,
    JobSummary,
    ProjectJob,
    run_job,
)

__all__ = [
    "Cluster",
    "ExtractJob",
    "JobSummary",
    "ProjectJob",
    "extract",
    "run_job",
]
