"""What the taggers have in common: the protocol, the epochs of a training run, and what it
leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from llmner._mishaps import one_line
from llmner._numbers import not_bool
from llmner.errors import InputError
from llmner.scoring import score
from llmner.spans import Sentence, Span

__all__ = [
    "RECORD_FILE",
    "Baseline",
    "BestEpoch",
    "Epoch",
    "Fields",
    "Told",
    "Trained",
    "baseline_config",
    "judge",
    "learnt_labels",
    "silent",
    "tag_counts",
]

RECORD_FILE = "baseline.json"

Told = Callable[[str], None]
"""What is told of the progress, in a sentence."""


class Fields(BaseModel):
    """A configuration from YAML or keywords: no field it does not have, true and false in switches
    only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        return value if cls.model_fields[info.field_name].annotation is bool else not_bool(value)


class Baseline(Protocol):
    """A trained tagger.

    Attributes:
        kind: ``"crf"``, ``"bilstm-crf"`` or ``"encoder"``.
        labels: Labels that it gives, sorted.
    """

    kind: ClassVar[str]
    labels: tuple[str, ...]

    @classmethod
    def load(
        cls, folder: Path, record: Mapping[str, Any], *, device: str, trust_remote_code: bool
    ) -> Baseline:
        """The tagger in a folder that :meth:`save` wrote to.

        Args:
            folder: The folder.
            record: What its ``baseline.json`` says.
            device: Where it computes, if it is an encoder.
            trust_remote_code: Whether an encoder may run Python code that comes with it.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        ...

    def tag(self, texts: Sequence[str]) -> list[tuple[Span, ...]]:
        """Spans of each text, of any length, sorted, lying apart, each with a score.

        A score is the lowest probability among those of the span's tags.
        """
        ...

    def parameters(self) -> int:
        """Numbers that training chose."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model's files into a folder that exists."""
        ...


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training sentences, or one iteration of an optimiser that takes all at
    once.

    Attributes:
        epoch: Its number, from 1.
        train_loss: Mean negative log-likelihood of a sentence's tags (CRF, BiLSTM-CRF), or of a
            token's (encoder), in nats.
        eval_loss: The same of the held-out sentences, where the kind computes it.
        precision: Of the held-out sentences' entities, micro, 0 to 1.
        recall: The same.
        f1: The same.
        seconds: Time it took, its evaluation included.
    """

    epoch: int
    train_loss: float | None
    eval_loss: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        loss = "" if self.train_loss is None else f": loss {self.train_loss:.4f}"
        figures = "" if self.f1 is None else f", held-out F1 {self.f1:.4f}"
        return f"epoch {self.epoch}{loss}{figures} ({self.seconds:.0f} s)"


class BestEpoch:
    """Keeps the weights of the epoch with the best F1 on held-out sentences, and says when to stop.

    An F1 of 0 is no better than none: it neither keeps an epoch nor counts towards stopping.

    Args:
        patience: Epochs without a better F1 after which training stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epoch: int | None = None
        self._f1 = 0.0
        self._weights: dict[str, Any] | None = None

    def judged(self, epoch: Epoch, network: Any) -> None:
        """Look at an epoch that has just ended."""
        if epoch.f1 is not None and epoch.f1 > self._f1:
            self._f1, self.epoch = epoch.f1, epoch.epoch
            # Copies: the network goes on.
            self._weights = {
                name: held.detach().cpu().clone() for name, held in network.state_dict().items()
            }

    def over(self, epoch: Epoch) -> bool:
        """Whether training should stop after this epoch."""
        return self.epoch is not None and epoch.epoch - self.epoch >= self.patience

    def restore(self, network: Any) -> None:
        """Put the best epoch's weights back, if there is one."""
        if self._weights is not None:
            network.load_state_dict(self._weights)


@dataclass(frozen=True, slots=True)
class Trained:
    """What training came to.

    Attributes:
        baseline: The tagger.
        seconds: Time that training took, from sentences to weights.
        epochs: Its epochs.
        best: The epoch whose weights were kept, where F1 on held-out sentences chose it.
        notes: What a user should know: sentences that were cut into windows, entities that the
            tokenizer cannot tell apart.
    """

    baseline: Baseline
    seconds: float
    epochs: tuple[Epoch, ...] = ()
    best: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As ``baseline.json`` has it."""
        return {
            "seconds": round(self.seconds, 1),
            "parameters": self.baseline.parameters(),
            "best_epoch": self.best,
            "epochs": [asdict(epoch) for epoch in self.epochs],
            **self.notes,
        }


def learnt_labels(sentences: Iterable[Sentence]) -> list[str]:
    """Labels of the entities that can be learnt, sorted.

    Raises:
        InputError: There is none that has a character other than white space.
    """
    labels = {
        span.label
        for sentence in sentences
        for span in sentence.spans
        if sentence.surface(span).strip()
    }
    if not labels:
        raise InputError("the training sentences hold no entity")
    return sorted(labels)


def silent(_: str) -> None:
    """Tells nobody."""


def judge(
    held: Sequence[Sentence], predicted: Sequence[Sequence[Span]]
) -> tuple[float, float, float]:
    """Micro precision, recall and F1, as the scorer has them."""
    micro = score([s.spans for s in held], predicted, texts=[s.text for s in held]).micro
    return micro.precision, micro.recall, micro.f1


def tag_counts(sentences: Iterable[Sentence]) -> dict[str, int]:
    """IOB2 tags of the characters that are no white space, by number: how far ``O`` outweighs the
    rest.
    """
    counts: Counter[str] = Counter()
    for sentence in sentences:
        for char, tag in zip(sentence.text, sentence.tags(), strict=True):
            if not char.isspace():
                counts[tag] += 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def baseline_config(
    record: Mapping[str, Any], folder: Path, **limits: tuple[float, float]
) -> dict[str, float]:
    """The numbers of a baseline's configuration that tagging needs, as far as they are there.

    Args:
        record: What ``baseline.json`` says.
        folder: Where it lies, for errors.
        **limits: Their names, each with the lowest and the highest that it can be; of whole numbers
            whole ones.

    Raises:
        InputError: One is no such number.
    """
    config = record.get("config") or {}
    found: dict[str, float] = {}
    for name, (low, high) in limits.items():
        value = config.get(name)
        if value is None:
            continue
        whole = isinstance(low, int)
        if type(value) not in ((int,) if whole else (int, float)) or not low <= value <= high:
            raise InputError(
                f"{name!r} cannot be {one_line(repr(value), 40)}",
                path=folder / RECORD_FILE,
                hint=f"expected {low} to {high}",
            )
        found[name] = value
    return found
