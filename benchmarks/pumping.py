"""Repeats patterns many times as input, and looks for errors and for more than linear time.

    python benchmarks/pumping.py [--seconds 600] [--seed 1]

Each kind of reader and of projection gets an equal share of the seconds. ``make fuzz`` does the
same without writing a file.
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    looks = {name: look(name, arguments.seconds / len(RUNS), arguments.seed) for name in RUNS}
    figures = {
        "seconds": arguments.seconds,
        "seed": arguments.seed,
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
