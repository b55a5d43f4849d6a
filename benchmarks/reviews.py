"""Reviews: right answers through every format, damaged replies, and classifiers of whole texts.

    python benchmarks/reviews.py

``round_trips``: the gold of MAMS and KOTE is written as a reply, read and projected again.
``noise``: 1,000 answers about a review, each written in one of the ways of ``_label_noise``; one is
right if its labels and values are those that were meant, and nothing else is found.
``classifiers``: the linear classifier (``train-baseline classifier``, its defaults), trained on
MAMS's aspects and judged on its validation part, and on four fifths of 5,000 comments of KOTE and
judged on the rest; beside it ``constant``, which gives every text the same labels and values: those
that score best in training. ``highlights``: of each label of ``data/reviews-ko.jsonl``, by
classifiers of the other four fifths: whether the word without which the label's probability falls
most lies in the span that was marked by hand, and how often any word of the review does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _label_noise import SCHEMA, damaged
from _report import KLUE, ROOT, write

from llmner.baselines import BaselineExtractor, LinearClassifierConfig, train_baseline
from llmner.corpora import read_corpus
from llmner.labelling.explaining import shares
from llmner.projection import project_reply
from llmner.recipes import Recipe
from llmner.replies import LABEL_FORMATS, REPLY_FORMATS, render_reply
from llmner.scoring import Prediction, evaluate, sample
from llmner.spans import Sentence, TextLabel

DATA = KLUE.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replies", type=int, default=1000)
    arguments = parser.parse_args()
    for name in ("mams", "kote"):
        if not (DATA / name).is_dir():
            sys.exit(f"{DATA} has no {name}; see data/README.md")
    terms = list(read_corpus(DATA / "mams" / "atsa-train.xml"))
    aspects = list(read_corpus(DATA / "mams" / "acsa-train.xml"))
    validation = list(read_corpus(DATA / "mams" / "acsa-val.xml"))
    comments = list(read_corpus(DATA / "kote" / "val.tsv"))
    split = [list(read_corpus(DATA / "kote" / "val.tsv", split=f"{part}:0.8:42")) for part in PARTS]
    write(
        "reviews",
        "python benchmarks/reviews.py",
        {
            "round_trips": {
                "mams-terms": spans_again("mams-terms", terms),
                "mams-aspects": labels_again("mams-aspects", aspects),
                "kote": labels_again("kote", comments),
            },
            "noise": noise(arguments.replies),
            "classifiers": {
                "mams, aspects": classified(aspects, validation),
                "kote": classified(*split),
            },
            "highlights": highlights(),
        },
        ("llmner", "scikit-learn", "rapidfuzz"),
    )


PARTS = ("train", "test")


def spans_again(recipe: str, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """F1 of spans and of spans with attributes, for each format that holds attributes."""
    schema = Recipe.load(recipe).schema_
    figures: dict[str, Any] = {"sentences": len(sentences)}
    for name, format in REPLY_FORMATS.items():
        if format.holds_attributes:
            found = [
                project_reply(s.text, render_reply(s, name, schema), schema, name).spans
                for s in sentences
            ]
            predictions = [Prediction(s.text, own) for s, own in zip(sentences, found, strict=True)]
            scores = evaluate(sentences, predictions, resamples=0).to_dict()
            attributes = scores["attributes"]
            figures[name] = {
                "micro_f1": scores["micro"]["f1"],
                "span_f1": attributes["span_f1"],
                "accuracy": attributes["accuracy"],
            }
    return figures


def labels_again(recipe: str, sentences: Sequence[Sentence]) -> dict[str, Any]:
    """The share of texts whose labels come back with their attributes, for each format."""
    schema = Recipe.load(recipe).schema_
    figures: dict[str, Any] = {"texts": len(sentences)}
    for name in LABEL_FORMATS:
        right = sum(
            set(map(key, project_reply(s.text, render_reply(s, name, schema), schema, name).labels))
            == set(map(key, s.labels))
            for s in sentences
        )
        figures[name] = right / len(sentences)
    return figures


def key(label: TextLabel) -> tuple[str, str]:
    return label.label, repr(sorted(label.attributes.items()))


def noise(count: int) -> dict[str, Any]:
    """The share of damaged replies that are read right, by damage and altogether."""
    rows = damaged(count)
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    started = time.perf_counter()
    for name, reply, answer in rows:
        outcomes = project_reply("리뷰", reply, SCHEMA, "labels").label_outcomes
        found = {o.label.label: o.label.attributes.get("sentiment") for o in outcomes if o.label}
        total[name] += 1
        right[name] += found == answer and len(outcomes) == len(answer)
    seconds = time.perf_counter() - started
    return {
        "replies": count,
        "right": sum(right.values()) / count,
        "milliseconds_a_reply": round(1000 * seconds / count, 3),
        "by_damage": {name: right[name] / total[name] for name in total},
    }


def classified(train: Sequence[Sentence], test: Sequence[Sentence]) -> dict[str, Any]:
    """The figures of the linear classifier and of a constant answer."""
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        train_baseline(train, LinearClassifierConfig(), Path(name))
        seconds = time.perf_counter() - started
        extractor = BaselineExtractor(Path(name))
        extractor.load()
        started = time.perf_counter()
        found = [extraction.labels for extraction in extractor.extract(test)]
        rate = len(test) / (time.perf_counter() - started)
    constant = best_constant(train)
    return {
        "train": len(train),
        "test": len(test),
        "seconds_of_training": round(seconds, 1),
        "texts_a_second": round(rate),
        "linear": scores(test, found),
        "constant": {
            "labels": [label.label for label in constant],
            **scores(test, [constant] * len(test)),
        },
    }


def highlights(folds: int = 5) -> dict[str, Any]:
    """How often the highlight of a label overlaps what was marked by hand."""
    reviews = sample(list(read_corpus(ROOT / "data" / "reviews-ko.jsonl")), 10_000, 42)
    right = labels = 0
    chance = 0.0
    for fold in range(folds):
        test = reviews[fold::folds]
        ids = {review.id for review in test}
        with tempfile.TemporaryDirectory() as name:
            train = [review for review in reviews if review.id not in ids]
            model: Any = train_baseline(train, LinearClassifierConfig(), Path(name)).baseline
        for review in test:
            for label in review.labels:
                words = shares(model, review.text, label.label)
                marked = [any(w.start < e.end and e.start < w.end for e in label.evidence)
                          for w in words]  # fmt: skip
                best = max(range(len(words)), key=lambda number: words[number].share)
                right += marked[best]
                chance += sum(marked) / len(marked)
                labels += 1
    return {"labels": labels, "overlap": right / labels, "of_any_word": chance / labels}


def best_constant(train: Sequence[Sentence]) -> tuple[TextLabel, ...]:
    """The most frequent labels, as many as have the best micro F1, with their usual attributes."""
    counts = Counter(label.label for sentence in train for label in sentence.labels)
    gold = sum(counts.values())
    best: tuple[float, int] = (0.0, 0)
    right = 0
    for number, (_, count) in enumerate(counts.most_common(), 1):
        right += count
        best = max(best, (2 * right / (gold + number * len(train)), number))
    labels = []
    for name, _ in counts.most_common(best[1]):
        said = Counter(
            repr(sorted(label.attributes.items()))
            for sentence in train
            for label in sentence.labels
            if label.label == name
        )
        usual = said.most_common(1)[0][0]
        labels.append(
            next(
                TextLabel(name, label.attributes)
                for sentence in train
                for label in sentence.labels
                if label.label == name and repr(sorted(label.attributes.items())) == usual
            )
        )
    return tuple(labels)


def scores(test: Sequence[Sentence], found: Sequence[tuple[TextLabel, ...]]) -> dict[str, Any]:
    predictions = [Prediction(s.text, (), labels=own) for s, own in zip(test, found, strict=True)]
    evaluation = evaluate(test, predictions)
    figures = evaluation.to_dict()["text_labels"]
    interval = evaluation.intervals["text_labels.micro.f1"]
    return {
        "micro_f1": figures["micro"]["f1"],
        "micro_f1_interval": list(interval),
        "macro_f1": figures["macro"]["f1"],
        "pairs_f1": figures["pairs"]["f1"],
        "exact_match": figures["exact_match"],
    }


if __name__ == "__main__":
    main()
