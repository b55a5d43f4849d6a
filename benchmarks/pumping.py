"""Patterns said over and over: how many were tried, and whether any took more than linear time or
raised.

    python benchmarks/pumping.py [--seconds 600] [--seed 1]

Each kind of reader and of projection has its share of the seconds. ``make fuzz`` is the same
without a file.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from _report import write

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.pumping import RUNS, look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    looks = {name: look(name, asked.seconds / len(RUNS), asked.seed) for name in RUNS}
    figures = {
        "seconds": asked.seconds,
        "seed": asked.seed,
        "patterns": {name: count for name, (count, _) in looks.items()},
        "all_patterns": sum(count for count, _ in looks.values()),
        "findings": [finding for _, finding in looks.values() if finding is not None],
    }
    write(
        "pumping",
        shlex.join(["python", "benchmarks/pumping.py", *sys.argv[1:]]),
        figures,
        ("llmner", "rapidfuzz"),
    )


if __name__ == "__main__":
    main()
