"""A linear-chain CRF on characters (sklearn-crfsuite): the tagger to beat before reaching for a
GPU.
"""

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
from llmner.baselines._syllables import apart, bioes_tags, pieces, places_of, spans_of
from llmner.baselines._types import Epoch, Fields, Trained, baseline_config, judge, learnt_labels
from llmner.errors import InputError, MissingExtraError
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, follows, is_tag, labels_of

__all__ = ["CrfConfig", "CrfTagger", "train_crf"]

WEIGHTS = "model.crfsuite"


class CrfConfig(Fields):
    """How a CRF is trained, by L-BFGS with elastic-net regularisation.

    Attributes:
        c1: Weight of the L1 term; what makes the model small.
        c2: Weight of the L2 term.
        max_iterations: Passes over all sentences at the most.
        min_frequency: How often a feature must occur to be used.
        outside_penalty: How much less likely ``O`` is taken to be when a text is tagged, in nats.
            The likeliest sequence of a CRF is shy of entities: that costs more recall than it gains
            precision. 0 takes it as it is.
    """

    c1: float = Field(default=0.05, ge=0)
    c2: float = Field(default=0.1, ge=0)
    max_iterations: int = Field(default=60, ge=1)
    min_frequency: int = Field(default=0, ge=0)
    outside_penalty: float = Field(default=1.0, ge=0)


class CrfTagger:
    """A trained CRF.

    Args:
        path: The file that CRFsuite wrote.
        outside_penalty: How much less likely ``O`` is taken to be, in nats.

    Raises:
        InputError: It is no such file.
        MissingExtraError: The ``baselines`` extra is not installed.
    """

    kind: ClassVar[str] = "crf"

    def __init__(self, path: Path, *, outside_penalty: float = 0.0) -> None:
        try:
            import pycrfsuite
        except ImportError:
            raise MissingExtraError("baselines", "the CRF") from None
        if not path.is_file():
            raise InputError("there is no model", path=path, hint="train it again")
        check_crfsuite(path)
        self._path = path
        self._tagger = pycrfsuite.Tagger()
        try:
            self._tagger.open(str(path))
        except ValueError:
            raise InputError("is no model of CRFsuite", path=path, hint="train it again") from None
        self._tags = list(self._tagger.labels())
        if not self._tags or not all(is_tag(tag, "bioes") for tag in self._tags):
            raise InputError("its tags are none", path=path, hint="train it again")
        self._penalty = outside_penalty
        self.labels = labels_of(self._tags)
        first, last, between = (
            [follows(None, tag) for tag in self._tags],
            [follows(tag, None) for tag in self._tags],
            [[follows(one, other) for other in self._tags] for one in self._tags],
        )
        self._first, self._last, self._between = (
            np.where(allowed, 0.0, -np.inf) for allowed in (first, last, between)
        )
        # Tags that cannot be looked up show here, and not at the first text.
        asked = attempt(self.tag, ["."])
        if isinstance(asked, Mishap):
            raise InputError(f"is no model of CRFsuite ({asked})", path=path, hint="train it again")

    @classmethod
    def load(
        cls,
        folder: Path,
        record: Mapping[str, Any],
        *,
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> CrfTagger:
        """The CRF in a folder that :meth:`save` wrote to; it computes on the CPU, whatever
        ``device`` says.
        """
        config = baseline_config(record, folder, outside_penalty=(0.0, 1e6))
        return cls(folder / WEIGHTS, outside_penalty=config.get("outside_penalty", 0.0))

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Spans of each text. O(length), about a millisecond for fifty characters."""
        return [self._tag(text) for text in texts]

    def _tag(self, text: str) -> tuple[Span, ...]:
        places = places_of(text)
        found: list[Span] = []
        for low, high, first, last in pieces(len(places)):
            start = places[low]
            part = text[start : places[high - 1] + 1]
            for span in self._tag_piece(part, [place - start for place in places[low:high]]):
                # A span is its piece's that it begins in.
                if places[first] <= start + span.start <= places[last - 1]:
                    found.append(Span(start + span.start, start + span.end, span.label, span.score))
        return apart(found)

    def _tag_piece(self, text: str, places: Sequence[int]) -> tuple[Span, ...]:
        self._tagger.set(features(text, places))
        tags = self._tagger.tag()
        if not self._penalty:
            # Marginals are asked for where there is an entity only.
            sure = [
                1.0 if tag == OUTSIDE else self._tagger.marginal(tag, at)
                for at, tag in enumerate(tags)
            ]
            return spans_of(tags, places, sure)
        marginal = self._tagger.marginal
        # (places, tags)
        marginals = np.array(
            [[marginal(tag, at) for tag in self._tags] for at in range(len(places))]
        )
        path = self._best(marginals)
        sure = marginals[np.arange(len(path)), path].tolist()
        return spans_of([self._tags[tag] for tag in path], places, sure)

    def _best(self, marginals: NDArray[np.float64]) -> list[int]:
        """The likeliest sequence that BIOES allows, were places apart, with the penalty on ``O``
        (Viterbi).
        """
        scores = np.log(np.clip(marginals, 1e-12, None))
        if OUTSIDE in self._tags:
            scores[:, self._tags.index(OUTSIDE)] -= self._penalty
        best = self._first + scores[0]
        came = []
        for row in scores[1:]:
            paths = best[:, None] + self._between
            came.append(paths.argmax(0))
            best = paths.max(0) + row
        tag = int((best + self._last).argmax())
        path = [tag]
        for source in reversed(came):
            tag = int(source[tag])
            path.append(tag)
        return path[::-1]

    def parameters(self) -> int:
        """Weights of features and transitions that are not zero.

        Raises:
            InputError: The file's strings are not those of features.
        """
        # It is read from a printed form.
        held = attempt(self._tagger.info)
        if isinstance(held, Mishap):
            raise InputError(
                f"cannot be told about ({held})", path=self._path, hint="train it again"
            )
        return len(held.state_features) + len(held.transitions)

    def save(self, folder: Path) -> None:
        """Copy the model's file into a folder, if it does not lie there."""
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
        sentences: What to learn from.
        config: How.
        folder: Where its file goes.
        held_out: Sentences to judge the trained model on.
        on_epoch: Called after each iteration.
        report: Not used.

    Raises:
        InputError: No entity to learn.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    try:
        import sklearn_crfsuite
    except ImportError:
        raise MissingExtraError("baselines", "the CRF") from None
    started = time.perf_counter()
    learnt_labels(sentences)
    learnt = [(sentence, places) for sentence in sentences if (places := places_of(sentence.text))]
    tags = [bioes_tags(sentence, places) for sentence, places in learnt]
    # Made as CRFsuite takes them: as strings they would fill gigabytes.
    rows = (features(sentence.text, places) for sentence, places in learnt)
    path = folder / WEIGHTS
    path.unlink(missing_ok=True)
    model = sklearn_crfsuite.CRF(
        algorithm="lbfgs",
        c1=config.c1,
        c2=config.c2,
        max_iterations=config.max_iterations,
        min_freq=config.min_frequency,
        model_filename=str(path),
        trainer_cls=_trainer(len(learnt), on_epoch),
    )
    model.fit(rows, tags)
    seconds = time.perf_counter() - started
    epochs = [_epoch(info, len(learnt)) for info in model.training_log_.iterations]
    tagger = CrfTagger(path, outside_penalty=config.outside_penalty)
    if held_out:
        precision, recall, f1 = judge(
            held_out, tagger.tag([sentence.text for sentence in held_out])
        )
        last = epochs[-1]
        epochs[-1] = Epoch(last.epoch, last.train_loss, None, precision, recall, f1, last.seconds)
    return Trained(tagger, seconds, tuple(epochs), None)


def _epoch(info: Mapping[str, Any], sentences: int) -> Epoch:
    """An iteration as CRFsuite's log has it: its loss is that of all sentences, penalties
    included.
    """
    return Epoch(int(info["num"]), float(info["loss"]) / sentences, seconds=float(info["time"]))


def _trainer(sentences: int, on_epoch: Callable[[Epoch], None] | None) -> Any:
    """A trainer of CRFsuite's that tells its iterations instead of printing them."""
    import pycrfsuite

    class _Trainer(pycrfsuite.Trainer):  # type: ignore[misc]
        def on_iteration(self, log: str, info: Mapping[str, Any]) -> None:
            if on_epoch is not None:
                on_epoch(_epoch(info, sentences))

    return _Trainer
