"""What all taggers share: the protocol, the epochs of a training, and its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, ClassVar, Protocol, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from llmner._mishaps import one_line
from llmner._numbers import not_bool
from llmner.baselines._tag_scores import TagScores
from llmner.errors import InputError
from llmner.scoring import score
from llmner.spans import Sentence, Span, TextLabel

__all__ = [
    "RECORD_FILE",
    "Baseline",
    "BestEpoch",
    "Epoch",
    "Fields",
    "Report",
    "Trained",
    "baseline_config",
    "judge",
    "label_counts",
    "learnt_labels",
    "means",
    "silent",
    "tag_counts",
]

RECORD_FILE = "baseline.json"

Report = Callable[[str], None]
"""A callback that is called with a sentence about the progress."""


class Fields(BaseModel):
    """A configuration from YAML or keywords.

    Unknown fields are errors, and so are true and false in fields that are not switches.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        kind = cls.model_fields[info.field_name].annotation
        return value if bool in (kind, *get_args(kind)) else not_bool(value)


class Baseline(Protocol):
    """A trained tagger of spans, or a classifier of whole texts.

    Attributes:
        kind: ``"crf"``, ``"bilstm-crf"``, ``"encoder"``, ``"linear-classifier"`` or
            ``"encoder-classifier"``.
        labels: The labels it can predict, sorted.
    """

    kind: ClassVar[str]
    labels: tuple[str, ...]

    @classmethod
    def load(
        cls, folder: Path, record: Mapping[str, Any], *, device: str, trust_remote_code: bool
    ) -> Baseline:
        """Load the tagger from a folder that :meth:`save` wrote to.

        Args:
            folder: The folder.
            record: The contents of its ``baseline.json``.
            device: The device of an encoder; other taggers run on the CPU.
            trust_remote_code: Whether an encoder may run Python code that comes with it.

        Raises:
            InputError: A file is missing or broken.
            MissingExtraError: The ``baselines`` extra is not installed.
        """
        ...

    def tag(self, texts: Sequence[str]) -> Sequence[tuple[Span | TextLabel, ...]]:
        """The spans of each text, sorted and without overlaps, or its labels, each with a score.

        Texts may be of any length. A span's score is the lowest probability of its tags.
        """
        ...

    def parameters(self) -> int:
        """The number of trained parameters."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model's files into an existing folder."""
        ...


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training sentences, or one iteration of L-BFGS.

    Attributes:
        epoch: Its number, from 1; 0 is the model before it was trained.
        train_loss: Mean negative log-likelihood in nats, per sentence (CRF, BiLSTM-CRF) or per
            token (encoder).
        eval_loss: The same for the held-out sentences, if the kind computes it.
        precision: Micro precision on the held-out sentences, from 0 to 1.
        recall: Micro recall on them.
        f1: Micro F1 on them.
        seconds: Its duration, including the evaluation.

    >>> print(Epoch(2, 0.51, f1=0.8, seconds=31.4))
    epoch 2: loss 0.5100, held-out F1 0.8000 (31 s)
    """

    epoch: int
    train_loss: float | None
    eval_loss: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        loss = None if self.train_loss is None else f"loss {self.train_loss:.4f}"
        figures = None if self.f1 is None else f"held-out F1 {self.f1:.4f}"
        name = f"epoch {self.epoch}" if self.epoch else "before training"
        told = ", ".join(filter(None, (loss, figures)))
        return f"{name}{': ' if told else ''}{told} ({self.seconds:.0f} s)"


class BestEpoch:
    """Which epoch had the best held-out F1 so far, and whether to stop.

    While F1 is 0, no epoch is the best and training goes on.

    Args:
        patience: Training stops after this many epochs without a better F1.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epoch: int | None = None
        self._f1 = 0.0

    def update(self, epoch: Epoch) -> bool:
        """Whether the epoch, which has just ended, is the best so far."""
        better = epoch.epoch > 0 and epoch.f1 is not None and epoch.f1 > self._f1
        if better and epoch.f1 is not None:
            self._f1, self.epoch = epoch.f1, epoch.epoch
        return better

    def should_stop(self, epoch: Epoch) -> bool:
        """Whether training should stop after this epoch."""
        return self.epoch is not None and epoch.epoch - self.epoch >= self.patience


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of training.

    Attributes:
        baseline: The tagger.
        seconds: The duration of the training, from sentences to weights.
        epochs: Its epochs.
        best: The epoch whose weights were kept, if held-out F1 chose it.
        tags: Scores of single tags on the held-out sentences.
        notes: More facts for the user, such as the number of sentences that were cut into windows
            and of entities that the tokenizer makes impossible to find.
    """

    baseline: Baseline
    seconds: float
    epochs: tuple[Epoch, ...] = ()
    best: int | None = None
    tags: TagScores | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def best_figures(self) -> dict[str, float | None]:
        """Held-out precision, recall and F1 of the kept epoch, and the mean seconds of an epoch."""
        epochs = [epoch for epoch in self.epochs if epoch.epoch]
        kept = next((epoch for epoch in epochs if epoch.epoch == self.best), None)
        kept = kept or (epochs[-1] if epochs else None)
        return {
            "precision": None if kept is None else kept.precision,
            "recall": None if kept is None else kept.recall,
            "f1": None if kept is None else kept.f1,
            "epoch_seconds": fmean(epoch.seconds for epoch in epochs) if epochs else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """The result as it is in ``baseline.json``."""
        return {
            "seconds": round(self.seconds, 1),
            "parameters": self.baseline.parameters(),
            "best_epoch": self.best,
            "epochs": [asdict(epoch) for epoch in self.epochs],
            **({} if self.tags is None else {"held_out_tags": self.tags.to_dict()}),
            **self.notes,
        }


def means(
    trainings: Iterable[Trained],
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Mean and standard deviation of the figures of several trainings.

    See :meth:`Trained.best_figures` for what these are. ``None`` stands for what is not known; one
    value has no deviation.
    """
    rows = [trained.best_figures() for trained in trainings]
    known = {name: [value for row in rows if (value := row[name]) is not None] for name in rows[0]}
    return (
        {name: fmean(values) if values else None for name, values in known.items()},
        {name: stdev(values) if len(values) > 1 else None for name, values in known.items()},
    )


def learnt_labels(sentences: Iterable[Sentence]) -> list[str]:
    """The labels of all entities that are more than white space, sorted.

    Raises:
        InputError: There is no such entity.

    >>> learnt_labels([Sentence("Anna in Rome", (Span(0, 4, "PER"), Span(8, 12, "LOC")))])
    ['LOC', 'PER']
    """
    labels = {
        span.label
        for sentence in sentences
        for span in sentence.spans
        if sentence.surface(span).strip()
    }
    if not labels:
        raise InputError("the training sentences have no entities")
    return sorted(labels)


def silent(_: str) -> None:
    """Ignore a report."""


def judge(
    gold: Sequence[Sentence], predicted: Sequence[Sequence[Span]]
) -> tuple[float, float, float]:
    """Micro precision, recall and F1 of predicted spans, from the package's scorer.

    >>> judge([Sentence("Anna sings", (Span(0, 4, "PER"),))], [[Span(0, 4, "PER")]])
    (1.0, 1.0, 1.0)
    """
    micro = score([s.spans for s in gold], predicted, texts=[s.text for s in gold]).micro
    return micro.precision, micro.recall, micro.f1


def label_counts(sentences: Iterable[Sentence]) -> dict[str, int]:
    """How many texts have each label, the most frequent first.

    >>> label_counts([Sentence("a", labels=(TextLabel("x"),)), Sentence("b")])
    {'x': 1}
    """
    counts = Counter(label for s in sentences for label in {own.label for own in s.labels})
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def tag_counts(sentences: Iterable[Sentence]) -> dict[str, int]:
    """How often each IOB2 tag occurs on characters other than white space, the most frequent first.

    It shows how much more frequent ``O`` is than the other tags.

    >>> tag_counts([Sentence("Anna sings", (Span(0, 4, "PER"),))])
    {'O': 5, 'I-PER': 3, 'B-PER': 1}
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
    """The numbers in a baseline's configuration that tagging needs; missing ones are left out.

    Args:
        record: The contents of ``baseline.json``.
        folder: Its folder, for errors.
        **limits: The name of each number, with its minimum and maximum. If these are ``int``, the
            number must be whole.

    Raises:
        InputError: A value is not a number, or is out of range.

    >>> baseline_config({"config": {"stride": 64}}, Path("folder"), stride=(0, 512))
    {'stride': 64}
    """
    config = record.get("config") or {}
    numbers: dict[str, float] = {}
    for name, (low, high) in limits.items():
        value = config.get(name)
        if value is None:
            continue
        whole = isinstance(low, int)
        if type(value) not in ((int,) if whole else (int, float)) or not low <= value <= high:
            raise InputError(
                f"{name!r} is {one_line(repr(value), 40)}",
                path=folder / RECORD_FILE,
                hint=f"expected a {'whole ' if whole else ''}number from {low} to {high}",
            )
        numbers[name] = value
    return numbers
