"""More than one process or machine: the same questions, scores and rows, by Ray.

:func:`run_job` is what ``extract``, ``project`` and ``convert`` run with ``--ray``: files in, files
out, and what was interrupted goes on. :func:`from_job` evaluates what it finds. :func:`extract` is
a step of a Ray Data pipeline of one's own. Importing this package does not import ray.
"""

from llmner.scaling.clusters import Cluster
from llmner.scaling.datasets import extract
from llmner.scaling.evaluating import from_job
from llmner.scaling.jobs import ConvertJob, ExtractJob, PartCounts, ProjectJob
from llmner.scaling.running import JobProgress, JobSummary, run_job

__all__ = [
    "Cluster",
    "ConvertJob",
    "ExtractJob",
    "JobProgress",
    "JobSummary",
    "PartCounts",
    "ProjectJob",
    "extract",
    "from_job",
    "run_job",
]
