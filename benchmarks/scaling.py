"""What Ray costs and gains on one machine: jobs of one process against jobs of one and two workers.

    python benchmarks/scaling.py [--rows 200000] [--tagged 20000]

Replies are projected: no model, so that nothing but reading, projecting and writing is measured. A
tagger that waits five milliseconds a sentence stands for a model elsewhere. Ray is started before
the clock. Memory is the most that any worker held, as the input grows tenfold.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _report import write

from llmner.asking import AskOptions
from llmner.engines import Reply
from llmner.extraction import Extraction, SpanExtractor
from llmner.extraction.extractor import nothing
from llmner.extraction.runs import run_extraction
from llmner.recipes import Recipe
from llmner.scaling import Cluster, ExtractJob, PartCounts, ProjectJob, run_job
from llmner.scaling.jobs import OnRows
from llmner.scaling.parts import Part, part_sentences
from llmner.spans import Sentence

WAIT = 0.005


class Waiting:
    """A tagger that finds nothing, and takes its time."""

    batch_size = 32

    def describe(self) -> dict[str, Any]:
        return {"engine": "waiting"}

    def extract(self, sentences: Iterable[Sentence | str]) -> Iterator[Extraction]:
        for sentence in sentences:
            assert isinstance(sentence, Sentence)
            time.sleep(WAIT)
            yield Extraction(sentence, Reply("", "stop"), nothing(sentence.text))


@dataclass(frozen=True)
class WaitingJob(ExtractJob):
    def extractor(self) -> SpanExtractor:
        return Waiting()


@dataclass(frozen=True)
class MeasuredJob(ProjectJob):
    """A projection that notes the most memory that its process held."""

    notes: str = ""

    def work(self, part: Part, output: Path, tools: dict[str, Any], on_rows: OnRows) -> PartCounts:
        result = super().work(part, output, tools, on_rows)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        (Path(self.notes) / f"{os.getpid()}").write_text(str(most))
        return result


def replies(path: Path, count: int) -> None:
    reply = json.dumps({"PS": ["손흥민"], "LC": ["춘천"], "DT": ["1992년"]}, ensure_ascii=False)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            text = f"손흥민은 1992년 춘천에서 태어났고, {number}번째 경기에서 이겼다."
            row = {"id": f"r{number:08d}", "text": text, "reply": reply}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def timed(job: ExtractJob | ProjectJob, path: Path, out: Path, workers: int) -> dict[str, Any]:
    began = time.perf_counter()
    summary = run_job(job, [path], out, cluster=Cluster(workers=workers))
    seconds = time.perf_counter() - began
    assert not summary.errors, summary.errors
    return {"rows": summary.rows, "seconds": round(seconds, 1)}


def main() -> None:
    import ray

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--tagged", type=int, default=20_000)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        path = work / "replies.jsonl"
        replies(path, arguments.rows)
        began = time.perf_counter()
        command = ["-m", "llmner", "project", "-i", str(path), "-o", str(work / "one.jsonl")]
        subprocess.run([sys.executable, *command], check=True, stderr=subprocess.DEVNULL)
        seconds = round(time.perf_counter() - began, 1)
        figures["project"] = {"one process": {"rows": arguments.rows, "seconds": seconds}}
        ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        schema = Recipe.load("klue").schema_
        for workers in (1, 2):
            out = work / f"out-{workers}"
            figures["project"][f"{workers} workers"] = timed(ProjectJob(schema), path, out, workers)
        whole = b"".join(part.read_bytes() for part in sorted((work / "out-2").glob("part-*")))
        figures["project"]["same bytes"] = whole == (work / "one.jsonl").read_bytes()
        memory = {}
        for rows in (arguments.rows // 2, 5 * arguments.rows):
            replies(path, rows)
            notes = work / f"notes-{rows}"
            notes.mkdir()
            job = MeasuredJob(schema, notes=str(notes))
            memory[str(rows)] = timed(job, path, work / f"out-{rows}", 2) | {
                "largest worker, MB": max(int(own.read_text()) for own in notes.iterdir()) // 1024
            }
        figures["memory"] = memory
        replies(path, arguments.tagged)
        sentences = part_sentences(Part(0, str(path), "spans"))
        began = time.perf_counter()
        run_extraction(Waiting(), sentences, work / "tagged.jsonl", source="one")
        seconds = round(time.perf_counter() - began, 1)
        figures["tagger of 5 ms"] = {"one process": {"rows": len(sentences), "seconds": seconds}}
        for workers in (1, 2):
            job_ = WaitingJob(AskOptions())
            figures["tagger of 5 ms"][f"{workers} workers"] = timed(
                job_, path, work / f"tagged-{workers}", workers
            )
    command = f"python benchmarks/scaling.py --rows {arguments.rows} --tagged {arguments.tagged}"
    write("scaling", command, figures, ("llmner", "ray"))


if __name__ == "__main__":
    main()
