"""Data sets with ``tokens`` and ``ner_tags`` from the Hugging Face Hub, such as ``klue/ner``.

They are loaded by the ``datasets`` library, which is imported only when it is needed. A folder
written by ``save_to_disk`` is read the same way, without a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmner._numbers import is_whole
from llmner.corpora._format import ReadOptions
from llmner.errors import CorpusError, MissingExtraError, TagError
from llmner.files import is_file
from llmner.spans import Sentence, Span
from llmner.tagging import OUTSIDE, guess_scheme, tags_to_spans

__all__ = ["BROKEN", "is_saved_dataset", "read_dataset", "read_hub"]

_SAVED = ("dataset_info.json", "dataset_dict.json")
# What ``datasets`` and pyarrow raise for broken files.
BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RecursionError,
)


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
    characters, as in ``klue/ner``, they are joined without spaces; words are joined by spaces.

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
    options = options or ReadOptions()
    path = Path(name)
    missing = [column for column in ("tokens", "ner_tags") if column not in dataset.column_names]
    if missing:
        raise CorpusError(
            f"no column {missing[0]!r} (it has {', '.join(dataset.column_names)})",
            path=path,
            hint="expected tokens and ner_tags",
        )
    feature = dataset.features["ner_tags"]
    feature = getattr(feature, "feature", feature)
    names: list[str] | None = getattr(feature, "names", None)

    def decode(row: Any) -> tuple[list[str], list[str]]:
        """Tokens and tags of a row; raises ``ValueError`` if they are malformed."""
        tokens, tags = row["tokens"], row["ner_tags"]
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError("'tokens' is not a list of strings")
        if not isinstance(tags, list) or len(tags) != len(tokens):
            raise ValueError("'ner_tags' is not a list with one tag per token")
        if names is None:
            return tokens, [str(tag) for tag in tags]
        if not all(is_whole(tag) and 0 <= tag < len(names) for tag in tags):
            raise ValueError(f"'ner_tags' has a value that is not a class id below {len(names)}")
        return tokens, [names[tag] for tag in tags]

    def decoded(rows: Any) -> Iterator[tuple[list[str], list[str]]]:
        for row in rows:
            with suppress(ValueError):
                yield decode(row)

    head = list(decoded(dataset.select(range(min(200, len(dataset))))))
    joiner = "" if all(len(token) == 1 for tokens, _ in head for token in tokens) else " "
    scheme = guess_scheme(tag for _, tags in head for tag in [*tags, OUTSIDE])
    for number, row in enumerate(dataset):
        id = str(row.get("guid") or row.get("id") or f"{split}-{number:05d}")
        try:
            tokens, tags = decode(row)
        except ValueError as error:
            options.bad(CorpusError(str(error), path=path, line=number + 1, id=id), str(row))
            continue
        try:
            token_spans, repairs = tags_to_spans(tags, scheme=scheme, strict=options.strict)
            starts, offset = [], 0
            for token in tokens:
                starts.append(offset)
                offset += len(token) + len(joiner)
            spans = [
                Span(starts[s.start], starts[s.end - 1] + len(tokens[s.end - 1]), s.label)
                for s in token_spans
            ]
            sentence = options.sentence(path, number + 1, id, joiner.join(tokens), spans)
        except TagError as error:
            options.bad(
                CorpusError(error.problem, path=path, line=number + 1, id=id, hint=error.hint),
                str(row),
            )
            continue
        except CorpusError as error:
            options.bad(error, str(row))
            continue
        options.repaired(path, number + 1, repairs, id)
        yield sentence
