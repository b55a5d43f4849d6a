"""How well planted errors are found in labels, beside cleanlab's method for tokens.

    python benchmarks/audit.py [--seed 0] [--cleanlab PYTHON]

250 errors of each kind are planted into the 5,000 sentences of KLUE's train part: a span is lost,
words become an entity, a span begins or ends elsewhere, a label is another. The rules are not those
that the ranking learns from. A CRF judges each fifth after learning from the others, errors
included. A row finds an error if it covers half of it, and each error counts once. KLUE's own
errors count against the ranking. With --cleanlab, the Python of an environment that has cleanlab
ranks single characters by the same probabilities; a character finds an error if it lies in it.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _report import klue, write

from llmner import Sentence, Span
from llmner.baselines._syllables import bioes_tags
from llmner.corpora import read_corpus
from llmner.labelling import Evidence, audit, fold_evidence
from llmner.labelling._suspicions import candidates, raw_score

EACH = 250
_CLEANLAB = """
import sys, numpy as np
from cleanlab.token_classification.filter import find_label_issues
held = np.load(sys.argv[1])
ends = held["ends"]
labels = np.split(held["labels"], ends[:-1])
rows = np.split(held["values"], ends[:-1])
rows = [row / row.sum(1, keepdims=True) for row in rows]
issues = find_label_issues([own.tolist() for own in labels], rows)
np.save(sys.argv[2], np.array(issues))
"""


@dataclass(frozen=True)
class Error:
    kind: str
    sentence: int
    start: int
    end: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cleanlab", type=Path)
    arguments = parser.parse_args()
    clean = list(read_corpus(klue("klue-ner-v1.1_train_mini.tsv")))
    sentences, errors = planted(clean, arguments.seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        evidence = fold_evidence(sentences, "crf", Path(folder), report=print)
        judged = time.perf_counter() - started
        found = audit(sentences, [evidence])
        seconds = time.perf_counter() - started
        rows = [
            (own.sentence, own.start, own.end)
            for own in found
            if own.start is not None and own.end is not None
        ]
        doubts = [
            own
            for number, (sentence, said) in enumerate(zip(sentences, evidence, strict=True))
            for own in candidates(number, sentence, said)
        ]
        plain = sorted(doubts, key=lambda own: -raw_score(own))
        figures: dict[str, Any] = {
            "sentences": len(sentences),
            "errors": len(errors),
            "rows": len(rows),
            "seconds": {"judging": round(judged, 1), "ranking": round(seconds - judged, 1)},
            "audit": ranked(rows, errors, covers_half),
            "what the CRF says alone": ranked(
                [(own.number, *_place(own)) for own in plain], errors, covers_half
            ),
            "of each kind": of_each_kind(found, errors),
        }
        if arguments.cleanlab is not None:
            characters = by_cleanlab(arguments.cleanlab, sentences, evidence, Path(folder))
            figures["cleanlab, characters"] = ranked(characters, errors, lies_in)
    command = f"python benchmarks/audit.py --seed {arguments.seed}"
    command += "" if arguments.cleanlab is None else " --cleanlab PYTHON"
    write("audit", command, figures, ("llmner", "python-crfsuite", "scikit-learn"))


def _place(candidate: Any) -> tuple[int, int]:
    about = candidate.given or candidate.found
    return about.start, about.end


def planted(clean: Sequence[Sentence], seed: int) -> tuple[list[Sentence], list[Error]]:
    """The corpus with errors, at most one a sentence."""
    rng = random.Random(seed)
    labels = sorted({span.label for sentence in clean for span in sentence.spans})
    sentences = list(clean)
    order = list(range(len(clean)))
    rng.shuffle(order)
    errors: list[Error] = []
    makers: dict[str, Callable[..., tuple[list[Span], Span] | None]] = {
        "missing": _lost,
        "spurious": _made_up,
        "boundary": _moved,
        "label": _relabelled,
    }
    for kind, make in makers.items():
        count = 0
        while count < EACH:
            number = order.pop()
            made = make(sentences[number], labels, rng)
            if made is None:
                continue
            spans, about = made
            sentences[number] = replace(sentences[number], spans=tuple(sorted(spans)))
            errors.append(Error(kind, number, about.start, about.end))
            count += 1
    return sentences, errors


def _lost(
    sentence: Sentence, labels: Sequence[str], rng: random.Random
) -> tuple[list[Span], Span] | None:
    if not sentence.spans:
        return None
    own = rng.choice(sentence.spans)
    return [span for span in sentence.spans if span != own], own


def _made_up(
    sentence: Sentence, labels: Sequence[str], rng: random.Random
) -> tuple[list[Span], Span] | None:
    """One or two whole words."""
    words, start = [], 0
    for word in sentence.text.split(" "):
        words.append((start, start + len(word)))
        start += len(word) + 1
    first = rng.randrange(len(words))
    last = min(len(words) - 1, first + rng.choice((0, 0, 1)))
    place = words[first][0], words[last][1]
    if place[0] >= place[1] or any(
        span.start < place[1] and place[0] < span.end for span in sentence.spans
    ):
        return None
    own = Span(*place, rng.choice(labels))
    return [*sentence.spans, own], own


def _moved(
    sentence: Sentence, labels: Sequence[str], rng: random.Random
) -> tuple[list[Span], Span] | None:
    """One or two characters more or less, at one end."""
    if not sentence.spans:
        return None
    own = rng.choice(sentence.spans)
    others = [span for span in sentence.spans if span != own]
    ends = []
    for left, right in ((1, 0), (2, 0), (-1, 0), (-2, 0), (0, 1), (0, 2), (0, -1), (0, -2)):
        start, end = own.start + left, own.end + right
        surface = sentence.text[max(0, start) : end]
        if (
            0 <= start < end <= len(sentence.text)
            and surface.strip() == surface
            and all(end <= other.start or other.end <= start for other in others)
        ):
            ends.append((start, end))
    if not ends:
        return None
    moved = Span(*rng.choice(ends), own.label)
    return [*others, moved], moved


def _relabelled(
    sentence: Sentence, labels: Sequence[str], rng: random.Random
) -> tuple[list[Span], Span] | None:
    if not sentence.spans:
        return None
    own = rng.choice(sentence.spans)
    label = rng.choice([label for label in labels if label != own.label])
    other = Span(own.start, own.end, label)
    return [*(span for span in sentence.spans if span != own), other], other


def covers_half(error: Error, start: int, end: int) -> bool:
    shared = min(error.end, end) - max(error.start, start)
    return 2 * shared >= error.end - error.start


def lies_in(error: Error, start: int, end: int) -> bool:
    return error.start <= start and end <= error.end


def ranked(
    rows: Sequence[tuple[int, int, int]],
    errors: Sequence[Error],
    finds: Callable[[Error, int, int], bool],
) -> dict[str, float]:
    """The share of the first rows that find an error that none before them has found."""
    of_sentence = {error.sentence: error for error in errors}
    seen: set[int] = set()
    figures = {}
    for count, (sentence, start, end) in enumerate(rows, 1):
        error = of_sentence.get(sentence)
        if error is not None and sentence not in seen and finds(error, start, end):
            seen.add(sentence)
        if count in (100, 500, 1000):
            figures[f"precision at {count}"] = round(len(seen) / count, 4)
    figures["errors found in any row"] = round(len(seen) / len(errors), 4)
    return figures


def of_each_kind(found: Sequence[Any], errors: Sequence[Error]) -> dict[str, Any]:
    """Of each kind of error, how many any row finds, and the area under the ROC curve of the rows
    that find one against those that find nothing.
    """
    of_sentence = {error.sentence: error for error in errors}
    scores: dict[str, list[float]] = {}
    nothing: list[float] = []
    seen: dict[str, set[int]] = {}
    for own in found:
        if own.start is None:
            continue
        error = of_sentence.get(own.sentence)
        if error is not None and covers_half(error, own.start, own.end):
            scores.setdefault(error.kind, []).append(own.score)
            seen.setdefault(error.kind, set()).add(own.sentence)
        else:
            nothing.append(own.score)
    return {
        kind: {
            "found in any row": round(len(seen[kind]) / EACH, 4),
            "area under the curve": round(_area(own, nothing), 4),
        }
        for kind, own in sorted(scores.items())
    }


def _area(positives: Sequence[float], negatives: Sequence[float]) -> float:
    below = np.sort(np.array(negatives))
    left = np.searchsorted(below, positives, "left")
    right = np.searchsorted(below, positives, "right")
    return float(((left + right) / 2).mean() / len(below))


def by_cleanlab(
    python: Path, sentences: Sequence[Sentence], evidence: Sequence[Evidence], folder: Path
) -> list[tuple[int, int, int]]:
    """The characters that cleanlab finds wrong, in its order."""
    tags = sorted({tag for own in evidence if own.marginals for tag in own.marginals.tags})
    labels, values, ends, owners = [], [], [0], []
    for number, (sentence, own) in enumerate(zip(sentences, evidence, strict=True)):
        if own.marginals is None or not own.marginals.places:
            continue
        places = own.marginals.places
        given = bioes_tags(sentence, places)
        if any(tag not in tags for tag in given):
            continue
        columns = [tags.index(tag) for tag in own.marginals.tags]
        rows = np.full((len(places), len(tags)), 1e-9, np.float32)
        rows[:, columns] = own.marginals.values + 1e-9
        labels += [tags.index(tag) for tag in given]
        values.append(rows)
        ends.append(ends[-1] + len(places))
        owners.append((number, places))
    held, answer, script = folder / "held.npz", folder / "issues.npy", folder / "ask.py"
    np.savez(held, labels=np.array(labels), values=np.concatenate(values), ends=np.array(ends[1:]))
    script.write_text(_CLEANLAB, encoding="utf-8")
    subprocess.run([python, script, held, answer], check=True)
    found = []
    for sentence, token in np.load(answer):
        number, places = owners[int(sentence)]
        place = places[int(token)]
        found.append((number, place, place + 1))
    return found


if __name__ == "__main__":
    main()
