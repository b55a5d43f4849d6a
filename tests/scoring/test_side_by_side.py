"""Several runs side by side: names, comparisons with the first, and where answers are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmner.extraction.runs import KeptAnswers
from llmner.scoring import Prediction, evaluate
from llmner.scoring.side_by_side import compare_with_first, run_names
from llmner.spans import Sentence, Span

GOLD = [Sentence("손흥민은 춘천에서", (Span(0, 3, "PS"), Span(5, 7, "LC")))]


def test_names_are_short_and_unique() -> None:
    assert run_names(["x/a.json", "x/b.json"]) == ["a", "b"]
    assert run_names(["x/a.json", "y/a.json", "b"]) == ["x/a.json", "y/a.json", "b"]
    assert run_names(["a.json", "a.json"]) == ["a.json (1)", "a.json (2)"]


def test_every_run_is_compared_with_the_first() -> None:
    spans = {"none": (), "half": GOLD[0].spans[:1], "all": GOLD[0].spans}
    runs = {
        name: evaluate(GOLD, [Prediction(GOLD[0].text, spans[name])], resamples=0) for name in spans
    }
    compared = compare_with_first(runs, resamples=0)
    assert list(compared) == ["half", "all"]
    assert compared["all"].differences["micro.f1"].difference == 1
    assert compare_with_first({"none": runs["none"]}) == {}


def test_answers_are_kept_beside_the_output_until_they_are_dropped(tmp_path: Path) -> None:
    answers = KeptAnswers(tmp_path / "run.json")
    path = answers.path({"model": "m"})
    assert path == tmp_path / "run.json.partial"
    path.write_text("{}\n")
    answers.drop()
    assert not path.exists()


def test_answers_without_an_output_are_kept_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMNER_CACHE", str(tmp_path))
    path = KeptAnswers().path({"model": "m"})
    assert path is not None
    assert path.parent == tmp_path / "runs"
    assert KeptAnswers(Path("/dev/null")).path({"model": "m"}) == path
