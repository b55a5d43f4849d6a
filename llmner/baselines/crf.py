"""A linear-chain CRF on characters (sklearn-crfsuite): the tagger to beat before reaching for a GPU."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from llmner.baselines._features import features
from llmner.baselines._syllables import bioes_tags, places_of, spans_of
from llmner.baselines._types import Epoch, Trained, judge
from llmner.errors import InputError, MissingExtraError
from llmner.spans import Sentence, Span

__all__ = ["CrfConfig", "CrfTagger", "train_crf"]

WEIGHTS = "model.crfsuite"


class CrfConfig(BaseModel):
    """How a CRF is trained, by L-BFGS with elastic-net regularisation.

    Attributes:
        c1: Weight of the L1 term; what makes the model small.
        c2: Weight of the L2 term.
        max_iterations: Passes over all sentences at the most.
        min_frequency: How often a feature must occur to be used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    c1: float = Field(default=0.1, ge=0)
    c2: float = Field(default=0.01, ge=0)
    max_iterations: int = Field(default=100, ge=1)
    min_frequency: int = Field(default=0, ge=0)


class CrfTagger:
    """A trained CRF.

    Args:
        path: The file that CRFsuite wrote.

    Raises:
        InputError: It is no such file.
        MissingExtraError: The ``baselines`` extra is not installed.
    """

    kind: ClassVar[str] = "crf"

    def __init__(self, path: Path) -> None:
        try:
            import pycrfsuite
        except ImportError:
            raise MissingExtraError("baselines", "the CRF") from None
        if not path.is_file():
            raise InputError("there is no model", path=path, hint="train it again")
        self._path = path
        self._tagger = pycrfsuite.Tagger()
        try:
            self._tagger.open(str(path))
        except ValueError:
            raise InputError("is no model of CRFsuite", path=path, hint="train it again") from None
        self.labels = tuple(sorted({tag[2:] for tag in self._tagger.labels() if tag != "O"}))

    @classmethod
    def load(cls, folder: Path) -> CrfTagger:
        """The CRF in a folder that :meth:`save` wrote to."""
        return cls(folder / WEIGHTS)

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Spans of each text. O(length), about a millisecond for fifty characters."""
        return [self._tag(text) for text in texts]

    def _tag(self, text: str) -> tuple[Span, ...]:
        places = places_of(text)
        if not places:
            return ()
        self._tagger.set(features(text, places))
        tags = self._tagger.tag()
        # Marginals are asked for where there is an entity only.
        sure = [1.0 if tag == "O" else self._tagger.marginal(tag, at) for at, tag in enumerate(tags)]
        return spans_of(tags, places, sure)

    def parameters(self) -> int:
        """Weights of features and transitions that are not zero."""
        held = self._tagger.info()
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
    held: Sequence[Sentence] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train a CRF on one core; memory grows with the number of different features.

    Args:
        sentences: What to learn from.
        config: How.
        folder: Where its file goes.
        held: Sentences to judge the trained model on.
        on_epoch: Called after each iteration.

    Raises:
        InputError: No entity to learn.
        MissingExtraError: The ``baselines`` extra is not installed.
    """
    try:
        import sklearn_crfsuite
    except ImportError:
        raise MissingExtraError("baselines", "the CRF") from None
    started = time.perf_counter()
    rows, tags = [], []
    for sentence in sentences:
        if places := places_of(sentence.text):
            rows.append(features(sentence.text, places))
            tags.append(bioes_tags(sentence, places))
    if not any(tag != "O" for held_tags in tags for tag in held_tags):
        raise InputError("the training sentences hold no entity")
    path = folder / WEIGHTS
    path.unlink(missing_ok=True)
    model = sklearn_crfsuite.CRF(
        algorithm="lbfgs",
        c1=config.c1,
        c2=config.c2,
        max_iterations=config.max_iterations,
        min_freq=config.min_frequency,
        model_filename=str(path),
        trainer_cls=_trainer(len(rows), on_epoch),
    )
    model.fit(rows, tags)
    seconds = time.perf_counter() - started
    epochs = [_epoch(info, len(rows)) for info in model.training_log_.iterations]
    tagger = CrfTagger(path)
    if held:
        precision, recall, f1 = judge(held, tagger.tag([sentence.text for sentence in held]))
        last = epochs[-1]
        epochs[-1] = Epoch(last.epoch, last.train_loss, None, precision, recall, f1, last.seconds)
    return Trained(tagger, seconds, tuple(epochs), None)


def _epoch(info: Mapping[str, Any], sentences: int) -> Epoch:
    """An iteration as CRFsuite's log has it: its loss is that of all sentences, penalties included."""
    return Epoch(int(info["num"]), float(info["loss"]) / sentences, seconds=float(info["time"]))


def _trainer(sentences: int, on_epoch: Callable[[Epoch], None] | None) -> Any:
    """A trainer of CRFsuite's that tells its iterations instead of printing them."""
    import pycrfsuite

    class _Trainer(pycrfsuite.Trainer):  # type: ignore[misc]
        def on_iteration(self, log: str, info: Mapping[str, Any]) -> None:
            if on_epoch is not None:
                on_epoch(_epoch(info, sentences))

    return _Trainer
