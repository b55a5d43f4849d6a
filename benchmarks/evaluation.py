"""Evaluates 400 recorded replies, and damaged replies to all of KLUE dev: figures and time.

    python benchmarks/evaluation.py

It runs on one core and measures the seconds of each step. ``scored_bootstrapped_and_reported`` is
the sum of scoring, bootstrapping and reporting. The figures go to ``results/evaluation.json``. The
reports, which contain KLUE's texts, go to ``build/reports/``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from _damaged import damaged_replies
from _report import ROOT, klue, write

from llmner.corpora import read_corpus
from llmner.projection import project_reply
from llmner.recipes import Recipe
from llmner.scoring import (
    FIGURES,
    Evaluation,
    Prediction,
    compare,
    corpus_signature,
    evaluate_all,
    headline,
    render_report,
)
from llmner.spans import Sentence

RECORDED = Path(
    os.environ.get("LLMNER_RECORDED", ROOT.parent / "shared" / "data" / "recorded-replies")
)
REPORTS = ROOT / "build" / "reports"
T = TypeVar("T")


class Clock:
    """Measures the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, step: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = work()
        self.seconds[step] = round(time.perf_counter() - started, 3)
        return result


def projected(gold: list[Sentence], replies: list[str], **policy: Any) -> list[Prediction]:
    """Predictions from replies, projected with KLUE's labels."""
    schema = Recipe.load("klue").schema_
    predictions = []
    for sentence, reply in zip(gold, replies, strict=True):
        projection = project_reply(sentence.text, reply, schema, **policy)
        assert projection.reply is not None
        status = projection.reply.status
        predictions.append(
            Prediction(
                sentence.text, projection.spans, sentence.id, projection.outcomes, status, reply
            )
        )
    return predictions


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation that are kept, rounded."""
    values = {
        FIGURES[name][0]: {
            "value": round(figure.value, 4),
            "interval": None
            if figure.interval is None
            else [round(edge, 4) for edge in figure.interval],
        }
        for name, figure in headline(evaluation).items()
    }
    rows = evaluation.to_dict()
    return {
        "sentences": rows["sentences"],
        "figures": values,
        "losses": {row["cause"]: round(row["f1_lost"], 4) for row in rows["losses"]},
        "ceilings": {name: round(value, 4) for name, value in rows["ceilings"].items()},
        "calibration_error": None
        if rows["calibration"] is None
        else round(rows["calibration"]["ece"], 4),
        "replies": rows["replies"],
        "mentions": rows["outcomes"],
    }


def measure(name: str, gold: list[Sentence], replies: list[str]) -> dict[str, Any]:
    """Evaluate replies, and compare them with the same replies projected without trimming."""
    clock = Clock()
    predictions = clock.timed("read_and_project", lambda: projected(gold, replies))
    other = projected(gold, replies, particles="keep")
    signature = {"corpus": corpus_signature(name, gold)}
    (one,) = clock.timed(
        "score", lambda: evaluate_all(gold, [predictions], signatures=[signature], resamples=0)
    )
    (one,) = clock.timed(
        "score_and_bootstrap", lambda: evaluate_all(gold, [predictions], signatures=[signature])
    )
    report = clock.timed("report", lambda: render_report({name: one}))
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"{name}.html").write_text(report, encoding="utf-8", errors="replace")
    both = evaluate_all(gold, [other, predictions], resamples=0)
    difference = clock.timed("compare", lambda: compare(*both)).differences["micro.f1"]
    seconds = clock.seconds
    seconds["scored_bootstrapped_and_reported"] = round(
        seconds["score_and_bootstrap"] + seconds["report"], 3
    )
    return {
        **figures(one),
        "without_trimming_particles": {
            "micro_f1": round(difference.a, 4),
            "difference": round(difference.difference, 4),
            "interval": [round(edge, 4) for edge in difference.interval],
            "p": round(difference.p, 4),
        },
        "report_megabytes": round(len(report.encode("utf-8", "replace")) / 1e6, 2),
        "seconds": seconds,
    }


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    corpus = list(read_corpus(klue("klue-ner-v1_dev.tsv")))
    by_id = {sentence.id: sentence for sentence in corpus}
    # Warms up: the first evaluation imports numpy and the templates.
    measure("warm-up", corpus[:20], damaged_replies(corpus[:20], Recipe.load("klue").schema_.codes))
    results = {}
    for path in sorted(RECORDED.glob("*.jsonl"))[:1]:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        gold = [by_id[row["klue_id"]] for row in rows]
        results["400 recorded replies"] = measure(
            "recorded-replies", gold, [row["reply"] for row in rows]
        )
    replies = damaged_replies(corpus, Recipe.load("klue").schema_.codes)
    results["KLUE dev v1, damaged replies"] = measure("damaged-replies", corpus, replies)
    (REPORTS / "warm-up.html").unlink()
    write(
        "evaluation",
        "python benchmarks/evaluation.py",
        results,
        ("llmner", "numpy"),
    )


if __name__ == "__main__":
    main()
