"""Data sets of the Hugging Face Hub with ``tokens`` and ``ner_tags``, such as ``klue/ner``.

Goes through ``datasets``, which is imported only here and only when it is needed. A folder written
by ``save_to_disk`` is read the same way, without a network.
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

__all__ = ["is_saved_dataset", "read_dataset", "read_hub"]

_SAVED = ("dataset_info.json", "dataset_dict.json")
# What ``datasets`` and pyarrow raise at files that are broken.
_BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RecursionError,
)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0].rstrip(": ")


def is_saved_dataset(path: Path) -> bool:
    """Whether ``path`` is a folder that ``datasets`` wrote."""
    return any(is_file(path / name) for name in _SAVED)


def read_hub(name: str, split: str | None, options: ReadOptions) -> Iterator[Sentence]:
    """Sentences of a data set on the Hub, or in a saved folder.

    Args:
        name: ``"klue/ner"``, or a folder.
        split: ``"train"``, ``"validation"``, ...; may be left out where there is only one.
        options: How to read.

    Raises:
        MissingExtraError: ``datasets`` is not installed.
        CorpusError: No such data set or split, or columns other than ``tokens`` and ``ner_tags``.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("hub", f"reading {name!r} through datasets") from None
    if is_saved_dataset(Path(name)):
        try:
            loaded = datasets.load_from_disk(name)
        except _BROKEN as error:
            raise CorpusError(
                f"is a data set that cannot be loaded ({_told(error)})", path=name
            ) from None
    else:
        namespace, _, rest = name.partition("/")
        # klue/ner is the configuration "ner" of the repository klue/klue.
        where = ("klue/klue", rest) if namespace == "klue" else (name, None)
        try:
            loaded = datasets.load_dataset(*where)
        except _BROKEN as error:
            raise CorpusError(
                f"cannot be loaded from the Hub ({_told(error)})",
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
    """Sentences of a ``datasets.Dataset`` with ``tokens`` and ``ner_tags``.

    Tags may be strings or class ids whose names the features hold. Tokens of one character each, as
    in ``klue/ner``, are joined as they are; words are joined by spaces.

    Args:
        dataset: The data set.
        name: What to call it in errors.
        split: What ids begin with where rows have none of their own.
        options: How to read.

    Raises:
        CorpusError: Other columns, or tags that cannot be read.
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
        """Tokens and tags; ``ValueError`` where they are none."""
        tokens, tags = row["tokens"], row["ner_tags"]
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError("'tokens' is not a list of strings")
        if not isinstance(tags, list) or len(tags) != len(tokens):
            raise ValueError("'ner_tags' is not a list of as many tags as there are tokens")
        if names is None:
            return tokens, [str(tag) for tag in tags]
        if not all(is_whole(tag) and 0 <= tag < len(names) for tag in tags):
            raise ValueError(f"'ner_tags' has a class that is none of {len(names)}")
        return tokens, [names[tag] for tag in tags]

    def whole(rows: Any) -> Iterator[tuple[list[str], list[str]]]:
        for row in rows:
            with suppress(ValueError):
                yield decode(row)

    head = list(whole(dataset.select(range(min(200, len(dataset))))))
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
            spans, repairs = tags_to_spans(tags, scheme=scheme, strict=options.strict)
            starts, at = [], 0
            for token in tokens:
                starts.append(at)
                at += len(token) + len(joiner)
            moved = [
                Span(starts[s.start], starts[s.end - 1] + len(tokens[s.end - 1]), s.label)
                for s in spans
            ]
            sentence = options.sentence(path, number + 1, id, joiner.join(tokens), moved)
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
