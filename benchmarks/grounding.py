"""Compares grounded replies with free ones, before and after fine-tuning, and calibrates scores.

    python benchmarks/grounding.py

The fine-tuned embedded model answers the first 512 sentences of KLUE dev v1.1 free and grounded.
The two ways take turns, batch by batch, so that both run under the same conditions. Then it answers
all 5,000 sentences grounded. The bare model answers ``data/sample.tsv`` both ways. The calibration
is an isotonic regression on the 500 sentences of the training file that the adapter was not trained
on; it is evaluated on dev. Replies are kept under ``build/``, and an interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from _report import ROOT, klue, write
from evaluation import figures

from llmner.corpora import read_corpus
from llmner.corpora._held_out import split_held_out
from llmner.engines import create_generator
from llmner.engines.adapters import PACKAGED_ADAPTER, find_adapter
from llmner.extraction import Extractor
from llmner.extraction.confidence import Calibrator
from llmner.extraction.runs import run_extraction, run_record
from llmner.recipes import Recipe
from llmner.scoring import Prediction, evaluate_all, read_predictions, reliability
from llmner.spans import Sentence

TIMED = 512
BATCH = 128
BUILD = ROOT / "build"
PACKAGES = ("llmner", "torch", "transformers", "peft", "llguidance")


def answered(extractor: Extractor, sentences: Sequence[Sentence], name: str) -> list[Prediction]:
    """Predictions, from ``build/`` if they are there already."""
    output = BUILD / f"grounding-{name}.jsonl"
    record = json.loads(json.dumps({"input": name, **extractor.describe()}))
    if run_record(output) != record:
        run_extraction(extractor, sentences, output, source=name)
    return read_predictions(output)


def in_turns(free: Extractor, grounded: Extractor, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Answer sentences both ways in turns; seconds and figures of both."""
    seconds = {"free": 0.0, "grounded": 0.0}
    predictions: dict[str, list[Prediction]] = {"free": [], "grounded": []}
    replies: dict[str, list[str]] = {"free": [], "grounded": []}
    tokens: Counter[str] = Counter()
    for number, start in enumerate(range(0, len(sentences), BATCH)):
        ways = [("free", free), ("grounded", grounded)]
        for name, extractor in ways if number % 2 == 0 else ways[::-1]:
            started = time.perf_counter()
            extractions = list(extractor.extract(sentences[start : start + BATCH]))
            seconds[name] += time.perf_counter() - started
            predictions[name] += map(Prediction.of, extractions)
            replies[name] += [extraction.reply.text for extraction in extractions]
            tokens[name] += sum(
                extraction.reply.completion_tokens or 0 for extraction in extractions
            )
    same = sum(
        one == other for one, other in zip(replies["free"], replies["grounded"], strict=True)
    )
    return {
        "sentences": len(sentences),
        "seconds_a_sentence": {
            name: round(value / len(sentences), 4) for name, value in seconds.items()
        },
        "grounded_over_free": round(seconds["grounded"] / seconds["free"], 3),
        "answer_tokens": dict(tokens),
        "same_replies": same,
        **{name: measured(sentences, some) for name, some in predictions.items()},
    }


def measured(gold: Sequence[Sentence], predictions: Sequence[Prediction]) -> dict[str, Any]:
    (evaluation,) = evaluate_all(gold, [predictions])
    readable = sum(p.status not in ("unreadable", "empty", "unanswered") for p in predictions)
    outside = sum(
        outcome.kind in ("not_found", "unknown_label")
        for p in predictions
        for outcome in p.outcomes
    )
    return {
        "readable_share": round(readable / len(predictions), 4),
        "mentions_not_in_the_text_or_without_label": outside,
        **figures(evaluation),
    }


def scores(gold: Sequence[Sentence], predictions: Sequence[Prediction]) -> list[tuple[float, bool]]:
    """The score of every span that has one, and whether the span is right."""
    return [
        (span.score, span in sentence.spans)
        for sentence, prediction in zip(gold, predictions, strict=True)
        for span in prediction.spans
        if span.score is not None
    ]


def calibration(pairs: list[tuple[float, bool]]) -> dict[str, Any]:
    table = reliability(pairs)
    assert table is not None
    rows = [
        {
            "score": round(bin.confidence, 3),
            "precision": round(bin.precision, 3),
            "spans": bin.count,
        }
        for bin in table.bins
    ]
    return {"spans": table.scored, "ece": round(table.ece, 4), "bins": rows}


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    BUILD.mkdir(exist_ok=True)
    dev = list(read_corpus(klue("klue-ner-v1.1_dev.tsv")))
    adapter = find_adapter(PACKAGED_ADAPTER)
    tuned = create_generator("transformers", adapter=adapter, batch_size=BATCH, max_new_tokens=128)
    free = Extractor(adapter.recipe, tuned, batch_size=BATCH)
    grounded = Extractor(adapter.recipe, tuned, batch_size=BATCH, grounded=True)
    for extractor in (free, grounded):
        list(extractor.extract(dev[:1]))
    results: dict[str, Any] = {"fine-tuned, in turns": in_turns(free, grounded, dev[:TIMED])}
    for extractor in (free, grounded):
        extractor.batch_size = 4 * BATCH
    replies = answered(grounded, dev, "dev")
    results["fine-tuned, KLUE dev v1.1, grounded"] = measured(dev, replies)
    _, held_out = split_held_out(list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv"))), 0.1, 42)
    pairs = scores(held_out, answered(free, held_out, "held-out"))
    calibrator = Calibrator.fit(pairs)
    on_dev = scores(dev, replies)
    results["calibration"] = {
        "held-out part of train": calibration(pairs),
        "KLUE dev v1.1, grounded": calibration(on_dev),
        "KLUE dev v1.1, grounded, calibrated on the held-out part": calibration(
            [(calibrator(score), right) for score, right in on_dev]
        ),
    }
    bare = create_generator("transformers", batch_size=32, max_new_tokens=128)
    recipe = Recipe.load("klue")
    sample = list(read_corpus(ROOT / "data" / "sample.tsv"))
    results["bare, worked examples, data/sample.tsv, in turns"] = in_turns(
        Extractor(recipe, bare, batch_size=BATCH),
        Extractor(recipe, bare, batch_size=BATCH, grounded=True),
        sample,
    )
    write("grounding", "python benchmarks/grounding.py", results, PACKAGES)


if __name__ == "__main__":
    main()
