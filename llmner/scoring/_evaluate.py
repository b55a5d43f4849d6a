"""An evaluation: scores, what became of replies and mentions, and the signature that travels with them."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from llmner._files import read_jsonl
from llmner.corpora import guess_format, read_corpus
from llmner.corpora.jsonl import row_text_and_id
from llmner.errors import CorpusError, MismatchError
from llmner.extraction import Extraction
from llmner.scoring._scores import Scores, score
from llmner.spans import Sentence, Span

__all__ = [
    "Evaluation",
    "Prediction",
    "align",
    "align_sample",
    "corpus_signature",
    "evaluate",
    "read_predictions",
    "sample",
]

_T = TypeVar("_T")
_STATUSES = ("ok", "repaired", "truncated", "empty", "unreadable")
_OUTCOMES = (
    "exact", "canonical", "trimmed", "fuzzy", "surplus", "overlapped", "not_found", "unknown_label",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted spans of one sentence, with what is known of how they came about.

    Attributes:
        text: The sentence's text.
        spans: Predicted spans.
        id: The sentence's id.
        outcomes: The kinds of its mentions' outcomes.
        status: How its reply could be read, where there was one.
    """

    text: str
    spans: tuple[Span, ...]
    id: str | None = None
    outcomes: tuple[str, ...] = ()
    status: str | None = None

    @classmethod
    def of(cls, extraction: Extraction) -> Prediction:
        """The prediction in an extraction."""
        read = extraction.projection.reply
        return cls(
            extraction.sentence.text,
            extraction.spans,
            extraction.sentence.id,
            tuple(outcome.kind for outcome in extraction.projection.outcomes),
            None if read is None else read.status,
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores with everything a reader needs to judge them.

    Attributes:
        scores: The figures.
        outcomes: Mentions by kind of outcome.
        replies: Replies by reading status.
        signature: What was scored, on what, how: metric, corpus, sample, model, recipe, version.
    """

    scores: Scores
    outcomes: dict[str, int] = field(default_factory=dict)
    replies: dict[str, int] = field(default_factory=dict)
    signature: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What ``evaluate --json`` prints; all fractions from 0 to 1."""
        figures = self.scores.to_dict()
        klue = figures["klue"] or {}
        return {
            "sentences": figures["sentences"],
            "gold_spans": figures["gold_spans"],
            "predicted_spans": figures["predicted_spans"],
            "micro": figures["micro"],
            "strict": figures["strict"],
            "macro_f1": figures["macro_f1"],
            "per_label": figures["per_label"],
            "klue": {key: klue.get(key) for key in ("entity_f1", "char_f1")},
            "outcomes": self.outcomes,
            "replies": self.replies,
            "signature": self.signature,
        }


def read_predictions(path: Path, format: str | None = None) -> list[Prediction]:
    """Predictions from any corpus format; rows that ``extract`` wrote keep outcomes and statuses.

    Raises:
        CorpusError: The file cannot be read or a row is broken.
    """
    sentences = list(read_corpus(path, format))
    if (format or guess_format(path)) != "spans":
        return [Prediction(s.text, s.spans, s.id) for s in sentences]
    predictions = []
    for sentence, (number, row) in zip(sentences, read_jsonl(path), strict=True):
        row_text_and_id(path, number, row)
        outcomes = row.get("outcomes", [])
        if not isinstance(outcomes, list) or not all(isinstance(o, dict) for o in outcomes):
            raise CorpusError("'outcomes' is not a list of objects", path=path, line=number)
        status = row.get("status")
        predictions.append(
            Prediction(
                sentence.text,
                sentence.spans,
                sentence.id,
                tuple(str(outcome.get("kind")) for outcome in outcomes),
                status if isinstance(status, str) else None,
            )
        )
    return predictions


def sample(sentences: Sequence[_T], limit: int | None, seed: int) -> list[_T]:
    """The rows ``datasets`` draws with ``shuffle(seed=seed).select(range(limit))``.

    With ``limit=None`` all of them in their own order; a limit over their number draws all, shuffled.
    """
    if limit is None:
        return list(sentences)
    from numpy.random import default_rng

    order = default_rng(seed).permutation(len(sentences))
    return [sentences[int(at)] for at in order[:limit]]


def align(
    gold: Sequence[Sentence],
    predictions: Sequence[Prediction],
    *,
    part: int | None = None,
    path: str | Path | None = None,
) -> list[Prediction | None]:
    """The prediction of each gold sentence, by id where all have ids of their own, else by place.

    Args:
        gold: The sentences to be scored.
        predictions: The predictions.
        part: How many sentences will be sampled; where that is given, predictions for part of the
            corpus will do, and the other sentences get ``None``. Without it every sentence has one.
        path: The predictions' file, for errors.

    Raises:
        MismatchError: A sentence without prediction, a prediction without sentence, another text.
    """
    gold_ids = {sentence.id for sentence in gold}
    found = {prediction.id: prediction for prediction in predictions}
    by_id = None not in gold_ids and len(gold_ids) == len(gold) and len(found) == len(predictions)
    aligned: list[Prediction | None]
    if by_id and None not in found:
        for sentence in gold:
            if part is None and sentence.id not in found:
                raise MismatchError(
                    "no prediction for this gold sentence", path=path, id=sentence.id, hint="ids must match"
                )
        for prediction in predictions:
            if prediction.id not in gold_ids:
                raise MismatchError(
                    "a prediction for no gold sentence", path=path, id=prediction.id, hint="ids must match"
                )
        aligned = [found.get(sentence.id) for sentence in gold]
    else:
        if len(gold) != len(predictions):
            raise MismatchError(
                f"{len(predictions)} predictions for {len(gold)} gold sentences",
                path=path,
                hint="give both sides ids, or the same number of rows in the same order",
            )
        aligned = list(predictions)
    for sentence, given in zip(gold, aligned, strict=True):
        if given is not None and sentence.text != given.text:
            alike = unicodedata.normalize("NFKC", sentence.text) == unicodedata.normalize("NFKC", given.text)
            raise MismatchError(
                f"predicted on another text ({given.text[:30]!r}, gold has {sentence.text[:30]!r})",
                path=path,
                id=sentence.id,
                hint="these are two versions of one corpus (KLUE v1.1 is v1 after NFKC); use the same"
                if alike
                else "gold and predictions must be of one corpus version",
            )
    return aligned


def align_sample(
    corpus: Sequence[Sentence],
    predictions: Sequence[Prediction],
    limit: int | None,
    seed: int,
    *,
    path: str | Path | None = None,
) -> list[Prediction]:
    """The predictions of the sentences that :func:`sample` draws from the corpus, in its order.

    Aligned whole and then sampled, so that files without ids keep their order.

    Raises:
        MismatchError: As :func:`align`; or a sentence of the sample has no prediction.
    """
    aligned = align(corpus, predictions, part=limit, path=path)
    drawn = sample(aligned, limit, seed)
    found = [prediction for prediction in drawn if prediction is not None]
    if len(found) != len(drawn):
        raise MismatchError(
            f"{len(drawn) - len(found)} sampled sentences have no prediction",
            path=path,
            hint="predict the whole corpus, or the same sample",
        )
    return found


def corpus_signature(name: str, sentences: Iterable[Sentence]) -> dict[str, Any]:
    """Name, size and a hash of texts and spans; ``nfkc`` tells KLUE v1.1 (true) from v1."""
    digest = hashlib.sha256()
    count = 0
    normal = True
    for sentence in sentences:
        count += 1
        normal = normal and unicodedata.is_normalized("NFKC", sentence.text)
        spans = ";".join(f"{span.start},{span.end},{span.label}" for span in sentence.spans)
        digest.update(f"{sentence.text}\0{spans}\n".encode("utf-8", "surrogatepass"))
    return {"name": name, "sentences": count, "sha256": digest.hexdigest()[:12], "nfkc": normal}


def evaluate(
    gold: Sequence[Sentence],
    predictions: Sequence[Prediction],
    *,
    labels: Sequence[str] | None = None,
    signature: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score aligned predictions.

    Args:
        gold: Sentences with gold spans.
        predictions: As many, in the same order (see :func:`align`).
        labels: The label set, for character F1.
        signature: What is known of corpus, sample, model and recipe; metric and version are added.

    Raises:
        MismatchError: They differ in number.
    """
    from llmner import __version__

    scores = score(
        [sentence.spans for sentence in gold],
        [prediction.spans for prediction in predictions],
        texts=[sentence.text for sentence in gold],
        labels=labels,
    )
    outcomes = Counter(kind for prediction in predictions for kind in prediction.outcomes)
    statuses = Counter(prediction.status for prediction in predictions if prediction.status is not None)
    return Evaluation(
        scores,
        {kind: outcomes[kind] for kind in _OUTCOMES if outcomes},
        {status: statuses[status] for status in _STATUSES if statuses},
        {
            "metric": "seqeval micro (default mode), strict IOB2, KLUE pair",
            **(signature or {}),
            "llmner": __version__,
        },
    )
