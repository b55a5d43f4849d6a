"""A linear-chain CRF on characters (sklearn-crfsuite), the baseline that needs no GPU."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from llmner._mishaps import Mishap, attempt
from llmner.baselines._crfsuite import check_crfsuite
from llmner.baselines._features import features
from llmner.baselines._marginals import TagMarginals
from llmner.baselines._paths import Edges, best_path
from llmner.baselines._syllables import apart, bioes_tags, pieces, places_of, spans_of
from llmner.baselines._types import Epoch, Fields, Trained, baseline_config, judge, learnt_labels
from llmner.errors import InputError, MissingExtraError
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, follows, is_tag, labels_of

__all__ = ["CrfConfig", "CrfTagger", "train_crf"]

WEIGHTS = "model.crfsuite"


class CrfConfig(Fields):
    """The configuration of a CRF, which is trained with L-BFGS and elastic-net regularisation.

    Attributes:
        c1: Weight of the L1 term, which makes the model small.
        c2: Weight of the L2 term.
        max_iterations: The maximum number of passes over all sentences.
        min_frequency: The number of times a feature must occur to be used.
        outside_penalty: Subtracted from the log-probability of ``O`` when a text is tagged, in
            nats. The most probable sequence of a CRF has too few entities, which costs more recall
            than it gains precision. 0 switches the penalty off.

    >>> CrfConfig(c1=0.1).max_iterations
    60
    """

    c1: float = Field(default=0.05, ge=0)
    c2: float = Field(default=0.1, ge=0)
    max_iterations: int = Field(default=60, ge=1)
    min_frequency: int = Field(default=0, ge=0)
    outside_penalty: float = Field(default=1.0, ge=0)


class CrfTagger:
    """A trained CRF.

    Args:
        path: The model file of CRFsuite.
        outside_penalty: Subtracted from the log-probability of ``O``, in nats.

    Raises:
        InputError: The file is missing or is not a model of CRFsuite.
        MissingExtraError: The ``baselines`` extra is not installed.
    """

    kind: ClassVar[str] = "crf"

    def __init__(self, path: Path, *, outside_penalty: float = 0.0) -> None:
        try:
            import pycrfsuite
        except ImportError:
            raise MissingExtraError("baselines", "the CRF") from None
        if not path.is_file():
            raise InputError("no such model file", path=path, hint="train it again")
        check_crfsuite(path)
        self._path = path
        self._tagger = pycrfsuite.Tagger()
        try:
            self._tagger.open(str(path))
        except ValueError:
            raise InputError("is not a CRFsuite model", path=path, hint="train it again") from None
        self._tags = list(self._tagger.labels())
        if not self._tags or not all(is_tag(tag, "bioes") for tag in self._tags):
            raise InputError("its tags are not BIOES tags", path=path, hint="train it again")
        self._penalty = outside_penalty
        self.labels = labels_of(self._tags)
        between, first, last = (
            [[follows(tag, following) for following in self._tags] for tag in self._tags],
            [follows(None, tag) for tag in self._tags],
            [follows(tag, None) for tag in self._tags],
        )
        self._edges = Edges(
            *(np.where(allowed, 0.0, -np.inf) for allowed in (between, first, last))
        )
        # A model that cannot tag is an error now, not at the first text.
        result = attempt(self.tag, ["."])
        if isinstance(result, Mishap):
            raise InputError(
                f"is not a CRFsuite model ({result})", path=path, hint="train it again"
            )

    @classmethod
    def load(
        cls,
        folder: Path,
        record: Mapping[str, Any],
        *,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> CrfTagger:
        """Load the CRF from a folder that :meth:`save` wrote to; ``device`` is ignored.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        config = baseline_config(record, folder, outside_penalty=(0.0, 1e6))
        return cls(folder / WEIGHTS, outside_penalty=config.get("outside_penalty", 0.0))

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """The spans of each text.

        Takes time linear in the length: about a millisecond for fifty characters.
        """
        return [self._tag(text) for text in texts]

    def marginals(self, texts: Sequence[str]) -> list[TagMarginals]:
        """The probability of every tag at every character, without the penalty on ``O``."""
        found = []
        for text in texts:
            places = places_of(text)
            parts = []
            for low, high, first, last in pieces(len(places)):
                start = places[low]
                part = text[start : places[high - 1] + 1]
                rows = self._marginals(part, [place - start for place in places[low:high]])
                parts.append(rows[first - low : last - low])
            values = np.concatenate(parts) if parts else np.zeros((0, len(self._tags)))
            found.append(TagMarginals(tuple(places), tuple(self._tags), values.astype(np.float32)))
        return found

    def _marginals(self, text: str, places: Sequence[int]) -> NDArray[np.float64]:
        """(places, tags) of a piece of a text."""
        self._tagger.set(features(text, places))
        marginal = self._tagger.marginal
        return np.array(
            [[marginal(tag, number) for tag in self._tags] for number in range(len(places))]
        )

    def _tag(self, text: str) -> tuple[Span, ...]:
        places = places_of(text)
        spans: list[Span] = []
        for low, high, first, last in pieces(len(places)):
            start = places[low]
            part = text[start : places[high - 1] + 1]
            for span in self._tag_piece(part, [place - start for place in places[low:high]]):
                # A span counts if it begins in the piece's own part.
                if places[first] <= start + span.start <= places[last - 1]:
                    spans.append(Span(start + span.start, start + span.end, span.label, span.score))
        return apart(spans)

    def _tag_piece(self, text: str, places: Sequence[int]) -> tuple[Span, ...]:
        if not self._penalty:
            self._tagger.set(features(text, places))
            tags = self._tagger.tag()
            # Marginals take time, and are only needed for the tags of entities.
            probabilities = [
                1.0 if tag == OUTSIDE else self._tagger.marginal(tag, number)
                for number, tag in enumerate(tags)
            ]
            return spans_of(tags, places, probabilities)
        marginals = self._marginals(text, places)
        path = self._best_path(marginals)
        probabilities = marginals[np.arange(len(path)), path].tolist()
        return spans_of([self._tags[tag] for tag in path], places, probabilities)

    def _best_path(self, marginals: NDArray[np.float64]) -> list[int]:
        """The best valid BIOES sequence by the product of marginals, less the penalty on ``O``.

        Viterbi over tag numbers; ``marginals`` is (places, tags).
        """
        scores = np.log(np.clip(marginals, 1e-12, None))
        if OUTSIDE in self._tags:
            scores[:, self._tags.index(OUTSIDE)] -= self._penalty
        return best_path(scores, self._edges)

    def parameters(self) -> int:
        """The number of weights of features and transitions that are not zero.

        Raises:
            InputError: The model's features cannot be listed.
        """
        # pycrfsuite parses a printed form of the model, which can fail.
        info = attempt(self._tagger.info)
        if isinstance(info, Mishap):
            raise InputError(
                f"its features cannot be listed ({info})", path=self._path, hint="train it again"
            )
        return len(info.state_features) + len(info.transitions)

    def save(self, folder: Path) -> None:
        """Copy the model's file into a folder, unless it is there already."""
        path = folder / WEIGHTS
        if not (path.exists() and path.samefile(self._path)):
            shutil.copyfile(self._path, path)


def train_crf(
    sentences: Sequence[Sentence],
    config: CrfConfig,
    folder: Path,
    *,
    held_out: Sequence[Sentence] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Trained:
    """Train a CRF on one core; memory grows with the number of different features.

    Args:
        sentences: The training sentences.
        config: The configuration.
        folder: The folder for the model's file.
        held_out: Sentences to evaluate the trained model on.
        on_epoch: Called after each iteration.
        report: Not used.

    Raises:
        InputError: There is no entity to learn.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    try:
        import sklearn_crfsuite
    except ImportError:
        raise MissingExtraError("baselines", "the CRF") from None
    started = time.perf_counter()
    learnt_labels(sentences)
    train = [(sentence, places) for sentence in sentences if (places := places_of(sentence.text))]
    tags = [bioes_tags(sentence, places) for sentence, places in train]
    # A generator, because all features together would fill gigabytes.
    rows = (features(sentence.text, places) for sentence, places in train)
    # crfsuite says nothing of a file that it could not write.
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS
    path.unlink(missing_ok=True)
    model = sklearn_crfsuite.CRF(
        algorithm="lbfgs",
        c1=config.c1,
        c2=config.c2,
        max_iterations=config.max_iterations,
        min_freq=config.min_frequency,
        model_filename=str(path),
        trainer_cls=_trainer(len(train), on_epoch),
    )
    model.fit(rows, tags)
    seconds = time.perf_counter() - started
    epochs = [_epoch(info, len(train)) for info in model.training_log_.iterations]
    tagger = CrfTagger(path, outside_penalty=config.outside_penalty)
    if held_out:
        precision, recall, f1 = judge(
            held_out, tagger.tag([sentence.text for sentence in held_out])
        )
        last = epochs[-1]
        epochs[-1] = Epoch(last.epoch, last.train_loss, None, precision, recall, f1, last.seconds)
    return Trained(tagger, seconds, tuple(epochs), None)


def _epoch(info: Mapping[str, Any], sentences: int) -> Epoch:
    """An iteration of CRFsuite's log; its loss is a sum over sentences, with regularisation."""
    return Epoch(int(info["num"]), float(info["loss"]) / sentences, seconds=float(info["time"]))


def _trainer(sentences: int, on_epoch: Callable[[Epoch], None] | None) -> Any:
    """A CRFsuite trainer that calls ``on_epoch`` after each iteration instead of printing it."""
    import pycrfsuite

    class _Trainer(pycrfsuite.Trainer):  # type: ignore[misc]
        def on_iteration(self, log: str, info: Mapping[str, Any]) -> None:
            if on_epoch is not None:
                on_epoch(_epoch(info, sentences))

    return _Trainer
