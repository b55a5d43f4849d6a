"""Sources of predictions (a file or an extractor), and their evaluation on one sample."""

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
from llmner.scoring._evaluate import Evaluation, evaluate_all
from llmner.scoring._predictions import Prediction, align, corpus_signature, draw, read_predictions
from llmner.scoring._saved_runs import read_run
from llmner.spans import Sentence

__all__ = ["Source", "evaluate_runs", "evaluate_sources", "from_extractor", "from_file"]


@dataclass(frozen=True, slots=True)
class Source:
    """A source of predictions for a corpus.

    Attributes:
        name: Its name: a file or an engine.
        signature: What is known about how its predictions come about.
        has: Whether there is a prediction for a sentence, given its number from 0.
        predict: Returns the predictions for the sentences with these numbers, in this order.
    """

    name: str
    signature: Mapping[str, Any]
    has: Callable[[int], bool]
    predict: Callable[[Sequence[int]], list[Prediction]]


def from_file(
    path: Path,
    corpus: Sequence[Sentence],
    format: str | None = None,
    *,
    whole: bool = True,
    stats: ReadStats | None = None,
) -> Source:
    """Predictions from a file that ``extract`` wrote, or that is in any corpus format.

    Args:
        path: The file.
        corpus: The gold sentences.
        format: The file's format; ``None`` guesses it.
        whole: Whether every sentence must have a prediction.
        stats: Counters to update while the file is read.

    Raises:
        CorpusError: The file cannot be read.
        MismatchError: The file is of another corpus.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "predictions.jsonl"
    ...     _ = path.write_text('{"text": "a", "spans": [{"start": 0, "end": 1, "label": "X"}]}')
    ...     source = from_file(path, [Sentence("a")])
    >>> [prediction.spans[0].label for prediction in source.predict([0])]
    ['X']
    """
    stats = stats if stats is not None else ReadStats()
    predictions = read_predictions(path, format, stats=stats)
    aligned = align(corpus, predictions, complete=whole, path=path, stats=stats)
    record = {key: value for key, value in (run_record(path) or {}).items() if key != "input"}
    spans = corpus_signature(path.name, [Sentence(p.text, p.spans) for p in predictions])
    signature = {
        **record,
        "predicted": {"name": path.name, "sha256": spans["sha256"]},
        "broken_tags": stats.repairs or None,
    }

    def predict(numbers: Sequence[int]) -> list[Prediction]:
        return [prediction for n in numbers if (prediction := aligned[n]) is not None]

    return Source(str(path), signature, lambda number: aligned[number] is not None, predict)


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
    """Predictions from an extractor: the answers of an engine, or recorded replies.

    Args:
        name: Its name in reports and errors.
        extractor: The extractor.
        corpus: The gold sentences.
        whole: Whether every recorded reply must belong to a gold sentence.
        on_prediction: Called after each sentence that is answered now.
        keep: Gets a description of everything that decides the answers, and returns the file in
            which to keep the answers (see ``llmner.extraction.runs``), or ``None``. If an
            evaluation is interrupted, the next one continues from this file.
        restart: Delete the answers that an interrupted evaluation kept.
        on_resume: Called with the number of sentences that were answered before.

    >>> from llmner.extraction import Extractor  # doctest: +SKIP
    >>> extractor = Extractor(recipe, engine)  # doctest: +SKIP
    >>> source = from_extractor("klue", extractor, corpus)  # doctest: +SKIP
    >>> source.predict(range(10))[0].spans  # doctest: +SKIP
    """
    recorded = extractor.engine.recorded() if isinstance(extractor, Extractor) else None
    covered = None if recorded is None else recorded.covers((s.id, s.text) for s in corpus)

    def answers(numbers: Sequence[int]) -> Iterator[tuple[Prediction, bool]]:
        """Each prediction, and whether it was made now."""
        sentences = [corpus[number] for number in numbers]
        sample = corpus_signature("", sentences)
        record = {
            "evaluated": f"{sample['sentences']} sentences, {sample['sha256']}",
            **extractor.describe(),
        }
        path = None if keep is None else keep(record)
        if path is None:
            for extraction in extractor.extract(sentences):
                yield _prediction(extraction), True
            return
        rows = kept_rows(extractor, sentences, path, record, restart=restart, on_resume=on_resume)
        for line, (row, fresh) in enumerate(rows, 1):
            prediction = attempt(Prediction.of_row, row, path, line)
            if isinstance(prediction, Mishap):
                # An old row that cannot be read is an error of the file. A row made now that cannot
                # be read counts as no answer to its sentence.
                if fresh is None:
                    raise prediction.error
                prediction = Prediction.of(lost(fresh.sentence, prediction))
            yield prediction, fresh is not None

    def predict(numbers: Sequence[int]) -> list[Prediction]:
        predictions = []
        for prediction, fresh in answers(numbers):
            predictions.append(prediction)
            if fresh and on_prediction is not None:
                on_prediction()
        unused = recorded.unused() if whole and recorded is not None else 0
        if unused:
            raise MismatchError(
                f"{unused} recorded replies belong to no gold sentence",
                path=name,
                hint="ids must match",
            )
        return predictions

    def has(number: int) -> bool:
        return covered is None or bool(covered[number])

    return Source(name, extractor.describe(), has, predict)


def _prediction(extraction: Extraction) -> Prediction:
    """The prediction of an extraction; invalid spans count as no answer."""
    prediction = attempt(Prediction.of, extraction)
    if isinstance(prediction, Mishap):
        return Prediction.of(lost(extraction.sentence, prediction))
    return prediction


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
    """Score several sources of predictions on the same sentences.

    Args:
        corpus: All gold sentences.
        sources: The sources.
        corpus_name: The corpus's name, for the signature.
        limit: Score a sample of this many sentences, drawn as ``datasets`` draws it.
        seed: Seed of the sample and of the intervals.
        partial: Score only the sentences for which every source has a prediction.
        resamples: Bootstrap resamples; 0 for no intervals.

    Raises:
        MismatchError: A sentence has no prediction, or a prediction has no sentence.

    >>> from llmner.scoring import Prediction
    >>> source = Source("toy", {}, lambda number: True, lambda numbers: [Prediction("a", ())])
    >>> (evaluation,) = evaluate_sources(
    ...     [Sentence("a")], [source], corpus_name="toy corpus", resamples=0
    ... )
    >>> evaluation.signature["corpus"]["name"]
    'toy corpus'
    """
    numbers = draw(
        corpus,
        [source.has for source in sources],
        limit=limit,
        seed=seed,
        partial=partial,
        names=[source.name for source in sources],
    )
    gold = [corpus[number] for number in numbers]
    scored = {
        "corpus": corpus_signature(corpus_name, corpus),
        "sample": None if limit is None else {"limit": limit, "seed": seed},
        "scored": None
        if len(numbers) == len(corpus)
        else {"sentences": len(numbers), "sha256": corpus_signature("", gold)["sha256"]},
    }
    return evaluate_all(
        gold,
        [source.predict(numbers) for source in sources],
        signatures=[{**scored, **source.signature} for source in sources],
        resamples=resamples,
        seed=seed,
    )


def evaluate_runs(
    paths: Sequence[Path], *, resamples: int = 1000, seed: int = 42
) -> list[Evaluation]:
    """Score again several runs that :func:`write_run` or ``evaluate --output`` saved.

    Args:
        paths: The files.
        resamples: Bootstrap resamples; 0 for no intervals.
        seed: Seed of the resamples.

    Raises:
        CorpusError: A file is not a saved run.
        MismatchError: The runs are of different sentences or gold spans.

    >>> import tempfile
    >>> from llmner.scoring import Prediction, evaluate, write_run
    >>> evaluation = evaluate([Sentence("a")], [Prediction("a", ())], resamples=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_run(evaluation, Path(folder) / "run.json")
    ...     (again,) = evaluate_runs([Path(folder) / "run.json"], resamples=0)
    >>> again.scores == evaluation.scores
    True
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
