"""Reading evaluations of an adapter: the output of ``llmner evaluate --json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmner.errors import InputError
from llmner.hub._files import is_regular, read_mapping, without_paths
from llmner.reports import FIGURES
from llmner.scoring import signature_line

__all__ = ["EVALUATION_FILE", "KLUE_NAME", "Scored", "evaluation_files", "read_evaluations"]

EVALUATION_FILE = re.compile(r"evaluation-[\w.-]+\.json")
"""The names of evaluations in an adapter's folder."""

_QUOTED = {
    "micro.f1": "micro F1 (seqeval)",
    **{name: FIGURES[name][0] for name in ("strict.f1", "klue.entity_f1", "klue.char_f1")},
}

KLUE_NAME = re.compile(r"(?<![a-z])klue(?![a-z])")
"""Finds the word ``klue`` in the lower-case name of a corpus."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One evaluation of an adapter.

    Attributes:
        file: The name of its file, beside the adapter.
        content: The file's content, without sentences and paths.
        figures: (title, value, lower and upper bound of its 95 % interval or ``None``) by the
            figure's name; fractions, 0 to 1.
        corpus: The corpus's name.
        klue: ``v1`` or ``v1.1`` for a corpus of KLUE, else ``None``.
        split: ``validation`` or ``train`` if the corpus's name says so, else ``None``.
        revision: The hash of the scored texts and gold spans.
        sentences: The number of scored sentences.
        entities: The number of gold entities in them.
        ours: Whether an adapter answered; ``False`` for the base model alone, ``None`` if the file
            does not say.
        adapter: The adapter's name, if it is recorded.
        signature: The signature, on one line.
    """

    file: str
    content: dict[str, Any]
    figures: dict[str, tuple[str, float, tuple[float, float] | None]]
    corpus: str
    klue: str | None
    split: str | None
    revision: str
    sentences: int
    entities: int
    ours: bool | None
    adapter: str | None
    signature: str


def read_evaluations(folder: Path, others: Iterable[Path]) -> list[Scored]:
    """The evaluations of :func:`evaluation_files`, read.

    Raises:
        InputError: One cannot be read, or a figure in it is not valid.
    """
    return [_read_evaluation(path, name) for name, path in evaluation_files(folder, others).items()]


def evaluation_files(folder: Path, others: Iterable[Path]) -> dict[str, Path]:
    """The evaluations in a folder and further ones, each under the name it is uploaded as.

    Args:
        folder: The adapter's folder.
        others: Further files.

    Raises:
        InputError: Two files would have the same name.
    """
    files: dict[str, Path] = {}
    inside = (
        path
        for path in folder.iterdir()
        if EVALUATION_FILE.fullmatch(path.name) and is_regular(path)
    )
    for path in [*sorted(inside), *others]:
        name = path.name
        if not EVALUATION_FILE.fullmatch(name):
            name = "evaluation-" + re.sub(r"[^\w.-]+", "-", path.stem) + ".json"
        first = files.setdefault(name, path)
        if first != path and first.resolve() != path.resolve():
            raise InputError(
                f"would be called {name} like {first}", path=path, hint="rename one of them"
            )
    return files


def _read_evaluation(path: Path, name: str) -> Scored:
    content = without_paths(read_mapping(path, json.loads))
    # A run from evaluate --output contains every sentence. They must not be published.
    content.pop("rows", None)
    if "runs" in content:
        raise InputError(
            "contains several runs", path=path, hint="evaluate the adapter alone, with --json"
        )
    signature = content.get("signature")
    if not isinstance(signature, dict):
        raise InputError(
            "not an evaluation", path=path, hint="expected the output of llmner evaluate --json"
        )
    figures = {}
    for figure, title in _QUOTED.items():
        group, _, key = figure.partition(".")
        values = content.get(group)
        value = values.get(key) if isinstance(values, dict) else None
        if value is not None:
            figures[figure] = (
                title,
                _fraction(path, figure, value),
                _interval(path, figure, content),
            )
    if "micro.f1" not in figures:
        raise InputError(
            "has no micro F1", path=path, hint="expected the output of llmner evaluate --json"
        )
    corpus, sample = (signature.get(key) for key in ("corpus", "scored"))
    if not isinstance(corpus, dict) or not {"name", "sha256"} <= corpus.keys():
        raise InputError("does not name its corpus", path=path, hint="evaluate with --json again")
    corpus_name = str(corpus["name"])
    split = re.search(r"(?<![a-z])(dev|valid(?:ation)?|train)(?![a-z])", corpus_name.lower())
    revision = str((sample if isinstance(sample, dict) else corpus).get("sha256"))
    adapter = signature.get("adapter")
    return Scored(
        name,
        content,
        figures,
        corpus_name,
        None
        if not KLUE_NAME.search(corpus_name.lower())
        else "v1.1"
        if corpus.get("nfkc") is True
        else "v1",
        None if split is None else "train" if split[1] == "train" else "validation",
        revision,
        _count(path, "sentences", content),
        _count(path, "gold_spans", content),
        None if "adapter" not in signature else adapter is not None,
        None if adapter is None else str(adapter),
        signature_line(signature),
    )


def _fraction(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number from 0 to 1, got {value!r}", path=path)
    return float(value)


def _interval(path: Path, name: str, content: dict[str, Any]) -> tuple[float, float] | None:
    intervals = content.get("intervals")
    bounds = intervals.get(name) if isinstance(intervals, dict) else None
    if bounds is None:
        return None
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise InputError(f"the interval of {name} must be two numbers, got {bounds!r}", path=path)
    return _fraction(path, name, bounds[0]), _fraction(path, name, bounds[1])


def _count(path: Path, name: str, content: dict[str, Any]) -> int:
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"{name} must be a count, got {value!r}", path=path)
    return value
