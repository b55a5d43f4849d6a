from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import llmner
from llmner.reports import FIGURES
from llmner.scoring._scores import score_and_count
from llmner.scoring.metrics import METRICS
from llmner.spans import Span, TextLabel

BOUNDARY = """
from typing import NamedTuple

from llmner.scoring.metrics._metric import Metric, Number, named, ratios


class Edges(NamedTuple):
    right: Number
    gold: Number
    predicted: Number


def _count(sides):
    gold, predicted = (
        {edge for span in spans for edge in (span.start, span.end)} for spans in (sides.gold, sides.predicted)
    )
    return Edges(len(gold & predicted), len(gold), len(predicted))


def _figures(sums, labels):
    return named("boundary", ratios(*sums))


METRIC = Metric("boundary", _count, _figures, {"boundary.f1": ("boundary F1", "edges, labels ignored")})
"""


def test_a_new_metric_is_one_new_module(tmp_path: Path) -> None:
    package = Path(llmner.__file__).parent
    shutil.copytree(
        package, tmp_path / "llmner", ignore=shutil.ignore_patterns("models", "__pycache__")
    )
    shutil.copytree(Path(__file__).parents[2] / "prompts", tmp_path / "prompts")
    (tmp_path / "llmner" / "scoring" / "metrics" / "boundary.py").write_text(BOUNDARY, "utf-8")
    sides = {
        "gold": [{"start": 0, "end": 3, "label": "PS"}],
        "near": [{"start": 0, "end": 4, "label": "PS"}],
        "right": [{"start": 0, "end": 3, "label": "LC"}],
    }
    for name, spans in sides.items():
        row = {"id": "1", "text": "손흥민은 왔다", "spans": spans}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n", "utf-8")

    def answers(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "llmner", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    evaluate = ("evaluate", "--gold", "gold.jsonl", "--predicted", "near.jsonl")
    figures = json.loads(answers(*evaluate, "--json"))
    assert figures["boundary"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert figures["intervals"]["boundary.f1"] == [0.5, 0.5]
    report = ("--report", "report.md")
    assert "boundary F1 0.5000" in answers(*evaluate, *report)
    assert "| boundary F1 | 50.00" in (tmp_path / "report.md").read_text("utf-8")
    assert "boundary F1" in answers("compare", "near.jsonl", "right.jsonl", "--gold", "gold.jsonl")


def test_the_metrics_there_are_and_the_figures_that_reports_show() -> None:
    assert [metric.name for metric in METRICS] == [
        *("micro", "spans", "macro", "weighted", "per_label", "strict", "klue", "text", "partial"),
        *("attributes", "text_labels"),
    ]
    assert list(FIGURES) == [
        *("micro.f1", "strict.f1", "macro.f1", "weighted.f1", "klue.entity_f1", "klue.char_f1"),
        *("partial.exact.f1", "partial.partial.f1", "partial.type.f1", "text.f1"),
        *("attributes.span_f1", "attributes.accuracy", "text_labels.micro.f1"),
        *("text_labels.macro.f1", "text_labels.pairs.f1", "text_labels.exact_match"),
    ]
    assert set(FIGURES) == {figure for metric in METRICS for figure in metric.titles}


def test_every_title_is_of_a_figure_that_its_metric_gives() -> None:
    spans = [(Span(0, 1, "PS", attributes={"tone": "good"}),)]
    labels = [(TextLabel("news"),)]
    counts = score_and_count(spans, spans, texts=["가나"], text_labels=(labels, labels)).counts
    columns = counts.columns(counts.table)
    for metric in METRICS:
        figures = metric.figures(columns[metric.count], counts.labels)
        assert all(name.startswith(f"{metric.name}.") for name in figures)
        assert set(metric.titles) <= set(figures)


def test_what_needs_a_text_is_not_counted_without_one() -> None:
    spans = [(Span(0, 1, "PS"),)]
    scored = score_and_count(spans, spans)
    figures = scored.counts.figures(scored.counts.table)
    assert not any(name.startswith(("klue.", "text.")) for name in figures)
    assert scored.scores.klue is scored.scores.text is None
