"""Several runs side by side: their names, and each compared with the first.

And the files in which an evaluation keeps an engine's answers until it is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmner.extraction.runs import cached_rows, drop_rows, partial_path
from llmner.files import kind_of
from llmner.scoring._comparison import Comparison, compare
from llmner.scoring._evaluate import Evaluation

__all__ = ["KeptAnswers", "compare_with_first", "run_names"]


def run_names(paths: Sequence[str]) -> list[str]:
    """A short name for each run: its file's stem, or the whole path if two stems are equal.

    >>> run_names(["build/a.jsonl", "build/b.jsonl"])
    ['a', 'b']
    >>> run_names(["one/a.jsonl", "two/a.jsonl"])
    ['one/a.jsonl', 'two/a.jsonl']
    """
    stems = [Path(path).stem for path in paths]
    counts = Counter(stems)
    names = [path if counts[stem] > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    repeated = Counter(names)
    return [
        name if repeated[name] == 1 else f"{name} ({number})"
        for number, name in enumerate(names, 1)
    ]


def compare_with_first(
    runs: Mapping[str, Evaluation], *, resamples: int = 1000, seed: int = 42
) -> dict[str, Comparison]:
    """Compare every run with the first one.

    Args:
        runs: Runs on the same sentences, by name.
        resamples: Bootstrap resamples for the intervals; 0 for none.
        seed: The seed of resamples and shuffles.

    Returns:
        The comparison of each other run with the first, by the other's name.
    """
    names = list(runs)
    return {
        name: compare(runs[names[0]], runs[name], resamples=resamples, seed=seed)
        for name in names[1:]
    }


class KeptAnswers:
    """Where an evaluation keeps an engine's answers, so that it can go on after an interruption.

    They are kept beside the evaluation's output, or in the user's cache if it has none.

    Args:
        output: The evaluation's output.
    """

    def __init__(self, output: Path | None = None) -> None:
        # A device or a pipe has no place beside it.
        self._beside = (
            None if output is None or kind_of(output) == "special" else partial_path(output)
        )
        self._paths: list[Path] = []

    def path(self, record: Mapping[str, Any]) -> Path | None:
        """The file for the answers that ``record`` decides; ``None`` if none can be written.

        This is the ``keep`` of :func:`llmner.scoring.from_extractor`.
        """
        path = cached_rows(record) if self._beside is None else self._beside
        if path is not None:
            self._paths.append(path)
        return path

    def drop(self) -> None:
        """Remove the files: the evaluation is done."""
        for path in self._paths:
            drop_rows(path)
