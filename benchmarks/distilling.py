"""What a CRF gains from a teacher's labels on text that nobody has labelled.

    python benchmarks/distilling.py [--sentences 1000] [--gold 500] [--work build/distilling]

The teacher is the model in the box, which learnt from 4,500 labelled sentences. It is asked about
sentences of KLUE's train part without labels. The CRF learns from a few labelled sentences, with
and without what the teacher is certain of. How certain it must be is chosen on a thousand other
sentences of the train part; the dev part is for reporting. What the teacher says is kept in the
folder --work, and is not asked again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

from _report import KLUE, klue, micro_figures, write

from llmner import Sentence
from llmner.asking import AskOptions, build
from llmner.baselines.crf import CrfConfig, train_crf
from llmner.corpora import read_corpus
from llmner.extraction.runs import run_extraction
from llmner.files import read_jsonl
from llmner.labelling import certain
from llmner.scoring import Prediction, evaluate

LOWEST = (0.0, 0.5, 0.8)
HELD_OUT = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--gold", type=int, default=500)
    parser.add_argument("--work", type=Path, default=Path("build/distilling"))
    arguments = parser.parse_args()
    labelled = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    random.Random(3).shuffle(labelled)
    gold, held = labelled[: arguments.gold], labelled[-HELD_OUT:]
    texts = unlabelled(labelled)[: arguments.sentences]
    dev = list(read_corpus(klue("klue-ner-v1.1_dev.tsv")))
    rows, seconds = taught(texts, arguments.work)
    figures: dict[str, Any] = {
        "unlabelled": len(texts),
        "labelled": len(gold),
        "teacher_seconds": seconds,
        "labelled alone": student(gold, held, dev),
    }
    print(figures, flush=True)
    for lowest in LOWEST:
        silver = certain(rows, lowest)
        own = student([*gold, *silver.sentences], held, dev)
        figures[f"and what is {lowest:.0%} sure".replace("%", " %")] = {
            "sentences": len(silver.sentences),
            **own,
        }
        print(lowest, own, flush=True)
    command = f"python benchmarks/distilling.py --sentences {len(texts)} --gold {len(gold)}"
    write("distilling", command, figures, ("llmner", "torch", "transformers", "python-crfsuite"))


def taught(texts: Sequence[str], work: Path) -> tuple[list[dict[str, Any]], float]:
    """The teacher's rows, and the seconds that they took."""
    output = work / f"teacher-{len(texts)}.jsonl"
    clock = output.with_suffix(".seconds")
    work.mkdir(parents=True, exist_ok=True)
    if not output.exists():
        # Of a run that was interrupted, the time before counts too.
        before = float(clock.read_text()) if clock.exists() else 0.0
        started = time.perf_counter()

        def told(_: Any) -> None:
            clock.write_text(f"{before + time.perf_counter() - started:.1f}")

        sentences = [Sentence(text) for text in texts]
        run_extraction(build(AskOptions()), sentences, output, source="KLUE", on_extraction=told)
    return [row for _, row in read_jsonl(output)], float(clock.read_text())


def unlabelled(labelled: Sequence[Sentence]) -> list[str]:
    """The sentences without labels, in a random order."""
    known = {sentence.text for sentence in labelled}
    texts = [text for text in raw() if text not in known]
    random.Random(4).shuffle(texts)
    return texts


def raw() -> list[str]:
    """The sentences of the train part without labels, in the characters of v1.1."""
    path = KLUE / "train-raw-sent.tsv"
    rows = path.read_text(encoding="utf-8").splitlines()
    return [normalize("NFKC", row.partition("\t")[2] or row) for row in rows]


def student(
    sentences: Sequence[Sentence], held: Sequence[Sentence], dev: Sequence[Sentence]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        tagger = train_crf(sentences, CrfConfig(), Path(folder)).baseline
        return {"held out": scored(tagger, held), "dev": scored(tagger, dev)}


def scored(tagger: Any, sentences: Sequence[Sentence]) -> dict[str, Any]:
    tagged = tagger.tag([sentence.text for sentence in sentences])
    found = [
        Prediction(one.text, tuple(spans), one.id)
        for one, spans in zip(sentences, tagged, strict=True)
    ]
    return micro_figures(evaluate(sentences, found, resamples=300))


if __name__ == "__main__":
    main()
