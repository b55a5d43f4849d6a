"""Self-training of the model in the box: silver labels of KLUE's unlabelled train sentences.

    python benchmarks/self_training.py label [--tagger FOLDER]
    python benchmarks/self_training.py select
    python benchmarks/self_training.py train [--rule "agree"] [--gold-times 2] [--epochs 2]

``label`` asks judges about the 16,008 sentences without labels and about the 500 held-out ones of
the labelled part: the model in the box, a CRF that learns from the other 4,500, and a tagger in a
folder if one is named. None of them has learnt from the held-out ones. ``select`` applies rules of
what to keep, and tells for each how many sentences it keeps and how right its labels are on the
held-out ones. ``train`` trains the embedded model on the labelled sentences, so many times each,
and on what a rule keeps, and judges it on the held-out ones. A run that is interrupted goes on.
KLUE dev is not used. ``--dry`` does everything with fifty sentences, or so many, and two steps.

``label`` takes half an hour on two cores; ``train`` is for a GPU, or for a processor with AMX.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _report import ROOT, klue, micro_figures, write
from distilling import taught, unlabelled

from llmner import Sentence
from llmner.baselines import CrfConfig, load_baseline, train_baseline
from llmner.corpora import read_corpus, write_corpus
from llmner.corpora._held_out import split_held_out
from llmner.labelling import certain
from llmner.scoring import Prediction, evaluate

WORK = ROOT / "build" / "self-training"
DISTILLING = ROOT / "build" / "distilling"
CONFIG = ROOT / "scripts" / "configs" / "gemma-3-270m-cpu.yaml"
HELD_OUT, UNLABELLED, SEED, DRY = 500, 16_008, 42, 50
TEACHER, CRF, TAGGER = "model in the box", "crf", "tagger"
BOTH = "held-out", "unlabelled"

Rows = Sequence[dict[str, Any]]
"""What the model in the box says of sentences, as ``extract`` writes it."""
Tagged = Sequence[Sentence]
"""What a tagger says of the same sentences."""


def gold(*, dry: int) -> tuple[list[Sentence], list[Sentence]]:
    """The labelled sentences that the adapter in the package learnt from, and the held-out ones."""
    sentences = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    train, held = split_held_out(sentences, HELD_OUT, SEED)
    return (train[:dry], held[:dry]) if dry else (train, held)


def texts_of(part: str, *, dry: int) -> list[str]:
    """The texts that judges are asked about."""
    if part == "held-out":
        return [own.text for own in gold(dry=dry)[1]]
    texts = unlabelled(list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv"))))
    return texts[: dry or UNLABELLED]


def teacher_folder(work: Path, part: str, *, dry: int) -> Path:
    """Where the answers of the model in the box are; ``distilling.py`` asks for them, too."""
    return work / part if dry or part == "held-out" else DISTILLING


def label(work: Path, tagger: Path | None, *, dry: int) -> None:
    """Ask all judges, as far as they have not been asked."""
    train, _ = gold(dry=dry)
    texts = {part: texts_of(part, dry=dry) for part in BOTH}
    for part, own in texts.items():
        taught(own, teacher_folder(work, part, dry=dry))
    if not (work / CRF / "baseline.json").exists():
        train_baseline(train, CrfConfig(), work / CRF)
    for name, folder in {CRF: work / CRF, TAGGER: tagger}.items():
        for part, own in texts.items():
            output = work / f"{name}-{part}.jsonl"
            if folder is not None and not output.exists():
                tagged = load_baseline(folder).tag(own)
                found = (Sentence(t, tuple(s)) for t, s in zip(own, tagged, strict=True))
                write_corpus(found, output, "spans")


def said(work: Path, part: str, *, dry: int) -> tuple[Rows, list[Tagged]]:
    """What the judges said of a part: the model in the box, and the taggers."""
    texts, teacher = texts_of(part, dry=dry), teacher_folder(work, part, dry=dry)
    taggers = [work / f"{name}-{part}.jsonl" for name in (CRF, TAGGER)]
    if not (teacher / f"teacher-{len(texts)}.jsonl").exists() or not taggers[0].exists():
        raise SystemExit(f"{work} lacks answers; python benchmarks/self_training.py label")
    rows, _ = taught(texts, teacher)
    return rows, [list(read_corpus(path, "spans")) for path in taggers if path.exists()]


Rule = Callable[[Rows, list[Tagged]], list[Sentence]]


def sure(lowest: float) -> Rule:
    """Keep sentences of which the model in the box is certain throughout."""
    return lambda rows, _: list(certain(rows, lowest).sentences)


def agreed(lowest: float = 0.0, otherwise: float = 2.0) -> Rule:
    """Keep sentences in which every tagger finds the same, or of which the model is as certain.

    Args:
        lowest: How certain the model must be all the same.
        otherwise: How certain it must be where a tagger differs.
    """

    def rule(rows: Rows, taggers: list[Tagged]) -> list[Sentence]:
        alone = {own.text for own in certain(rows, otherwise).sentences if own.spans}
        others = [{own.text: set(own.spans) for own in tagged} for tagged in taggers]
        return [
            own
            for own in certain(rows, lowest).sentences
            if own.text in alone or all(one[own.text] == set(own.spans) for one in others)
        ]

    return rule


RULES: dict[str, Rule] = {
    "all": sure(0.0),
    "50 % sure": sure(0.5),
    "80 % sure": sure(0.8),
    "95 % sure": sure(0.95),
    "agree": agreed(),
    "agree, 50 % sure": agreed(0.5),
    "agree, or 80 % sure": agreed(otherwise=0.8),
    "agree, or 95 % sure": agreed(otherwise=0.95),
}


def select(work: Path, *, dry: int) -> dict[str, Any]:
    """How much each rule keeps, and how right it is."""
    _, held = gold(dry=dry)
    answers = {own.text: own for own in held}
    parts = {part: said(work, part, dry=dry) for part in BOTH}
    figures: dict[str, Any] = {"judges": 1 + len(parts["held-out"][1])}
    for name, rule in RULES.items():
        kept = {part: rule(*parts[part]) for part in BOTH}
        predicted = [Prediction(own.text, own.spans, None) for own in kept["held-out"]]
        asked = [Sentence(own.text, answers[own.text].spans) for own in kept["held-out"]]
        figures[name] = {
            "unlabelled_kept": len(kept["unlabelled"]),
            "without_names": sum(not own.spans for own in kept["unlabelled"]),
            "held_out_kept": round(len(kept["held-out"]) / len(held), 3),
            "held_out_all_right": round(
                sum(
                    set(one.spans) == set(own.spans)
                    for one, own in zip(predicted, asked, strict=True)
                )
                / max(1, len(asked)),
                3,
            ),
            **(micro_figures(evaluate(asked, predicted, resamples=300)) if asked else {}),
        }
        print(name, figures[name], flush=True)
    return figures


def train(work: Path, rule: str, times: int, options: Sequence[str], *, dry: int) -> dict[str, Any]:
    """Train on the labelled sentences and on what a rule keeps."""
    from llmner.training import parse_config
    from llmner.training import train as run

    labelled, held = gold(dry=dry)
    silver = RULES[rule](*said(work, "unlabelled", dry=dry))
    words = " ".join([rule, str(times), *options])
    name = re.sub(r"[^\w.]+", "-", words.replace("%", "percent")).strip("-")
    folder = work / f"trained-{name}"
    corpus, judged = work / f"train-{name}.jsonl", work / "held-out.jsonl"
    write_corpus([*labelled * times, *silver], corpus, "spans")
    write_corpus(held, judged, "spans")
    given = {
        "train": corpus,
        "validation": judged,
        "eval_sentences": len(held),
        "output": folder,
        **({"max_steps": 2, "batch_size": 2, "eval_sentences": 4} if dry else {}),
    }
    settings = [f"--{key}={value}" for key, value in given.items()]
    # One that is finished is not repeated; one that was interrupted goes on.
    if not (folder / "training.json").exists():
        run(parse_config(["--config", str(CONFIG), *settings, *options]), report=print)
    record = json.loads((folder / "training.json").read_text("utf-8"))
    return {
        "rule": rule,
        "labelled": len(labelled),
        "times": times,
        "silver": len(silver),
        "options": list(options),
        "seconds": record["seconds"],
        "device": record.get("device"),
        "epochs": record["epochs"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=("label", "select", "train"))
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--tagger", type=Path, help="a tagger that judges, too")
    parser.add_argument("--rule", choices=RULES, default="agree, or 80 % sure")
    parser.add_argument("--gold-times", type=int, default=2)
    parser.add_argument(
        "--dry",
        type=int,
        nargs="?",
        const=DRY,
        default=0,
        metavar="SENTENCES",
        help=f"few sentences, {DRY} by default; no figure is kept",
    )
    arguments, options = parser.parse_known_args()
    if options and arguments.stage != "train":
        parser.error(f"unknown options: {' '.join(options)}")
    work = arguments.work / "dry" if arguments.dry else arguments.work
    work.mkdir(parents=True, exist_ok=True)
    if arguments.stage == "label":
        label(work, arguments.tagger, dry=arguments.dry)
        return
    if arguments.stage == "select":
        name, figures = "self_training_selection", select(work, dry=arguments.dry)
        command, packages = "select", ("llmner", "torch", "transformers", "python-crfsuite")
    else:
        rule, times = arguments.rule, arguments.gold_times
        figures = train(work, rule, times, options, dry=arguments.dry)
        name, packages = "self_training", ("llmner", "torch", "transformers", "peft", "trl")
        command = " ".join(["train", f'--rule "{rule}"', f"--gold-times {times}", *options])
    if arguments.dry:
        print(figures)
    else:
        write(name, f"python benchmarks/self_training.py {command}", figures, packages)


if __name__ == "__main__":
    main()
