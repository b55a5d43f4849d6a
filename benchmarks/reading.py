"""Compares the reading of raw replies with json_repair and with a strict parser of JSON.

    make bench-reading
    python benchmarks/reading.py    # with the dependency group ``peers`` installed

The replies are the rows of ``data/cases`` and of ``tests/cases``: the shapes that models' replies
have when they are not what was asked for, kind by kind, with controls. The former are our own, and
reading was written with these kinds in view; the peers know JSON only, and many kinds are none.
Every reader gets the text, the reply and the labels, and gives spans. A row is right if its spans
are one of the accepted answers. Times are microseconds a reply on one thread, from the raw reply to
the spans. The figures go to ``results/reading.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from _cases import HANDED, OWN, Row, judge, markdown, read_rows
from _readers import Reader, readers
from _report import RESULTS, ROOT, write

PACKAGES = ("llmner", "rapidfuzz", "json-repair")


def compare(rows: Sequence[Row], competitors: Mapping[str, Reader]) -> dict[str, Any]:
    """Measure every reader on the rows."""
    return {
        "replies": len(rows),
        "readers": {name: judge(rows, read) for name, read in competitors.items()},
    }


def tables(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown, a table for each set."""
    return "\n\n".join(
        f"{name}, {found['replies']} replies:\n\n{markdown(found['readers'])}"
        for name, found in figures.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tables", action="store_true", help="only print the results of the last run, as Markdown"
    )
    if parser.parse_args().tables:
        kept = json.loads((RESULTS / "reading.json").read_text(encoding="utf-8"))
        print(tables(kept["figures"]))
        return
    competitors = readers()
    figures = {}
    for folder, other in ((OWN, HANDED), (HANDED, OWN)):
        # What happens once, such as compiling patterns, is in no reply's time.
        compare(read_rows(other / "replies.jsonl")[:20], competitors)
        rows = read_rows(folder / "replies.jsonl")
        figures[str(folder.relative_to(ROOT))] = compare(rows, competitors)
    write("reading", "make bench-reading", figures, packages=PACKAGES)
    print(tables(figures))


if __name__ == "__main__":
    main()
