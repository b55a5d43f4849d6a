"""Compares models on reviews: terms with their polarity, aspects with theirs, and emotions.

    python benchmarks/review_models.py [--only terms/crf ...] [--limit N] [--epochs 3]

``terms`` is MAMS ATSA: spans, each with a polarity. A tagger learns the polarity as the label of a
span (``crf``, ``encoder``); the language model (``llm``) answers with the recipe ``mams-terms``.
``aspects`` is MAMS ACSA, labels of whole texts with a polarity: the linear classifier, an encoder
as a classifier with a second one for the polarity, and the recipe ``mams-aspects``. ``emotions`` is
KOTE, 44 labels, several a text: 5,000 comments, four fifths of them to train on. ``encoder`` and
``llm`` are both Gemma 3 270M, ``llm`` with LoRA and the settings of
``scripts/configs/gemma-3-270m-cpu.yaml``, but batches of 16 and three epochs.

MAMS is judged on its validation part; nothing was chosen on it. Finished models under
``build/review_models/`` are not trained again, and all that lie there are written. On a GPU a
language model takes minutes, on two cores hours: ``--limit`` trains on fewer texts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from _report import KLUE, ROOT, write

from llmner.baselines import (
    BaselineExtractor,
    CrfConfig,
    EncoderClassifierConfig,
    EncoderConfig,
    LinearClassifierConfig,
    train_baseline,
)
from llmner.corpora import read_corpus, write_corpus
from llmner.engines._processor import processor_name
from llmner.scoring import Prediction, evaluate, sample
from llmner.spans import Sentence, Span

WORK = ROOT / "build" / "review_models"
DATA = KLUE.parent
RECIPES = {"terms": "mams-terms", "aspects": "mams-aspects", "emotions": "kote"}
MODELS = {
    "terms": ("crf", "encoder", "llm"),
    "aspects": ("linear", "encoder", "llm"),
    "emotions": ("linear", "encoder", "llm"),
}
NAMES = [f"{task}/{model}" for task, models in MODELS.items() for model in models]
TERM, ALL, FIGURES = "TERM", "all", "figures.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="task/model, such as terms/llm; all by default")
    parser.add_argument("--limit", type=int, help="training texts, drawn by seed; all by default")
    parser.add_argument("--test-limit", type=int, help="texts to judge on; all by default")
    parser.add_argument("--epochs", type=int, default=3, help="of the language model")
    arguments = parser.parse_args()
    work = WORK / (ALL if arguments.limit is None else str(arguments.limit))
    for name in arguments.only or NAMES:
        folder = work / name
        if not (folder / FIGURES).exists():
            task, _, model = name.partition("/")
            train, test = corpora(task, arguments.limit, arguments.test_limit)
            figures = measured(task, model, train, test, arguments.epochs, folder)
            content = json.dumps(figures, ensure_ascii=False, indent=2)
            (folder / FIGURES).write_text(content, encoding="utf-8")
            print(f"{name}: {json.dumps(figures)}", flush=True)
    write(
        "review_models",
        " ".join(["python benchmarks/review_models.py", *sys.argv[1:]]),
        {
            place.name: {
                name: json.loads((place / name / FIGURES).read_text(encoding="utf-8"))
                for name in NAMES
                if (place / name / FIGURES).exists()
            }
            for place in sorted(WORK.iterdir())
        },
        ("llmner", "peft", "scikit-learn", "sklearn-crfsuite", "torch", "transformers", "trl"),
    )


def corpora(
    task: str, limit: int | None, test_limit: int | None
) -> tuple[list[Sentence], list[Sentence]]:
    """The texts to learn from, and those to judge on."""
    if task == "emotions":
        path = DATA / "kote" / "val.tsv"
        train, test = (
            list(read_corpus(path, split=f"{part}:0.8:42")) for part in ("train", "test")
        )
    else:
        kind = "atsa" if task == "terms" else "acsa"
        train, test = (
            list(read_corpus(DATA / "mams" / f"{kind}-{part}.xml")) for part in ("train", "val")
        )
    train = train if limit is None else sample(train, limit, 42)
    return train, test if test_limit is None else sample(test, test_limit, 42)


def measured(
    task: str,
    model: str,
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    epochs: int,
    folder: Path,
) -> dict[str, Any]:
    """The figures of one model, and where they were measured."""
    if model == "llm":
        figures = of_language_model(task, train, test, epochs, folder)
    elif task == "terms":
        figures = of_baseline(tagger(model), joint(train), test, folder, apart)
    else:
        figures = of_baseline(classifier(model), train, test, folder, labels)
    return {"train": len(train), "test": len(test), **figures, "device": device(model)}


def device(model: str) -> str:
    import torch

    uses_gpu = model in ("encoder", "llm") and torch.cuda.is_available()
    return torch.cuda.get_device_name() if uses_gpu else processor_name()


def tagger(model: str) -> CrfConfig | EncoderConfig:
    return CrfConfig() if model == "crf" else EncoderConfig(**gemma())


def classifier(model: str) -> LinearClassifierConfig | EncoderClassifierConfig:
    if model == "linear":
        return LinearClassifierConfig()
    return EncoderClassifierConfig(**gemma())


def gemma() -> dict[str, Any]:
    import torch

    return {
        "model": "gemma-3-270m",
        "epochs": 5,
        "learning_rate": 5e-5,
        "warmup": 0.1,
        "batching": "length",
        "precision": "bf16" if torch.cuda.is_available() else "float32",
    }


def joint(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Terms with their polarity as their label."""
    return [
        replace(s, spans=tuple(Span(o.start, o.end, o.attributes["polarity"]) for o in s.spans))
        for s in sentences
    ]


def apart(sentence: Sentence, extraction: Any) -> Prediction:
    """Terms whose polarity is their label, as terms with a polarity."""
    spans = [Span(s.start, s.end, TERM, attributes={"polarity": s.label}) for s in extraction.spans]
    return Prediction(sentence.text, tuple(spans))


def labels(sentence: Sentence, extraction: Any) -> Prediction:
    return Prediction(sentence.text, (), labels=extraction.labels)


def of_baseline(
    config: Any,
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    folder: Path,
    prediction: Callable[[Sentence, Any], Prediction],
) -> dict[str, Any]:
    started = time.perf_counter()
    held_out = 0 if isinstance(config, CrfConfig | LinearClassifierConfig) else 0.1
    trained = train_baseline(train, config, folder, held_out=held_out, report=print, restart=True)
    seconds = time.perf_counter() - started
    extractor = BaselineExtractor(folder)
    extractor.load()
    started = time.perf_counter()
    extractions = list(extractor.extract([sentence.text for sentence in test]))
    answering = time.perf_counter() - started
    predictions = [prediction(s, own) for s, own in zip(test, extractions, strict=True)]
    return {
        **figures_of(evaluate(test, predictions).to_dict()),
        "best_epoch": trained.best,
        "seconds_of_training": round(seconds, 1),
        "texts_a_second": round(len(test) / answering, 1),
        "settings": config.model_dump(exclude_defaults=True),
    }


def of_language_model(
    task: str, train: Sequence[Sentence], test: Sequence[Sentence], epochs: int, folder: Path
) -> dict[str, Any]:
    from llmner.training import parse_config
    from llmner.training import train as fine_tune

    folder.mkdir(parents=True, exist_ok=True)
    learnt, gold = folder / "train.jsonl", folder / "gold.jsonl"
    write_corpus(train, learnt, "spans")
    write_corpus(test, gold, "spans")
    options = [
        "--config", str(ROOT / "scripts" / "configs" / "gemma-3-270m-cpu.yaml"),
        "--train", str(learnt), "--recipe", RECIPES[task], "--held_out", "0",
        "--epochs", str(epochs), "--batch_size", "16", "--max_length", "1024",
        "--output", str(folder / "adapter"),
    ]  # fmt: skip
    record = folder / "adapter" / "training.json"
    if not record.exists():
        fine_tune(parse_config(options), report=print)
    # An adapter of an earlier run says how long it took.
    trained = json.loads(record.read_text(encoding="utf-8"))
    figures: dict[str, Any] = {"seconds_of_training": trained["seconds"]}
    for name, flag in (("free", "--no-grounded"), ("grounded", "--grounded")):
        command = [
            sys.executable, "-m", "llmner", "evaluate", "--gold", str(gold), "--engine",
            "transformers", "--adapter", str(folder / "adapter"), "--batch-size", "128", flag,
            "--json",
        ]  # fmt: skip
        started = time.perf_counter()
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.exit(f"{' '.join(command)}\nends with {run.returncode}: {run.stderr}")
        figures[name] = {
            **figures_of(json.loads(run.stdout)),
            "seconds_with_loading": round(time.perf_counter() - started, 1),
        }
    return figures | {"epochs": epochs}


def figures_of(scores: dict[str, Any]) -> dict[str, Any]:
    """F1 with intervals of 95 %: of terms and of terms with polarity, or of labels."""
    intervals = scores["intervals"]
    if "text_labels" not in scores:
        figures = {"term_f1": "micro.f1", "pair_f1": "attributes.span_f1"}
        figures |= {"polarity_accuracy": "attributes.accuracy"}
    else:
        figures = {"micro_f1": "text_labels.micro.f1", "macro_f1": "text_labels.macro.f1"}
        figures |= {"pair_f1": "text_labels.pairs.f1", "exact": "text_labels.exact_match"}
    told: dict[str, Any] = {}
    for name, key in figures.items():
        value: Any = scores
        for part in key.split("."):
            value = value[part]
        # Without one right term there is no accuracy.
        told[name] = None if value is None else round(value, 4)
        told[f"{name}_interval"] = [round(end, 4) for end in intervals.get(key) or ()]
    return told


if __name__ == "__main__":
    main()
