"""Data sets with ``tokens`` and ``ner_tags`` from the Hugging Face Hub, such as ``klue/ner``.

They are loaded by the ``datasets`` library, which is imported only when it is needed. A folder
written by ``save_to_disk`` is read the same way, without a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmner.corpora._format import BROKEN, ReadOptions
from llmner.corpora._json import Row
from llmner.corpora._records import read_records, record_of
from llmner.corpora.tokens import TAG_KEYS, pair_of, token_sentences
from llmner.errors import CorpusError, MissingExtraError
from llmner.files import is_file
from llmner.spans import Sentence

__all__ = ["is_saved_dataset", "read_dataset", "read_hub"]

_SAVED = ("dataset_info.json", "dataset_dict.json")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0].rstrip(": ")


def is_saved_dataset(path: Path) -> bool:
    """Whether ``path`` is a folder that ``datasets`` saved."""
    return any(is_file(path / name) for name in _SAVED)


def read_hub(name: str, split: str | None, options: ReadOptions) -> Iterator[Sentence]:
    """Sentences of a data set on the Hub, or in a saved folder.

    Args:
        name: ``"klue/ner"``, or a folder.
        split: ``"train"``, ``"validation"``, ...; may be ``None`` if there is only one split.
        options: How to read.

    Raises:
        MissingExtraError: ``datasets`` is not installed.
        CorpusError: There is no such data set or split, or it has no columns ``tokens`` and
            ``ner_tags``.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("hub", f"reading {name!r} through datasets") from None
    if is_saved_dataset(Path(name)):
        try:
            loaded = datasets.load_from_disk(name)
        except BROKEN as error:
            raise CorpusError(
                f"is a data set that cannot be loaded ({_first_line(error)})", path=name
            ) from None
    else:
        namespace, _, rest = name.partition("/")
        # klue/ner is the configuration "ner" of the repository klue/klue.
        where = ("klue/klue", rest) if namespace == "klue" else (name, None)
        try:
            loaded = datasets.load_dataset(*where)
        except BROKEN as error:
            raise CorpusError(
                f"cannot be loaded from the Hub ({_first_line(error)})",
                path=name,
                hint="check the name and the connection, or give a file",
            ) from None
    if isinstance(loaded, dict):
        splits = list(loaded)
        if split is None and len(splits) == 1:
            split = splits[0]
        if split not in loaded:
            what = "no split was named" if split is None else f"no split is called {split!r}"
            raise CorpusError(what, path=name, hint=f"expected one of {', '.join(splits)}")
        loaded = loaded[split]
    yield from read_dataset(loaded, name=name, split=split or "rows", options=options)


def read_dataset(
    dataset: Any, *, name: str = "dataset", split: str = "rows", options: ReadOptions | None = None
) -> Iterator[Sentence]:
    """Sentences of a ``datasets.Dataset`` with the columns ``tokens`` and ``ner_tags``.

    Tags may be strings, or class ids whose names are in the features. If all tokens are single
    characters, as in ``klue/ner``, they are joined without spaces; words are joined by spaces. A
    data set with a text and a list of annotations is read, too.

    Args:
        dataset: The data set.
        name: The data set's name in error messages.
        split: The prefix of ids, for rows without an id of their own.
        options: How to read.

    Raises:
        CorpusError: A column is missing, or tags cannot be read.

    >>> from datasets import Dataset  # doctest: +SKIP
    >>> rows = {"tokens": [["Anna", "sings"]], "ner_tags": [["B-PER", "O"]]}
    >>> [sentence.text for sentence in read_dataset(Dataset.from_dict(rows))]  # doctest: +SKIP
    ['Anna sings']
    """
    path = Path(name)

    def rows() -> Iterator[Row]:
        for number, row in enumerate(dataset):
            id = row.get("guid") or row.get("id") or f"{split}-{number:05d}"
            yield Row({**row, "id": str(id)}, number + 1, number + 1)

    first = next(rows(), None)
    has_tokens = {"tokens", "ner_tags"} <= set(dataset.column_names)
    if first is not None and not has_tokens and pair_of(first.value) is None:
        if record_of(first.value) is not None:
            expected = "a text and annotations"
            return read_records(path, options or ReadOptions(), record_of, expected, rows=rows())
        missing = next(c for c in ("tokens", "ner_tags") if c not in dataset.column_names)
        raise CorpusError(
            f"no column {missing!r} (it has {', '.join(dataset.column_names)})",
            path=path,
            hint="expected tokens and ner_tags",
        )
    return token_sentences(path, rows, options or ReadOptions(), _class_names(dataset))


def _class_names(dataset: Any) -> list[str] | None:
    """The names of the tags' class ids."""
    for column in TAG_KEYS:
        feature = dataset.features.get(column)
        feature = getattr(feature, "feature", feature)
        names = getattr(feature, "names", None)
        if names is not None:
            return list(names)
    return None
