"""Nothing has changed for a user, unless a book says so: see ``tests.golden.books``."""

from __future__ import annotations

import difflib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llmner.cli import app
from tests.golden.books import BOOKS, FOLDER, NEEDS, written

_SHOWN = 60


@pytest.mark.parametrize("name", BOOKS)
def test_answers_are_those_of_the_book(name: str, tmp_path: Path) -> None:
    needed = NEEDS.get(name)
    if needed is not None and not needed.exists():
        pytest.skip(f"shared data is not at hand: {needed.name} (see data/README.md)")
    kept = (FOLDER / f"{name}.jsonl").read_text("utf-8").split("\n")[:-1]
    lines = [written(line) for line in BOOKS[name](tmp_path)]
    if lines == kept:
        return
    differing = list(difflib.unified_diff(kept, lines, "kept", "now", lineterm="", n=0))[2:]
    shown = "\n".join(line[:400] for line in differing if not line.startswith("@@"))
    more = f"\n... {len(differing)} lines of difference" if len(differing) > _SHOWN else ""
    pytest.fail(
        "\n".join(shown.split("\n")[:_SHOWN])
        + more
        + "\nif that is meant: make golden, and look at git diff",
        pytrace=False,
    )


def test_every_book_is_kept_and_no_other() -> None:
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == set(BOOKS)


def test_a_run_that_an_older_version_began_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``begun/`` holds ten rows, and their record, that 0.1.0 left before its rooms were moved."""
    data = FOLDER.parent.parent / "data"
    for path in (*(FOLDER / "begun").iterdir(), *filter(Path.is_file, data.iterdir())):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    run = [
        "extract",
        "-i",
        "sample.tsv",
        "--engine",
        "recorded",
        "--replies",
        "sample-replies.jsonl",
    ]
    done = CliRunner().invoke(app, [*run, "-o", "rows.jsonl"])
    assert done.exit_code == 0, done.stderr
    assert "10 sentences" in done.stderr
    fresh = CliRunner().invoke(app, [*run, "-o", "fresh.jsonl"])
    assert fresh.exit_code == 0
    assert Path("rows.jsonl.run.json").read_bytes() == Path("fresh.jsonl.run.json").read_bytes()
    kept, new = (
        list(map(json.loads, Path(name).read_text("utf-8").splitlines()))
        for name in ("rows.jsonl", "fresh.jsonl")
    )
    assert kept[10:] == new[10:]
    # What mentions say of themselves is kept since.
    for row in new[:10]:
        for outcome in row["outcomes"]:
            outcome.pop("attributes", None)
    assert kept[:10] == new[:10]
    # Another choice is another run.
    shutil.copy(FOLDER / "begun" / "rows.jsonl.partial", tmp_path / "rows.jsonl.partial")
    shutil.copy(
        FOLDER / "begun" / "rows.jsonl.partial.run.json", tmp_path / "rows.jsonl.partial.run.json"
    )
    refused = CliRunner().invoke(app, [*run, "-o", "rows.jsonl", "--fuzzy", "0.9"])
    assert refused.exit_code == 2
    assert "another policy" in refused.stderr
