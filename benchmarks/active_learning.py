"""Active learning on KLUE: what each way of choosing sentences is worth against choosing blindly.

    python benchmarks/active_learning.py [--seeds 3] [--processes 2]

500 sentences of KLUE's train part are labelled at first. Five times, a CRF learns from what is
labelled, 250 more are chosen among a thousand that are drawn from the rest, and are labelled.
The F1 of the CRF on 500 sentences that no round sees is the learning curve. The draws are the same
for every criterion. Two CRFs disagree that have learnt from one half of what is labelled each.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from _report import RESULTS, klue, write

from llmner import Sentence
from llmner.baselines.crf import CrfConfig, CrfTagger, train_crf
from llmner.corpora import read_corpus
from llmner.labelling import Evidence
from llmner.labelling.select import Criterion, select
from llmner.scoring import score

FIRST, MORE, ROUNDS, HELD_OUT, SHOWN = 500, 250, 5, 500, 1000
CRITERIA: tuple[Criterion, ...] = (
    "random",
    "uncertainty",
    "disagreement",
    "rarity",
    "diversity",
    "mixed",
)
# Curves take many trainings; L-BFGS is near its end by then.
CONFIG = CrfConfig(max_iterations=40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    jobs = [(by, seed) for seed in range(arguments.seeds) for by in CRITERIA]
    curves: dict[str, list[list[float]]] = {by: [] for by in CRITERIA}
    characters: dict[str, list[int]] = {by: [] for by in CRITERIA}
    with ProcessPoolExecutor(arguments.processes) as pool:
        for (by, seed), (curve, size) in zip(jobs, pool.map(run, jobs), strict=True):
            curves[by].append(curve)
            characters[by].append(size)
            print(by, seed, [round(own, 4) for own in curve], size, flush=True)
    sizes = [FIRST + MORE * step for step in range(ROUNDS + 1)]
    figures: dict[str, Any] = {"seeds": arguments.seeds, "labelled": sizes}
    for by in CRITERIA:
        means = [fmean(own) for own in zip(*curves[by], strict=True)]
        figures[by] = {
            "f1": [round(own, 4) for own in means],
            "each": [[round(own, 4) for own in curve] for curve in curves[by]],
            "mean_gain_on_random": round(
                fmean(means[1:]) - fmean(fmean(own[1:]) for own in curves["random"]), 4
            ),
            "characters_labelled": round(fmean(characters[by])),
        }
    picture(sizes, {by: figures[by]["f1"] for by in CRITERIA})
    command = f"python benchmarks/active_learning.py --seeds {arguments.seeds}"
    write("active_learning", command, figures, ("llmner", "python-crfsuite"))


def run(job: tuple[Criterion, int]) -> tuple[list[float], int]:
    by, seed = job
    sentences = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    random.Random(seed).shuffle(sentences)
    held, labelled, rest = (
        sentences[:HELD_OUT],
        sentences[HELD_OUT : HELD_OUT + FIRST],
        sentences[HELD_OUT + FIRST :],
    )
    curve = []
    with tempfile.TemporaryDirectory() as folder:
        for step in range(ROUNDS + 1):
            tagger = train_crf(labelled, CONFIG, Path(folder)).baseline
            assert isinstance(tagger, CrfTagger)
            curve.append(f1(tagger, held))
            if step == ROUNDS:
                break
            # The same share of the rest is shown to every criterion.
            shown = random.Random(f"{seed} {step}").sample(rest, min(SHOWN, len(rest)))
            evidence = []
            if by in ("uncertainty", "mixed"):
                texts = [sentence.text for sentence in shown]
                evidence = [[Evidence((), own) for own in tagger.marginals(texts)]]
            elif by == "disagreement":
                evidence = halves(labelled, shown, Path(folder), f"{seed} {step}")
            picked = select(shown, MORE, by, evidence=evidence, labelled=labelled, seed=seed)
            chosen = {own.sentence.text for own in picked}
            labelled = [*labelled, *(own.sentence for own in picked)]
            rest = [sentence for sentence in rest if sentence.text not in chosen]
    return curve, sum(len(sentence.text) for sentence in labelled[FIRST:])


def halves(
    labelled: Sequence[Sentence], shown: Sequence[Sentence], folder: Path, seed: str
) -> list[list[Evidence]]:
    """What two CRFs find that have learnt from one half of the sentences each."""
    drawn = random.Random(seed).sample(labelled, len(labelled))
    middle = len(drawn) // 2
    evidence = []
    for half in (drawn[:middle], drawn[middle:]):
        tagger = train_crf(half, CONFIG, folder).baseline
        tagged = tagger.tag([sentence.text for sentence in shown])
        evidence.append([Evidence(tuple(spans)) for spans in tagged])
    return evidence


def f1(tagger: CrfTagger, held: Sequence[Sentence]) -> float:
    tagged = tagger.tag([sentence.text for sentence in held])
    gold = [sentence.spans for sentence in held]
    return score(gold, tagged, texts=[sentence.text for sentence in held]).micro.f1


def picture(sizes: Sequence[int], curves: dict[str, list[float]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=120)
    for by, curve in curves.items():
        axes.plot(sizes, curve, marker="o", label=by, linestyle="--" if by == "random" else "-")
    axes.set_xlabel("labelled sentences")
    axes.set_ylabel("micro F1 of a CRF on 500 held-out sentences")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / "active_learning.png")


if __name__ == "__main__":
    main()
