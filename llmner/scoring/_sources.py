"""Where predictions come from, a file or an extractor; and several such runs evaluated on one
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmner._mishaps import Mishap, attempt
from llmner.corpora import ReadStats
from llmner.errors import MismatchError
from llmner.extraction.extractor import Extraction, Extractor, SpanExtractor, lost
from llmner.extraction.runs import kept_rows, run_record
from llmner.scoring._evaluate import Evaluation, evaluate_all, read_run
from llmner.scoring._predictions import Prediction, align, corpus_signature, draw, read_predictions
from llmner.spans import Sentence

__all__ = ["Source", "evaluate_runs", "evaluate_sources", "from_extractor", "from_file"]


@dataclass(frozen=True, slots=True)
class Source:
    """One run to be scored on a corpus.

    Attributes:
        name: What people call it: a file or an engine.
        signature: What is known of how its predictions came about.
        has: Whether there is a prediction for the sentence at a place in the corpus, counted from
            0.
        predict: The predictions of the sentences at some places, in their order.
    """

    name: str
    signature: Mapping[str, Any]
    has: Callable[[int], bool]
    predict: Callable[[Sequence[int]], list[Prediction]]


def from_file(
    path: Path, corpus: Sequence[Sentence], *, whole: bool = True, stats: ReadStats | None = None
) -> Source:
    """Predictions that ``extract`` wrote, or in any corpus format.

    Args:
        path: The file.
        corpus: The gold sentences.
        whole: Whether every sentence must have a prediction.
        stats: Counters of the reading.

    Raises:
        CorpusError: The file cannot be read.
        MismatchError: It is not of this corpus.
    """
    stats = stats if stats is not None else ReadStats()
    predictions = read_predictions(path, stats=stats)
    aligned = align(corpus, predictions, complete=whole, path=path)
    record = {key: value for key, value in (run_record(path) or {}).items() if key != "input"}
    spans = corpus_signature(path.name, [Sentence(p.text, p.spans) for p in predictions])
    signature = {
        **record,
        "predicted": {"name": path.name, "sha256": spans["sha256"]},
        "broken_tags": stats.repairs or None,
    }

    def predict(places: Sequence[int]) -> list[Prediction]:
        return [found for at in places if (found := aligned[at]) is not None]

    return Source(str(path), signature, lambda at: aligned[at] is not None, predict)


def from_extractor(
    name: str,
    extractor: SpanExtractor,
    corpus: Sequence[Sentence],
    *,
    whole: bool = True,
    on_prediction: Callable[[], None] | None = None,
    keep: Callable[[Mapping[str, Any]], Path | None] | None = None,
    restart: bool = False,
    on_resume: Callable[[int], None] | None = None,
) -> Source:
    """The answers of an engine, or replies that were recorded.

    Args:
        name: What people call it.
        extractor: What answers.
        corpus: The gold sentences.
        whole: Whether recorded replies must all be asked for.
        on_prediction: Called after each sentence that is asked.
        keep: Given what decides the answers, the file to keep them in until the evaluation is done
            (see ``llmner.extraction.runs``), or ``None`` to keep none; an interrupted evaluation
            goes on from there.
        restart: Throw away what an interrupted evaluation kept.
        on_resume: Called with the number of sentences that were answered before.
    """
    recorded = extractor.engine.recorded() if isinstance(extractor, Extractor) else None
    covered = None if recorded is None else recorded.covers((s.id, s.text) for s in corpus)

    def answers(places: Sequence[int]) -> Iterator[tuple[Prediction, bool]]:
        """Each prediction, and whether it was asked for now."""
        asked = [corpus[at] for at in places]
        known = corpus_signature("", asked)
        record = {
            "evaluated": f"{known['sentences']} sentences, {known['sha256']}",
            **extractor.describe(),
        }
        path = None if keep is None else keep(record)
        if path is None:
            yield from ((_prediction(extraction), True) for extraction in extractor.extract(asked))
            return
        rows = kept_rows(extractor, asked, path, record, restart=restart, on_resume=on_resume)
        for number, (row, fresh) in enumerate(rows, 1):
            found = attempt(Prediction.of_row, row, path, number)
            if isinstance(found, Mishap):
                # A row that lay there already is the file's fault, one that was made now is its
                # sentence's.
                if fresh is None:
                    raise found.error
                found = Prediction.of(lost(fresh.sentence, found))
            yield found, fresh is not None

    def predict(places: Sequence[int]) -> list[Prediction]:
        found = []
        for prediction, fresh in answers(places):
            found.append(prediction)
            if fresh and on_prediction is not None:
                on_prediction()
        left = recorded.unused() if whole and recorded is not None else 0
        if left:
            raise MismatchError(
                f"{left} recorded replies belong to no gold sentence",
                path=name,
                hint="ids must match",
            )
        return found

    def has(at: int) -> bool:
        return covered is None or bool(covered[at])

    return Source(name, extractor.describe(), has, predict)


def _prediction(extraction: Extraction) -> Prediction:
    """The prediction in an extraction; spans that none can have are no answer."""
    found = attempt(Prediction.of, extraction)
    return Prediction.of(lost(extraction.sentence, found)) if isinstance(found, Mishap) else found


def evaluate_sources(
    corpus: Sequence[Sentence],
    sources: Sequence[Source],
    *,
    corpus_name: str,
    limit: int | None = None,
    seed: int = 42,
    partial: bool = False,
    resamples: int = 1000,
) -> list[Evaluation]:
    """Score every run on the same sentences.

    Args:
        corpus: All gold sentences.
        sources: The runs.
        corpus_name: The corpus's name, for the signature.
        limit: Score a sample of this many sentences, drawn as ``datasets`` draws it.
        seed: Seed of the sample and of the intervals.
        partial: Score only the sentences that every run has a prediction for.
        resamples: Bootstrap resamples; 0 for no intervals.

    Raises:
        MismatchError: A sentence without a prediction, or a prediction without a sentence.
    """
    places = draw(
        corpus,
        [source.has for source in sources],
        limit=limit,
        seed=seed,
        partial=partial,
        names=[source.name for source in sources],
    )
    gold = [corpus[at] for at in places]
    scored = {
        "corpus": corpus_signature(corpus_name, corpus),
        "sample": None if limit is None else {"limit": limit, "seed": seed},
        "scored": None
        if len(places) == len(corpus)
        else {"sentences": len(places), "sha256": corpus_signature("", gold)["sha256"]},
    }
    return evaluate_all(
        gold,
        [source.predict(places) for source in sources],
        signatures=[{**scored, **source.signature} for source in sources],
        resamples=resamples,
        seed=seed,
    )


def evaluate_runs(
    paths: Sequence[Path], *, resamples: int = 1000, seed: int = 42
) -> list[Evaluation]:
    """Score runs that ``evaluate --output`` kept, again and alike.

    Raises:
        CorpusError: A file is no such run.
        MismatchError: They are of different sentences or gold spans.
    """
    runs = [read_run(path) for path in paths]
    gold = runs[0][0]
    for path, (other, _, _) in zip(paths, runs, strict=True):
        if other != gold:
            raise MismatchError(
                f"another corpus or sample than that of {paths[0]}",
                path=path,
                hint="evaluate both on the same sentences",
            )
    return evaluate_all(
        gold,
        [predictions for _, predictions, _ in runs],
        signatures=[signature for *_, signature in runs],
        resamples=resamples,
        seed=seed,
    )
