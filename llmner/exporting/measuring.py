"""What an export costs and gains: the model before and after, on the same sentences."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmner.baselines import Baseline, EncoderClassifier, load_baseline
from llmner.baselines._store import size_on_disk
from llmner.baselines._text_labels import judge_labels
from llmner.baselines._types import judge
from llmner.spans import Sentence

__all__ = ["Figures", "compare_exported"]

_WARM_UP = 4


@dataclass(frozen=True, slots=True)
class Figures:
    """One form of a model, on labelled sentences.

    Attributes:
        bytes: The size of its files.
        sentences_a_second: Its speed on the CPU, without loading.
        f1: Micro F1, from 0 to 1: of spans, or of the labels of texts.
        same: Share of the sentences, from 0 to 1, whose answer is that of the original.
    """

    bytes: int
    sentences_a_second: float
    f1: float
    same: float = 1.0

    def to_dict(self) -> dict[str, float]:
        """The figures as JSON."""
        return asdict(self)


def compare_exported(
    source: Path, exported: Path, sentences: Sequence[Sentence]
) -> tuple[Figures, Figures]:
    """Figures of a baseline and of what it was exported to, on the CPU.

    Args:
        source: The baseline's folder.
        exported: The exported one's.
        sentences: Labelled sentences.

    Raises:
        InputError: A file is missing or broken.
        MissingExtraError: The ``baselines`` or the ``onnx`` extra is not installed.

    >>> compare_exported(Path("bert"), Path("bert-onnx"), [])  # doctest: +SKIP
    """
    before, wanted = _figures(source, sentences)
    after, found = _figures(exported, sentences)
    same = sum(_plain(one) == _plain(other) for one, other in zip(wanted, found, strict=True))
    return before, Figures(
        after.bytes, after.sentences_a_second, after.f1, same / max(len(sentences), 1)
    )


def _figures(folder: Path, sentences: Sequence[Sentence]) -> tuple[Figures, list[Any]]:
    model: Baseline = load_baseline(folder, device="cpu")
    texts = [sentence.text for sentence in sentences]
    model.tag(texts[:_WARM_UP])
    began = time.perf_counter()
    found: list[Any] = list(model.tag(texts))
    seconds = time.perf_counter() - began
    judged = judge_labels if isinstance(model, EncoderClassifier) else judge
    f1 = judged(sentences, found)[2]
    return Figures(size_on_disk(folder), len(texts) / max(seconds, 1e-9), f1), found


def _plain(answer: Sequence[Any]) -> list[Any]:
    """An answer without its scores."""
    return [{key: value for key, value in asdict(one).items() if key != "score"} for one in answer]
