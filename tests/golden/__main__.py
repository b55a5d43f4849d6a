"""Writes the books again: ``python -m tests.golden [NAME ...]``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.golden.books import BOOKS, FOLDER, NEEDS, written

for name in sys.argv[1:] or BOOKS:
    needed = NEEDS.get(name)
    if needed is not None and not needed.exists():
        print(f"{name}: left as it is, {needed.name} is not at hand", file=sys.stderr)
        continue
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        lines = [written(line) + "\n" for line in BOOKS[name](Path(scratch))]
    (FOLDER / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    print(f"{name}: {len(lines)} lines, {time.perf_counter() - started:.1f} s", file=sys.stderr)
