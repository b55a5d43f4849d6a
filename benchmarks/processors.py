"""Measures the embedded model on this processor, and as on one that has AVX2 and no more.

    git worktree add ../old 266d04d
    python benchmarks/processors.py --old ../old

PyTorch is told to leave newer instructions out where AVX2 is measured
(``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2``). Every figure is of a process of its own; old
and new are measured in turns. The sentences are those of ``data/sample.tsv``, loading apart.

``--klue`` answers 300 sentences of KLUE dev v1.1 in float32 and in bfloat16: F1 and the replies
that differ.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from _report import ROOT, klue, write

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
SEED = 20261126

CHILD = """
import json, resource, sys, time
root, way, count, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sys.path.insert(0, root)
import llmner
from llmner.corpora import read_corpus
from llmner.extraction import Extractor
assert llmner.__file__.startswith(root), llmner.__file__
started = time.perf_counter()
adapted = Extractor.from_adapter(batch_size=batch, max_new_tokens=128)
extractor = Extractor(
    adapted.recipe, adapted.generator, grounded=way == "grounded", batch_size=4 * batch
)
sentences = list(read_corpus(sys.argv[5]))
list(extractor.extract(sentences[:1]))
loaded = time.perf_counter()
if batch == 1:
    answers = [next(iter(extractor.extract([sentence]))) for sentence in sentences[:count]]
else:
    answers = list(extractor.extract(sentences[:count]))
seconds = time.perf_counter() - loaded
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "dtype": str(adapted.generator.load()[0].dtype).removeprefix("torch."),
    "loading_and_first_sentence_seconds": round(loaded - started, 1),
    "sentences": len(answers),
    "seconds_a_sentence": round(seconds / len(answers), 3),
    "spans": sum(len(answer.spans) for answer in answers),
    "peak_memory_gib": round(peak / 2**20, 2),
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--klue", action="store_true")
    arguments = parser.parse_args()
    settings: dict[str, dict[str, str]] = {"AVX2": AVX2, "all instructions": {}}
    results: dict[str, Any]
    if arguments.klue:
        name, results = "processors_klue", answered()
    else:
        name = "processors"
        results = {
            key: raced(each, arguments.old, arguments.rounds) for key, each in settings.items()
        }
    command = " ".join(["python benchmarks/processors.py", *sys.argv[1:]])
    write(name, command, results, ("llmner", "torch", "transformers", "peft"))


def raced(setting: dict[str, str], old: Path | None, rounds: int) -> dict[str, Any]:
    """Seconds a sentence of each way, the best of some rounds in turns; and ratios."""
    ways: list[tuple[str, Path, str, int, int]] = [
        ("free, 32 together", ROOT, "free", 100, 32),
        ("grounded, 32 together", ROOT, "grounded", 100, 32),
        ("grounded, one at a time", ROOT, "grounded", 12, 1),
    ]
    if old is not None:
        ways.insert(0, ("old: free, 12 together", old.resolve(), "free", 48, 12))
    best: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for name, root, way, count, batch in ways:
            told = child(setting, str(root), way, str(count), str(batch))
            if name not in best or told["seconds_a_sentence"] < best[name]["seconds_a_sentence"]:
                best[name] = told
    seconds = {name: told["seconds_a_sentence"] for name, told in best.items()}
    grounded = seconds["grounded, 32 together"]
    ratios = {"free over grounded": round(seconds["free, 32 together"] / grounded, 2)}
    if old is not None:
        ratios["old over grounded"] = round(seconds["old: free, 12 together"] / grounded, 2)
    return {**best, "ratios": ratios}


def child(setting: dict[str, str], root: str, *more: str) -> dict[str, Any]:
    """What one process prints."""
    sample = str(ROOT / "data" / "sample.tsv")
    printed = subprocess.run(
        [sys.executable, "-c", CHILD, root, *more, sample],
        env={**os.environ, **setting, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    told: dict[str, Any] = json.loads(printed.splitlines()[-1])
    print(root, more, told, file=sys.stderr)
    return told


def answered() -> dict[str, Any]:
    """F1 of 300 sentences in both number types, and how many replies differ."""
    from llmner.corpora import read_corpus
    from llmner.extraction import Extractor
    from llmner.scoring import sample, score

    gold = sample(list(read_corpus(klue("klue-ner-v1.1_dev.tsv"))), 300, SEED)
    replies, figures = [], {}
    for dtype in ("float32", "bfloat16"):
        extractor = Extractor.from_adapter(max_new_tokens=128, dtype=dtype)
        extractor.batch_size = 300
        answers = list(extractor.extract(gold))
        micro = score([one.spans for one in gold], [answer.spans for answer in answers]).micro
        figures[dtype] = {"micro_f1": round(micro.f1, 4)}
        replies.append([answer.reply.text for answer in answers])
    different = sum(one != other for one, other in zip(*replies, strict=True))
    return {"sentences": len(gold), **figures, "different_replies": different}


if __name__ == "__main__":
    main()
