"""Measures the embedded model on this processor, and as on one that has AVX2 and no more.

    git worktree add ../old 266d04d
    python benchmarks/processors.py --old ../old

PyTorch is told to leave newer instructions out where AVX2 is measured
(``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2``). Every figure is of a process of its own; old
and new are measured in turns. The sentences are those of ``data/sample.tsv``, loading apart.

``--klue`` answers 300 sentences of KLUE dev v1.1 in each number type: F1, and how many replies are
not those of float32.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _report import ROOT, klue, write

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
SETTINGS: dict[str, dict[str, str]] = {"AVX2": AVX2, "all instructions": {}}
SEED, KLUE_SENTENCES = 20261126, 300

DTYPES: dict[str, tuple[str, dict[str, str]]] = {
    "float32": ("float32", {}),
    "bfloat16": ("bfloat16", {}),
    "int8": ("int8", {}),
    "int8, AVX2": ("int8", AVX2),
}
"""Number types, with the instructions that are left out."""

CHILD = """
import json, resource, sys, time
root, way, dtype, count, batch = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
sys.path.insert(0, root)
import llmner
from llmner.corpora import read_corpus
from llmner.extraction import Extractor
assert llmner.__file__.startswith(root), llmner.__file__
started = time.perf_counter()
# Older checkouts know no dtype.
more = {} if dtype == "auto" else {"dtype": dtype}
adapted = Extractor.from_adapter(batch_size=batch, max_new_tokens=128, **more)
extractor = Extractor(
    adapted.recipe, adapted.generator, grounded=way == "grounded", batch_size=4 * batch
)
sentences = list(read_corpus(sys.argv[6]))
list(extractor.extract(sentences[:1]))
loaded = time.perf_counter()
if batch == 1:
    answers = [next(iter(extractor.extract([sentence]))) for sentence in sentences[:count]]
else:
    answers = list(extractor.extract(sentences[:count]))
seconds = time.perf_counter() - loaded
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "dtypes": sorted({
        str(weight.dtype).removeprefix("torch.")
        for weight in adapted.generator.load()[0].parameters()
    }),
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
    parser.add_argument("--dtype", help="with --klue: answer in one number type, and print")
    arguments = parser.parse_args()
    if arguments.dtype:
        print(json.dumps(answered_in(arguments.dtype)))
        return
    results: dict[str, Any]
    if arguments.klue:
        name = "processors_klue"
        results = {"sentences": KLUE_SENTENCES, **in_each_dtype([__file__, "--klue"])}
    else:
        name = "processors"
        results = {
            key: raced(each, arguments.old, arguments.rounds) for key, each in SETTINGS.items()
        }
    command = " ".join(["python benchmarks/processors.py", *sys.argv[1:]])
    write(name, command, results, ("llmner", "torch", "transformers", "peft"))


def raced(setting: dict[str, str], old: Path | None, rounds: int) -> dict[str, Any]:
    """Seconds a sentence of each way, the best of some rounds in turns; and ratios."""
    ways: list[tuple[str, Path, str, str, int, int]] = [
        ("free, 32 together", ROOT, "free", "auto", 100, 32),
        ("grounded, 32 together", ROOT, "grounded", "auto", 100, 32),
        ("grounded, one at a time", ROOT, "grounded", "auto", 12, 1),
        ("int8: grounded, 32 together", ROOT, "grounded", "int8", 100, 32),
        ("int8: grounded, one at a time", ROOT, "grounded", "int8", 12, 1),
    ]
    if old is not None:
        ways.insert(0, ("old: free, 12 together", old.resolve(), "free", "auto", 48, 12))
    best: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for name, root, way, dtype, count, batch in ways:
            said = child(setting, str(root), way, dtype, str(count), str(batch))
            if name not in best or said["seconds_a_sentence"] < best[name]["seconds_a_sentence"]:
                best[name] = said
    seconds = {name: said["seconds_a_sentence"] for name, said in best.items()}
    grounded = seconds["grounded, 32 together"]
    alone = seconds["grounded, one at a time"]
    ratios = {
        "free over grounded": round(seconds["free, 32 together"] / grounded, 2),
        **{
            f"auto over int8, {together}": round(each / seconds[f"int8: grounded, {together}"], 2)
            for together, each in (("32 together", grounded), ("one at a time", alone))
        },
    }
    if old is not None:
        before = seconds["old: free, 12 together"]
        ratios["old over grounded"] = round(before / grounded, 2)
        ratios["old over int8"] = round(before / seconds["int8: grounded, 32 together"], 2)
    return {**best, "ratios": ratios}


def child(setting: dict[str, str], root: str, *more: str) -> dict[str, Any]:
    """What one process says of a way."""
    sample = str(ROOT / "data" / "sample.tsv")
    said = told(["-c", CHILD, root, *more, sample], {**setting, "PYTHONPATH": root})
    print(root, more, said, file=sys.stderr)
    return said


def in_each_dtype(command: Sequence[str]) -> dict[str, Any]:
    """What a script says with each ``--dtype``, and how many replies are not those of float32."""
    figures: dict[str, Any] = {}
    first: list[str] = []
    for name, (dtype, setting) in DTYPES.items():
        said = told([*command, "--dtype", dtype], setting)
        replies = said.pop("replies")
        first = first or replies
        different = sum(one != other for one, other in zip(replies, first, strict=True))
        figures[name] = {**said, "other_replies": different}
        print(name, figures[name], file=sys.stderr)
    return figures


def told(command: Sequence[str], setting: dict[str, str]) -> dict[str, Any]:
    """The JSON that a process of its own prints last."""
    printed = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **setting},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    last: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return last


def answered_in(dtype: str) -> dict[str, Any]:
    """F1 and replies in one number type."""
    from llmner.corpora import read_corpus
    from llmner.extraction import Extractor
    from llmner.scoring import sample, score

    gold = sample(list(read_corpus(klue("klue-ner-v1.1_dev.tsv"))), KLUE_SENTENCES, SEED)
    extractor = Extractor.from_adapter(max_new_tokens=128, dtype=dtype)
    extractor.batch_size = KLUE_SENTENCES
    answers = list(extractor.extract(gold))
    micro = score([one.spans for one in gold], [answer.spans for answer in answers]).micro
    return {
        "micro_f1": round(micro.f1, 4),
        "replies": [answer.reply.text for answer in answers],
    }


if __name__ == "__main__":
    main()
