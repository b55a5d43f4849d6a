"""Converts KLUE to chat JSONL: speed, memory, and whether several runs give the same bytes.

    python benchmarks/convert_speed.py

It runs on one core in one process, which reads the TSV, renders the answers and writes the rows.
For the memory figures the corpus is repeated one, two and four times.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from _report import klue, write

CHILD = """
import resource, sys, time
from pathlib import Path
from llmner.recipes.chat import write_chat
from llmner.corpora import read_corpus
from llmner.recipes import Recipe
recipe = Recipe.load("klue")
started = time.perf_counter()
count = write_chat(read_corpus(sys.argv[1]), sys.argv[2], recipe)
print(count, time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def convert(source: Path, target: Path) -> tuple[int, float, int]:
    """Convert in a process of its own.

    Returns:
        Number of sentences, seconds, and peak resident memory in KiB.
    """
    out = subprocess.run(
        ["taskset", "-c", "0", sys.executable, "-c", CHILD, str(source), str(target)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return int(out[0]), float(out[1]), int(out[2])


def main() -> None:
    source = klue("klue-ner-v1_dev.tsv")
    with tempfile.TemporaryDirectory() as folder:
        hashes, speeds = [], []
        for run in range(3):
            target = Path(folder) / f"run{run}.jsonl"
            count, seconds, _ = convert(source, target)
            speeds.append(count / seconds)
            hashes.append(hashlib.sha256(target.read_bytes()).hexdigest())
        memory = {}
        for times in (1, 2, 4):
            repeated = Path(folder) / f"times{times}.tsv"
            repeated.write_bytes(source.read_bytes() * times)
            count, _, peak = convert(repeated, Path(folder) / "out.jsonl")
            memory[str(count)] = round(peak / 1024, 1)
    figures = {
        "sentences": 5000,
        "sentences_a_second": {"best": round(max(speeds)), "worst": round(min(speeds))},
        "peak_resident_mib_by_sentences": memory,
        "byte_identical_from_run_to_run": len(set(hashes)) == 1,
    }
    write("convert_speed", "python benchmarks/convert_speed.py", figures)


if __name__ == "__main__":
    main()
