"""How long one sentence takes from the shell, loading and ending included.

    git worktree add ../old 266d04d
    python benchmarks/shell.py --old ../old

Old and new run in turns, with all instructions and as on a processor that has AVX2 and no more. The
best of some rounds is kept, after one that is not counted: it reads files from the disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _report import ROOT, write
from processors import SETTINGS

COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from llmner.cli import main
main()
"""
SENTENCE = "손흥민은 춘천에서 태어났다."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, help="a checkout to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    roots = {"now": ROOT}
    if arguments.old is not None:
        roots = {"old": arguments.old.resolve(), **roots}
    results: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        seconds: dict[str, list[float]] = {checkout: [] for checkout in roots}
        for _ in range(1 + arguments.rounds):
            for checkout, root in roots.items():
                seconds[checkout].append(timed(root, setting))
        results[name] = {
            f"{checkout}, seconds": round(min(each[1:]), 1) for checkout, each in seconds.items()
        }
    command = " ".join(["python benchmarks/shell.py", *sys.argv[1:]])
    write("shell", command, results, ("llmner", "torch", "transformers", "llguidance"))


def timed(root: Path, setting: dict[str, str]) -> float:
    started = time.perf_counter()
    said = subprocess.run(
        [sys.executable, "-c", COMMAND, str(root), "extract", SENTENCE],
        env={**os.environ, **setting},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - started
    assert "손흥민" in said.stdout, said.stderr
    return seconds


if __name__ == "__main__":
    main()
